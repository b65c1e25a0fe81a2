//! Reports of a ladder: table and waterfall chart of what each layer adds.

pub mod csv;
pub mod json;
pub mod page;
pub mod table;

use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::ladder::{Ladder, Parts, Rung};
use crate::metrics::measure::{Measure, Statistic};
use crate::metrics::percentile::Percentile;
use crate::metrics::sides::Row;
use crate::report::{figures, in_python};
use crate::warning::{Code, Note};

/// Everything that a reader should know of a ladder, each with its code. Labels of an engine in Python hold on every rung.
pub fn notes(ladder: &Ladder) -> Vec<Note> {
    let left_out = ladder.rungs.iter().filter_map(|rung| {
        let why = rung.not_applicable.as_ref()?;
        Some(Note::new(Code::RungLeftOut, format!("{} does not apply: {why}", rung.level)))
    });
    let comparison = &ladder.comparison;
    let labels = comparison.sides.iter().find_map(|side| in_python::sentence(&side.target));
    left_out
        .chain(labels.map(|words| Note::new(Code::InPython, words)))
        .chain(comparison.notes.iter().cloned())
        .collect()
}

/// The numbers whose additions are shown.
const SHOWN: [Measure; 4] = [
    Measure::Of(Quantity::Ttft, Statistic::At(Percentile::P50)),
    Measure::Of(Quantity::Itl, Statistic::Mean),
    Measure::Of(Quantity::E2e, Statistic::At(Percentile::P50)),
    Measure::Rate(Rate::OutputThroughput),
];

/// The row of a number for a rung against the one that it stands on.
fn row<'a>(ladder: &'a Ladder, rung: &Rung, measure: Measure) -> Option<&'a Row> {
    let pair = ladder.comparison.pairs.iter().find(|pair| Some(pair.candidate) == rung.side)?;
    pair.rows.iter().find(|row| row.metric == measure)
}

/// A number of a rung.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RungValue {
    value: f64,
    is_approximate: bool,
}

impl RungValue {
    /// As tables show it.
    fn text(self) -> String {
        format!("{}{}", figures::roughly(self.is_approximate), figures::figure(self.value))
    }
}

/// The value of a number on a rung. The lowest rung is no candidate; it is the baseline of another.
fn value(ladder: &Ladder, rung: &Rung, measure: Measure) -> Option<RungValue> {
    if let Some(row) = row(ladder, rung, measure) {
        let is_approximate = row.approximate.candidate;
        return Some(RungValue { value: row.candidate, is_approximate });
    }
    let pair = ladder.comparison.pairs.iter().find(|pair| Some(pair.baseline) == rung.side)?;
    let row = pair.rows.iter().find(|row| row.metric == measure)?;
    Some(RungValue { value: row.baseline, is_approximate: row.approximate.baseline })
}

/// What a rung adds to a number, with its interval; of a rate, its ratio.
fn added(row: &Row) -> String {
    match (row.metric, &row.ratio) {
        (Measure::Rate(_), Some(ratio)) => {
            let shown = |value| format!("×{}", figures::fixed(value, 3));
            crate::report::comparison::with_interval(ratio.ratio, ratio.low, ratio.high, shown)
        }
        _ => difference(row.difference.mean, row.difference.low, row.difference.high),
    }
}

/// `+0.62 [0.58, 0.66]`, with the digits that its size deserves.
fn difference(mean: f64, low: Option<f64>, high: Option<f64>) -> String {
    let size = [Some(mean), low, high].into_iter().flatten().map(f64::abs).fold(0.0, f64::max);
    let digits = figures::decimals(size);
    crate::report::comparison::with_interval(mean, low, high, |value| {
        crate::report::comparison::signed(value, digits)
    })
}

/// The parts of a request's latency in the order in which they come, each with its name.
fn slices(parts: &Parts) -> Vec<(&'static str, f64)> {
    match parts.engine {
        Some(engine) => vec![
            ("queue", engine.queue_ms),
            ("prefill", engine.prefill_ms),
            ("decode", engine.decode_ms),
            ("overhead", engine.overhead_ms),
        ],
        None => vec![("not broken down", parts.e2e_ms)],
    }
}

/// What the parts are, for below a picture.
const LEGEND: &str = "queue: arrival to first scheduled · prefill: to the first token · decode: to the last token · \
     overhead: everything between the harness and the engine (hand-over, text, server, transport) · \
     pull: from the stamp to the harness's look at it, after the latency";
