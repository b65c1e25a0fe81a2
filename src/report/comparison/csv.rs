//! `comparison.csv`: one row per pair of sides and metric.

use crate::metrics::comparison::Comparison;
use crate::metrics::sides::Row;
use crate::report::{json_word, mark_words};

const COLUMNS: [&str; 21] = [
    "baseline",
    "candidate",
    "metric",
    "unit",
    "better",
    "interleaved",
    "blocks",
    "certified",
    "baseline_value",
    "candidate_value",
    "difference",
    "difference_low",
    "difference_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "margin",
    "answer",
    "baseline_approximate",
    "candidate_approximate",
    "marks",
];

/// The whole file. A value that does not exist is an empty field; nothing is rounded.
///
/// # Panics
/// Never: rows of equal length in memory are always accepted.
pub fn render(comparison: &Comparison) -> Vec<u8> {
    let in_memory = "rows of equal length in memory are always accepted";
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).expect(in_memory);
    for pair in &comparison.pairs {
        let name = |side: usize| comparison.sides[side].name.clone();
        for row in &pair.rows {
            let sides = [name(pair.baseline), name(pair.candidate)];
            let fields = sides.into_iter().chain(fields(comparison, row));
            writer.write_record(fields).expect(in_memory);
        }
    }
    writer.into_inner().expect(in_memory)
}

fn fields(comparison: &Comparison, row: &Row) -> [String; 19] {
    let maybe = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let ratio = row.ratio.as_ref();
    [
        row.metric.to_string(),
        json_word(&row.unit),
        json_word(&row.better),
        comparison.interleaved.to_string(),
        row.blocks.to_string(),
        row.certified.to_string(),
        row.baseline.to_string(),
        row.candidate.to_string(),
        row.difference.mean.to_string(),
        maybe(row.difference.low),
        maybe(row.difference.high),
        maybe(ratio.map(|it| it.ratio)),
        maybe(ratio.and_then(|it| it.low)),
        maybe(ratio.and_then(|it| it.high)),
        comparison.terms.margin.to_string(),
        ratio.map_or_else(String::new, |it| json_word(&it.answer)),
        row.approximate.baseline.to_string(),
        row.approximate.candidate.to_string(),
        mark_words(comparison.marks.iter().copied()),
    ]
}
