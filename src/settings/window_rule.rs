//! Rule of measurement windows: how long they are, and when three of them agree.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// So many windows are waited for, where no other end is given.
pub const MOST_WINDOWS: i64 = 10;

/// How windows are cut and held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WindowRule {
    /// Length of a window.
    pub interval: Nanos,
    /// The largest of three is at most so many percent above the smallest.
    pub percent: f64,
}
