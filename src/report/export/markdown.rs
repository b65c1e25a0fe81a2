//! Markdown for pull requests: one table of all points, with verdict and marks.

use std::fmt::Write as _;

use super::{ExportRun, Exported, text_file};
use crate::metrics::percentile::Percentile;
use crate::metrics::{Quantity, Rate};
use crate::report::figures::{self, ABSENT};
use crate::report::times::Shown;
use crate::report::{Experiment, PointReport};
use crate::settings::time_unit::TimeUnit;

pub(super) fn render(run: &ExportRun) -> Exported {
    Exported { files: vec![text_file("report.md", table(run.shown))], left_out: Vec::new() }
}

/// The run as a table in Markdown; its figures are those of the table on the terminal.
pub fn table(shown: &Experiment) -> String {
    let marks: Vec<&str> = shown.marks().iter().map(|mark| mark.description()).collect();
    let marks =
        if marks.is_empty() { String::new() } else { format!(" **[{}]**", marks.join(", ")) };
    // Writing to a string cannot fail, here and below.
    let mut text = format!("**{}**{marks}\n\n", escape(&shown.title));
    let unit = shown.time_unit.symbol();
    let _infallible = write!(
        text,
        "| load | requests | req/s | output tok/s | TTFT p50 / p99 {unit} | TPOT p50 {unit} | ITL p50 / p99 {unit} | latency p50 / p99 {unit} | verdict |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for point in &shown.points {
        text.push_str(&row(point, shown.time_unit));
    }
    let said = [shown.declared.server.line(), shown.declared.notes_line()];
    for said in said.into_iter().flatten() {
        let _infallible = write!(text, "\n{}\n", escape(&said));
    }
    let _infallible = writeln!(
        text,
        "\n`~`: too few samples to certify the percentile. {} {}, `{}`.",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        shown.target.name
    );
    text
}

fn row(point: &PointReport, unit: TimeUnit) -> String {
    let summary = &point.summary;
    let one = |quantity, which| {
        summary
            .percentile(quantity, which)
            .map_or_else(|| ABSENT.to_owned(), |value| Shown::of(quantity, unit).text(value))
    };
    let both = |quantity| {
        format!("{} / {}", one(quantity, Percentile::P50), one(quantity, Percentile::P99))
    };
    let counts = &summary.counts;
    format!(
        "| {} | {} of {} | {} | {} | {} | {} | {} | {} | {} |\n",
        escape(&point.label),
        counts.completed,
        counts.attempted,
        figures::maybe(summary.rate(Rate::RequestThroughput)),
        figures::maybe(summary.rate(Rate::OutputThroughput)),
        both(Quantity::Ttft),
        one(Quantity::Tpot, Percentile::P50),
        both(Quantity::Itl),
        both(summary.headline_latency()),
        figures::short_verdict(summary.verdict)
    )
}

/// A bar would end the cell.
fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}
