//! Summary of a run: the shape of `summary.json`, which every report is made from.
//!
//! Absent is `None` (`null`), never 0; every `f64` is finite.

mod check;
mod counts;
mod distribution;
mod mark;
mod over_time;
mod part;
mod stage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Window;
use crate::load::Load;
use crate::load::course::WindowKind;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::facts::TargetFacts;
use crate::metrics::facts::WorkersFacts;
use crate::metrics::iterations::IterationSummary;
use crate::metrics::kv_events::KvEventSummary;
use crate::metrics::measurement_windows::WindowsOutcome;
use crate::metrics::percentile::Percentile;
use crate::metrics::plot_samples::PlotSamples;
use crate::metrics::roofline::Roofline;
use crate::metrics::saturation::SaturatedFacts;
use crate::observe::gpu::over_window::GpuUse;
use crate::observe::server_metrics::over_window::ServerUse;
use crate::settings::slo::{GOOD_FRACTION, Slo};

pub use check::{Check, CheckId, Status, Verdict};
pub use counts::{Counts, HeldAfterCancel, OddRequests, PartCounts, PromptSurplus};
pub use distribution::{Dependence, Distribution, Outliers, PercentileValue};
pub use mark::Mark;
pub use over_time::{OverTime, Slice};
pub use part::PartSummary;
pub use stage::{Pair, StageSummary};

/// Version of every definition and of the shape of the files; a change of meaning changes it.
pub const SCHEMA_VERSION: u32 = 2;

/// Share of the median latency above which what comes after the last token is told.
const TOLD_CLOSE: f64 = 0.02;

/// Everything that is reported of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA_VERSION`] of the program that made it.
    pub schema_version: u32,
    /// Which point of the experiment, from 0.
    pub point: u32,
    /// What answered.
    pub target: TargetFacts,
    /// How requests arrived.
    pub load: Load,
    /// Texts or documents of each request, where requests are batches of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u32>,
    /// Images of each request, where each has as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u32>,
    /// Each part of a mixture of workloads; empty where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<PartSummary>,
    /// Whether output was delivered token by token.
    pub streaming: bool,
    /// GPUs in use; 0 on a CPU.
    pub gpus: u32,
    /// What rates are taken over.
    pub window: Window,
    /// Length of the window; `None` where it has no length.
    pub window_s: Option<f64>,
    /// Whether the numbers can be trusted: the worst of `checks`.
    pub verdict: Verdict,
    /// What every artefact must say of this run.
    pub marks: Vec<Mark>,
    /// The proofs behind the verdict, in a fixed order.
    pub checks: Vec<Check>,
    /// What the window of the rates is.
    #[serde(default)]
    pub window_kind: WindowKind,
    /// The same rates over everything that was sent; `None` where nothing ended.
    #[serde(default)]
    pub whole_run: Option<WholeRun>,
    /// Tokens per chunk are not known, and chunks hold more than one: TPOT, ITL, speed per user and goodput on them spread
    /// the tokens evenly over the chunks.
    #[serde(default)]
    pub approximate: bool,
    /// How requests ended.
    pub counts: Counts,
    /// One value for each rate; every [`Rate`] is a key.
    pub rates: BTreeMap<Rate, Option<f64>>,
    /// One distribution for each quantity; every [`Quantity`] is a key. Values are in the unit of the key.
    pub distributions: BTreeMap<Quantity, Option<Distribution>>,
    /// Each bound that a good request meets.
    pub slos: Vec<SloResult>,
    /// How far successive requests depend on each other.
    pub dependence: Option<Dependence>,
    /// The best that is possible, and how much of it was reached; `None` where model or machine is not known.
    #[serde(default)]
    pub roofline: Option<Roofline>,
    /// What each stage of the load came to; empty where it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageSummary>,
    /// The processes that sent the load, where it was divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersFacts>,
    /// Windows that could end the run; `None` where none were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsOutcome>,
    /// The run was ended early, since its rate was more than the target could take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated: Option<SaturatedFacts>,
    /// The course of the run.
    pub over_time: OverTime,
    /// Iteration statistics of the engine in the window; `None` where it reports none.
    pub iterations: Option<IterationSummary>,
    /// What happened to the blocks of the engine's KV cache; `None` where it was not asked.
    #[serde(default)]
    pub kv_events: Option<KvEventSummary>,
    /// What the watched GPUs did over the window; `None` where none were watched.
    pub gpu: Option<GpuUse>,
    /// Samples for plots. In no file: empty where a summary was read.
    #[serde(skip)]
    pub samples: PlotSamples,
    /// What the server told of itself over the window; `None` where it has no metrics.
    #[serde(default)]
    pub server: Option<ServerUse>,
}

impl Summary {
    /// A rate, where it is defined for this run.
    pub fn rate(&self, rate: Rate) -> Option<f64> {
        self.rates.get(&rate).copied().flatten()
    }

    /// Whether there is nothing to measure, since no request came to its end.
    pub fn nothing_completed(&self) -> bool {
        self.counts.completed == 0 && self.counts.planned > 0
    }

    /// Whether there are SLOs, and fewer requests than wanted met them.
    pub fn misses_slo(&self) -> bool {
        let good = self.rate(Rate::GoodFraction);
        !self.slos.is_empty() && good.is_none_or(|good| good < GOOD_FRACTION)
    }

    /// Whether the values of a quantity depend on how many tokens a chunk held, which is not known.
    pub fn is_approximate(&self, quantity: Quantity) -> bool {
        self.approximate && lies_between_tokens(quantity)
    }

    /// Whether a quantity lies between tokens that were held back and came at once: it is then the reader's pace, and none of the
    /// engine's. What a reader of the stream sees (the gap between chunks, the largest gap) stays what it is.
    pub fn is_of_bursts(&self, quantity: Quantity) -> bool {
        let warns = |it: &Check| it.id == CheckId::Streaming && it.status == Status::Warn;
        lies_between_tokens(quantity) && self.checks.iter().any(warns)
    }

    /// Whether answers have no output tokens at all, as embeddings, or none that were counted: what is about output then does not
    /// apply.
    pub fn is_without_output(&self) -> bool {
        self.counts.completed > 0
            && self.distribution(Quantity::OutputTokens).is_none_or(|tokens| tokens.max == 0.0)
            && self.rate(Rate::OutputThroughput).is_none()
    }

    /// The rate that represents the run: of output, or of input where there is no output.
    pub fn headline_rate(&self) -> Rate {
        if self.is_without_output() { Rate::InputThroughput } else { Rate::OutputThroughput }
    }

    /// Whether goodput depends on such a quantity.
    pub fn has_approximate_goodput(&self) -> bool {
        self.slos.iter().any(|result| self.is_approximate(result.slo.metric.quantity()))
    }

    /// How much of the median request latency comes after the last token, where it is enough to be told.
    pub fn late_close(&self) -> Option<f64> {
        let median = |quantity| self.percentile(quantity, Percentile::P50).map(|it| it.value);
        let (close, latency) = (median(Quantity::StreamClose)?, median(Quantity::E2e)?);
        (latency > 0.0 && close > TOLD_CLOSE * latency).then(|| close / latency)
    }

    /// A distribution, where there is one.
    pub fn distribution(&self, quantity: Quantity) -> Option<&Distribution> {
        self.distributions.get(&quantity).and_then(Option::as_ref)
    }

    /// A percentile of a quantity, where there is one.
    pub fn percentile(&self, quantity: Quantity, which: Percentile) -> Option<&PercentileValue> {
        self.distribution(quantity).and_then(|all| all.percentiles.get(&which))
    }

    /// The latency that represents the run: from the intended arrival in an open loop, from the submission else.
    pub fn headline_latency(&self) -> Quantity {
        match self.load {
            Load::Open { .. } => Quantity::E2eIntended,
            Load::Closed { .. } | Load::Batch => Quantity::E2e,
        }
    }
}

/// Whether a quantity is a time between tokens, or its inverse.
const fn lies_between_tokens(quantity: Quantity) -> bool {
    matches!(quantity, Quantity::Tpot | Quantity::Itl | Quantity::PerUser)
}

/// Everything that was sent, as other benchmarks report it: from the first submission to the last end, ramp and tail
/// included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WholeRun {
    /// From the first submission to the last end.
    pub window: Window,
    /// Its length in seconds.
    pub window_s: Option<f64>,
    /// Requests that were submitted.
    pub submitted: u64,
    /// Of these, those that completed.
    pub completed: u64,
    /// Output tokens of all of them.
    pub output_tokens: u64,
    /// One value for each rate; every [`Rate`] is a key. Energy is that of the window, so its rates are absent.
    pub rates: BTreeMap<Rate, Option<f64>>,
}

/// How one bound was met.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SloResult {
    /// The bound.
    #[serde(flatten)]
    pub slo: Slo,
    /// Completed requests that met it; `None` where the latency does not exist for this run.
    pub met: Option<u64>,
    /// The same ÷ attempted requests.
    pub met_fraction: Option<f64>,
    /// Completed requests that do not have this latency; they meet no bound on it.
    #[serde(default)]
    pub unmeasured: u64,
}

/// The word that a variant without data has in JSON, so that every artefact calls it the same.
pub fn json_word(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a variant without data is a string in JSON, not {other:?}"),
    }
}
