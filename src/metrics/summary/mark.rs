//! Marks: what every artefact of a run must say of it.

use serde::{Deserialize, Serialize};

use crate::warning::Code;

/// What every artefact of a run must say. A mark is no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The run was interrupted, or not all of its records could be kept.
    Incomplete,
    /// Latencies come from a model of an engine.
    Simulated,
    /// Weights are random.
    DummyWeights,
    /// The target replies at once.
    NullTarget,
    /// A profiler watched.
    Profiled,
}

impl Mark {
    /// Its code, which is listed in `docs/WARNINGS.md`.
    pub const fn code(self) -> Code {
        match self {
            Self::Incomplete => Code::Incomplete,
            Self::Simulated => Code::Simulated,
            Self::DummyWeights => Code::DummyWeights,
            Self::NullTarget => Code::NullTarget,
            Self::Profiled => Code::Profiled,
        }
    }

    /// As printed beside a heading.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Simulated => "simulated",
            Self::DummyWeights => "dummy weights",
            Self::NullTarget => "null target",
            Self::Profiled => "profiled",
        }
    }

    /// What it means, in one sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Incomplete => {
                "the run did not end as planned: these are the requests that are recorded"
            }
            Self::Simulated => "latencies come from a declared cost model, not from an engine",
            Self::DummyWeights => "weights are random: timings are real, text is meaningless",
            Self::NullTarget => {
                "the target replies at once: this is the floor of the harness itself"
            }
            Self::Profiled => "a profiler watched: compare these numbers with nothing",
        }
    }
}
