//! `trtllm-bench --dataset`: token ids or a prompt on each line, with the number of output tokens.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, first, ids, needed_count, text};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct TrtllmBench;

impl Format for TrtllmBench {
    fn shape(&self, _: bool) -> Shape {
        Shape::Json(&[])
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        if first(record, &["media_paths", "lora_request"])?.is_some() {
            return Err("it asks for media or an adapter, which are not played".to_owned());
        }
        // Older files call the ids `logits`.
        let given = match first(record, &["input_ids", "logits"])? {
            Some(value) => Given::Ids(ids(value, "input_ids")?),
            None => Given::Text(text(record, &["prompt", "input_ids"])?),
        };
        let output = RawOutput::Tokens(needed_count(record, &["output_tokens"])?);
        Ok(Some(RawEntry::new(given, output)))
    }
}
