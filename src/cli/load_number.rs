//! Parser of the numbers of `--concurrency` and `--rate` lists.

use std::str::FromStr;

use crate::settings::load_rules::{ConcurrencyItem, ConcurrencyPreset};

/// A piece of `--concurrency`.
///
/// # Errors
/// With the form of the whole list.
pub fn concurrency(text: &str) -> Result<ConcurrencyItem, LoadNumberError> {
    match text.trim() {
        "quick" => Ok(ConcurrencyItem::Preset(ConcurrencyPreset::Quick)),
        "full" => Ok(ConcurrencyItem::Preset(ConcurrencyPreset::Full)),
        text => {
            let wanted = "whole numbers up to 4294967295, separated by commas, such as `1,2,4`, or `quick` or `full`";
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
