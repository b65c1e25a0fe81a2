//! `bareflight run`: measurement, report, exit code.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::cli::cells;
use crate::cli::exit::{Coded, Exit};
use crate::cli::report;
use crate::cli::upload;
use crate::clock::Nanos;
use crate::console;
use crate::console::streams;
use crate::experiment::estimate::estimate;
use crate::experiment::preflight::{self, PreflightError, Ready};
use crate::experiment::server_watch::ServerWatchError;
use crate::experiment::sweep::{self, ExperimentError, Watch};
use crate::experiment::workers::calls::Listening;
use crate::experiment::{artefacts, interrupt};
use crate::issue::live_phase::LivePhase;
use crate::issue::stop::Stop;
use crate::metrics::Summary;
use crate::report::otlp;
use crate::report::otlp::live::LivePusher;
use crate::report::progress::full::FullView;
use crate::report::progress::{Mode, Progress, Totals};
use crate::report::prometheus;
use crate::report::prometheus::server::Exporter;
use crate::report::{PointReport, marks_of, table};
use crate::settings::Resolved;
use crate::settings::declared::Declared;
use crate::settings::time_unit::TimeUnit;
use crate::settings::ui::Ui;
use crate::store::manifest::PointEntry;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::RunDirectory;
use crate::targets::{TargetError, TargetInfo};
use crate::warning::{Code, Note};

/// Runs everything that was resolved; workers that this process does not start call it.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(
    mut resolved: Resolved,
    resume: Option<&Path>,
    calls: Option<Listening>,
) -> Result<Exit, (Exit, anyhow::Error)> {
    upload::check([&resolved])?;
    let mut ready = prepare(&mut resolved)?;
    ready.opening.calls = calls;
    let stop = Stop::on_signals()
        .context("Ctrl-C cannot be handled")
        .map_err(|error| (Exit::Failure, error))?;
    interrupt::announce(&stop, resolved.drain);
    if resume.is_some() || resolved.has_cells() {
        return cells::run(&resolved, ready, resume, &stop);
    }
    let mut screen = Screen::new(resolved.quiet).with_wishes(&resolved)?;
    let run = play(&resolved, ready, &stop, &mut screen)?;
    Ok(upload::after(&resolved, run.directory.path(), &stop, Exit::of(&run)))
}

/// Everything that is checked before load is sent.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub(super) fn prepare(resolved: &mut Resolved) -> Coded<Ready> {
    report::check_plots(&resolved.plots)?;
    report::check_exports(&resolved.export)?;
    let mut ready = preflight::prepare(resolved)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    for warning in &ready.warnings {
        console::print_notice(format_args!(
            "{} warning[{}]: {warning}",
            warning.code, warning.about
        ));
    }
    preflight::probe(&mut *ready.opening.target, &ready.plans)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    Ok(ready)
}

/// Measures what is ready, writes and prints every report.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub(super) fn play(
    resolved: &Resolved,
    ready: Ready,
    stop: &Stop,
    watch: &mut dyn Watch,
) -> Coded<MeasuredRun> {
    let settings = settings_file(resolved)?;
    tell_estimate(resolved, &ready);
    let run = sweep::run(resolved, &settings, ready, stop, watch);
    watch.ended();
    let mut run = run.map_err(|error| (experiment_exit(&error), anyhow::Error::new(error)))?;
    // What was measured is shown even where it cannot be written.
    let noted = artefacts::note_codes(&mut run);
    let published = publish(resolved, std::slice::from_ref(&run));
    let extra = report::write_extra(&run, &resolved.export, &resolved.plots);
    let written = artefacts::write_reports(&run);
    let shown = written.as_ref().map_or_else(|_| artefacts::as_far_as_written(&run), Clone::clone);
    print(&table::conclusion(&shown)).map_err(|error| (Exit::Failure, error))?;
    for line in shown.points.iter().filter_map(without_result) {
        console::print_notice(format_args!("{line}"));
    }
    for fault in &run.manifest.faults {
        console::print_notice(format_args!("{} {fault}", Code::Fault));
    }
    tell_denied(std::slice::from_ref(&run));
    published?;
    noted.map_err(|error| (Exit::Failure, anyhow::Error::new(error)))?;
    written.map_err(|error| (Exit::Failure, anyhow::Error::new(error)))?;
    extra?;
    Ok(run)
}

/// What `resolved.toml` holds.
pub(super) fn settings_file(resolved: &Resolved) -> Coded<String> {
    resolved
        .to_toml()
        .context("settings cannot be written as TOML")
        .map_err(|error| (Exit::Failure, error))
}

/// How long it will take, where that is known.
pub(super) fn tell_estimate(resolved: &Resolved, ready: &Ready) {
    let estimate = estimate(&ready.plans);
    if !resolved.quiet && estimate.tells_time() {
        console::print_notice(format_args!("{}", estimate.sentence()));
    }
}

/// Gives the results to who watches, where it was asked for: a file for Prometheus, a collector of OpenTelemetry.
pub(super) fn publish<'a>(
    resolved: &Resolved,
    runs: impl IntoIterator<Item = &'a MeasuredRun>,
) -> Coded<()> {
    let failed = |error: anyhow::Error| (Exit::Failure, error);
    for run in runs {
        if resolved.prometheus.is_some() {
            artefacts::write_prometheus(run).map_err(|error| failed(error.into()))?;
        }
        if let Some(address) = &resolved.otlp {
            artefacts::push_otlp(run, address).map_err(|error| failed(error.into()))?;
        }
    }
    Ok(())
}

/// Says which warnings came up although they were denied, which ends the program with exit code 4.
pub(super) fn tell_denied<'a>(runs: impl IntoIterator<Item = &'a MeasuredRun>) {
    for denied in runs.into_iter().flat_map(artefacts::denied) {
        console::print_notice(format_args!("{denied}"));
    }
}

/// The same of the notes of an experiment; `Invalid` where one was denied.
pub(super) fn tell_denied_notes(raised: Vec<Note>, denied: &[Code]) -> Option<Exit> {
    let told = Note::denied(raised, denied);
    for denied in &told {
        console::print_notice(format_args!("{denied}"));
    }
    (!told.is_empty()).then_some(Exit::Invalid)
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
        PreflightError::Target(
            TargetError::Unknown { .. }
            | TargetError::Incomplete { .. }
            | TargetError::Elsewhere { .. },
        ) => Exit::Usage,
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
        | ExperimentError::ServerMetrics(ServerWatchError::Place(_))
        | ExperimentError::Between(_) => Exit::Preflight,
        _ => Exit::Failure,
    }
}

/// Results go to standard output; a reader that has closed it early, or a terminal that has closed, is no failure of the run.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn print(text: &str) -> Result<()> {
    match streams::results().write_all(text.as_bytes()) {
        Err(error) if streams::nobody_reads_results(&error) => Ok(()),
        other => other.context("results cannot be printed"),
    }
}

/// What a person sees while it goes on: progress on standard error, each point's table on standard output.
pub(super) struct Screen {
    mode: Mode,
    tables: bool,
    time_unit: TimeUnit,
    exporter: Option<Exporter>,
    pusher: Option<LivePusher>,
    declared: Declared,
    progress: Option<Progress>,
    targets: Vec<String>,
    full: Option<FullView>,
}

impl Screen {
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            mode: if quiet { Mode::Silent } else { Mode::of(Ui::default()) },
            tables: true,
            time_unit: TimeUnit::default(),
            exporter: None,
            pusher: None,
            declared: Declared::default(),
            progress: None,
            targets: Vec::new(),
            full: None,
        }
    }

    /// With what a run asks for: its view, its unit of times, and answers to Prometheus.
    ///
    /// # Errors
    /// When the address for Prometheus cannot be listened on.
    pub(super) fn with_wishes(mut self, resolved: &Resolved) -> Coded<Self> {
        if self.mode != Mode::Silent {
            self.mode = Mode::of(resolved.ui);
        }
        self.time_unit = resolved.time_unit;
        self.declared = resolved.declared.clone();
        if let Some(address) = &resolved.otlp {
            let pusher = LivePusher::start(address.clone())
                .context("no thread for `--otlp`")
                .map_err(|error| (Exit::Preflight, error))?;
            self.pusher = Some(pusher);
        }
        let Some(address) = resolved.prometheus else { return Ok(self) };
        let exporter = Exporter::start(address.0)
            .with_context(|| {
                format!("`--prometheus {address}` cannot be listened on: choose another port")
            })
            .map_err(|error| (Exit::Preflight, error))?;
        console::print_notice(format_args!("metrics at http://{}/metrics", exporter.address()));
        self.exporter = Some(exporter);
        Ok(self)
    }

    /// Shows a phase on the whole terminal; a bar follows where it cannot be taken.
    fn show_in_full(&mut self, label: &str, totals: Totals, live: &LivePhase) {
        if self.full.is_none() {
            match FullView::start(self.targets.clone()) {
                Ok(full) => self.full = Some(full),
                Err(error) => {
                    console::print_notice(format_args!(
                        "`--ui full` cannot take the terminal ({error}): a line follows"
                    ));
                    self.mode = Mode::Bar;
                    return;
                }
            }
        }
        if let Some(full) = &self.full {
            full.phase(label, totals, live);
        }
    }

    /// For an experiment whose points are not results of their own.
    pub(super) fn without_tables(quiet: bool) -> Self {
        Self { tables: false, ..Self::new(quiet) }
    }
}

impl Watch for Screen {
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory) {
        if let Some(exporter) = &self.exporter {
            exporter.begun(prometheus::Origin {
                target: target.name.clone(),
                marks: marks_of(target).collect(),
                declared: self.declared.clone(),
            });
        }
        if let Some(pusher) = &self.pusher {
            let run = directory.path().file_name().unwrap_or_default().to_string_lossy();
            pusher.begun(otlp::resource::attributes(target, &run, &self.declared));
        }
        if self.mode != Mode::Silent {
            let marks = table::marks(marks_of(target));
            console::print_notice(format_args!("{} ({}){marks}", target.name, target.title));
            console::print_notice(format_args!("writing to {}", directory.path().display()));
            let name = format!("{}{marks}", target.name);
            match &self.full {
                Some(full) => full.also(&name),
                None => self.targets.push(name),
            }
        }
    }

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, live: &LivePhase) {
        let in_flight = {
            let in_flight = live.in_flight.clone();
            move || in_flight.now()
        };
        if let Some(exporter) = &self.exporter {
            exporter.phase(label, Arc::clone(&live.snapshot), in_flight.clone());
        }
        if let Some(pusher) = &self.pusher {
            pusher.phase(label, Arc::clone(&live.snapshot), in_flight.clone());
        }
        let totals = Totals { requests: shots, duration };
        if self.mode == Mode::Full {
            self.show_in_full(label, totals, live);
        }
        let snapshot = Arc::clone(&live.snapshot);
        self.progress = Some(Progress::start(self.mode, label, totals, snapshot, in_flight));
    }

    fn phase_over(&mut self) {
        if let Some(exporter) = &self.exporter {
            exporter.phase_over();
        }
        if let Some(pusher) = &self.pusher {
            pusher.phase_over();
        }
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
        if let Some(full) = &self.full {
            full.phase_over();
        }
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        if let Some(exporter) = &self.exporter {
            let (label, summary) = (entry.label.clone(), summary.clone());
            exporter.measured(PointReport { label, summary });
        }
        if let Some(full) = &self.full {
            full.measured(&entry.label, summary);
        }
        if !self.tables {
            return;
        }
        let report = PointReport { label: entry.label.clone(), summary: summary.clone() };
        let mut text = table::point_in(&report, self.time_unit);
        text.push('\n');
        if let Err(error) = print(&text) {
            console::print_notice(format_args!("{}", console::in_one_line(&error)));
        }
    }

    fn ended(&mut self) {
        self.full = None;
        // Its last post must not come after the results.
        self.pusher = None;
    }
}
