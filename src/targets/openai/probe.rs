//! Probe: a request before any load, so that what a server refuses stops the run with its remedy, and what it can do is known.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::network::refusal::failure_of;
use crate::network::thread;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::request_body::Message;
use crate::targets::openai::response_reader::ResponseReader;
use crate::targets::openai::send_request::refuse_what_cannot_be_read;
use crate::targets::openai::transport::{Response, Route, Transport, Way};

/// How long the probe waits: a server that is slower refuses nothing yet.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the rest of an answer is read, so that the server is not interrupted in it.
const REST: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

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

/// Sends this and reads the answer.
pub fn answer(route: Arc<Route>, message: Message) -> Answer {
    let asked = thread::wait_for("bf-openai-probe", move || async move {
        tokio::time::timeout(LIMIT, ask(&route, &message)).await.unwrap_or(Answer::Unknown)
    });
    asked.unwrap_or_else(|error| {
        let message = format!("no thread to ask on: {error}");
        Answer::Refused(Failure::new(FailureKind::Connect, message))
    })
}

/// Whether a `GET` of this finds something.
pub fn exists(route: Arc<Route>, message: Message) -> bool {
    let asked = thread::wait_for("bf-openai-probe", move || async move {
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

async fn ask(route: &Arc<Route>, message: &Message) -> Answer {
    let mut response = match send(route, message).await {
        Ok(response) => response,
        Err(failure) => return refused(failure),
    };
    let body = tokio::time::timeout(REST, response.body.read_whole(MAX_ANSWER)).await;
    let body = body.ok().and_then(Result::ok);
    if !response.status.is_success() {
        return refused(failure_of(response.status, &response.headers, &body.unwrap_or_default()));
    }
    if let Err(failure) = refuse_what_cannot_be_read(&response.headers) {
        return Answer::Refused(failure);
    }
    body.map_or(Answer::Unknown, |body| Answer::Taken { running_usage: had_running_usage(&body) })
}

fn refused(failure: Failure) -> Answer {
    if is_lasting(failure.kind) { Answer::Refused(failure) } else { Answer::Failed(failure) }
}

fn had_running_usage(body: &[u8]) -> Option<bool> {
    let mut reader = ResponseReader::default();
    reader.feed(body).ok()?;
    reader.had_running_usage()
}

/// Whether a failure of this kind meets every request: what is busy now may not be later.
const fn is_lasting(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Connect
            | FailureKind::Tls
            | FailureKind::HttpClient
            | FailureKind::Unauthorized
            | FailureKind::NotFound
    )
}
