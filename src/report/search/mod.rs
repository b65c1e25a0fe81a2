//! Reports of a search: the limit, every probe, and a picture of them.

pub mod csv;
pub mod json;
pub mod page;
pub mod table;

use crate::load::Load;
use crate::metrics::early_stopping::Decision;
use crate::metrics::search::{Count, Probe, Search};
use crate::report::figures::{ABSENT, counted, figure, share};
use crate::warning::{Code, Note};

/// The sentence that a user quotes.
fn headline(search: &Search) -> String {
    let unit = search.question.axis.unit();
    match (search.outcome.limit, search.outcome.interval.1) {
        (Some(limit), Some(missed)) => format!(
            "up to {} {unit} meet {}; {} miss",
            value(search, limit),
            search.question.objectives,
            value(search, missed)
        ),
        (Some(limit), None) => format!(
            "{} {unit} meet {}, and nothing is known to miss",
            value(search, limit),
            search.question.objectives
        ),
        (None, _) => format!("no load that was tried meets {}", search.question.objectives),
    }
}

/// A load with the digits that tell probes apart.
fn value(search: &Search, at: f64) -> String {
    search.question.axis.shown(at)
}

/// What a probe played, in as many digits as tell probes apart.
fn load(search: &Search, probe: &Probe) -> String {
    let text = probe.load.to_string();
    match probe.load {
        Load::Open { rate, .. } => {
            text.replace(&format!("{rate}/s"), &format!("{}/s", value(search, rate)))
        }
        Load::Closed { .. } | Load::Batch => text,
    }
}

/// How probes are limited and decided, for below a table.
fn how(search: &Search) -> String {
    let longer = if search.longest > search.requests {
        format!(
            " A rate under which latencies rise towards their bound is played again with up to {}.",
            counted(search.longest.into(), "request")
        )
    } else {
        String::new()
    };
    format!(
        "A probe ends where the binomial rule of MLPerf's early stopping decides at 99 %, or after {} or {} s; `~` marks what was \
         not decided then.{longer} Requests that failed count as misses.",
        counted(search.requests.into(), "request"),
        figure(search.seconds)
    )
}

/// What must be said of the result, each with its code.
pub fn notes(search: &Search) -> Vec<Note> {
    let outcome = &search.outcome;
    let contradictions = outcome.contradictions.iter();
    let contradictions =
        contradictions.map(|text| Note::new(Code::NotMonotone, format!("not monotone: {text}")));
    let told = contradictions.chain(outcome.notes.iter().cloned());
    let ran_out = outcome.notes.iter().any(|note| note.code == Code::OutOfProbes);
    let words = "the search has not come to its end: go on with `--resume`";
    let early = (!outcome.converged && !ran_out).then(|| Note::new(Code::Unfinished, words));
    told.chain(early).collect()
}

/// `meets`, `~misses`, or what a bracket is for.
fn verdict(probe: &Probe) -> String {
    let word = if probe.meets { "meets" } else { "misses" };
    if probe.certain { word.to_owned() } else { format!("~{word}") }
}

/// Requests that missed an objective of those that were counted.
fn over(count: &Count, probe: &Probe) -> String {
    let mark = match count.decision {
        Decision::Meets | Decision::Misses => "",
        Decision::Open => "~",
    };
    format!("{mark}{}/{}", count.over, probe.counted)
}

/// The share of counted requests that met every bound; absent where none was counted.
fn good(probe: &Probe) -> String {
    good_share(probe).map_or_else(|| ABSENT.to_owned(), share)
}

fn good_share(probe: &Probe) -> Option<f64> {
    (probe.counted > 0).then(|| probe.good as f64 / probe.counted as f64)
}
