//! Thresholds of `--fail-if`: by how much a number may get worse before it counts as a regression (`ttft_p99>5%`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::metrics::definition::Better;
use crate::metrics::measure::{Measure, NoMeasure};

/// A share written in percent: `5%`, `0.5 %`. As a margin it is above 0 and below 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(f64);

impl Percent {
    /// As a share: 0.05 of `5%`.
    pub const fn share(self) -> f64 {
        self.0 / 100.0
    }

    /// Of any size above 0; `None` where the text is none.
    fn above_zero(text: &str) -> Option<Self> {
        let percent: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
        (percent > 0.0 && percent.is_finite()).then_some(Self(percent))
    }
}

impl FromStr for Percent {
    type Err = NoPercent;

    fn from_str(text: &str) -> Result<Self, NoPercent> {
        let share = Self::above_zero(text).filter(|percent| percent.0 < 100.0);
        share.ok_or_else(|| NoPercent(text.trim().to_owned()))
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
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ThresholdError {
    /// Not of the form `metric>percent`.
    #[error("`{0}` is no threshold: write `METRIC>PERCENT`, for example `ttft_p99>5%`")]
    Form(String),
    /// The number is not known.
    #[error(transparent)]
    Measure(#[from] NoMeasure),
    /// The change is none.
    #[error("`{0}` is no change above 0 %: write for example `5%`")]
    Percent(String),
    /// What should be high can fall to nothing and no further.
    #[error(
        "`{measure}` cannot fall by `{percent}` of the baseline: write less than 100 % (what should be low, as a latency, \
         can rise by more)"
    )]
    MoreThanAll {
        /// Which number.
        measure: Measure,
        /// By how much.
        percent: Percent,
    },
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
        let percent = Percent::above_zero(percent)
            .ok_or_else(|| ThresholdError::Percent(percent.trim().to_owned()))?;
        if measure.better() == Better::Higher && percent.share() >= 1.0 {
            return Err(ThresholdError::MoreThanAll { measure, percent });
        }
        Ok(Self { measure, percent })
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
            ("ttft_p99>5", "`5` is no change"),
            ("ttft_p99>0%", "`0%` is no change"),
            ("ttft_p99>-5%", "`-5%` is no change"),
            ("ttft_p99>inf%", "`inf%` is no change"),
            ("ttft_p99>nan%", "`nan%` is no change"),
            ("good_fraction>100%", "write less than 100 %"),
            ("output_throughput>150%", "write less than 100 %"),
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

    #[test]
    fn a_latency_may_be_allowed_to_more_than_double_and_a_margin_is_a_share() {
        let allowed: Threshold = "ttft_p99>150%".parse().unwrap();
        assert!((allowed.percent.share() - 1.5).abs() < 1e-12);
        assert!("150%".parse::<Percent>().is_err());
    }
}
