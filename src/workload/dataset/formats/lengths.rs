//! Pairs of lengths: a table with `input_tokens` and `output_tokens`, one request a row.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, needed_count};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct Lengths;

const INPUTS: [&str; 4] = ["input_tokens", "prompt_tokens", "isl", "input"];
const OUTPUTS: [&str; 5] = ["output_tokens", "max_tokens", "completion_tokens", "osl", "output"];

impl Format for Lengths {
    fn shape(&self, _: bool) -> Shape {
        Shape::Csv
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let input = Given::Length(needed_count(record, &INPUTS)?);
        let output = RawOutput::Tokens(needed_count(record, &OUTPUTS)?);
        Ok(Some(RawEntry::new(input, output)))
    }
}
