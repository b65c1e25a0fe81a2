//! What a shell and `man` know of this program: completions and manual pages, generated from its flags.

use std::io;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

use crate::cli::exit::{Coded, Exit};
use crate::cli::run;

const NAME: &str = "bareflight";

/// Prints the completions of a shell.
///
/// # Errors
/// When nobody takes the output.
pub fn complete(mut program: Command, shell: Shell) -> Coded<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, NAME, &mut script);
    let script = String::from_utf8_lossy(&script);
    run::print(&script).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
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
    clap_mangen::generate_to(program.disable_help_subcommand(true), folder)
}
