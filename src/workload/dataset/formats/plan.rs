//! Our own `plan.csv`: instants, lengths, and which prompts are the same, of the measured requests of one point.

use serde_json::Value;

use crate::clock::Nanos;
use crate::workload::dataset::columns::{Columns, first, needed_count, text};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct Plan;

/// Digits of a prompt's hash that tell it from others.
const DIGITS: usize = 16;

impl Format for Plan {
    fn shape(&self, _: bool) -> Shape {
        Shape::Csv
    }

    fn part<'a>(&self, record: &'a Value) -> Option<&'a str> {
        record.get("point")?.as_str()
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        if text(record, &["phase"])? != "measure" {
            return Ok(None);
        }
        let tokens = needed_count(record, &["prompt_tokens"])?;
        let output = RawOutput::Tokens(needed_count(record, &["max_tokens"])?);
        let sha = text(record, &["prompt_sha"])?;
        let digits = sha.get(..DIGITS).unwrap_or(&sha);
        let id = u64::from_str_radix(digits, 16)
            .map_err(|_| format!("`prompt_sha` is `{sha}`, and no hash"))?;
        // Prompts with the same hash are the same again.
        let given = Given::Blocks { tokens, block: tokens.max(1), ids: vec![id] };
        let at = match first(record, &["intended_ns"])?.and_then(Value::as_str) {
            None | Some("") => None,
            Some(stamp) => {
                let at: i64 = stamp.parse().map_err(|_| {
                    format!("`intended_ns` is `{stamp}`, and no number of nanoseconds")
                })?;
                Some(Nanos(at))
            }
        };
        Ok(Some(RawEntry { at, ..RawEntry::new(given, output) }))
    }
}
