//! Probe: a request before any load, so that what a server refuses stops the run with its remedy, and what it can do is known.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::network::refusal::failure_of;
use crate::network::thread;
use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::{Api, is_lasting};
use crate::targets::openai::request_body::Message;
use crate::targets::openai::response_reader::{ResponseReader, StreamEnd};
use crate::targets::openai::transport::{Response, ResponseBody, Route, Step, Transport, Way};
use crate::threads::Own;

/// How long the probe waits: a server that is slower refuses nothing yet.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the rest of an answer is read, so that the server is not interrupted in it.
const REST: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// A request, and what an answer to it holds.
#[derive(Debug, Clone)]
pub struct Question {
    /// The request.
    pub message: Message,
    /// Tokens asked for.
    pub max_tokens: u32,
    /// Vectors or scores that an answer must hold, where it holds any.
    pub expects: Option<u32>,
}

/// What became of a request that stands for all like it.
#[derive(Debug)]
pub enum Answer {
    /// The server would refuse each of them.
    Refused(Failure),
    /// It takes them.
    Taken {
        /// Whether usage ran along with the chunks of its answer; `None` where that had no output.
        running_usage: Option<bool>,
    },
    /// It failed this one, and may take the next.
    Failed(Failure),
    /// It did not say within the limit.
    Unknown,
}

/// Sends this and reads the answer. What is no answer may be a slip of something on the way: it is asked once more.
pub fn answer(route: &Arc<Route>, question: &Question) -> Answer {
    let once = || {
        let (route, question) = (Arc::clone(route), question.clone());
        let asked = thread::wait_for(Own::OpenaiProbe.builder(), move || async move {
            tokio::time::timeout(LIMIT, ask(&route, &question)).await.unwrap_or(Answer::Unknown)
        });
        asked.unwrap_or_else(|error| {
            let message = format!("no thread to ask on: {error}");
            Answer::Refused(Failure::new(FailureKind::Connect, message))
        })
    };
    match once() {
        Answer::Refused(failure) if is_of_content(failure.kind) => once(),
        answer => answer,
    }
}

/// Whether a `GET` of this finds something.
pub fn exists(route: Arc<Route>, message: Message) -> bool {
    let asked = thread::wait_for(Own::OpenaiProbe.builder(), move || async move {
        let asking = send(&route, &message);
        let answer = tokio::time::timeout(LIMIT, asking).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|response| response.status.is_success()))
    });
    asked.unwrap_or(false)
}

async fn send(route: &Arc<Route>, message: &Message) -> Result<Response, Failure> {
    let (cost, leaves) = (Cell::default(), || ());
    let way = Way { leaves: &leaves, cost: &cost };
    Transport::new(Arc::clone(route)).ask(message, &way).await
}

async fn ask(route: &Arc<Route>, question: &Question) -> Answer {
    let mut response = match send(route, &question.message).await {
        Ok(response) => response,
        Err(failure) => return refused(failure),
    };
    if !response.status.is_success() {
        let body = tokio::time::timeout(REST, response.body.read_whole(MAX_ANSWER)).await;
        let words = body.ok().and_then(Result::ok).unwrap_or_default();
        return refused(failure_of(response.status, &response.headers, &words));
    }
    if let Err(failure) = Api::OpenAi.refuse_what_cannot_be_read(&response.headers) {
        return Answer::Refused(failure);
    }
    let mut reader = ResponseReader::default();
    let reading = read(&mut response.body, question, &mut reader);
    let came_whole = match tokio::time::timeout(REST, reading).await {
        Ok(Ok(came_whole)) => came_whole,
        Ok(Err(failure)) => return judged(failure, &reader),
        Err(_) => false,
    };
    match reader.is_one_so_far() {
        Err(failure) => judged(failure, &reader),
        Ok(()) if came_whole => taken(&reader),
        Ok(()) => Answer::Unknown,
    }
}

/// Reads an answer as the load would; whether it came whole.
async fn read(
    body: &mut ResponseBody,
    question: &Question,
    reader: &mut ResponseReader,
) -> Result<bool, Failure> {
    body.read_freely();
    let is_whole = question.expects.is_some();
    let (mut whole, mut size, mut is_first) = (Vec::new(), 0, true);
    loop {
        let step = body.step(is_first, |part| {
            size += part.len();
            if is_whole {
                whole.extend_from_slice(part);
                return Ok(());
            }
            reader.feed(part)
        });
        is_first = false;
        match step.await? {
            Step::Open if size > MAX_ANSWER => return Ok(false),
            Step::Open if !reader.is_done() => {}
            Step::Broken(_) => return Ok(false),
            Step::Open | Step::Done => break,
        }
    }
    if is_whole {
        reader.whole(&whole, question.expects, None)?;
    } else if reader.is_document() {
        reader.document(StreamEnd::Clean, None)?;
    } else {
        reader.close(StreamEnd::Clean, question.max_tokens, None)?;
    }
    Ok(true)
}

/// A count in a document says nothing of a stream.
fn taken(reader: &ResponseReader) -> Answer {
    let running_usage = reader.had_running_usage().filter(|_| !reader.is_document());
    Answer::Taken { running_usage }
}

/// What a failure of this answer says of all like it.
fn judged(failure: Failure, reader: &ResponseReader) -> Answer {
    match failure.kind {
        FailureKind::Malformed => Answer::Refused(failure),
        FailureKind::Empty if reader.is_no_answer() => Answer::Refused(failure),
        // It was cut off, or held no token: a longer one may be whole.
        FailureKind::Empty | FailureKind::Truncated => taken(reader),
        _ => Answer::Failed(failure),
    }
}

fn refused(failure: Failure) -> Answer {
    if is_lasting(failure.kind) { Answer::Refused(failure) } else { Answer::Failed(failure) }
}

/// Whether what came was no answer, and not one that was refused.
const fn is_of_content(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Malformed | FailureKind::Empty)
}
