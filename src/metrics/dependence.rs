//! Autocorrelation and trend of a series: effective sample size and a test for a rise.

use crate::metrics::binomial::student_upper_tail;
use crate::metrics::summary::Dependence;

/// Fewer points than this say nothing about a slope.
const POINTS_FOR_A_SLOPE: usize = 10;

/// Lag-1 autocorrelation of a series; `None` of fewer than three values or of values that are all alike.
pub fn lag1_autocorrelation(series: &[f64]) -> Option<f64> {
    if series.len() < 3 {
        return None;
    }
    let mean = series.iter().sum::<f64>() / series.len() as f64;
    let variance: f64 = series.iter().map(|value| (value - mean).powi(2)).sum();
    let product: f64 = series.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    // Values alike up to rounding have no correlation to speak of.
    let noise = mean.abs() * 1e-12;
    (variance > noise * noise * series.len() as f64).then(|| product / variance)
}

/// n (1 − ρ) / (1 + ρ), between 1 and n.
fn effective(n: f64, correlation: f64) -> f64 {
    (n * (1.0 - correlation) / (1.0 + correlation)).clamp(1.0, n)
}

/// How many independent values would tell as much as this series, in the order in which it came: all of them where nothing
/// can be said.
pub fn effective_count(series: &[f64]) -> f64 {
    of(series).map_or(series.len() as f64, |it| it.effective_requests)
}

/// How far successive values depend on each other.
pub fn of(series: &[f64]) -> Option<Dependence> {
    let correlation = lag1_autocorrelation(series)?;
    Some(Dependence {
        lag1_autocorrelation: correlation,
        effective_requests: effective(series.len() as f64, correlation),
    })
}

/// A straight line through a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// How much the line rises from the first to the last point, as a share of the mean.
    pub rise: f64,
    /// Probability of such a slope or a steeper one if nothing rose.
    pub chance: f64,
}

/// The trend of `(x, y)` points in order of x: least squares, with the standard error widened by the autocorrelation
/// of the residuals. `None` where there are too few points or the mean is not above 0.
pub fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let n = points.len() as f64;
    let (first, last) = points.first().zip(points.last())?;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / n;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / n;
    let spread: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
    if points.len() < POINTS_FOR_A_SLOPE || spread <= 0.0 || mean_y <= 0.0 {
        return None;
    }
    let slope =
        points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum::<f64>() / spread;
    let residuals: Vec<f64> =
        points.iter().map(|point| point.1 - mean_y - slope * (point.0 - mean_x)).collect();
    let correlation = lag1_autocorrelation(&residuals).unwrap_or(0.0);
    let left = effective(n, correlation);
    let freedom = (left - 2.0).max(1.0);
    let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
    let error = (squares / (n - 2.0) / spread * (n / left)).sqrt();
    let chance = if error > mean_y.abs() * 1e-12 / spread.sqrt() {
        student_upper_tail(slope / error, freedom)
    } else if slope > 0.0 {
        0.0
    } else {
        1.0
    };
    Some(Trend { rise: slope * (last.0 - first.0) / mean_y, chance })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these values are exact")]

    use super::*;

    fn noise(i: usize) -> f64 {
        // A fixed scramble: no trend, no memory.
        ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1 << 24)
    }

    #[test]
    fn values_that_are_all_alike_have_no_correlation_rather_than_nan() {
        assert_eq!(of(&[3.0; 50]), None);
        assert_eq!(of(&[0.1 + 0.2; 50]), None);
        assert_eq!(of(&[1.0, 2.0]), None);
    }

    #[test]
    fn autocorrelation_worked_by_hand() {
        // Mean 2.5; squares 2.25 + .25 + .25 + 2.25 = 5; products .75 − .25 … = 0.75 − 0.25 + 0.75 = 1.25.
        let dependence = of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert!((dependence.lag1_autocorrelation - 0.25).abs() < 1e-12);
        assert!((dependence.effective_requests - 4.0 * 0.75 / 1.25).abs() < 1e-12);
    }

    #[test]
    fn alternating_values_never_count_as_more_than_there_are() {
        let series: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
        let dependence = of(&series).unwrap();
        assert!(dependence.lag1_autocorrelation < -0.9);
        assert_eq!(dependence.effective_requests, 40.0);
    }

    #[test]
    fn noise_does_not_rise_and_a_slope_in_noise_does() {
        let flat: Vec<_> = (0..200).map(|i| (i as f64, 10.0 + noise(i))).collect();
        let rising: Vec<_> =
            flat.iter().enumerate().map(|(i, p)| (p.0, p.1 + 0.02 * i as f64)).collect();
        assert!(trend(&flat).unwrap().chance > 0.01);
        let trend = trend(&rising).unwrap();
        assert!(trend.chance < 1e-6, "{trend:?}");
        assert!((trend.rise - 4.0 / 12.5).abs() < 0.02, "{trend:?}");
    }

    #[test]
    fn a_constant_series_does_not_rise_and_a_perfect_line_does() {
        let line = |slope: f64| -> Vec<_> {
            (0..20).map(|i| (f64::from(i), 8.0 + slope * f64::from(i))).collect()
        };
        assert_eq!(trend(&line(0.0)).unwrap().chance, 1.0);
        assert!(trend(&line(0.1)).unwrap().chance < 1e-9);
        assert!(trend(&line(-0.1)).unwrap().chance > 0.99);
        assert_eq!(trend(&line(1.0)[..5]), None);
    }
}
