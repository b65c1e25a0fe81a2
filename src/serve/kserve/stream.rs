//! Bidirectional gRPC stream: one task per request, all cancelled when the stream ends.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use hyper::body::Frame;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_stream::Stream;

use crate::serve::kserve::framing::{Messages, Status, last_frame, respond_frames};
use crate::serve::kserve::response::{put_message, refused};
use crate::serve::kserve::{Begun, begin, whole};
use crate::serve::service::Service;
use crate::targets::triton::kserve::{ModelInferRequest, StreamResponse};
use crate::targets::triton::tensor_roles::Role;

type Frames = UnboundedSender<Frame<Bytes>>;

/// Answers a stream. When the client drops it, everything that was asked over it is cancelled.
pub fn answer(service: Arc<Service>, body: Body) -> Response {
    let (sender, frames) = unbounded_channel();
    let task = tokio::spawn(listen(service, Messages::new(body), sender));
    respond_frames(Held { frames, task })
}

/// The frames of a stream, and the task that makes them: dropping one ends the other.
struct Held {
    frames: UnboundedReceiver<Frame<Bytes>>,
    task: JoinHandle<()>,
}

impl Stream for Held {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes requests until the client closes its side, then waits for their responses.
async fn listen(service: Arc<Service>, mut messages: Messages, frames: Frames) {
    let mut tasks = JoinSet::new();
    // By the client's own ids, for `stop`.
    let mut by_id: HashMap<String, AbortHandle> = HashMap::new();
    let status = loop {
        match messages.next::<ModelInferRequest>().await {
            Ok(Some(request)) if is_stop(&request) => {
                if let Some(running) = by_id.remove(&request.id) {
                    running.abort();
                    send(&frames, &stopped(&request));
                }
            }
            Ok(Some(request)) => {
                by_id.retain(|_, running| !running.is_finished());
                let id = request.id.clone();
                let task = reply_to(Arc::clone(&service), request, frames.clone());
                by_id.insert(id, tasks.spawn(task));
            }
            Ok(None) => break Status::OK,
            Err(status) => break status,
        }
    };
    if status == Status::OK {
        while tasks.join_next().await.is_some() {}
    }
    // The client may be gone.
    let _gone = frames.send(last_frame(&status));
}

/// `stop` with the id of a running request ends it, as in TensorRT-LLM's backend.
fn is_stop(request: &ModelInferRequest) -> bool {
    let Some(model) = crate::serve::kserve::Model::named(&request.model_name) else { return false };
    crate::serve::kserve::Tensors::check(model, request)
        .is_ok_and(|tensors| tensors.flag(Role::Stop))
}

fn stopped(request: &ModelInferRequest) -> StreamResponse {
    // A cancelled task is no error.
    refused(&request.model_name, &request.id, "")
}

async fn reply_to(service: Arc<Service>, request: ModelInferRequest, frames: Frames) {
    let fail = |message: &str| send(&frames, &refused(&request.model_name, &request.id, message));
    match begin(&service, &request, true).await {
        Ok(begun) if begun.streaming => flow(begun, &frames).await,
        Ok(begun) => match whole(begun).await {
            Ok(response) => {
                let infer_response = Some(response);
                send(&frames, &StreamResponse { error_message: String::new(), infer_response });
            }
            Err(refusal) => fail(&refusal.to_string()),
        },
        Err(status) => fail(status.message()),
    }
}

async fn flow(begun: Begun, frames: &Frames) {
    let Begun { mut answer, mut reply, .. } = begun;
    let mut pieces = Vec::new();
    loop {
        answer.next_few(&mut pieces).await;
        let mut out = BytesMut::with_capacity(256);
        let is_over = reply.stream(pieces.drain(..), &mut out);
        if !out.is_empty() && frames.send(Frame::data(out.freeze())).is_err() {
            return;
        }
        if is_over {
            return;
        }
    }
}

fn send(frames: &Frames, response: &StreamResponse) {
    let mut out = BytesMut::new();
    put_message(&mut out, response);
    // The client may be gone.
    let _gone = frames.send(Frame::data(out.freeze()));
}
