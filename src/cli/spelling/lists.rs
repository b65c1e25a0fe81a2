//! Lists with spaces: `--concurrency 1 2 4` is `--concurrency 1,2,4`.

use std::ffi::OsString;

use clap::Command;

/// Ties the words behind a flag that takes a list. Where a command takes words of its own, only numbers are tied.
pub fn join(words: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let has_words_of_its_own = command.get_positionals().next().is_some();
    let mut joined: Vec<OsString> = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let is_list = word.to_str().is_some_and(|word| takes_list(word, command));
        joined.push(word);
        if !is_list {
            continue;
        }
        // A flag without its value is for the parser to name.
        let Some(mut list) = words.next_if(|word| !is_flag(word)) else { continue };
        let belongs = |word: &OsString| {
            word.to_str().is_some_and(|word| {
                !word.starts_with('-') && (!has_words_of_its_own || is_number(word))
            })
        };
        while let Some(more) = words.next_if(belongs) {
            list.push(",");
            list.push(more);
        }
        joined.push(list);
    }
    joined
}

fn is_flag(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| word.starts_with('-') && !is_number(word))
}

fn takes_list(word: &str, command: &Command) -> bool {
    let Some(name) = word.strip_prefix("--") else { return false };
    command.get_arguments().any(|flag| {
        flag.get_value_delimiter() == Some(',')
            && (flag.get_long() == Some(name)
                || flag.get_all_aliases().unwrap_or_default().contains(&name))
    })
}

fn is_number(word: &str) -> bool {
    word.split(',').all(|piece| piece.parse::<f64>().is_ok())
}
