//! OpenOrca: system prompt and question are the prompt, the response's tokens are the output's length.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, first, text};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct OpenOrca;

impl Format for OpenOrca {
    fn shape(&self, has_csv_name: bool) -> Shape {
        if has_csv_name { Shape::Csv } else { Shape::Json(&[]) }
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let question = text(record, &["question"])?;
        let answer = text(record, &["response"])?;
        let system = first(record, &["system_prompt"])?.and_then(Value::as_str).unwrap_or_default();
        let prompt = if system.is_empty() { question } else { format!("{system}\n\n{question}") };
        Ok(Some(RawEntry::new(Given::Text(prompt), RawOutput::Text(answer))))
    }
}
