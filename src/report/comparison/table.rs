//! Console table of a comparison: sides, metrics, fairness, gate results, notes.

use std::fmt::Write as _;

use crate::metrics::comparison::{Comparison, Pair, SideReport};
use crate::report::comparison::{cells, gate_result, in_columns, notes, shown};
use crate::report::figures::{self, short_verdict};
use crate::report::table::lines::{coded, plain_table, printed, sentence};
use crate::report::table::titled;

/// The whole text.
pub fn render(comparison: &Comparison) -> String {
    let mut text = titled(&comparison.title, comparison.marks.iter().copied());
    for side in &comparison.sides {
        text.push_str(&side_line(side));
    }
    text.push_str(&sentence("  ", &how(comparison)));
    for pair in &comparison.pairs {
        text.push_str(&of_pair(comparison, pair));
    }
    text.push_str("\nnotes\n");
    text.extend(notes(comparison).iter().map(coded));
    text
}

fn side_line(side: &SideReport) -> String {
    let verdict = side.verdict.map_or(figures::ABSENT, short_verdict);
    let name = format!("  {}  ", side.name);
    let words = format!(
        "{} · {} · {} of {} requests completed · {verdict}",
        side.target.name, side.target.title, side.completed, side.attempted
    );
    sentence(&name, &words)
}

/// How the blocks were played.
pub(in crate::report) fn how(comparison: &Comparison) -> String {
    let blocks = format!("{} of {} blocks", comparison.blocks, comparison.planned_blocks);
    if !comparison.interleaved {
        return format!("NOT INTERLEAVED: stored runs of different times; {blocks}");
    }
    let turns: Vec<String> = comparison
        .order
        .iter()
        .map(|order| order.iter().map(|side| comparison.sides[*side].name.as_str()).collect())
        .collect();
    format!("{blocks}, in turns {}", turns.join(" "))
}

fn of_pair(comparison: &Comparison, pair: &Pair) -> String {
    let (a, b) = (&comparison.sides[pair.baseline].name, &comparison.sides[pair.candidate].name);
    let rows = shown(comparison, &pair.rows);
    if rows.is_empty() {
        return format!("\n{b} against {a}: no number was measured on both sides\n");
    }
    let margin = figures::fixed(comparison.terms.margin * 100.0, 1);
    let what = format!("{b} against {a}, 95 % intervals over blocks, margin {margin} %");
    let mut text = format!("\n{}", sentence("", &what));
    let (a, b) = in_columns(a, b);
    let (difference, ratio) = (format!("{b} − {a}"), format!("{b} ÷ {a}"));
    let mut table = plain_table(&["", a, b, &difference, &ratio, b]);
    for row in rows {
        table.add_row(cells(row, comparison.interleaved));
    }
    text.push_str(&printed(&table));
    text.push_str(&fairness(pair, a, b));
    for held in &pair.gate_results {
        text.push_str(&sentence("  fail-if ", &gate_result(held)));
    }
    text
}

/// What is alike in one line, then what is not, one line each.
fn fairness(pair: &Pair, a: &str, b: &str) -> String {
    let named = |same: Option<bool>| {
        let of = pair.fairness.iter().filter(move |item| item.same == same);
        of.map(|item| item.condition.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut text = String::from("\n  fairness\n");
    for (words, same) in [("alike:    ", Some(true)), ("unknown:  ", None)] {
        let conditions = named(same);
        if !conditions.is_empty() {
            text.push_str(&sentence(&format!("    {words}"), &conditions));
        }
    }
    for item in pair.fairness.iter().filter(|item| item.same == Some(false)) {
        let words = format!("{}: {a} {}, {b} {}", item.condition, item.baseline, item.candidate);
        text.push_str(&sentence("    DIFFERS:  ", &words));
    }
    if !pair.fairness.iter().any(|item| item.same == Some(false)) {
        let _infallible = writeln!(text, "    no known condition differs");
    }
    text
}
