//! HOT PATH. In-flight gate: limits requests in flight, and closes each request exactly once.
//!
//! The poller thread closes a request here, once and only once; the issuer waits here for a free slot.
//! No lock: one atomic byte per request, one queue of the instants at which slots became free.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;

use crate::clock::{MonoNs, Nanos, now};
use crate::record::answers::Answers;
use crate::record::nvtx_ranges::{RequestRanges, Tool};
use crate::request::RequestId;

const PLANNED: u8 = 0;
const OPEN: u8 = 1;
const ENDED: u8 = 2;
/// The issuer gave up on it; an end that still comes is late, not stray.
const ABANDONED: u8 = 3;

/// Shared by the issuer and every thread that sees answers.
#[derive(Debug)]
pub struct Gate {
    states: Box<[AtomicU8]>,
    in_flight: CachePadded<AtomicU32>,
    ended: CachePadded<AtomicU64>,
    /// Ends of requests that had ended before, or were never opened: an accounting fault.
    stray_ends: AtomicU64,
    freed: ArrayQueue<MonoNs>,
    /// Given up and not ended: their slots are still the target's.
    held: AtomicU32,
    issuer: OnceLock<Thread>,
    /// Why the target as a whole answers no more.
    broken: OnceLock<String>,
    /// An attached tool that is notified when each request begins and ends.
    ranges: Option<RequestRanges>,
    /// Where answers are kept that later prompts repeat.
    answers: Option<Answers>,
}

impl Gate {
    /// For a session of at most `requests` shots, with at most `slots` in a closed loop.
    pub fn new(requests: usize, slots: usize) -> Self {
        Self {
            states: (0..requests).map(|_| AtomicU8::new(PLANNED)).collect(),
            in_flight: CachePadded::new(AtomicU32::new(0)),
            ended: CachePadded::new(AtomicU64::new(0)),
            stray_ends: AtomicU64::new(0),
            freed: ArrayQueue::new(slots.max(1)),
            held: AtomicU32::new(0),
            issuer: OnceLock::new(),
            broken: OnceLock::new(),
            ranges: None,
            answers: None,
        }
    }

    /// The same, where answers are kept.
    #[must_use]
    pub fn keeping_answers(self) -> Self {
        Self { answers: Some(Answers::default()), ..self }
    }

    /// Where answers are kept, if they are.
    #[inline]
    pub fn answers(&self) -> Option<&Answers> {
        self.answers.as_ref()
    }

    /// The same, with an attached tool that is notified when each request begins and ends.
    #[must_use]
    pub fn with_ranges(self, tool: Option<Tool>) -> Self {
        let ranges = tool.map(|tool| tool.requests(self.room()));
        Self { ranges, ..self }
    }

    /// The attached tool, if there is one.
    pub fn tool(&self) -> Option<Tool> {
        self.ranges.as_ref().map(RequestRanges::tool)
    }

    /// The most requests that the session is for.
    pub fn room(&self) -> usize {
        self.states.len()
    }

    /// Makes the calling thread the one that is woken when a request ends.
    pub fn wake_this_thread(&self) {
        // The issuer lives as long as the session, so the first registration is the only one.
        let _already_set = self.issuer.set(std::thread::current());
    }

    /// Notes that a request is about to be handed over.
    #[inline]
    pub fn open(&self, id: RequestId) {
        if let Some(ranges) = &self.ranges {
            ranges.begin(id);
        }
        self.states[id.0 as usize].store(OPEN, Ordering::Release);
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends a request. `false` if it was not open: the caller then drops the event, and it is counted.
    #[inline]
    pub fn close(&self, id: RequestId, at: MonoNs) -> bool {
        match self.leave_open(id, ENDED) {
            Ok(()) => {
                self.free_slot(at);
                self.count_ended();
                self.wake_issuer();
            }
            Err(ABANDONED) => {
                self.end_late(id, at);
                return false;
            }
            Err(_) => {
                self.stray_ends.fetch_add(1, Ordering::Relaxed);
                return false;
            }
        }
        true
    }

    /// Gives up on a request that did not even end after a cancel. `false` if it had ended meanwhile. Its slot stays taken
    /// until the target says that it has ended.
    pub fn abandon(&self, id: RequestId) -> bool {
        let abandoned = self.leave_open(id, ABANDONED).is_ok();
        if abandoned {
            self.held.fetch_add(1, Ordering::AcqRel);
            self.count_ended();
            self.wake_issuer();
        }
        abandoned
    }

    /// Frees the slot of a request that was given up, the first time that it ends.
    #[cold]
    fn end_late(&self, id: RequestId, at: MonoNs) {
        let Some(slot) = self.states.get(id.0 as usize) else { return };
        let ends = slot.compare_exchange(ABANDONED, ENDED, Ordering::AcqRel, Ordering::Acquire);
        if ends.is_ok() {
            self.held.fetch_sub(1, Ordering::AcqRel);
            self.free_slot(at);
            self.wake_issuer();
        }
    }

    /// Requests that were given up and have not ended: their slots are still the target's.
    pub fn held(&self) -> u32 {
        self.held.load(Ordering::Acquire)
    }

    #[inline]
    fn leave_open(&self, id: RequestId, state: u8) -> Result<(), u8> {
        let slot = self.states.get(id.0 as usize).ok_or(PLANNED)?;
        slot.compare_exchange(OPEN, state, Ordering::AcqRel, Ordering::Acquire)?;
        if let Some(ranges) = &self.ranges {
            ranges.end(id);
        }
        Ok(())
    }

    /// Says that the target as a whole answers no more; the first reason stands.
    pub fn fail_target(&self, words: String) {
        let _an_earlier_reason_stands = self.broken.set(words);
        self.wake_issuer();
    }

    /// Why the target as a whole answers no more, if so.
    #[inline]
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    fn wake_issuer(&self) {
        if let Some(issuer) = self.issuer.get() {
            issuer.unpark();
        }
    }

    #[inline]
    fn free_slot(&self, at: MonoNs) {
        // Outside a closed loop nobody takes stamps out, so the queue simply stays full.
        let _unread_in_open_loop = self.freed.push(at);
    }

    #[inline]
    fn count_ended(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether output of this request is still expected.
    #[inline]
    pub fn is_open(&self, id: RequestId) -> bool {
        self.states.get(id.0 as usize).is_some_and(|state| state.load(Ordering::Acquire) == OPEN)
    }

    /// Requests handed over and not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Requests that have ended or were given up, in the whole session.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends that belonged to no open request.
    pub fn stray_ends(&self) -> u64 {
        self.stray_ends.load(Ordering::Relaxed)
    }

    /// The instant at which the longest-free slot became free, if there is one.
    #[inline]
    pub fn take_freed(&self) -> Option<MonoNs> {
        self.freed.pop()
    }

    /// Forgets slots freed by an earlier phase.
    pub fn forget_freed(&self) {
        while self.freed.pop().is_some() {}
    }

    /// Of so many slots, those that no request of an earlier phase holds.
    pub fn unheld(&self, slots: u32) -> u32 {
        slots.saturating_sub(self.held())
    }

    /// Parks the issuer until a request ends, `until` passes, or something else wakes it.
    pub fn wait(&self, until: MonoNs) {
        let left = until - now();
        if left > Nanos::ZERO {
            std::thread::park_timeout(Duration::from_nanos(left.0.unsigned_abs()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_exactly_once() {
        let gate = Gate::new(2, 1);
        gate.open(RequestId(1));
        assert!(gate.close(RequestId(1), now()));
        assert!(!gate.close(RequestId(1), now()));
        assert_eq!((gate.in_flight(), gate.stray_ends()), (0, 1));
    }

    #[test]
    fn the_end_of_a_request_that_was_never_opened_is_a_stray() {
        let gate = Gate::new(1, 1);
        assert!(!gate.close(RequestId(0), now()));
        assert!(!gate.close(RequestId(7), now()));
        assert_eq!(gate.stray_ends(), 2);
    }

    #[test]
    fn the_late_end_of_an_abandoned_request_is_not_a_stray() {
        let gate = Gate::new(1, 1);
        gate.open(RequestId(0));
        assert!(gate.abandon(RequestId(0)));
        assert!(!gate.close(RequestId(0), now()));
        assert_eq!((gate.in_flight(), gate.stray_ends()), (0, 0));
    }

    #[test]
    fn the_slot_of_an_abandoned_request_is_free_when_the_target_has_ended_it_and_not_before() {
        let gate = Gate::new(1, 1);
        gate.open(RequestId(0));
        assert!(gate.abandon(RequestId(0)));
        assert_eq!((gate.take_freed(), gate.held(), gate.ended()), (None, 1, 1));
        assert!(!gate.close(RequestId(0), MonoNs(42)));
        assert_eq!((gate.take_freed(), gate.held(), gate.ended()), (Some(MonoNs(42)), 0, 1));
    }

    #[test]
    fn a_freed_slot_carries_the_instant_at_which_it_became_free() {
        let gate = Gate::new(1, 1);
        gate.open(RequestId(0));
        gate.close(RequestId(0), MonoNs(42));
        assert_eq!(gate.take_freed(), Some(MonoNs(42)));
        assert_eq!(gate.take_freed(), None);
    }

    #[test]
    fn the_issuer_wakes_when_a_request_ends() {
        let gate = std::sync::Arc::new(Gate::new(1, 1));
        gate.wake_this_thread();
        gate.open(RequestId(0));
        let other = std::sync::Arc::clone(&gate);
        let closer = std::thread::spawn(move || other.close(RequestId(0), now()));
        let started = now();
        while gate.in_flight() > 0 {
            gate.wait(started + Nanos::from_secs_f64(20.0));
        }
        assert!(closer.join().expect("closer runs to its end"));
        assert!(now() - started < Nanos::from_secs_f64(20.0));
    }
}
