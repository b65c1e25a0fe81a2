//! Values below zero as they are typed: tied to the flag before them, which can say what is wrong with them.

use std::ffi::{OsStr, OsString};

/// The command whose words are another program's.
const TRANSLATE: &str = "translate";

/// What was typed, with every value below zero tied to the flag before it: alone, `-1s` or `-1,2` would be flags that nobody
/// knows, and not a value whose flag can say what is wrong with it.
pub fn tie_to_flags(typed: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut tied: Vec<OsString> = Vec::new();
    let mut is_over = false;
    for word in typed {
        is_over |= word == "--" || (tied.len() == 1 && word == TRANSLATE);
        match tied.last_mut().filter(|flag| !is_over && may_take(flag) && is_below_zero(&word)) {
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
fn may_take(flag: &OsStr) -> bool {
    let flag = flag.to_string_lossy();
    let is_short = flag.len() == 2 && flag[1..].chars().all(|c| c.is_ascii_alphabetic());
    let is_long = flag.len() > 2 && flag.starts_with("--") && !flag.contains('=');
    flag.starts_with('-') && (is_short || is_long)
}

/// Whether a number, a span or a list begins with a number below zero; no flag begins with a digit.
fn is_below_zero(value: &OsStr) -> bool {
    let Some(rest) = value.to_str().and_then(|value| value.strip_prefix('-')) else { return false };
    let digits = rest.strip_prefix('.').unwrap_or(rest);
    let first = rest.split(',').next().unwrap_or(rest);
    digits.starts_with(|c: char| c.is_ascii_digit())
        || (rest.len() > 2 && first.parse::<f64>().is_ok_and(|number| !number.is_finite()))
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;
    use std::path::PathBuf;

    use clap::FromArgMatches;

    use super::*;
    use crate::cli::origin::merge;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::{Cli, Settings};

    fn after(typed: &str) -> String {
        let words = tie_to_flags(typed.split(' ').map(OsString::from));
        words.join(OsStr::new(" ")).into_string().expect("as typed")
    }

    #[test]
    fn a_value_below_zero_is_tied_to_its_flag_whatever_it_measures() {
        for value in ["-1", "-1s", "-0.5,1", "-.5", "-1x", "-1..2", "-5%", "-inf", "-nan", "-1:2"] {
            assert_eq!(after(&format!("run --flag {value} -q")), format!("run --flag={value} -q"));
            assert_eq!(after(&format!("run -d {value} -q")), format!("run -d={value} -q"));
        }
    }

    #[test]
    fn what_is_no_value_below_zero_stays_as_it_was_typed() {
        for alone in [
            "run --rate 1,-2",
            "run --rate=1 -2,3",
            "run -- --rate -1,2",
            "run --rate -q",
            "run -q -o dir",
            "run --model -in",
            "run --rate -",
            "bareflight translate vllm --rate -1",
        ] {
            assert_eq!(after(alone), alone);
        }
    }

    /// What is said of one flag with one value: by the parser, or when settings are resolved.
    fn said(program: &mut clap::Command, flag: &str, value: &str) -> Result<(), String> {
        let typed = ["bareflight", "run", flag, value].map(OsString::from);
        let words = tie_to_flags(typed);
        let matches = program.try_get_matches_from_mut(words).map_err(|it| it.to_string())?;
        let (_, given) = matches.subcommand().expect("`run`");
        let typed = Settings::from_arg_matches(given).map_err(|error| error.to_string())?;
        let merged = merge(&typed, &Settings::default(), given);
        let (settings, _) = merged.map_err(|error| error.to_string())?;
        resolve(&settings).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flag_that_takes_neither_text_nor_a_fraction_refuses_what_is_below_zero_by_its_name() {
        let program = Cli::clap_command();
        let run = program.find_subcommand("run").expect("`run`");
        // Numbers with a fraction are judged against their target: claims through the binary walk them.
        let passed_over = [
            TypeId::of::<String>(),
            TypeId::of::<PathBuf>(),
            TypeId::of::<f32>(),
            TypeId::of::<f64>(),
        ];
        // Built once: that takes longer than all the parsing.
        let mut built = program.clone();
        let mut walked = 0;
        for flag in run.get_arguments().filter(|flag| flag.get_action().takes_values()) {
            let is_passed_over =
                passed_over.iter().any(|kind| flag.get_value_parser().type_id() == *kind);
            let Some(long) =
                flag.get_long().filter(|long| !is_passed_over && !ANY_TEXT.contains(long))
            else {
                continue;
            };
            let long = format!("--{long}");
            for value in ["-1", "-1s", "-inf"] {
                let told = said(&mut built, &long, value).expect_err(&format!("{long} {value}"));
                assert!(told.contains(&long), "{long} {value}: {told}");
                walked += 1;
            }
        }
        assert!(walked > 100, "{walked}");
    }

    /// Flags with a type of their own that take any text.
    const ANY_TEXT: &[&str] = &["note"];
}
