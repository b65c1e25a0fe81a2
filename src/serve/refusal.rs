//! Reasons why a request gets no output, independent of the protocol.

use crate::request::{Failure, FailureKind};
use crate::tokenizer::tokenize::TokenizeError;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No slot is free.
    #[error("no more requests may wait: {0}; try again later")]
    QueueFull(String),
    /// The server is about to end.
    #[error("the server is shutting down")]
    Stopping,
    /// No key, or another one.
    #[error(
        "this server wants its API key as `Authorization: Bearer KEY`, and got none or another"
    )]
    Unauthorized,
    /// Another model's name.
    #[error("the model `{asked}` does not exist here: this server serves `{served}`")]
    UnknownModel {
        /// What was asked for.
        asked: String,
        /// What there is.
        served: String,
    },
    /// The request as such cannot be meant, or asks for what this engine cannot do.
    #[error("{message}")]
    Invalid {
        /// The field at fault, where it is one.
        field: Option<String>,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// Prompt and output do not fit.
    #[error("{message}")]
    TooLong {
        /// The field at fault.
        field: &'static str,
        /// How long it may be, and how long it is.
        message: String,
    },
    /// The engine's own message.
    #[error("{0}")]
    Engine(String),
}

impl Refusal {
    /// Something is wrong with one field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: Some(field.into()), message: message.into() }
    }
}

impl From<TokenizeError> for Refusal {
    fn from(TokenizeError(error): TokenizeError) -> Self {
        Self::Invalid {
            field: None,
            message: format!("the tokenizer cannot read this text: {error}"),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::QueueFull => Self::QueueFull(failure.message),
            FailureKind::ShutDown => Self::Stopping,
            FailureKind::Refused => Self::Invalid { field: None, message: failure.message },
            _ => Self::Engine(failure.message),
        }
    }
}
