//! End of a warm-up other than a number of requests, as it is typed: `30s`, or `stable`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::settings::human_duration::HumanDuration;

/// Requests that such a warm-up sends at most.
pub const MOST_WARM_UP_REQUESTS: u32 = 4_096;

/// When a warm-up ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WarmUpEnd {
    /// After this time.
    After(Nanos),
    /// When three windows in a row agree.
    Stable,
}

/// A text that is no end of a warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give a span of time above 0 such as `30s`, or `stable`")]
pub struct WarmUpEndError;

impl FromStr for WarmUpEnd {
    type Err = WarmUpEndError;

    fn from_str(text: &str) -> Result<Self, WarmUpEndError> {
        if text.trim() == "stable" {
            return Ok(Self::Stable);
        }
        match text.parse::<HumanDuration>() {
            Ok(HumanDuration(span)) if span > Nanos::ZERO => Ok(Self::After(span)),
            Ok(_) | Err(_) => Err(WarmUpEndError),
        }
    }
}

impl fmt::Display for WarmUpEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => HumanDuration(*span).fmt(f),
            Self::Stable => f.write_str("stable"),
        }
    }
}

impl TryFrom<String> for WarmUpEnd {
    type Error = WarmUpEndError;

    fn try_from(text: String) -> Result<Self, WarmUpEndError> {
        text.parse()
    }
}

impl From<WarmUpEnd> for String {
    fn from(end: WarmUpEnd) -> Self {
        end.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_ends_after_a_time_or_when_it_is_stable() {
        for text in ["30s", "stable"] {
            let end: WarmUpEnd = text.parse().expect(text);
            assert_eq!(end.to_string(), text);
        }
        assert_eq!("0s".parse::<WarmUpEnd>(), Err(WarmUpEndError));
        assert_eq!("steady".parse::<WarmUpEnd>(), Err(WarmUpEndError));
    }
}
