//! Console table of a sweep: one line per point.

use crate::load::Load;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Mark, Summary};
use crate::report::PointReport;
use crate::report::figures::{self, ABSENT};
use crate::report::frontier;
use crate::report::table::lines::{plain_table, printed, sentence};

/// One line for each point.
pub(super) fn render(points: &[PointReport]) -> String {
    let open = points.iter().any(|point| matches!(point.summary.load, Load::Open { .. }));
    // In an open loop the latency counts from the intended arrival, and says so.
    let latency = if open { "intended, ms\np50/p99" } else { "latency, ms\np50/p99" };
    let mut table = plain_table(&[
        load_heading(points),
        "requests\nok/failed",
        "req/s",
        "output\ntokens/s",
        "TTFT, ms\np50/p99",
        "ITL, ms\np50/p99",
        latency,
        "verdict",
    ]);
    for point in points {
        table.add_row(row(point));
    }
    let dominated = frontier::dominated(points);
    printed(&table) + &dominated.map_or_else(String::new, |text| sentence("  ", &text))
}

fn load_heading(points: &[PointReport]) -> &'static str {
    let closed = points.iter().all(|point| matches!(point.summary.load, Load::Closed { .. }));
    if closed { "concurrency" } else { "load" }
}

fn row(point: &PointReport) -> Vec<String> {
    let summary = &point.summary;
    let counts = &summary.counts;
    let load = match summary.load {
        Load::Closed { concurrency } => concurrency.to_string(),
        Load::Open { .. } | Load::Batch => point.label.clone(),
    };
    let failed = counts.attempted.saturating_sub(counts.completed);
    vec![
        load,
        format!("{}/{failed}", counts.completed),
        figures::maybe(summary.rate(Rate::RequestThroughput)),
        figures::maybe(summary.rate(Rate::OutputThroughput)),
        pair(summary, Quantity::Ttft),
        pair(summary, Quantity::Itl),
        pair(summary, summary.headline_latency()),
        verdict(summary),
    ]
}

/// `12.3/~45.6`: p50 and p99.
fn pair(summary: &Summary, quantity: Quantity) -> String {
    let printed = |which| {
        summary.percentile(quantity, which).map_or_else(
            || ABSENT.to_owned(),
            |value| figures::percentile(value, figures::decimals(value.value)),
        )
    };
    let roughly = figures::roughly(summary.is_approximate(quantity));
    format!("{roughly}{}/{}", printed(Percentile::P50), printed(Percentile::P99))
}

fn verdict(summary: &Summary) -> String {
    let cut = if summary.marks.contains(&Mark::Incomplete) { ", INCOMPLETE" } else { "" };
    if summary.nothing_completed() {
        return format!("no result{cut}");
    }
    format!("{}{cut}", figures::short_verdict(summary.verdict))
}
