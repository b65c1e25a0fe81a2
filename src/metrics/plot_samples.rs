//! Samples of a point for plots: its first requests in time, and the gaps between tokens over time.

use crate::clock::{MonoNs, Nanos, Window};
use crate::metrics::facts::RunFacts;
use crate::metrics::observed::{Observed, ObservedPoint};
use crate::metrics::over_time::Cuts;
use crate::record::request_record::Part;

/// Requests whose course is drawn.
const COURSES: usize = 48;
/// Requests whose TTFT is drawn.
const DOTS: usize = 1_500;

/// What plots of a point are drawn from. In no file: it is made from records whenever a page is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlotSamples {
    /// The first requests that were sent, in the order of their submission.
    pub courses: Vec<Course>,
    /// Requests that had a first token, thinned evenly where they are many.
    pub first_tokens: Vec<FirstToken>,
    /// Gaps between tokens.
    pub gaps: GapMap,
}

/// One request; seconds since the start of the window, which ramp requests precede.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// Which part of the run it belongs to.
    pub part: Part,
    /// When it was handed over.
    pub submit_s: f64,
    /// When the engine took it up, by its own stamps.
    pub scheduled_s: Option<f64>,
    /// First token.
    pub first_s: Option<f64>,
    /// Its end: the last token, else the final event.
    pub end_s: f64,
    /// Whether all of its output came.
    pub is_completed: bool,
}

/// A time to first token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstToken {
    /// Which part of the run it belongs to.
    pub part: Part,
    /// Submission, in seconds since the start of the window.
    pub submit_s: f64,
    /// TTFT in ms.
    pub ttft_ms: f64,
}

impl PlotSamples {
    /// Of the requests of a point.
    pub fn of(point: &ObservedPoint, facts: &RunFacts) -> Self {
        let since = |at: MonoNs| (at - facts.window.start).as_secs_f64();
        let mut sent: Vec<(MonoNs, &Observed)> =
            point.all().iter().filter_map(|request| Some((request.submit()?, request))).collect();
        sent.sort_unstable_by_key(|(submit, request)| (*submit, request.id));
        let courses = sent.iter().take(COURSES).filter_map(|(submit, request)| {
            let scheduled = request.engine_times().and_then(|times| times.first_scheduled);
            Some(Course {
                part: request.part,
                submit_s: since(*submit),
                scheduled_s: scheduled.map(since),
                first_s: request.first_token().filter(|_| facts.streaming).map(since),
                end_s: since(request.served(request.is_streamed(facts.streaming))?),
                is_completed: request.ended.is_completed(),
            })
        });
        let apart = sent.len().div_ceil(DOTS).max(1);
        let first_tokens = sent.iter().step_by(apart).filter_map(|(submit, request)| {
            let first = request.first_token().filter(|_| request.is_streamed(facts.streaming))?;
            let ttft_ms = (first - *submit).as_millis_f64();
            Some(FirstToken { part: request.part, submit_s: since(*submit), ttft_ms })
        });
        Self {
            courses: courses.collect(),
            first_tokens: first_tokens.collect(),
            gaps: point.gap_map.clone(),
        }
    }
}

/// Gaps between tokens: how many tokens came in each stretch of time after a gap of each length. A length is cut by sign,
/// exponent and the first 3 bits of the mantissa of an IEEE 754 double: eight rows to an octave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GapMap {
    /// Start of the first stretch, in seconds since the start of the window, and the length of each.
    pub from_s: f64,
    /// See there.
    pub stretch_s: f64,
    /// Cells that hold anything, by stretch and row.
    pub cells: Vec<GapCell>,
}

/// Tokens that came in one stretch of time after gaps of about one length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GapCell {
    /// Which stretch, from 0.
    pub stretch: u32,
    /// Which length; rows follow each other without a break.
    pub row: u32,
    /// Tokens.
    pub tokens: f64,
}

impl GapCell {
    /// Shortest and longest gap of its row, in ms.
    pub fn bounds_ms(row: u32) -> (f64, f64) {
        let nanos = |row: u32| f64::from_bits((FIRST_ROW + u64::from(row)) << DROPPED_BITS);
        (nanos(row) * 1e-6, nanos(row + 1) * 1e-6)
    }
}

/// Bits of a double below those that name its row.
const DROPPED_BITS: u32 = 52 - 3;
/// The row of 256 ns: shorter gaps count there.
const FIRST_ROW: u64 = 256.0_f64.to_bits() >> DROPPED_BITS;
/// Up to half an hour.
const ROWS: usize = 8 * 33;
/// Stretches of time.
const STRETCHES: i64 = 72;

/// The map while gaps come.
#[derive(Debug)]
pub struct GapMapBuilder {
    window: Window,
    stretches: Cuts,
    from: MonoNs,
    tokens: Vec<f32>,
}

impl GapMapBuilder {
    /// Over the time from the first token of all to the last; `window` is what times count from.
    pub fn new(window: Window, first: MonoNs, last: MonoNs) -> Self {
        let all = Window { start: first, end: last + Nanos(1) };
        let stretches = Cuts::new(all, Nanos(all.span().0 / STRETCHES + 1));
        let tokens = vec![0.0; stretches.count() * ROWS];
        Self { window, stretches, from: first, tokens }
    }

    /// A gap that so many tokens ended at this instant; each has its share of it.
    pub fn add(&mut self, gap: Nanos, tokens: f64, at: MonoNs) {
        let Some(stretch) = self.stretches.index(at) else { return };
        let each = (gap.0 as f64 / tokens).max(1.0);
        let row = (each.to_bits() >> DROPPED_BITS).saturating_sub(FIRST_ROW) as usize;
        self.tokens[stretch * ROWS + row.min(ROWS - 1)] += tokens as f32;
    }

    /// What came of it.
    pub fn finish(self) -> GapMap {
        let held = self.tokens.iter().enumerate().filter(|(_, tokens)| **tokens > 0.0);
        GapMap {
            from_s: (self.from - self.window.start).as_secs_f64(),
            stretch_s: self.stretches.place(0).1.as_secs_f64(),
            cells: held
                .map(|(place, tokens)| GapCell {
                    stretch: (place / ROWS) as u32,
                    row: (place % ROWS) as u32,
                    tokens: f64::from(*tokens),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(gaps: &[(i64, f64, i64)]) -> GapMap {
        let window = Window { start: MonoNs(1_000_000_000), end: MonoNs(2_000_000_000) };
        let mut map = GapMapBuilder::new(window, MonoNs(500_000_000), MonoNs(2_500_000_000));
        for &(gap, tokens, at) in gaps {
            map.add(Nanos(gap), tokens, MonoNs(at));
        }
        map.finish()
    }

    #[test]
    fn a_gap_lies_in_the_row_of_its_length_and_the_stretch_of_its_end() {
        let map = map(&[(5_000_000, 1.0, 500_000_000), (5_000_001, 1.0, 2_500_000_000)]);
        assert_eq!((map.from_s, map.cells.len()), (-0.5, 2));
        let [first, last] = map.cells[..] else { panic!("two cells") };
        assert_eq!((first.stretch, last.stretch), (0, 71));
        for cell in [first, last] {
            let (low, high) = GapCell::bounds_ms(cell.row);
            assert!(low <= 5.0 && 5.0 < high && high / low < 1.13, "{low} {high}");
        }
    }

    #[test]
    fn tokens_that_end_one_gap_together_have_a_share_of_it_each() {
        let together = map(&[(8_000_000, 4.0, 600_000_000)]);
        let alone = map(&[(2_000_000, 1.0, 600_000_000)]);
        assert_eq!(together.cells[0].row, alone.cells[0].row);
        assert_eq!((together.cells[0].tokens, alone.cells[0].tokens), (4.0, 1.0));
    }

    #[test]
    fn gaps_beyond_the_rows_count_in_the_last_ones() {
        let map = map(&[(0, 1.0, 600_000_000), (i64::MAX, 1.0, 600_000_000)]);
        let rows: Vec<u32> = map.cells.iter().map(|cell| cell.row).collect();
        assert_eq!(rows, [0, ROWS as u32 - 1]);
    }
}
