//! Check `pull_lag`: output that was seen long after it existed.

use crate::clock::Nanos;
use crate::metrics::definition::Quantity;
use crate::metrics::observed::Observed;
use crate::metrics::per_request::lags_of_engine;
use crate::metrics::percentile::{Percentile, Ranks};
use crate::metrics::summary::{Check, CheckId};
use crate::metrics::validity::{CheckOutcome, Evidence, host, not_applicable, short};
use crate::record::request_record::StampSource;

/// What a lag may cost in any case, in milliseconds.
const LIMIT_MS: f64 = 0.2;
/// Share of a latency that is always borne.
const LEAST_SHARE: f64 = 0.01;
const REMEDY: &str =
    "give the harness a core of its own; what a request waits here is not the engine's";

/// What lags against an engine's stamps is inside the latencies, and is judged by how much longer it makes what is reported of
/// them. What lags against the kernel's is in none: it only makes a closed loop send its next request later, so it is judged by
/// its share of the request latency.
pub(super) fn check(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::PullLag;
    let Some(p99) = evidence.percentile(Quantity::PullLag, Percentile::P99) else {
        return not_applicable(
            id,
            "neither the engine nor the kernel gave a stamp to compare ours with",
        );
    };
    if stamped_by_kernel(evidence) { by_kernel(evidence, p99) } else { by_engine(evidence, p99) }
}

fn by_kernel(evidence: &Evidence<'_>, p99: f64) -> Check {
    let latency = evidence.percentile(Quantity::E2e, Percentile::P50).unwrap_or(0.0);
    let limit = LIMIT_MS.max(latency * host::bearable(evidence, LEAST_SHARE));
    let sentence = format!(
        "output was read {} ms after it had arrived, at p99 over requests; the kernel stamped its arrival, so that no latency \
         holds this, but what follows an answer is later by so much",
        short(p99)
    );
    outcome(p99, limit, sentence)
}

fn by_engine(evidence: &Evidence<'_>, p99: f64) -> Check {
    let seen = format!("output was seen {} ms after it existed, at p99 over requests", short(p99));
    let reported = [Quantity::Ttft, Quantity::E2e].into_iter();
    let costs = reported.flat_map(|quantity| Cost::of(evidence, quantity));
    let share = |cost: &Cost| cost.longer_by_ms / cost.limit_ms;
    let Some(worst) = costs.max_by(|a, b| share(a).total_cmp(&share(b))) else {
        // No latency is reported that could hold it.
        return outcome(p99, LIMIT_MS, seen);
    };
    let Cost { quantity, which, longer_by_ms, limit_ms } = worst;
    let label = quantity.definition().label;
    let sentence =
        format!("{seen}; {label} {} is longer by {} ms for it", which.label(), short(longer_by_ms));
    outcome(longer_by_ms, limit_ms, sentence)
}

fn outcome(measured: f64, limit: f64, sentence: String) -> Check {
    CheckOutcome {
        status: host::warn_above(measured, limit),
        measured: Some(measured),
        limit: Some(limit),
        unit: "ms",
        sentence,
        remedy: REMEDY,
    }
    .named(CheckId::PullLag)
}

/// What late looks cost one number that is reported.
struct Cost {
    quantity: Quantity,
    which: Percentile,
    longer_by_ms: f64,
    limit_ms: f64,
}

impl Cost {
    /// Median and p99 with what was seen late, less the same ones without it; none where no request has the quantity.
    fn of(evidence: &Evidence<'_>, quantity: Quantity) -> Vec<Self> {
        let (mut seen, mut existed) = (Vec::new(), Vec::new());
        for request in evidence.point.requests().iter().filter(|it| it.ended.is_completed()) {
            let Some(value) = evidence.value(quantity, request) else { continue };
            let lag = lag_in(evidence, quantity, request).unwrap_or(Nanos::ZERO);
            seen.push(value);
            existed.push(value - lag.as_millis_f64());
        }
        if seen.is_empty() {
            return Vec::new();
        }
        let cost = |which| {
            let rank = Ranks::of(which, seen.len() as u64).value as usize - 1;
            let of = |values: &mut [f64]| *values.select_nth_unstable_by(rank, f64::total_cmp).1;
            let value = of(&mut seen);
            let borne = value * host::bearable_of(evidence, quantity, which, LEAST_SHARE);
            Self {
                quantity,
                which,
                longer_by_ms: value - of(&mut existed),
                limit_ms: LIMIT_MS.max(borne),
            }
        };
        [Percentile::P50, Percentile::P99].map(cost).into()
    }
}

/// How much of a latency is that its last stamp was taken late.
fn lag_in(evidence: &Evidence<'_>, quantity: Quantity, request: &Observed) -> Option<Nanos> {
    let streaming = request.is_streamed(evidence.facts.streaming);
    let (first, last) = lags_of_engine(request, streaming);
    if quantity == Quantity::Ttft { first } else { last }
}

/// Whether the lag of this point is that against the kernel's stamps: a target stamps all its output in one way.
pub(super) fn stamped_by_kernel(evidence: &Evidence<'_>) -> bool {
    let stamped = evidence.point.requests().iter().find(|request| request.ended.is_completed());
    stamped.is_some_and(|request| request.stamp_source == StampSource::Kernel)
}
