//! Entry point: parses arguments, runs the command, returns its exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::slice;

use bareflight::cli::configuration::resolve_run;
use bareflight::cli::engine_log::Destination;
use bareflight::cli::exit::{Coded, Exit};
use bareflight::cli::typed::{Cli, Command, Document};
use bareflight::cli::{
    compare, doctor, dry_run, engine_log, engine_threads, explain, help, init, inspect, ladder,
    load_number, mpi_rank, report as report_command, run, search, serve, shell, spelling,
    suggestion, translate, workload,
};
use bareflight::console;
use bareflight::experiment::preflight;
use bareflight::report::{self, comparison, summary_json};
use clap::{ArgMatches, FromArgMatches};

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
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut program = help::shorten(serve::hide_run_flags(Cli::clap_command()), &words);
    let respelled =
        spelling::respell(words, &program).map_err(|error| (Exit::Usage, error.into()))?;
    let typed = load_number::join_negative_lists(respelled.words);
    let matches = program
        .try_get_matches_from_mut(typed)
        .unwrap_or_else(|error| suggestion::with_remedy(error).exit());
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.exit())?;
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    if !respelled.told.is_empty() && !is_quiet(typed) {
        console::print_notice(format_args!("read {}", respelled.told.join(", ")));
    }
    match cli.command {
        Command::Run(arguments) => {
            let (mut resolved, _) = resolve_run(&arguments, typed)?;
            if let Some(exit) = mpi_rank::run_worker_rank(&resolved)? {
                return Ok(exit);
            }
            engine_threads::ensure(slice::from_mut(&mut resolved))?;
            engine_log::set_up(slice::from_mut(&mut resolved), Destination::RunDirectory)?;
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
        Command::Init(arguments) => init::init(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Help(arguments) => help::show(&arguments, program),
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

fn is_quiet(typed: &ArgMatches) -> bool {
    matches!(typed.try_get_one::<bool>("quiet"), Ok(Some(true)))
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}
