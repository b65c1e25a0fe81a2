//! Requests of a supply that were not sent: counted, without a row for each. A supply for a given time holds far more than is needed.

use serde::{Deserialize, Serialize};

use crate::record::request_record::{NotSentReason, Outcome, RequestRecord};

/// So many that were not sent for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// Why.
    pub reason: NotSentReason,
    /// Which part of a mixture they are of, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<u8>,
    /// How many.
    pub requests: u64,
}

impl Unsent {
    /// Adds a record to the counts, where it is of a request that was not sent and had no instant; whether it was.
    pub fn takes(all: &mut Vec<Self>, record: &RequestRecord) -> bool {
        let Outcome::NotSent(reason) = record.outcome else { return false };
        if record.intended.is_some() {
            return false;
        }
        let workload = record.workload;
        match all.iter_mut().find(|it| (it.reason, it.workload) == (reason, workload)) {
            Some(unsent) => unsent.requests += 1,
            None => all.push(Self { reason, workload, requests: 1 }),
        }
        true
    }
}
