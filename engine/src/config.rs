//! Engine configuration: every value that a caller may choose, and its default.

use serde::{Deserialize, Serialize};

use crate::error::OpenError;

/// How the weight matrices are held. Norms, embedding and KV cache are not quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// ggml's Q8_0: blocks of 32 signed bytes with one f16 scale. Three to seven times faster than `F32` for one request.
    #[default]
    Q8_0,
    /// Plain f32.
    F32,
}

/// Configuration of one engine. [`EngineConfig::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Requests that run together at most.
    pub max_batch_size: usize,
    /// Tokens of one iteration at most, prompt chunks and running requests together. Bounds how long a prompt can hold up
    /// the requests that are already running. Not below `max_batch_size`.
    pub max_num_tokens: usize,
    /// Requests accepted and not yet admitted to the batch at most; beyond it `submit` answers `QueueFull`.
    pub max_queue_size: usize,
    /// Capacity of the KV cache in tokens, rounded down to whole blocks; `None` is a default for the model.
    pub kv_tokens: Option<usize>,
    /// Tokens of one KV block.
    pub tokens_per_block: usize,
    /// Whether the KV blocks of an equal prompt prefix are shared between requests.
    pub block_reuse: bool,
    /// Threads of the arithmetic that the caller relies on; `None` takes what the process was started with.
    /// See [`crate::thread_environment`]: candle reads the number from the environment, once per process.
    pub threads: Option<usize>,
    pub quantization: Quantization,
    /// Seed of dummy weights.
    pub seed: u64,
    /// How many [`crate::IterationStats`] are kept for [`crate::StatsReader`]; the oldest are overwritten. 0 keeps none.
    pub iteration_stats: usize,
    /// The clock, in nanoseconds of CLOCK_MONOTONIC. This crate reads no clock of its own.
    pub now_ns: fn() -> i64,
}

impl EngineConfig {
    /// Defaults for everything but the clock.
    pub fn new(now_ns: fn() -> i64) -> EngineConfig {
        EngineConfig {
            max_batch_size: 32,
            max_num_tokens: 256,
            max_queue_size: 4096,
            kv_tokens: None,
            tokens_per_block: 32,
            block_reuse: false,
            threads: None,
            quantization: Quantization::default(),
            seed: 0,
            iteration_stats: 4096,
            now_ns,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let at_least_one = [
            ("max_batch_size", self.max_batch_size),
            ("max_num_tokens", self.max_num_tokens),
            ("max_queue_size", self.max_queue_size),
            ("tokens_per_block", self.tokens_per_block),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(OpenError::Config(format!("{name} is 0; it must be at least 1")));
            }
        }
        if self.max_num_tokens < self.max_batch_size {
            return Err(OpenError::Config(format!(
                "max_num_tokens is {}, below max_batch_size {}; every running request needs one token of each iteration, so raise \
                 max_num_tokens or lower max_batch_size",
                self.max_num_tokens, self.max_batch_size
            )));
        }
        Ok(())
    }
}
