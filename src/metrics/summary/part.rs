//! Part of a mixture in a summary: its requests, lengths and latencies.

use serde::{Deserialize, Serialize};

/// What became of the requests of one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartSummary {
    /// As it was typed, without its weight.
    pub name: String,
    /// The share of the requests that was asked for, from 0 to 1.
    pub share: f64,
    /// Planned requests that are measured.
    pub requests: u64,
    /// Of these, those whose output arrived in full.
    pub completed: u64,
    /// Failed or timed out.
    pub failed: u64,
    /// Mean prompt length of completed requests; `None` where none completed, here and below.
    pub prompt_tokens_mean: Option<f64>,
    /// Mean output length of completed requests.
    pub output_tokens_mean: Option<f64>,
    /// Median time to first token, in milliseconds; `None` too where nothing streams.
    pub ttft_p50_ms: Option<f64>,
    /// The same, 99th percentile.
    pub ttft_p99_ms: Option<f64>,
    /// Median request latency, in milliseconds.
    pub e2e_p50_ms: Option<f64>,
    /// The same, 99th percentile.
    pub e2e_p99_ms: Option<f64>,
}
