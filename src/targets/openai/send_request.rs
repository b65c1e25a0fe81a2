//! HOT PATH. Sending of one request and reading of its response, from connection to end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, header};

use crate::clock::{MonoNs, now};
use crate::network::refusal::failure_of;
use crate::record::request_record::{ConnectionUse, StampSource};
use crate::request::{Failure, FailureKind};
use crate::targets::openai::client_thread::ClientThread;
use crate::targets::openai::request_body::Outgoing;
use crate::targets::openai::response_reader::{Closing, ResponseReader, StreamEnd};
use crate::targets::openai::transport::{Response, ResponseBody, Step, Way};

/// How long the end of a stream may take after `[DONE]`.
const GRACE: Duration = Duration::from_secs(1);
/// Longest error body that is read.
const MAX_REFUSAL: usize = 256 << 10;
/// Longest response without streaming: room for thousands of embeddings.
const MAX_WHOLE: usize = 256 << 20;

/// Phase of a request; each has its own timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Connecting, which has a timeout of its own.
    Connecting,
    /// Sent; no token yet. A server may send the head of its response while the request waits in its queue.
    Waiting,
    /// The first token has come.
    Answering,
}

/// Phase of a request and its last activity, for the timeout check.
#[derive(Debug)]
pub struct RequestProgress {
    /// When it was submitted.
    pub begun: MonoNs,
    /// What its connection has cost so far.
    pub cost: Cell<ConnectionUse>,
    phase: Cell<Phase>,
    since: Cell<MonoNs>,
}

impl RequestProgress {
    /// A request that was submitted at `begun`.
    pub fn new(begun: MonoNs) -> Self {
        Self {
            begun,
            cost: Cell::default(),
            phase: Cell::new(Phase::Connecting),
            since: Cell::new(begun),
        }
    }

    fn enter(&self, phase: Phase, at: MonoNs) {
        self.phase.set(phase);
        self.since.set(at);
    }

    /// The phase, and when something last happened in it.
    pub fn phase(&self) -> (Phase, MonoNs) {
        (self.phase.get(), self.since.get())
    }
}

/// A request that was completed.
#[derive(Debug, Clone, Copy)]
pub struct Completed {
    /// When its end arrived.
    pub at: MonoNs,
    /// Its counts and finish reason.
    pub closing: Closing,
}

/// Sends a request, reads its response, and reports its ending unless a cancel or timeout has ended it.
pub async fn send_request(
    client: Rc<ClientThread>,
    outgoing: Outgoing,
    progress: Rc<RequestProgress>,
) {
    let mut reader = client.take_reader();
    let outcome = attempt(&client, &outgoing, &progress, &mut reader).await;
    client.complete(&outgoing, outcome, &reader);
    client.give_back_reader(reader);
}

async fn attempt(
    client: &ClientThread,
    outgoing: &Outgoing,
    progress: &RequestProgress,
    reader: &mut ResponseReader,
) -> Result<Completed, Failure> {
    let leaves = || {
        if progress.phase().0 == Phase::Connecting {
            let at = now();
            client.note_sent(outgoing.id, at);
            progress.enter(Phase::Waiting, at);
        }
    };
    let way = Way { leaves: &leaves, cost: &progress.cost };
    let mut response = client.transport().ask(&outgoing.message, &way).await?;
    let outcome = read_response(client, outgoing, progress, reader, &mut response).await;
    client.transport().give_back(response.body);
    outcome
}

async fn read_response(
    client: &ClientThread,
    outgoing: &Outgoing,
    progress: &RequestProgress,
    reader: &mut ResponseReader,
    response: &mut Response,
) -> Result<Completed, Failure> {
    if !response.status.is_success() {
        let body = response.body.read_whole(MAX_REFUSAL).await.unwrap_or_default();
        return Err(failure_of(response.status, &response.headers, &body));
    }
    refuse_compression(&response.headers)?;
    if is_event_stream(&response.headers, outgoing.streaming)? {
        stream(client, outgoing, progress, reader, &mut response.body).await
    } else {
        whole(client, outgoing, reader, &mut response.body).await
    }
}

async fn stream(
    client: &ClientThread,
    outgoing: &Outgoing,
    progress: &RequestProgress,
    reader: &mut ResponseReader,
    body: &mut ResponseBody,
) -> Result<Completed, Failure> {
    let mut is_first = true;
    let mut all_by_kernel = true;
    let end = loop {
        let is_done = reader.is_done();
        let reading = body.step(is_first, |part| reader.feed(part));
        is_first = false;
        let step = if is_done {
            let Ok(step) = tokio::time::timeout(GRACE, reading).await else {
                break StreamEnd::Clean;
            };
            step
        } else {
            reading.await
        };
        let stamp = body.stamp();
        if let Some(output) = reader.take_output().filter(|output| output.tokens > 0) {
            progress.enter(Phase::Answering, stamp.at);
            all_by_kernel &= stamp.source == StampSource::Kernel;
            client.deliver(outgoing.id, output, stamp);
            body.read_freely();
        }
        match step? {
            Step::Open => {}
            Step::Done => break StreamEnd::Clean,
            Step::Broken(message) => break StreamEnd::Broken(message),
        }
    };
    client.note_stamps(outgoing.id, all_by_kernel);
    let closing = reader.close(end, outgoing.max_tokens, client.tokenizer())?;
    Ok(Completed { at: body.stamp().at, closing })
}

/// Reads a response without streaming: one delivery, at the arrival of its last byte.
async fn whole(
    client: &ClientThread,
    outgoing: &Outgoing,
    reader: &mut ResponseReader,
    body: &mut ResponseBody,
) -> Result<Completed, Failure> {
    let bytes = body.read_whole(MAX_WHOLE).await?;
    let stamp = body.stamp();
    let (output, closing) = reader.whole(&bytes, client.tokenizer())?;
    client.note_stamps(outgoing.id, stamp.source == StampSource::Kernel);
    client.deliver(outgoing.id, output, stamp);
    Ok(Completed { at: stamp.at, closing })
}

fn refuse_compression(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    if coding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let coding = String::from_utf8_lossy(coding.as_bytes());
    let message = format!(
        "the server compressed its answer ({coding}) although `accept-encoding: identity` was sent: \
         compression holds tokens back, switch it off in the server or the proxy before it"
    );
    Err(Failure::new(FailureKind::Malformed, message))
}

/// Whether the body is a stream of events. Without a content type it is what the request asked for.
fn is_event_stream(headers: &HeaderMap, asked_for: bool) -> Result<bool, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    match kind.as_deref() {
        Some(kind) if kind.starts_with(b"text/event-stream") => Ok(true),
        Some(kind) if kind.starts_with(b"application/json") => Ok(false),
        Some(kind) if kind.starts_with(b"text/html") => {
            let message = "the answer is a web page: does the URL name the API of the server?";
            Err(Failure::new(FailureKind::Malformed, message))
        }
        _ => Ok(asked_for),
    }
}
