//! Scalar measures by name (`ttft_p99`), for comparisons and their thresholds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::metrics::definition::{Better, Definition, Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::Summary;

/// One number of a run: a statistic of a quantity, or a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Measure {
    /// Of the distribution of a quantity.
    Of(Quantity, Statistic),
    /// A rate of the whole run.
    Rate(Rate),
}

/// What is taken of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statistic {
    /// The mean.
    Mean,
    /// A percentile.
    At(Percentile),
}

/// A name that means no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is no metric: write a rate ({rates}) or a quantity and a statistic, such as `ttft_p99` or `e2e_avg` \
     (quantities: {quantities}; statistics: {statistics})",
    rates = Rate::ALL.map(|rate| rate.definition().id).join(", "),
    quantities = Quantity::ALL.map(|quantity| quantity.definition().id).join(", "),
    statistics = Statistic::ALL.map(Statistic::word).join(", "),
)]
pub struct NoMeasure {
    given: String,
}

impl Statistic {
    /// Every statistic, in the order of files.
    pub const ALL: [Self; 7] = [
        Self::Mean,
        Self::At(Percentile::P50),
        Self::At(Percentile::P75),
        Self::At(Percentile::P90),
        Self::At(Percentile::P95),
        Self::At(Percentile::P99),
        Self::At(Percentile::P999),
    ];

    /// As it stands in names: `avg`, `p50`, … `p99_9`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mean => "avg",
            Self::At(Percentile::P999) => "p99_9",
            Self::At(which) => which.label(),
        }
    }
}

impl Measure {
    /// Every number that is compared, quantities first.
    pub fn all() -> impl Iterator<Item = Self> {
        let quantities = Quantity::ALL
            .into_iter()
            .flat_map(|quantity| Statistic::ALL.map(|statistic| Self::Of(quantity, statistic)));
        quantities.chain(Rate::ALL.map(Self::Rate))
    }

    /// What it is a number of.
    pub const fn definition(self) -> &'static Definition {
        match self {
            Self::Of(quantity, _) => quantity.definition(),
            Self::Rate(rate) => rate.definition(),
        }
    }

    /// Which direction a user wants.
    pub const fn better(self) -> Better {
        self.definition().better
    }

    /// Its value in a run, where it has one.
    pub fn value(self, summary: &Summary) -> Option<f64> {
        match self {
            Self::Of(quantity, Statistic::Mean) => summary.distribution(quantity).map(|it| it.mean),
            Self::Of(quantity, Statistic::At(which)) => {
                summary.percentile(quantity, which).map(|it| it.value)
            }
            Self::Rate(rate) => summary.rate(rate),
        }
    }

    /// Whether its value in a run depends on how many tokens a chunk held, which is not known.
    pub fn is_approximate(self, summary: &Summary) -> bool {
        match self {
            Self::Of(quantity, _) => summary.is_approximate(quantity),
            Self::Rate(Rate::Goodput | Rate::GoodFraction) => summary.has_approximate_goodput(),
            Self::Rate(_) => false,
        }
    }

    /// Whether its value in a run lies between tokens that came in bursts.
    pub fn is_of_bursts(self, summary: &Summary) -> bool {
        match self {
            Self::Of(quantity, _) => summary.is_of_bursts(quantity),
            Self::Rate(_) => false,
        }
    }

    /// Whether the sample of a run can carry it; only percentiles want a certain size.
    pub fn is_certified(self, summary: &Summary) -> bool {
        match self {
            Self::Of(quantity, Statistic::At(which)) => {
                summary.percentile(quantity, which).is_some_and(|it| it.certified)
            }
            Self::Of(_, Statistic::Mean) | Self::Rate(_) => true,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(quantity, statistic) => {
                write!(f, "{}_{}", quantity.definition().id, statistic.word())
            }
            Self::Rate(rate) => f.write_str(rate.definition().id),
        }
    }
}

impl FromStr for Measure {
    type Err = NoMeasure;

    fn from_str(text: &str) -> Result<Self, NoMeasure> {
        let text = text.trim();
        Self::all()
            .find(|measure| measure.to_string() == text)
            .ok_or_else(|| NoMeasure { given: text.to_owned() })
    }
}

impl TryFrom<String> for Measure {
    type Error = NoMeasure;

    fn try_from(text: String) -> Result<Self, NoMeasure> {
        text.parse()
    }
}

impl From<Measure> for String {
    fn from(measure: Measure) -> Self {
        measure.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_means_nothing_is_refused_with_what_could_be_meant() {
        for text in ["", "ttft", "ttft_p98", "speed", "output_throughput_p50", "ttft_ms_p99"] {
            let error = text.parse::<Measure>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` is no metric")), "{error}");
            assert!(error.contains("ttft_p99") && error.contains("output_throughput"), "{error}");
        }
    }

    #[test]
    fn every_number_has_one_name_that_reads_back() {
        let mut seen = std::collections::BTreeSet::new();
        for measure in Measure::all() {
            assert_eq!(measure.to_string().parse(), Ok(measure));
            assert!(seen.insert(measure.to_string()), "{measure}");
        }
        assert_eq!(seen.len(), Quantity::ALL.len() * Statistic::ALL.len() + Rate::ALL.len());
    }
}
