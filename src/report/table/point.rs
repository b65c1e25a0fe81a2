//! Console report of one point: verdict, latencies with intervals, throughput.

use std::iter;

use crate::load::Load;
use crate::metrics::definition::{Quantity, Rate, Unit};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Distribution, Summary};
use crate::report::PointReport;
use crate::report::figures::{
    self, ABSENT, counted, figure, fixed, interval, percentile, short_name, with_unit,
};
use crate::report::notes::{self, SHOWN};
use crate::report::table::lines::{flowed, plain_table, printed};
use crate::report::table::{engine, marks, mixture};
use crate::report::times::Shown;
use crate::report::{roofline, stages};
use crate::settings::time_unit::TimeUnit;

/// One run: heading with marks, verdict, counts, latencies, throughput.
pub fn render(point: &PointReport) -> String {
    render_in(point, TimeUnit::default())
}

/// The same, with latencies in this unit.
pub fn render_in(point: &PointReport, unit: TimeUnit) -> String {
    let summary = &point.summary;
    let heading = format!("{}{}\n", point.label, marks(summary.marks.iter().copied()));
    let verdict = format!("  {}: ", summary.verdict.description());
    let ended = flowed(&verdict, ", ", &ended(summary));
    format!(
        "{heading}{ended}{}{}{}{}{}{}",
        latencies(summary, unit),
        throughput(summary),
        mixture::render(summary),
        stages(summary),
        roofline(summary),
        engine::render(summary)
    )
}

/// How requests ended, part by part.
fn ended(summary: &Summary) -> Vec<String> {
    let counts = &summary.counts;
    let mut parts = vec![
        format!("{} attempted", counted(counts.attempted, "request")),
        format!("{} completed", counts.completed),
    ];
    parts.extend(
        notes::unsuccessful(counts).into_iter().map(|(count, word)| format!("{count} {word}")),
    );
    parts.extend(summary.window_s.map(|seconds| format!("in {} s", figure(seconds))));
    parts.extend(notes::around(counts));
    parts.extend(summary.workers.map(|it| {
        format!(
            "sent by {}, whose clocks agree within {}",
            counted(u64::from(it.workers), "worker"),
            it.clock_bound_ns
        )
    }));
    parts
}

fn rows(summary: &Summary) -> Vec<Quantity> {
    let mut rows = if summary.is_without_output() {
        vec![Quantity::E2e]
    } else {
        vec![Quantity::Ttft, Quantity::Itl, Quantity::Tpot, Quantity::E2e]
    };
    if matches!(summary.load, Load::Open { .. }) {
        rows.push(Quantity::E2eIntended);
    }
    // In a process the last token is the end.
    if summary.distribution(Quantity::StreamClose).is_some_and(|close| close.max > 0.0) {
        rows.push(Quantity::StreamClose);
    }
    rows.push(if summary.is_without_output() {
        Quantity::PromptTokens
    } else {
        Quantity::OutputTokens
    });
    rows
}

fn latencies(summary: &Summary, unit: TimeUnit) -> String {
    let mut table = plain_table(&["", "avg", "min", "max", "p99", "p90", "p75", "p50"]);
    for quantity in rows(summary) {
        if !summary.streaming && quantity.definition().needs_streaming {
            continue;
        }
        table.add_row(match summary.distribution(quantity) {
            Some(values) => row(summary, quantity, values, unit),
            None => iter::once(name(quantity, unit))
                .chain(iter::repeat_n(ABSENT.to_owned(), 3 + SHOWN.len()))
                .collect(),
        });
    }
    printed(&table)
}

fn name(quantity: Quantity, unit: TimeUnit) -> String {
    match quantity {
        Quantity::OutputTokens | Quantity::PromptTokens => short_name(quantity).to_owned(),
        other => format!("{} ({})", short_name(other), Shown::of(other, unit).symbol),
    }
}

/// Average, smallest, largest, and each percentile with its interval below.
fn row(
    summary: &Summary,
    quantity: Quantity,
    values: &Distribution,
    unit: TimeUnit,
) -> Vec<String> {
    let shown = Shown::of(quantity, unit);
    let roughly = figures::roughly(summary.is_approximate(quantity));
    // Lengths are whole numbers, and their interval would be wider than what they are read for.
    let estimated = !matches!(quantity, Quantity::OutputTokens | Quantity::PromptTokens);
    let digits = if estimated { shown.row_digits(values) } else { 0 };
    let below = if estimated { "\n  95 % interval" } else { "" };
    let mut cells = vec![
        format!("{roughly}{}{below}", name(quantity, unit)),
        fixed(shown.value(values.mean), digits.max(usize::from(!estimated))),
        fixed(shown.value(values.min), digits),
        fixed(shown.value(values.max), digits),
    ];
    cells.extend(SHOWN.iter().map(|which| match values.percentiles.get(which) {
        Some(value) if estimated => {
            let value = shown.percentile(value);
            format!("{roughly}{}\n{}", percentile(&value, digits), interval(&value, digits))
        }
        Some(value) => percentile(value, digits),
        None => ABSENT.to_owned(),
    }));
    cells
}

fn throughput(summary: &Summary) -> String {
    let mut parts: Vec<String> = Vec::new();
    let (input, both) = (
        (Rate::InputThroughput, "input"),
        [
            (Rate::OutputThroughput, "output"),
            (Rate::TotalThroughput, "prompt + output"),
            (Rate::PerGpuOutput, "output per GPU"),
        ],
    );
    let shown = if summary.is_without_output() { vec![input] } else { both.to_vec() };
    for (rate, name) in shown {
        if let Some(value) = summary.rate(rate) {
            parts.push(format!("{name} {}", with_unit(value, rate.definition().unit)));
        }
    }
    for rate in [Rate::RequestThroughput, Rate::DocumentThroughput, Rate::ImageThroughput] {
        parts.extend(summary.rate(rate).map(|value| with_unit(value, rate.definition().unit)));
    }
    if let Some(speed) = summary.percentile(Quantity::PerUser, Percentile::P50) {
        let roughly = figures::roughly(summary.is_approximate(Quantity::PerUser));
        parts.push(format!("per user {roughly}{} tokens/s (p50)", figure(speed.value)));
    }
    if let Some(good) = summary.rate(Rate::Goodput) {
        let share = summary.rate(Rate::GoodFraction).map_or_else(String::new, |fraction| {
            format!(" ({} of attempted)", with_unit(fraction, Rate::GoodFraction.definition().unit))
        });
        let roughly = figures::roughly(summary.has_approximate_goodput());
        parts.push(format!(
            "goodput {roughly}{}{share}",
            with_unit(good, Rate::Goodput.definition().unit)
        ));
    }
    if let Some(energy) = summary.rate(Rate::EnergyPerOutputToken) {
        parts.push(format!("{} per output token", with_unit(energy, Unit::Joules)));
    }
    if parts.is_empty() {
        return "  throughput: none was measured\n".to_owned();
    }
    flowed("  throughput: ", " · ", &parts)
}

/// One line for each stage of the load.
fn stages(summary: &Summary) -> String {
    let Some((header, rows)) = stages::rows(summary) else { return String::new() };
    let mut table = plain_table(&header);
    for row in rows {
        table.add_row(row);
    }
    printed(&table)
}

fn roofline(summary: &Summary) -> String {
    let Some(found) = &summary.roofline else { return String::new() };
    let name = format!("  roofline of {}: ", found.machine_description());
    let parts = roofline::parts(found);
    if parts.is_empty() { String::new() } else { flowed(&name, " · ", &parts) }
}
