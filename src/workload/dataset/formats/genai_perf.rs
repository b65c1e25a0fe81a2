//! GenAI-Perf's and aiperf's `--input-data`: a prompt on each line, as text or texts, at times with an output length.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, count, first, needed};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct GenaiPerf;

impl Format for GenaiPerf {
    fn shape(&self, _: bool) -> Shape {
        Shape::Json(&["data"])
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        if first(record, &["image", "images", "turns", "audio", "audios"])?.is_some() {
            return Err("it has images, audio or several turns, which are not played".to_owned());
        }
        let text = match needed(record, &["text", "texts", "text_input", "prompt"])? {
            Value::String(text) => text.clone(),
            // Parts of one prompt.
            Value::Array(parts) => {
                let parts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
                parts.ok_or("`text` holds something else than texts")?.join(" ")
            }
            _ => return Err("`text` is no text".to_owned()),
        };
        let output = first(record, &["output_length", "max_tokens"])?;
        let output = output.map(|value| count(value, "output_length")).transpose()?;
        let output = output.map_or(RawOutput::Unknown, RawOutput::Tokens);
        Ok(Some(RawEntry::new(Given::Text(text), output)))
    }
}
