//! Tokenizer: text to token ids and back, streaming detokenizer.

pub mod text_stream;
pub mod tokenize;
pub mod tokens_so_far;

/// Ids of a target that has no tokenizer and does not report its vocabulary are below this.
pub const FALLBACK_VOCABULARY: u32 = 32_000;
