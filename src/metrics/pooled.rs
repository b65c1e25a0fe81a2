//! Inter-token and inter-chunk latency: gaps between deliveries, pooled over the completed requests of a point.

use std::thread;

use crate::clock::{MonoNs, Nanos};
use crate::metrics::distribution::{self, Weighted};
use crate::metrics::effective::{BLOCKS, BlockTable, Sizes};
use crate::metrics::summary::Distribution;

/// Gaps that are kept exactly: 32 MiB of nanoseconds, and as much again for a moment while they are read off.
pub const EXACT_GAPS: usize = 4 << 20;
/// Gaps that end with more tokens than this are rare; where there is one, nothing is sorted by the number of tokens.
const MOST_TOKENS: usize = 64;
/// Fewer gaps than this are sorted before a second thread has begun.
const WORTH_A_THREAD: usize = 100_000;

/// Shares of the first gaps at whose values dependence is watched once gaps are no longer kept.
const WATCHED_SHARES: [f64; 24] = [
    0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.95, 0.97,
    0.98, 0.99, 0.994, 0.997, 0.999, 0.9995, 0.9999,
];

/// As many gaps as these shares are read off.
const READ_OFF: usize = 1 << 16;

/// Equal blocks of the time over which gaps end: an iteration of an engine gives every sequence the same gap at about the
/// same instant, so that gaps tell of each other within a block and from one to the next.
#[derive(Debug, Clone, Copy)]
pub struct TimeBlocks {
    start: MonoNs,
    length: i64,
}

impl TimeBlocks {
    /// Over all that lies between two instants.
    pub fn between(start: MonoNs, end: MonoNs) -> Self {
        Self { start, length: (end - start).0.max(0) / BLOCKS as i64 + 1 }
    }

    fn of(self, at: MonoNs) -> u16 {
        ((at - self.start).0 / self.length).clamp(0, BLOCKS as i64 - 1) as u16
    }
}

/// A gap in nanoseconds and the block of time in which it ended, ordered by the gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gap(i64);

impl Gap {
    const BLOCK_BITS: u32 = BLOCKS.trailing_zeros();

    /// Gaps beyond three months are shortened to that.
    fn new(gap: Nanos, block: u16) -> Self {
        let most = i64::MAX >> Self::BLOCK_BITS;
        Self(gap.0.clamp(-most, most) << Self::BLOCK_BITS | i64::from(block))
    }

    fn millis(self) -> f64 {
        Nanos(self.0 >> Self::BLOCK_BITS).as_millis_f64()
    }

    fn block(self) -> usize {
        (self.0 & (BLOCKS as i64 - 1)) as usize
    }
}

/// The two pooled quantities.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pooled {
    /// Inter-token latency in ms: each gap divided by the tokens that ended it, once for each of these tokens.
    pub itl: Option<Distribution>,
    /// Inter-chunk latency in ms: each gap once.
    pub icl: Option<Distribution>,
}

/// Gaps while they come, in any order: exact up to [`EXACT_GAPS`], beyond that in histograms.
#[derive(Debug)]
pub struct PooledGaps {
    kept: Kept,
    /// How many there are.
    count: usize,
    budget: usize,
    blocks: TimeBlocks,
}

#[derive(Debug)]
enum Kept {
    /// By the number of tokens that ended them. Within such a group the order by nanoseconds is the order by time per
    /// chunk and by time per token, so that one sort of whole numbers serves both quantities.
    ByTokens(Vec<Vec<Gap>>),
    /// Where a number of tokens is no small whole number.
    Any(Vec<(Gap, f64)>),
    /// More than the budget.
    Histograms(Box<Histograms>),
}

#[derive(Debug)]
struct Histograms {
    itl: distribution::Streamed,
    icl: distribution::Streamed,
    itl_blocks: BlockTable,
    icl_blocks: BlockTable,
}

impl Histograms {
    /// Of the gaps until now, whose values say where dependence is watched from now on.
    fn begin(gaps: impl Iterator<Item = (Gap, f64)> + Clone) -> Self {
        let apart = gaps.clone().count() / READ_OFF + 1;
        let watched = |value: fn((Gap, f64)) -> f64| {
            let mut values: Vec<f64> = gaps.clone().step_by(apart).map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            let at = |share: f64| values.get((share * values.len() as f64) as usize).copied();
            BlockTable::new(WATCHED_SHARES.into_iter().filter_map(at).collect(), BLOCKS)
        };
        let mut all = Self {
            itl: distribution::Streamed::default(),
            icl: distribution::Streamed::default(),
            itl_blocks: watched(|(gap, tokens)| gap.millis() / tokens),
            icl_blocks: watched(|(gap, _)| gap.millis()),
        };
        gaps.for_each(|(gap, tokens)| all.add(gap, tokens));
        all
    }

    fn add(&mut self, gap: Gap, tokens: f64) {
        let ms = gap.millis();
        self.itl.add(ms / tokens, tokens);
        self.itl_blocks.add(ms / tokens, tokens, gap.block());
        self.icl.add(ms, 1.0);
        self.icl_blocks.add(ms, 1.0, gap.block());
    }

    fn finish(&self) -> Pooled {
        Pooled {
            itl: self.itl.finish(|independent| self.itl_blocks.sizes(independent)),
            icl: self.icl.finish(|independent| self.icl_blocks.sizes(independent)),
        }
    }
}

impl PooledGaps {
    /// With room for [`EXACT_GAPS`].
    pub fn new(blocks: TimeBlocks) -> Self {
        Self::with_budget(EXACT_GAPS, blocks)
    }

    /// With room for so many exact gaps.
    pub fn with_budget(budget: usize, blocks: TimeBlocks) -> Self {
        Self { kept: Kept::ByTokens(vec![Vec::new(); MOST_TOKENS + 1]), count: 0, budget, blocks }
    }

    /// Adds a gap, the tokens that ended it, and the instant at which they did.
    pub fn add(&mut self, gap: Nanos, tokens: f64, at: MonoNs) {
        let gap = Gap::new(gap, self.blocks.of(at));
        if self.count == self.budget {
            self.give_up_exactness();
        }
        self.count += 1;
        let index = tokens as usize;
        #[allow(clippy::float_cmp, reason = "a count that was not scaled is a whole number")]
        let is_small = index as f64 == tokens && index <= MOST_TOKENS;
        match &mut self.kept {
            Kept::ByTokens(groups) if is_small => groups[index].push(gap),
            Kept::ByTokens(groups) => {
                let mut any: Vec<_> = all_of(groups).collect();
                any.push((gap, tokens));
                self.kept = Kept::Any(any);
            }
            Kept::Any(any) => any.push((gap, tokens)),
            Kept::Histograms(histograms) => histograms.add(gap, tokens),
        }
    }

    fn give_up_exactness(&mut self) {
        let histograms = match &self.kept {
            Kept::ByTokens(groups) => Histograms::begin(all_of(groups)),
            Kept::Any(any) => Histograms::begin(any.iter().copied()),
            Kept::Histograms(_) => return,
        };
        self.kept = Kept::Histograms(Box::new(histograms));
    }

    /// The two distributions.
    pub fn finish(self) -> Pooled {
        match self.kept {
            Kept::ByTokens(mut groups) => {
                for gaps in &mut groups {
                    sort(gaps);
                }
                of_sorted(&groups)
            }
            Kept::Any(any) => of_any(&any),
            Kept::Histograms(histograms) => histograms.finish(),
        }
    }
}

fn all_of(groups: &[Vec<Gap>]) -> impl Iterator<Item = (Gap, f64)> + Clone + '_ {
    let groups = groups.iter().enumerate();
    groups.flat_map(|(tokens, gaps)| gaps.iter().map(move |gap| (*gap, tokens as f64)))
}

/// Half of them on a second thread, where they are many.
fn sort(gaps: &mut [Gap]) {
    if gaps.len() < WORTH_A_THREAD {
        return gaps.sort_unstable();
    }
    let (low, _, high) = gaps.select_nth_unstable(gaps.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| low.sort_unstable());
        high.sort_unstable();
    });
}

fn of_sorted(groups: &[Vec<Gap>]) -> Pooled {
    // One token in every delivery is the common case; the two distributions are then the same one.
    if groups.iter().skip(2).all(Vec::is_empty) {
        let icl = icl_of_sorted(groups);
        return Pooled { itl: icl.clone(), icl };
    }
    thread::scope(|scope| {
        let icl = scope.spawn(|| icl_of_sorted(groups));
        let itl = itl_of_sorted(groups);
        Pooled { itl, icl: icl.join().expect("sums do not panic") }
    })
}

fn icl_of_sorted(groups: &[Vec<Gap>]) -> Option<Distribution> {
    let mut all = groups.concat();
    // The stable sort finds what is in order already and merges it.
    all.sort();
    let all: Vec<f64> = all.into_iter().map(Gap::millis).collect();
    distribution::of_sorted(&all, |at| icl_sizes(all_of(groups), at))
}

fn itl_of_sorted(groups: &[Vec<Gap>]) -> Option<Distribution> {
    let mut all = Vec::with_capacity(groups.iter().map(Vec::len).sum());
    for (tokens, gaps) in groups.iter().enumerate() {
        let weight = tokens as f64;
        let per_token = |gap: &Gap| Weighted { value: gap.millis() / weight, weight };
        all.extend(gaps.iter().map(per_token));
    }
    all.sort_by(|a, b| a.value.total_cmp(&b.value));
    distribution::of_weighted_sorted(all, |at, independent| {
        itl_sizes(all_of(groups), at, independent)
    })
}

/// Whatever the gaps ended with.
fn of_any(gaps: &[(Gap, f64)]) -> Pooled {
    let mut itl: Vec<Weighted> = gaps
        .iter()
        .map(|(gap, tokens)| Weighted { value: gap.millis() / tokens, weight: *tokens })
        .collect();
    itl.sort_unstable_by(|a, b| a.value.total_cmp(&b.value).then(a.weight.total_cmp(&b.weight)));
    let mut icl: Vec<f64> = gaps.iter().map(|(gap, _)| gap.millis()).collect();
    icl.sort_unstable_by(f64::total_cmp);
    let gaps = || gaps.iter().copied();
    Pooled {
        itl: distribution::of_weighted_sorted(itl, |at, independent| {
            itl_sizes(gaps(), at, independent)
        }),
        icl: distribution::of_sorted(&icl, |at| icl_sizes(gaps(), at)),
    }
}

fn icl_sizes(gaps: impl Iterator<Item = (Gap, f64)>, percentiles: Vec<f64>) -> Sizes {
    let mut table = BlockTable::new(percentiles, BLOCKS);
    let mut count = 0_u64;
    for (gap, _) in gaps {
        table.add(gap.millis(), 1.0, gap.block());
        count += 1;
    }
    table.sizes(count as f64)
}

fn itl_sizes(
    gaps: impl Iterator<Item = (Gap, f64)>,
    percentiles: Vec<f64>,
    independent: f64,
) -> Sizes {
    let mut table = BlockTable::new(percentiles, BLOCKS);
    gaps.for_each(|(gap, tokens)| table.add(gap.millis() / tokens, tokens, gap.block()));
    table.sizes(independent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::log_histogram::LogHistogram;
    use crate::metrics::percentile::Percentile;

    /// A gap, the tokens that ended it, and when.
    type Timed = (Nanos, f64, MonoNs);

    /// Gaps that end with one to so many tokens, without a pattern.
    fn gaps(count: u64, most: u64, scale: f64) -> Vec<Timed> {
        let scrambled = |i: u64| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let gap = |i| {
            // Some gaps are equal, and some are per token and not per chunk.
            let tokens = 1 + (scrambled(i) >> 24) as u32 % most as u32;
            let gap = Nanos((scrambled(i) % 997 * 60_000) as i64);
            (gap, f64::from(tokens) * scale, MonoNs(i as i64))
        };
        (0..count).map(gap).collect()
    }

    fn blocks(gaps: &[Timed]) -> TimeBlocks {
        TimeBlocks::between(MonoNs(0), MonoNs(gaps.len() as i64))
    }

    fn pooled(gaps: &[Timed], budget: usize) -> Pooled {
        let mut pool = PooledGaps::with_budget(budget, blocks(gaps));
        for (gap, tokens, at) in gaps {
            pool.add(*gap, *tokens, *at);
        }
        pool.finish()
    }

    fn all_together(gaps: &[Timed]) -> Pooled {
        let blocks = blocks(gaps);
        let gap = |(gap, tokens, at): &Timed| (Gap::new(*gap, blocks.of(*at)), *tokens);
        of_any(&gaps.iter().map(gap).collect::<Vec<_>>())
    }

    #[test]
    fn gaps_that_are_sorted_by_their_tokens_come_to_the_same_bits_as_all_together() {
        for (count, most) in [(0, 1), (1, 1), (2, 1), (500, 1), (3_000, 4), (250_000, 2)] {
            let all = gaps(count, most, 1.0);
            assert_eq!(pooled(&all, EXACT_GAPS), all_together(&all), "{count} of {most}");
        }
    }

    #[test]
    fn counts_that_are_scaled_or_large_are_not_sorted_by_their_tokens() {
        for scale in [0.75, 1_000.0] {
            let some = gaps(50, 4, scale);
            assert_eq!(pooled(&some, EXACT_GAPS), all_together(&some));
        }
    }

    #[test]
    fn equal_gaps_beyond_the_budget_are_no_outliers() {
        let mut all = vec![(Nanos(5_000_000), 1.0, MonoNs(0)); 900];
        all.extend(vec![(Nanos(12_000_000), 1.0, MonoNs(0)); 100]);
        let outliers = |gaps: &[Timed], budget| pooled(gaps, budget).icl.unwrap().outliers;
        assert_eq!(outliers(&all[..900], 10).above, 0);
        assert_eq!((outliers(&all, 10).below, outliers(&all, 10).above), (0, 100));
        assert_eq!(outliers(&all, EXACT_GAPS).above, 100);
    }

    #[test]
    fn beyond_the_budget_percentiles_are_within_the_stated_error_and_say_so() {
        for scale in [1.0, 0.75] {
            let all = gaps(60_000, 4, scale);
            let (exact, read) = (pooled(&all, EXACT_GAPS), pooled(&all, 1_000));
            for (exact, read) in [(exact.itl, read.itl), (exact.icl, read.icl)] {
                let (exact, read) = (exact.unwrap(), read.unwrap());
                assert_eq!((exact.relative_error, read.count), (None, exact.count));
                assert_eq!(read.relative_error, Some(LogHistogram::RELATIVE_ERROR));
                assert_eq!((read.min, read.max), (exact.min, exact.max));
                assert!((read.mean / exact.mean - 1.0).abs() < 1e-9);
                assert!((read.std.unwrap() / exact.std.unwrap() - 1.0).abs() < 1e-9);
                assert!((read.effective_count / exact.effective_count - 1.0).abs() < 0.1);
                for which in Percentile::ALL {
                    let (a, b) = (exact.percentiles[&which].value, read.percentiles[&which].value);
                    assert!((a - b).abs() <= a * LogHistogram::RELATIVE_ERROR, "{which:?} {a} {b}");
                }
            }
        }
    }
}
