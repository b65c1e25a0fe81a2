//! Check `host_core_wait`: threads that were ready to run and had no core.
//!
//! A wait makes latencies longer in two ways: all of them a little, where threads wait often, and a few of them much, where a
//! thread waits long. The first is judged as a share of the time, the second by how many requests may have met such a wait.

use super::{CheckOutcome, Evidence, host, not_applicable, pull_lag, short, too_short};
use crate::clock::Nanos;
use crate::metrics::definition::Quantity;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::percentile::Percentile;
use crate::metrics::spans::covered;
use crate::metrics::summary::{Check, CheckId};

/// Long waits move a percentile where more than what lies beyond it may have met one. A percentile that its sample is too small
/// to certify is marked already, and not judged.
const JUDGED: [Percentile; 3] = [Percentile::P90, Percentile::P95, Percentile::P99];
/// Fewer long waits say nothing of how often they come.
const FEWEST: u64 = 5;
/// A wait that is shorter than this, in milliseconds, is never long.
const SHORTEST_MS: f64 = 0.2;
/// Share of a percentile that is always borne.
const LEAST_SHARE: f64 = 0.01;

const HARNESS_REMEDY: &str =
    "this machine is the limit: keep the server and all else off the harness's cores";
const ENGINE_REMEDY: &str = "end what else runs on this machine, or give the engine fewer threads (`--threads`): it shared its cores";

/// What was found, and what would be borne.
struct Wait {
    share: f64,
    limit: f64,
    sentence: String,
    remedy: &'static str,
}

/// Whether the threads that send or stamp, and those of an engine in this process, had a core when they needed one.
pub(super) fn check(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::HostCoreWait;
    if let Some(check) = too_short(evidence, id) {
        return check;
    }
    let waits = of_harness(evidence).into_iter().chain(of_engine(evidence)).chain(long(evidence));
    let times_the_limit = |wait: &Wait| wait.share / wait.limit;
    let worst = waits.max_by(|a, b| times_the_limit(a).total_cmp(&times_the_limit(b)));
    let Some(Wait { share, limit, sentence, remedy }) = worst else {
        return not_applicable(id, "this machine does not tell how long threads wait for a core");
    };
    CheckOutcome {
        status: host::warn_above(share, limit),
        measured: Some(share),
        limit: Some(limit),
        unit: "share",
        sentence,
        remedy,
    }
    .named(id)
}

/// What a thread of the harness waits is part of the latencies: all of these are longer by at most this share.
fn of_harness(evidence: &Evidence<'_>) -> Option<Wait> {
    let share = evidence.health.core_wait?;
    let sentence = format!(
        "a thread of the harness was ready to run and had no core in {} % of the time: latencies are longer by at most so much",
        short(share * 100.0)
    );
    let limit = host::bearable(evidence, host::CORE_WAIT);
    Some(Wait { share, limit, sentence, remedy: HARNESS_REMEDY })
}

/// What the engine's worst thread waited for a core, as a share of the time in which it had requests: it sleeps in the rest,
/// which is in no latency.
fn of_engine(evidence: &Evidence<'_>) -> Option<Wait> {
    let waited = evidence.health.engine_core_wait_s?;
    let busy = time_in_flight(evidence.point).as_secs_f64();
    let share = (busy > 0.0).then(|| (waited / busy).min(1.0))?;
    let sentence = format!(
        "a thread of the engine in this process was ready to run and had no core in {} % of the time in which requests were in \
         flight: tokens are later by at most so much",
        short(share * 100.0)
    );
    let limit = host::bearable(evidence, host::CORE_WAIT);
    Some(Wait { share, limit, sentence, remedy: ENGINE_REMEDY })
}

/// How long at least one request was in flight, those of ramp and tail among them.
fn time_in_flight(point: &ObservedPoint) -> Nanos {
    covered(point.all().iter().filter_map(|it| it.submit().zip(it.end())).collect())
}

/// Long waits, of each percentile that is judged. Where the kernel stamps what arrives, no latency holds such a wait.
fn long(evidence: &Evidence<'_>) -> Vec<Wait> {
    if pull_lag::stamped_by_kernel(evidence) {
        return Vec::new();
    }
    let quantities = [Quantity::Ttft, Quantity::Itl, Quantity::E2e].into_iter();
    let of = |quantity| JUDGED.into_iter().filter_map(move |which| met(evidence, quantity, which));
    quantities.flat_map(of).collect()
}

/// A wait falls into a span with a chance of its rate times the span's length, so long as that is small.
fn met(evidence: &Evidence<'_>, quantity: Quantity, which: Percentile) -> Option<Wait> {
    let waits = evidence.health.long_waits.as_ref()?;
    let percentile = evidence.distributions.get(&quantity)?.as_ref()?.percentiles.get(&which)?;
    if !percentile.certified {
        return None;
    }
    let span_s = evidence.percentile(quantity, Percentile::P50)? / 1e3;
    let borne = host::bearable_of(evidence, quantity, which, LEAST_SHARE);
    let long_ms = SHORTEST_MS.max(percentile.value * borne);
    let times = Some(waits.times(long_ms)).filter(|times| *times >= FEWEST)?;
    let per_second = times as f64 / waits.seconds;
    let share = (per_second * span_s).min(1.0);
    let lengthened = match quantity {
        Quantity::Itl => "gaps between tokens",
        Quantity::Ttft => "TTFTs",
        _ => "latencies",
    };
    let sentence = format!(
        "threads waited {} ms or longer for a core {} times a second: {} % of the {lengthened} may be longer for it by more than \
         their {} is uncertain",
        short(long_ms),
        short(per_second),
        short(share * 100.0),
        which.label()
    );
    Some(Wait {
        share,
        limit: f64::from(1_000 - which.permille()) / 1e3,
        sentence,
        remedy: HARNESS_REMEDY,
    })
}
