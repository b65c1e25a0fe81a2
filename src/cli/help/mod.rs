//! Help in three depths: one screen (`-h`), every flag (`--help`), and topics (`bareflight help TOPIC`).

mod effects;
mod screens;
mod topics;
mod wrapped;

use std::ffi::OsString;

use anyhow::anyhow;
use clap::{Args, Command};

use crate::cli::exit::{Coded, Exit};
use crate::cli::run;
pub use screens::usage_of;
use topics::Topic;
pub use wrapped::{Line, Page};

/// What is to be explained.
#[derive(Debug, Args)]
pub struct HelpArgs {
    /// A topic (`targets`, `scenarios`, `metrics`, `files`, `exit-codes`), or a command
    #[arg(value_name = "TOPIC|COMMAND")]
    pub words: Vec<String>,
}

/// Puts what a flag changes in the measurement first, where `--help` lists it.
#[must_use]
pub fn with_effects(command: Command) -> Command {
    command.mut_args(|flag| {
        let (effect, help) = (effects::of(flag.get_id().as_str()), flag.get_help());
        match (effect, help) {
            (Some(effect), Some(help)) => {
                let whole = format!("{effect}. {help}");
                flag.long_help(whole)
            }
            _ => flag,
        }
    })
}

/// Puts one screen in place of the whole help where `-h` was typed, or nothing at all.
#[must_use]
pub fn shorten(program: Command, typed: &[OsString]) -> Command {
    let mut spoken = typed.iter().skip(1).take_while(|word| *word != "--").peekable();
    match spoken.peek().and_then(|word| word.to_str()) {
        None | Some("-h") => {
            let screen = screens::of_program(&program);
            program.override_help(screen)
        }
        Some(name) if spoken.clone().any(|word| word == "-h") => {
            let name = name.to_owned();
            let screen = program.find_subcommand(&name).and_then(screens::of_command);
            match screen {
                Some(screen) => program.mut_subcommand(name, |it| it.override_help(screen)),
                None => program,
            }
        }
        Some(_) => program,
    }
}

/// Prints a topic, or the help of a command.
///
/// # Errors
/// When there is neither.
pub fn show(arguments: &HelpArgs, mut program: Command) -> Coded<Exit> {
    let text = match arguments.words.as_slice() {
        [] => program.render_long_help().to_string(),
        [topic] if Topic::named(topic).is_some() => {
            let topic = Topic::named(topic).unwrap_or(Topic::Targets);
            Page::for_terminal().render(&topic.lines())
        }
        words => of_command(program, words).map_err(|error| (Exit::Usage, error))?,
    };
    run::print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

fn of_command(mut program: Command, words: &[String]) -> anyhow::Result<String> {
    program.build();
    let mut command = &mut program;
    for word in words {
        let known = names(command);
        command = command.find_subcommand_mut(word).ok_or_else(|| unknown(word, &known))?;
    }
    Ok(command.render_long_help().to_string())
}

/// What can be asked of `help`: commands, and topics.
pub fn names(command: &Command) -> Vec<String> {
    let commands = command.get_subcommands().map(|it| it.get_name().to_owned());
    commands.chain(Topic::ALL.map(|topic| topic.name().to_owned())).collect()
}

fn unknown(word: &str, known: &[String]) -> anyhow::Error {
    let alike = |name: &&String| strsim::jaro_winkler(word, name) >= 0.8;
    let meant = known.iter().find(alike).map(|name| format!("did you mean `{name}`? "));
    anyhow!(
        "there is no topic or command `{word}`: {}topics are {}",
        meant.unwrap_or_default(),
        Topic::ALL.map(|topic| format!("`{}`", topic.name())).join(", ")
    )
}

#[cfg(test)]
mod tests;
