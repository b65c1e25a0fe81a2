//! Throughput: requests and tokens per second of the measurement window.

use std::collections::BTreeMap;

use crate::metrics::counts::is_attempted;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Observed, ObservedPoint};
use crate::metrics::per_request::Derived;
use crate::metrics::summary::{Counts, SloResult};
use crate::settings::slo::{Slo, SloMetric};

/// Requests that meet every bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Good {
    /// Wherever they ended.
    pub all: u64,
    /// Those that ended in the window.
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
    let seconds = facts.window.seconds();
    let per_second = |amount: f64| seconds.map(|seconds| amount / seconds);
    let per_gpu = |rate: Option<f64>| {
        rate.filter(|_| facts.gpus > 0).map(|rate| rate / f64::from(facts.gpus))
    };
    let output = output_tokens(point, facts, counts);
    let prompts = prompt_tokens(point, facts);
    let output_rate = output.and_then(per_second);
    let total_rate = output.and_then(|output| per_second(output + prompts as f64));
    let rate = |rate: Rate| match rate {
        Rate::OutputThroughput => output_rate,
        Rate::TotalThroughput => total_rate,
        Rate::RequestThroughput => per_second(counts.completed_in_window as f64),
        Rate::PerGpuOutput => per_gpu(output_rate),
        Rate::PerGpuTotal => per_gpu(total_rate),
        Rate::Goodput => good.and_then(|good| per_second(good.in_window as f64)),
        Rate::GoodFraction => good
            .filter(|_| counts.attempted > 0)
            .map(|good| good.all as f64 / counts.attempted as f64),
        Rate::EnergyPerOutputToken => ratio(energy_j, output),
        Rate::OutputTokensPerJoule => ratio(output, energy_j),
    };
    Rate::ALL.into_iter().map(|which| (which, rate(which))).collect()
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
    Some(point.requests().iter().map(of_request).sum::<f64>() + 0.0)
}

fn prompt_tokens(point: &ObservedPoint, facts: &RunFacts) -> u64 {
    let began_inside =
        |record: &&Observed| record.first_token().is_some_and(|at| facts.window.holds(at));
    point.requests().iter().filter(began_inside).map(|record| u64::from(record.prompt_tokens)).sum()
}

/// Holds every request against every bound.
pub fn judge(
    point: &ObservedPoint,
    facts: &RunFacts,
    counts: &Counts,
) -> (Vec<SloResult>, Option<Good>) {
    let slos = &facts.slos.0;
    let completed = || point.requests().iter().filter(|request| request.ended.is_completed());
    let is_met = |slo: &Slo, request: &Observed| {
        slo.is_met(Derived::one(slo.metric.quantity(), request, facts.streaming))
    };
    let results: Vec<SloResult> = slos
        .iter()
        .map(|slo| {
            let met = can_be_judged(slo, facts, counts)
                .then(|| completed().filter(|request| is_met(slo, request)).count() as u64);
            let met_fraction = met
                .filter(|_| counts.attempted > 0)
                .map(|met| met as f64 / counts.attempted as f64);
            SloResult { slo: *slo, met, met_fraction }
        })
        .collect();
    if results.is_empty() || results.iter().any(|result| result.met.is_none()) {
        return (results, None);
    }
    let mut good = Good { all: 0, in_window: 0 };
    for record in completed() {
        debug_assert!(is_attempted(record));
        if slos.iter().all(|slo| is_met(slo, record)) {
            good.all += 1;
            good.in_window += u64::from(record.end().is_some_and(|end| facts.window.holds(end)));
        }
    }
    (results, Some(good))
}

/// Whether the run has the latency that a bound is about.
fn can_be_judged(slo: &Slo, facts: &RunFacts, counts: &Counts) -> bool {
    let quantity: Quantity = slo.metric.quantity();
    let streamed = facts.streaming || !quantity.definition().needs_streaming;
    let kept = slo.metric != SloMetric::Stall || counts.deliveries_missing == 0;
    streamed && kept
}
