//! Errors of opening an engine and of submitting to it.

use std::path::PathBuf;

use thiserror::Error;

/// Why an engine did not open. Each message names the thing and, where there is one, the remedy.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("unknown dummy model '{name}'; known: {known}")]
    UnknownDummy { name: String, known: String },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is malformed: {reason}")]
    Malformed { path: PathBuf, reason: String },
    #[error("the engine cannot run {path}: {reason}")]
    Unsupported { path: PathBuf, reason: String },
    #[error("tensor '{tensor}' is missing in {place}")]
    MissingTensor { tensor: String, place: PathBuf },
    #[error("tensor '{tensor}' in {file} has shape {found:?}; config.json asks for {expected:?}")]
    ShapeMismatch { tensor: String, file: PathBuf, found: Vec<usize>, expected: Vec<usize> },
    #[error("engine configuration: {0}")]
    Config(String),
    #[error(
        "{asked} threads were asked for, but this process computes with {actual}; start it with CANDLE_NUM_THREADS={asked} and \
         RAYON_NUM_THREADS={asked}"
    )]
    Threads { asked: usize, actual: usize },
    #[error("the arithmetic library failed while {doing}: {source}")]
    Arithmetic { doing: &'static str, source: candle_core::Error },
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    #[error("cannot start the engine thread: {0}")]
    Thread(std::io::Error),
}

/// Why a request was not accepted. A request that was refused gets no delivery.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubmitError {
    #[error("the queue holds its limit of {limit} requests")]
    QueueFull { limit: usize },
    #[error("the engine is shut down")]
    ShutDown,
    #[error("the engine has failed: {message}")]
    Failed { message: String },
    #[error("the prompt is empty")]
    EmptyPrompt,
    #[error("the prompt has {tokens} tokens; with at least one output token {limit} are possible")]
    PromptTooLong { tokens: usize, limit: usize },
    #[error("prompt token {index} is {token}; the vocabulary has {vocab_size} entries")]
    TokenOutOfVocabulary { index: usize, token: u32, vocab_size: usize },
    #[error("max_tokens is 0")]
    ZeroMaxTokens,
    #[error("request id {id} is still in use")]
    IdInUse { id: u64 },
    #[error("sampling: {reason}")]
    InvalidSampling { reason: &'static str },
}
