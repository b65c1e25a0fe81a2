//! An LLM engine on CPU, in this process: real transformer arithmetic with in-flight batching.
//!
//! A caller opens an [`Engine`] on a [`ModelSource`], submits [`Request`]s of token ids, and receives [`Delivery`]s through
//! its own [`Sink`]. One thread owns the model, the KV cache and the schedule; callers only ever touch an inbox.
//!
//! ```text
//! submit/cancel ─► inbox ─► schedule (queue, admission, packing) ─► model (forward pass) ─► sampling ─► Sink
//!                              │                                      │
//!                              └──────────── kv (blocks) ─────────────┘
//! ```
#![forbid(unsafe_code)]

#[cfg(test)]
mod claims;
mod config;
mod delivery;
mod engine;
mod error;
mod inbox;
mod info;
mod kv;
mod model;
mod request;
mod sampling;
mod schedule;
mod source;
mod stats;
mod tokenizer;

pub use config::{EngineConfig, Quantization};
pub use delivery::{Delivery, End, FinishReason, KvUse, Sink, Stamps};
pub use engine::{Engine, inspect};
pub use error::{OpenError, SubmitError};
pub use info::{ModelInfo, Weights};
pub use model::threads::{default_threads, thread_environment};
pub use request::{Request, Sampling};
pub use source::{DummySize, ModelSource};
pub use stats::{IterationStats, StatsReader};
pub use tokenizer::{dummy_tokenizer, load_tokenizer};
pub use tokenizers;
