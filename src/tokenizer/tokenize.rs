//! Tokenizer trait for drawing prompts.

use thiserror::Error;

/// A tokenizer, seen from the workload: text to ids and back, with nothing added around them.
pub trait Tokenize: Send + Sync {
    /// Ids of a text, without begin-of-text or any other token that a template would add.
    ///
    /// # Errors
    /// When the tokenizer cannot encode the text.
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError>;

    /// Text of ids, special ids left out.
    ///
    /// # Errors
    /// When an id is not in the vocabulary.
    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError>;

    /// Ids are below this, those of added tokens too.
    fn vocab_size(&self) -> u32;

    /// Ids with a meaning of their own (begin, end, padding, roles): never part of a drawn prompt.
    fn special_ids(&self) -> Vec<u32>;
}

/// Message of the tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the tokenizer failed: {0}")]
pub struct TokenizeError(pub String);
