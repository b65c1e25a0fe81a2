//! Failures of answers that cannot be understood, in the server's own words as far as there are any.

use crate::request::{Failure, FailureKind};

/// Longest part of an answer that is shown.
pub const SHOWN: usize = 200;

/// The beginning of an answer.
pub fn shown(text: &[u8]) -> String {
    let text = text.trim_ascii();
    String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned()
}

/// A page for people came.
#[cold]
pub fn web_page() -> Failure {
    let message = "the answer is a web page: does the URL name the API of the server?";
    Failure::new(FailureKind::Malformed, message)
}

/// The finish reason stands for a failure.
#[cold]
pub fn given_up(json: &[u8]) -> Failure {
    let message = format!("the finish_reason says that the server gave up: {}", shown(json));
    Failure::new(FailureKind::Engine, message)
}

/// What came is no JSON object, from this byte on.
#[cold]
pub fn not_json(text: &[u8], at: usize) -> Failure {
    let follows = at > 0 && text[at..].trim_ascii_start().starts_with(b"{");
    let what = if follows {
        "several JSON objects in a row, in place of one or of server-sent events (`data: …`)"
    } else {
        "no JSON object"
    };
    Failure::new(FailureKind::Malformed, format!("{what} (byte {at}): {}", shown(text)))
}

/// Fewer vectors or scores than texts.
#[cold]
pub fn short_of(items: u32, expected: u32) -> Failure {
    let message = format!("the answer holds {items} vectors or scores for {expected} texts");
    let kind = if items == 0 { FailureKind::Empty } else { FailureKind::Malformed };
    Failure::new(kind, message)
}
