//! Rules for the size of a load: presets of concurrencies, and requests in proportion to slots, as they are typed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Requests of a point where they are in proportion to slots, at least.
pub const LEAST_REQUESTS: u32 = 20;

/// One entry of a list of concurrencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ConcurrencyItem {
    /// So many in flight.
    Number(u32),
    /// A list that has a name.
    Preset(ConcurrencyPreset),
}

/// Lists of concurrencies that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConcurrencyPreset {
    /// A first look.
    Quick,
    /// A whole curve.
    Full,
}

impl ConcurrencyItem {
    /// The concurrencies that it stands for.
    pub fn numbers(&self) -> &[u32] {
        match self {
            Self::Number(number) => std::slice::from_ref(number),
            Self::Preset(ConcurrencyPreset::Quick) => &[1, 8, 32, 64],
            Self::Preset(ConcurrencyPreset::Full) => {
                &[1, 4, 8, 16, 24, 32, 40, 48, 64, 80, 96, 128, 192, 224, 256, 384]
            }
        }
    }
}

impl From<u32> for ConcurrencyItem {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

/// How many requests a point has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum RequestCount {
    /// So many.
    Fixed(u32),
    /// So many for each slot of a closed loop, and at least [`LEAST_REQUESTS`].
    PerSlot(u32),
}

/// As in a file: a number, or text such as `5x`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u32),
    Text(String),
}

/// A text that is no number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "give a whole number of requests, or a multiple of the concurrency such as `5x`; at most {}",
    u32::MAX
)]
pub struct RequestCountError;

impl RequestCount {
    /// Where it does not follow from the load.
    pub const fn fixed(self) -> Option<u32> {
        match self {
            Self::Fixed(requests) => Some(requests),
            Self::PerSlot(_) => None,
        }
    }

    /// Where it follows from the load: the requests for each slot.
    pub const fn per_slot(self) -> Option<u32> {
        match self {
            Self::Fixed(_) => None,
            Self::PerSlot(times) => Some(times),
        }
    }
}

/// The requests of a closed loop that has so many for each slot.
pub fn requests_of_slots(times: u32, slots: u32) -> u32 {
    times.saturating_mul(slots).max(LEAST_REQUESTS)
}

impl FromStr for RequestCount {
    type Err = RequestCountError;

    fn from_str(text: &str) -> Result<Self, RequestCountError> {
        let number = |text: &str| text.trim().parse().map_err(|_| RequestCountError);
        match text.trim().strip_suffix(['x', 'X']) {
            Some(times) => number(times).and_then(|times| match times {
                0 => Err(RequestCountError),
                _ => Ok(Self::PerSlot(times)),
            }),
            None => number(text).map(Self::Fixed),
        }
    }
}

impl fmt::Display for RequestCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(requests) => write!(f, "{requests}"),
            Self::PerSlot(times) => write!(f, "{times}x"),
        }
    }
}

impl TryFrom<Written> for RequestCount {
    type Error = RequestCountError;

    fn try_from(written: Written) -> Result<Self, RequestCountError> {
        match written {
            Written::Number(requests) => Ok(Self::Fixed(requests)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<RequestCount> for Written {
    fn from(count: RequestCount) -> Self {
        match count {
            RequestCount::Fixed(requests) => Self::Number(requests),
            RequestCount::PerSlot(_) => Self::Text(count.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_a_number_or_a_multiple_of_the_slots() {
        assert_eq!("12".parse(), Ok(RequestCount::Fixed(12)));
        assert_eq!("5x".parse(), Ok(RequestCount::PerSlot(5)));
        assert_eq!((requests_of_slots(5, 2), requests_of_slots(5, 64)), (20, 320));
        for wrong in ["", "x", "0x", "-1", "2.5x", "5 times"] {
            let error = wrong.parse::<RequestCount>().expect_err(wrong).to_string();
            assert!(error.contains("`5x`"), "{wrong}");
        }
    }

    #[test]
    fn presets_have_the_published_concurrencies() {
        let numbers = |preset| ConcurrencyItem::Preset(preset).numbers().len();
        assert_eq!((numbers(ConcurrencyPreset::Quick), numbers(ConcurrencyPreset::Full)), (4, 16));
    }
}
