//! Distribution of the samples of one quantity: exact from sorted values, or streamed into a histogram.

use crate::metrics::dependence;
use crate::metrics::log_histogram::LogHistogram;
use crate::metrics::percentile::{Percentile, Ranks};
use crate::metrics::summary::{Distribution, Outliers, PercentileValue};

/// Interquartile ranges between a quartile and Tukey's outer fence.
const FENCE: f64 = 3.0;

/// A sample that stands for `weight` tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted {
    /// The value.
    pub value: f64,
    /// How much it counts; above 0.
    pub weight: f64,
}

/// The distribution of independent samples that count alike; `None` of no samples. All values must be finite.
pub fn of(values: Vec<f64>) -> Option<Distribution> {
    let independent = values.len() as f64;
    of_as_many(values, independent)
}

/// The same of values in ascending order.
pub fn of_sorted(values: &[f64]) -> Option<Distribution> {
    of_as_many_sorted(values, values.len() as f64)
}

/// The same of samples in the order in which they came, where one may depend on the one before: intervals are as wide as those
/// of [`dependence::effective_count`] independent samples.
pub fn of_series(values: Vec<f64>) -> Option<Distribution> {
    let effective = dependence::effective_count(&values);
    of_as_many(values, effective)
}

fn of_as_many(mut values: Vec<f64>, effective: f64) -> Option<Distribution> {
    values.sort_unstable_by(f64::total_cmp);
    of_as_many_sorted(&values, effective)
}

fn of_as_many_sorted(values: &[f64], effective: f64) -> Option<Distribution> {
    let (&min, &max) = values.first().zip(values.last())?;
    let n = values.len();
    let whole = (effective as u64).clamp(1, n as u64);
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let at_rank = |rank: u64| values[rank as usize - 1];
    let quartile = |quarter: u64| at_rank((n as u64 * quarter).div_ceil(4));
    let (low_fence, high_fence) = fences(quartile(1), quartile(3));
    let not_below = values.partition_point(|value| *value < low_fence);
    let not_above = values.partition_point(|value| *value <= high_fence);
    Some(Distribution {
        count: n as u64,
        effective_count: effective,
        mean: mean.clamp(min, max),
        std: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
        min,
        max,
        percentiles: Percentile::ALL
            .into_iter()
            .map(|which| {
                let ranks = Ranks::of(which, n as u64).widened(which, n as u64, whole);
                (which, read_off(&ranks, at_rank(ranks.value), at_rank))
            })
            .collect(),
        outliers: Outliers {
            low_fence,
            high_fence,
            below: not_below as u64,
            above: (n - not_above) as u64,
        },
        relative_error: None,
    })
}

/// The distribution of samples that stand for several tokens each; `None` of no samples. All values must be finite.
///
/// A percentile is the nearest rank over tokens: the smallest value up to which that share of the weight lies.
/// Intervals use the effective count (Σw)² / Σw² of Kish, rounded down, as if there were so many equal samples.
pub fn of_weighted(mut samples: Vec<Weighted>) -> Option<Distribution> {
    // By weight too, so that sums do not depend on the order in which the samples came.
    samples
        .sort_unstable_by(|a, b| a.value.total_cmp(&b.value).then(a.weight.total_cmp(&b.weight)));
    of_weighted_sorted(samples)
}

/// The same of samples in ascending order of their values, and of their weights where values are alike.
pub fn of_weighted_sorted(mut samples: Vec<Weighted>) -> Option<Distribution> {
    let (min, max) = samples.first().zip(samples.last()).map(|(a, b)| (a.value, b.value))?;
    let (mut total, mut of_squares, mut of_values) = (0.0, 0.0, 0.0);
    for Weighted { value, weight } in &samples {
        total += weight;
        of_squares += weight * weight;
        of_values += value * weight;
    }
    let (effective, mean) = (total * total / of_squares, of_values / total);
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
    let (low_fence, high_fence) = fences(at_weight(total * 0.25), at_weight(total * 0.75));
    let not_below = samples.partition_point(|sample| sample.value < low_fence);
    let not_above = samples.partition_point(|sample| sample.value <= high_fence);
    // The sum of squares is rounded too: 3 equal samples must not become 2.999…
    let whole = ((effective * (1.0 + 1e-12)) as u64).clamp(1, samples.len() as u64);
    Some(Distribution {
        count: samples.len() as u64,
        effective_count: effective,
        mean: mean.clamp(min, max),
        std: (samples.len() > 1).then(|| (squares / (total - of_squares / total)).sqrt()),
        min,
        max,
        percentiles: Percentile::ALL
            .into_iter()
            .map(|which| {
                let value = at_weight(total * f64::from(which.permille()) / 1_000.0);
                let at_rank = |rank: u64| at_weight(total * rank as f64 / whole as f64);
                (which, read_off(&Ranks::of(which, whole), value, at_rank))
            })
            .collect(),
        outliers: Outliers {
            low_fence,
            high_fence,
            below: not_below as u64,
            above: (samples.len() - not_above) as u64,
        },
        relative_error: None,
    })
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
    /// [`LogHistogram::RELATIVE_ERROR`]; intervals use the effective count of Kish, rounded down.
    pub fn finish(&self) -> Option<Distribution> {
        let (min, max) = self.min.zip(self.max)?;
        let total = self.histogram.total();
        let effective = total * total / self.of_squared_weights;
        // The sum of squares is rounded: 3 equal samples must not become 2.999…
        let whole = ((effective * (1.0 + 1e-12)) as u64).clamp(1, self.count);
        let at_weight =
            |weight: f64| self.histogram.at_weight(weight).unwrap_or(min).clamp(min, max);
        let (low_fence, high_fence) = fences(at_weight(total * 0.25), at_weight(total * 0.75));
        // In samples where all weigh the same, as those of chunks do; else in samples of the mean weight.
        let samples = |weight: f64| (weight / total * self.count as f64).round() as u64;
        let below = samples(self.histogram.weight_around(low_fence, min, max).0);
        let not_above = samples(self.histogram.weight_around(high_fence, min, max).1);
        Some(Distribution {
            count: self.count,
            effective_count: effective,
            mean: self.mean.clamp(min, max),
            std: (self.count > 1)
                .then(|| (self.squares / (total - self.of_squared_weights / total)).sqrt()),
            min,
            max,
            percentiles: Percentile::ALL
                .into_iter()
                .map(|which| {
                    let value = at_weight(total * f64::from(which.permille()) / 1_000.0);
                    let at_rank = |rank: u64| at_weight(total * rank as f64 / whole as f64);
                    (which, read_off(&Ranks::of(which, whole), value, at_rank))
                })
                .collect(),
            outliers: Outliers { low_fence, high_fence, below, above: self.count - not_above },
            relative_error: Some(LogHistogram::RELATIVE_ERROR),
        })
    }
}

fn fences(first_quartile: f64, third_quartile: f64) -> (f64, f64) {
    let reach = FENCE * (third_quartile - first_quartile);
    (first_quartile - reach, third_quartile + reach)
}

fn read_off(ranks: &Ranks, value: f64, at_rank: impl Fn(u64) -> f64) -> PercentileValue {
    // Over weighted samples, ranks of the effective count are coarser than the value: hence `min` and `max`.
    PercentileValue {
        value,
        low: ranks.low.map(|rank| at_rank(rank).min(value)),
        high: ranks.high.map(|rank| at_rank(rank).max(value)),
        certified: ranks.certified.is_some(),
        certified_bound: ranks.certified.map(|rank| at_rank(rank).max(value)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these values are exact")]

    use super::*;

    fn value(of: &Distribution, which: Percentile) -> f64 {
        of.percentiles[&which].value
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
    fn samples_that_tell_of_each_other_have_the_interval_of_as_many_as_tell_as_much() {
        // 100 values in one long swell: each is close to the one before.
        let swell: Vec<f64> = (0..100).map(|i| (f64::from(i) * 0.0628).sin()).collect();
        let (series, alone) = (of_series(swell.clone()).unwrap(), of(swell).unwrap());
        assert!(series.effective_count < 2.0, "{}", series.effective_count);
        assert_eq!((series.count, series.mean, series.std), (100, alone.mean, alone.std));
        for (which, value) in &series.percentiles {
            let alone = alone.percentiles[which];
            assert_eq!((value.value, value.certified), (alone.value, alone.certified));
        }
        // One independent sample bounds no median.
        let median = series.percentiles[&Percentile::P50];
        assert_eq!((median.low, median.high), (None, None));
        // Samples that do not depend on each other, or the other way round, are as many as they are.
        let to_and_fro: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        assert_eq!(of_series(to_and_fro.clone()), of(to_and_fro));
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
        assert_eq!(pooled.count, 3);
        assert!((pooled.effective_count - 100.0 / 46.0).abs() < 1e-12);
    }

    #[test]
    fn equal_weights_change_nothing_but_the_name() {
        let values: Vec<f64> = (0..500).map(|i| f64::from((i * 7_919) % 1_009)).collect();
        let weighted = values.iter().map(|&value| Weighted { value, weight: 3.0 }).collect();
        let (plain, pooled) = (of(values).unwrap(), of_weighted(weighted).unwrap());
        assert_eq!(plain.percentiles, pooled.percentiles);
        assert_eq!(plain.outliers, pooled.outliers);
        assert!((plain.mean - pooled.mean).abs() < 1e-9);
        assert!((plain.effective_count - pooled.effective_count).abs() < 1e-6);
    }
}
