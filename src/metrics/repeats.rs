//! Repeats: what several runs of one load come to, with the interval of their mean and how much they differ.

use crate::metrics::Summary;
use crate::metrics::binomial::student_quantile;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;

/// Several runs of one load.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeats {
    /// What they have in common.
    pub label: String,
    /// How many there are.
    pub runs: usize,
    /// Each number that every run has.
    pub numbers: Vec<RepeatedNumber>,
}

/// One number over several runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RepeatedNumber {
    /// Its key, e.g. `ttft_ms_p50`.
    pub key: String,
    /// Mean over runs.
    pub mean: f64,
    /// 95 % interval of that mean: Student's t over runs.
    pub interval: (f64, f64),
    /// Standard deviation over runs, as a share of the mean; `None` where the mean is 0.
    pub variation: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// Rates and percentiles that are told of repeats.
const RATES: [Rate; 2] = [Rate::RequestThroughput, Rate::OutputThroughput];
const QUANTITIES: [Quantity; 5] =
    [Quantity::Ttft, Quantity::Itl, Quantity::Tpot, Quantity::E2e, Quantity::E2eIntended];
const LEVELS: [Percentile; 2] = [Percentile::P50, Percentile::P99];

/// Loads that were measured more than once, in the order of their first run. A run has a group where it is one of several.
pub fn of<'a>(runs: impl Iterator<Item = (Option<&'a str>, &'a Summary)>) -> Vec<Repeats> {
    let mut groups: Vec<(&str, Vec<&Summary>)> = Vec::new();
    for (label, summary) in runs {
        let Some(label) = label else { continue };
        match groups.iter_mut().find(|(of, _)| *of == label) {
            Some((_, runs)) => runs.push(summary),
            None => groups.push((label, vec![summary])),
        }
    }
    let several = groups.into_iter().filter(|(_, runs)| runs.len() > 1);
    several
        .map(|(label, runs)| Repeats {
            label: label.to_owned(),
            runs: runs.len(),
            numbers: numbers(&runs),
        })
        .collect()
}

fn numbers(runs: &[&Summary]) -> Vec<RepeatedNumber> {
    let rates = RATES.into_iter().filter_map(|rate| {
        let values: Option<Vec<f64>> = runs.iter().map(|run| run.rate(rate)).collect();
        number(rate.definition().key.to_owned(), &values?)
    });
    let percentiles = QUANTITIES.into_iter().flat_map(|quantity| {
        LEVELS.into_iter().filter_map(move |which| {
            let value = |run: &&Summary| Some(run.percentile(quantity, which)?.value);
            let values: Option<Vec<f64>> = runs.iter().map(value).collect();
            let key = format!("{}_{}", quantity.definition().key, which.label());
            number(key, &values?)
        })
    });
    rates.chain(percentiles).collect()
}

fn number(key: String, values: &[f64]) -> Option<RepeatedNumber> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = student_quantile(0.025, n - 1.0) * (variance / n).sqrt();
    (values.len() > 1).then(|| RepeatedNumber {
        key,
        mean,
        interval: (mean - half, mean + half),
        variation: (mean != 0.0).then(|| variance.sqrt() / mean),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_student_s_and_the_variation_that_of_a_sample() {
        let found = number("x".into(), &[10.0, 12.0, 14.0]).expect("three runs");
        assert_eq!((found.mean, found.min, found.max), (12.0, 10.0, 14.0));
        // By hand: s = 2, t(0.975, 2) = 4.302 653, half = 4.302 653 * 2 / sqrt(3).
        assert!((found.interval.1 - 12.0 - 4.968_275).abs() < 1e-4, "{found:?}");
        assert!((found.variation.expect("a mean") - 2.0 / 12.0).abs() < 1e-12);
        assert_eq!(number("x".into(), &[1.0]), None);
    }
}
