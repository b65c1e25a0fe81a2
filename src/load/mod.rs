//! Load: how requests arrive, arrival processes, and the plan.

pub mod arrivals;
pub mod course;
pub mod plan;
pub mod stages;

use std::fmt;

use serde::{Deserialize, Serialize};

/// How requests arrive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Load {
    /// Closed loop: so many requests in flight, each ended one replaced at once.
    Closed {
        /// Requests in flight.
        concurrency: u32,
    },
    /// Open loop: arrivals are drawn before the run and never wait for answers.
    Open {
        /// Distribution of the gaps between arrivals.
        arrivals: Arrivals,
        /// Mean arrivals per second.
        rate: f64,
        /// Hold arrivals back while so many are in flight; `None` holds nothing back.
        max_in_flight: Option<u32>,
    },
    /// All at once.
    Batch,
}

/// Distribution of the gaps between arrivals in an open loop; the mean gap is `1 / rate`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "process")]
pub enum Arrivals {
    /// Equal gaps.
    Constant,
    /// Exponential gaps.
    Poisson,
    /// Gaps uniform between 0 and twice the mean.
    Uniform,
    /// Those of a trace.
    Replay,
    /// Gamma gaps with this shape; 1 is Poisson, below 1 is burstier.
    Gamma {
        /// Shape parameter, as `burstiness` in vLLM's and TensorRT-LLM's benchmarks.
        burstiness: f64,
    },
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { concurrency } => write!(f, "concurrency {concurrency}"),
            Self::Batch => f.write_str("batch"),
            Self::Open { arrivals, rate, max_in_flight } => {
                write!(f, "{arrivals} {rate}/s")?;
                max_in_flight.map_or(Ok(()), |cap| write!(f, ", at most {cap} in flight"))
            }
        }
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Poisson => f.write_str("poisson"),
            Self::Uniform => f.write_str("uniform"),
            Self::Replay => f.write_str("replay"),
            Self::Gamma { burstiness } => write!(f, "gamma(burstiness {burstiness})"),
        }
    }
}
