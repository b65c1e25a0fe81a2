//! Distribution of one quantity: moments, percentiles with their intervals, outliers, dependence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::metrics::percentile::Percentile;

/// The distribution of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Number of samples: requests or deliveries.
    pub count: u64,
    /// Independent samples of equal weight that carry as much: of a quantity of requests by their lag-1 autocorrelation in
    /// the order of the plan, of a weighted pool by Kish; else `count`.
    pub effective_count: f64,
    /// Weighted mean.
    pub mean: f64,
    /// Standard deviation (n − 1); `None` for a single sample.
    pub std: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Every [`Percentile`] is a key.
    pub percentiles: BTreeMap<Percentile, PercentileValue>,
    /// Samples that lie far out: labelled, never dropped.
    pub outliers: Outliers,
    /// Largest relative error of the percentiles, where they come from a histogram; `None` where they are exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_error: Option<f64>,
    /// The values up to which equal shares of the samples lie, from the smallest to the largest, for plots of the cumulative
    /// distribution. In no file: empty where a summary was read.
    #[serde(skip)]
    pub curve: Vec<f64>,
}

/// One percentile.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PercentileValue {
    /// Nearest rank, exact.
    pub value: f64,
    /// Lower end of the 95 % order-statistic interval; `None` where the sample is too small to have one.
    pub low: Option<f64>,
    /// Upper end of the 95 % order-statistic interval; `None` where the sample is too small to have one.
    pub high: Option<f64>,
    /// Whether the sample is large enough for this percentile (99 % one-sided binomial rule). Shown with `~` if not.
    pub certified: bool,
    /// With 99 % confidence the percentile is at most this; `None` where it is not certified.
    pub certified_bound: Option<f64>,
}

/// Samples beyond Tukey's outer fences (three interquartile ranges from the quartiles).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outliers {
    /// Below this lies an outlier.
    pub low_fence: f64,
    /// Above this lies an outlier.
    pub high_fence: f64,
    /// Samples below.
    pub below: u64,
    /// Samples above.
    pub above: u64,
}

/// How far successive requests depend on each other: request latency in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// Lag-1 autocorrelation, −1 to 1.
    pub lag1_autocorrelation: f64,
    /// Independent requests that would tell as much: n (1 − ρ) / (1 + ρ), between 1 and n.
    pub effective_requests: f64,
}
