//! Which number of a list of loads was typed? What is none is refused with what a list looks like.

use std::str::FromStr;

/// A piece of `--concurrency`.
///
/// # Errors
/// With the form of the whole list.
pub fn concurrency(text: &str) -> Result<u32, NoLoadNumber> {
    number(text, "whole numbers, separated by commas, such as `1,2,4`")
}

/// A piece of `--rate`.
///
/// # Errors
/// With the form of the whole list.
pub fn rate(text: &str) -> Result<f64, NoLoadNumber> {
    let wanted = "arrivals per second above 0, separated by commas, such as `0.5,1,2`";
    let rate: f64 = number(text, wanted)?;
    if rate > 0.0 && rate.is_finite() { Ok(rate) } else { Err(NoLoadNumber { wanted }) }
}

fn number<N: FromStr>(text: &str, wanted: &'static str) -> Result<N, NoLoadNumber> {
    text.trim().parse().map_err(|_| NoLoadNumber { wanted })
}

/// A piece of a list that is no number of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("give {wanted}")]
pub struct NoLoadNumber {
    wanted: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_told_what_the_list_looks_like() {
        for text in ["", "-1", "1.5", "many"] {
            let said = concurrency(text).expect_err(text).to_string();
            assert!(said.contains("`1,2,4`"), "{text}: {said}");
        }
        for text in ["", "-3", "0", "nan", "abc"] {
            let said = rate(text).expect_err(text).to_string();
            assert!(said.contains("`0.5,1,2`"), "{text}: {said}");
        }
        assert_eq!((concurrency(" 4"), rate("0.5")), (Ok(4), Ok(0.5)));
    }
}
