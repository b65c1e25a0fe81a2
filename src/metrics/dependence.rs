//! Autocorrelation of a series: lag-1 coefficient and effective sample size.

use crate::metrics::summary::Dependence;

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

/// How far successive values depend on each other.
pub fn of(series: &[f64]) -> Option<Dependence> {
    let correlation = lag1_autocorrelation(series)?;
    Some(Dependence {
        lag1_autocorrelation: correlation,
        effective_requests: effective(series.len() as f64, correlation),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "these values are exact")]

    use super::*;

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
}
