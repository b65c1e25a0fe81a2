//! Parser of the numbers of `--concurrency` and `--rate` lists.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;

use crate::settings::load_rules::{ConcurrencyItem, ConcurrencyPreset};

/// What was typed, with every list that begins with a number below zero tied to the flag before it: alone, `-1,2` would
/// be flags that nobody knows, and not a value whose flag can say what is wrong with it.
pub fn join_negative_lists(typed: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut tied: Vec<OsString> = Vec::new();
    for word in typed {
        match tied.last_mut().filter(|flag| takes_value(flag) && begins_below_zero(&word)) {
            Some(flag) => {
                flag.push("=");
                flag.push(word);
            }
            None => tied.push(word),
        }
    }
    tied
}

/// Whether it is written as a flag whose value may follow.
fn takes_value(flag: &OsStr) -> bool {
    let flag = flag.to_string_lossy();
    flag.len() > 2 && flag.starts_with("--") && !flag.contains('=')
}

fn begins_below_zero(list: &OsStr) -> bool {
    let first = list.to_str().and_then(|list| list.split_once(',')).map(|(first, _)| first);
    first.is_some_and(|it| it.starts_with('-') && it.parse::<f64>().is_ok_and(f64::is_finite))
}

/// A piece of `--concurrency`.
///
/// # Errors
/// With the form of the whole list.
pub fn concurrency(text: &str) -> Result<ConcurrencyItem, LoadNumberError> {
    match text.trim() {
        "quick" => Ok(ConcurrencyItem::Preset(ConcurrencyPreset::Quick)),
        "full" => Ok(ConcurrencyItem::Preset(ConcurrencyPreset::Full)),
        text => {
            let wanted =
                "whole numbers, separated by commas, such as `1,2,4`, or `quick` or `full`";
            number(text, wanted).map(ConcurrencyItem::Number)
        }
    }
}

/// A piece of `--rate`.
///
/// # Errors
/// With the form of the whole list.
pub fn rate(text: &str) -> Result<f64, LoadNumberError> {
    let wanted = "arrivals per second from 0.000001 to 1e9, separated by commas, such as `0.5,1,2`";
    let rate: f64 = number(text, wanted)?;
    if (1e-6..=1e9).contains(&rate) { Ok(rate) } else { Err(LoadNumberError { wanted }) }
}

fn number<N: FromStr>(text: &str, wanted: &'static str) -> Result<N, LoadNumberError> {
    text.trim().parse().map_err(|_| LoadNumberError { wanted })
}

/// An element of a list that is no number of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give {wanted}")]
pub struct LoadNumberError {
    wanted: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_that_begins_below_zero_is_tied_to_its_flag() {
        let after = |typed: &str| {
            let words = join_negative_lists(typed.split(' ').map(OsString::from));
            words.join(OsStr::new(" ")).into_string().expect("as typed")
        };
        assert_eq!(after("run --rate -0.5,1 -q"), "run --rate=-0.5,1 -q");
        assert_eq!(after("run --device-ids -1,0 -n 4"), "run --device-ids=-1,0 -n 4");
        for alone in
            ["run --rate -1", "run --rate 1,-2", "run --rate=1 -2,3", "run -- -1,2", "x -q,1"]
        {
            assert_eq!(after(alone), alone);
        }
    }

    #[test]
    fn a_bad_number_is_an_error_that_shows_the_list_format() {
        for text in ["", "-1", "1.5", "many"] {
            let said = concurrency(text).expect_err(text).to_string();
            assert!(said.contains("`1,2,4`"), "{text}: {said}");
        }
        for text in ["", "-3", "0", "nan", "abc"] {
            let said = rate(text).expect_err(text).to_string();
            assert!(said.contains("`0.5,1,2`"), "{text}: {said}");
        }
        assert_eq!((concurrency(" 4"), rate("0.5")), (Ok(4.into()), Ok(0.5)));
    }
}
