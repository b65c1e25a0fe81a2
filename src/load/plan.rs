//! What exactly will be asked, and when? A workload and a load resolved into shots, before the first is fired.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::workload::request::RequestSpec;

/// Identifies a request within one session of a target; unique over warm-up and all points of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u32);

/// One planned request.
#[derive(Debug, Clone, PartialEq)]
pub struct Shot {
    /// Who it is in the records.
    pub id: RequestId,
    /// Intended arrival, from the start of the run. `None` in a closed loop: it arrives when a slot becomes free.
    pub intended: Option<Nanos>,
    /// What is asked.
    pub request: RequestSpec,
}
