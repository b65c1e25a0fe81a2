//! Reports of a comparison: console table, page, CSV, JSON.

pub mod csv;
pub mod json;
pub mod page;
pub mod table;

use crate::metrics::compare::ComparisonVerdict;
use crate::metrics::comparison::Comparison;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::measure::{Measure, Statistic};
use crate::metrics::percentile::Percentile;
use crate::metrics::sides::{GateResult, GateStatus, Row};
use crate::report::figures::{self, short_name};
use crate::report::in_python::notes_of_sides;
use crate::warning::Note;

/// Everything that a reader should know of a comparison, each with its code.
pub fn notes(comparison: &Comparison) -> Vec<Note> {
    notes_of_sides(&comparison.sides).chain(comparison.notes.iter().cloned()).collect()
}

/// The numbers that people look at, in the order of tables; the files hold them all.
const SHOWN: [Measure; 16] = [
    Measure::Of(Quantity::Ttft, Statistic::At(Percentile::P50)),
    Measure::Of(Quantity::Ttft, Statistic::At(Percentile::P99)),
    Measure::Of(Quantity::Itl, Statistic::At(Percentile::P50)),
    Measure::Of(Quantity::Itl, Statistic::At(Percentile::P99)),
    Measure::Of(Quantity::Tpot, Statistic::At(Percentile::P50)),
    Measure::Of(Quantity::E2e, Statistic::At(Percentile::P50)),
    Measure::Of(Quantity::E2e, Statistic::At(Percentile::P99)),
    Measure::Of(Quantity::E2eIntended, Statistic::At(Percentile::P99)),
    Measure::Of(Quantity::Prefill, Statistic::Mean),
    Measure::Rate(Rate::OutputThroughput),
    Measure::Rate(Rate::InputThroughput),
    Measure::Rate(Rate::RequestThroughput),
    Measure::Rate(Rate::DocumentThroughput),
    Measure::Rate(Rate::ImageThroughput),
    Measure::Rate(Rate::PerGpuOutput),
    Measure::Rate(Rate::Goodput),
];

/// The rows of a pair that tables show. In a closed loop the intended arrival adds nothing; where there is output, its rate
/// says what that of the input would.
fn shown<'a>(comparison: &Comparison, rows: &'a [Row]) -> Vec<&'a Row> {
    let closed = comparison.closed_loop;
    let has_output = rows.iter().any(|it| it.metric == Measure::Rate(Rate::OutputThroughput));
    let intended = |measure: Measure| matches!(measure, Measure::Of(Quantity::E2eIntended, _));
    SHOWN
        .into_iter()
        .filter(|measure| !(closed && intended(*measure)))
        .filter(|measure| !(has_output && *measure == Measure::Rate(Rate::InputThroughput)))
        .filter_map(|measure| rows.iter().find(|row| row.metric == measure))
        .collect()
}

/// `TTFT p99, ms`.
pub(super) fn heading(metric: Measure) -> String {
    let unit = metric.definition().unit.symbol();
    let name = match metric {
        Measure::Rate(Rate::RequestThroughput) => return "Requests/s".to_owned(),
        Measure::Of(quantity, statistic) => {
            let statistic = match statistic {
                Statistic::Mean => "avg",
                Statistic::At(which) => which.label(),
            };
            format!("{} {statistic}", short_name(quantity).trim())
        }
        Measure::Rate(rate) => rate.definition().label.replace(" throughput", ""),
    };
    if unit.is_empty() { name } else { format!("{name}, {unit}") }
}

/// How two sides are called above their columns: without the words that both names end in, such as their load, which the
/// heading of the table says.
fn in_columns<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let alike = a.match_indices(' ').map(|(at, _)| at).find(|at| *at > 0 && b.ends_with(&a[*at..]));
    match alike.map(|at| a.len() - at) {
        Some(ending) if ending < b.len() => (&a[..a.len() - ending], &b[..b.len() - ending]),
        _ => (a, b),
    }
}

/// A row as it is read: what, both values, difference, ratio, answer.
fn cells(row: &Row, interleaved: bool) -> [String; 6] {
    [
        heading(row.metric),
        value_text(row, row.baseline, row.approximate.baseline),
        value_text(row, row.candidate, row.approximate.candidate),
        difference_text(row),
        ratio_text(row),
        answer(row, interleaved).to_owned(),
    ]
}

/// The verdict as a text. For runs that were not interleaved it can only be likely.
fn answer(row: &Row, interleaved: bool) -> &'static str {
    match (row.ratio.as_ref().map(|ratio| ratio.answer), interleaved) {
        (Some(ComparisonVerdict::Faster), true) => "better",
        (Some(ComparisonVerdict::Slower), true) => "WORSE",
        (Some(ComparisonVerdict::Equivalent), true) => "equal",
        (Some(ComparisonVerdict::Faster), false) => "likely better",
        (Some(ComparisonVerdict::Slower), false) => "likely worse",
        (Some(ComparisonVerdict::Equivalent), false) => "likely equal",
        (Some(ComparisonVerdict::Undecided), _) => "undecided",
        (None, _) => figures::ABSENT,
    }
}

/// `ttft_p99>5%: regression`.
fn gate_result(gate_result: &GateResult) -> String {
    let finding = match gate_result.finding {
        GateStatus::Regression => "REGRESSION: the whole interval is worse by more",
        GateStatus::Held => "held: the whole interval is within it",
        GateStatus::Undecided => {
            "undecided: the interval reaches across it, or there are too few blocks"
        }
        GateStatus::NotMeasured => "NOT HELD: not measured in this experiment",
        GateStatus::InvalidSide => "NOT HELD: the measurement of a side is invalid",
        GateStatus::Withheld => "NOT HELD: on a side it tells nothing of the engine; see `notes`",
    };
    format!("{}: {finding}", gate_result.threshold)
}

/// `1.05 [1.02, 1.08]`, or as much of it as there is.
pub(super) fn with_interval(
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
    shown: impl Fn(f64) -> String,
) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", shown(value), shown(low), shown(high)),
        _ => shown(value),
    }
}

/// A difference, with its sign.
pub(super) fn signed(value: f64, decimals: usize) -> String {
    let text = figures::fixed(value, decimals);
    if value > 0.0 { format!("+{text}") } else { text }
}

fn ratio_text(row: &Row) -> String {
    row.ratio.as_ref().map_or_else(
        || figures::ABSENT.to_owned(),
        |it| {
            // A third digit is worth its room only close to 1.
            let close =
                [it.low, it.high].into_iter().flatten().all(|end| (0.9..1.1).contains(&end));
            let digits = if close { 3 } else { 2 };
            with_interval(it.ratio, it.low, it.high, |value| figures::fixed(value, digits))
        },
    )
}

fn difference_text(row: &Row) -> String {
    let it = row.difference;
    let digits =
        figures::decimals(row.baseline.abs().min(row.candidate.abs()).max(it.mean.abs() / 10.0));
    with_interval(it.mean, it.low, it.high, |value| signed(value, digits))
}

/// A value of one side; `~` where a block's sample cannot certify it, `≈` where it spreads tokens over chunks.
fn value_text(row: &Row, value: f64, is_approximate: bool) -> String {
    let roughly = figures::roughly(is_approximate);
    format!("{roughly}{}{}", if row.certified { "" } else { "~" }, figures::figure(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_in_both_side_names_is_left_out_of_the_columns() {
        let load = ("A at concurrency 16", "B at concurrency 16");
        assert_eq!(in_columns(load.0, load.1), ("A", "B"));
        for (a, b) in [("A", "B"), ("L0", "L10"), ("A at rate 2", "B at rate 3"), (" x", " x")] {
            assert_eq!(in_columns(a, b), (a, b));
        }
    }
}
