//! Throughput: requests and tokens per second of the measurement window.

use std::collections::BTreeMap;

use crate::clock::{MonoNs, Nanos, Window};
use crate::metrics::counts::is_attempted;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Observed, ObservedPoint};
use crate::metrics::summary::{Counts, SloResult, WholeRun};
use crate::record::request_record::Part;
use crate::settings::slo::{Slo, SloMetric};

/// Requests that meet every bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Good {
    /// Measured ones, wherever they ended.
    pub all: u64,
    /// Those of any part that ended in the window.
    pub in_window: u64,
}

/// Every rate of a run; `good` is `None` where no bound was given or one cannot be judged, and `energy_j` where it is not
/// valid.
pub fn of(
    point: &ObservedPoint,
    facts: &RunFacts,
    counts: &Counts,
    good: Option<Good>,
    energy_j: Option<f64>,
) -> BTreeMap<Rate, Option<f64>> {
    let amounts = Amounts {
        output: output_tokens(point, facts, counts),
        has_output: has_output(point),
        prompts: prompt_tokens(point, facts.window).map(|tokens| tokens as f64),
        completed: counts.completed_in_window as f64,
        good: good.map(|good| good.in_window as f64),
        good_fraction: good
            .filter(|_| counts.attempted > 0)
            .map(|good| good.all as f64 / counts.attempted as f64),
        energy_j,
    };
    per_window(facts, facts.window, amounts)
}

/// What came out in a window.
#[derive(Clone, Copy)]
struct Amounts {
    output: Option<f64>,
    /// Whether output was made, or could have been; not so for embeddings.
    has_output: bool,
    /// `None` where nobody counted them.
    prompts: Option<f64>,
    completed: f64,
    good: Option<f64>,
    good_fraction: Option<f64>,
    energy_j: Option<f64>,
}

fn per_window(facts: &RunFacts, window: Window, amounts: Amounts) -> BTreeMap<Rate, Option<f64>> {
    let Amounts { output, has_output, prompts, completed, good, good_fraction, energy_j } = amounts;
    let seconds = window.seconds();
    let per_second = |amount: f64| seconds.map(|seconds| amount / seconds);
    let per_gpu = |rate: Option<f64>| {
        rate.filter(|_| facts.gpus > 0).map(|rate| rate / f64::from(facts.gpus))
    };
    let total_rate = output.zip(prompts).and_then(|(output, prompts)| per_second(output + prompts));
    let output = output.filter(|_| has_output);
    let output_rate = output.and_then(per_second);
    let items = |each: Option<u32>| each.and_then(|each| per_second(completed * f64::from(each)));
    let rate = |rate: Rate| match rate {
        Rate::OutputThroughput => output_rate,
        Rate::TotalThroughput => total_rate,
        Rate::InputThroughput => prompts.and_then(per_second),
        Rate::RequestThroughput => per_second(completed),
        Rate::DocumentThroughput => items(facts.documents),
        Rate::ImageThroughput => items(facts.images),
        Rate::PerGpuOutput => per_gpu(output_rate),
        Rate::PerGpuTotal => per_gpu(total_rate),
        Rate::Goodput => good.and_then(per_second),
        Rate::GoodFraction => good_fraction,
        Rate::EnergyPerOutputToken => ratio(energy_j, output),
        Rate::OutputTokensPerJoule => ratio(output, energy_j),
    };
    Rate::ALL.into_iter().map(|which| (which, rate(which))).collect()
}

/// Everything that was sent, from its first submission to its last end; `None` where nothing ended.
pub fn whole_run(point: &ObservedPoint, facts: &RunFacts, counts: &Counts) -> Option<WholeRun> {
    let sent = || point.all().iter().filter(|request| request.submit().is_some());
    let completed = || sent().filter(|request| request.ended.is_completed());
    let start = sent().filter_map(Observed::submit).min()?;
    // The window does not hold its own end; the last request does belong to it.
    let end = sent().filter_map(Observed::end).max()? + Nanos(1);
    let window = Window { start, end };
    let output_tokens: u64 = sent().map(|request| u64::from(request.output_tokens)).sum();
    let slos = &facts.slos.0;
    let streaming = point.is_streamed(facts.streaming);
    let judged = !slos.is_empty() && slos.iter().all(|slo| can_be_judged(slo, streaming, counts));
    let good = judged.then(|| completed().filter(|it| is_good(slos, it, facts)).count() as f64);
    let submitted = sent().count() as u64;
    let completed = completed().count() as u64;
    let amounts = Amounts {
        output: Some(output_tokens as f64),
        has_output: has_output(point),
        prompts: prompt_tokens(point, window).map(|tokens| tokens as f64),
        completed: completed as f64,
        good,
        good_fraction: good.map(|good| good / submitted as f64),
        energy_j: None,
    };
    let rates = per_window(facts, window, amounts);
    Some(WholeRun {
        window,
        window_s: window.seconds(),
        submitted,
        completed,
        output_tokens,
        rates,
    })
}

/// Nothing divided by nothing is unknown, and so is something.
fn ratio(over: Option<f64>, under: Option<f64>) -> Option<f64> {
    over.zip(under).filter(|(_, under)| *under > 0.0).map(|(over, under)| over / under)
}

/// Tokens delivered in the window, of all requests: what was delivered was produced, whatever became of the request.
fn output_tokens(point: &ObservedPoint, facts: &RunFacts, counts: &Counts) -> Option<f64> {
    if counts.deliveries_missing > 0 {
        return None;
    }
    let of_request = |request: &Observed| request.tokens_in_window(facts.window);
    // An empty sum of floats is -0.0, which would be printed as such.
    Some(point.all().iter().map(of_request).sum::<f64>() + 0.0)
}

/// Whether any request had output, or none completed that could tell.
fn has_output(point: &ObservedPoint) -> bool {
    let mut completed =
        point.all().iter().filter(|request| request.ended.is_completed()).peekable();
    completed.peek().is_none() || point.all().iter().any(|request| request.output_tokens > 0)
}

/// Prompt tokens that were worked off in a window, as the server counts them where it does; `None` where nobody counted one.
fn prompt_tokens(point: &ObservedPoint, window: Window) -> Option<u64> {
    let inside = |request: &&Observed| worked_off(request).is_some_and(|at| window.holds(at));
    point.all().iter().filter(inside).map(|request| request.counted_prompt().map(u64::from)).sum()
}

/// When a prompt had been read: at the first token, or at the end of an answer that has no tokens at all.
fn worked_off(request: &Observed) -> Option<MonoNs> {
    let is_without_output = request.ended.is_completed() && request.output_tokens == 0;
    request.first_token().or(request.end().filter(|_| is_without_output))
}

/// Holds every request against every bound.
pub fn judge(
    point: &ObservedPoint,
    facts: &RunFacts,
    counts: &Counts,
) -> (Vec<SloResult>, Option<Good>) {
    let slos = &facts.slos.0;
    let streaming = point.is_streamed(facts.streaming);
    let completed = || point.requests().iter().filter(|request| request.ended.is_completed());
    let results: Vec<SloResult> = slos
        .iter()
        .map(|slo| {
            let met = can_be_judged(slo, streaming, counts)
                .then(|| completed().filter(|request| is_met(slo, request, facts)).count() as u64);
            let met_fraction = met
                .filter(|_| counts.attempted > 0)
                .map(|met| met as f64 / counts.attempted as f64);
            let is_unmeasured = |it: &&Observed| measured(slo, it, facts).is_none();
            let unmeasured = completed().filter(is_unmeasured).count() as u64;
            SloResult { slo: *slo, met, met_fraction, unmeasured }
        })
        .collect();
    if results.is_empty() || results.iter().any(|result| result.met.is_none()) {
        return (results, None);
    }
    let mut good = Good { all: 0, in_window: 0 };
    for record in point.all().iter().filter(|request| request.ended.is_completed()) {
        debug_assert!(is_attempted(record));
        if is_good(slos, record, facts) {
            good.all += u64::from(record.part == Part::Measured);
            good.in_window += u64::from(record.end().is_some_and(|end| facts.window.holds(end)));
        }
    }
    (results, Some(good))
}

fn measured(slo: &Slo, request: &Observed, facts: &RunFacts) -> Option<f64> {
    slo.metric.of(request, facts.streaming)
}

fn is_met(slo: &Slo, request: &Observed, facts: &RunFacts) -> bool {
    slo.is_met(measured(slo, request, facts))
}

fn is_good(slos: &[Slo], request: &Observed, facts: &RunFacts) -> bool {
    slos.iter().all(|slo| is_met(slo, request, facts))
}

/// Whether the run has the latency that a bound is about.
fn can_be_judged(slo: &Slo, streaming: bool, counts: &Counts) -> bool {
    let quantity: Quantity = slo.metric.quantity();
    let streamed = streaming || !quantity.definition().needs_streaming;
    let kept = slo.metric != SloMetric::Stall || counts.deliveries_missing == 0;
    streamed && kept
}
