//! Argument of an engine's own, as `KEY=VALUE`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an engine calls it, and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EngineArg {
    /// The engine's name for it.
    pub key: String,
    /// As typed.
    pub value: String,
}

/// Text that is no argument of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no argument of an engine: write KEY=VALUE, as in `dtype=float16`")]
pub struct EngineArgError(String);

impl FromStr for EngineArg {
    type Err = EngineArgError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err(EngineArgError(text.to_owned())),
        }
    }
}

impl fmt::Display for EngineArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl TryFrom<String> for EngineArg {
    type Error = EngineArgError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<EngineArg> for String {
    fn from(argument: EngineArg) -> Self {
        argument.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_what_it_likes_and_a_key_must_be_there() {
        let argument: EngineArg = "hf_overrides={\"a\"=1}".parse().expect("an argument");
        assert_eq!((argument.key.as_str(), argument.value.as_str()), ("hf_overrides", "{\"a\"=1}"));
        for text in ["", "=1", "dtype"] {
            let error = text.parse::<EngineArg>().expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
