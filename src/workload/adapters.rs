//! LoRA adapter mix: the adapter of each request, drawn with the plan's seed.

use std::fmt;
use std::str::FromStr;

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::workload::mix::Mix;

/// Adapters by task id, each with its share of the requests; task 0 is the model itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AdapterMix(Mix<u64>);

/// Text that is no mix of adapters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no mix of adapters: write task ids with their shares, `1:0.5,2:0.25,0:0.25`, where 0 is the model itself"
)]
pub struct MixError(String);

impl AdapterMix {
    /// Task ids of adapters, the model itself left out.
    pub fn tasks(&self) -> impl Iterator<Item = u64> {
        self.0.things().copied().filter(|task| *task > 0)
    }

    /// The adapter of one request; `None` is the model itself.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Option<u64> {
        self.0.draw(rng).copied().filter(|task| *task > 0)
    }
}

impl FromStr for AdapterMix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Mix::read(text).map(Self).ok_or_else(|| MixError(text.to_owned()))
    }
}

impl fmt::Display for AdapterMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for AdapterMix {
    type Error = MixError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AdapterMix> for String {
    fn from(mix: AdapterMix) -> Self {
        mix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::seeds::generator;

    #[test]
    fn a_mix_that_cannot_be_meant_is_refused_with_an_example() {
        for text in ["", "a:1", "1:0", "1:-1", "1:nan", "1:0.5,1:0.5"] {
            let error = text.parse::<AdapterMix>().expect_err(text).to_string();
            assert!(error.contains("1:0.5,2:0.25"), "{error}");
        }
    }

    #[test]
    fn adapters_come_in_their_shares_and_the_same_seed_draws_the_same() {
        let mix: AdapterMix = "7:3,0:1".parse().expect("a mix");
        assert_eq!(mix.to_string(), "7:3,0:1");
        let draws = |seed| -> Vec<_> {
            let mut rng = generator(seed);
            (0..4_000).map(|_| mix.draw(&mut rng)).collect()
        };
        assert_eq!(draws(1), draws(1));
        let adapted = draws(1).into_iter().filter(|task| *task == Some(7)).count();
        assert!((2_900..3_100).contains(&adapted), "{adapted} of 4000 where 3000 are due");
    }
}
