//! KV cache statistics of the measurement window: counts and rates of block events.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::clock::Window;
use crate::metrics::lost;
use crate::metrics::over_time::{Cuts, slice_length};
use crate::record::kv_event::KvTally;

/// The events of one run that happened in its window, as far as that is known: engines do not stamp them, so each is known
/// to have happened between two looks, of which at least a part lies in the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KvEventSummary {
    /// How many there were.
    pub events: u64,
    /// Events whose numbers are missing between them: the engine's buffer was overwritten before it was read.
    pub lost: u64,
    /// Blocks that could be reused from then on.
    pub blocks_stored: u64,
    /// Blocks that were there no more: their room was needed.
    pub blocks_removed: u64,
    /// Blocks that went from the GPU to the host.
    pub blocks_offloaded: u64,
    /// Blocks that came back from the host.
    pub blocks_onboarded: u64,
    /// `blocks_stored` ÷ length of the window.
    pub stored_per_s: Option<f64>,
    /// `blocks_removed` ÷ length of the window.
    pub removed_per_s: Option<f64>,
    /// (`blocks_offloaded` + `blocks_onboarded`) ÷ length of the window.
    pub moved_per_s: Option<f64>,
    /// The course over the window, in the slices of [`crate::metrics::summary::OverTime`].
    pub over_time: Vec<KvEventSlice>,
}

/// What happened to blocks in one slice of the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KvEventSlice {
    /// Its start, from the start of the window.
    pub t_s: f64,
    /// Its length.
    pub length_s: f64,
    /// Blocks that were stored in it.
    pub stored: u64,
    /// Blocks that were removed in it.
    pub removed: u64,
    /// Blocks that went to another level in it.
    pub moved: u64,
}

/// Of the events of one run; `None` where there was none. `before` is the number of the last event before all of these,
/// where there was one.
pub fn of(tallies: &[KvTally], before: Option<u64>, window: Window) -> Option<KvEventSummary> {
    let touches = |it: &&KvTally| it.at >= window.start && it.since < window.end;
    let inside: Vec<KvTally> = tallies.iter().filter(touches).copied().collect();
    if inside.is_empty() {
        return None;
    }
    let sum = |of: fn(&KvTally) -> u64| inside.iter().map(of).sum::<u64>();
    let (stored, removed) = (sum(|it| it.stored), sum(|it| it.removed));
    let (offloaded, onboarded) = (sum(|it| it.offloaded), sum(|it| it.onboarded));
    let per_s = |blocks: u64| window.seconds().map(|seconds| blocks as f64 / seconds);
    Some(KvEventSummary {
        events: inside.len() as u64,
        lost: lost::of(numbers(tallies), before, numbers(&inside)),
        blocks_stored: stored,
        blocks_removed: removed,
        blocks_offloaded: offloaded,
        blocks_onboarded: onboarded,
        stored_per_s: per_s(stored),
        removed_per_s: per_s(removed),
        moved_per_s: per_s(offloaded + onboarded),
        over_time: slices(&inside, window),
    })
}

fn numbers(tallies: &[KvTally]) -> impl Iterator<Item = u64> {
    tallies.iter().map(|it| it.event)
}

/// An event belongs to the slice of the look that found it; what was found right after the window, to its last.
fn slices(inside: &[KvTally], window: Window) -> Vec<KvEventSlice> {
    let cuts = Cuts::new(window, slice_length(window.span()));
    let empty = |index| {
        let (start, length) = cuts.place(index);
        let (t_s, length_s) = (start.as_secs_f64(), length.as_secs_f64());
        KvEventSlice { t_s, length_s, stored: 0, removed: 0, moved: 0 }
    };
    let mut slices: Vec<KvEventSlice> = (0..cuts.count()).map(empty).collect();
    for tally in inside {
        let at = tally.at.min(window.end - Nanos(1));
        if let Some(slice) = cuts.index(at).and_then(|index| slices.get_mut(index)) {
            slice.stored += tally.stored;
            slice.removed += tally.removed;
            slice.moved += tally.offloaded + tally.onboarded;
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "the run is chosen so that every result is exact")]

    use super::*;
    use crate::clock::MonoNs;

    const WINDOW: Window = Window { start: MonoNs(1_000), end: MonoNs(1_000 + 2_000_000_000) };

    /// Found by a look so many milliseconds into the window, 20 ms after the one before.
    fn read_at(event: u64, ms: i64, counts: [u64; 4]) -> KvTally {
        let [stored, removed, offloaded, onboarded] = counts;
        let at = MonoNs(1_000) + Nanos::from_millis(ms);
        let since = at - Nanos::from_millis(20);
        KvTally { event, since, at, stored, removed, offloaded, onboarded }
    }

    #[test]
    fn an_engine_without_events_has_no_summary() {
        assert_eq!(of(&[], Some(7), WINDOW), None);
        assert_eq!(
            of(&[read_at(0, -1, [1, 0, 0, 0]), read_at(1, 2_020, [1, 0, 0, 0])], None, WINDOW),
            None
        );
    }

    #[test]
    fn numbers_that_are_missing_are_counted_as_lost() {
        let tallies = [4, 5, 9, 10].map(|event| read_at(event, 10, [1, 0, 0, 0]));
        assert_eq!(of(&tallies, None, WINDOW).unwrap().lost, 3);
    }

    #[test]
    fn what_was_overwritten_right_before_the_first_event_of_the_window_is_lost() {
        let tallies = [(4, -40), (9, 10), (10, 20)];
        let tallies = tallies.map(|(event, ms)| read_at(event, ms, [1, 0, 0, 0]));
        let summary = of(&tallies, None, WINDOW).unwrap();
        assert_eq!((summary.events, summary.lost), (2, 4));
    }

    #[test]
    fn what_was_overwritten_between_the_begin_of_the_point_and_its_first_event_is_lost() {
        let tallies = [8, 9].map(|event| read_at(event, 10, [1, 0, 0, 0]));
        let lost = |before| of(&tallies, before, WINDOW).unwrap().lost;
        assert_eq!([None, Some(7), Some(3)].map(lost), [0, 0, 4]);
        // What was said in the point, and before its window, is nearer.
        let tallies = [(6, -40), (8, 10)].map(|(event, ms)| read_at(event, ms, [1, 0, 0, 0]));
        assert_eq!(of(&tallies, Some(3), WINDOW).unwrap().lost, 1);
    }

    #[test]
    fn five_events_come_to_what_pencil_and_paper_find() {
        let tallies = [
            read_at(0, 10, [6, 0, 0, 0]),
            read_at(1, 250, [0, 3, 0, 0]),
            read_at(2, 250, [1, 0, 4, 0]),
            read_at(3, 1_990, [0, 1, 0, 2]),
            // Read by the look that ended the point: it happened in the window.
            read_at(4, 2_019, [3, 0, 0, 0]),
        ];
        let summary = of(&tallies, None, WINDOW).unwrap();
        assert_eq!((summary.events, summary.lost), (5, 0));
        assert_eq!((summary.blocks_stored, summary.blocks_removed), (10, 4));
        assert_eq!((summary.blocks_offloaded, summary.blocks_onboarded), (4, 2));
        assert_eq!(summary.stored_per_s, Some(5.0));
        assert_eq!(summary.removed_per_s, Some(2.0));
        assert_eq!(summary.moved_per_s, Some(3.0));
        // A window of two seconds has slices of 100 ms.
        let slice = |index: usize| {
            let slice = summary.over_time[index];
            [slice.stored, slice.removed, slice.moved]
        };
        assert_eq!(summary.over_time.len(), 20);
        assert_eq!(
            [slice(0), slice(1), slice(2), slice(19)],
            [[6, 0, 0], [0; 3], [1, 3, 4], [3, 1, 2]]
        );
    }
}
