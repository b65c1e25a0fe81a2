//! Shared prefixes: how many tokens, and in how many groups of prompts with which shares.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::workload::seeds::{Phase, Seeds, Stream, unit};

/// Most groups.
pub const MOST_GROUPS: u32 = 65_536;

/// Shares of the prompts by group, each above 0; they need not sum to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrefixGroups(Vec<f64>);

/// What prompts begin with alike.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedPrefix {
    /// Tokens, part of a prompt's length.
    pub tokens: u32,
    /// Groups of prompts with a prefix of their own; `None` is one for all.
    pub groups: Option<PrefixGroups>,
}

impl From<u32> for SharedPrefix {
    fn from(tokens: u32) -> Self {
        Self { tokens, groups: None }
    }
}

impl PrefixGroups {
    /// `None` where there is no group, there are too many, or a share is no number above 0.
    pub fn of_shares(shares: Vec<f64>) -> Option<Self> {
        let usable = shares.iter().all(|share| *share > 0.0 && share.is_finite());
        let few = (1..=MOST_GROUPS as usize).contains(&shares.len());
        (usable && few).then_some(Self(shares))
    }

    /// So many groups of equal shares.
    pub fn equal(groups: u32) -> Option<Self> {
        Self::of_shares(vec![1.0; groups as usize])
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.len() as u32
    }

    /// The shares, as they were given.
    pub fn shares(&self) -> &[f64] {
        &self.0
    }

    /// Whether none is larger than another.
    pub fn are_equal(&self) -> bool {
        self.0.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits())
    }

    /// The group of prompt `index`, whatever others there are.
    pub fn group_of(&self, seeds: &Seeds, phase: Phase, index: u32) -> u32 {
        let total: f64 = self.0.iter().sum();
        let place = [phase.code(), index.into()];
        let mut left = unit(&mut seeds.rng(Stream::PrefixGroups, &place)) * total;
        let chosen = self.0.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        // Rounding may leave a rest beyond the last share.
        chosen.unwrap_or(self.0.len() - 1) as u32
    }
}

impl fmt::Display for PrefixGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.are_equal() {
            return write!(f, "{}", self.count());
        }
        let shares: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&shares.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_in_their_shares() {
        let groups = PrefixGroups::of_shares(vec![6.0, 3.0, 1.0]).expect("shares");
        let seeds = Seeds::from_root(2);
        let mut counts = [0_u32; 3];
        for index in 0..4_000 {
            counts[groups.group_of(&seeds, Phase::Measure, index) as usize] += 1;
        }
        for (count, due) in counts.into_iter().zip([2_400, 1_200, 400]) {
            assert!(count.abs_diff(due) < 120, "{counts:?}");
        }
    }

    #[test]
    fn shares_that_cannot_be_meant_are_none() {
        for shares in [vec![], vec![0.0], vec![1.0, -1.0], vec![f64::NAN], vec![f64::INFINITY]] {
            assert_eq!(PrefixGroups::of_shares(shares), None);
        }
        assert_eq!(PrefixGroups::equal(0), None);
        assert_eq!(PrefixGroups::equal(MOST_GROUPS + 1), None);
    }
}
