//! Roofline: the measured rates of a run as a share of what its machine can do with its model.

pub mod floor;

use serde::{Deserialize, Serialize};

use crate::clock::Window;
use crate::clock::{MonoNs, Nanos};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Observed, ObservedPoint};
use crate::metrics::spans::covered;
use crate::metrics::summary::{Counts, Distribution};
use crate::specs::{MachineOrigin, RooflineFacts};

pub use floor::{Bound, Floor};

/// The best that is possible for the load that was measured, and how much of it was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// On what, e.g. `2 × H200 SXM`.
    pub machine: String,
    /// Who says that it is this machine; `None` where it was not kept.
    pub machine_from: Option<MachineOrigin>,
    /// Decoding; `None` where no request decoded.
    pub decode: Option<Decode>,
    /// Prompts; `None` where none was computed, or parts of them were reused.
    pub prefill: Option<Prefill>,
    /// Operations that the model needed ÷ operations that the machines could have done in the window (MFU).
    pub flop_utilisation: Option<f64>,
    /// The same, held against what the machines were measured to do; absent where they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<OfMeasured>,
}

/// Shares of what the machines were measured to do (`doctor --probe-gpu`). A figure that needs one that was not measured is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfMeasured {
    /// When and how, as `measured at …`.
    pub source: String,
    /// Floor of a decoding step, in ms.
    pub decode_floor_ms: Option<f64>,
    /// Floor ÷ step.
    pub decode_share: Option<f64>,
    /// Bytes that had to be read ÷ bytes that the memory was measured to deliver in a step.
    pub bandwidth_utilisation: Option<f64>,
    /// Floor of a prompt, in ms.
    pub prefill_floor_ms: Option<f64>,
    /// Floor ÷ measured prefill.
    pub prefill_share: Option<f64>,
    /// Operations that the model needed ÷ operations that the machines were measured to do in the window.
    pub flop_utilisation: Option<f64>,
}

impl Roofline {
    /// The machine, and who says that it is this one where that was not the reader.
    pub fn machine_description(&self) -> String {
        format!("{}{}", self.machine, self.machine_from.map_or("", MachineOrigin::label))
    }
}

/// Decoding steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decode {
    /// Sequences in a step, averaged over the time in which there was one.
    pub batch: f64,
    /// Tokens that a sequence looks at, averaged over decoded tokens.
    pub context_tokens: f64,
    /// The two sides.
    #[serde(flatten)]
    pub floor: Floor,
    /// The longer side, in ms.
    pub floor_ms: f64,
    /// Which side that is.
    pub bound: Bound,
    /// The mean gap between deliveries, in ms; `None` where it is not known.
    pub step_ms: Option<f64>,
    /// Floor ÷ step.
    pub share: Option<f64>,
    /// Bytes that had to be read ÷ bytes that the memory could have delivered in a step (MBU).
    pub bandwidth_utilisation: Option<f64>,
}

/// Prompts, each as if it were alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prefill {
    /// Mean length.
    pub prompt_tokens: f64,
    /// The two sides, averaged over prompts.
    #[serde(flatten)]
    pub floor: Floor,
    /// The longer side of each prompt, averaged, in ms.
    pub floor_ms: f64,
    /// Which side is longer on average.
    pub bound: Bound,
    /// The mean prefill time by the engine's stamps, in ms; `None` without them.
    pub measured_ms: Option<f64>,
    /// Floor ÷ measured, over the same requests.
    pub share: Option<f64>,
}

/// The roofline of a run; `None` where model or machine is not known.
pub fn of(
    point: &ObservedPoint,
    facts: &RunFacts,
    counts: &Counts,
    icl: Option<&Distribution>,
) -> Option<Roofline> {
    let known = facts.roofline.as_ref()?;
    let reused = point.requests().iter().any(Observed::reuses_a_prompt);
    let load = decode_load(point, facts.window);
    let computed = !reused;
    let held_against = |known: &RooflineFacts| Roofline {
        machine: known.machine_description(),
        machine_from: known.machine_from,
        decode: load.map(|load| decode(known, load, icl.map(|gaps| gaps.mean))),
        prefill: computed.then(|| prefill(known, point)).flatten(),
        flop_utilisation: (computed && counts.deliveries_missing == 0)
            .then(|| flop_utilisation(known, point, facts.window))
            .flatten(),
        measured: None,
    };
    let measured = known.on_measured().map(|known| of_measured(&known, &held_against(&known)));
    Some(Roofline { measured, ..held_against(known) })
}

/// Without the arithmetic of the model among what was measured, only the memory can be held against it.
fn of_measured(known: &RooflineFacts, roofline: &Roofline) -> OfMeasured {
    let is_whole = known.machine.peak.of(known.model.arithmetic).is_some();
    let (decode, prefill) = (roofline.decode, roofline.prefill);
    let (whole_decode, whole_prefill) = (decode.filter(|_| is_whole), prefill.filter(|_| is_whole));
    OfMeasured {
        source: known.machine.source.clone(),
        decode_floor_ms: whole_decode.map(|it| it.floor_ms),
        decode_share: whole_decode.and_then(|it| it.share),
        bandwidth_utilisation: decode.and_then(|it| it.bandwidth_utilisation),
        prefill_floor_ms: whole_prefill.map(|it| it.floor_ms),
        prefill_share: whole_prefill.and_then(|it| it.share),
        flop_utilisation: roofline.flop_utilisation,
    }
}

fn decode(known: &RooflineFacts, load: DecodeLoad, step_ms: Option<f64>) -> Decode {
    let floor = floor::decode(known, load.batch, load.context_tokens);
    let step_ms = step_ms.filter(|step| *step > 0.0);
    Decode {
        batch: load.batch,
        context_tokens: load.context_tokens,
        floor,
        floor_ms: floor.ms(),
        bound: floor.bound(),
        step_ms,
        share: step_ms.map(|step| floor.ms() / step),
        bandwidth_utilisation: step_ms.map(|step| floor.memory_ms / step),
    }
}

/// What decoding steps had to do on average.
#[derive(Debug, Clone, Copy, PartialEq)]
struct DecodeLoad {
    batch: f64,
    context_tokens: f64,
}

/// From the time between first and last token of each request, as far as it lies in the window.
fn decode_load(point: &ObservedPoint, window: Window) -> Option<DecodeLoad> {
    let mut spans: Vec<(MonoNs, MonoNs)> = Vec::new();
    let (mut tokens, mut looked_at) = (0.0, 0.0);
    for record in point.all() {
        let Some(span) = decode_span(record, window) else { continue };
        spans.push(span);
        let decoded = f64::from(record.output_tokens.saturating_sub(record.first_tokens));
        tokens += decoded;
        looked_at += decoded * mean_context(record);
    }
    let together: i64 = spans.iter().map(|(from, to)| (*to - *from).0).sum();
    let covered = covered(spans);
    (covered > Nanos::ZERO && tokens > 0.0).then(|| DecodeLoad {
        batch: together as f64 / covered.0 as f64,
        context_tokens: looked_at / tokens,
    })
}

fn decode_span(record: &Observed, window: Window) -> Option<(MonoNs, MonoNs)> {
    let from = record.first_token()?.max(window.start);
    let to = record.last_token()?.min(window.end);
    (from < to).then_some((from, to))
}

/// Token k of an output is computed while prompt and k − 1 tokens lie in the cache; those of the first delivery were not
/// decoded.
fn mean_context(record: &Observed) -> f64 {
    let (first, all) = (f64::from(record.first_tokens), f64::from(record.output_tokens));
    f64::from(record.prompt_tokens) + (first + all - 1.0) / 2.0
}

fn prefill(known: &RooflineFacts, point: &ObservedPoint) -> Option<Prefill> {
    let prompts = || {
        let completed = point.requests().iter().filter(|record| record.ended.is_completed());
        completed.map(|record| (f64::from(record.prompt_tokens), prefill_ms(record)))
    };
    // Floor and measurement must be of the same requests.
    let stamped = prompts().any(|(_, measured)| measured.is_some());
    let counted: Vec<_> =
        prompts().filter(|(_, measured)| measured.is_some() || !stamped).collect();
    let mean = |of: &dyn Fn(f64) -> f64| {
        counted.iter().map(|(prompt, _)| of(*prompt)).sum::<f64>() / counted.len() as f64
    };
    if counted.is_empty() {
        return None;
    }
    let compute = |prompt| floor::prefill(known, prompt).compute_ms;
    let floor = Floor {
        memory_ms: mean(&|prompt| floor::prefill(known, prompt).memory_ms),
        compute_ms: compute(1.0).map(|_| mean(&|prompt| compute(prompt).unwrap_or_default())),
    };
    let floor_ms = mean(&|prompt| floor::prefill(known, prompt).ms());
    let measured: f64 = counted.iter().filter_map(|(_, measured)| *measured).sum();
    let measured_ms = stamped.then(|| measured / counted.len() as f64).filter(|ms| *ms > 0.0);
    Some(Prefill {
        prompt_tokens: mean(&|prompt| prompt),
        floor,
        floor_ms,
        bound: floor.bound(),
        measured_ms,
        share: measured_ms.map(|measured| floor_ms / measured),
    })
}

fn prefill_ms(record: &Observed) -> Option<f64> {
    let times = record.engine_times()?;
    Some((times.first_token? - times.first_scheduled?).as_millis_f64())
}

/// Prompts count in the window of their first token, decoded tokens in that of their delivery.
fn flop_utilisation(known: &RooflineFacts, point: &ObservedPoint, window: Window) -> Option<f64> {
    let seconds = window.seconds()?;
    let peak = known.machine.peak.of(known.model.arithmetic)? * f64::from(known.machines());
    let of_request = |record: &Observed| {
        let first = record.first_token().filter(|at| window.holds(*at));
        let prompt = first.map_or(0.0, |_| {
            floor::prefill_operations(&known.model, f64::from(record.prompt_tokens))
        });
        let decoded = record.decoded_in_window(window);
        prompt + decoded * floor::decode_operations(&known.model, mean_context(record))
    };
    Some(point.all().iter().map(of_request).sum::<f64>() / seconds / peak)
}
