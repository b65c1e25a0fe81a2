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
    /// How long it took, or the one before.
    #[serde(rename = "latency_ns")]
    pub latency: Nanos,
    /// Which iteration `latency` and `completed` tell of, and `at` is the end of.
    #[serde(default, skip_serializing_if = "LatencyOf::is_own")]
    pub latency_of: LatencyOf,
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

impl Iteration {
    /// Whether this is the line that an engine adds when it has nothing to do; its number belongs to the next iteration.
    pub fn is_idle(&self) -> bool {
        let has_work = self.active > 0 || self.batch.is_some_and(|batch| batch.requests() > 0);
        self.latency_of == LatencyOf::IterationBefore && !has_work
    }

    /// The last iteration that had begun with this line.
    pub fn last_number(&self) -> Option<u64> {
        if self.is_idle() { self.iteration.checked_sub(1) } else { Some(self.iteration) }
    }
}

/// Which iteration the latency of a line belongs to: a fact of the engine, which each source states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LatencyOf {
    /// The line is written when the iteration is over.
    #[default]
    ThisIteration,
    /// The line is written when the iteration begins, as an executor does.
    IterationBefore,
}

impl LatencyOf {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_own(&self) -> bool {
        *self == Self::ThisIteration
    }
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
