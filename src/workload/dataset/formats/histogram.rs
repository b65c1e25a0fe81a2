//! Histogram of lengths: a table of bins with counts, of prompts and outputs together or each for itself.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, count, first, needed, text};
use crate::workload::dataset::format::{Bin, BinOf, Format, Given, RawEntry, RawOutput, Shape};
use crate::workload::scenario::{MAX_TOKENS, Span};

pub(in super::super) struct Histogram;

impl Format for Histogram {
    fn shape(&self, _: bool) -> Shape {
        Shape::Csv
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let of = if first(record, &["length"])?.is_some() {
            let span = needed_span(record, ["from", "to"], "tokens")?;
            match text(record, &["length"])?.trim() {
                "input" | "prompt" => BinOf::Input(span),
                "output" => BinOf::Output(span),
                other => return Err(format!("`length` is `{other}`, and not `input` or `output`")),
            }
        } else {
            let input = needed_span(record, ["input_from", "input_to"], "input_tokens")?;
            let output = span(record, ["output_from", "output_to"], "output_tokens")?;
            BinOf::Both { input, output }
        };
        let weight = needed(record, &["count", "weight"])?;
        let weight = match weight {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        let usable = weight.filter(|it: &f64| *it >= 0.0 && it.is_finite());
        let weight = usable.ok_or("`count` is no number from 0")?;
        let given = Given::Length(match of {
            BinOf::Both { input, .. } | BinOf::Input(input) => input.min,
            BinOf::Output(_) => 0,
        });
        let bin = Some(Box::new(Bin { of, weight }));
        Ok((weight > 0.0).then(|| RawEntry { bin, ..RawEntry::new(given, RawOutput::Unknown) }))
    }
}

/// Lengths of a bin: one, or from one to another, both included; `None` where neither is told.
fn span(record: &Value, ends: [&str; 2], alone: &str) -> Result<Option<Span>, String> {
    let number = |name: &str| -> Result<Option<u32>, String> {
        let Some(value) = first(record, &[name])? else { return Ok(None) };
        if value.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Ok(None);
        }
        count(value, name).map(Some)
    };
    let [from, to] = ends;
    let (min, max) = match (number(alone)?, number(from)?, number(to)?) {
        (Some(one), None, None) => (one, one),
        (None, Some(min), Some(max)) => (min, max),
        (None, None, None) => return Ok(None),
        _ => return Err(format!("a bin is `{from}` and `{to}`, or `{alone}` alone")),
    };
    if !(1..=max).contains(&min) || max > MAX_TOKENS {
        return Err(format!("a bin from {min} to {max} holds no lengths from 1 up"));
    }
    Ok(Some(Span { min, max }))
}

fn needed_span(record: &Value, ends: [&str; 2], alone: &str) -> Result<Span, String> {
    let [from, to] = ends;
    span(record, ends, alone)?
        .ok_or_else(|| format!("`{from}` and `{to}`, or `{alone}`, are missing"))
}
