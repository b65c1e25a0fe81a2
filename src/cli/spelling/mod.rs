//! Respelling of a command line: flags as other benchmarks write them become ours before they are parsed, and are told.

mod bare;
mod lists;
mod table;
mod target;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, Command};

pub use target::{has_kind, with_kind};

use crate::cli::typed::MEASURING;
use crate::console::shell_word::quoted;
use table::{ALIASES, Alias, Asked, Means};

/// A command line in our own words.
#[derive(Debug, PartialEq, Eq)]
pub struct Respelled {
    /// What is to be parsed.
    pub words: Vec<OsString>,
    /// What was read as something else, each as a sentence's part: `--request-rate 4` as `--rate 4`.
    pub told: Vec<String>,
}

/// A spelling that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpellingError {
    /// One setting under two names.
    #[error("`{first}` and `{second}` are the same setting, `--{ours}`: give it once")]
    Twice {
        /// As it was typed first.
        first: String,
        /// As it was typed again.
        second: String,
        /// Its name here.
        ours: String,
    },
    /// An alias at the end of the line.
    #[error("`{0}` has no value: write `{0} VALUE`")]
    NoValue(String),
    /// A value of another benchmark without a counterpart.
    #[error("`{flag} {value}` has no counterpart here: {remedy}")]
    NoCounterpart {
        /// As it was typed.
        flag: String,
        /// Its value.
        value: String,
        /// What can be given.
        remedy: String,
    },
    /// Two targets without a flag.
    #[error(
        "`{command}` measures one target, and `{first}` and `{second}` are two: `bareflight compare {} {}` measures them in turns",
        quoted(.first, ""), quoted(.second, "")
    )]
    TwoTargets {
        /// What was asked for.
        command: String,
        /// As it was typed first.
        first: String,
        /// As it was typed again.
        second: String,
    },
    /// A word that is the name of a file too.
    #[error("`{word}` is a target and a name in this folder: write `--target {}`, or `./{word}` for what lies here", quoted(.word, ""))]
    TargetOrPath {
        /// As it was typed.
        word: String,
    },
}

/// Reads aliases of the commands that measure, lists with spaces, names with underscores, and targets without a kind or without
/// their flag. A target alone is to be measured.
///
/// # Errors
/// When one setting has two names, or an alias makes no sense.
pub fn respell(
    typed: impl IntoIterator<Item = OsString>,
    program: &Command,
) -> Result<Respelled, SpellingError> {
    let mut typed: Vec<OsString> = typed.into_iter().collect();
    let is_command =
        |word: &OsString| word.to_str().is_some_and(|name| program.find_subcommand(name).is_some());
    if typed.get(1).is_some_and(|word| !is_command(word) && is_target(word)) {
        typed.insert(1, "run".into());
    }
    let name = typed.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    let Some(command) =
        program.find_subcommand(name).filter(|it| MEASURING.contains(&it.get_name()))
    else {
        return Ok(Respelled { words: typed, told: Vec::new() });
    };
    let end = typed.iter().position(|word| word == "--").unwrap_or(typed.len());
    let (spoken, rest) = typed.split_at(end);
    let mut reader = Reader::new(command, spoken);
    reader.read(&spoken[2..])?;
    let mut words: Vec<OsString> = spoken[..2].to_vec();
    words.extend(lists::join(reader.words, command));
    words.extend_from_slice(rest);
    Ok(Respelled { words, told: reader.told })
}

/// Adds the aliases that stand for one flag of ours with the same value to the help of that flag.
#[must_use]
pub fn show_aliases(command: Command) -> Command {
    ALIASES.iter().fold(command, |command, alias| {
        let Means::Same(ours) = alias.means else { return command };
        let Some(id) = id_of(&command, ours) else { return command };
        let names = alias.names.iter().filter(|name| !is_known(&command, name)).copied();
        let names: Vec<&'static str> = names.collect();
        command.mut_arg(id, |flag| flag.visible_aliases(names))
    })
}

fn is_target(word: &OsString) -> bool {
    word.to_str().is_some_and(bare::is_target)
}

fn id_of(command: &Command, long: &str) -> Option<String> {
    let found = command.get_arguments().find(|flag| flag.get_long() == Some(long))?;
    Some(found.get_id().to_string())
}

/// Whether a command has a flag of that name, or a flag that is called so too.
fn is_known(command: &Command, name: &str) -> bool {
    command.get_arguments().any(|flag| {
        let also = flag.get_all_aliases().unwrap_or_default();
        flag.get_long() == Some(name) || also.contains(&name)
    })
}

struct Reader<'a> {
    command: &'a Command,
    asked: Asked,
    words: Vec<OsString>,
    told: Vec<String>,
    /// For each flag of ours, how it was spelt first.
    spelt: BTreeMap<String, String>,
    /// A target without a flag.
    bare_target: Option<String>,
}

impl<'a> Reader<'a> {
    fn new(command: &'a Command, typed: &[OsString]) -> Self {
        let (words, told) = (Vec::new(), Vec::new());
        let asked = Asked::of(typed);
        Self { command, asked, words, told, spelt: BTreeMap::new(), bare_target: None }
    }

    fn read(&mut self, typed: &[OsString]) -> Result<(), SpellingError> {
        let mut typed = typed.iter().cloned().peekable();
        while let Some(word) = typed.next() {
            let Some(flag) = word.to_str().and_then(Flag::of) else {
                self.take_word(word)?;
                continue;
            };
            let mut value = || {
                let next = || typed.next().map(|value| value.to_string_lossy().into_owned());
                flag.value.clone().or_else(next).ok_or(SpellingError::NoValue(flag.typed.clone()))
            };
            let plain = flag.name.replace('_', "-");
            let owned = self.command.get_arguments().any(|it| it.get_long() == Some(&flag.name));
            if owned {
                self.note(&flag.name, &flag.typed)?;
                match flag.name.as_str() {
                    "target" => self.take_target(&flag, &value()?),
                    _ => self.words.push(word),
                }
            } else if let Some(alias) = Alias::find(&plain) {
                self.take_alias(alias, &flag, value)?;
            } else if !is_known(self.command, &flag.name) && is_known(self.command, &plain) {
                self.note(&plain, &flag.typed)?;
                self.told.push(format!("`{}` as `--{plain}`", flag.typed));
                let value = flag.value.map_or_else(String::new, |value| format!("={value}"));
                self.words.push(format!("--{plain}{value}").into());
            } else {
                self.words.push(word);
            }
        }
        Ok(())
    }

    /// A short flag, the value of a flag, or a word alone.
    fn take_word(&mut self, word: OsString) -> Result<(), SpellingError> {
        let before = self.words.last().and_then(|it| it.to_str()).unwrap_or_default();
        let is_value = bare::takes_the_next(before, self.command);
        if let Some(target) = word.to_str().filter(|word| !is_value && bare::is_target(word)) {
            return self.take_bare_target(target);
        }
        self.words.push(word);
        Ok(())
    }

    fn take_bare_target(&mut self, name: &str) -> Result<(), SpellingError> {
        if Path::new(name).exists() {
            return Err(SpellingError::TargetOrPath { word: name.to_owned() });
        }
        if self.takes_one_target()
            && let Some(first) = &self.bare_target
        {
            return Err(SpellingError::TwoTargets {
                command: self.command.get_name().to_owned(),
                first: target::shown(first).to_owned(),
                second: target::shown(name).to_owned(),
            });
        }
        self.note("target", target::shown(name))?;
        let whole = with_kind(name);
        self.told.push(format!(
            "`{}` as `--target {}`",
            target::shown(name),
            target::shown(&whole)
        ));
        self.words.extend(["--target".into(), whole.into()]);
        self.bare_target = Some(name.to_owned());
        Ok(())
    }

    fn take_target(&mut self, flag: &Flag, name: &str) {
        let whole = with_kind(name);
        if whole != name {
            self.told.push(format!("`{} {}` as `openai:`", flag.typed, target::shown(name)));
        }
        self.words.extend(["--target".into(), whole.into()]);
    }

    fn take_alias(
        &mut self,
        alias: &Alias,
        flag: &Flag,
        mut value: impl FnMut() -> Result<String, SpellingError>,
    ) -> Result<(), SpellingError> {
        let (typed, ours) = match alias.means {
            Means::Same(ours) => {
                let value = value()?;
                (format!("{} {value}", flag.typed), vec![format!("--{ours}"), value])
            }
            Means::Switch(ours) => (flag.typed.clone(), vec![format!("--{ours}")]),
            Means::Words(words) => {
                let value = value()?;
                (format!("{} {}", flag.typed, target::shown(&value)), words(&value, self.asked))
            }
            Means::Converted(convert) => {
                let value = value()?;
                let ours = convert(&value, self.asked).map_err(|remedy| {
                    let (flag, value) = (flag.typed.clone(), value.clone());
                    SpellingError::NoCounterpart { flag, value, remedy }
                })?;
                (format!("{} {}", flag.typed, target::shown(&value)), ours)
            }
        };
        if let Some(name) = ours.first() {
            let name = name.trim_start_matches("--");
            self.note(name.split('=').next().unwrap_or(name), &flag.typed)?;
        }
        self.told.push(match ours.as_slice() {
            [] => format!("`{typed}` as said by the flags beside it"),
            ours => {
                let shown: Vec<&str> = ours.iter().map(|word| target::shown(word)).collect();
                format!("`{typed}` as `{}`", shown.join(" "))
            }
        });
        self.words.extend(ours.into_iter().map(OsString::from));
        Ok(())
    }

    /// Remembers how a flag of ours was spelt.
    fn note(&mut self, ours: &str, typed: &str) -> Result<(), SpellingError> {
        // Each side of a comparison may be spelt as it likes.
        let sides = ours == "target" && !self.takes_one_target();
        let first = self.spelt.entry(ours.to_owned()).or_insert_with(|| typed.to_owned());
        if first == typed || sides {
            return Ok(());
        }
        let (first, second, ours) = (first.clone(), typed.to_owned(), ours.to_owned());
        Err(SpellingError::Twice { first, second, ours })
    }

    fn takes_one_target(&self) -> bool {
        let mut flags = self.command.get_arguments();
        let flag = flags.find(|flag| flag.get_long() == Some("target"));
        !flag.is_some_and(|flag| matches!(flag.get_action(), ArgAction::Append))
    }
}

/// One flag as it was typed.
struct Flag {
    /// With its dashes, without its value.
    typed: String,
    /// Without dashes.
    name: String,
    /// Behind `=`, or tied to a short flag.
    value: Option<String>,
}

impl Flag {
    fn of(word: &str) -> Option<Self> {
        if let Some(value) = word.strip_prefix("-u") {
            let value = Some(value.trim_start_matches('=').to_owned()).filter(|it| !it.is_empty());
            return Some(Self { typed: "-u".to_owned(), name: "url".to_owned(), value });
        }
        let long = word.strip_prefix("--")?;
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        Some(Self { typed: format!("--{name}"), name: name.to_owned(), value })
    }
}

#[cfg(test)]
mod tests;
