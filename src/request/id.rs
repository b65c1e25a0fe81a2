//! The id of a request within one session of a target.

use serde::{Deserialize, Serialize};

/// Identifies a request within one session of a target; unique over warm-up and all points of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u32);
