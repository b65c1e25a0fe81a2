//! Object store that speaks as much of S3 as an upload needs: objects, parts, and faults on request.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// One request, as it came and as it was answered.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub query: String,
    pub status: u16,
    authorization: String,
    is_hash_right: bool,
}

impl Asked {
    /// Whether it carries a signature of these credentials for S3, and the right hash of its body.
    pub fn is_signed_by(&self, key: &str, region: &str) -> bool {
        let begin = format!("AWS4-HMAC-SHA256 Credential={key}/");
        let scope = format!("/{region}/s3/aws4_request");
        let has = |part: &str| self.authorization.contains(part);
        has(&begin)
            && has(&scope)
            && has("SignedHeaders=")
            && has("Signature=")
            && self.is_hash_right
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Status(u16),
    Never,
    HangUp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Part(usize),
    PartsFrom(usize),
    Name(String),
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    at: At,
    answer: Answer,
    left: usize,
}

impl Fault {
    /// A part is answered so.
    pub fn part(number: usize, status: u16) -> Self {
        Self { at: At::Part(number), answer: Answer::Status(status), left: usize::MAX }
    }

    /// Objects with this in their names are.
    pub fn name(part_of_name: &str, status: u16) -> Self {
        let at = At::Name(part_of_name.to_owned());
        Self { at, answer: Answer::Status(status), left: usize::MAX }
    }

    /// Parts from this one on are never answered.
    pub fn hold_parts_from(number: usize) -> Self {
        Self { at: At::PartsFrom(number), answer: Answer::Never, left: usize::MAX }
    }

    /// The connection ends in place of an answer, once.
    pub fn hang_up_at_part(number: usize) -> Self {
        Self { at: At::Part(number), answer: Answer::HangUp, left: 1 }
    }

    /// So often and then no more.
    pub fn times(self, left: usize) -> Self {
        Self { left, ..self }
    }
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    parts: BTreeMap<(String, usize), Bytes>,
    taken: Vec<usize>,
    /// How often it was mended: what was still on its way from a program before that is not taken.
    mended: usize,
    asked: Vec<Asked>,
    faults: Vec<Fault>,
}

/// Answers until it is dropped.
pub struct ObjectServer {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    _over: oneshot::Sender<()>,
}

impl ObjectServer {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::<Mutex<State>>::default();
        let (over, is_over) = oneshot::channel();
        let shown = Arc::clone(&state);
        std::thread::spawn(move || runtime.block_on(answer_until(is_over, listener, shown)));
        Self { state, address, _over: over }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fail(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    pub fn mend(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.mended += 1;
    }

    /// `bucket/key`.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().objects.get(key).map(|bytes| bytes.to_vec())
    }

    pub fn has(&self, key: &str) -> bool {
        self.lock().objects.contains_key(key)
    }

    pub fn objects(&self) -> usize {
        self.lock().objects.len()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// Numbers of the parts that were taken, in their order.
    pub fn taken_parts(&self) -> Vec<usize> {
        let mut taken = self.lock().taken.clone();
        taken.sort_unstable();
        taken
    }
}

async fn answer_until(
    mut over: oneshot::Receiver<()>,
    listener: TcpListener,
    state: Arc<Mutex<State>>,
) {
    loop {
        tokio::select! {
            _ = &mut over => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let state = Arc::clone(&state);
                let mended = state.lock().unwrap_or_else(PoisonError::into_inner).mended;
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, &state, mended));
                    let _hung_up = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("hang up")]
struct HangUp;

async fn answer(
    request: Request<Incoming>,
    state: &Mutex<State>,
    mended: usize,
) -> Result<Response<Full<Bytes>>, HangUp> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Err(HangUp) };
    let body = body.to_bytes();
    let header = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let hash = Sha256::digest(&body).iter().fold(String::new(), |mut hash, byte| {
        let _infallible = write!(hash, "{byte:02x}");
        hash
    });
    let path = head.uri.path().trim_start_matches('/').to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let part = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("partNumber="))
        .and_then(|number| number.parse::<usize>().ok());
    let mut asked = Asked {
        method: head.method.to_string(),
        path: path.clone(),
        query: query.clone(),
        status: 200,
        authorization: header("authorization"),
        is_hash_right: header("x-amz-content-sha256") == hash,
    };
    let fault = take_fault(state, &path, part);
    match fault {
        Some(Answer::Never) => std::future::pending::<()>().await,
        Some(Answer::HangUp) => {
            asked.status = 0;
            note(state, asked);
            return Err(HangUp);
        }
        Some(Answer::Status(status)) => {
            asked.status = status;
            note(state, asked);
            return Ok(response(status, "", "<Error><Code>Refused</Code></Error>".to_owned()));
        }
        None => {}
    }
    let method = head.method.as_str().to_owned();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if state.mended != mended {
        return Err(HangUp);
    }
    let answered = match (method.as_str(), part) {
        ("PUT", Some(part)) => {
            state.parts.insert((path, part), body);
            state.taken.push(part);
            response(200, &format!("part-{part}"), String::new())
        }
        ("PUT", None) => {
            state.objects.insert(path, body);
            response(200, "whole", String::new())
        }
        ("POST", _) if query.contains("uploadId=") => finish(&mut state, path, &body),
        ("POST", _) => response(
            200,
            "",
            format!(
                "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{path}</Key><UploadId>up</UploadId></InitiateMultipartUploadResult>"
            ),
        ),
        ("DELETE", _) => {
            state.objects.remove(&path);
            response(204, "", String::new())
        }
        _ => response(405, "", String::new()),
    };
    asked.status = if method == "DELETE" { 200 } else { answered.status().as_u16() };
    state.asked.push(asked);
    Ok(answered)
}

fn note(state: &Mutex<State>, asked: Asked) {
    state.lock().unwrap_or_else(PoisonError::into_inner).asked.push(asked);
}

/// All parts that are named, in the order of their numbers.
fn finish(state: &mut State, path: String, body: &Bytes) -> Response<Full<Bytes>> {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut whole = Vec::new();
    for (at, named) in text.split("<Part>").skip(1).enumerate() {
        let number = format!("<PartNumber>{}</PartNumber>", at + 1);
        let tag = format!("part-{}", at + 1);
        let right = named.contains(&number) && named.contains(&tag);
        match state.parts.get(&(path.clone(), at + 1)) {
            Some(part) if right => whole.extend_from_slice(part),
            _ => return response(400, "", "<Error><Code>InvalidPart</Code></Error>".to_owned()),
        }
    }
    state.objects.insert(path, Bytes::from(whole));
    let text = "<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>";
    response(200, "", text.to_owned())
}

fn take_fault(state: &Mutex<State>, path: &str, part: Option<usize>) -> Option<Answer> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let fault = state.faults.iter_mut().find(|fault| {
        let is_meant = match &fault.at {
            At::Part(number) => part == Some(*number),
            At::PartsFrom(number) => part.is_some_and(|part| part >= *number),
            At::Name(name) => path.contains(name.as_str()),
        };
        is_meant && fault.left > 0
    })?;
    fault.left -= 1;
    Some(fault.answer)
}

fn response(status: u16, tag: &str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    if !tag.is_empty() {
        response = response.header("etag", format!("\"{tag}\""));
    }
    response.body(Full::new(Bytes::from(text))).expect("a response")
}
