//! `bareflight run`: measurement, report, exit code.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cli::cells;
use crate::cli::exit::Exit;
use crate::cli::report;
use crate::clock::Nanos;
use crate::console;
use crate::console::streams;
use crate::experiment::estimate::estimate;
use crate::experiment::preflight::{self, PreflightError};
use crate::experiment::sweep::{self, ExperimentError, Watch};
use crate::experiment::{artefacts, interrupt};
use crate::issue::phase::Stage;
use crate::issue::stop::Stop;
use crate::metrics::Summary;
use crate::report::progress::{Mode, Progress, Totals};
use crate::report::{PointReport, table};
use crate::settings::Resolved;
use crate::store::manifest::PointEntry;
use crate::store::run_directory::RunDirectory;
use crate::targets::{TargetError, TargetInfo};

/// Runs everything that was resolved.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(mut resolved: Resolved, resume: Option<&Path>) -> Result<Exit, (Exit, anyhow::Error)> {
    report::check_plots(&resolved.plots)?;
    let mut ready = preflight::prepare(&mut resolved)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    for warning in &ready.warnings {
        console::print_notice(format_args!("warning[{}]: {warning}", warning.about));
    }
    preflight::probe(&mut *ready.opening.target, &ready.plans)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    let stop = Stop::on_signals()
        .context("Ctrl-C cannot be handled")
        .map_err(|error| (Exit::Failure, error))?;
    interrupt::announce(&stop, resolved.drain);
    let settings = resolved
        .to_toml()
        .context("settings cannot be written as TOML")
        .map_err(|error| (Exit::Failure, error))?;
    if !resolved.quiet {
        console::print_notice(format_args!("{}", estimate(&ready.plans).sentence()));
    }
    if resume.is_some() || resolved.has_cells() {
        return cells::run(&resolved, &settings, ready, resume, &stop);
    }
    let mut screen = Screen::new(resolved.quiet);
    let run = sweep::run(&resolved, &settings, ready, &stop, &mut screen)
        .map_err(|error| (experiment_exit(&error), anyhow::Error::new(error)))?;
    // What was measured is shown even where it cannot be written.
    let extra = report::write_extra(&run, &resolved.export, &resolved.plots);
    let written = artefacts::write_reports(&run);
    let shown = written.as_ref().map_or_else(|_| artefacts::as_experiment(&run), Clone::clone);
    print(&table::conclusion(&shown)).map_err(|error| (Exit::Failure, error))?;
    for line in shown.points.iter().filter_map(without_result) {
        console::print_notice(format_args!("{line}"));
    }
    for fault in &run.manifest.faults {
        console::print_notice(format_args!("{fault}"));
    }
    written.map_err(|error| (Exit::Failure, anyhow::Error::new(error)))?;
    extra?;
    Ok(Exit::of(&run))
}

/// Why a point has no result. It goes to standard error even where results alone were asked for.
fn without_result(point: &PointReport) -> Option<String> {
    let counts = &point.summary.counts;
    if !point.summary.nothing_completed() {
        return None;
    }
    let words = counts.failure_messages.iter().next();
    let why = match words {
        Some((kind, words)) => format!("the first failed as {kind}: {words}"),
        None if counts.timed_out > 0 => {
            format!("{} took longer than `--timeout` allows", counts.timed_out)
        }
        None => "none was sent to its end".to_owned(),
    };
    Some(format!("{}: no request completed; {why}", point.label))
}

/// Naming a target that does not exist is a slip of the keyboard, everything else is found on the way.
pub(super) fn preflight_exit(error: &PreflightError) -> Exit {
    match error {
        PreflightError::Target(TargetError::Unknown { .. }) => Exit::Usage,
        _ => Exit::Preflight,
    }
}

/// A target that cannot be opened is found before any load is sent.
pub(super) fn experiment_exit(error: &ExperimentError) -> Exit {
    match error {
        ExperimentError::Stage(_)
        | ExperimentError::Gpu(_)
        | ExperimentError::Profiler(_)
        | ExperimentError::Ranges(_)
        | ExperimentError::Between(_) => Exit::Preflight,
        _ => Exit::Failure,
    }
}

/// Results go to standard output; a reader that has closed it early is no failure of the run.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn print(text: &str) -> Result<()> {
    match streams::results().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("results cannot be printed"),
    }
}

/// What a person sees while it goes on: progress on standard error, each point's table on standard output.
pub(super) struct Screen {
    mode: Mode,
    tables: bool,
    progress: Option<Progress>,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        let mode = if quiet { Mode::Silent } else { Mode::detect() };
        Self { mode, tables: true, progress: None }
    }

    /// For an experiment whose points are not results of their own.
    pub(super) fn without_tables(quiet: bool) -> Self {
        Self { tables: false, ..Self::new(quiet) }
    }
}

impl Watch for Screen {
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory) {
        if self.mode != Mode::Silent {
            let simulated = if target.simulated { " [SIMULATED]" } else { "" };
            console::print_notice(format_args!("{} ({}){simulated}", target.name, target.title));
            console::print_notice(format_args!("writing to {}", directory.path().display()));
        }
    }

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, stage: &Stage) {
        let (live, gate) = stage.live();
        let totals = Totals { requests: shots, duration };
        self.progress =
            Some(Progress::start(self.mode, label, totals, live, move || gate.in_flight()));
    }

    fn phase_over(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        if !self.tables {
            return;
        }
        let report = PointReport { label: entry.label.clone(), summary: summary.clone() };
        let mut text = table::point(&report);
        text.push('\n');
        if let Err(error) = print(&text) {
            console::print_notice(format_args!("{error:#}"));
        }
    }
}
