//! Probe: one request before any load, so that what a server refuses stops the run with its remedy.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::network::refusal::failure_of;
use crate::network::thread;
use crate::request::{Failure, FailureKind};
use crate::targets::openai::request_body::Message;
use crate::targets::openai::transport::{Response, Route, Transport, Way};

/// How long the probe waits: a server that is slower refuses nothing yet.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the rest of an answer is read, so that the server is not interrupted in it.
const REST: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// Why the server would refuse every request like this one; `None` where it takes it, or does not say within the limit.
pub fn refusal(route: Arc<Route>, message: Message) -> Option<Failure> {
    let asked = thread::wait_for("bf-openai-probe", move || async move {
        tokio::time::timeout(LIMIT, ask(&route, &message)).await.ok().flatten()
    });
    asked.unwrap_or_else(|error| {
        Some(Failure::new(FailureKind::Connect, format!("no thread to ask on: {error}")))
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

async fn ask(route: &Arc<Route>, message: &Message) -> Option<Failure> {
    let mut response = match send(route, message).await {
        Ok(response) => response,
        Err(failure) => return Some(failure).filter(|it| is_lasting(it.kind)),
    };
    let body = tokio::time::timeout(REST, response.body.read_whole(MAX_ANSWER)).await;
    if response.status.is_success() {
        return None;
    }
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let failure = failure_of(response.status, &response.headers, &body);
    Some(failure).filter(|it| is_lasting(it.kind))
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
