//! What must a request meet to be good?

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// The bounds that one request must meet, all of them. Empty: no goodput is reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slos(pub Vec<Slo>);

/// A bound on one latency of one request: met where the latency is at most `bound`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slo {
    /// Which latency.
    pub metric: SloMetric,
    /// The most it may be.
    #[serde(rename = "bound_ns")]
    pub bound: Nanos,
}

/// A latency that a request can be held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SloMetric {
    /// Time to first token.
    Ttft,
    /// Time to first token from the intended arrival.
    TtftIntended,
    /// Request latency.
    E2e,
    /// Request latency from the intended arrival.
    E2eIntended,
    /// Time per output token.
    Tpot,
    /// The request's mean inter-token latency, which is its time per output token; for its worst gap use `stall`.
    Itl,
    /// The request's largest gap.
    Stall,
    /// Normalised latency.
    NormLatency,
}
