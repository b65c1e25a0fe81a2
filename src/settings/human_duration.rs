//! Duration of a setting: `30s`, `500ms`, `2m`, `1.5h`, or a bare number of seconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// A span as typed and as written into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HumanDuration(pub Nanos);

/// Largest unit first, so that the shortest exact text is found first.
const UNITS: [(&str, i64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const CENTURY_NS: f64 = 100.0 * 365.25 * 24.0 * 3_600e9;

/// A text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no span of time: write for example `30s`, `500ms`, `2m` or `1.5h`, at most 100 years"
)]
pub struct HumanDurationError(String);

impl FromStr for HumanDuration {
    type Err = HumanDurationError;

    fn from_str(text: &str) -> Result<Self, HumanDurationError> {
        let wrong = || HumanDurationError(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let unit = if unit.is_empty() { "s" } else { unit };
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let nanos = number * *factor as f64;
        // Beyond it is a slip of the keyboard.
        if !(0.0..=CENTURY_NS).contains(&nanos) {
            return Err(wrong());
        }
        Ok(Self(Nanos(nanos.round() as i64)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.0;
        let (unit, factor) = UNITS
            .iter()
            .find(|(_, factor)| nanos % factor == 0 && nanos != 0)
            .unwrap_or(&("s", 1_000_000_000));
        write!(f, "{}{unit}", nanos / factor)
    }
}

impl TryFrom<String> for HumanDuration {
    type Error = HumanDurationError;
    fn try_from(text: String) -> Result<Self, HumanDurationError> {
        text.parse()
    }
}

impl From<HumanDuration> for String {
    fn from(span: HumanDuration) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_no_span() {
        for text in ["", "s", "-3s", "10 parsecs", "nan", "inf", "1e300h"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        let nanos = |text: &str| text.parse::<HumanDuration>().expect(text).0.0;
        assert_eq!(nanos("30s"), 30_000_000_000);
        assert_eq!(nanos("30"), 30_000_000_000);
        assert_eq!(nanos("500ms"), 500_000_000);
        assert_eq!(nanos("1.5h"), 5_400_000_000_000);
        assert_eq!(nanos("2 m"), 120_000_000_000);
    }

    #[test]
    fn a_written_span_reads_back_the_same() {
        for nanos in [0, 1, 1_500, 999_000_000, 1_000_000_000, 90_000_000_000, 7_200_000_000_000] {
            let span = HumanDuration(Nanos(nanos));
            assert_eq!(span.to_string().parse::<HumanDuration>().expect("written by us"), span);
        }
    }
}
