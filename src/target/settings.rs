//! How should an in-process engine be set up? What labs turn, echoed as resolved into every manifest.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of an engine in this process; `None` leaves a value to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// Requests in one batch, at most.
    pub max_batch_size: Option<u32>,
    /// Tokens in one iteration, at most: prompt chunks and one per running request.
    pub max_num_tokens: Option<u32>,
    /// Requests that may wait; more are refused.
    pub max_queue_size: Option<u32>,
    /// Who may run when KV-cache memory is short.
    pub capacity_policy: CapacityPolicy,
    /// How prompts share the budget of one iteration.
    pub chunking_policy: ChunkingPolicy,
    /// Split long prompts over several iterations.
    pub chunked_context: bool,
    /// Reuse KV-cache blocks of equal prefixes. Off, so that a benchmark starts cold unless asked otherwise.
    pub kv_reuse: bool,
    /// KV-cache capacity in tokens.
    pub kv_tokens: Option<u32>,
    /// Share of the GPU memory left after loading that the KV cache may take.
    pub kv_fraction: Option<f32>,
    /// Ask the engine for its own stamps of each request.
    pub perf_metrics: bool,
    /// Iterations whose statistics are kept until they are read; 0 switches them off.
    pub iteration_stats: u32,
    /// Program whose processes hold the engine (orchestrator mode); `None` holds it in this process and the ranks
    /// that `mpirun` started.
    pub worker: Option<PathBuf>,
    /// Threads of the embedded engine.
    pub threads: Option<u32>,
    /// Weights of the embedded engine.
    pub quantization: Quantization,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            max_batch_size: None,
            max_num_tokens: None,
            max_queue_size: None,
            capacity_policy: CapacityPolicy::default(),
            chunking_policy: ChunkingPolicy::default(),
            chunked_context: true,
            kv_reuse: false,
            kv_tokens: None,
            kv_fraction: None,
            perf_metrics: true,
            iteration_stats: 100_000,
            worker: None,
            threads: None,
            quantization: Quantization::default(),
        }
    }
}

/// Which requests may run when KV-cache memory is short (`CapacitySchedulerPolicy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum CapacityPolicy {
    /// A request starts only when its longest output has room.
    #[default]
    GuaranteedNoEvict,
    /// Requests start early and are paused and recomputed when room runs out.
    MaxUtilization,
}

/// How prompts share the budget of one iteration (`ContextChunkingPolicy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ChunkingPolicy {
    /// The oldest prompt takes what it needs.
    #[default]
    FirstComeFirstServed,
    /// All prompts advance by the same amount.
    EqualProgress,
}

/// How the embedded engine keeps its weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Quantization {
    /// 8 bits per weight in blocks of 32.
    #[default]
    Q8_0,
    /// 32-bit floats.
    F32,
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Q8_0 => "Q8_0",
            Self::F32 => "F32",
        })
    }
}
