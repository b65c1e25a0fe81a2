//! Course of a run: what happened in each slice of its window.

use serde::{Deserialize, Serialize};

/// The course of the run over its window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OverTime {
    /// Length of a slice; the last one may be shorter.
    pub slice_s: f64,
    /// From the start of the window to its end, without gaps.
    pub slices: Vec<Slice>,
}

/// What happened in one slice of the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Its start, from the start of the window.
    pub t_s: f64,
    /// Its length.
    pub length_s: f64,
    /// Output tokens delivered in it ÷ its length; `None` where deliveries were not kept.
    pub output_tokens_per_s: Option<f64>,
    /// Requests that completed in it ÷ its length.
    pub requests_per_s: f64,
    /// Requests in flight, averaged over time.
    pub in_flight: f64,
    /// Median time to first token of the completed requests whose first token lies in it.
    pub ttft_p50_ms: Option<f64>,
}
