//! Statistics of iterations: one record each, kept in a ring.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde::Serialize;

/// One iteration of the loop. Counts are those of the forward pass, before finished requests leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IterationStats {
    /// Counts from 0; a gap between two drained records means that the ring was overwritten.
    pub iteration: u64,
    /// Start of the iteration; ns of the caller's clock.
    pub at_ns: i64,
    /// From the start until every token was chosen, ns. The record is there before the deliveries are.
    pub latency_ns: i64,
    /// Requests accepted and waiting for admission.
    pub queued: usize,
    /// Requests in the batch, whether or not this iteration worked on them.
    pub active: usize,
    pub max_active: usize,
    /// Requests that this iteration worked on.
    pub scheduled: usize,
    /// Requests with a prompt chunk in this iteration.
    pub context_requests: usize,
    pub context_tokens: usize,
    /// Requests that got one more token from one token.
    pub generation_requests: usize,
    /// Requests that ended in this iteration.
    pub completed: usize,
    pub kv_blocks_used: usize,
    /// Reserved for running requests and not yet filled.
    pub kv_blocks_reserved: usize,
    pub kv_blocks_max: usize,
    pub tokens_per_block: usize,
}

/// Reads the records of a running engine, from any thread and for as long as it is kept.
#[derive(Clone)]
pub struct StatsReader(pub(crate) Arc<StatsRing>);

impl StatsReader {
    /// Moves the records since the last call into `into`, oldest first.
    pub fn drain(&self, into: &mut Vec<IterationStats>) {
        self.0.drain(into);
    }
}

/// The last iterations, written by the loop and drained by the caller.
pub(crate) struct StatsRing {
    capacity: usize,
    records: Mutex<VecDeque<IterationStats>>,
}

impl StatsRing {
    pub(crate) fn new(capacity: usize) -> StatsRing {
        StatsRing { capacity, records: Mutex::new(VecDeque::with_capacity(capacity)) }
    }

    pub(crate) fn push(&self, record: IterationStats) {
        if self.capacity == 0 {
            return;
        }
        let mut records = self.records.lock().expect("no code panics while it holds the ring");
        if records.len() == self.capacity {
            records.pop_front();
        }
        records.push_back(record);
    }

    pub(crate) fn drain(&self, into: &mut Vec<IterationStats>) {
        let mut records = self.records.lock().expect("no code panics while it holds the ring");
        into.extend(records.drain(..));
    }
}
