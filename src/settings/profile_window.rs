//! Profiler window, e.g. `10s..12s`, relative to the start of each measured point.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::settings::human_duration::HumanDuration;

/// From and to, counted from when a measured point is set up, some milliseconds before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileWindow {
    /// The profiler is started.
    pub from: Nanos,
    /// The profiler is stopped.
    pub to: Nanos,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no window: write for example `10s..12s`, counted from the start of each measured point"
)]
pub struct ProfileWindowError(String);

impl FromStr for ProfileWindow {
    type Err = ProfileWindowError;

    fn from_str(text: &str) -> Result<Self, ProfileWindowError> {
        let wrong = || ProfileWindowError(text.to_owned());
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let span =
            |part: &str| part.parse::<HumanDuration>().map(|span| span.0).map_err(|_| wrong());
        let window = Self { from: span(from)?, to: span(to)? };
        if window.from < window.to { Ok(window) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for ProfileWindow {
    type Error = ProfileWindowError;
    fn try_from(text: String) -> Result<Self, ProfileWindowError> {
        text.parse()
    }
}

impl From<ProfileWindow> for String {
    fn from(window: ProfileWindow) -> Self {
        window.to_string()
    }
}

impl fmt::Display for ProfileWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", HumanDuration(self.from), HumanDuration(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_two_spans_in_order() {
        let window: ProfileWindow = "500ms..2s".parse().expect("a window");
        assert_eq!((window.from, window.to), (Nanos::from_millis(500), Nanos::from_millis(2_000)));
        assert_eq!(window.to_string().parse(), Ok(window));
        for wrong in ["2s..1s", "1s..1s", "10s", "a..b", ".."] {
            assert!(wrong.parse::<ProfileWindow>().is_err(), "{wrong}");
        }
    }
}
