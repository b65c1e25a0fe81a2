//! parse → resolve → run → exit code.

use std::process::ExitCode;

use bareflight::cli::exit::{Coded, Exit};
use bareflight::cli::gather::gather;
use bareflight::cli::typed::{Cli, Command};
use bareflight::cli::{doctor, dry_run, engine_threads, inspect, run, serve};
use bareflight::experiment::{artefacts, preflight};
use bareflight::report::{summary_json, table};
use clap::{CommandFactory, FromArgMatches};

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
    let mut program = serve::hide_what_is_for_runs(Cli::command());
    let matches = program.get_matches_mut();
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.exit())?;
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    match cli.command {
        Command::Run(arguments) => {
            let (resolved, _) = gather(&arguments, typed)?;
            engine_threads::ensure(&resolved.target, resolved.engine.threads)?;
            run::run(&resolved)
        }
        Command::Plan(arguments) => {
            let (resolved, origins) = gather(&arguments, typed)?;
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
        Command::Serve(arguments) => serve::serve(&arguments, &program, typed),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Schema => {
            run::print(summary_json::SUMMARY_SCHEMA).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::Ok)
        }
    }
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}
