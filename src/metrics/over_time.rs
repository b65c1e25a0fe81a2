//! Time series of a run: throughput, requests in flight and TTFT in slices of the window.

use crate::clock::Window;
use crate::clock::{MonoNs, Nanos};
use crate::metrics::Quantity;
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::per_request::Derived;
use crate::metrics::percentile::{Percentile, nearest_rank};
use crate::metrics::summary::{Counts, OverTime, Slice};
use crate::record::request_record::Part;

/// A plot wants at least so many slices, and a reader at most so many.
const SLICES: std::ops::RangeInclusive<i64> = 20..=600;

/// The length of a slice: 1 s, or the nearest round length that makes a sensible number of slices.
pub fn slice_length(window: Nanos) -> Nanos {
    let second = 1_000_000_000_i64;
    let rounder = [500, 200, 100, 50, 20, 10, 5, 2].map(Nanos::from_millis);
    let longer = [2, 5, 10, 30, 60, 120, 300, 600, 1_800].map(|s| Nanos(s * second));
    let slices = |length: Nanos| (window.0 + length.0 - 1) / length.0;
    let one = Nanos(second);
    if slices(one) < *SLICES.start() {
        rounder.into_iter().find(|l| slices(*l) >= *SLICES.start()).unwrap_or(Nanos::from_millis(1))
    } else if slices(one) > *SLICES.end() {
        longer.into_iter().find(|l| slices(*l) <= *SLICES.end()).unwrap_or(Nanos(3_600 * second))
    } else {
        one
    }
}

/// Equal cuts of a window, the last one possibly shorter.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    window: Window,
    length: Nanos,
}

impl Cuts {
    /// Cuts of this length, at least 1 ns.
    pub(super) fn new(window: Window, length: Nanos) -> Self {
        Self { window, length: length.max(Nanos(1)) }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let span = self.window.span().0.max(0);
        ((span + self.length.0 - 1) / self.length.0) as usize
    }

    /// The cut that holds an instant.
    pub(super) fn index(&self, at: MonoNs) -> Option<usize> {
        self.window.holds(at).then(|| ((at - self.window.start).0 / self.length.0) as usize)
    }

    /// Start of a cut, from the start of the window, and its length.
    pub(super) fn place(&self, index: usize) -> (Nanos, Nanos) {
        let start = Nanos(self.length.0 * index as i64);
        (start, self.length.min(Nanos(self.window.span().0 - start.0)))
    }

    /// Requests in flight in each cut, averaged over time.
    pub(super) fn in_flight(&self, point: &ObservedPoint) -> Vec<f64> {
        let count = self.count();
        // Whole cuts are noted at both ends only, so that a long request costs no more than a short one.
        let mut whole = vec![0_i64; count + 1];
        let mut parts = vec![0_i64; count];
        let last_instant = self.window.end - Nanos(1);
        for record in point.all() {
            let Some(from) = record.submit().map(|at| at.max(self.window.start)) else { continue };
            let to = record.end().unwrap_or(self.window.end).min(self.window.end);
            if from >= to {
                continue;
            }
            let ends = (self.index(from), self.index((to - Nanos(1)).min(last_instant)));
            let (Some(first), Some(last)) = ends else { continue };
            whole[first] += 1;
            whole[last + 1] -= 1;
            // Both edge cuts count as whole above; what was not in flight in them is taken off again.
            let (first_start, _) = self.place(first);
            let (last_start, last_length) = self.place(last);
            parts[first] -= (from - self.window.start).0 - first_start.0;
            parts[last] -= last_start.0 + last_length.0 - (to - self.window.start).0;
        }
        let mut open = 0;
        (0..count)
            .map(|index| {
                open += whole[index];
                let length = self.place(index).1.0;
                (open * length + parts[index]) as f64 / length as f64
            })
            .collect()
    }
}

/// The slices of a run.
pub fn of(point: &ObservedPoint, facts: &RunFacts, counts: &Counts) -> OverTime {
    let length = slice_length(facts.window.span());
    let cuts = Cuts::new(facts.window, length);
    let count = cuts.count();
    let tokens = &point.slice_tokens;
    let in_flight = cuts.in_flight(point);
    let mut ended = vec![0_u64; count];
    let mut ttft: Vec<Vec<f64>> = vec![Vec::new(); count];
    let completed = point.all().iter().filter(|request| request.ended.is_completed());
    for record in completed {
        if let Some(index) = record.end().and_then(|at| cuts.index(at)) {
            ended[index] += 1;
        }
        let counts = record.part == Part::Measured;
        let first = record.first_token().filter(|_| counts).and_then(|at| cuts.index(at));
        if let Some((index, value)) =
            first.zip(Derived::one(Quantity::Ttft, record, facts.streaming))
        {
            ttft[index].push(value);
        }
    }
    let slices = ttft.into_iter().enumerate().map(|(index, ttft)| {
        let (start, length) = cuts.place(index);
        let seconds = length.as_secs_f64();
        Slice {
            t_s: start.as_secs_f64(),
            length_s: seconds,
            output_tokens_per_s: (counts.deliveries_missing == 0).then(|| tokens[index] / seconds),
            requests_per_s: ended[index] as f64 / seconds,
            in_flight: in_flight[index],
            ttft_p50_ms: median(ttft),
        }
    });
    OverTime { slice_s: length.as_secs_f64(), slices: slices.collect() }
}

/// The nearest-rank median.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let rank = nearest_rank(Percentile::P50, values.len() as u64);
    values.get(rank as usize - 1).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these values are exact")]

    use super::*;

    #[test]
    fn slices_are_round_and_neither_few_nor_many() {
        let length = |seconds: f64| slice_length(Nanos::from_secs_f64(seconds)).as_secs_f64();
        assert_eq!(length(60.0), 1.0);
        assert_eq!(length(10.0), 0.5);
        assert_eq!(length(0.3), 0.01);
        assert_eq!(length(0.001), 0.001);
        assert_eq!(length(3_600.0), 10.0);
        assert_eq!(length(0.0), 0.001);
    }
}
