//! Failures of answers that are none of an OpenAI API.

use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::shown;

/// Objects came, of another API.
pub const NOT_OPENAI: &str =
    "the answer has no `choices`, which an OpenAI API answers with (its URL often ends in /v1)";
/// An answer without output.
pub const NOTHING_CAME: &str = "the answer ended and held no token";

/// The finish reason stands for a failure.
#[cold]
pub fn given_up(json: &[u8]) -> Failure {
    let message = format!("the finish_reason says that the server gave up: {}", shown(json));
    Failure::new(FailureKind::Engine, message)
}

/// Fewer vectors or scores than texts.
#[cold]
pub fn short_of(items: u32, expected: u32) -> Failure {
    let message = format!("the answer holds {items} vectors or scores for {expected} texts");
    let kind = if items == 0 { FailureKind::Empty } else { FailureKind::Malformed };
    Failure::new(kind, message)
}
