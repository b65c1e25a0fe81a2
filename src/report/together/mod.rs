//! Several runs side by side: ours, and results that other tools wrote, per load.

pub mod folder;
pub mod import;
pub mod page;
pub mod pictures;
pub mod result_file;
pub mod table;

use crate::load::Load;
use crate::metrics::compare::{Block, ComparisonVerdict, compare};
use crate::metrics::definition::Better;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::Verdict;
use crate::metrics::{Quantity, Rate, Summary};
use crate::report::Experiment;
use crate::report::notes::concerns;
use crate::warning::{Code, Note};

/// A number that ours and other tools' files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Number {
    /// Mean time to the first token, ms.
    Ttft,
    /// Its 99th percentile, ms.
    TtftP99,
    /// Mean time per output token, ms.
    Tpot,
    /// Mean gap between tokens or chunks, ms.
    Itl,
    /// Mean request latency, ms.
    E2el,
    /// Its 99th percentile, ms.
    E2elP99,
    /// Output tokens per second.
    Output,
    /// Requests per second.
    Requests,
}

impl Number {
    /// Every number, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Ttft,
        Self::TtftP99,
        Self::Tpot,
        Self::Itl,
        Self::E2el,
        Self::E2elP99,
        Self::Output,
        Self::Requests,
    ];

    /// As printed, with its unit.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ttft => "TTFT mean, ms",
            Self::TtftP99 => "TTFT p99, ms",
            Self::Tpot => "TPOT mean, ms",
            Self::Itl => "ITL mean, ms",
            Self::E2el => "E2EL mean, ms",
            Self::E2elP99 => "E2EL p99, ms",
            Self::Output => "output tokens/s",
            Self::Requests => "requests/s",
        }
    }

    const fn better(self) -> Better {
        match self {
            Self::Output | Self::Requests => Better::Higher,
            Self::Ttft | Self::TtftP99 | Self::Tpot | Self::Itl | Self::E2el | Self::E2elP99 => {
                Better::Lower
            }
        }
    }

    fn of(self, summary: &Summary) -> Option<f64> {
        let mean = |quantity| summary.distribution(quantity).map(|it| it.mean);
        let p99 = |quantity| summary.percentile(quantity, Percentile::P99).map(|it| it.value);
        match self {
            Self::Ttft => mean(Quantity::Ttft),
            Self::TtftP99 => p99(Quantity::Ttft),
            Self::Tpot => mean(Quantity::Tpot),
            Self::Itl => mean(Quantity::Itl),
            Self::E2el => mean(Quantity::E2e),
            Self::E2elP99 => p99(Quantity::E2e),
            Self::Output => summary.rate(Rate::OutputThroughput),
            Self::Requests => summary.rate(Rate::RequestThroughput),
        }
    }
}

/// How requests arrived, as far as files of any tool say it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum SideLoad {
    /// So many in flight.
    Concurrency(u32),
    /// Requests of so many texts each, so many of them in flight.
    BatchSize {
        /// Texts of a request.
        size: u32,
        /// Requests in flight.
        concurrency: u32,
    },
    /// So many per second.
    Rate(f64),
    /// All at once, or the file does not say.
    Unbounded,
}

impl SideLoad {
    /// As a heading.
    pub fn label(self) -> String {
        match self {
            Self::Concurrency(concurrency) => format!("concurrency {concurrency}"),
            Self::BatchSize { size, concurrency } => {
                format!("batch size {size}, concurrency {concurrency}")
            }
            Self::Rate(rate) => format!("{rate} requests/s"),
            Self::Unbounded => "no bound on the load".to_owned(),
        }
    }
}

impl From<&Summary> for SideLoad {
    fn from(summary: &Summary) -> Self {
        match (summary.load, summary.documents) {
            (Load::Closed { concurrency }, None) => Self::Concurrency(concurrency),
            (Load::Closed { concurrency }, Some(size)) => Self::BatchSize { size, concurrency },
            (Load::Open { rate, .. }, _) => Self::Rate(rate),
            (Load::Batch, _) => Self::Unbounded,
        }
    }
}

/// One measured load of a side.
#[derive(Debug, Clone, PartialEq)]
pub struct SidePoint {
    /// How requests arrived.
    pub load: SideLoad,
    /// Requests that completed, and all that were attempted, where the file says.
    pub requests: Option<(u64, u64)>,
    /// A value for each of [`Number::ALL`], where there is one.
    pub values: [Option<f64>; Number::ALL.len()],
}

impl SidePoint {
    /// A number, where it is known.
    pub fn get(&self, number: Number) -> Option<f64> {
        self.values[number as usize]
    }
}

/// One run, ours or somebody else's.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// `A`, `B`, …
    pub name: String,
    /// What it is, e.g. `sim:null, D(128,64), closed loop` or `aiperf 0.13.0: llama`.
    pub title: String,
    /// The tool that measured it, where that was not this one.
    pub measured_by: Option<String>,
    /// What readers must know: marks of ours, and what another tool's file cannot tell.
    pub notes: Vec<Note>,
    /// Its loads, in their order.
    pub points: Vec<SidePoint>,
}

/// A run of ours as a side.
pub fn side_of(shown: &Experiment) -> Side {
    let points = shown.points.iter().map(|point| SidePoint {
        load: (&point.summary).into(),
        requests: Some((point.summary.counts.completed, point.summary.counts.attempted)),
        values: Number::ALL.map(|number| number.of(&point.summary)),
    });
    let mut notes: Vec<Note> = shown
        .marks()
        .iter()
        .map(|mark| {
            let words = format!("{}: {}", mark.description(), mark.sentence());
            Note::new(mark.code(), words)
        })
        .collect();
    notes.extend(verdict_note(shown));
    Side {
        name: String::new(),
        title: shown.title.clone() + &crate::report::table::marks(shown.marks()),
        measured_by: None,
        notes,
        points: points.collect(),
    }
}

/// The verdict, where it is not plainly valid, with the codes of the checks that did not pass.
fn verdict_note(shown: &Experiment) -> Option<Note> {
    let verdict = shown.verdict().filter(|verdict| *verdict != Verdict::Valid)?;
    let codes: Vec<&str> = concerns(shown).iter().map(|it| it.worst.code.number()).collect();
    let words = format!("measurement {} ({})", verdict.description(), codes.join(", "));
    Some(Note::new(Code::SideChecks, words))
}

/// Names sides `A`, `B`, … in their order.
pub fn name_sides(sides: &mut [Side]) {
    for (place, side) in sides.iter_mut().enumerate() {
        side.name = letters(place);
    }
}

/// `A` to `Z`, then `AA`, `AB`, …
fn letters(place: usize) -> String {
    const ALPHABET: usize = 26;
    let last = char::from(b'A' + (place % ALPHABET) as u8);
    match place / ALPHABET {
        0 => last.to_string(),
        more => format!("{}{last}", letters(more - 1)),
    }
}

/// Every load that a side has, from the lowest.
pub fn loads(sides: &[Side]) -> Vec<SideLoad> {
    let mut loads: Vec<SideLoad> = Vec::new();
    for point in sides.iter().flat_map(|side| &side.points) {
        if !loads.contains(&point.load) {
            loads.push(point.load);
        }
    }
    loads.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    loads
}

/// What a number of a side is at a load, against the first side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Against {
    /// Mean over the points of this load.
    pub value: f64,
    /// Side ÷ first side; `None` for the first, and where it has no such number.
    pub ratio: Option<f64>,
    /// What can be said of it, in the words of `compare`.
    pub answer: Option<ComparisonVerdict>,
}

/// A number of a side at a load, held against the first side: points of one load are paired in their order.
pub fn against(
    sides: &[Side],
    side: usize,
    load: SideLoad,
    number: Number,
    margin: f64,
) -> Option<Against> {
    let values = |side: &Side| -> Vec<f64> {
        let here = side.points.iter().filter(|point| point.load == load);
        here.filter_map(|point| point.get(number)).collect()
    };
    let candidates = values(&sides[side]);
    let value = crate::metrics::compare::mean(&candidates)?;
    if side == 0 {
        return Some(Against { value, ratio: None, answer: None });
    }
    let pairs: Vec<Block> = values(&sides[0])
        .into_iter()
        .zip(candidates)
        .map(|(baseline, candidate)| Block { baseline, candidate })
        .collect();
    // Without a pair, or with a value of 0, there is no ratio.
    let compared = compare(&pairs, number.better(), margin).ok();
    Some(Against {
        value,
        ratio: compared.as_ref().map(|it| it.ratio),
        answer: compared.map(|it| it.answer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(values: &[f64]) -> Side {
        let point = |value: &f64| SidePoint {
            load: SideLoad::Concurrency(4),
            requests: None,
            values: Number::ALL.map(|number| (number == Number::Ttft).then_some(*value)),
        };
        Side {
            name: String::new(),
            title: "t".to_owned(),
            measured_by: None,
            notes: Vec::new(),
            points: values.iter().map(point).collect(),
        }
    }

    fn answer(a: &[f64], b: &[f64]) -> Option<ComparisonVerdict> {
        let sides = [side(a), side(b)];
        against(&sides, 1, SideLoad::Concurrency(4), Number::Ttft, 0.02)?.answer
    }

    #[test]
    fn no_two_sides_have_one_name() {
        assert_eq!([0, 25, 26, 27, 52].map(letters), ["A", "Z", "AA", "AB", "BA"]);
    }

    #[test]
    fn one_point_on_each_side_decides_nothing() {
        assert_eq!(answer(&[10.0], &[20.0]), Some(ComparisonVerdict::Undecided));
    }

    #[test]
    fn five_points_decide_by_the_rule_of_compare() {
        let a = [10.0, 10.1, 9.9, 10.0, 10.05];
        assert_eq!(answer(&a, &a.map(|it| it * 2.0)), Some(ComparisonVerdict::Slower));
        assert_eq!(answer(&a, &a), Some(ComparisonVerdict::Equivalent));
    }

    #[test]
    fn a_side_without_the_load_has_no_number_and_no_ratio() {
        assert_eq!(answer(&[10.0], &[]), None);
        assert_eq!(answer(&[], &[10.0]), None);
    }
}
