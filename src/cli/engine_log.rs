//! Log of an executor: its level, and that its lines do not mix with results.

use std::path::Path;

use anyhow::{Context, anyhow};

use crate::cli::exit::{Coded, Exit};
use crate::console;
use crate::console::streams;
use crate::ffi::environment;
use crate::settings::Resolved;
use crate::settings::engine::LogLevel;
use crate::targets::registry;

/// What an executor reads its level from, when it first writes a line.
const VARIABLE: &str = "TLLM_LOG_LEVEL";
const DEFAULT_LEVEL: LogLevel = LogLevel::Warning;
const LINES_ON_FAILURE: usize = 12;

/// Where the lines of an executor go.
#[derive(Debug, Clone, Copy)]
pub enum Destination<'a> {
    /// A file of the run directory, once there is one.
    RunDirectory,
    /// This file.
    File(&'a Path),
    /// Standard error, of a process without a run directory.
    StandardError,
}

/// Sets the level and keeps the lines apart from results, where one of the sides has an executor. Must be called before any
/// other thread is started. The level that counts is written into the settings of those sides.
///
/// # Errors
/// When two sides want two levels of one process, or streams or the level cannot be set.
pub fn set_up(sides: &mut [Resolved], to: Destination<'_>) -> Coded<()> {
    if !sides.iter().any(|it| registry::engine_abilities_of(&it.target).writes_log) {
        return quiet_stub(sides);
    }
    set_level(sides)?;
    let separated = match to {
        Destination::RunDirectory => streams::capture_engine_log(),
        Destination::File(path) => {
            streams::capture_engine_log().and_then(|()| streams::keep_engine_log(path))
        }
        Destination::StandardError => streams::engine_log_to_standard_error(),
    };
    separated
        .context("the engine's log cannot be kept apart from results")
        .map_err(|error| (Exit::Failure, error))
}

/// Settles the level of the sides that have one.
fn set_level(sides: &mut [Resolved]) -> Coded<()> {
    let mut own: Vec<&mut Resolved> = sides.iter_mut().filter(|it| has_level(&it.target)).collect();
    if own.is_empty() {
        return Ok(());
    }
    let levels: Vec<Option<LogLevel>> = own.iter().map(|it| it.engine.log_level).collect();
    let level = level_of(&levels).map_err(|error| (Exit::Usage, error))?;
    if let Some(level) = set(level).map_err(|error| (Exit::Preflight, error))? {
        for it in &mut own {
            it.engine.log_level = Some(level);
        }
    }
    Ok(())
}

/// A server's client is calibrated against a stub with a simulated executor, whose log is of no interest.
fn quiet_stub(sides: &[Resolved]) -> Coded<()> {
    if !sides.iter().any(|side| registry::abilities_of(&side.target).server.is_some()) {
        return Ok(());
    }
    if environment::set(VARIABLE, LogLevel::Error.word()).is_ok() {
        return Ok(());
    }
    streams::engine_log_to_standard_error()
        .context("the log of the stub cannot be kept apart from results")
        .map_err(|error| (Exit::Failure, error))
}

/// Whether the log of the engine behind a target has a level that is set here.
fn has_level(target: &str) -> bool {
    registry::engine_abilities_of(target).executor_settings
}

/// The one level that was asked for; a logger belongs to the process.
fn level_of(levels: &[Option<LogLevel>]) -> anyhow::Result<Option<LogLevel>> {
    let mut asked = levels.iter().flatten();
    let first = asked.next().copied();
    match asked.find(|other| Some(**other) != first) {
        None => Ok(first),
        Some(other) => Err(anyhow!(
            "`--engine-log` is `{}` for one side and `{other}` for another, and their engines share the log of this process: \
             give one level",
            first.unwrap_or(DEFAULT_LEVEL)
        )),
    }
}

/// Sets the level that was asked for, else leaves the environment's, else sets the default. Returns the one that counts, where
/// it is a level that we know.
fn set(asked: Option<LogLevel>) -> anyhow::Result<Option<LogLevel>> {
    let there = std::env::var(VARIABLE).ok().filter(|level| !level.is_empty());
    match (asked, there) {
        (None, Some(there)) => Ok(LogLevel::of_word(&there)),
        (Some(level), Some(there)) if there == level.word() => Ok(Some(level)),
        (Some(level), _) => match environment::set(VARIABLE, level.word()) {
            Ok(()) => Ok(Some(level)),
            Err(why) => Err(anyhow!(
                "`--engine-log {level}` cannot be set ({why}): set {VARIABLE}={} instead",
                level.word()
            )),
        },
        (None, None) => {
            Ok(environment::set(VARIABLE, DEFAULT_LEVEL.word()).ok().map(|()| DEFAULT_LEVEL))
        }
    }
}

/// Shows the last lines of a log that was kept, after a failure.
pub fn show_last_lines() {
    let Some((path, lines)) = streams::last_engine_lines(LINES_ON_FAILURE) else { return };
    let place = path.map_or_else(String::new, |path| format!(" (`{}`)", path.display()));
    console::print_notice(format_args!(
        "last lines of the engine's log{place}:\n{}",
        lines.join("\n")
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_of_one_process_have_one_level() {
        use LogLevel::{Info, Trace};
        assert_eq!(level_of(&[None, Some(Info), Some(Info)]).expect("one"), Some(Info));
        assert_eq!(level_of(&[None, None]).expect("none"), None);
        let error = level_of(&[Some(Info), Some(Trace)]).expect_err("two").to_string();
        assert!(error.contains("`info`") && error.contains("`trace`"), "{error}");
    }
}
