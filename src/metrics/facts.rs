//! Facts of a run that its summary depends on and its records do not hold.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos, Window};
use crate::load::Load;
use crate::load::course::WindowKind;
use crate::load::stages::Stages;
use crate::metrics::measurement_windows::WindowsOutcome;
use crate::metrics::saturation::SaturatedFacts;
use crate::record::unsent::Unsent;
use crate::settings::slo::Slos;
use crate::specs::RooflineFacts;
use crate::targets::registry;
use crate::warning::Code;

/// What the harness knew of one run; saved with it, so that a summary can be made again from files alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Which point of the experiment, from 0.
    pub point: u32,
    /// What answered.
    pub target: TargetFacts,
    /// How requests arrived.
    pub load: Load,
    /// What rates are taken over.
    pub window: Window,
    /// What that window is.
    #[serde(default)]
    pub window_kind: WindowKind,
    /// Requests in the plan of this run.
    pub planned: u64,
    /// Of these, what was left of a supply: not sent, and without a row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsent: Vec<Unsent>,
    /// GPUs in use; rates per GPU exist only where this is not 0.
    pub gpus: u32,
    /// Tokens were delivered as they came. Otherwise nothing that needs a first token is reported.
    pub streaming: bool,
    /// What a request must meet to be good.
    pub slos: Slos,
    /// `false` where the run was interrupted.
    pub complete: bool,
    /// Windows of a stable run agree within this many percent.
    pub stability_percent: f64,
    /// The stages of the load, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
    /// When the first of them began; `None` until the run has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages_start: Option<MonoNs>,
    /// Windows of the measurement, where they could end the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowsOutcome>,
    /// The rate was found to be too high, and the run was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated: Option<SaturatedFacts>,
    /// The processes that sent the load, where it was divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersFacts>,
    /// The model and the machine, where both are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roofline: Option<RooflineFacts>,
    /// So many first tokens are the same in every prompt.
    #[serde(default)]
    pub shared_prefix_tokens: u32,
    /// Texts or documents of each request, where requests are batches of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<u32>,
    /// Images of each request, where each has as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u32>,
    /// Each part of a mixture, in order; empty where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<PartFacts>,
    /// An earlier run that sent these prompts to this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_before: Option<SentBefore>,
    /// How many requests of the warm-up completed and why others did not; `None` where all did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_failure: Option<String>,
    /// Warning codes that the user knows of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Code>,
    /// Other sides of the same comparison that send the same prompts to the same server, as they are meant to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_sent_by: Vec<String>,
}

/// Several processes that sent one load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkersFacts {
    /// How many.
    pub workers: u32,
    /// Stamps of each worker are off by so much at most against the clock of the leading process.
    pub clock_bound_ns: Nanos,
}

/// A part of a mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartFacts {
    /// As it was typed, without its weight.
    pub name: String,
    /// Its share of the requests, from 0 to 1.
    pub share: f64,
}

/// An earlier run that sent the same prompts to the same server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBefore {
    /// Name of its folder.
    pub run: String,
    /// When it began, wall clock, UTC.
    pub started: String,
    /// The seed of both.
    pub seed: u64,
}

impl RunFacts {
    /// The default of [`Self::stability_percent`].
    pub const STABILITY_PERCENT: f64 = 10.0;

    /// A whole, streamed run of one point, on no GPU and with no bounds to meet: for runs that are made up.
    pub fn plain(target: TargetFacts, load: Load, window: Window, planned: u64) -> Self {
        Self {
            point: 0,
            target,
            load,
            window,
            window_kind: WindowKind::default(),
            planned,
            unsent: Vec::new(),
            gpus: 0,
            streaming: true,
            slos: Slos::default(),
            complete: true,
            stability_percent: Self::STABILITY_PERCENT,
            stages: None,
            stages_start: None,
            windows: None,
            saturated: None,
            workers: None,
            roofline: None,
            shared_prefix_tokens: 0,
            documents: None,
            images: None,
            workloads: Vec::new(),
            sent_before: None,
            warmup_failure: None,
            allowed: Vec::new(),
            also_sent_by: Vec::new(),
        }
    }
}

/// What answered, as far as it decides which checks apply and how results are marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// As it was asked for, e.g. `local:dummy-nano`.
    pub name: String,
    /// The family, e.g. `local`; `null` is the harness's own floor.
    pub kind: String,
    /// Latencies come from a model of an engine.
    pub simulated: bool,
    /// Weights are random.
    pub dummy_weights: bool,
}

impl TargetFacts {
    /// Whether the target replies at once, so that the harness itself is what is measured.
    pub fn is_null(&self) -> bool {
        registry::find(&self.kind).is_some_and(|kind| kind.abilities.replies_at_once)
    }

    /// Whether it was there before the run, and may remember what others have asked.
    pub fn is_server(&self) -> bool {
        registry::find(&self.kind).is_some_and(|kind| kind.abilities.server.is_some())
    }
}

impl From<&crate::targets::TargetInfo> for TargetFacts {
    fn from(info: &crate::targets::TargetInfo) -> Self {
        Self {
            name: info.name.clone(),
            kind: info.kind.clone(),
            simulated: info.simulated,
            dummy_weights: info.dummy_weights,
        }
    }
}
