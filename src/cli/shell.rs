//! What a shell and `man` know of this program: completions and manual pages, generated from its flags.

use std::io;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::exit::{Coded, Exit};
use crate::cli::{help, run};

const NAME: &str = "bareflight";

/// Prints the completions of a shell.
///
/// # Errors
/// When nobody takes the output.
pub fn complete(program: &Command, shell: Shell) -> Coded<Exit> {
    let mut script = Vec::new();
    let mut program = completed(program);
    clap_complete::generate(shell, &mut program, NAME, &mut script);
    let script = String::from_utf8_lossy(&script);
    run::print(&script).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

/// The program with what may be typed alone: no flag that a command refuses, and what can be asked of `help`.
fn completed(program: &Command) -> Command {
    let topics: Vec<&'static str> =
        help::names(program).iter().map(|name| for_good(name)).collect();
    without_hidden(program).mut_subcommand("help", |help| {
        help.mut_arg("words", |words| words.value_parser(PossibleValuesParser::new(topics)))
    })
}

/// Names of a command live as long as the program, which ends when they have been printed.
fn for_good(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

fn without_hidden(command: &Command) -> Command {
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    // A command that has parsed something has its own of these flags already.
    let has = |name: &str| command.get_arguments().any(|flag| flag.get_id() == name);
    let shown = Command::new(for_good(command.get_name()))
        .disable_help_flag(has("help"))
        .disable_version_flag(has("version"))
        .disable_help_subcommand(command.is_disable_help_subcommand_set())
        .args(flags.cloned())
        .subcommands(commands.map(without_hidden));
    let shown = match command.get_version() {
        Some(version) => shown.version(for_good(version)),
        None => shown,
    };
    match command.get_about() {
        Some(about) => shown.about(about.clone()),
        None => shown,
    }
}

/// Writes one manual page for the program and one for each command into a folder.
///
/// # Errors
/// When it cannot be written to.
pub fn write_manual(program: Command, folder: &Path) -> Coded<Exit> {
    write_pages(program, folder)
        .with_context(|| format!("manual pages cannot be written to `{}`", folder.display()))
        .map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

fn write_pages(program: Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut program = program.disable_help_subcommand(true);
    program.build();
    write_page(&program, folder)
}

fn write_page(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_page(below, folder)?;
    }
    let page = Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let text = match help::usage_of(command.get_name()) {
        Some(usage) => with_synopsis(&text, usage),
        None => text,
    };
    std::fs::write(folder.join(page.get_filename()), text)
}

/// The page with this synopsis: a list of all the flags of a command that measures would fill a screen, and says nothing.
fn with_synopsis(page: &str, usage: &str) -> String {
    const BEGINS: &str = ".SH SYNOPSIS\n";
    let Some((before, rest)) = page.split_once(BEGINS) else { return page.to_owned() };
    let Some((_, after)) = rest.split_once(".SH ") else { return page.to_owned() };
    let usage = usage.replace('-', "\\-");
    format!("{before}{BEGINS}{usage}\n.SH {after}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::serve::hide_run_flags;
    use crate::cli::typed::Cli;

    /// What bash offers, as the script lists it for a command.
    fn script_of(command: &str) -> String {
        let mut script = Vec::new();
        let mut program = completed(&hide_run_flags(Cli::clap_command()));
        clap_complete::generate(Shell::Bash, &mut program, NAME, &mut script);
        let script = String::from_utf8(script).expect("text");
        let begin = format!("bareflight__subcmd__{command})\n            opts=\"");
        let start =
            script.find(&begin).unwrap_or_else(|| panic!("{begin} in {script}")) + begin.len();
        script[start..].lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_shell_offers_no_flag_that_a_command_refuses() {
        let serve = script_of("serve");
        assert!(serve.contains("--grpc-port") && !serve.contains("--rate "), "{serve}");
        assert!(script_of("run").contains("--rate "));
    }

    #[test]
    fn a_shell_offers_the_topics_of_help() {
        let help = script_of("help");
        assert!(help.contains("scenarios") && help.contains("run"), "{help}");
    }
}
