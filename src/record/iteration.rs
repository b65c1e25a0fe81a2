//! Statistics of one iteration of an engine: latency, batch, queue, KV cache.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos};

/// One iteration of an engine's loop, as every engine would say it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Its number; engines count without gaps, so a gap is what was lost.
    pub iteration: u64,
    /// Its end, where the engine stamps it; else when it was read.
    #[serde(rename = "at_ns")]
    pub at: MonoNs,
    /// How long it took.
    #[serde(rename = "latency_ns")]
    pub latency: Nanos,
    /// Requests in work, whether or not this iteration worked on them.
    pub active: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Requests that ended in it.
    pub completed: u32,
    /// Requests that it could have worked on; `None` where the engine does not say.
    pub max_batch_size: Option<u32>,
    /// What it worked on; `None` where the engine does not say.
    pub batch: Option<BatchMix>,
    /// The KV cache at its end; `None` where the engine does not say.
    pub kv: Option<KvLevel>,
}

/// What one iteration worked on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchMix {
    /// Requests with a piece of their prompt in it.
    pub context_requests: u32,
    /// Prompt tokens in it.
    pub context_tokens: u32,
    /// Requests that went on with their output.
    pub generation_requests: u32,
    /// Requests that it set aside because KV-cache memory was short.
    pub paused: u32,
}

impl BatchMix {
    /// Requests that the iteration worked on.
    pub fn requests(&self) -> u32 {
        self.context_requests + self.generation_requests
    }
}

/// Blocks of the KV cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvLevel {
    /// Held by requests.
    pub used_blocks: u32,
    /// That there are.
    pub max_blocks: u32,
}

/// One iteration as an engine reported it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedIteration {
    /// What every engine reports.
    pub iteration: Iteration,
    /// The engine's own JSON object.
    pub raw_json: String,
}
