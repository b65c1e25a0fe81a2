//! Stability check: drift of latencies, growth of queues and stalls of the target, as opposed to chance.

use super::{CheckOutcome, Evidence, not_applicable, short, too_short};
use crate::clock::{Nanos, Window};
use crate::load::Load;
use crate::metrics::definition::Quantity;
use crate::metrics::measurement_windows::WindowsOutcome;
use crate::metrics::observed;
use crate::metrics::over_time::{Cuts, slice_length};
use crate::metrics::summary::{Check, CheckId, Status};
use crate::metrics::trend::{FEWEST_BLOCKS, Trend, trend};
use crate::settings::window_rule::WindowRule;

/// Requests of a block at least; in a closed loop as many as are in flight, since they may run in lock-step.
const REQUESTS_OF_A_BLOCK: usize = 5;
/// A drift counts where it would come about by chance less often than this; four series together make 1 %.
const SIGNIFICANCE: f64 = 0.002_5;
/// The same of a step from one half of the window to the other, of which a line makes little.
const SIGNIFICANCE_OF_STEP: f64 = 0.000_5;
/// A queue counts as growing, whatever its scatter, where chance would order its blocks so less often than this.
const IN_ORDER: f64 = 3e-5;
/// A silence of less than this share of the window is no stall.
const SILENT_SHARE: f64 = 0.03;
/// So many times as long as what is silent otherwise is a stall.
const TIMES_AS_LONG: usize = 3;
/// A stall is not what one request in twenty brings about, such as a long prompt.
const REQUESTS_TO_A_SILENCE: usize = 20;
/// The longest silences tell how much longer the longest may be; so many at least.
const FEWEST_SILENCES: usize = 5;
/// A silence counts as a stall where chance would make one so long less often than this.
const SILENT_BY_CHANCE: f64 = 0.001;

/// The verdict on steadiness.
pub(super) fn check(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::Stability;
    if matches!(evidence.facts.load, Load::Batch) {
        return not_applicable(id, "a batch that arrives at once is not meant to be steady");
    }
    if evidence.facts.stages.is_some() {
        return not_applicable(id, "a load in stages is not meant to be steady");
    }
    if let Some(found) = evidence.facts.windows.as_ref().filter(|found| !found.stable) {
        return unstable(found);
    }
    if let Some(check) = too_short(evidence, id) {
        return check;
    }
    let limit = evidence.facts.stability_percent;
    let drifts = drifts(evidence);
    let silence = silence(evidence);
    if drifts.is_empty() && silence.is_none() {
        return not_applicable(
            id,
            "too few requests completed to tell a drift from chance: six blocks are needed, each of 5 requests and, in a \
             closed loop, of as many as are in flight",
        );
    }
    let largest = drifts.iter().map(|drift| drift.trend.rise.abs() * 100.0).reduce(f64::max);
    let mut found = growing(&drifts, limit);
    found.extend(drifts.iter().filter_map(|drift| {
        let change = drift.drifted(limit)?;
        let way = if change > 0.0 { "rose" } else { "fell" };
        Some(format!("{} {way} by {} %", drift.name, short(change.abs() * 100.0)))
    }));
    found.extend(silence.map(|span| {
        format!(
            "the target was silent for {} ms while requests were in flight",
            short(span.as_millis_f64())
        )
    }));
    let steady = found.is_empty();
    CheckOutcome {
        status: if steady { Status::Pass } else { Status::Warn },
        measured: largest,
        limit: Some(limit),
        unit: "%",
        sentence: if steady {
            "over the window nothing drifted, grew or stood still by more than chance".to_owned()
        } else {
            format!("over the window {}", found.join("; "))
        },
        remedy: "measure longer, warm up longer, or lower the rate if the target falls behind",
    }
    .named(id)
}

/// Windows that never agreed.
fn unstable(found: &WindowsOutcome) -> Check {
    let WindowRule { interval, percent } = found.rule;
    CheckOutcome {
        status: Status::Warn,
        measured: None,
        limit: Some(percent),
        unit: "%",
        sentence: format!(
            "of {} windows of {} s no three in a row agreed within {} % in throughput and latency",
            found.windows.len(),
            interval.as_secs_f64(),
            short(percent)
        ),
        remedy: "measure longer (`--duration`), in longer windows (`--measurement-interval`), or allow for more (`--stability-percentage`)",
    }
    .named(CheckId::Stability)
}

/// What a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Of a request: it may go neither way.
    Level,
    /// Of a queue: it may not grow.
    Queue,
}

struct Drift {
    name: &'static str,
    course: Course,
    trend: Trend,
}

impl Drift {
    /// By how much of itself a level went up or down, along a line or in a step, where that is more than chance and enough to
    /// matter.
    fn drifted(&self, percent: f64) -> Option<f64> {
        let Trend { rise, chance, step, step_chance, .. } = self.trend;
        let along_a_line = Some(rise).filter(|_| chance < SIGNIFICANCE);
        let in_a_step = Some(step).filter(|_| step_chance < SIGNIFICANCE_OF_STEP);
        let matters = |change: &f64| self.course == Course::Level && change.abs() * 100.0 > percent;
        along_a_line.filter(matters).or(in_a_step.filter(matters))
    }

    /// Whether a queue grew, the same.
    fn grew(&self, percent: f64) -> bool {
        let by_chance = self.trend.chance >= SIGNIFICANCE && self.trend.ascending >= IN_ORDER;
        self.course == Course::Queue && self.trend.rise * 100.0 > percent && !by_chance
    }
}

fn growing(drifts: &[Drift], percent: f64) -> Vec<String> {
    let grown: Vec<&str> =
        drifts.iter().filter(|drift| drift.grew(percent)).map(|drift| drift.name).collect();
    if grown.is_empty() { Vec::new() } else { vec![format!("{} rose", grown.join(" and "))] }
}

fn drifts(evidence: &Evidence<'_>) -> Vec<Drift> {
    let concurrency = match evidence.facts.load {
        Load::Closed { concurrency } => concurrency as usize,
        Load::Open { .. } | Load::Batch => 0,
    };
    let block = REQUESTS_OF_A_BLOCK.max(concurrency);
    let of = |name, course, quantity| {
        let trend = trend(&in_order(evidence, quantity), block)?;
        Some(Drift { name, course, trend })
    };
    let mut drifts: Vec<Drift> = [
        of("TTFT", Course::Queue, Quantity::Ttft),
        of("request latency", Course::Level, Quantity::E2e),
        of("TPOT", Course::Level, Quantity::Tpot),
    ]
    .into_iter()
    .flatten()
    .collect();
    // In a closed loop the number in flight is the load's own.
    let completed = evidence.counts.completed as usize;
    if matches!(evidence.facts.load, Load::Open { .. })
        && completed >= FEWEST_BLOCKS * REQUESTS_OF_A_BLOCK
    {
        // Moments between two arrivals have the same number: a block is as long as one of the requests'.
        let in_flight = in_flight(evidence);
        let block = (in_flight.len() * REQUESTS_OF_A_BLOCK).div_ceil(completed);
        let trend = trend(&in_flight, block);
        drifts.extend(trend.map(|trend| Drift {
            name: "the number in flight",
            course: Course::Queue,
            trend,
        }));
    }
    drifts
}

/// The values of completed requests that were sent in the window, in the order in which they were.
fn in_order(evidence: &Evidence<'_>, quantity: Quantity) -> Vec<f64> {
    let window = evidence.facts.window;
    let requests = evidence.point.requests().iter();
    let mut values: Vec<_> = requests
        .filter(|record| record.ended.is_completed())
        .filter_map(|record| {
            let submit = record.submit().filter(|at| window.holds(*at))?;
            Some((submit, record.id, evidence.value(quantity, record)?))
        })
        .collect();
    values.sort_unstable_by_key(|(submit, id, _)| (*submit, *id));
    values.into_iter().map(|(_, _, value)| value).collect()
}

fn in_flight(evidence: &Evidence<'_>) -> Vec<f64> {
    let window = evidence.facts.window;
    Cuts::new(window, slice_length(window.span())).in_flight(evidence.point)
}

/// The longest silence during which a request was in flight all along, where it is a stall: long against the window, against
/// what requests bring about themselves, and against chance.
fn silence(evidence: &Evidence<'_>) -> Option<Nanos> {
    let window = evidence.facts.window;
    if evidence.counts.deliveries_missing > 0 {
        return None;
    }
    let moments = observed::moments(window);
    let heard = &evidence.point.heard;
    let mut silences = silences(heard, &moments.in_flight(evidence.point));
    silences.sort_unstable_by(|a, b| b.cmp(a));
    let usual = FEWEST_SILENCES.max(evidence.counts.completed as usize / REQUESTS_TO_A_SILENCE);
    let (&longest, others) = silences.split_first()?;
    let is_stall = longest as f64 >= SILENT_SHARE * heard.len() as f64
        && longest >= TIMES_AS_LONG * others.get(usual).copied().unwrap_or(1)
        && longest_by_chance(longest, others, usual) < SILENT_BY_CHANCE;
    is_stall.then(|| span_of(window, longest, heard.len()))
}

/// How likely the longest is so much longer than the second, where long silences are exponential: from the `usual` longest
/// of the `others`, in descending order.
fn longest_by_chance(longest: usize, others: &[usize], usual: usize) -> f64 {
    let level = others.get(usual).copied().unwrap_or(0);
    let second = others.first().copied().unwrap_or(0);
    let known = others.len().clamp(1, usual);
    let beyond: usize = others.iter().take(known).map(|length| length - level).sum();
    let scale = (beyond as f64 / known as f64).max(1.0);
    let times = (longest - second) as f64 / scale;
    (1.0 + times / known as f64).powi(-(known as i32))
}

fn span_of(window: Window, moments: usize, of: usize) -> Nanos {
    Nanos((window.span().0 as f64 * moments as f64 / of as f64) as i64)
}

/// Lengths of silence, in moments, until something is heard; a silence begins when something was heard or, where nothing was
/// in flight before, with a request. The wait for the first of all is none: a loop begins with it.
fn silences(heard: &[bool], in_flight: &[f64]) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut length = 0;
    let begun = heard.iter().position(|heard| *heard).unwrap_or(heard.len());
    for (heard, in_flight) in heard.iter().zip(in_flight).skip(begun) {
        if *heard {
            lengths.extend((length > 0).then_some(length));
            length = 0;
        } else if *in_flight > 0.999 {
            length += 1;
        } else {
            length = 0;
        }
    }
    lengths
}
