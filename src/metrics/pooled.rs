//! Inter-token and inter-chunk latency: gaps between deliveries, pooled over the completed requests of a point.

use std::thread;

use crate::clock::Nanos;
use crate::metrics::distribution::{self, Weighted};
use crate::metrics::summary::Distribution;

/// Gaps that are kept exactly: 32 MiB of nanoseconds, and as much again for a moment while they are read off.
pub const EXACT_GAPS: usize = 4 << 20;
/// Gaps that end with more tokens than this are rare; where there is one, nothing is sorted by the number of tokens.
const MOST_TOKENS: usize = 64;
/// Fewer gaps than this are sorted before a second thread has begun.
const WORTH_A_THREAD: usize = 100_000;

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
}

#[derive(Debug)]
enum Kept {
    /// By the number of tokens that ended them. Within such a group the order by nanoseconds is the order by time per
    /// chunk and by time per token, so that one sort of whole numbers serves both quantities.
    ByTokens(Vec<Vec<Nanos>>),
    /// Where a number of tokens is no small whole number.
    Any(Vec<(Nanos, f64)>),
    /// More than the budget.
    Histograms(Box<Histograms>),
}

#[derive(Debug, Default)]
struct Histograms {
    itl: distribution::Streamed,
    icl: distribution::Streamed,
}

impl Histograms {
    fn add(&mut self, gap: Nanos, tokens: f64) {
        let ms = gap.as_millis_f64();
        self.itl.add(ms / tokens, tokens);
        self.icl.add(ms, 1.0);
    }
}

impl Default for PooledGaps {
    fn default() -> Self {
        Self::with_budget(EXACT_GAPS)
    }
}

impl PooledGaps {
    /// With room for so many exact gaps.
    pub fn with_budget(budget: usize) -> Self {
        Self { kept: Kept::ByTokens(vec![Vec::new(); MOST_TOKENS + 1]), count: 0, budget }
    }

    /// Adds a gap and the tokens that ended it.
    pub fn add(&mut self, gap: Nanos, tokens: f64) {
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
        let mut histograms = Histograms::default();
        match &self.kept {
            Kept::ByTokens(groups) => {
                all_of(groups).for_each(|(gap, tokens)| histograms.add(gap, tokens));
            }
            Kept::Any(any) => any.iter().for_each(|(gap, tokens)| histograms.add(*gap, *tokens)),
            Kept::Histograms(_) => return,
        }
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
            Kept::Histograms(histograms) => {
                Pooled { itl: histograms.itl.finish(), icl: histograms.icl.finish() }
            }
        }
    }
}

fn all_of(groups: &[Vec<Nanos>]) -> impl Iterator<Item = (Nanos, f64)> + '_ {
    let groups = groups.iter().enumerate();
    groups.flat_map(|(tokens, gaps)| gaps.iter().map(move |gap| (*gap, tokens as f64)))
}

/// Half of them on a second thread, where they are many.
fn sort(gaps: &mut [Nanos]) {
    if gaps.len() < WORTH_A_THREAD {
        return gaps.sort_unstable();
    }
    let (low, _, high) = gaps.select_nth_unstable(gaps.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| low.sort_unstable());
        high.sort_unstable();
    });
}

fn of_sorted(groups: &[Vec<Nanos>]) -> Pooled {
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

fn icl_of_sorted(groups: &[Vec<Nanos>]) -> Option<Distribution> {
    let mut all = groups.concat();
    // The stable sort finds what is in order already and merges it.
    all.sort();
    let all: Vec<f64> = all.into_iter().map(Nanos::as_millis_f64).collect();
    distribution::of_sorted(&all)
}

fn itl_of_sorted(groups: &[Vec<Nanos>]) -> Option<Distribution> {
    let mut all = Vec::with_capacity(groups.iter().map(Vec::len).sum());
    for (tokens, gaps) in groups.iter().enumerate() {
        let weight = tokens as f64;
        let per_token = |gap: &Nanos| Weighted { value: gap.as_millis_f64() / weight, weight };
        all.extend(gaps.iter().map(per_token));
    }
    all.sort_by(|a, b| a.value.total_cmp(&b.value));
    distribution::of_weighted_sorted(all)
}

/// Whatever the gaps ended with.
fn of_any(gaps: &[(Nanos, f64)]) -> Pooled {
    let per_token = |(gap, tokens): &(Nanos, f64)| Weighted {
        value: gap.as_millis_f64() / tokens,
        weight: *tokens,
    };
    Pooled {
        itl: distribution::of_weighted(gaps.iter().map(per_token).collect()),
        icl: distribution::of(gaps.iter().map(|(gap, _)| gap.as_millis_f64()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::log_histogram::LogHistogram;
    use crate::metrics::percentile::Percentile;

    /// Gaps that end with one to so many tokens, without a pattern.
    fn gaps(count: u64, most: u64, scale: f64) -> Vec<(Nanos, f64)> {
        let scrambled = |i: u64| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let gap = |i| {
            // Some gaps are equal, and some are per token and not per chunk.
            let tokens = 1 + (scrambled(i) >> 24) as u32 % most as u32;
            (Nanos((scrambled(i) % 997 * 60_000) as i64), f64::from(tokens) * scale)
        };
        (0..count).map(gap).collect()
    }

    fn pooled(gaps: &[(Nanos, f64)], budget: usize) -> Pooled {
        let mut pool = PooledGaps::with_budget(budget);
        for (gap, tokens) in gaps {
            pool.add(*gap, *tokens);
        }
        pool.finish()
    }

    #[test]
    fn gaps_that_are_sorted_by_their_tokens_come_to_the_same_bits_as_all_together() {
        for (count, most) in [(0, 1), (1, 1), (2, 1), (500, 1), (3_000, 4), (250_000, 2)] {
            let all = gaps(count, most, 1.0);
            assert_eq!(pooled(&all, EXACT_GAPS), of_any(&all), "{count} of {most}");
        }
    }

    #[test]
    fn counts_that_are_scaled_or_large_are_not_sorted_by_their_tokens() {
        for scale in [0.75, 1_000.0] {
            let some = gaps(50, 4, scale);
            assert_eq!(pooled(&some, EXACT_GAPS), of_any(&some));
        }
    }

    #[test]
    fn equal_gaps_beyond_the_budget_are_no_outliers() {
        let mut all = vec![(Nanos(5_000_000), 1.0); 900];
        all.extend(vec![(Nanos(12_000_000), 1.0); 100]);
        let outliers = |gaps: &[(Nanos, f64)], budget| pooled(gaps, budget).icl.unwrap().outliers;
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
                assert!((read.effective_count / exact.effective_count - 1.0).abs() < 1e-9);
                for which in Percentile::ALL {
                    let (a, b) = (exact.percentiles[&which].value, read.percentiles[&which].value);
                    assert!((a - b).abs() <= a * LogHistogram::RELATIVE_ERROR, "{which:?} {a} {b}");
                }
            }
        }
    }
}
