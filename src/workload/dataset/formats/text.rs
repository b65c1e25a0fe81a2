//! A prompt on each line.

use serde_json::Value;

use crate::workload::dataset::columns::Columns;
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct Text;

impl Format for Text {
    fn shape(&self, _: bool) -> Shape {
        Shape::Lines
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let text = record.as_str().ok_or("it is no text")?;
        Ok(Some(RawEntry::new(Given::Text(text.to_owned()), RawOutput::Unknown)))
    }
}
