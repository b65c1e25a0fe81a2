//! WHAT is asked: lengths, prompts, datasets, tokenizer.

pub mod request;
