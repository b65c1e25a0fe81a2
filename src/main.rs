//! Entry point: parses arguments, runs the command, returns its exit code.

use std::process::ExitCode;
use std::slice;

use bareflight::cli::configuration::resolve_run;
use bareflight::cli::engine_log::Destination;
use bareflight::cli::exit::{Coded, Exit};
use bareflight::cli::typed::{Cli, Command, Document};
use bareflight::cli::{
    cells, compare, doctor, dry_run, engine_log, engine_threads, inspect, ladder, load_number,
    mpi_rank, report as report_command, run, search, serve, shell, translate, workload,
};
use bareflight::console;
use bareflight::experiment::preflight;
use bareflight::report::{self, comparison, summary_json};
use clap::FromArgMatches;

fn main() -> ExitCode {
    let exit = dispatch().unwrap_or_else(|(exit, error)| {
        console::print_notice(format_args!("{error:#}"));
        exit
    });
    match exit {
        Exit::Failure | Exit::Preflight => engine_log::show_last_lines(),
        _ => {}
    }
    exit.end_process()
}

fn dispatch() -> Coded<Exit> {
    let mut program = serve::hide_run_flags(Cli::clap_command());
    let typed = load_number::join_negative_lists(std::env::args_os());
    let matches = program.try_get_matches_from_mut(typed).unwrap_or_else(|error| error.exit());
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.exit())?;
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    match cli.command {
        Command::Run(arguments) => {
            let resume = arguments.resume.as_deref();
            let mut resolved = match resume {
                Some(folder) => cells::resumed(folder, &arguments, typed)?,
                None => resolve_run(&arguments.run, typed)?.0,
            };
            if let Some(exit) = mpi_rank::run_worker_rank(&resolved)? {
                return Ok(exit);
            }
            engine_threads::ensure(slice::from_mut(&mut resolved))?;
            engine_log::set_up(slice::from_mut(&mut resolved), Destination::RunDirectory)?;
            run::run(resolved, resume)
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
        Command::Report(arguments) => report_command::run(&arguments),
        Command::Import(arguments) => report_command::run_import(&arguments),
        Command::Serve(arguments) => serve::serve(&arguments, &program, typed),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Workload(arguments) => workload::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments, typed),
        Command::Ladder(arguments) => ladder::run(&arguments, typed),
        Command::Completions { shell } => shell::complete(program, shell),
        Command::Man { folder } => shell::write_manual(program, &folder),
        Command::Translate(arguments) => translate::run(&arguments),
        Command::Search(arguments) => search::run(&arguments, typed),
        Command::Schema { of } => {
            let schema = match of {
                Document::Summary => summary_json::SUMMARY_SCHEMA,
                Document::Comparison => comparison::json::COMPARISON_SCHEMA,
                Document::Ladder => report::ladder::json::LADDER_SCHEMA,
                Document::Search => report::search::json::SEARCH_SCHEMA,
            };
            run::print(schema).map_err(|error| (Exit::Failure, error))?;
            Ok(Exit::Ok)
        }
    }
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}
