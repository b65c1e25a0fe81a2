//! Text to token ids and back: the tokenizer seam, and text of an output while it is streamed.

pub mod text_stream;
pub mod tokenize;
