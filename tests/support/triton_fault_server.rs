//! KServe server with faults, chosen by the name of the model.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bareflight::targets::triton::kserve::{
    Choice, FINAL_RESPONSE, ModelConfig, ModelConfigResponse, ModelInferRequest,
    ModelInferResponse, ModelMetadata, ModelRequest, OutputTensor, ParameterEntry, ReadyResponse,
    ServerMetadata, StreamResponse, TensorMetadata, TransactionPolicy, path,
};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;

type Body = BoxBody<Bytes, std::io::Error>;
type Frames = UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

/// Starts one on a thread that lives as long as the process.
pub fn start() -> SocketAddr {
    let (bound, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            bound.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket));
            }
        });
    });
    address.recv().unwrap()
}

async fn serve(socket: tokio::net::TcpStream) {
    let cut = Arc::new(Notify::new());
    let service = {
        let cut = Arc::clone(&cut);
        service_fn(move |request| {
            let cut = Arc::clone(&cut);
            async move { answer(request, &cut).await }
        })
    };
    let connection =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let mut cut = std::pin::pin!(cut.notified());
    std::future::poll_fn(|cx| {
        use std::future::Future;
        if cut.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        connection.as_mut().poll(cx).map(drop)
    })
    .await;
}

/// Calls of which the first two of three are refused.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

async fn answer(
    request: Request<Incoming>,
    cut: &Arc<Notify>,
) -> Result<Response<Body>, h2::Error> {
    let path = request.uri().path().to_owned();
    let (frames, body) = unbounded_channel();
    // What a gateway before the server would look at, in the calls that the client asks it to refuse.
    let told = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let refuses = told("x-refuse").is_some_and(|which| path.ends_with(which));
    let resets = told("x-refuse-stream").is_some_and(|which| path.ends_with(which));
    let always = told("x-refuse-stream").is_some_and(|which| which == format!("always {path}"));
    if always || (resets && REFUSED.fetch_add(1, Ordering::SeqCst) % 3 != 2) {
        return Err(h2::Reason::REFUSED_STREAM.into());
    }
    if refuses {
        let key = told("authorization").unwrap_or("no key").to_owned();
        status(&frames, 16, &format!("who is {key}?"));
    } else if path == path::MODEL_STREAM_INFER {
        tokio::spawn(stream(request.into_body(), frames, Arc::clone(cut)));
    } else {
        let message = request.into_body().collect().await.unwrap().to_bytes();
        unary(&path, &message[5..], &frames);
    }
    let body = StreamBody::new(UnboundedReceiverStream::new(body)).boxed();
    Ok(Response::builder().header("content-type", "application/grpc").body(body).unwrap())
}

fn unary(path: &str, message: &[u8], frames: &Frames) {
    match path {
        path::SERVER_READY | path::MODEL_READY => send(frames, &ReadyResponse { ready: true }),
        path::SERVER_METADATA => {
            send(frames, &ServerMetadata { name: "fake".into(), version: "0".into() });
        }
        path::MODEL_METADATA => {
            let model = ModelRequest::decode(message).unwrap();
            if model.name == "not_loaded" {
                status(frames, 5, "Request for unknown model: 'not_loaded' is not found");
                return;
            }
            send(frames, &metadata(&model.name));
        }
        path::MODEL_CONFIG => {
            let model = ModelRequest::decode(message).unwrap();
            let policy = TransactionPolicy { decoupled: !model.name.starts_with("unary") };
            let config =
                ModelConfig { model_transaction_policy: Some(policy), ..ModelConfig::default() };
            send(frames, &ModelConfigResponse { config: Some(config) });
        }
        path::MODEL_INFER => {
            let request = ModelInferRequest::decode(message).unwrap();
            match request.model_name.as_str() {
                "unary_unavailable" => return status(frames, 14, "no instance is ready"),
                "unary_unauthorized" => return status(frames, 16, "who are you"),
                "unary_limited" => return status(frames, 8, "come back later"),
                _ => send(frames, &tokens(&request.id, &[1, 2, 3], false)),
            }
        }
        other => return status(frames, 12, other),
    }
    status(frames, 0, "");
}

fn metadata(model: &str) -> ModelMetadata {
    let tensor = |(name, datatype): &(&str, &str)| TensorMetadata {
        name: (*name).into(),
        datatype: (*datatype).into(),
        shape: vec![-1, 1],
    };
    let ids = [("input_ids", "INT32"), ("request_output_len", "INT32")];
    let missing = [("input_ids", "INT32")];
    let inputs: &[_] = if model == "missing_tensor" { &missing } else { &ids };
    ModelMetadata {
        name: model.into(),
        inputs: inputs.iter().map(tensor).collect(),
        outputs: [("output_ids", "INT32"), ("sequence_length", "INT32")]
            .iter()
            .map(tensor)
            .collect(),
        ..ModelMetadata::default()
    }
}

/// Plays the model's part for every request of a stream.
async fn stream(mut body: Incoming, frames: Frames, cut: Arc<Notify>) {
    let mut buffer = BytesMut::new();
    let mut hold = None;
    while let Some(Ok(frame)) = body.frame().await {
        buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while buffer.len() >= 5 {
            let length = (&buffer[1..5]).get_u32() as usize;
            if buffer.len() < 5 + length {
                break;
            }
            let message = buffer.split_to(5 + length);
            let request = ModelInferRequest::decode(&message[5..]).unwrap();
            if !play(&request, &frames, &cut) {
                hold = Some(frames.clone());
            }
        }
    }
    if hold.is_some() {
        // Silent, and the stream stays open.
        std::future::pending::<()>().await;
    }
    status(&frames, 0, "");
}

/// Says what the model's name promises; `false` if the stream then stays open and silent.
fn play(request: &ModelInferRequest, frames: &Frames, cut: &Notify) -> bool {
    let id = request.id.as_str();
    let say = |response: ModelInferResponse| send(frames, &in_stream(response));
    match request.model_name.as_str() {
        "whole" => (0..3).for_each(|k| say(tokens(id, &[k], k == 2))),
        "several_per_response" => {
            say(tokens(id, &[1, 2], false));
            say(tokens(id, &[], false));
            say(tokens(id, &[3], true));
        }
        "empty_final" => {
            (0..3).for_each(|k| say(tokens(id, &[k], false)));
            say(only_final(id));
        }
        "final_after_half_close" => (0..3).for_each(|k| say(tokens(id, &[k], false))),
        "nothing" => say(only_final(id)),
        "no_final" => say(tokens(id, &[1], false)),
        "twice_final" => {
            say(tokens(id, &[1, 2, 3], true));
            say(only_final(id));
            say(tokens(id, &[4], true));
        }
        "unavailable" => status(frames, 14, "the queue is full"),
        "deadline" => {
            say(tokens(id, &[1], false));
            status(frames, 4, "took too long");
        }
        "error_midway" => {
            say(tokens(id, &[1], false));
            let response = Some(only_final(id));
            send(
                frames,
                &StreamResponse { error_message: "out of blocks".into(), infer_response: response },
            );
            return false;
        }
        "refused_without_id" => {
            send(
                frames,
                &StreamResponse { error_message: "unexpected input".into(), infer_response: None },
            );
            return false;
        }
        "cut_short_tensor" => {
            let mut response = tokens(id, &[1, 2], false);
            response.raw_output_contents[0] = Bytes::from_static(&[1, 0]);
            say(response);
            return false;
        }
        "garbage" => {
            let _ = frames.send(Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 2, 0xff, 0xff]))));
        }
        "reset" => {
            say(tokens(id, &[1], false));
            let _ = frames.send(Err(std::io::Error::other("reset")));
        }
        "connection_lost" => cut.notify_one(),
        "silent" => return false,
        "stalls" => {
            say(tokens(id, &[1], false));
            return false;
        }
        other => panic!("no fault is called {other}"),
    }
    true
}

fn in_stream(response: ModelInferResponse) -> StreamResponse {
    StreamResponse { error_message: String::new(), infer_response: Some(response) }
}

fn tokens(id: &str, ids: &[u32], is_final: bool) -> ModelInferResponse {
    let head = |name: &str, shape: Vec<i64>| OutputTensor {
        name: name.into(),
        datatype: "INT32".into(),
        shape,
    };
    let raw: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let length = (ids.len() as u32).to_le_bytes().to_vec();
    ModelInferResponse {
        id: id.into(),
        parameters: vec![ParameterEntry::new(FINAL_RESPONSE, Choice::Bool(is_final))],
        outputs: vec![
            head("output_ids", vec![1, 1, ids.len() as i64]),
            head("sequence_length", vec![1, 1]),
        ],
        raw_output_contents: vec![raw.into(), length.into()],
        ..ModelInferResponse::default()
    }
}

fn only_final(id: &str) -> ModelInferResponse {
    ModelInferResponse {
        outputs: Vec::new(),
        raw_output_contents: Vec::new(),
        ..tokens(id, &[], true)
    }
}

fn send(frames: &Frames, message: &impl Message) {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    message.encode(&mut bytes).unwrap();
    // The client may be gone.
    let _ = frames.send(Ok(Frame::data(bytes.into())));
}

fn status(frames: &Frames, code: u32, words: &str) {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    trailers.insert("grpc-message", HeaderValue::from_str(words).unwrap());
    let _ = frames.send(Ok(Frame::trailers(trailers)));
}
