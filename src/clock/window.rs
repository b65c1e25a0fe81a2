//! The measurement window: a span of monotonic time, its start included and its end not.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos};

/// The measurement window: from `start`, which belongs to it, to `end`, which does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First instant.
    #[serde(rename = "start_ns")]
    pub start: MonoNs,
    /// First instant that is no longer part of it.
    #[serde(rename = "end_ns")]
    pub end: MonoNs,
}

impl Window {
    /// Whether an instant lies in it.
    pub fn holds(&self, at: MonoNs) -> bool {
        self.start <= at && at < self.end
    }

    /// Its length.
    pub fn span(&self) -> Nanos {
        self.end - self.start
    }

    /// Its length in seconds, where it has one.
    pub fn seconds(&self) -> Option<f64> {
        (self.end > self.start).then(|| self.span().as_secs_f64())
    }
}
