//! Any Parquet file, with chosen columns for the prompt and the output's length.

use serde_json::Value;

use super::json::of_columns;
use crate::workload::dataset::columns::Columns;
use crate::workload::dataset::format::{Format, RawEntry, Shape};

pub(in super::super) struct Parquet;

impl Format for Parquet {
    fn shape(&self, _: bool) -> Shape {
        Shape::Parquet
    }

    fn entry(&self, record: &Value, columns: &Columns) -> Result<Option<RawEntry>, String> {
        of_columns(record, columns).map(Some)
    }
}
