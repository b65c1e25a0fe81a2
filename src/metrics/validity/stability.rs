//! Stability checks: the three thirds of a run agree, and neither TTFT nor the number in flight rises.

use super::{CheckOutcome, Evidence, not_applicable, short};
use crate::load::Load;
use crate::metrics::definition::Quantity;
use crate::metrics::dependence::{Trend, trend};
use crate::metrics::observed;
use crate::metrics::over_time::{Cuts, median, slice_length};
use crate::metrics::summary::{Check, CheckId, Status};

const WINDOWS: usize = 3;
/// A third with fewer completed requests than this says nothing.
const REQUESTS_PER_WINDOW: usize = 10;
/// A rise counts as significant where it would come about by chance less often than this.
const SIGNIFICANCE: f64 = 0.01;

/// The verdict on steadiness.
pub(super) fn check(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::Stability;
    if matches!(evidence.facts.load, Load::Batch) {
        return not_applicable(id, "a batch that arrives at once is not meant to be steady");
    }
    let Some(thirds) = thirds(evidence) else {
        return not_applicable(
            id,
            "fewer than 10 requests completed in a third of the window: too few to tell",
        );
    };
    let limit = evidence.facts.stability_percent;
    let spread = thirds.throughput.max(thirds.latency);
    let rises: Vec<&str> =
        [("TTFT", ttft_trend(evidence)), ("the number in flight", in_flight_trend(evidence))]
            .into_iter()
            .filter(|(_, trend)| trend.is_some_and(|trend| is_rise(trend, limit)))
            .map(|(name, _)| name)
            .collect();
    let steady = spread <= limit && rises.is_empty();
    let rising = match rises.as_slice() {
        [] => "neither TTFT nor the number in flight rises".to_owned(),
        names => format!("{} rose all along", names.join(" and ")),
    };
    CheckOutcome {
        status: if steady { Status::Pass } else { Status::Warn },
        measured: Some(spread),
        limit: Some(limit),
        unit: "%",
        sentence: format!(
            "the thirds of the window differ by {} % in throughput and {} % in median latency, and {rising}",
            short(thirds.throughput),
            short(thirds.latency)
        ),
        remedy: "measure longer, warm up longer, or lower the rate if the target falls behind",
    }
    .named(id)
}

/// A rise that is neither chance nor too small to matter.
fn is_rise(trend: Trend, percent: f64) -> bool {
    trend.chance < SIGNIFICANCE && trend.rise * 100.0 > percent
}

struct Thirds {
    /// Largest ÷ smallest throughput, in percent above 1.
    throughput: f64,
    /// Largest ÷ smallest median latency, in percent above 1.
    latency: f64,
}

fn thirds(evidence: &Evidence<'_>) -> Option<Thirds> {
    let cuts = observed::thirds(evidence.facts.window);
    if cuts.count() != WINDOWS {
        return None;
    }
    let mut latencies = vec![Vec::new(); WINDOWS];
    for record in evidence.point.requests() {
        let third = record.end().and_then(|at| cuts.index(at));
        let latency = evidence.value(Quantity::E2e, record).filter(|_| record.ended.is_completed());
        if let Some((third, latency)) = third.zip(latency) {
            latencies[third].push(latency);
        }
    }
    if latencies.iter().any(|third| third.len() < REQUESTS_PER_WINDOW) {
        return None;
    }
    let ended: Vec<f64> = latencies.iter().map(|third| third.len() as f64).collect();
    let amounts = if evidence.counts.deliveries_missing == 0 {
        evidence.point.third_tokens.clone()
    } else {
        ended
    };
    let medians: Vec<f64> = latencies.into_iter().filter_map(median).collect();
    Some(Thirds { throughput: spread_percent(&amounts)?, latency: spread_percent(&medians)? })
}

/// How much the largest exceeds the smallest; `None` where the smallest is not above 0.
fn spread_percent(values: &[f64]) -> Option<f64> {
    let least = values.iter().copied().reduce(f64::min).filter(|least| *least > 0.0)?;
    let most = values.iter().copied().reduce(f64::max)?;
    Some((most / least - 1.0) * 100.0)
}

fn ttft_trend(evidence: &Evidence<'_>) -> Option<Trend> {
    let window = evidence.facts.window;
    let mut points: Vec<(f64, f64)> = evidence
        .point
        .requests()
        .iter()
        .filter(|record| record.ended.is_completed())
        .filter_map(|record| {
            let submit = record.submit().filter(|at| window.holds(*at))?;
            Some(((submit - window.start).as_secs_f64(), evidence.value(Quantity::Ttft, record)?))
        })
        .collect();
    points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    trend(&points)
}

fn in_flight_trend(evidence: &Evidence<'_>) -> Option<Trend> {
    let window = evidence.facts.window;
    let cuts = Cuts::new(window, slice_length(window.span()));
    let place = |index: usize| cuts.place(index).0.as_secs_f64();
    let in_flight = cuts.in_flight(evidence.point);
    let points: Vec<(f64, f64)> =
        in_flight.into_iter().enumerate().map(|(index, mean)| (place(index), mean)).collect();
    trend(&points)
}
