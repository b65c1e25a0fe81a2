//! Mixture of workloads: parts with weights, as typed and as resolved, and the part of each request.

pub mod choose;
mod source;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::workload::dataset::{ConversationRules, FileWorkload};
use crate::workload::scenario::Scenario;
use crate::workload::seeds::{Seeds, Stream, unit};

pub use source::{MixtureSource, SourceText, SourceTextError};

/// Most parts of a mixture.
pub const MOST_PARTS: usize = 64;

/// Several workloads, each with its share of the requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// In the order in which they were named; never empty.
    pub parts: Vec<MixturePart>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixturePart {
    /// Above 0; shares are weights over their sum.
    pub weight: f64,
    /// What it asks.
    pub asks: PartContent,
}

/// What a part asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartContent {
    /// Entries of a file.
    File(Box<FileWorkload>),
    /// Random prompts of these lengths.
    Synthetic(Scenario),
}

impl MixturePart {
    /// As it is typed, without its weight.
    pub fn source(&self) -> MixtureSource {
        match &self.asks {
            PartContent::File(file) => MixtureSource::File(file.source.clone()),
            PartContent::Synthetic(scenario) => MixtureSource::Synthetic(*scenario),
        }
    }

    /// Its file, where it has one.
    pub fn file(&self) -> Option<&FileWorkload> {
        match &self.asks {
            PartContent::File(file) => Some(file),
            PartContent::Synthetic(_) => None,
        }
    }
}

impl Mixture {
    /// Each part's share of the requests, from 0 to 1.
    pub fn shares(&self) -> impl Iterator<Item = f64> {
        let total: f64 = self.parts.iter().map(|part| part.weight).sum();
        self.parts.iter().map(move |part| part.weight / total)
    }

    /// The part that request `index` is taken from. It does not depend on how many there are.
    pub fn part_of(&self, seeds: &Seeds, index: u64) -> usize {
        let mut left = unit(&mut seeds.rng(Stream::Mixture, &[index]));
        let chosen = self.shares().position(|share| {
            left -= share;
            left < 0.0
        });
        // Rounding may leave a rest beyond the last share.
        chosen.unwrap_or(self.parts.len().saturating_sub(1))
    }

    /// How its conversations are played, where a part holds any.
    pub fn conversation(&self) -> Option<ConversationRules> {
        self.parts.iter().find_map(|part| part.file()?.conversation)
    }
}

impl fmt::Display for Mixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.parts.iter().enumerate() {
            let between = if number == 0 { "" } else { " + " };
            write!(f, "{between}{}:{}", part.weight, part.source())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixture(weights: &[f64]) -> Mixture {
        let scenario: Scenario = "D(8,2)".parse().expect("a scenario");
        let part =
            |weight: &f64| MixturePart { weight: *weight, asks: PartContent::Synthetic(scenario) };
        Mixture { parts: weights.iter().map(part).collect() }
    }

    #[test]
    fn parts_come_in_their_shares_whatever_their_weights_sum_to() {
        let seeds = Seeds::from_root(3);
        for weights in [[0.7, 0.3], [7.0, 3.0]] {
            let mixture = mixture(&weights);
            let first = (0..4_000).filter(|index| mixture.part_of(&seeds, *index) == 0).count();
            assert!((2_700..2_900).contains(&first), "{first} of 4000 where 2800 are due");
        }
    }

    #[test]
    fn a_request_is_of_the_same_part_whatever_the_sum_of_the_weights() {
        let seeds = Seeds::from_root(9);
        let (one, ten) = (mixture(&[0.25, 0.75]), mixture(&[1.0, 3.0]));
        for index in 0..200 {
            assert_eq!(one.part_of(&seeds, index), ten.part_of(&seeds, index));
        }
    }
}
