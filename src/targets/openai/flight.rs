//! HOT PATH. Sending of one request and reading of its response, from connection to end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, header};

use crate::clock::{MonoNs, now};
use crate::network::refusal::failure_of;
use crate::record::request_record::StampSource;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::answer::{Answer, Closing, StreamEnd};
use crate::targets::openai::lane::Lane;
use crate::targets::openai::request_body::Outgoing;
use crate::targets::openai::transport::{Response, ResponseBody, Step};

/// How long the end of a stream may stay out after `[DONE]`.
const GRACE: Duration = Duration::from_secs(1);
/// Longest body of a refusal that is read.
const MAX_REFUSAL: usize = 256 << 10;
/// Longest answer that comes at once: room for thousands of embeddings.
const MAX_WHOLE: usize = 256 << 20;

/// Which timeout watches a request now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A connection is made, which has a timeout of its own.
    Connecting,
    /// Sent; no head of an answer yet.
    Waiting,
    /// The answer has begun.
    Answering,
}

/// Where a request is, for whoever watches the time.
#[derive(Debug)]
pub struct Course {
    /// When it was handed over.
    pub begun: MonoNs,
    phase: Cell<Phase>,
    since: Cell<MonoNs>,
}

impl Course {
    /// Of a request that was handed over at `begun`.
    pub fn new(begun: MonoNs) -> Self {
        Self { begun, phase: Cell::new(Phase::Connecting), since: Cell::new(begun) }
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

/// A request that ended well.
#[derive(Debug, Clone, Copy)]
pub struct Landing {
    /// When its end had arrived.
    pub at: MonoNs,
    /// What is known of it.
    pub closing: Closing,
}

/// Carries one request to its end. Where it was ended from outside meanwhile, nothing of it is recorded.
pub async fn fly(lane: Rc<Lane>, outgoing: Outgoing, course: Rc<Course>) {
    let mut answer = lane.take_answer();
    let landed = attempt(&lane, &outgoing, &course, &mut answer).await;
    lane.land(&outgoing, landed, &answer);
    lane.give_back_answer(answer);
}

async fn attempt(
    lane: &Lane,
    outgoing: &Outgoing,
    course: &Course,
    answer: &mut Answer,
) -> Result<Landing, Failure> {
    let leaves = || {
        if course.phase().0 == Phase::Connecting {
            let at = now();
            lane.note_sent(outgoing.id, at);
            course.enter(Phase::Waiting, at);
        }
    };
    let mut response = lane.transport().ask(&outgoing.message, leaves).await?;
    course.enter(Phase::Answering, response.body.stamp().at);
    let landed = read_answer(lane, outgoing, course, answer, &mut response).await;
    lane.transport().give_back(response.body);
    landed
}

async fn read_answer(
    lane: &Lane,
    outgoing: &Outgoing,
    course: &Course,
    answer: &mut Answer,
    response: &mut Response,
) -> Result<Landing, Failure> {
    if !response.status.is_success() {
        let words = response.body.read_whole(MAX_REFUSAL).await.unwrap_or_default();
        return Err(failure_of(response.status, &response.headers, &words));
    }
    refuse_compression(&response.headers)?;
    if is_event_stream(&response.headers, outgoing.streaming)? {
        stream(lane, outgoing, course, answer, &mut response.body).await
    } else {
        whole(lane, outgoing, answer, &mut response.body).await
    }
}

async fn stream(
    lane: &Lane,
    outgoing: &Outgoing,
    course: &Course,
    answer: &mut Answer,
    body: &mut ResponseBody,
) -> Result<Landing, Failure> {
    let mut is_first = true;
    let mut all_by_kernel = true;
    let end = loop {
        let is_done = answer.is_done();
        let reading = body.step(is_first, |part| answer.feed(part));
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
        if let Some(output) = answer.take_output().filter(|output| output.tokens > 0) {
            course.enter(Phase::Answering, stamp.at);
            all_by_kernel &= stamp.source == StampSource::Kernel;
            lane.deliver(outgoing.id, output, stamp);
            body.read_freely();
        }
        match step? {
            Step::Open => {}
            Step::Done => break StreamEnd::Clean,
            Step::Broken(words) => break StreamEnd::Broken(words),
        }
    };
    lane.note_stamps(outgoing.id, all_by_kernel);
    let closing = answer.close(end, outgoing.max_tokens, lane.tokenizer())?;
    Ok(Landing { at: body.stamp().at, closing })
}

/// An answer that comes at once is one delivery, at the arrival of its last byte.
async fn whole(
    lane: &Lane,
    outgoing: &Outgoing,
    answer: &mut Answer,
    body: &mut ResponseBody,
) -> Result<Landing, Failure> {
    let bytes = body.read_whole(MAX_WHOLE).await?;
    let stamp = body.stamp();
    let (output, closing) = answer.whole(&bytes, lane.tokenizer())?;
    lane.note_stamps(outgoing.id, stamp.source == StampSource::Kernel);
    lane.deliver(outgoing.id, output, stamp);
    Ok(Landing { at: stamp.at, closing })
}

fn refuse_compression(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    if coding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let coding = String::from_utf8_lossy(coding.as_bytes());
    let words = format!(
        "the server compressed its answer ({coding}) although `accept-encoding: identity` was sent: \
         compression holds tokens back, switch it off in the server or the proxy before it"
    );
    Err(Failure::new(FailureKind::Malformed, words))
}

/// Whether the body is a stream of events. Where the server does not say, it is what was asked for.
fn is_event_stream(headers: &HeaderMap, asked_for: bool) -> Result<bool, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase());
    match kind.as_deref() {
        Some(kind) if kind.starts_with(b"text/event-stream") => Ok(true),
        Some(kind) if kind.starts_with(b"application/json") => Ok(false),
        Some(kind) if kind.starts_with(b"text/html") => {
            let words = "the answer is a web page: does the URL name the API of the server?";
            Err(Failure::new(FailureKind::Malformed, words))
        }
        _ => Ok(asked_for),
    }
}
