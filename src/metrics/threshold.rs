//! Thresholds of `--fail-if`: by how much a number may get worse before it counts as a regression (`ttft_p99>5%`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::metrics::definition::Better;
use crate::metrics::measure::{Measure, NoMeasure};

/// A share written in percent, above 0 and below 100: `5%`, `0.5 %`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(f64);

impl Percent {
    /// As a share: 0.05 of `5%`.
    pub const fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = NoPercent;

    fn from_str(text: &str) -> Result<Self, NoPercent> {
        let wrong = || NoPercent(text.trim().to_owned());
        let number = text.trim().strip_suffix('%').ok_or_else(wrong)?;
        let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
        if percent > 0.0 && percent < 100.0 { Ok(Self(percent)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// A text that is no share in percent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no share between 0 % and 100 %: write for example `5%`")]
pub struct NoPercent(String);

/// A number, and by how much it may get worse.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Which number.
    pub measure: Measure,
    /// By how much, in percent of the baseline.
    pub percent: Percent,
}

/// Why a text is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// Not of the form `metric>percent`.
    #[error("`{0}` is no threshold: write `METRIC>PERCENT`, for example `ttft_p99>5%`")]
    Form(String),
    /// The number is not known.
    #[error(transparent)]
    Measure(#[from] NoMeasure),
    /// The share is none.
    #[error(transparent)]
    Percent(#[from] NoPercent),
    /// Neither more nor less of it is better.
    #[error("`{0}` cannot get worse: it is a size, so neither more nor less of it is better")]
    NoDirection(Measure),
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let (measure, percent) =
            text.split_once('>').ok_or_else(|| ThresholdError::Form(text.trim().to_owned()))?;
        let measure: Measure = measure.parse()?;
        if measure.better() == Better::Neither {
            return Err(ThresholdError::NoDirection(measure));
        }
        Ok(Self { measure, percent: percent.parse()? })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>{}", self.measure, self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bounds_nothing_is_refused_in_one_sentence() {
        for (text, named) in [
            ("ttft_p99", "METRIC>PERCENT"),
            ("speed>5%", "`speed` is no metric"),
            ("ttft_p99>5", "`5` is no share"),
            ("ttft_p99>0%", "`0%` is no share"),
            ("ttft_p99>100%", "`100%` is no share"),
            ("ttft_p99>nan%", "`nan%` is no share"),
            ("output_tokens_avg>5%", "cannot get worse"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_meant() {
        let allowed: Threshold = " ttft_p99 > 2.5 % ".parse().unwrap();
        assert_eq!(allowed.to_string(), "ttft_p99>2.5%");
        assert!((allowed.percent.share() - 0.025).abs() < 1e-12);
        assert!("output_throughput>5%".parse::<Threshold>().is_ok());
    }
}
