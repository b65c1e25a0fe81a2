//! Why two sides decide nothing on a number, however far apart they are: on one of them it tells nothing of the engine.

use serde::{Deserialize, Serialize};

use crate::metrics::measure::Measure;
use crate::metrics::summary::{Summary, Verdict};

/// The reason, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withheld {
    /// The measurement of a block is invalid.
    Invalid,
    /// Tokens were held back and came at once: what lies between them is the reader's pace.
    Burst,
    /// Tokens are spread evenly over chunks that held several.
    Spread,
}

impl Withheld {
    /// The reason for a number of these blocks, which are those of both sides; `None` where it may decide.
    pub fn of<'a>(
        measure: Measure,
        mut blocks: impl Iterator<Item = &'a Summary> + Clone,
    ) -> Option<Self> {
        let mut all = blocks.clone();
        if all.any(|summary| summary.verdict == Verdict::Invalid) {
            Some(Self::Invalid)
        } else if blocks.clone().any(|summary| measure.is_of_bursts(summary)) {
            Some(Self::Burst)
        } else {
            blocks.any(|summary| measure.is_approximate(summary)).then_some(Self::Spread)
        }
    }
}
