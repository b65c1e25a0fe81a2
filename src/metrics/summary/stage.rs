//! Summary of one stage of a load.

use serde::{Deserialize, Serialize};

use crate::load::stages::StagesOf;

/// What one stage came to. In an open loop a request belongs to the stage that it is due in, in a closed one to that which it
/// is submitted in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSummary {
    /// From the start of the load.
    pub begins_s: f64,
    /// How long it lasts.
    pub span_s: f64,
    /// What its level is.
    pub of: StagesOf,
    /// Arrivals per second, or slots.
    pub level: f64,
    /// Requests that belong to it.
    pub planned: u64,
    /// Of these, submitted.
    pub sent: u64,
    /// Of these, completed.
    pub completed: u64,
    /// Submitted and not completed.
    pub failed: u64,
    /// Completed requests that ended in its time, per second of it.
    pub request_throughput_per_s: f64,
    /// Output tokens of these, per second of it.
    pub output_tokens_of_ended_per_s: f64,
    /// Time to first token.
    pub ttft_ms: Option<Pair>,
    /// Latency; of an open loop from the intended arrival.
    pub e2e_ms: Option<Pair>,
    /// How much later than intended requests were submitted, in an open loop.
    pub late_ms: Option<Pair>,
}

/// Median, tail and largest value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Median.
    pub p50: f64,
    /// 99th percentile, by nearest rank.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}
