//! HTML tables: points of a sweep, distributions, rates.

use std::fmt::Write as _;

use crate::load::Load;
use crate::metrics::definition::{Quantity, Rate, Unit};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Distribution, Mark, PartSummary, Summary, Verdict};
use crate::report::PointReport;
use crate::report::figures::{self, ABSENT, figure, fixed, with_unit};
use crate::report::html::badges;
use crate::report::html::text::escape;
use crate::report::notes::SHOWN;

/// A table of ready cells: the header, then rows whose first cell is their name.
pub(in crate::report) fn table(class: &str, header: &[&str], rows: &[Vec<String>]) -> String {
    let heads = cells("th", header);
    let mut body = String::new();
    for (name, rest) in rows.iter().filter_map(|row| row.split_first()) {
        // Writing to a string cannot fail.
        let _infallible = writeln!(body, "<tr><th>{name}</th>{}</tr>", cells("td", rest));
    }
    format!(
        "<div class=\"scroll\"><table class=\"{class}\"><thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )
}

fn cells(element: &str, texts: &[impl AsRef<str>]) -> String {
    let mut row = String::new();
    for text in texts {
        let _infallible = write!(row, "<{element}>{}</{element}>", text.as_ref());
    }
    row
}

/// One row for each point, under a heading.
pub(super) fn sweep(points: &[PointReport]) -> String {
    format!("<h2>All points</h2>\n{}", self::points(points))
}

/// One row for each point.
pub(super) fn points(points: &[PointReport]) -> String {
    let open = points.iter().any(|point| matches!(point.summary.load, Load::Open { .. }));
    let goodput = points.iter().any(|point| point.summary.rate(Rate::Goodput).is_some());
    let latency = if open { "Latency, intended" } else { "Request latency" };
    let latency = format!("{latency}<small>p50 / p99, ms</small>");
    let without_output = points.iter().any(|point| point.summary.is_without_output());
    let mut header =
        vec!["Load", "Requests<small>ok / failed</small>", "Requests<small>per s</small>"];
    let rates = items(points);
    let item_headings = rates.clone().map(|rate| {
        format!(
            "{}<small>per s</small>",
            if rate == Rate::ImageThroughput { "Images" } else { "Documents" }
        )
    });
    let item_headings: Vec<String> = item_headings.collect();
    header.extend(item_headings.iter().map(String::as_str));
    if without_output {
        header.push("Input<small>tokens/s</small>");
    } else {
        header.extend([
            "Output<small>tokens/s</small>",
            "Per user<small>p50, tokens/s</small>",
            "TTFT<small>p50 / p99, ms</small>",
            "ITL<small>p50 / p99, ms</small>",
        ]);
    }
    header.push(&latency);
    if goodput {
        header.push("Good<small>of attempted</small>");
    }
    header.push("Verdict");
    let rows: Vec<Vec<String>> =
        points.iter().map(|it| sweep_row(it, rates.clone(), without_output, goodput)).collect();
    table("", &header, &rows)
}

/// One row for each part of a mixture.
pub(super) fn mixture(summary: &Summary) -> String {
    if summary.workloads.is_empty() {
        return String::new();
    }
    let shown = |value: Option<f64>| value.map_or_else(|| ABSENT.to_owned(), figure);
    let row = |part: &PartSummary| {
        vec![
            escape(&part.name),
            with_unit(part.share, Unit::Fraction),
            format!("{} / {}", part.requests, part.completed),
            shown(part.prompt_tokens_mean),
            shown(part.output_tokens_mean),
            format!("{} / {}", shown(part.ttft_p50_ms), shown(part.ttft_p99_ms)),
            format!("{} / {}", shown(part.e2e_p50_ms), shown(part.e2e_p99_ms)),
        ]
    };
    let rows: Vec<Vec<String>> = summary.workloads.iter().map(row).collect();
    let header = [
        "Workload",
        "Share",
        "Requests<small>planned / completed</small>",
        "Prompt<small>mean, tokens</small>",
        "Output<small>mean, tokens</small>",
        "TTFT<small>p50 / p99, ms</small>",
        "Request latency<small>p50 / p99, ms</small>",
    ];
    table("", &header, &rows)
}

/// Rates of what requests hold beside a text, where any point has them.
fn items(points: &[PointReport]) -> impl Iterator<Item = Rate> + Clone {
    [Rate::DocumentThroughput, Rate::ImageThroughput]
        .into_iter()
        .filter(|rate| points.iter().any(|point| point.summary.rate(*rate).is_some()))
}

fn sweep_row(
    point: &PointReport,
    items: impl Iterator<Item = Rate>,
    without_output: bool,
    goodput: bool,
) -> Vec<String> {
    let summary = &point.summary;
    let counts = &summary.counts;
    let per_user = summary.percentile(Quantity::PerUser, Percentile::P50).map(|it| it.value);
    let mut row = vec![
        escape(&point.label),
        format!("{} / {}", counts.completed, counts.attempted.saturating_sub(counts.completed)),
        figures::maybe(summary.rate(Rate::RequestThroughput)),
    ];
    row.extend(items.map(|rate| figures::maybe(summary.rate(rate))));
    if without_output {
        row.push(figures::maybe(summary.rate(Rate::InputThroughput)));
    } else {
        let roughly = figures::roughly(summary.is_approximate(Quantity::PerUser));
        row.extend([
            figures::maybe(summary.rate(Rate::OutputThroughput)),
            per_user.map_or_else(|| ABSENT.to_owned(), |it| format!("{roughly}{}", figure(it))),
            pair(summary, Quantity::Ttft),
            pair(summary, Quantity::Itl),
        ]);
    }
    row.push(pair(summary, summary.headline_latency()));
    if goodput {
        let share = summary.rate(Rate::GoodFraction);
        row.push(share.map_or_else(
            || ABSENT.to_owned(),
            |share| with_unit(share, Rate::GoodFraction.definition().unit),
        ));
    }
    let class = match summary.verdict {
        Verdict::Valid => "pass",
        Verdict::ValidWithWarnings => "warn",
        Verdict::Invalid => "fail",
    };
    let word = if summary.nothing_completed() {
        "no result"
    } else {
        figures::short_verdict(summary.verdict)
    };
    let cut = summary.marks.iter().filter(|mark| **mark == Mark::Incomplete);
    row.push(format!("<span class=\"{class}\">{word}</span>{}", badges(cut)));
    row
}

fn pair(summary: &Summary, quantity: Quantity) -> String {
    let printed = |which| {
        summary.percentile(quantity, which).map_or_else(
            || ABSENT.to_owned(),
            |value| figures::percentile(value, figures::decimals(value.value)),
        )
    };
    let roughly = figures::roughly(summary.is_approximate(quantity));
    format!("{roughly}{} / {}", printed(Percentile::P50), printed(Percentile::P99))
}

/// One row for each quantity that exists.
pub(super) fn quantities(summary: &Summary) -> String {
    let rows: Vec<Vec<String>> = Quantity::ALL
        .into_iter()
        .filter(|it| *it != Quantity::OutputTokens || !summary.is_without_output())
        .filter_map(|quantity| Some((quantity, summary.distribution(quantity)?)))
        .map(|(quantity, values)| quantity_row(summary, quantity, values))
        .collect();
    if rows.is_empty() {
        return "<p>No request completed, so there is no distribution to show.</p>\n".to_owned();
    }
    let header = ["", "samples", "avg", "min", "max", "p99", "p90", "p75", "p50"];
    table("", &header, &rows)
}

fn quantity_row(summary: &Summary, quantity: Quantity, values: &Distribution) -> Vec<String> {
    let definition = quantity.definition();
    let whole = matches!(quantity, Quantity::OutputTokens | Quantity::PromptTokens);
    let digits = if whole { 0 } else { figures::decimals_of_row(values) };
    let mut row = vec![
        format!(
            "{}{}<small>{}</small>",
            figures::roughly(summary.is_approximate(quantity)),
            definition.label,
            definition.unit.symbol()
        ),
        values.count.to_string(),
        fixed(values.mean, digits.max(usize::from(whole))),
        fixed(values.min, digits),
        fixed(values.max, digits),
    ];
    row.extend(SHOWN.iter().map(|which| match values.percentiles.get(which) {
        Some(value) if whole => figures::percentile(value, digits),
        Some(value) => format!(
            "{}<small>{}</small>",
            figures::percentile(value, digits),
            figures::interval(value, digits)
        ),
        None => ABSENT.to_owned(),
    }));
    row
}

/// One row for each rate that exists, in one line.
pub(super) fn rates(summary: &Summary) -> String {
    let parts: Vec<String> = Rate::ALL
        .into_iter()
        // Without output it is the input alone.
        .filter(|rate| *rate != Rate::TotalThroughput || !summary.is_without_output())
        .filter_map(|rate| Some((rate, summary.rate(rate)?)))
        .map(|(rate, value)| {
            let definition = rate.definition();
            let roughly = match rate {
                Rate::Goodput | Rate::GoodFraction => {
                    figures::roughly(summary.has_approximate_goodput())
                }
                _ => "",
            };
            let printed = match definition.unit.symbol() {
                "" => with_unit(value, definition.unit),
                unit => format!("{} {unit}", figure(value)),
            };
            format!("{} <b>{roughly}{printed}</b>", definition.label)
        })
        .collect();
    format!("<p>{}</p>\n", parts.join(" · "))
}
