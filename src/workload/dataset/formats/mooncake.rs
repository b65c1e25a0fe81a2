//! Mooncake's trace: milliseconds of arrival, lengths, and hash ids of blocks of 512 tokens.

use serde_json::Value;

use crate::clock::Nanos;
use crate::workload::dataset::columns::{Columns, first, needed_count, seconds};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct Mooncake;

/// Tokens behind one hash id.
const BLOCK: u32 = 512;

impl Format for Mooncake {
    fn shape(&self, _: bool) -> Shape {
        Shape::Json(&[])
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let at = Nanos::from_secs_f64(seconds(record, &["timestamp"])? / 1e3);
        let tokens = needed_count(record, &["input_length"])?;
        let given = match first(record, &["hash_ids"])? {
            None => Given::Length(tokens),
            Some(value) => {
                let list = value.as_array().ok_or("`hash_ids` is no list")?;
                let ids: Option<Vec<u64>> = list.iter().map(Value::as_u64).collect();
                let ids = ids.ok_or("`hash_ids` holds something else than whole numbers")?;
                if ids.len() as u64 > u64::from(tokens.div_ceil(BLOCK)) {
                    return Err(format!(
                        "it has {} hash ids of {BLOCK} tokens for {tokens} tokens",
                        ids.len()
                    ));
                }
                Given::Blocks { tokens, block: BLOCK, ids }
            }
        };
        let output = RawOutput::Tokens(needed_count(record, &["output_length"])?);
        Ok(Some(RawEntry { at: Some(at), ..RawEntry::new(given, output) }))
    }
}
