//! Console table of a sweep: one line per point.

use crate::load::Load;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Mark, Summary};
use crate::report::PointReport;
use crate::report::figures::{self, ABSENT};
use crate::report::frontier;
use crate::report::table::lines::{plain_table, printed, sentence};
use crate::report::times::Shown;
use crate::settings::time_unit::TimeUnit;

/// One line for each point.
pub(super) fn render(points: &[PointReport], unit: TimeUnit) -> String {
    let open = points.iter().any(|point| matches!(point.summary.load, Load::Open { .. }));
    // In an open loop the latency counts from the intended arrival, and says so.
    let heading = |name: &str| format!("{name}, {}\np50/p99", unit.symbol());
    let latency = heading(if open { "intended" } else { "latency" });
    let (ttft, itl) = (heading("TTFT"), heading("ITL"));
    let without_output = points.iter().any(|point| point.summary.is_without_output());
    let mut header = vec![load_heading(points), "requests\nok/failed", "req/s"];
    let documents = points.iter().any(|point| point.summary.documents.is_some());
    let images = points.iter().any(|point| point.summary.images.is_some());
    if documents {
        header.insert(1, "batch\nsize");
        header.push("docs/s");
    }
    if images {
        header.push("images/s");
    }
    if without_output {
        header.push("input\ntokens/s");
    } else {
        header.extend(["output\ntokens/s", &ttft, &itl]);
    }
    header.extend([latency.as_str(), "verdict"]);
    let mut table = plain_table(&header);
    for point in points {
        table.add_row(row(point, without_output, (documents, images), unit));
    }
    let dominated = frontier::dominated(points);
    printed(&table) + &dominated.map_or_else(String::new, |text| sentence("  ", &text))
}

fn load_heading(points: &[PointReport]) -> &'static str {
    let closed = points.iter().all(|point| matches!(point.summary.load, Load::Closed { .. }));
    if closed { "concurrency" } else { "load" }
}

fn row(
    point: &PointReport,
    without_output: bool,
    (documents, images): (bool, bool),
    unit: TimeUnit,
) -> Vec<String> {
    let summary = &point.summary;
    let counts = &summary.counts;
    let load = match summary.load {
        Load::Closed { concurrency } => concurrency.to_string(),
        Load::Open { .. } | Load::Batch => summary.load.to_string(),
    };
    let failed = counts.attempted.saturating_sub(counts.completed);
    let mut row = vec![
        load,
        format!("{}/{failed}", counts.completed),
        figures::maybe(summary.rate(Rate::RequestThroughput)),
    ];
    if documents {
        row.insert(1, summary.documents.map_or_else(|| ABSENT.to_owned(), |it| it.to_string()));
        row.push(figures::maybe(summary.rate(Rate::DocumentThroughput)));
    }
    if images {
        row.push(figures::maybe(summary.rate(Rate::ImageThroughput)));
    }
    if without_output {
        row.push(figures::maybe(summary.rate(Rate::InputThroughput)));
    } else {
        row.push(figures::maybe(summary.rate(Rate::OutputThroughput)));
        row.extend([Quantity::Ttft, Quantity::Itl].map(|quantity| pair(summary, quantity, unit)));
    }
    row.extend([pair(summary, summary.headline_latency(), unit), verdict(summary)]);
    row
}

/// `12.3/~45.6`: p50 and p99.
fn pair(summary: &Summary, quantity: Quantity, unit: TimeUnit) -> String {
    let shown = Shown::of(quantity, unit);
    let printed = |which| {
        summary
            .percentile(quantity, which)
            .map_or_else(|| ABSENT.to_owned(), |value| shown.text(value))
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
