//! Numbers that no integer holds: the parser's own words for them name no limit, and those for one that an integer holds do.

use std::error::Error;
use std::ffi::OsString;
use std::num::{IntErrorKind, ParseIntError};

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Above every range that a flag may have, as far as an integer goes: flags are read as one of these.
const LARGEST: [&str; 2] = ["18446744073709551615", "9223372036854775807"];

/// The error with what is allowed, where a number that was typed is larger than any integer.
pub fn with_limit(program: &mut Command, error: clap::Error, words: &[OsString]) -> clap::Error {
    if !is_overflow(&error) {
        return error;
    }
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return error;
    };
    let told = LARGEST.iter().find_map(|largest| {
        let smaller = words.iter().map(|word| word.to_string_lossy().replace(value, largest));
        let other = program.try_get_matches_from_mut(smaller.collect::<Vec<_>>()).err()?;
        let told = other.to_string();
        (!is_overflow(&other) && told.contains(largest)).then(|| told.replace(largest, value))
    });
    match told.as_deref().and_then(|told| told.strip_prefix("error: ")) {
        Some(told) => clap::Error::raw(ErrorKind::ValueValidation, told),
        None => error,
    }
}

fn is_overflow(error: &clap::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<ParseIntError>());
    source.is_some_and(|source| {
        matches!(source.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::environment::parse;
    use crate::cli::typed::Cli;

    fn told(typed: &str) -> String {
        let words = typed.split(' ').map(OsString::from).collect();
        parse(&mut Cli::clap_command(), words).expect_err(typed).to_string()
    }

    #[test]
    fn a_number_that_no_integer_holds_is_told_with_its_flag_and_what_is_allowed() {
        const HUGE: &str = "99999999999999999999999";
        for (typed, limit) in [
            ("run --threads", "0..=4294967295"),
            ("run --client-threads", "0..=65535"),
            ("run --kv-host-cache-bytes", "1..=9223372036854775807"),
            ("run --attention-windows", "0..=4294967295"),
            ("search --flood", "2..=100000"),
        ] {
            let said = told(&format!("bareflight {typed} {HUGE}"));
            let flag = typed.split(' ').nth(1).expect("a flag");
            for part in [flag, &format!("{HUGE} is not in {limit}")] {
                assert!(said.contains(part), "{typed}: {said}");
            }
            assert_eq!(said.matches("error: ").count(), 1, "{said}");
        }
    }
}
