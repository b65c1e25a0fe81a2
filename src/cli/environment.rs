//! Environment variables that stand for flags: a value that cannot be used is told by the name of its variable.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::cli::too_large;
use crate::cli::typed::Cli;
use crate::console;

/// Parses a command line. What is wrong with a value of the environment is told by the name of its variable, since nobody typed
/// the flag that it stands for; an empty one is no value.
///
/// # Errors
/// Those of the parser.
pub fn parse(program: &mut Command, words: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    let parsed = program.try_get_matches_from_mut(words.clone());
    let command = words.get(1).and_then(|word| word.to_str());
    let Some(command) = command.and_then(|name| program.find_subcommand(name)) else {
        return parsed;
    };
    match parsed {
        Ok(matches) => match empty_variable(command, &matches) {
            Some(error) => Err(error.with_cmd(program)),
            None => Ok(matches),
        },
        Err(error) => {
            let error = named_by_variable(program, command, error, words.clone());
            Err(too_large::with_limit(program, error, &words))
        }
    }
}

/// The error where a variable is set to nothing and its flag was not given.
fn empty_variable(command: &Command, matches: &ArgMatches) -> Option<clap::Error> {
    let (_, given) = matches.subcommand()?;
    let is_empty = |flag: &&Arg| {
        let id = flag.get_id().as_str();
        given.value_source(id) == Some(ValueSource::EnvVariable)
            && given
                .get_raw(id)
                .is_some_and(|mut raw| raw.all(|value| value.to_string_lossy().trim().is_empty()))
    };
    let flag = command.get_arguments().filter(|flag| flag.get_env().is_some()).find(is_empty)?;
    Some(clap::Error::raw(ErrorKind::InvalidValue, empty(flag)?))
}

/// What is said of a variable that is set to nothing.
fn empty(flag: &Arg) -> Option<String> {
    let name = flag.get_env()?.to_string_lossy();
    Some(format!(
        "the environment variable `{name}` is empty: unset it, or give it a value as `{flag}` takes it\n"
    ))
}

/// The error with the variable in place of the flag, where the value came from there.
fn named_by_variable(
    program: &Command,
    command: &Command,
    mut error: clap::Error,
    words: Vec<OsString>,
) -> clap::Error {
    let Some(ContextValue::String(blamed)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let is_blamed = |flag: &&Arg| flag.to_string() == *blamed;
    let Some(flag) = command.get_arguments().find(is_blamed) else { return error };
    let is_set = flag.get_env().is_some_and(|name| std::env::var_os(name).is_some());
    if !is_set || blames(program, command.get_name(), words, blamed) {
        return error;
    }
    let is_empty = matches!(
        error.get(ContextKind::InvalidValue),
        Some(ContextValue::String(value)) if value.trim().is_empty()
    );
    let name = flag.get_env().unwrap_or_default().to_string_lossy();
    if let Some(message) = empty(flag).filter(|_| is_empty) {
        return clap::Error::raw(ErrorKind::InvalidValue, message).with_cmd(program);
    }
    let blamed = format!("{name}, the environment variable of {flag}");
    error.insert(ContextKind::InvalidArg, ContextValue::String(blamed));
    error
}

/// Whether the same words are refused for this flag without any variable.
fn blames(program: &Command, name: &str, words: Vec<OsString>, blamed: &str) -> bool {
    let bare = program
        .clone()
        .mut_subcommand(name, |command| command.mut_args(|flag| flag.env(Resettable::Reset)));
    let error = bare.try_get_matches_from(words).err();
    error.is_some_and(|error| {
        matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(flag)) if flag == blamed)
    })
}

/// The words of an error, with the variables behind the flags that they name.
pub fn with_variables(error: anyhow::Error, matches: &ArgMatches) -> anyhow::Error {
    let Some((name, given)) = matches.subcommand() else { return error };
    let program = Cli::clap_command();
    let Some(command) = program.find_subcommand(name) else { return error };
    let is_set = |flag: &Arg| {
        let id = flag.get_id().as_str();
        flag.get_env().is_some() && given.value_source(id) == Some(ValueSource::EnvVariable)
    };
    let set: Vec<(&str, String)> = command
        .get_arguments()
        .filter(|flag| is_set(flag))
        .filter_map(|flag| Some((flag.get_long()?, flag.get_env()?.to_string_lossy().into_owned())))
        .collect();
    let words = console::in_one_line(&error);
    match behind(&words, &set) {
        None => error,
        Some(behind) => anyhow::anyhow!("{words} ({behind})"),
    }
}

/// Which variables set the flags that the words name; each flag with its variable is in `set`.
fn behind(words: &str, set: &[(&str, String)]) -> Option<String> {
    let named = set.iter().filter(|(long, _)| names_flag(words, long));
    let told: Vec<String> =
        named.map(|(long, name)| format!("`--{long}` is set by the variable `{name}`")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// Whether this flag, and not one that begins like it, is in the words.
fn names_flag(words: &str, long: &str) -> bool {
    let flag = format!("--{long}");
    words.match_indices(&flag).any(|(at, _)| {
        let next = words[at + flag.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || c == '-')
    })
}

/// What variables of ours begin with.
const PREFIX: &str = "BAREFLIGHT_";
/// Variables that this program sets for processes of its own. Such a process says nothing of the others, since the first has.
const BETWEEN_PROCESSES: [&str; 5] = [
    "BAREFLIGHT_PYTHON",
    "BAREFLIGHT_SERVED_FOR",
    "BAREFLIGHT_SIDE",
    "BAREFLIGHT_THREADS_SET",
    "BAREFLIGHT_WORKER",
];
/// So alike are a slip of the keyboard and what was meant.
const ALIKE: f64 = 0.9;

/// What is said of variables that nothing reads and that are spelt almost as ours, or as a flag that has none. It is no error:
/// whoever runs this may use the prefix for variables of his own.
pub fn unread(
    program: &Command,
    typed: &ArgMatches,
    names: impl IntoIterator<Item = OsString>,
) -> Option<String> {
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    let names: Vec<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    let is_told = names.iter().any(|name| BETWEEN_PROCESSES.contains(&name.as_str()));
    if names.is_empty() || is_told {
        return None;
    }
    let key = typed.try_get_one::<String>("api_key_env").ok().flatten();
    let (known, flags) = (variables_of(program), flags_of(program));
    let unread = names.iter().filter(|name| !known.contains(name) && Some(*name) != key);
    let told: Vec<String> = unread.filter_map(|name| told_of(name, &known, &flags)).collect();
    (!told.is_empty()).then(|| format!("warning: nothing reads {}", told.join(", ")))
}

/// `None` of a name that is like none of ours: somebody else's, such as what Kubernetes sets for a service called bareflight.
fn told_of(name: &str, known: &[String], flags: &[String]) -> Option<String> {
    let typed = &name[PREFIX.len()..];
    let flag = typed.to_lowercase().replace('_', "-");
    if flags.contains(&flag) {
        return Some(format!("the variable `{name}` (`--{flag}` has none: type the flag)"));
    }
    let likeness = |known: &&String| strsim::jaro_winkler(typed, &known[PREFIX.len()..]);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let meant = nearest.filter(|known| likeness(known) >= ALIKE)?;
    Some(format!("the variable `{name}` (did you mean `{meant}`?)"))
}

/// The variables of every flag of every command.
fn variables_of(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(Arg::get_env);
    let own = own.filter_map(|name| Some(name.to_str()?.to_owned()));
    let own = own.filter(|name| name.starts_with(PREFIX));
    own.chain(command.get_subcommands().flat_map(variables_of)).collect()
}

/// The long names of every flag of every command.
fn flags_of(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(Arg::get_long).map(str::to_owned);
    own.chain(command.get_subcommands().flat_map(flags_of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nothing_reads_is_told_with_what_was_meant() {
        let program = Cli::clap_command();
        let typed = |words: &[&str]| program.clone().try_get_matches_from(words).expect("sound");
        let of = |matches: &ArgMatches, names: &[&str]| {
            let run = matches.subcommand().expect("a command").1.clone();
            unread(&program, &run, names.iter().map(OsString::from))
        };
        let plain = typed(&["bareflight", "run"]);
        for (name, said) in [
            ("BAREFLIGHT_REQUETS", "did you mean `BAREFLIGHT_REQUESTS`"),
            ("BAREFLIGHT_TOKENIZER", "`--tokenizer` has none"),
        ] {
            let told = of(&plain, &["PATH", name, "BAREFLIGHT_SEED"]).expect(name);
            assert!(told.contains(said) && !told.contains("SEED"), "{told}");
            assert_eq!(told.contains("did you mean"), name == "BAREFLIGHT_REQUETS", "{told}");
        }
        assert_eq!(of(&plain, &["BAREFLIGHT_SEED", "BAREFLIGHT_SERVICE_HOST", "HOME"]), None);
        assert_eq!(of(&plain, &["BAREFLIGHT_THREADS_SET", "BAREFLIGHT_NOTHING"]), None);
        let keyed = typed(&["bareflight", "run", "--api-key-env", "BAREFLIGHT_KEY"]);
        assert_eq!(of(&keyed, &["BAREFLIGHT_KEY"]), None, "it holds the key");
    }

    #[test]
    fn a_flag_is_named_only_as_a_whole() {
        assert!(names_flag("give `--rate` or nothing", "rate"));
        assert!(names_flag("--rate", "rate"));
        assert!(!names_flag("`--rate-of-change`", "rate"));
        assert!(!names_flag("the rate", "rate"));
    }

    #[test]
    fn words_that_name_a_flag_are_told_with_the_variable_that_set_it() {
        let set = [("requests", "BAREFLIGHT_REQUESTS".to_owned())];
        let told = behind("`--requests 0` sends nothing", &set).expect("it is named");
        assert_eq!(told, "`--requests` is set by the variable `BAREFLIGHT_REQUESTS`");
        assert_eq!(behind("`--rate 0` sends nothing", &set), None);
    }
}
