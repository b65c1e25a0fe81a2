//! Validity checks of the host: CPU quota, hypervisor, lost cores, and CPU time of the harness itself.

use super::{CheckOutcome, Evidence, not_applicable, short, too_short};
use crate::metrics::definition::Quantity;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Check, CheckId, Status};
use crate::observe::health::Health;

/// Share of CPU time given to others above which a warning is due.
const STEAL: f64 = 0.01;
/// Share of the run, and so of the latencies in it, that a thread which sends or stamps may wait for a core.
pub(super) const CORE_WAIT: f64 = 0.05;
/// What a thread waits until it has its core again, in seconds, where the machine does not tell: a turn of another one.
const TURN_S: f64 = 0.005;
/// Cores that the harness's own threads may use.
const HARNESS_CORES: f64 = 0.5;
/// However wide an interval is, a larger share of a latency is not lost in it: noise does not widen what it may do.
const WIDEST: f64 = 0.10;

/// A warning above the limit.
pub(super) const fn warn_above(measured: f64, limit: f64) -> Status {
    if measured > limit { Status::Warn } else { Status::Pass }
}

/// How much of the latencies may be lost before a number moves by more than it is known to: `least`, or half the narrowest
/// interval of the medians that are reported, as a share; a tenth at most.
pub(super) fn bearable(evidence: &Evidence<'_>, least: f64) -> f64 {
    let medians = [Quantity::Ttft, Quantity::Tpot, Quantity::E2e].into_iter();
    let reaches = medians.filter_map(|quantity| reach(evidence, quantity, Percentile::P50));
    reaches.reduce(f64::min).unwrap_or(0.0).clamp(least, WIDEST)
}

/// The same of one number that is reported. A percentile without an upper end is known to no more than the cap.
pub(super) fn bearable_of(
    evidence: &Evidence<'_>,
    quantity: Quantity,
    which: Percentile,
    least: f64,
) -> f64 {
    reach(evidence, quantity, which).unwrap_or(WIDEST).clamp(least, WIDEST)
}

/// Half the interval of a percentile, as a share of it.
fn reach(evidence: &Evidence<'_>, quantity: Quantity, which: Percentile) -> Option<f64> {
    let distribution = evidence.distributions.get(&quantity)?.as_ref()?;
    let percentile = distribution.percentiles.get(&which)?;
    let (low, high) = percentile.low.zip(percentile.high)?;
    (percentile.value > 0.0).then(|| (high - low) / 2.0 / percentile.value)
}

/// Whether the cgroup's CPU quota held the process back.
pub(super) fn throttling(health: &Health) -> Check {
    let id = CheckId::HostThrottling;
    let Some(periods) = health.cgroup_throttled else {
        return not_applicable(
            id,
            "this machine does not tell whether a cgroup held the process back",
        );
    };
    CheckOutcome {
        status: warn_above(periods as f64, 0.0),
        measured: Some(periods as f64),
        limit: Some(0.0),
        unit: "periods",
        sentence: format!("the cgroup's CPU quota held the process back in {periods} periods"),
        remedy: "raise the CPU quota of the container",
    }
    .named(id)
}

/// Whether the hypervisor gave CPU time to others.
pub(super) fn steal(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::HostSteal;
    if let Some(check) = too_short(evidence, id) {
        return check;
    }
    let Some(share) = evidence.health.steal else {
        return not_applicable(id, "this machine does not tell how much CPU time others took");
    };
    let limit = bearable(evidence, STEAL);
    CheckOutcome {
        status: warn_above(share, limit),
        measured: Some(share),
        limit: Some(limit),
        unit: "share",
        sentence: format!(
            "the hypervisor gave {} % of the CPU time to others",
            short(share * 100.0)
        ),
        remedy: "measure on a machine that is not shared",
    }
    .named(id)
}

/// What it costs that threads which send or stamp lose their cores: where the wait for a core is told, that is the cost and
/// has a check of its own.
pub(super) fn switches(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::HostSwitches;
    if let Some(check) = too_short(evidence, id) {
        return check;
    }
    let rate = evidence.health.involuntary_switches.zip(evidence.facts.window.seconds());
    let Some(rate) = rate.map(|(switches, seconds)| switches as f64 / seconds) else {
        return not_applicable(id, "involuntary switches of hot threads were not counted");
    };
    let seen = format!("hot threads lost their core {} times a second", short(rate));
    let limit = bearable(evidence, CORE_WAIT);
    let (status, cost, sentence) = if let Some(wait) = evidence.health.core_wait {
        let waited = short(wait * 100.0);
        (Status::Pass, wait, format!("{seen} and waited for one in {waited} % of the time at most"))
    } else {
        let cost = rate * TURN_S;
        let share = short(cost * 100.0);
        (warn_above(cost, limit), cost, format!("{seen}, about {share} % of the time"))
    };
    CheckOutcome {
        status,
        measured: Some(cost),
        limit: Some(limit),
        unit: "share",
        sentence,
        remedy: "leave the harness a core that nothing else uses",
    }
    .named(id)
}

/// Whether the harness had CPU time to spare.
pub(super) fn cpu(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::HostCpu;
    if evidence.facts.target.is_null() {
        return not_applicable(id, "the target is the floor of the harness itself");
    }
    let Some(cores) = evidence.health.harness_cpu else {
        return not_applicable(id, "the harness's CPU time cannot be separated from the target's");
    };
    CheckOutcome {
        status: warn_above(cores, HARNESS_CORES),
        measured: Some(cores),
        limit: Some(HARNESS_CORES),
        unit: "cores",
        sentence: format!("the harness's own threads used {} cores", short(cores)),
        remedy: "lower the load, or use several load generators",
    }
    .named(id)
}
