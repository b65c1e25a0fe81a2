//! The program as a function: parses arguments, runs the command, returns its exit code.

use std::io;
use std::slice;

use clap::{ArgMatches, FromArgMatches};

use crate::cli::engine_log::{self, Destination};
use crate::cli::exit::{Coded, Exit};
use crate::cli::mpi_rank::Part;
use crate::cli::resolve::resolve;
use crate::cli::typed::{Cli, Command, Document};
use crate::cli::{
    adapter, below_zero, cells, compare, doctor, dry_run, engine_threads, environment, explain,
    help, init, inspect, ladder, launched, mpi_rank, other_python, report as report_command, run,
    search, serve, shell, spelling, suggestion, translate, upload, workers, workload,
};
use crate::console;
use crate::console::{columns, streams};
use crate::experiment::preflight;
use crate::host;
use crate::report::{self, comparison, summary_json};
use crate::settings::Resolved;
use crate::targets::mpi_job::MpiJob;

/// Runs what was typed, and says on standard error why it failed.
pub fn main() -> Exit {
    if MpiJob::of_this_process().is_some_and(|job| job.rank > 0) {
        console::be_silent(true);
    }
    let exit = dispatch().unwrap_or_else(|(exit, error)| {
        mpi_rank::let_rank_0_speak();
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
    if let Some(exit) = other_python::play_as_asked()? {
        return Ok(exit);
    }
    columns::fit_results_to_terminal();
    let words = host::arguments();
    let program = serve::hide_run_flags(Cli::clap_command());
    let respelled =
        spelling::respell(words, &program).map_err(|error| (Exit::Usage, error.into()))?;
    let mut program = help::shorten(program, &respelled.words);
    let typed = below_zero::tie_to_flags(respelled.words);
    let parsed = environment::parse(&mut program, typed.clone())
        .map_err(|error| suggestion::with_remedy(error, &typed))
        .and_then(|matches| Cli::from_arg_matches(&matches).map(|cli| (cli, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => return print_parser_message(&message),
    };
    let typed = matches.subcommand().map_or(&matches, |(_, typed)| typed);
    let is_told = is_quiet(typed) || engine_threads::has_started_again();
    let names = std::env::vars_os().map(|(name, _)| name);
    if let Some(told) = environment::unread(&program, typed, names)
        && !is_told
    {
        console::print_notice(format_args!("{told}"));
    }
    if !respelled.told.is_empty() && !is_told {
        console::print_notice(format_args!("read {}", respelled.told.join(", ")));
    }
    execute(cli.command, program, typed)
        .map_err(|(exit, error)| (exit, environment::with_variables(error, &matches)))
}

/// Runs one command.
fn execute(command: Command, program: clap::Command, typed: &ArgMatches) -> Coded<Exit> {
    match command {
        Command::Run(arguments) => {
            let resume = arguments.resume.as_deref();
            let (settings, _) = other_python::read_settings(&arguments.run, typed)?;
            let settings = match resume {
                Some(folder) => cells::resumed(folder, &arguments, typed)?,
                None => settings,
            };
            let usage = |error: anyhow::Error| (Exit::Usage, error);
            let check =
                |resolved: &Resolved| workers::check(resolved, resume.is_some()).map_err(usage);
            let key = workers::key(&arguments).map_err(usage)?;
            if settings.launch.launch.is_some() {
                if settings.workers.is_some() || arguments.workers_listen.is_some() {
                    check(&resolve(&settings).map_err(|error| usage(error.into()))?)?;
                }
                return launched::run(&settings, resume);
            }
            let mut resolved = resolve(&settings).map_err(|error| usage(error.into()))?;
            let leader = arguments.worker_of.as_deref();
            if let Some(exit) = workers::work_as_asked(&resolved, leader, key.as_ref())? {
                return Ok(exit);
            }
            check(&resolved)?;
            let mut calls = workers::listening(&arguments, &resolved, key).map_err(usage)?;
            match mpi_rank::part_of(&mut resolved, check)? {
                Part::Ended(exit) => return Ok(exit),
                Part::Drives(None) => {}
                Part::Drives(ranks) => calls = ranks,
            }
            engine_threads::ensure(slice::from_mut(&mut resolved))?;
            engine_log::set_up(slice::from_mut(&mut resolved), Destination::RunDirectory)?;
            run::run(resolved, resume, calls)
        }
        Command::Plan(arguments) => {
            let (settings, origins) = other_python::read_settings(&arguments, typed)?;
            if settings.launch.launch.is_some() {
                return launched::show_plan(&settings, &origins);
            }
            let mut resolved = resolve(&settings).map_err(|error| (Exit::Usage, error.into()))?;
            workers::check(&resolved, false).map_err(|error| (Exit::Usage, error))?;
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
        Command::Completions { shell } => shell::complete(&program, shell),
        Command::Man { folder } => shell::write_manual(program, &folder),
        Command::Upload(arguments) => upload::run(&arguments),
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
    if console::is_silent() {
        if !message.use_stderr() {
            return Ok(Exit::Ok);
        }
        mpi_rank::let_rank_0_speak();
    }
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
