//! Validity checks of the host: CPU quota, hypervisor, scheduler, and CPU time of the harness itself.

use super::{CheckOutcome, not_applicable, short};
use crate::metrics::facts::RunFacts;
use crate::metrics::summary::{Check, CheckId, Status};
use crate::observe::health::Health;

/// Share of CPU time given to others above which a warning is due.
const STEAL: f64 = 0.01;
/// Involuntary switches of hot threads per second above which a warning is due.
const SWITCHES_PER_S: f64 = 10.0;
/// Share of the run that a thread of the harness may wait for a core.
const CORE_WAIT: f64 = 0.05;
/// Cores that the harness's own threads may use.
const HARNESS_CORES: f64 = 0.5;

const fn warn_above(measured: f64, limit: f64) -> Status {
    if measured > limit { Status::Warn } else { Status::Pass }
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
pub(super) fn steal(health: &Health) -> Check {
    let id = CheckId::HostSteal;
    let Some(share) = health.steal else {
        return not_applicable(id, "this machine does not tell how much CPU time others took");
    };
    CheckOutcome {
        status: warn_above(share, STEAL),
        measured: Some(share),
        limit: Some(STEAL),
        unit: "share",
        sentence: format!(
            "the hypervisor gave {} % of the CPU time to others",
            short(share * 100.0)
        ),
        remedy: "measure on a machine that is not shared",
    }
    .named(id)
}

/// Whether hot threads lost their cores.
pub(super) fn switches(health: &Health, facts: &RunFacts) -> Check {
    let id = CheckId::HostSwitches;
    let rate = health.involuntary_switches.zip(facts.window.seconds());
    let Some(rate) = rate.map(|(switches, seconds)| switches as f64 / seconds) else {
        return not_applicable(id, "involuntary switches of hot threads were not counted");
    };
    CheckOutcome {
        status: warn_above(rate, SWITCHES_PER_S),
        measured: Some(rate),
        limit: Some(SWITCHES_PER_S),
        unit: "switches/s",
        sentence: format!("hot threads lost their core {} times a second", short(rate)),
        remedy: "leave the harness a core that nothing else uses",
    }
    .named(id)
}

/// Whether the harness had CPU time to spare.
pub(super) fn cpu(health: &Health) -> Check {
    let id = CheckId::HostCpu;
    let Some(cores) = health.harness_cpu else {
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

/// Whether the harness's threads had a core when they needed one.
pub(super) fn core_wait(health: &Health) -> Check {
    let id = CheckId::HostCoreWait;
    let Some(share) = health.core_wait else {
        return not_applicable(id, "this machine does not tell how long threads wait for a core");
    };
    CheckOutcome {
        status: warn_above(share, CORE_WAIT),
        measured: Some(share),
        limit: Some(CORE_WAIT),
        unit: "share",
        sentence: format!(
            "a thread of the harness was ready to run and had no core in {} % of the time",
            short(share * 100.0)
        ),
        remedy: "this machine is the limit: keep the server and all else off the harness's cores",
    }
    .named(id)
}
