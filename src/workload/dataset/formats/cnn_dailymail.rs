//! CNN/DailyMail: the article is the prompt, the highlights' tokens are the output's length.

use serde_json::Value;

use crate::workload::dataset::columns::{Columns, text};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct CnnDailyMail;

impl Format for CnnDailyMail {
    fn shape(&self, has_csv_name: bool) -> Shape {
        if has_csv_name { Shape::Csv } else { Shape::Json(&[]) }
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        // `input` and `output` are the names in MLPerf's copy.
        let article = text(record, &["article", "input"])?;
        let highlights = text(record, &["highlights", "output"])?;
        Ok(Some(RawEntry::new(Given::Text(article), RawOutput::Text(highlights))))
    }
}
