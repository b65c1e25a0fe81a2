//! Bare words of a command line: which are targets, and whose value a word is.

use clap::{Arg, ArgAction, Command};

use crate::cli::spelling::target;

/// Whether a word alone names a target: a kind that there is, or an address.
pub fn is_target(word: &str) -> bool {
    target::has_kind(&target::with_kind(word))
}

/// Whether the next word is the value of this one, as the parser takes it.
pub fn takes_the_next(word: &str, command: &Command) -> bool {
    let found = match word.strip_prefix("--") {
        Some(long) => command.get_arguments().find(|flag| {
            flag.get_long() == Some(long)
                || flag.get_all_aliases().unwrap_or_default().contains(&long)
        }),
        None => short(word).and_then(|letter| {
            command.get_arguments().find(|flag| flag.get_short() == Some(letter))
        }),
    };
    found.is_some_and(takes_a_word)
}

/// The letter of a short flag whose value is not tied to it.
fn short(word: &str) -> Option<char> {
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    letters.next().is_none().then_some(letter)
}

fn takes_a_word(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
        && flag.get_num_args().is_none_or(|count| count.takes_values())
        && !flag.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::typed::Cli;

    #[test]
    fn a_target_is_told_from_a_folder_a_model_and_a_number() {
        for word in
            ["http://h", "h:8000/v1", "local:dummy-nano", "null:", "text:local:x", "[::1]:80"]
        {
            assert!(is_target(word), "{word}");
        }
        for word in
            ["gpt2", "org/model", "runs/a", "4", "ttft<2s", "warp:x", "key=value", "C:1", "./a:b"]
        {
            assert!(!is_target(word), "{word}");
        }
    }

    #[test]
    fn the_value_of_a_flag_is_known_from_the_flag() {
        let program = Cli::clap_command();
        let run = program.find_subcommand("run").expect("run");
        for flag in ["--model", "-m", "--concurrency", "--isl", "-n", "--otlp", "--config"] {
            assert!(takes_the_next(flag, run), "{flag}");
        }
        for flag in ["--quiet", "-q", "--no-streaming", "--batch", "-m4", "--zzz", "-"] {
            assert!(!takes_the_next(flag, run), "{flag}");
        }
    }
}
