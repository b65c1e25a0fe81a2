//! Effective sample size: how many independent samples bound a percentile as narrowly as these, which depend on each other.
//!
//! Whether a sample lies below a percentile is a series of zeros and ones, in the order or at the time of the samples. The
//! variance of its sum, autocorrelation included, against that of as many independent draws is what the sample has lost.
//! Samples are added up in at most [`BLOCKS`] blocks, so that nothing here grows with their number.

use crate::metrics::binomial::student_quantile;
use crate::metrics::percentile::Percentile;

/// Blocks of time or of order at most.
pub const BLOCKS: usize = 1 << 10;
/// Autocovariances reach at most over this share of the blocks.
const LONGEST_LAG: usize = 4;
/// What autocovariances that add up to nothing by construction may take from the variance, at most.
const LARGEST_BIAS: f64 = 0.6;
/// Standard errors that the first autocovariances must exceed. Where there are many blocks, dependence that matters stands out by
/// more, and six percentiles of independent samples should not be taken for dependent by one of them.
const STANDS_OUT: f64 = 1.0;
/// The same of [`MANY_BLOCKS`].
const STANDS_OUT_OF_MANY: f64 = 1.64;
/// Blocks from which on there are many.
const MANY_BLOCKS: usize = 500;
/// The quantile of a normal distribution that Student's is held against.
const NORMAL_97_5: f64 = 1.959_964;

/// Weights of samples by block, and by the thresholds between which their values lie.
#[derive(Debug, Clone)]
pub struct BlockTable {
    /// Ascending.
    thresholds: Vec<f64>,
    blocks: usize,
    /// For each threshold, and once more for all above, a weight for each block.
    cells: Vec<f64>,
}

impl BlockTable {
    /// With nothing in it. Percentiles are judged at the nearest of these thresholds.
    pub fn new(mut thresholds: Vec<f64>, blocks: usize) -> Self {
        thresholds.sort_unstable_by(f64::total_cmp);
        thresholds.dedup();
        let cells = vec![0.0; (thresholds.len() + 1) * blocks];
        Self { thresholds, blocks, cells }
    }

    /// Of a series of samples that count alike, in their order.
    pub fn of_series(series: &[f64], thresholds: Vec<f64>) -> Self {
        let blocks = series.len().min(BLOCKS);
        let mut table = Self::new(thresholds, blocks);
        for (place, value) in series.iter().enumerate() {
            table.add(*value, 1.0, place * blocks / series.len());
        }
        table
    }

    /// Adds a sample of a block.
    pub fn add(&mut self, value: f64, weight: f64, block: usize) {
        let above = self.thresholds.partition_point(|threshold| *threshold < value);
        self.cells[above * self.blocks + block] += weight;
    }

    /// The effective sizes of what was added, where it would be so many samples if they were independent.
    pub fn sizes(&self, independent: f64) -> Sizes {
        let mut weights = vec![0.0; self.blocks];
        for row in self.cells.chunks_exact(self.blocks.max(1)) {
            weights.iter_mut().zip(row).for_each(|(sum, weight)| *sum += weight);
        }
        let total: f64 = weights.iter().sum();
        let mut below = vec![0.0; self.blocks];
        let mut judged = Vec::new();
        let rows = self.cells.chunks_exact(self.blocks.max(1)).take(self.thresholds.len());
        for row in rows {
            below.iter_mut().zip(row).for_each(|(sum, weight)| *sum += weight);
            let share = below.iter().sum::<f64>() / total;
            if share > 0.0 && share < 1.0 - 1e-12 {
                let excess: Vec<f64> =
                    below.iter().zip(&weights).map(|(below, all)| below - share * all).collect();
                judged.push((share, size(&excess, total, share, independent)));
            }
        }
        Sizes::of_judged(&judged, independent)
    }
}

/// Effective sizes of one sample.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// What an interval is as wide as.
    interval: f64,
    /// What certifies: smaller, since it is an estimate.
    certifying: f64,
}

/// Effective sizes of one sample, percentile by percentile.
#[derive(Debug, Clone)]
pub struct Sizes {
    intervals: [f64; Percentile::ALL.len()],
    certifying: f64,
}

impl Sizes {
    /// Of samples that do not depend on each other.
    pub fn independent(count: f64) -> Self {
        Self { intervals: [count; Percentile::ALL.len()], certifying: count }
    }

    fn of_judged(judged: &[(f64, Size)], independent: f64) -> Self {
        let at = |which: Percentile| {
            let wanted = f64::from(which.permille()) / 1_000.0;
            let distance = |share: f64| (share - wanted).abs();
            judged.iter().min_by(|a, b| distance(a.0).total_cmp(&distance(b.0))).map(|it| it.1)
        };
        let sizes = Percentile::ALL.map(at);
        let intervals = sizes.map(|size| size.map_or(independent, |size| size.interval));
        Self {
            intervals: no_larger_in_the_tail(intervals),
            certifying: sizes
                .into_iter()
                .flatten()
                .fold(independent, |least, size| least.min(size.certifying)),
        }
    }

    /// As many independent samples have an interval of this percentile as wide as these.
    pub fn interval(&self, which: Percentile) -> f64 {
        self.intervals[which as usize]
    }

    /// As many independent samples certify what these do: the least of all percentiles, rounded down and at least 1.
    ///
    /// The far tail of a sample holds few runs of high values, so that it alone would be taken for independent too often.
    pub fn certifying(&self) -> u64 {
        // Sums of weights are rounded: 3 equal samples must not become 2.999…
        (self.certifying * (1.0 + 1e-12)).max(1.0) as u64
    }
}

/// Where p90 depends more than the median does, as in a queue, the tail depends no less than what lies below it. Its own few runs
/// of high values would often say otherwise, above all in a sample that has too few of them.
fn no_larger_in_the_tail(
    mut intervals: [f64; Percentile::ALL.len()],
) -> [f64; Percentile::ALL.len()] {
    let (median, p90) = (Percentile::P50 as usize, Percentile::P90 as usize);
    if intervals[p90] < intervals[median] {
        for which in p90 + 1..intervals.len() {
            intervals[which] = intervals[which].min(intervals[which - 1]);
        }
    }
    intervals
}

/// From the excess of each block over its expectation, which adds up to 0.
fn size(excess: &[f64], total: f64, share: f64, independent: f64) -> Size {
    let Some(LongRun { variance, windows }) = long_run(excess) else {
        return Size { interval: independent, certifying: independent };
    };
    let count = (total * total * share * (1.0 - share) / variance).clamp(1.0, independent);
    // An estimate from few windows scatters: the interval is widened by as much as Student's is wider than the normal.
    let narrower = windows
        .map_or(1.0, |windows| (NORMAL_97_5 / student_quantile(0.025, windows.max(1.0))).powi(2));
    Size {
        interval: (count * narrower).max(1.0),
        certifying: (count * narrower * narrower).max(1.0),
    }
}

/// Variance of the sum of a stationary series.
#[derive(Debug, Clone, Copy)]
pub struct LongRun {
    /// Autocovariances included.
    pub variance: f64,
    /// How many stretches of the series depend on each other no more; `None` where no value tells of the next.
    pub windows: Option<f64>,
}

/// Pairs of autocovariances are added up as long as they are above 0 and fall (Geyer, *Practical Markov chain Monte Carlo*,
/// 1992: the initial monotone sequence); none, where the first is no more than noise. `None` of values that are all 0.
pub fn long_run(series: &[f64]) -> Option<LongRun> {
    let blocks = series.len();
    let covariance =
        |lag: usize| series.iter().zip(series.iter().skip(lag)).map(|(a, b)| a * b).sum::<f64>();
    let own = covariance(0);
    if own <= 0.0 {
        return None;
    }
    let errors = if blocks < MANY_BLOCKS { STANDS_OUT } else { STANDS_OUT_OF_MANY };
    let noise = errors * own * (2.0 / blocks as f64).sqrt();
    let (mut sum, mut least, mut lag) = (own, f64::INFINITY, 0);
    while lag + 2 <= blocks / LONGEST_LAG {
        let pair = covariance(lag + 1) + covariance(lag + 2);
        if pair <= if lag == 0 { noise } else { 0.0 } {
            break;
        }
        least = least.min(pair);
        sum += 2.0 * least;
        lag += 2;
    }
    if lag == 0 {
        return Some(LongRun { variance: own, windows: None });
    }
    let reach = (2 * lag + 1) as f64 / blocks as f64;
    // The series adds up to 0, which takes so much from its autocovariances.
    let variance = sum / (1.0 - reach.min(LARGEST_BIAS));
    Some(LongRun { variance, windows: Some(1.0 / reach) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "sizes are handed on as they are")]

    use super::*;

    #[test]
    fn the_tail_of_a_queue_is_taken_for_no_less_dependent_than_what_lies_below_it() {
        let of = |sizes: [f64; 6]| no_larger_in_the_tail(sizes);
        assert_eq!(
            of([900.0, 700.0, 500.0, 600.0, 400.0, 2_000.0]),
            [900.0, 700.0, 500.0, 500.0, 400.0, 400.0]
        );
        // Where high values come alone and the middle drifts, the tail really tells more.
        let drifting = [400.0, 450.0, 500.0, 600.0, 900.0, 2_000.0];
        assert_eq!(of(drifting), drifting);
    }
}
