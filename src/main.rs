//! parse → resolve → run → exit code.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context, Result};
use bareflight::cli::exit::Exit;
use bareflight::cli::origin::{Origins, merge};
use bareflight::cli::resolve::{Resolved, resolve};
use bareflight::cli::typed::{Cli, Command, RunArgs, Settings};
use bareflight::cli::{dry_run, run};
use bareflight::experiment::{artefacts, preflight};
use bareflight::report::{summary_json, table};
use clap::{ArgMatches, CommandFactory, FromArgMatches};

type Coded<T> = Result<T, (Exit, anyhow::Error)>;

fn main() -> ExitCode {
    match dispatch() {
        Ok(exit) => exit.into(),
        Err((exit, error)) => {
            eprintln!("bareflight: {error:#}");
            exit.into()
        }
    }
}

fn dispatch() -> Coded<Exit> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.exit())?;
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    match cli.command {
        Command::Run(arguments) => {
            let (resolved, _) = resolved(&arguments, typed)?;
            with_engine_threads(&resolved)?;
            run::run(&resolved)
        }
        Command::Plan(arguments) => {
            let (resolved, origins) = resolved(&arguments, typed)?;
            let ready = preflight::prepare(&resolved)
                .map_err(|error| (Exit::Preflight, anyhow::Error::new(error)))?;
            let text = dry_run::render(&resolved, &origins, &ready).map_err(failure)?;
            run::print(&text).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::Ok)
        }
        Command::Report { directory } => {
            let outcome = artefacts::read_back(&directory)
                .map_err(|error| (Exit::Usage, anyhow::Error::new(error)))?;
            let shown = artefacts::write_reports(&outcome).map_err(failure)?;
            run::print(&table::render(&shown)).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::of(&outcome))
        }
        Command::Schema => {
            run::print(summary_json::SUMMARY_SCHEMA).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::Ok)
        }
    }
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}

fn usage(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Usage, error.into())
}

/// Flags before environment before file before defaults.
fn resolved(arguments: &RunArgs, matches: &ArgMatches) -> Coded<(Resolved, Origins)> {
    let file = match &arguments.config {
        None => Settings::default(),
        Some(path) => fs::read_to_string(path)
            .context("it cannot be read")
            .and_then(|text| toml::from_str(&text).context("it is not a configuration"))
            .with_context(|| format!("configuration file `{}`", path.display()))
            .map_err(usage)?,
    };
    let (settings, origins) = merge(&arguments.settings, &file, matches).map_err(usage)?;
    Ok((resolve(&settings).map_err(usage)?, origins))
}

/// The embedded engine's arithmetic reads its number of threads from the environment, once, before it starts. A process
/// cannot safely change its own environment, so it starts itself again with the one it needs.
fn with_engine_threads(resolved: &Resolved) -> Coded<()> {
    const DONE: &str = "BAREFLIGHT_THREADS_SET";
    if !resolved.target.starts_with("local:") || std::env::var_os(DONE).is_some() {
        return Ok(());
    }
    let threads = resolved
        .engine
        .threads
        .map_or_else(bareflight_engine::default_threads, |threads| threads as usize);
    let program =
        std::env::current_exe().context("this program cannot find itself").map_err(failure)?;
    let error = Process::new(program)
        .args(std::env::args_os().skip(1))
        .envs(bareflight_engine::thread_environment(threads))
        .env(DONE, "1")
        .exec();
    Err(failure(anyhow::Error::new(error).context("this program cannot start itself again")))
}
