//! Check `pull_lag`: output that was seen long after it existed.

use crate::metrics::definition::Quantity;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Check, CheckId, Status};
use crate::metrics::validity::{CheckOutcome, Evidence, host, not_applicable, short};
use crate::record::request_record::StampSource;

/// Pull lag above which a warning is due.
const LIMIT_MS: f64 = 0.2;
/// Share of the median latency that is always borne.
const LEAST_SHARE: f64 = 0.01;

/// What lags against an engine's stamps is inside the latencies, and is judged by its share of the TTFT. What lags against the
/// kernel's is in none: it only makes a closed loop send its next request later, so it is judged by its share of the request
/// latency.
pub(super) fn check(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::PullLag;
    let Some(p99) = evidence.percentile(Quantity::PullLag, Percentile::P99) else {
        return not_applicable(
            id,
            "neither the engine nor the kernel gave a stamp to compare ours with",
        );
    };
    let by_kernel = stamped_by_kernel(evidence);
    let median = |quantity| evidence.percentile(quantity, Percentile::P50);
    let ttft = median(Quantity::Ttft).filter(|_| !by_kernel);
    let latency = ttft.or_else(|| median(Quantity::E2e)).unwrap_or(0.0);
    let limit = LIMIT_MS.max(latency * host::bearable(evidence, LEAST_SHARE));
    let sentence = if by_kernel {
        format!(
            "output was read {} ms after it had arrived, at p99 over requests; the kernel stamped its arrival, so that no latency \
             holds this, but what follows an answer is later by so much",
            short(p99)
        )
    } else {
        format!("output was seen {} ms after it existed, at p99 over requests", short(p99))
    };
    CheckOutcome {
        status: if p99 > limit { Status::Warn } else { Status::Pass },
        measured: Some(p99),
        limit: Some(limit),
        unit: "ms",
        sentence,
        remedy: "give the harness a core of its own; what a request waits here is not the engine's",
    }
    .named(id)
}

/// Whether the lag of this point is that against the kernel's stamps: a target stamps all its output in one way.
fn stamped_by_kernel(evidence: &Evidence<'_>) -> bool {
    let stamped = evidence.point.requests().iter().find(|request| request.ended.is_completed());
    stamped.is_some_and(|request| request.stamp_source == StampSource::Kernel)
}
