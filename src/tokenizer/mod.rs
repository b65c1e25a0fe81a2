//! Tokenizer: text to token ids and back, streaming detokenizer.

pub mod files;
pub mod text_stream;
pub mod tokenize;
pub mod tokens_so_far;
