//! Summary of a run: the shape of `summary.json`, which every report is made from.
//!
//! Absent is `None` (`null`), never 0; every `f64` is finite.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Window;
use crate::load::Load;
use crate::load::course::WindowKind;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::facts::TargetFacts;
use crate::metrics::iterations::IterationSummary;
use crate::metrics::kv_events::KvEventSummary;
use crate::metrics::percentile::Percentile;
use crate::metrics::roofline::Roofline;
use crate::observe::gpu::over_window::GpuUse;
use crate::record::oddity::Oddity;
use crate::record::request_record::TokenSource;
use crate::request::FailureKind;
use crate::settings::slo::{GOOD_FRACTION, Slo};

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
    /// The course of the run.
    pub over_time: OverTime,
    /// Iteration statistics of the engine in the window; `None` where it reports none.
    pub iterations: Option<IterationSummary>,
    /// What happened to the blocks of the engine's KV cache; `None` where it was not asked.
    #[serde(default)]
    pub kv_events: Option<KvEventSummary>,
    /// What the watched GPUs did over the window; `None` where none were watched.
    pub gpu: Option<GpuUse>,
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
        self.approximate && matches!(quantity, Quantity::Tpot | Quantity::Itl | Quantity::PerUser)
    }

    /// Whether answers have no output tokens at all, as embeddings: what is about output then does not apply.
    pub fn is_without_output(&self) -> bool {
        self.distribution(Quantity::OutputTokens).is_some_and(|tokens| tokens.max == 0.0)
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

/// Whether the numbers can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every check passed.
    Valid,
    /// The numbers hold, with warnings that a reader should know.
    ValidWithWarnings,
    /// The harness, not the target, may have been measured.
    Invalid,
}

impl Verdict {
    /// As printed.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::ValidWithWarnings => "valid with warnings",
            Self::Invalid => "invalid",
        }
    }
}

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

/// One proof that the harness was not the bottleneck, or the lack of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which check.
    pub id: CheckId,
    /// What came of it.
    pub status: Status,
    /// What was measured, in `unit`.
    pub measured: Option<f64>,
    /// Where the status changes, in `unit`.
    pub limit: Option<f64>,
    /// Unit of `measured` and `limit`; empty for a plain number.
    pub unit: String,
    /// What was seen, in plain words.
    pub sentence: String,
    /// What to do; only where the status is `warn` or `fail`.
    pub remedy: Option<String>,
}

/// Which check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// Requests were sent when they were due.
    ScheduleLag,
    /// Everything that was due was sent.
    NotSent,
    /// Requests completed.
    Completion,
    /// Output was seen soon after it existed.
    PullLag,
    /// The machine could have done more.
    Headroom,
    /// No event was lost.
    Recorder,
    /// Every request ended exactly once.
    Accounting,
    /// The engine's clock and ours agree.
    Clocks,
    /// The run was steady.
    Stability,
    /// The cgroup did not hold the process back.
    HostThrottling,
    /// The hypervisor did not take the CPU away.
    HostSteal,
    /// Hot threads kept their cores.
    HostSwitches,
    /// The harness had CPU time to spare.
    HostCpu,
    /// Clocks of the watched GPUs were not held down.
    GpuThrottling,
    /// The harness's threads had a core when they needed one.
    HostCoreWait,
    /// Output came as it was made.
    Streaming,
    /// The server had not seen the prompts before.
    Repeats,
}

impl CheckId {
    /// Every check, in the order of reports.
    pub const ALL: [Self; 17] = [
        Self::ScheduleLag,
        Self::NotSent,
        Self::Completion,
        Self::PullLag,
        Self::Headroom,
        Self::Recorder,
        Self::Accounting,
        Self::Clocks,
        Self::Stability,
        Self::HostThrottling,
        Self::HostSteal,
        Self::HostSwitches,
        Self::HostCpu,
        Self::GpuThrottling,
        Self::HostCoreWait,
        Self::Streaming,
        Self::Repeats,
    ];

    /// As printed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ScheduleLag => "schedule lag",
            Self::NotSent => "not sent",
            Self::Completion => "completion",
            Self::PullLag => "pull lag",
            Self::Headroom => "headroom",
            Self::Recorder => "recorder",
            Self::Accounting => "accounting",
            Self::Clocks => "clocks",
            Self::Stability => "stability",
            Self::HostThrottling => "cgroup throttling",
            Self::HostSteal => "steal",
            Self::HostSwitches => "involuntary switches",
            Self::HostCpu => "harness CPU",
            Self::GpuThrottling => "GPU throttling",
            Self::HostCoreWait => "waiting for a core",
            Self::Streaming => "streaming",
            Self::Repeats => "repeats",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Pass,
    /// To be known.
    Warn,
    /// The measurement is invalid.
    Fail,
    /// The check does not apply, or there was nothing to judge by; the sentence says which.
    NotApplicable,
}

/// Slots that cancelled requests held: a cancel takes effect when the target comes to it, and until then its slot is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldAfterCancel {
    /// Requests.
    pub requests: u64,
    /// From the cancel to the end, of all of them together. One that was given up counts until then.
    pub total_s: f64,
    /// The longest of these times.
    pub max_s: f64,
}

/// How requests ended. `planned` is the sum of completed, failed, cancelled, timed out and not sent in a sound run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Shots in the plan.
    pub planned: u64,
    /// Requests that count as asked: all but those never reached in a closed loop and those cut off by an interrupt.
    pub attempted: u64,
    /// Handed over to the target.
    pub submitted: u64,
    /// All output arrived.
    pub completed: u64,
    /// Failed, all kinds together.
    pub failed: u64,
    /// Failed, by kind; kinds that did not occur are left out.
    pub failed_by_kind: BTreeMap<FailureKind, u64>,
    /// For each of these kinds, the message of the first request that failed so.
    #[serde(default)]
    #[serde(rename = "failure_words")]
    pub failure_messages: BTreeMap<FailureKind, String>,
    /// Cancelled at the end of the drain or by the user.
    pub cancelled: u64,
    /// Took longer than a request may.
    pub timed_out: u64,
    /// Never submitted, all reasons together.
    pub not_sent: u64,
    /// Not sent: its turn never came in a closed loop.
    pub not_reached: u64,
    /// Not sent: it was due and the harness did not send it.
    pub missed: u64,
    /// Not sent: the run was interrupted before.
    pub interrupted: u64,
    /// Not sent: the target as a whole had failed before.
    pub target_failed: u64,
    /// Requests before the measured ones, which count in nothing above.
    #[serde(default)]
    pub ramp: PartCounts,
    /// Requests after them, likewise.
    #[serde(default)]
    pub tail: PartCounts,
    /// Completed requests for which TPOT is undefined: all tokens came at one instant, or none came.
    pub without_tpot: u64,
    /// Completed requests whose answer is not what was asked for, by what is odd; what did not occur is left out.
    #[serde(default)]
    pub oddities: BTreeMap<Oddity, OddRequests>,
    /// Output tokens ÷ chunks, over completed requests whose deliveries were not counted one by one: 1 where every token
    /// comes in a chunk of its own; `None` where ids were counted.
    #[serde(default)]
    pub tokens_per_chunk: Option<f64>,
    /// Completed requests whose end lies in the window.
    pub completed_in_window: u64,
    /// Output tokens whose delivery lies in the window, of all requests; rounded.
    pub output_tokens_in_window: u64,
    /// Those of them that belong to requests which did not complete; rounded.
    pub unsuccessful_tokens_in_window: u64,
    /// Requests whose deliveries add up to another number of tokens than the target counted.
    pub token_count_differs: u64,
    /// Completed requests by where their number of output tokens comes from; sources that did not occur are left out.
    pub token_sources: BTreeMap<TokenSource, u64>,
    /// Requests whose output our tokenizer counts otherwise than the server; the server's count stands.
    pub token_mismatches: u64,
    /// Requests whose prompt the server counts otherwise than it was planned; lengths are as planned, throughput as counted.
    pub prompt_token_mismatches: u64,
    /// By how much; `None` where the server counts no prompts.
    #[serde(default)]
    pub prompt_surplus: Option<PromptSurplus>,
    /// Times that a request was sent again, since the server was closing the idle connection that carried it.
    #[serde(default)]
    pub resent: u64,
    /// Requests that opened their own connection after they had been submitted, so that their latencies hold it.
    #[serde(default)]
    pub connected_inside: u64,
    /// Requests that the harness had asked the target to end, and that were the target's until it did; of ramp and tail too.
    #[serde(default)]
    pub cancelled_still_running: HeldAfterCancel,
    /// Requests with output of which the deliveries were not kept; ITL, ICL, stall and throughput are then absent.
    pub deliveries_missing: u64,
}

/// By how many tokens a server counts prompts longer than they were planned: a chat template adds the same to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptSurplus {
    /// Completed requests whose prompt the server counts.
    pub requests: u64,
    /// The median of what it counts more, or less where it is below 0.
    pub tokens: i64,
    /// Requests of which it counts exactly that much more.
    pub alike: u64,
}

/// Requests of a part of the run that is not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartCounts {
    /// Handed over to the target.
    pub sent: u64,
    /// Of these, those that completed.
    pub completed: u64,
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

/// Requests that are odd in one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddRequests {
    /// How many.
    pub requests: u64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// Output tokens that were asked of them.
    pub requested_tokens: u64,
}

/// The distribution of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Number of samples: requests or deliveries.
    pub count: u64,
    /// Independent samples of equal weight that carry as much: of a quantity of requests by their lag-1 autocorrelation in
    /// the order of the plan, of a weighted pool by Kish; else `count`.
    pub effective_count: f64,
    /// Weighted mean.
    pub mean: f64,
    /// Standard deviation (n − 1); `None` for a single sample.
    pub std: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Every [`Percentile`] is a key.
    pub percentiles: BTreeMap<Percentile, PercentileValue>,
    /// Samples that lie far out: labelled, never dropped.
    pub outliers: Outliers,
    /// Largest relative error of the percentiles, where they come from a histogram; `None` where they are exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_error: Option<f64>,
}

/// One percentile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PercentileValue {
    /// Nearest rank, exact.
    pub value: f64,
    /// Lower end of the 95 % order-statistic interval; `None` where the sample is too small to have one.
    pub low: Option<f64>,
    /// Upper end of the 95 % order-statistic interval; `None` where the sample is too small to have one.
    pub high: Option<f64>,
    /// Whether the sample is large enough for this percentile (99 % one-sided binomial rule). Shown with `~` if not.
    pub certified: bool,
    /// With 99 % confidence the percentile is at most this; `None` where it is not certified.
    pub certified_bound: Option<f64>,
}

/// Samples beyond Tukey's outer fences (three interquartile ranges from the quartiles).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outliers {
    /// Below this lies an outlier.
    pub low_fence: f64,
    /// Above this lies an outlier.
    pub high_fence: f64,
    /// Samples below.
    pub below: u64,
    /// Samples above.
    pub above: u64,
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

/// How far successive requests depend on each other: request latency in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// Lag-1 autocorrelation, −1 to 1.
    pub lag1_autocorrelation: f64,
    /// Independent requests that would tell as much: n (1 − ρ) / (1 + ρ), between 1 and n.
    pub effective_requests: f64,
}

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

/// The word that a variant without data has in JSON, so that every artefact calls it the same.
pub fn json_word(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("a variant without data is a string in JSON, not {other:?}"),
    }
}
