//! Distribution of the samples of one quantity: exact from sorted values, or streamed into a histogram.

use std::collections::BTreeMap;

use crate::metrics::effective::{BlockTable, Sizes};
use crate::metrics::log_histogram::LogHistogram;
use crate::metrics::percentile::{Percentile, Ranks, nearest_rank};
use crate::metrics::summary::{Distribution, Outliers, PercentileValue};

/// Interquartile ranges between a quartile and Tukey's outer fence.
const FENCE: f64 = 3.0;

/// Equal shares into which a curve cuts its samples.
const CURVE: u64 = 200;

/// A sample that stands for `weight` tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted {
    /// The value.
    pub value: f64,
    /// How much it counts; above 0.
    pub weight: f64,
}

/// The distribution of independent samples that count alike; `None` of no samples. All values must be finite.
pub fn of(mut values: Vec<f64>) -> Option<Distribution> {
    values.sort_unstable_by(f64::total_cmp);
    let independent = Sizes::independent(values.len() as f64);
    of_sorted(&values, |_| independent)
}

/// The same of samples in the order in which they came, of which one may tell of the next.
pub fn of_series(series: &[f64]) -> Option<Distribution> {
    let mut values = series.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    of_sorted(&values, |percentiles| {
        BlockTable::of_series(series, percentiles).sizes(series.len() as f64)
    })
}

/// The same of values in ascending order; `sizes` says from the values of the percentiles how far they depend on each
/// other.
pub fn of_sorted(values: &[f64], sizes: impl FnOnce(Vec<f64>) -> Sizes) -> Option<Distribution> {
    let (&min, &max) = values.first().zip(values.last())?;
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let at_rank = |rank: u64| values[rank as usize - 1];
    let quartile = |quarter: u64| at_rank((n as u64 * quarter).div_ceil(4));
    let (low_fence, high_fence) = fences(quartile(1), quartile(3));
    let not_below = values.partition_point(|value| *value < low_fence);
    let not_above = values.partition_point(|value| *value <= high_fence);
    let percentiles = Percentile::ALL.map(|which| at_rank(nearest_rank(which, n as u64)));
    let sizes = sizes(percentiles.to_vec());
    Some(Distribution {
        count: n as u64,
        effective_count: sizes.certifying() as f64,
        mean: mean.clamp(min, max),
        std: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
        min,
        max,
        percentiles: read_off(&sizes, n as u64, percentiles, at_rank),
        outliers: Outliers {
            low_fence,
            high_fence,
            below: not_below as u64,
            above: (n - not_above) as u64,
        },
        relative_error: None,
        curve: curve(|share| {
            // Rounding of the product must not raise a rank.
            let rank = (share * n as f64 * (1.0 - 1e-12)).ceil() as usize;
            values[rank.max(1) - 1]
        }),
    })
}

/// The distribution of samples that stand for several tokens each; `None` of no samples. All values must be finite and in
/// ascending order, weights too where values are alike, so that sums do not depend on the order in which samples came.
///
/// A percentile is the nearest rank over tokens: the smallest value up to which that share of the weight lies. Count,
/// deviation and outliers are of tokens too. Intervals use at most the effective count (Σw)² / Σw² of Kish, rounded down;
/// `sizes` says from the values of the percentiles and that count how far samples depend on each other.
pub fn of_weighted_sorted(
    mut samples: Vec<Weighted>,
    sizes: impl FnOnce(Vec<f64>, f64) -> Sizes,
) -> Option<Distribution> {
    let (min, max) = samples.first().zip(samples.last()).map(|(a, b)| (a.value, b.value))?;
    let (mut total, mut of_squares, mut of_values) = (0.0, 0.0, 0.0);
    for Weighted { value, weight } in &samples {
        total += weight;
        of_squares += weight * weight;
        of_values += value * weight;
    }
    let (independent, mean) = (total * total / of_squares, of_values / total);
    // From here on a weight is that of all samples up to this one: a second vector would be as long as the first.
    let (mut squares, mut up_to) = (0.0, 0.0);
    for sample in &mut samples {
        squares += (sample.value - mean).powi(2) * sample.weight;
        up_to += sample.weight;
        sample.weight = up_to;
    }
    // Weights that are no integers add up with rounding; whole numbers are exact and unaffected.
    let at_weight = |weight: f64| {
        let index = samples.partition_point(|up_to| up_to.weight < weight * (1.0 - 1e-12));
        samples[index.min(samples.len() - 1)].value
    };
    let before = |index: usize| index.checked_sub(1).map_or(0.0, |last| samples[last].weight);
    let outside = |low: f64, high: f64| {
        let below = before(samples.partition_point(|sample| sample.value < low));
        let not_above = before(samples.partition_point(|sample| sample.value <= high));
        (below, total - not_above)
    };
    let moments =
        Moments { total, independent, samples: samples.len() as u64, mean, squares, min, max };
    Some(moments.distribution(at_weight, outside, sizes, None))
}

/// What is known of weighted samples beside their order.
struct Moments {
    /// Sum of the weights.
    total: f64,
    /// The effective count of Kish.
    independent: f64,
    samples: u64,
    mean: f64,
    /// Weighted sum of squared deviations.
    squares: f64,
    min: f64,
    max: f64,
}

impl Moments {
    /// The distribution: `at_weight` gives the value up to which so much weight lies, `outside` the weights below and above
    /// two fences, and `sizes` says from the percentiles and the count of Kish how far samples depend on each other.
    fn distribution(
        self,
        at_weight: impl Fn(f64) -> f64,
        outside: impl Fn(f64, f64) -> (f64, f64),
        sizes: impl FnOnce(Vec<f64>, f64) -> Sizes,
        relative_error: Option<f64>,
    ) -> Distribution {
        let Self { total, independent, samples, mean, squares, min, max } = self;
        let (low_fence, high_fence) = fences(at_weight(total * 0.25), at_weight(total * 0.75));
        let (below, above) = outside(low_fence, high_fence);
        let percentiles = Percentile::ALL.map(|which| at_weight(share_of(which, total)));
        let sizes = sizes(percentiles.to_vec(), independent);
        let whole = whole(independent);
        Distribution {
            count: total.round() as u64,
            effective_count: sizes.certifying() as f64,
            mean: mean.clamp(min, max),
            std: (total > 1.0 && samples > 1).then(|| (squares / (total - 1.0)).sqrt()),
            min,
            max,
            percentiles: read_off(&sizes, whole, percentiles, |rank| {
                at_weight(total * rank as f64 / whole as f64)
            }),
            outliers: Outliers {
                low_fence,
                high_fence,
                below: below.round() as u64,
                above: above.round() as u64,
            },
            relative_error,
            curve: curve(|share| match share {
                share if share > 0.0 => at_weight(total * share),
                _ => min,
            }),
        }
    }
}

/// Weighted samples that are not kept: exact count, mean, deviation and extremes, and percentiles from a histogram.
#[derive(Debug, Default)]
pub struct Streamed {
    histogram: LogHistogram,
    count: u64,
    of_squared_weights: f64,
    /// Running weighted mean and sum of squared deviations (West 1979).
    mean: f64,
    squares: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Streamed {
    /// Adds a sample that stands for `weight`, which is above 0. The value must be finite.
    pub fn add(&mut self, value: f64, weight: f64) {
        self.histogram.add(value, weight);
        self.count += 1;
        self.of_squared_weights += weight * weight;
        let delta = value - self.mean;
        self.mean += delta * weight / self.histogram.total();
        self.squares += weight * delta * (value - self.mean);
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }

    /// The distribution; `None` of no samples. Its percentiles have a relative error of at most
    /// [`LogHistogram::RELATIVE_ERROR`]; `sizes` says from the count of Kish how far samples depend on each other.
    pub fn finish(&self, sizes: impl FnOnce(f64) -> Sizes) -> Option<Distribution> {
        let (min, max) = self.min.zip(self.max)?;
        let total = self.histogram.total();
        let independent = total * total / self.of_squared_weights;
        let at_weight =
            |weight: f64| self.histogram.at_weight(weight).unwrap_or(min).clamp(min, max);
        let outside = |low: f64, high: f64| {
            let below = self.histogram.weight_around(low, min, max).0;
            (below, total - self.histogram.weight_around(high, min, max).1)
        };
        let moments = Moments {
            total,
            independent,
            samples: self.count,
            mean: self.mean,
            squares: self.squares,
            min,
            max,
        };
        let sizes = |_, independent| sizes(independent);
        Some(moments.distribution(at_weight, outside, sizes, Some(LogHistogram::RELATIVE_ERROR)))
    }
}

fn curve(at_share: impl Fn(f64) -> f64) -> Vec<f64> {
    (0..=CURVE).map(|step| at_share(step as f64 / CURVE as f64)).collect()
}

fn share_of(which: Percentile, total: f64) -> f64 {
    total * f64::from(which.permille()) / 1_000.0
}

/// Rounded down; a sum of squares is rounded too, and 3 equal samples must not become 2.999…
fn whole(count: f64) -> u64 {
    (count * (1.0 + 1e-12)).max(1.0) as u64
}

fn fences(first_quartile: f64, third_quartile: f64) -> (f64, f64) {
    let reach = FENCE * (third_quartile - first_quartile);
    (first_quartile - reach, third_quartile + reach)
}

/// Every percentile with its interval, over ranks from 1 to `n`.
fn read_off(
    sizes: &Sizes,
    n: u64,
    values: [f64; Percentile::ALL.len()],
    at_rank: impl Fn(u64) -> f64,
) -> BTreeMap<Percentile, PercentileValue> {
    let certifying = sizes.certifying();
    let one = |(which, value): (Percentile, f64)| {
        let ranks = Ranks::of_dependent(which, n, sizes.interval(which), certifying);
        // Over weighted samples, ranks of the effective count are coarser than the value: hence `min` and `max`.
        let read = PercentileValue {
            value,
            low: ranks.low.map(|rank| at_rank(rank).min(value)),
            high: ranks.high.map(|rank| at_rank(rank).max(value)),
            certified: ranks.certified.is_some(),
            certified_bound: ranks.certified.map(|rank| at_rank(rank).max(value)),
        };
        (which, read)
    };
    Percentile::ALL.into_iter().zip(values).map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these values are exact")]

    use super::*;

    fn value(of: &Distribution, which: Percentile) -> f64 {
        of.percentiles[&which].value
    }

    fn of_weighted(mut samples: Vec<Weighted>) -> Option<Distribution> {
        samples.sort_unstable_by(|a, b| {
            a.value.total_cmp(&b.value).then(a.weight.total_cmp(&b.weight))
        });
        of_weighted_sorted(samples, |_, independent| Sizes::independent(independent))
    }

    #[test]
    fn of_no_samples_there_is_no_distribution() {
        assert_eq!(of(Vec::new()), None);
        assert_eq!(of_weighted(Vec::new()), None);
    }

    #[test]
    fn a_single_sample_has_no_deviation_and_certifies_nothing() {
        let one = of(vec![4.0]).unwrap();
        assert_eq!((one.mean, one.std, one.min, one.max), (4.0, None, 4.0, 4.0));
        assert!(one.percentiles.values().all(|p| p.value == 4.0 && !p.certified));
        // One sample bounds no percentile from above; with 99 % it does lie below the p99.
        assert!(one.percentiles.values().all(|p| p.high.is_none()));
        assert_eq!(one.percentiles[&Percentile::P50].low, None);
        assert_eq!(one.percentiles[&Percentile::P99].low, Some(4.0));
    }

    #[test]
    fn percentiles_are_nearest_ranks_worked_by_hand() {
        let ten = of((1..=10).rev().map(f64::from).collect()).unwrap();
        assert_eq!(value(&ten, Percentile::P50), 5.0);
        assert_eq!(value(&ten, Percentile::P75), 8.0);
        assert_eq!(value(&ten, Percentile::P90), 9.0);
        assert_eq!(value(&ten, Percentile::P95), 10.0);
        assert_eq!((ten.mean, ten.min, ten.max), (5.5, 1.0, 10.0));
        assert!((ten.std.unwrap() - 3.027_650_354_097_491_7).abs() < 1e-12);
    }

    #[test]
    fn the_median_of_a_hundred_lies_between_ranks_40_and_61() {
        let hundred = of((1..=100).map(f64::from).collect()).unwrap();
        let median = hundred.percentiles[&Percentile::P50];
        assert_eq!((median.value, median.low, median.high), (50.0, Some(40.0), Some(61.0)));
        assert!(median.certified);
        assert!(!hundred.percentiles[&Percentile::P99].certified);
    }

    #[test]
    fn samples_that_tell_of_each_other_have_a_wider_interval_and_certify_less() {
        // 400 values in long swells: each is close to the one before.
        let swell: Vec<f64> = (0..400).map(|i| (f64::from(i) * 0.0628).sin()).collect();
        let (series, alone) = (of_series(&swell).unwrap(), of(swell).unwrap());
        assert!(series.effective_count < 30.0, "{}", series.effective_count);
        assert_eq!((series.count, series.mean, series.std), (400, alone.mean, alone.std));
        for (which, value) in &series.percentiles {
            assert_eq!(value.value, alone.percentiles[which].value);
        }
        let (wide, narrow) =
            (series.percentiles[&Percentile::P50], alone.percentiles[&Percentile::P50]);
        assert!(wide.low < narrow.low && wide.high > narrow.high, "{wide:?} {narrow:?}");
        assert!(alone.percentiles[&Percentile::P90].certified);
        assert!(!series.percentiles[&Percentile::P90].certified);
        // Samples that do not depend on each other, or the other way round, are as many as they are.
        let to_and_fro: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        assert_eq!(of_series(&to_and_fro), of(to_and_fro));
    }

    #[test]
    fn an_outlier_is_counted_and_still_moves_the_mean() {
        let mut values = vec![10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0];
        values.push(1_000.0);
        let all = of(values).unwrap();
        assert_eq!((all.outliers.below, all.outliers.above, all.count), (0, 1, 8));
        assert_eq!((all.outliers.low_fence, all.outliers.high_fence), (-1.0, 27.0));
        assert_eq!((all.mean, all.max), (136.375, 1_000.0));
    }

    #[test]
    fn a_weight_counts_as_so_many_equal_tokens() {
        let weighted = |pairs: &[(f64, f64)]| {
            of_weighted(pairs.iter().map(|&(value, weight)| Weighted { value, weight }).collect())
                .unwrap()
        };
        // Tokens: 2 2 2 2 2 2 5 5 5 30 (six, three and one).
        let pooled = weighted(&[(5.0, 3.0), (30.0, 1.0), (2.0, 6.0)]);
        let spread = of(vec![2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 5.0, 5.0, 5.0, 30.0]).unwrap();
        for which in Percentile::ALL {
            assert_eq!(value(&pooled, which), value(&spread, which), "{which:?}");
        }
        assert_eq!(pooled.mean, spread.mean);
        assert_eq!((pooled.count, pooled.outliers), (spread.count, spread.outliers));
        assert!((pooled.std.unwrap() - spread.std.unwrap()).abs() < 1e-12);
        // 100 ÷ 46, rounded down.
        assert_eq!(pooled.effective_count, 2.0);
    }

    #[test]
    fn equal_weights_change_nothing_but_the_name() {
        let mut values: Vec<f64> = (0..500).map(|i| f64::from((i * 7_919) % 1_009)).collect();
        values.push(1e6);
        let weighted = values.iter().map(|&value| Weighted { value, weight: 3.0 }).collect();
        let (plain, pooled) = (of(values).unwrap(), of_weighted(weighted).unwrap());
        assert_eq!(plain.percentiles, pooled.percentiles);
        assert_eq!(3 * plain.outliers.above, pooled.outliers.above);
        assert_eq!(
            (3 * plain.count, plain.effective_count),
            (pooled.count, pooled.effective_count)
        );
        assert!((plain.mean - pooled.mean).abs() < 1e-9);
    }
}
