//! The program as a function: parses arguments, runs the command, returns its exit code.

use std::io;
use std::slice;

use clap::{ArgMatches, FromArgMatches};

use crate::cli::configuration::read_settings;
use crate::cli::engine_log::{self, Destination};
use crate::cli::exit::{Coded, Exit};
use crate::cli::resolve::resolve;
use crate::cli::typed::{Cli, Command, Document};
use crate::cli::{
    adapter, cells, compare, doctor, dry_run, engine_threads, explain, help, init, inspect, ladder,
    launched, load_number, mpi_rank, report as report_command, run, search, serve, shell, spelling,
    suggestion, translate, workers, workload,
};
use crate::console;
use crate::console::streams;
use crate::experiment::preflight;
use crate::host;
use crate::report::{self, comparison, summary_json};
use crate::settings::Resolved;

/// Runs what was typed, and says on standard error why it failed.
pub fn main() -> Exit {
    let exit = dispatch().unwrap_or_else(|(exit, error)| {
        console::print_notice(format_args!("{}", console::in_one_line(&error)));
        exit
    });
    match exit {
        Exit::Failure | Exit::Preflight => engine_log::show_last_lines(),
        _ => {}
    }
    exit
}

fn dispatch() -> Coded<Exit> {
    let words = host::arguments();
    let mut program = help::shorten(serve::hide_run_flags(Cli::clap_command()), &words);
    let respelled =
        spelling::respell(words, &program).map_err(|error| (Exit::Usage, error.into()))?;
    let typed = load_number::join_negative_lists(respelled.words);
    let parsed = program
        .try_get_matches_from_mut(typed)
        .map_err(suggestion::with_remedy)
        .and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (cli, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => return print_parser_message(&message),
    };
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    if !respelled.told.is_empty() && !is_quiet(typed) {
        console::print_notice(format_args!("read {}", respelled.told.join(", ")));
    }
    match cli.command {
        Command::Run(arguments) => {
            let resume = arguments.resume.as_deref();
            let (settings, _) = read_settings(&arguments.run, typed)?;
            let settings = match resume {
                Some(folder) => cells::resumed(folder, &arguments, typed)?,
                None => settings,
            };
            let divided = |resolved: Resolved| {
                let resolved = Resolved { workers: arguments.workers, ..resolved };
                workers::check(&resolved, resume.is_some())
                    .map_err(|error| (Exit::Usage, error))?;
                Ok(resolved)
            };
            if settings.launch.launch.is_some() {
                if arguments.workers.is_some() {
                    divided(resolve(&settings).map_err(|error| (Exit::Usage, error.into()))?)?;
                }
                return launched::run(&settings, resume);
            }
            let resolved = resolve(&settings).map_err(|error| (Exit::Usage, error.into()))?;
            if let Some(exit) = workers::work_as_asked(&resolved)? {
                return Ok(exit);
            }
            let mut resolved = divided(resolved)?;
            if let Some(exit) = mpi_rank::run_worker_rank(&resolved)? {
                return Ok(exit);
            }
            engine_threads::ensure(slice::from_mut(&mut resolved))?;
            engine_log::set_up(slice::from_mut(&mut resolved), Destination::RunDirectory)?;
            run::run(resolved, resume)
        }
        Command::Plan(arguments) => {
            let (settings, origins) = read_settings(&arguments, typed)?;
            if settings.launch.launch.is_some() {
                return launched::show_plan(&settings, &origins);
            }
            let mut resolved = resolve(&settings).map_err(|error| (Exit::Usage, error.into()))?;
            engine_threads::ensure(slice::from_mut(&mut resolved))?;
            let ready = preflight::prepare(&mut resolved)
                .map_err(|error| (run::preflight_exit(&error), anyhow::Error::new(error)))?;
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
        Command::Adapter(arguments) => adapter::run(&arguments),
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

/// Help and version are results; everything else that the parser says is an error of usage.
fn print_parser_message(message: &clap::Error) -> Coded<Exit> {
    let printed = if host::is_held() && !message.use_stderr() {
        streams::results().write_all(message.render().to_string().as_bytes())
    } else {
        message.print()
    };
    // A reader that has closed its end early does not want it.
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failure(error)),
        _ if message.use_stderr() => Ok(Exit::Usage),
        _ => Ok(Exit::Ok),
    }
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}
