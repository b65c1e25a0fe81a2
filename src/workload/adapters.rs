//! Which LoRA adapter does a request ask for? Drawn from a mix, with the plan's seed.

use std::fmt;
use std::str::FromStr;

use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::workload::seeds::unit;

/// Adapters by task id, each with its share of the requests; task 0 is the model itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AdapterMix(Vec<(u64, f64)>);

/// Text that is no mix of adapters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no mix of adapters: write task ids with their shares, `1:0.5,2:0.25,0:0.25`, where 0 is the model itself"
)]
pub struct MixError(String);

impl AdapterMix {
    /// Task ids of adapters, the model itself left out.
    pub fn tasks(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(task, _)| *task).filter(|task| *task > 0)
    }

    /// The adapter of one request; `None` is the model itself.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Option<u64> {
        let total: f64 = self.0.iter().map(|(_, share)| share).sum();
        let mut left = unit(rng) * total;
        let chosen = self.0.iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        // Rounding may leave a rest beyond the last share.
        let (task, _) = chosen.or(self.0.last())?;
        (*task > 0).then_some(*task)
    }
}

impl FromStr for AdapterMix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |part: &str| {
            let (task, share) = part.split_once(':').unwrap_or((part, "1"));
            let share: f64 = share.trim().parse().ok()?;
            let usable = share > 0.0 && share.is_finite();
            Some((task.trim().parse().ok()?, share)).filter(|_| usable)
        };
        let parts: Option<Vec<(u64, f64)>> = text.split(',').map(part).collect();
        let twice = |parts: &Vec<(u64, f64)>| {
            let named = |task| parts.iter().filter(|(other, _)| *other == task).count();
            parts.iter().any(|(task, _)| named(*task) > 1)
        };
        parts.filter(|parts| !twice(parts)).map(Self).ok_or_else(|| MixError(text.to_owned()))
    }
}

impl fmt::Display for AdapterMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (task, share)) in self.0.iter().enumerate() {
            write!(f, "{}{task}:{share}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
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
