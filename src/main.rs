//! Entry point: parses arguments, runs the command, returns its exit code.

use std::process::ExitCode;
use std::slice;

use bareflight::cli::configuration::resolve_run;
use bareflight::cli::exit::{Coded, Exit};
use bareflight::cli::typed::{Cli, Command, Document};
use bareflight::cli::{
    compare, doctor, dry_run, engine_threads, inspect, ladder, load_number, mpi_rank, run, serve,
    workload,
};
use bareflight::console;
use bareflight::experiment::{artefacts, preflight};
use bareflight::report::{self, comparison, summary_json, table};
use bareflight::store::read_back::read_back;
use clap::FromArgMatches;

fn main() -> ExitCode {
    match dispatch() {
        Ok(exit) => exit.into(),
        Err((exit, error)) => {
            console::print_notice(format_args!("{error:#}"));
            exit.into()
        }
    }
}

fn dispatch() -> Coded<Exit> {
    let mut program = serve::hide_run_flags(Cli::clap_command());
    let typed = load_number::join_negative_lists(std::env::args_os());
    let matches = program.try_get_matches_from_mut(typed).unwrap_or_else(|error| error.exit());
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.exit())?;
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    match cli.command {
        Command::Run(arguments) => {
            let (mut resolved, _) = resolve_run(&arguments, typed)?;
            if let Some(exit) = mpi_rank::run_worker_rank(&resolved)? {
                return Ok(exit);
            }
            engine_threads::ensure(slice::from_mut(&mut resolved))?;
            run::run(resolved)
        }
        Command::Plan(arguments) => {
            let (mut resolved, origins) = resolve_run(&arguments, typed)?;
            engine_threads::ensure(slice::from_mut(&mut resolved))?;
            let ready = preflight::prepare(&mut resolved)
                .map_err(|error| (Exit::Preflight, anyhow::Error::new(error)))?;
            let text = dry_run::render(&resolved, &origins, &ready).map_err(failure)?;
            run::print(&text).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::Ok)
        }
        Command::Report { directory } => {
            let run =
                read_back(&directory).map_err(|error| (Exit::Usage, anyhow::Error::new(error)))?;
            let shown = artefacts::write_reports(&run).map_err(failure)?;
            run::print(&table::render(&shown)).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::of(&run))
        }
        Command::Serve(arguments) => serve::serve(&arguments, &program, typed),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Workload(arguments) => workload::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments, typed),
        Command::Ladder(arguments) => ladder::run(&arguments, typed),
        Command::Schema { of } => {
            let schema = match of {
                Document::Summary => summary_json::SUMMARY_SCHEMA,
                Document::Comparison => comparison::json::COMPARISON_SCHEMA,
                Document::Ladder => report::ladder::json::LADDER_SCHEMA,
            };
            run::print(schema).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::Ok)
        }
    }
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}
