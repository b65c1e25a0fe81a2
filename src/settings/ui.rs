//! How a run is shown while it goes on.

use serde::{Deserialize, Serialize};

/// The view on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Ui {
    /// A line every five seconds, on a terminal, too.
    Plain,
    /// A bar that moves on a terminal, and lines elsewhere.
    #[default]
    Line,
    /// The whole terminal, and lines where there is none.
    Full,
}
