//! Part of a mixture as it is typed: `[WEIGHT:]KIND:FILE` or `[WEIGHT:]synthetic:SCENARIO`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::workload::dataset::{FileSource, SourceError};
use crate::workload::scenario::{Scenario, ScenarioError, Task};

/// The kind of a part whose prompts are random.
pub const SYNTHETIC: &str = "synthetic";

/// A file, or lengths of random prompts.
#[derive(Debug, Clone, PartialEq)]
pub enum MixtureSource {
    /// `KIND:FILE`.
    File(FileSource),
    /// `synthetic:SCENARIO`.
    Synthetic(Scenario),
}

impl fmt::Display for MixtureSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(source) => source.fmt(f),
            Self::Synthetic(scenario) => write!(f, "{SYNTHETIC}:{scenario}"),
        }
    }
}

/// Text that names no workload.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceTextError {
    /// A weight that no share follows from.
    #[error("`{0}` is no weight of a workload: give a number above 0, for example `0.7:{1}`")]
    Weight(String, String),
    /// No kind and file.
    #[error(transparent)]
    File(#[from] SourceError),
    /// No scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A scenario of another task.
    #[error(
        "`{SYNTHETIC}:{0}` is not about text: give lengths with `D`, `N`, `U` or `L`, or `--scenario {0}` alone"
    )]
    OtherTask(Scenario),
}

/// What `--workload` takes: a source and its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceText {
    /// Above 0; 1 where none was typed.
    pub weight: f64,
    /// Where prompts or lengths come from.
    pub source: MixtureSource,
}

impl FromStr for SourceText {
    type Err = SourceTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let weighted = text.split_once(':').and_then(|(weight, rest)| {
            let number: f64 = weight.trim().parse().ok()?;
            Some((weight, number, rest))
        });
        let (weight, rest) = match weighted {
            Some((_, number, rest)) if number > 0.0 && number.is_finite() => (number, rest),
            Some((weight, _, rest)) => {
                return Err(SourceTextError::Weight(weight.to_owned(), rest.to_owned()));
            }
            None => (1.0, text),
        };
        let scenario = rest.strip_prefix(SYNTHETIC).and_then(|rest| rest.strip_prefix(':'));
        let source = match scenario {
            Some(scenario) => {
                let scenario: Scenario = scenario.parse()?;
                if scenario.task() != Task::Text {
                    return Err(SourceTextError::OtherTask(scenario));
                }
                MixtureSource::Synthetic(scenario)
            }
            None => MixtureSource::File(rest.parse()?),
        };
        Ok(Self { weight, source })
    }
}

impl fmt::Display for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (self.weight - 1.0).abs() > f64::EPSILON {
            write!(f, "{}:", self.weight)?;
        }
        self.source.fmt(f)
    }
}

impl TryFrom<String> for SourceText {
    type Error = SourceTextError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SourceText> for String {
    fn from(source: SourceText) -> Self {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_weight_a_kind_and_a_file_or_lengths() {
        for (text, weight) in [
            ("0.7:sharegpt:a:b.json", 0.7),
            ("sharegpt:f.json", 1.0),
            ("3:synthetic:D(128,64)", 3.0),
            ("synthetic:U(1,8)/(1,4)", 1.0),
        ] {
            let source: SourceText = text.parse().expect(text);
            assert!((source.weight - weight).abs() < 1e-12, "{text}");
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_name() {
        for (text, said) in [
            ("0:sharegpt:f", "`0` is no weight"),
            ("-1:synthetic:D(1,1)", "`-1` is no weight"),
            ("nan:text:f", "`nan` is no weight"),
            ("0.5:nonsense:f", "no kind of workload `nonsense`"),
            ("0.5", "is no workload"),
            ("synthetic:E(512)", "`D`, `N`, `U` or `L`"),
            ("synthetic:Q(1)", "Q(1)"),
        ] {
            let error = text.parse::<SourceText>().expect_err(text).to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
