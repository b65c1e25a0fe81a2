//! Azure's traces of LLM inference, 2023 and 2024: instant of arrival, context and generated tokens.

use serde_json::Value;

use crate::clock::Nanos;
use crate::workload::dataset::columns::{Columns, needed_count, text};
use crate::workload::dataset::format::{Format, Given, RawEntry, RawOutput, Shape};

pub(in super::super) struct AzureLlm;

impl Format for AzureLlm {
    fn shape(&self, _: bool) -> Shape {
        Shape::Csv
    }

    fn entry(&self, record: &Value, _: &Columns) -> Result<Option<RawEntry>, String> {
        let stamp = text(record, &["TIMESTAMP"])?;
        let at = instant(&stamp)
            .ok_or_else(|| format!("`TIMESTAMP` is `{stamp}`, and no date with a time"))?;
        let input = needed_count(record, &["ContextTokens"])?;
        let output = needed_count(record, &["GeneratedTokens"])?;
        if output == 0 {
            return Ok(None);
        }
        let (given, output) = (Given::Length(input), RawOutput::Tokens(output));
        Ok(Some(RawEntry { at: Some(at), ..RawEntry::new(given, output) }))
    }
}

/// `2023-11-16 18:17:03.9799600`, in 2024 with an offset from UTC behind it.
fn instant(stamp: &str) -> Option<Nanos> {
    let stamp = stamp.trim();
    let at = if let Ok(at) = stamp.parse::<jiff::Timestamp>() {
        at
    } else {
        let local: jiff::civil::DateTime = stamp.parse().ok()?;
        local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
    };
    i64::try_from(at.as_nanosecond()).ok().map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_of_both_years_are_instants() {
        let (one, later) = ("2023-11-16 18:17:03.9799600", "2023-11-16 18:17:04.0319600");
        let gap = instant(later).expect("an instant").0 - instant(one).expect("an instant").0;
        assert_eq!(gap, 52_000_000);
        let with_offset = instant("2024-05-10 00:00:00.009930+00:00").expect("an instant");
        assert_eq!(with_offset, instant("2024-05-10 00:00:00.009930").expect("an instant"));
        assert_eq!(instant("yesterday"), None);
    }
}
