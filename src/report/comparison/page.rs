//! HTML page of a comparison: chart of ratios, then all tables.

use crate::metrics::compare::ComparisonVerdict;
use crate::metrics::comparison::{Comparison, Pair};
use crate::report::comparison::{cells, gate_result, heading, in_columns, notes, shown};
use crate::report::figures::{self, short_verdict};
use crate::report::html::plot::file;
use crate::report::html::plot::ratios::{Bar, Tone, drawing, figure};
use crate::report::html::tables::table;
use crate::report::html::text::{escape, name, prose};
use crate::report::html::{badges, before_quoting, list, page};
use crate::report::table::marks;

/// What marks and intervals mean on such a page.
pub(in crate::report) const SMALL_PRINT: &str = "<code>~</code>: the samples of a block are too few to certify the percentile. <code>≈</code>: tokens are spread over chunks. Intervals: 95 %, Student’s t over blocks.";

/// The whole page.
pub fn render(comparison: &Comparison) -> String {
    let mut body = format!(
        "<h1>{}{}</h1>\n<p class=\"soft\">{}</p>\n",
        name(&comparison.title),
        badges(&comparison.marks),
        escape(&turns(comparison))
    );
    body.push_str(&sides(comparison));
    for pair in &comparison.pairs {
        body.push_str(&of_pair(comparison, pair));
    }
    body.push_str(&before_quoting(&notes(comparison)));
    page(&comparison.title, &body, SMALL_PRINT)
}

fn turns(comparison: &Comparison) -> String {
    let blocks = format!("{} of {} blocks", comparison.blocks, comparison.planned_blocks);
    if comparison.interleaved {
        format!(
            "{blocks}; the sides took turns, with the same requests at the same instants in each block"
        )
    } else {
        format!("NOT INTERLEAVED: stored runs of different times; {blocks}")
    }
}

fn sides(comparison: &Comparison) -> String {
    let rows: Vec<Vec<String>> = comparison
        .sides
        .iter()
        .map(|side| {
            vec![
                escape(&side.name),
                format!("<code>{}</code>", name(&side.target.name)),
                prose(&side.target.title),
                format!("{} of {}", side.completed, side.attempted),
                side.verdict.map_or(figures::ABSENT, short_verdict).to_owned(),
                format!("<code>{}</code>", escape(&side.folder)),
            ]
        })
        .collect();
    table("wrapped", &["Side", "Target", "What it is", "Completed", "Verdict", "Folder"], &rows)
}

/// The chart of each pair of sides as an SVG file, with its name.
pub fn pictures(comparison: &Comparison) -> Vec<(String, String)> {
    let marks = marks(comparison.marks.iter().copied());
    let of_pair = |pair: &Pair| {
        let (title, bars) = ratios(comparison, pair);
        let ratios = drawing(&title, &bars, comparison.terms.margin)?;
        let svg = file::drawn(&ratios.title, &[], &ratios.wide, marks.trim());
        let name = match comparison.pairs.len() {
            1 => "comparison".to_owned(),
            _ => format!("comparison_{}", comparison.sides[pair.candidate].name),
        };
        Some((name, svg))
    };
    comparison.pairs.iter().filter_map(of_pair).collect()
}

/// The title of a pair's chart, and what it shows.
fn ratios(comparison: &Comparison, pair: &Pair) -> (String, Vec<Bar>) {
    let name = |side: usize| comparison.sides[side].name.as_str();
    let (a, b) = in_columns(name(pair.baseline), name(pair.candidate));
    let bars = shown(comparison, &pair.rows)
        .iter()
        .filter_map(|row| {
            let ratio = row.ratio.as_ref()?;
            let tone = match ratio.answer {
                ComparisonVerdict::Faster => Tone::Good,
                ComparisonVerdict::Slower => Tone::Bad,
                ComparisonVerdict::Equivalent | ComparisonVerdict::Undecided => Tone::Neutral,
            };
            let name = heading(row.metric);
            Some(Bar { name, value: ratio.ratio, interval: ratio.low.zip(ratio.high), tone })
        })
        .collect();
    (format!("{b} ÷ {a}, with 95 % intervals; shaded: within the margin"), bars)
}

fn of_pair(comparison: &Comparison, pair: &Pair) -> String {
    let name = |side: usize| comparison.sides[side].name.as_str();
    let (a, b) = in_columns(name(pair.baseline), name(pair.candidate));
    let against =
        format!("{} against {}", escape(name(pair.candidate)), escape(name(pair.baseline)));
    let (a, b) = (escape(a), escape(b));
    let rows = shown(comparison, &pair.rows);
    let (title, bars) = ratios(comparison, pair);
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| cells(row, comparison.interleaved).to_vec()).collect();
    let (difference, ratio) = (format!("{b} − {a}"), format!("{b} ÷ {a}"));
    let header = ["Number", &a, &b, &difference, &ratio, "Answer"];
    let gate_results = list(pair.gate_results.iter().map(|it| escape(&gate_result(it))));
    format!(
        "<h2>{against}</h2>\n{}{}{gate_results}<h3>Was it fair?</h3>\n{}",
        figure(&title, &bars, comparison.terms.margin),
        table("", &header, &cells),
        fairness(pair, &a, &b)
    )
}

fn fairness(pair: &Pair, a: &str, b: &str) -> String {
    let rows: Vec<Vec<String>> = pair
        .fairness
        .iter()
        .map(|item| {
            let (class, word) = match item.same {
                Some(true) => ("pass", "alike"),
                Some(false) => ("warn", "differs"),
                None => ("not_applicable", "unknown"),
            };
            vec![
                prose(&item.condition),
                prose(&item.baseline),
                prose(&item.candidate),
                format!("<span class=\"{class}\">{word}</span>"),
            ]
        })
        .collect();
    table("wrapped", &["Condition", a, b, ""], &rows)
}
