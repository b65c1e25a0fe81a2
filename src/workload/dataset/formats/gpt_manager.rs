//! `gptManagerBenchmark --dataset`: an object with `samples`, each of token ids and an output length.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, first, ids, needed, needed_count};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct GptManager;

impl Format for GptManager {
    fn shape(&self, _: bool) -> Shape {
        Shape::JsonWithin(&["samples"])
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let ids = ids(needed(record, &["input_ids"])?, "input_ids")?;
        if let Some(told) = first(record, &["input_len"])?.and_then(Value::as_u64)
            && told != ids.len() as u64
        {
            return Err(format!("`input_len` is {told}, and there are {} ids", ids.len()));
        }
        if first(record, &["task_id"])?.and_then(Value::as_i64).is_some_and(|task| task >= 0) {
            return Err("`task_id` asks for an adapter, which is not played".to_owned());
        }
        let output = RawOutput::Tokens(needed_count(record, &["output_len"])?);
        Ok(Some(RawEntry::new(Given::Ids(ids), output)))
    }
}
