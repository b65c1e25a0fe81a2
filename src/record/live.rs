//! Live snapshot of a run, published by the recorder a few times a second.

use std::sync::Mutex;

use hdrhistogram::Histogram;

use crate::clock::{MonoNs, Nanos};
use crate::record::request_record::Part;

/// Approximate figures for a person who waits: histograms of three digits, never used in results.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// When the snapshot was taken.
    pub at: Option<MonoNs>,
    /// When the first request was submitted: of the ramp, then of those that count.
    pub since: Option<MonoNs>,
    /// Requests submitted.
    pub submitted: u64,
    /// Of these, ended, in whatever way.
    pub ended: u64,
    /// Of these, failed or timed out.
    pub failed: u64,
    /// Of the ended ones, those that count.
    pub measured_ended: u64,
    /// The part of the run that sends.
    pub part: Part,
    /// Output tokens so far.
    pub output_tokens: u64,
    /// Time to first token, median.
    pub ttft_p50: Option<Nanos>,
    /// Time to first token, 99th percentile.
    pub ttft_p99: Option<Nanos>,
    /// Inter-token latency, median.
    pub itl_p50: Option<Nanos>,
    /// Inter-token latency, 99th percentile.
    pub itl_p99: Option<Nanos>,
    /// Time from submit to the end of completed requests, median.
    pub latency_p50: Option<Nanos>,
    /// The same, 99th percentile.
    pub latency_p99: Option<Nanos>,
    /// Schedule lag of ended requests, 99th percentile.
    pub lag_p99: Option<Nanos>,
    /// The largest.
    pub lag_most: Option<Nanos>,
}

/// The latest snapshot; written by the recorder, read by whoever shows it.
#[derive(Debug, Default)]
pub struct LiveSnapshot(Mutex<Snapshot>);

impl LiveSnapshot {
    /// A copy of the latest snapshot.
    pub fn read(&self) -> Snapshot {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = snapshot;
    }
}

/// A latency histogram of three significant digits up to an hour.
#[derive(Debug)]
pub(crate) struct LiveLatency(Histogram<u64>);

const AN_HOUR: u64 = 3_600_000_000_000;

impl LiveLatency {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1_000, AN_HOUR, 3)
            .expect("constant bounds are in the order that the histogram asks for");
        Self(histogram)
    }

    #[inline]
    pub(crate) fn record(&mut self, latency: Nanos, count: u32) {
        let value = latency.0.max(0).unsigned_abs();
        // Saturating: a live figure above an hour is an hour.
        self.0.saturating_record_n(value, u64::from(count));
    }

    pub(crate) fn quantile(&self, q: f64) -> Option<Nanos> {
        (!self.0.is_empty()).then(|| Nanos(self.0.value_at_quantile(q) as i64))
    }

    pub(crate) fn most(&self) -> Option<Nanos> {
        (!self.0.is_empty()).then(|| Nanos(self.0.max() as i64))
    }
}
