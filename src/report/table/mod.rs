//! Console report: verdict, headline, latencies, throughput, notes, files.

pub mod cells;
pub(super) mod engine;
mod gpu;
pub(in crate::report) mod lines;
mod mixture;
mod point;
mod server;
mod sweep;

use std::fmt::Write as _;

use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Mark, Summary, Verdict};
use crate::report::figures::{self, figure, with_unit};
use crate::report::times::Shown;
use crate::report::{Experiment, FileNote, cost, notes, repeats};
use crate::settings::time_unit::TimeUnit;
use crate::warning::Code;

use lines::{coded, flowed, sentence};
pub use point::{render as point, render_in as point_in};

/// The whole report, for one point or several.
pub fn render(experiment: &Experiment) -> String {
    let mut text = opening(experiment);
    for report in &experiment.points {
        text.push('\n');
        text.push_str(&point_in(report, experiment.time_unit));
    }
    text.push_str(&closing(experiment));
    text
}

/// For a program that has printed each [`point`] as it ended: everything else, in the same order.
pub fn conclusion(experiment: &Experiment) -> String {
    format!("{}{}", opening(experiment), closing(experiment))
}

fn opening(experiment: &Experiment) -> String {
    let mut text = titled(&experiment.title, experiment.marks());
    text.push_str(&line("target", &experiment.target.title));
    for (name, said) in
        [("server", experiment.declared.server.line()), ("notes", experiment.declared.notes_line())]
    {
        text.push_str(&said.map_or_else(String::new, |said| line(name, &said)));
    }
    text.push_str(&line("verdict", &verdict(experiment)));
    text.push_str(&line("headline", &headline(experiment)));
    text
}

fn closing(experiment: &Experiment) -> String {
    let mut text = String::new();
    if experiment.points.len() > 1 {
        text.push('\n');
        text.push_str(&sweep::render(&experiment.points, experiment.time_unit));
        text.push_str(&server::by_point(&experiment.points));
    }
    text.push_str(&repeats::text(&experiment.points));
    if let Some(cost) = cost::sentence(experiment) {
        text.push_str(&sentence("  cost  ", &cost));
    }
    text.push_str(&what_to_know(experiment));
    text.push_str(&files(&experiment.folder, &experiment.files));
    text
}

/// What was written where; nothing where nothing was.
pub fn files(folder: &str, files: &[FileNote]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut text = format!("\nfiles in {folder}\n");
    let width = files.iter().map(|file| file.name.chars().count()).max().unwrap_or(0);
    for file in files {
        text.push_str(&sentence(&format!("  {:width$}  ", file.name), &file.holds));
    }
    text
}

/// A value behind its name; each of its lines is broken between words.
fn line(name: &str, value: &str) -> String {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    value.lines().zip(names).map(|(value, name)| sentence(&format!("  {name:9} "), value)).collect()
}

/// A title with its marks, which stay whole.
pub(in crate::report) fn titled(title: &str, of: impl IntoIterator<Item = Mark>) -> String {
    let marks = marks(of);
    let words: Vec<&str> = title.split_whitespace().chain(marks.strip_prefix(' ')).collect();
    flowed("", " ", &words)
}

/// `  [SIMULATED, DUMMY WEIGHTS]`, or nothing.
pub fn marks(marks: impl IntoIterator<Item = Mark>) -> String {
    let words: Vec<String> =
        marks.into_iter().map(|mark| mark.description().to_uppercase()).collect();
    if words.is_empty() { String::new() } else { format!("  [{}]", words.join(", ")) }
}

fn verdict(experiment: &Experiment) -> String {
    let Some(worst) = experiment.verdict() else {
        return "none: no run was finished".to_owned();
    };
    if experiment.points.iter().all(|point| point.summary.nothing_completed()) {
        return "NO RESULT: no request completed; see `notes`".to_owned();
    }
    let alike = experiment.points.iter().filter(|point| point.summary.verdict == worst).count();
    match (worst, experiment.points.len()) {
        (Verdict::Valid, 1) => "VALID".to_owned(),
        (Verdict::Valid, all) => format!("VALID at all {all} points"),
        (_, 1) => format!("{}; see `notes`", worst.description().to_uppercase()),
        (_, all) => {
            format!(
                "{} at {alike} of {all} points; see `notes`",
                worst.description().to_uppercase()
            )
        }
    }
}

/// The sentence that a user quotes: of the best point that can be trusted.
pub fn headline(experiment: &Experiment) -> String {
    let Some(best) = experiment.best_point() else {
        return match experiment.points.len() {
            0 => "nothing was measured".to_owned(),
            _ if experiment.points.iter().all(|point| point.summary.counts.completed == 0) => {
                "no request completed".to_owned()
            }
            _ if experiment.points.iter().any(|it| it.summary.verdict != Verdict::Invalid) => {
                "none: no valid point is complete".to_owned()
            }
            _ => "no number here can be trusted: no point is valid".to_owned(),
        };
    };
    let superlative = if experiment.points.len() > 1 { "up to " } else { "" };
    let tokens = best.summary.rate(best.summary.headline_rate());
    let is_unknown = tokens.is_none();
    let tokens = figure(tokens.unwrap_or_default());
    let mut text = if is_unknown {
        format!("throughput is not known at {}; see `notes`", best.label)
    } else if best.summary.is_without_output() {
        let requests = best.summary.rate(Rate::RequestThroughput).unwrap_or_default();
        let requests = with_unit(requests, Rate::RequestThroughput.definition().unit);
        format!("{superlative}{tokens} input tokens/s, {requests} at {}", best.label)
    } else {
        format!("{superlative}{tokens} output tokens/s at {}", best.label)
    };
    for quantity in [Quantity::Ttft, Quantity::Itl, best.summary.headline_latency()] {
        if best.summary.is_of_bursts(quantity) {
            let (name, code) = (figures::short_name(quantity), Code::Streaming);
            let _infallible = write!(text, "\n{name} is not told: tokens came in bursts ({code})");
        } else if let Some(pair) = p50_and_p99(&best.summary, quantity, experiment.time_unit) {
            let name = match quantity {
                Quantity::E2eIntended => "request latency from intended arrival",
                other => figures::short_name(other),
            };
            let _infallible = write!(text, "\n{name} {pair}");
        }
    }
    text
}

/// `p50 12.3 ms, p99 ~45.6 ms`.
fn p50_and_p99(summary: &Summary, quantity: Quantity, unit: TimeUnit) -> Option<String> {
    let shown = Shown::of(quantity, unit);
    let unit = shown.symbol;
    let printed = |which| Some(shown.text(summary.percentile(quantity, which)?));
    let (p50, p99) = (printed(Percentile::P50)?, printed(Percentile::P99)?);
    let roughly = figures::roughly(summary.is_approximate(quantity));
    Some(format!("p50 {roughly}{p50} {unit}, p99 {roughly}{p99} {unit}"))
}

fn what_to_know(experiment: &Experiment) -> String {
    let mut text = String::new();
    for concern in notes::concerns(experiment) {
        let words = format!("{}{}", concern.worst.sentence, concern.place());
        text.push_str(&sentence(&format!("  {}: ", concern.code()), &words));
        if let Some(remedy) = &concern.worst.remedy {
            text.push_str(&sentence("    remedy: ", remedy));
        }
    }
    for note in notes::notes(experiment) {
        text.push_str(&coded(&note));
    }
    if text.is_empty() { text } else { format!("\nnotes\n{text}") }
}
