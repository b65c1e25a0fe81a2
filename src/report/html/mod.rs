//! HTML report: one self-contained file without scripts, fonts or network.

pub mod cells;
mod checks;
mod cumulative;
pub mod curves;
mod facts;
mod gpus;
mod iterations;
pub mod plot;
mod point;
mod requests;
pub(in crate::report) mod tables;
pub mod text;

use std::collections::BTreeSet;

use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Mark, Summary};
use crate::report::figures::{self, counted, figure};
use crate::report::{Experiment, PointReport, json_word, notes, repeats};
use crate::warning::{Code, Note};
use text::{escape, name, prose};

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn render(experiment: &Experiment) -> String {
    // A single point is its own result; of several, each is a detail of the sweep.
    let (results, details) = match experiment.points.as_slice() {
        points @ ([] | [_]) => (point::sections(points), String::new()),
        points => (tables::sweep(points), point::sections(points)),
    };
    let sections = [
        heading(experiment),
        verdict(experiment),
        headline(experiment),
        know_before_quoting(experiment),
        results,
        repeats::page(&experiment.points),
        curves::over_load(&experiment.points),
        cost(experiment),
        curves::by_percentile(&experiment.points),
        cumulative::section(&experiment.points),
        checks::section(&experiment.points),
        details,
        facts::definitions(),
        facts::manifest(experiment),
        facts::files(&experiment.files),
    ];
    page(&experiment.title, &sections.concat(), SMALL_PRINT)
}

/// A page of ours around its sections.
pub fn page(title: &str, body: &str, small_print: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}{}</main>\n</body>\n</html>\n",
        escape(title),
        body,
        footer(small_print)
    )
}

fn cost(experiment: &Experiment) -> String {
    let line = |text: String| format!("<p class=\"soft\">Cost: {}</p>\n", escape(&text));
    crate::report::cost::sentence(experiment).map_or_else(String::new, line)
}

fn heading(experiment: &Experiment) -> String {
    format!(
        "<h1>{}{}</h1>\n<p class=\"soft\">{} · <code>{}</code></p>\n",
        name(&experiment.title),
        badges(&experiment.marks()),
        prose(&experiment.target.title),
        escape(&experiment.target.name)
    )
}

pub(in crate::report) fn badges<'a>(marks: impl IntoIterator<Item = &'a Mark>) -> String {
    let badge = |mark: &Mark| {
        format!(
            r#"<span class="badge {}" title="{}">{}</span>"#,
            json_word(mark),
            mark.sentence(),
            mark.description()
        )
    };
    marks.into_iter().map(badge).collect()
}

/// A note behind its code.
pub(in crate::report) fn coded(note: &Note) -> String {
    format!("<code>{}</code> {}", note.code, prose(&note.text))
}

/// A list of ready items; nothing where there is none.
pub(in crate::report) fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| format!("<li>{item}</li>\n")).collect();
    if items.is_empty() { String::new() } else { format!("<ul>\n{}</ul>\n", items.concat()) }
}

/// What must be said of a result; nothing where there is nothing to say.
pub(in crate::report) fn before_quoting(notes: &[Note]) -> String {
    section_before_quoting(notes.iter().map(coded).collect())
}

fn section_before_quoting(items: Vec<String>) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!("<h2>What to know before quoting a number</h2>\n{}", list(items.into_iter()))
}

fn verdict(experiment: &Experiment) -> String {
    let Some(worst) = experiment.verdict() else {
        return "<div class=\"verdict none\"><b>No verdict</b>: no run was finished.</div>\n"
            .into();
    };
    if experiment.points.iter().all(|point| point.summary.nothing_completed()) {
        return "<div class=\"verdict invalid\"><b>No result</b>: no request completed; the message of the first that failed \
                stands below.</div>\n"
            .into();
    }
    let alike = experiment.points.iter().filter(|point| point.summary.verdict == worst).count();
    let place = match experiment.points.len() {
        1 => String::new(),
        all => format!(" at {alike} of {all} points"),
    };
    let concerns: BTreeSet<&str> =
        notes::concerns(experiment).iter().map(|concern| concern.worst.id.label()).collect();
    let reasons = match concerns.len() {
        0 => "every check that applies passed, so the harness was not what limited these numbers"
            .to_owned(),
        _ => format!("see {}", concerns.into_iter().collect::<Vec<_>>().join(", ")),
    };
    format!(
        "<div class=\"verdict {}\"><b>{}</b>{place}: {reasons}.</div>\n",
        json_word(&worst),
        worst.description()
    )
}

/// A few numbers of the best point that can be trusted.
fn headline(experiment: &Experiment) -> String {
    let Some(best) = experiment.best_point() else {
        return format!("<p>{}.</p>\n", escape(&crate::report::table::headline(experiment)));
    };
    let label = escape(&best.label);
    let mut tiles = String::new();
    let is_without_output = best.summary.is_without_output();
    let rate = best.summary.headline_rate();
    if let Some(value) = best.summary.rate(rate) {
        let name = match (is_without_output, experiment.points.len() > 1) {
            (false, true) => "Highest output throughput",
            (false, false) => "Output throughput",
            (true, true) => "Highest input throughput",
            (true, false) => "Input throughput",
        };
        tiles.push_str(&tile(name, &figure(value), "tokens/s", &format!("at {label}")));
    }
    let of_items = [
        (Rate::RequestThroughput, is_without_output),
        (Rate::DocumentThroughput, true),
        (Rate::ImageThroughput, true),
    ];
    for (rate, _) in of_items.into_iter().filter(|(_, is_told)| *is_told) {
        if let Some(value) = best.summary.rate(rate) {
            let (name, unit) = (rate.definition().label, rate.definition().unit.symbol());
            tiles.push_str(&tile(name, &figure(value), unit, &format!("at {label}")));
        }
    }
    for quantity in [Quantity::Ttft, Quantity::Itl, best.summary.headline_latency()] {
        tiles.push_str(&latency_tile(best, quantity));
    }
    format!("<div class=\"tiles\">\n{tiles}</div>\n")
}

fn latency_tile(best: &PointReport, quantity: Quantity) -> String {
    if best.summary.is_of_bursts(quantity) {
        let more = format!("tokens came in bursts ({})", Code::Streaming);
        return tile(quantity.definition().label, figures::ABSENT, "", &more);
    }
    let printed = |which| {
        let value = best.summary.percentile(quantity, which)?;
        Some(figures::percentile(value, figures::decimals(value.value)))
    };
    let (Some(p50), Some(p99)) = (printed(Percentile::P50), printed(Percentile::P99)) else {
        return String::new();
    };
    let definition = quantity.definition();
    let unit = definition.unit.symbol();
    let (name, origin) = match quantity {
        Quantity::E2eIntended => (Quantity::E2e.definition().label, ", from intended arrival"),
        _ => (definition.label, ""),
    };
    let roughly = figures::roughly(best.summary.is_approximate(quantity));
    let more = format!("median; p99 {roughly}{p99} {unit}{origin}");
    tile(name, &format!("{roughly}{p50}"), unit, &more)
}

fn tile(name: &str, value: &str, unit: &str, more: &str) -> String {
    format!(
        "<div class=\"tile\"><div class=\"name\">{name}</div><div class=\"value\">{value} <small>{unit}</small></div><div class=\"more\">{more}</div></div>\n"
    )
}

fn know_before_quoting(experiment: &Experiment) -> String {
    let mut items: Vec<String> = notes::concerns(experiment)
        .iter()
        .map(|concern| {
            let remedy = concern.worst.remedy.as_ref().map_or_else(String::new, |remedy| {
                format!("<br><span class=\"soft\">Remedy: {}</span>", prose(remedy))
            });
            format!(
                "<code class=\"{}\">{}</code> {}{}{remedy}",
                json_word(&concern.worst.status),
                concern.code(),
                prose(&concern.worst.sentence),
                escape(&concern.place())
            )
        })
        .collect();
    items.extend(notes::notes(experiment).iter().map(coded));
    section_before_quoting(items)
}

/// How requests ended, in one line of text.
fn ended(summary: &Summary) -> String {
    let counts = &summary.counts;
    let mut parts = vec![
        format!("{} attempted", counted(counts.attempted, "request")),
        format!("{} completed", counts.completed),
    ];
    let others = crate::report::notes::unsuccessful(counts);
    parts.extend(others.into_iter().map(|(count, words)| format!("{count} {words}")));
    parts.extend(summary.window_s.map(|seconds| format!("in {} s", figure(seconds))));
    parts.extend(notes::around(counts));
    parts.join(", ")
}

/// What marks and whiskers mean on the page of a run.
const SMALL_PRINT: &str = "<code>~</code> or a hollow dot: too few samples to certify the percentile. <code>≈</code>: tokens are spread over chunks. Small print below a \
     percentile, and whiskers: its 95 % order-statistic interval.";

fn footer(small_print: &str) -> String {
    format!(
        "<footer>Made by {} {}. {small_print}</footer>\n",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION")
    )
}
