//! BurstGPT's trace: seconds of arrival, request and response tokens; calls that failed have no response.

use serde_json::Value;

use crate::clock::Nanos;
use crate::workload::dataset::columns::{Columns, needed_count, seconds};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct BurstGpt;

impl Format for BurstGpt {
    fn shape(&self, _: bool) -> Shape {
        Shape::Csv
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let at = Nanos::from_secs_f64(seconds(record, &["Timestamp"])?);
        let input = needed_count(record, &["Request tokens"])?;
        let output = needed_count(record, &["Response tokens"])?;
        if output == 0 {
            return Ok(None);
        }
        let (given, output) = (Given::Length(input), RawOutput::Tokens(output));
        Ok(Some(RawEntry { at: Some(at), ..RawEntry::new(given, output) }))
    }
}
