//! Origin of each setting: flag, environment, file or default.

use std::collections::BTreeMap;
use std::fmt;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::de::Error as _;
use serde_json::{Map, Value};

use crate::cli::typed::Settings;

/// Origin of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The default.
    Default,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// The origin of every setting that was given.
pub type Origins = BTreeMap<String, Origin>;

/// The flags that a scenario is made of where it is not given itself.
const LENGTHS: [&str; 4] =
    ["input_tokens_mean", "input_tokens_stddev", "output_tokens_mean", "output_tokens_stddev"];

/// The origin of a setting as it was resolved.
pub fn of(origins: &Origins, key: &str) -> Origin {
    let lengths = || {
        let given = origins
            .iter()
            .filter(|(name, _)| LENGTHS.contains(&name.rsplit('.').next().unwrap_or(name)));
        given.map(|(_, origin)| *origin).max().filter(|_| key == "scenario")
    };
    origins.get(key).copied().or_else(lengths).unwrap_or(Origin::Default)
}

/// Adds settings of the file to the typed ones, and records the origin of each.
///
/// # Errors
/// When a number is none; the error of the serialisation is handed on.
pub fn merge(
    typed: &Settings,
    file: &Settings,
    matches: &ArgMatches,
) -> Result<(Settings, Origins), serde_json::Error> {
    let mut merged = as_map(file)?;
    numbers_are_finite(&merged)?;
    let mut origins: Origins = merged.keys().map(|key| (key.clone(), Origin::File)).collect();
    let typed = as_map(typed)?;
    numbers_are_finite(&typed)?;
    for (key, value) in typed {
        let flag = key.rsplit('.').next().unwrap_or(&key);
        let origin = match matches.value_source(flag) {
            Some(ValueSource::EnvVariable) => Origin::Environment,
            _ => Origin::Flag,
        };
        origins.insert(key.clone(), origin);
        merged.insert(key, value);
    }
    Ok((serde_json::from_value(as_tables(merged))?, origins))
}

/// A number that is none (`nan`) or has no end (`inf`) has no JSON, and would be lost without a word.
fn numbers_are_finite(given: &Map<String, Value>) -> Result<(), serde_json::Error> {
    let is_lost = |value: &Value| {
        value.is_null() || value.as_array().is_some_and(|list| list.iter().any(Value::is_null))
    };
    match given.iter().find(|(_, value)| is_lost(value)) {
        None => Ok(()),
        Some((key, _)) => {
            let name = key.rsplit('.').next().unwrap_or(key).replace('_', "-");
            let message =
                format!("`--{name}` is not a number, or has no end: give a finite number");
            Err(serde_json::Error::custom(message))
        }
    }
}

/// The map holds given settings only, since absent fields are not written; `engine.kv_fraction` is a key of a table.
pub(crate) fn as_map(settings: &Settings) -> Result<Map<String, Value>, serde_json::Error> {
    // Through text, so that 0.1 of 32 bits stays 0.1.
    let settings = serde_json::from_str(&serde_json::to_string(settings)?)?;
    let Value::Object(settings) = settings else { return Ok(Map::new()) };
    let mut flat = Map::new();
    for (key, value) in settings {
        match value {
            Value::Object(table) => {
                flat.extend(
                    table.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)),
                );
            }
            value => drop(flat.insert(key, value)),
        }
    }
    Ok(flat)
}

/// The opposite of [`as_map`].
pub(crate) fn as_tables(flat: Map<String, Value>) -> Value {
    let mut settings = Map::new();
    for (key, value) in flat {
        match key.split_once('.') {
            None => drop(settings.insert(key, value)),
            Some((table, name)) => {
                let table = settings.entry(table).or_insert_with(|| Value::Object(Map::new()));
                if let Some(table) = table.as_object_mut() {
                    table.insert(name.to_owned(), value);
                }
            }
        }
    }
    Value::Object(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_was_made_of_lengths_comes_from_where_they_do() {
        let origins = Origins::from([("workload.input_tokens_mean".to_owned(), Origin::Flag)]);
        assert_eq!(of(&origins, "scenario"), Origin::Flag);
        assert_eq!(of(&origins, "seed"), Origin::Default);
        assert_eq!(of(&Origins::new(), "scenario"), Origin::Default);
    }

    #[test]
    fn a_number_that_is_none_is_refused_by_name_and_not_lost() {
        let given = Settings { temperature: Some(f32::NAN), ..Settings::default() };
        let error = numbers_are_finite(&as_map(&given).unwrap()).unwrap_err().to_string();
        assert!(error.contains("`--temperature`"), "{error}");
        let rates = Settings { rate: Some(vec![1.0, f64::INFINITY]), ..Settings::default() };
        assert!(numbers_are_finite(&as_map(&rates).unwrap()).is_err());
        let finite = Settings { temperature: Some(0.5), ..Settings::default() };
        assert!(numbers_are_finite(&as_map(&finite).unwrap()).is_ok());
    }
}
