//! Backpressure of the recorder: how often threads that see events waited for room in their rings, and how long.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// Counters that every sink of a recorder shares.
#[derive(Debug, Default)]
pub struct Backpressure {
    waits: AtomicU64,
    waited_ns: AtomicU64,
    lost: AtomicU64,
}

/// What [`Backpressure`] has counted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// Events that had to wait for room.
    pub waits: u64,
    /// Time that they waited, over all threads.
    pub span: Nanos,
    /// Events that nobody could take any more, since the recorder has ended.
    pub lost: u64,
}

impl Backpressure {
    pub(crate) fn waited(&self, span: Nanos) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited_ns.fetch_add(span.0.max(0).cast_unsigned(), Ordering::Relaxed);
    }

    pub(crate) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub fn so_far(&self) -> Waited {
        Waited {
            waits: self.waits.load(Ordering::Relaxed),
            span: Nanos(self.waited_ns.load(Ordering::Relaxed).cast_signed()),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}

impl std::ops::Sub for Waited {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            waits: self.waits - earlier.waits,
            span: Nanos(self.span.0 - earlier.span.0),
            lost: self.lost - earlier.lost,
        }
    }
}
