//! Choice of the seed: a number, or one that is drawn for this run.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `--seed`: as typed, and as written into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NumberOrWord", into = "NumberOrWord")]
pub enum SeedChoice {
    /// This one.
    Number(u64),
    /// One that nobody knows before.
    Random,
}

/// The word for a drawn seed.
const RANDOM: &str = "random";
/// TOML has no larger whole numbers, and the seed must be written back exactly.
const LARGEST: u64 = i64::MAX as u64;

/// A text that is no seed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no seed: give a whole number from 0 to {LARGEST}, or `{RANDOM}`")]
pub struct SeedError(String);

impl SeedChoice {
    /// The number, drawn where none was given: of 32 bits, so that it is easily typed again.
    pub fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            // The keys of a hasher come from the operating system.
            Self::Random => RandomState::new().build_hasher().finish() >> 32,
        }
    }
}

impl FromStr for SeedChoice {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let word = text.trim();
        if word.eq_ignore_ascii_case(RANDOM) {
            return Ok(Self::Random);
        }
        let number = word.parse().ok().filter(|number| *number <= LARGEST);
        number.map(Self::Number).ok_or_else(|| SeedError(text.to_owned()))
    }
}

impl fmt::Display for SeedChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Random => f.write_str(RANDOM),
        }
    }
}

/// The form in files.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum NumberOrWord {
    Number(u64),
    Word(String),
}

impl TryFrom<NumberOrWord> for SeedChoice {
    type Error = SeedError;

    fn try_from(form: NumberOrWord) -> Result<Self, SeedError> {
        match form {
            NumberOrWord::Number(number) => number.to_string().parse(),
            NumberOrWord::Word(word) => word.parse(),
        }
    }
}

impl From<SeedChoice> for NumberOrWord {
    fn from(choice: SeedChoice) -> Self {
        match choice {
            SeedChoice::Number(number) => Self::Number(number),
            SeedChoice::Random => Self::Word(RANDOM.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_and_a_random_one_is_another_each_time() {
        assert_eq!(SeedChoice::Number(7).number(), 7);
        let drawn: std::collections::BTreeSet<u64> =
            (0..8).map(|_| SeedChoice::Random.number()).collect();
        assert!(drawn.len() > 1 && drawn.iter().all(|seed| u32::try_from(*seed).is_ok()));
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        for choice in [SeedChoice::Number(0), SeedChoice::Number(LARGEST), SeedChoice::Random] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            let json = serde_json::to_string(&choice).expect("plain data");
            assert_eq!(serde_json::from_str::<SeedChoice>(&json).expect(&json), choice);
        }
    }

    #[test]
    fn what_is_no_seed_is_refused_with_what_is_one() {
        for text in ["-1", "1.5", "rand", "9223372036854775808", ""] {
            let error = text.parse::<SeedChoice>().expect_err(text).to_string();
            assert!(error.contains("`random`"), "{error}");
        }
    }
}
