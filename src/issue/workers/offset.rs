//! Offset between the clocks of two processes, from round trips, with a bound.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos};

/// One question and its answer: both ends of it on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip {
    /// Here, before the question left.
    pub asked: MonoNs,
    /// There, when it had come.
    pub received: MonoNs,
    /// There, before the answer left.
    pub answered: MonoNs,
    /// Here, when the answer had come.
    pub heard: MonoNs,
}

/// How far another clock is ahead of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// The middle of what is possible.
    pub ahead: Nanos,
    /// The true offset lies within this much of it.
    pub bound: Nanos,
}

impl RoundTrip {
    /// What it says: neither way took less than no time.
    pub fn offset(self) -> ClockOffset {
        let there = (self.received - self.asked).0;
        let back = (self.heard - self.answered).0;
        ClockOffset {
            ahead: Nanos((there - back) / 2),
            bound: Nanos((there + back).max(0) / 2 + 1),
        }
    }
}

impl ClockOffset {
    /// Of the shortest of several round trips, which has the smallest bound; `None` of none.
    pub fn of(trips: &[RoundTrip]) -> Option<Self> {
        trips.iter().map(|trip| trip.offset()).min_by_key(|offset| offset.bound)
    }

    /// What stamps of that clock are to be corrected by: nothing where the two may be one clock, as on one host.
    pub fn correction(self) -> Nanos {
        if self.ahead.0.abs() <= self.bound.0 { Nanos::ZERO } else { self.ahead }
    }

    /// How far corrected stamps may be off against our clock.
    pub fn error(self) -> Nanos {
        self.error_of(self.correction())
    }

    /// The same, of stamps that were corrected by this much.
    pub fn error_of(self, correction: Nanos) -> Nanos {
        Nanos(self.bound.0 + (self.ahead.0 - correction.0).abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(ahead: i64, there: i64, stay: i64, back: i64) -> RoundTrip {
        let asked = 1_000_000;
        let received = asked + there + ahead;
        let heard = asked + there + stay + back;
        RoundTrip {
            asked: MonoNs(asked),
            received: MonoNs(received),
            answered: MonoNs(received + stay),
            heard: MonoNs(heard),
        }
    }

    #[test]
    fn the_true_offset_lies_within_the_bound_however_unlike_the_two_ways_are() {
        for ahead in [-5_000_000, -3, 0, 12, 7_000_000_000] {
            for (there, back) in [(100, 100), (10, 4_000), (9_000, 1), (0, 0)] {
                let offset = trip(ahead, there, 777, back).offset();
                assert!((offset.ahead.0 - ahead).abs() <= offset.bound.0, "{offset:?} of {ahead}");
                assert!(offset.bound.0 <= i64::midpoint(there, back) + 1);
            }
        }
    }

    #[test]
    fn the_shortest_round_trip_counts() {
        let trips = [trip(50, 900, 0, 100), trip(50, 20, 5, 22), trip(50, 400, 0, 400)];
        let offset = ClockOffset::of(&trips).expect("three");
        assert_eq!(offset, trips[1].offset());
        assert_eq!(ClockOffset::of(&[]), None);
    }

    #[test]
    fn clocks_that_may_be_one_are_not_corrected() {
        assert_eq!(trip(0, 900, 0, 100).offset().correction(), Nanos::ZERO);
        let apart = trip(40_000, 900, 0, 100).offset();
        assert_eq!(apart.correction(), apart.ahead);
        assert_eq!(apart.error(), apart.bound);
        let drifted = trip(42_000, 900, 0, 100).offset();
        assert!(drifted.error_of(apart.correction()).0 >= 2_000, "{drifted:?}");
        let near = trip(0, 900, 0, 100).offset();
        assert_eq!(near.error(), Nanos(near.bound.0 + near.ahead.0));
    }
}
