//! Validity checks: one for each way in which the harness could have been the bottleneck.

mod completion;
mod core_wait;
mod gpu;
mod host;
mod pull_lag;
mod repeats;
mod stability;
mod streaming;
mod warm_up;

use std::collections::BTreeMap;

use crate::clock::Nanos;
use crate::load::Load;
use crate::metrics::counts;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Observed, ObservedPoint};
use crate::metrics::per_request::Derived;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Check, CheckId, Counts, Distribution, Status, Verdict};
use crate::observe::health::{ClientRate, Health};

/// A schedule lag of this much is always forgiven.
const LAG_FLOOR_MS: f64 = 1.0;
/// Beyond the floor, a lag of this share of the median TTFT is forgiven.
const LAG_SHARE: f64 = 0.01;
/// Null rate ÷ offered rate under which a warning is due.
const HEADROOM_WARN: f64 = 5.0;
/// Null rate ÷ offered rate under which the harness was the bottleneck.
const HEADROOM_FAIL: f64 = 2.0;
/// Share of the window that events may wait for the recorder.
const RECORDER_WAIT_SHARE: f64 = 0.01;
/// Clocks are read within a microsecond of each other at best.
const CLOCK_RESOLUTION_MS: f64 = 0.001;
/// In a shorter window a single turn of the scheduler looks like a drift, or like a machine that is never free.
const SHORTEST_WINDOW: Nanos = Nanos::from_millis(100);

/// What the checks look at.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What happened.
    pub point: &'a ObservedPoint,
    /// What was known of the run.
    pub facts: &'a RunFacts,
    /// What was seen of harness and machine.
    pub health: &'a Health,
    /// How requests ended.
    pub counts: &'a Counts,
    /// The rates.
    pub rates: &'a BTreeMap<Rate, Option<f64>>,
    /// The distributions.
    pub distributions: &'a BTreeMap<Quantity, Option<Distribution>>,
}

impl Evidence<'_> {
    fn value(&self, quantity: Quantity, request: &Observed) -> Option<f64> {
        Derived::one(quantity, request, self.facts.streaming)
    }

    fn percentile(&self, quantity: Quantity, which: Percentile) -> Option<f64> {
        let distribution = self.distributions.get(&quantity)?.as_ref()?;
        Some(distribution.percentiles[&which].value)
    }
}

/// Every check, in the order of [`CheckId::ALL`].
pub fn checks(evidence: &Evidence<'_>) -> Vec<Check> {
    let allowed = |code| evidence.facts.allowed.contains(&code);
    let told = |check: Check| Check { allowed: check.is_concern() && allowed(check.code), ..check };
    CheckId::ALL.into_iter().map(|id| told(check(id, evidence))).collect()
}

/// One check, whether or not its concern is allowed.
pub fn check(id: CheckId, evidence: &Evidence<'_>) -> Check {
    match id {
        CheckId::ScheduleLag => schedule_lag(evidence),
        CheckId::NotSent => not_sent(evidence),
        CheckId::Completion => completion::check(evidence.counts),
        CheckId::PullLag => pull_lag::check(evidence),
        CheckId::Headroom => headroom(evidence),
        CheckId::Recorder => recorder(evidence),
        CheckId::Accounting => accounting(evidence),
        CheckId::Clocks => clocks(evidence),
        CheckId::Stability => stability::check(evidence),
        CheckId::HostThrottling => host::throttling(evidence.health),
        CheckId::HostSteal => host::steal(evidence),
        CheckId::HostSwitches => host::switches(evidence),
        CheckId::HostCpu => host::cpu(evidence),
        CheckId::GpuThrottling => gpu::throttling(evidence.health),
        CheckId::HostCoreWait => core_wait::check(evidence),
        CheckId::Streaming => streaming::check(evidence),
        CheckId::Repeats => repeats::check(evidence),
        CheckId::WarmUp => warm_up::check(evidence.facts),
    }
}

/// The worst of the checks. One that is allowed counts a step less.
pub fn verdict(checks: &[Check]) -> Verdict {
    let of_one = |check: &Check| match (check.status, check.allowed) {
        (Status::Pass | Status::NotApplicable, _) | (Status::Warn, true) => Verdict::Valid,
        (Status::Warn, false) | (Status::Fail, true) => Verdict::ValidWithWarnings,
        (Status::Fail, false) => Verdict::Invalid,
    };
    checks.iter().map(of_one).max().unwrap_or(Verdict::Valid)
}

/// What a check found, before it has a name.
struct CheckOutcome {
    status: Status,
    measured: Option<f64>,
    limit: Option<f64>,
    unit: &'static str,
    sentence: String,
    remedy: &'static str,
}

impl CheckOutcome {
    fn named(self, id: CheckId) -> Check {
        let Self { status, measured, limit, unit, sentence, remedy } = self;
        let needs_remedy = matches!(status, Status::Warn | Status::Fail);
        Check {
            id,
            code: id.code(),
            allowed: false,
            status,
            measured,
            limit,
            unit: unit.to_owned(),
            sentence,
            remedy: needs_remedy.then(|| remedy.to_owned()),
        }
    }
}

fn not_applicable(id: CheckId, sentence: &str) -> Check {
    CheckOutcome {
        status: Status::NotApplicable,
        measured: None,
        limit: None,
        unit: "",
        sentence: sentence.to_owned(),
        remedy: "",
    }
    .named(id)
}

/// No verdict on a window in which a single turn of the scheduler is a large share.
fn too_short(evidence: &Evidence<'_>, id: CheckId) -> Option<Check> {
    let is_short = evidence.facts.window.span() < SHORTEST_WINDOW;
    is_short.then(|| not_applicable(id, "the window is shorter than 100 ms: too short to tell"))
}

/// A number with three significant digits, as sentences want it.
fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { 2 - value.abs().log10().floor() as i32 };
    format!("{value:.*}", digits.clamp(0, 6) as usize)
}

fn schedule_lag(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::ScheduleLag;
    let Load::Open { max_in_flight, .. } = evidence.facts.load else {
        return not_applicable(
            id,
            "no instant is scheduled outside an open loop: the lag is shown and not judged",
        );
    };
    let Some(p99) = evidence.percentile(Quantity::ScheduleLag, Percentile::P99) else {
        return not_applicable(id, "no request was sent");
    };
    let ttft = evidence.percentile(Quantity::Ttft, Percentile::P50);
    let limit = LAG_FLOOR_MS.max(ttft.unwrap_or(0.0) * LAG_SHARE);
    let capped = if max_in_flight.is_some() {
        ", counted from the instant at which the cap on requests in flight let each one go"
    } else {
        ""
    };
    CheckOutcome {
        status: if p99 > limit { Status::Fail } else { Status::Pass },
        measured: Some(p99),
        limit: Some(limit),
        unit: "ms",
        sentence: format!(
            "requests were sent {} ms late at p99, where {} ms are allowed{capped}",
            short(p99),
            short(limit)
        ),
        remedy: "lower the rate, or give the harness a core of its own",
    }
    .named(id)
}

fn not_sent(evidence: &Evidence<'_>) -> Check {
    let missed = evidence.counts.missed;
    CheckOutcome {
        status: if missed > 0 { Status::Fail } else { Status::Pass },
        measured: Some(missed as f64),
        limit: Some(0.0),
        unit: "requests",
        sentence: match missed {
            0 => "every request that was due was sent".to_owned(),
            _ => format!(
                "{missed} of {} requests were due and never sent",
                evidence.counts.attempted
            ),
        },
        remedy: "lower the rate, or raise or drop the cap on requests in flight",
    }
    .named(CheckId::NotSent)
}

fn headroom(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::Headroom;
    if evidence.facts.target.is_null() {
        return not_applicable(id, "the target is the floor of the harness itself");
    }
    let Some(null) = evidence.health.null_rate else {
        return CheckOutcome {
            status: Status::Warn,
            measured: None,
            limit: Some(HEADROOM_WARN),
            unit: "times",
            sentence: "what this machine could have sent is not known: there was no calibration"
                .to_owned(),
            remedy: "run with calibration",
        }
        .named(id);
    };
    let (requests, tokens) = offered(evidence);
    let times = |could: f64, did: Option<f64>| did.filter(|did| *did > 0.0).map(|did| could / did);
    let client = evidence.health.client_rate;
    let ratios = [
        times(null.requests_per_s, requests),
        times(null.tokens_per_s, tokens),
        client.and_then(|client| times(client.requests_per_s, requests)),
        client.and_then(|client| times(client.tokens_per_s, tokens)),
    ];
    let Some(least) = ratios.into_iter().flatten().reduce(f64::min).filter(|r| r.is_finite())
    else {
        return not_applicable(id, "nothing was sent in the window");
    };
    let (status, limit) = match least {
        r if r < HEADROOM_FAIL => (Status::Fail, HEADROOM_FAIL),
        r if r < HEADROOM_WARN => (Status::Warn, HEADROOM_WARN),
        _ => (Status::Pass, HEADROOM_WARN),
    };
    CheckOutcome {
        status,
        measured: Some(least),
        limit: Some(limit),
        unit: "times",
        sentence: match client {
            Some(ClientRate { threads, .. }) => format!(
                "against a stub on loopback this machine reaches {} times the load, with {}",
                short(least),
                if threads == 1 { "one client thread".to_owned() } else { format!("{threads} client threads") }
            ),
            None => format!(
                "against a target that replies at once this machine reaches {} times the load",
                short(least)
            ),
        },
        remedy: match client {
            Some(_) => {
                "give more `--client-threads` where there are cores, lower the load, or use several load generators"
            }
            None => "lower the load, or use a faster machine or several load generators",
        },
    }
    .named(id)
}

/// Requests and output tokens per second that the harness had to keep up with: what the schedule asks for or what came
/// about, whichever is more. Without streaming a request is one delivery, and tokens cost nothing of their own.
fn offered(evidence: &Evidence<'_>) -> (Option<f64>, Option<f64>) {
    let scheduled = match evidence.facts.load {
        Load::Open { rate, .. } => {
            let highest = evidence.facts.stages.map(|stages| stages.list.highest());
            Some(highest.unwrap_or(rate))
        }
        Load::Closed { .. } | Load::Batch => None,
    };
    let window = evidence.facts.window;
    let requests = evidence.point.all();
    let sent = requests.iter().filter(|r| r.submit().is_some_and(|at| window.holds(at))).count();
    let sent = window.seconds().map(|seconds| sent as f64 / seconds);
    let asked: u64 = requests.iter().map(|r| u64::from(r.requested_tokens)).sum();
    let asked_each = asked as f64 / requests.len().max(1) as f64;
    let delivered = evidence.rates.get(&Rate::OutputThroughput).copied().flatten();
    let tokens = greater(delivered, scheduled.map(|rate| rate * asked_each));
    (greater(sent, scheduled), tokens.filter(|_| evidence.facts.streaming))
}

fn greater(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

/// An event that finds the recorder's ring full waits for room. In a closed loop that lowers the load by as much; in an open
/// loop it delays what the schedule asks for. Of the harness's own floor the recorder is a part.
fn recorder(evidence: &Evidence<'_>) -> Check {
    let health = evidence.health;
    let seconds = evidence.facts.window.seconds().filter(|seconds| *seconds > 0.0);
    let share = seconds.map_or(0.0, |seconds| health.recorder_wait_ms / 1_000.0 / seconds);
    let is_open = matches!(evidence.facts.load, Load::Open { .. });
    let status = match share {
        _ if health.dropped_events > 0 => Status::Fail,
        share if share <= RECORDER_WAIT_SHARE || evidence.facts.target.is_null() => Status::Pass,
        _ if is_open => Status::Fail,
        _ => Status::Warn,
    };
    CheckOutcome {
        status,
        measured: Some(100.0 * share),
        limit: Some(100.0 * RECORDER_WAIT_SHARE),
        unit: "%",
        sentence: match (health.dropped_events, health.recorder_waits) {
            (0, 0) => "no event waited for the recorder".to_owned(),
            (0, waits) => format!(
                "{waits} events waited for room in the recorder's ring, {} ms in all, {} % of the window",
                short(health.recorder_wait_ms),
                short(100.0 * share)
            ),
            (lost, _) => format!("{lost} events were lost: nobody took them from the recorder's ring"),
        },
        remedy: "lower the load, or leave the recorder a core that nothing else uses",
    }
    .named(CheckId::Recorder)
}

fn accounting(evidence: &Evidence<'_>) -> Check {
    let counts = evidence.counts;
    let ended =
        counts.completed + counts.failed + counts.cancelled + counts.timed_out + counts.not_sent;
    let faults = [
        (ended.abs_diff(counts.planned), "requests more or less than planned"),
        (counts::duplicates(evidence.point), "requests recorded twice"),
        (counts::contradictions(evidence.point), "requests whose stamps contradict how they ended"),
        (evidence.health.stray_ends, "ends of requests that were not open"),
    ];
    let found: Vec<String> = faults
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    CheckOutcome {
        status: if found.is_empty() { Status::Pass } else { Status::Fail },
        measured: Some(faults.iter().map(|(number, _)| *number as f64).sum()),
        limit: Some(0.0),
        unit: "faults",
        sentence: if found.is_empty() {
            format!("each of {} planned requests ended exactly once", counts.planned)
        } else {
            format!("not every request ended exactly once: {}", found.join(", "))
        },
        remedy: "do not use these numbers; report the run directory as a fault of this program or of the target",
    }
    .named(CheckId::Accounting)
}

fn clocks(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::Clocks;
    let overheads = evidence.point.requests().iter();
    let overheads = overheads.filter_map(|it| evidence.value(Quantity::OverheadTtft, it));
    let Some(least) = overheads.reduce(f64::min) else {
        return not_applicable(id, "the engine gave no stamps of its own for a streamed request");
    };
    CheckOutcome {
        status: if least < -CLOCK_RESOLUTION_MS { Status::Fail } else { Status::Pass },
        measured: Some(least),
        limit: Some(-CLOCK_RESOLUTION_MS),
        unit: "ms",
        sentence: format!(
            "the least overhead between caller and engine was {} ms, and less than none is impossible",
            short(least)
        ),
        remedy: "check that engine and harness read the same clock; do not use the engine-side times",
    }
    .named(id)
}
