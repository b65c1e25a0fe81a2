//! Unit of times for people: milliseconds or seconds, on the console and in Markdown.

use serde::{Deserialize, Serialize};

/// What latencies are shown in. Files keep to the unit of their keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Milliseconds.
    #[default]
    Ms,
    /// Seconds.
    S,
}

impl TimeUnit {
    /// As printed.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Ms => "ms",
            Self::S => "s",
        }
    }
}
