//! HOT PATH. Sending of one request and reading of its response, from connection to end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{MonoNs, now};
use crate::network::refusal::failure_of;
use crate::network::stamp::ReadStamp;
use crate::record::oddity::Oddity;
use crate::record::request_record::{ConnectionUse, StampSource};
use crate::request::Failure;
use crate::targets::bad_answer::Api;
use crate::targets::openai::client_thread::ClientThread;
use crate::targets::openai::request_body::Outgoing;
use crate::targets::openai::response_progress::{Closing, Output};
use crate::targets::openai::response_reader::{ResponseReader, StreamEnd};
use crate::targets::openai::transport::{Response, ResponseBody, Step, Way};

/// How long the end of a stream may take after `[DONE]` without costing the connection a place in the pool.
const MOMENT: Duration = Duration::from_millis(1);
/// How long it may take without costing the connection.
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
///
/// A request is over at `[DONE]`: what a server takes to end the body after that holds nobody up.
pub async fn send_request(
    client: Rc<ClientThread>,
    outgoing: Outgoing,
    progress: Rc<RequestProgress>,
) {
    let mut reader = client.take_reader();
    let mut response = None;
    let outcome = attempt(&client, &outgoing, &progress, &mut reader, &mut response).await;
    let is_done = outcome.is_ok() && reader.is_done();
    let mut open = None;
    if let Some(mut response) = response {
        if is_done && !ends_soon(&client, &mut response.body).await {
            open = Some(response.body);
        } else {
            client.transport().give_back(response.body);
        }
    }
    client.complete(&outgoing, outcome, &reader);
    client.give_back_reader(reader);
    if let Some(mut body) = open
        && let Ok(true) = tokio::time::timeout(GRACE, ends(&mut body)).await
    {
        client.transport().give_back(body);
    }
}

/// Whether the body ends right after `[DONE]`, as most do: its connection is then free before the next request. A server
/// that was seen to close late is not waited for again until it closes in time.
async fn ends_soon(client: &ClientThread, body: &mut ResponseBody) -> bool {
    if body.has_ended() {
        return true;
    }
    let wait = if client.closes_late().get() { Duration::ZERO } else { MOMENT };
    let ended = tokio::time::timeout(wait, ends(body)).await;
    client.closes_late().set(ended.is_err());
    // A connection that broke meanwhile is not kept: whoever gives it back sees that.
    ended.is_ok()
}

/// Reads to the end of a body that holds nothing more; whether it ended properly.
async fn ends(body: &mut ResponseBody) -> bool {
    loop {
        match body.step(false, |_| Ok(())).await {
            Ok(Step::Open) => {}
            Ok(Step::Done) => return true,
            Ok(Step::Broken(_)) | Err(_) => return false,
        }
    }
}

async fn attempt(
    client: &ClientThread,
    outgoing: &Outgoing,
    progress: &RequestProgress,
    reader: &mut ResponseReader,
    answered: &mut Option<Response>,
) -> Result<Completed, Failure> {
    let leaves = || {
        if progress.phase().0 == Phase::Connecting {
            let at = now();
            client.note_sent(outgoing.id, at);
            progress.enter(Phase::Waiting, at);
        }
    };
    let way = Way { leaves: &leaves, cost: &progress.cost };
    let response = client.transport().ask(&outgoing.message, &way).await?;
    read_response(client, outgoing, progress, reader, answered.insert(response)).await
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
    Api::OpenAi.refuse_what_cannot_be_read(&response.headers)?;
    // What comes is known by its first byte: some servers stream unasked, or don't stream though asked.
    if outgoing.expects.is_none() {
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
    let mut latest = None;
    let end = loop {
        let step = body.step(is_first, |part| reader.feed(part)).await;
        is_first = false;
        let stamp = body.stamp();
        if let Some((output, then)) = reader.take_belated().zip(latest) {
            client.deliver(outgoing.id, output, then);
        }
        if let Some(output) =
            reader.take_output(client.tokenizer()).filter(|output| output.tokens > 0)
        {
            progress.enter(Phase::Answering, stamp.at);
            all_by_kernel &= stamp.source == StampSource::Kernel;
            client.deliver(outgoing.id, output, stamp);
            latest = Some(stamp);
            body.read_freely();
        }
        if reader.is_document() {
            body.read_freely();
        }
        match step? {
            Step::Open if reader.is_done() => break StreamEnd::Clean,
            Step::Open => {}
            Step::Done => break StreamEnd::Clean,
            Step::Broken(message) => break StreamEnd::Broken(message),
        }
    };
    if reader.is_document() {
        let read = reader.document(end, client.tokenizer())?;
        return Ok(came_whole(client, outgoing, read, body.stamp()));
    }
    client.note_stamps(outgoing.id, all_by_kernel);
    let closing = reader.close(end, outgoing.max_tokens, client.tokenizer())?;
    if !outgoing.streaming {
        client.note(outgoing.id, Oddity::StreamedUnasked);
    }
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
    let read = reader.whole(&bytes, outgoing.expects, client.tokenizer())?;
    Ok(came_whole(client, outgoing, read, stamp))
}

fn came_whole(
    client: &ClientThread,
    outgoing: &Outgoing,
    (output, closing): (Output, Closing),
    stamp: ReadStamp,
) -> Completed {
    client.note_stamps(outgoing.id, stamp.source == StampSource::Kernel);
    // An embedding has no tokens that could come one by one.
    let has_text = output.tokens > 0 || closing.oddity == Some(Oddity::Uncounted);
    if outgoing.streaming && has_text {
        client.note(outgoing.id, Oddity::NotStreamed);
    }
    client.deliver(outgoing.id, output, stamp);
    Completed { at: stamp.at, closing }
}
