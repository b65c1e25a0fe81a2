//! Priority mix: the priority of each request, fixed or drawn with the plan's seed.

use std::fmt;
use std::str::FromStr;

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::workload::DEFAULT_PRIORITY;
use crate::workload::mix::Mix;

/// Priorities with their shares of the requests; higher ones first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Typed", into = "Typed")]
pub struct PriorityMix(Mix<f32>);

/// As it stands in a file: `priority = 0.7`, or a mix as text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Typed {
    One(f32),
    Mix(String),
}

/// Text that names no priorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no priority and no mix of priorities: write one number from 0 to 1, or several with their shares, \
     `0.9:0.2,0.5:0.8`"
)]
pub struct PriorityError(String);

impl PriorityMix {
    /// Every priority that there is.
    pub fn priorities(&self) -> impl Iterator<Item = f32> {
        self.0.things().copied()
    }

    /// The priority of one request.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> f32 {
        self.0.draw(rng).copied().unwrap_or(DEFAULT_PRIORITY)
    }

    /// The one priority of all requests, where there is only one.
    fn single(&self) -> Option<f32> {
        let mut all = self.priorities();
        all.next().filter(|_| all.next().is_none())
    }
}

impl From<f32> for PriorityMix {
    fn from(priority: f32) -> Self {
        Self(Mix::only(priority))
    }
}

impl FromStr for PriorityMix {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || PriorityError(text.to_owned());
        let mix = Self(Mix::read(text).ok_or_else(refuse)?);
        // Alone it has all requests, whatever its share.
        Ok(mix.single().map_or(mix, Self::from))
    }
}

impl fmt::Display for PriorityMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.single() {
            Some(priority) => priority.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

impl TryFrom<Typed> for PriorityMix {
    type Error = PriorityError;

    fn try_from(typed: Typed) -> Result<Self, Self::Error> {
        match typed {
            Typed::One(priority) => Ok(priority.into()),
            Typed::Mix(text) => text.parse(),
        }
    }
}

impl From<PriorityMix> for Typed {
    fn from(mix: PriorityMix) -> Self {
        mix.single().map_or_else(|| Self::Mix(mix.to_string()), Self::One)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::seeds::generator;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        priority: PriorityMix,
    }

    #[test]
    fn what_names_no_priority_is_refused_with_an_example() {
        for text in ["", "high", "0.9:0", "0.9:nan", "0.9:0.5,0.9:0.5", "0.9:1,"] {
            let error = text.parse::<PriorityMix>().expect_err(text).to_string();
            assert!(error.contains("0.9:0.2,0.5:0.8"), "{error}");
        }
    }

    #[test]
    fn one_number_is_the_priority_of_all_and_stays_a_number_in_a_file() {
        let one: PriorityMix = "0.75".parse().expect("a priority");
        let mut rng = generator(3);
        assert!((0..50).all(|_| one.draw(&mut rng).to_bits() == 0.75_f32.to_bits()));
        let written = toml::to_string(&File { priority: one.clone() }).expect("plain data");
        assert_eq!(written.trim(), "priority = 0.75");
        assert_eq!(toml::from_str::<File>(&written).expect("as written").priority, one);
        assert_eq!("0.75:0.2".parse::<PriorityMix>().expect("alone it has all"), one);
    }

    #[test]
    fn a_mix_is_drawn_by_its_shares_and_reads_back_as_it_was_written() {
        let mix: PriorityMix = "0.9:0.25,0.5:0.75".parse().expect("a mix");
        let written = toml::to_string(&File { priority: mix.clone() }).expect("plain data");
        assert_eq!(toml::from_str::<File>(&written).expect("as written").priority, mix);
        let mut rng = generator(1);
        let urgent = (0..4_000).filter(|_| mix.draw(&mut rng) > 0.8).count();
        assert!((900..1_100).contains(&urgent), "{urgent} of 4000 where 1000 are due");
    }
}
