//! Cells: every scenario with every load, each in a run folder of its own, on one target that stays open between them.

mod labelled;
mod reports;
mod stored;

use std::fs;
use std::path::PathBuf;

use self::labelled::Labelled;
pub use self::reports::{as_report, write_reports};
pub use self::stored::{CellsStart, ResumeError, stored};
use crate::clock::{self, MonoNs, utc_now};
use crate::console;
use crate::experiment::artefacts;
use crate::experiment::between;
use crate::experiment::calibrate;
use crate::experiment::estimate::in_words;
use crate::experiment::point_runner::{Beginning, OpenTarget, Opening, PointRunner, Room};
use crate::experiment::preflight::{Ready, describe_again};
use crate::experiment::sweep::{
    ExperimentError, Watch, calibrate_client, keep_engine_log, save_before_the_first_request,
};
use crate::issue::stop::Stop;
use crate::load::plan::Plan;
use crate::metrics::Summary;
use crate::metrics::facts::SentBefore;
use crate::report::comparison::json::pretty;
use crate::settings::Resolved;
use crate::settings::cells::Cell;
use crate::specs::RooflineFacts;
use crate::store::cells_index::{CellEntry, CellNumbers, CellState, CellsIndex};
use crate::store::manifest::{Manifest, State};
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::sent_before::{PromptFacts, sent_before};
use crate::store::write::{WriteError, write_whole};
use crate::targets::TargetInfo;

/// Cells that have been measured, in this process or before.
#[derive(Debug)]
pub struct MeasuredCells {
    /// Where they lie.
    pub directory: RunDirectory,
    /// What is known of each.
    pub index: CellsIndex,
    /// As many as have a run folder that can be read: place among the cells, and the run.
    pub runs: Vec<(usize, MeasuredRun)>,
    /// What answered.
    pub target: TargetInfo,
}

/// Measures every cell that has no result yet. A cell that fails is kept and told, and the next one is measured all the same.
///
/// # Errors
/// When the run's own files cannot be written.
pub fn run(
    resolved: &Resolved,
    settings: &str,
    ready: Ready,
    start: CellsStart,
    stop: &Stop,
    watch: &mut dyn Watch,
) -> Result<MeasuredCells, ExperimentError> {
    let Ready { opening, plans, warnings, roofline, kv: _, source: _, launched } = ready;
    between::check(resolved, stop)?;
    let info = opening.target.describe().clone();
    let cells = resolved.grid();
    let title = format!("{}, {} cells", resolved.target, cells.len());
    let CellsStart { directory, index, runs } = start;
    let index = index.unwrap_or_else(|| {
        let entries = cells.iter().zip(&plans);
        let entries = entries.map(|(cell, plan)| CellEntry::missing(cell, plan)).collect();
        CellsIndex::begin(title, resolved.target.clone(), &info, entries)
    });
    // Before the folder is made: what this run sends itself was not sent before.
    let before = cells.iter().map(|cell| {
        let own = resolved.of_cell(cell);
        sent_before(&resolved.out, &info, &own.workload)
    });
    let before: Vec<Option<SentBefore>> = before.collect();
    let directory = match directory {
        Some(directory) => directory,
        None => new_directory(resolved, &info, &plans)?,
    };
    write_whole(&directory.file(file::RESOLVED), settings.as_bytes())?;
    watch.begun(&info, &directory);
    let mut template = Manifest::begin(info.clone(), String::new(), &resolved.workload);
    template.launch = launched;
    template.warnings = warnings;
    template.gpu_hour_price = resolved.gpu_hour_price;
    template.keep_wishes(resolved);
    template.null_rate = Some(calibrate::null_rate()?);
    calibrate_client(&mut template, resolved, &plans);
    let mut player = Player {
        resolved,
        plans: &plans,
        roofline,
        before,
        template,
        stop,
        measured: MeasuredCells { directory, index, runs, target: info },
        target: Some(Readiness::Described(opening)),
    };
    player.save()?;
    player.play_all(&cells, watch)?;
    Ok(player.measured)
}

fn new_directory(
    resolved: &Resolved,
    info: &TargetInfo,
    plans: &[Plan],
) -> Result<RunDirectory, ExperimentError> {
    let hash = plans.first().map_or("", Plan::hash);
    Ok(RunDirectory::create(&resolved.out, &info.name, "cells", hash)?)
}

/// The target before a cell.
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
enum Readiness {
    Described(Opening),
    Open(OpenTarget),
}

struct Player<'a> {
    resolved: &'a Resolved,
    plans: &'a [Plan],
    roofline: Option<RooflineFacts>,
    before: Vec<Option<SentBefore>>,
    /// What is alike in the manifests of all cells.
    template: Manifest,
    stop: &'a Stop,
    measured: MeasuredCells,
    /// `None` behind a cell that has failed.
    target: Option<Readiness>,
}

impl Player<'_> {
    fn play_all(&mut self, cells: &[Cell], watch: &mut dyn Watch) -> Result<(), ExperimentError> {
        let missing: Vec<usize> =
            (0..cells.len()).filter(|place| self.is_missing(*place)).collect();
        let began = clock::now();
        for (done, place) in missing.iter().copied().enumerate() {
            let fault = (done > 0).then(|| between::rest(self.resolved, self.stop)).flatten();
            if self.stop.is_asked() {
                break;
            }
            announce(&cells[place].name, done, missing.len(), began);
            self.keep_earlier(place)?;
            let directory = self.measured.directory.cell(&cells[place].name)?;
            let is_last = done + 1 == missing.len();
            let played = self.play(place, &cells[place], directory, fault, is_last, watch);
            self.note(place, played);
            self.save()?;
        }
        if let Some(Readiness::Open(open)) = self.target.take() {
            self.measured.index.faults.extend(open.close());
        }
        self.measured.runs.sort_by_key(|(place, _)| *place);
        self.measured.index.ended = Some(utc_now().to_string());
        self.save()
    }

    fn is_missing(&self, place: usize) -> bool {
        self.measured.index.cells[place].state != CellState::Complete
    }

    /// What is left of an earlier attempt gets another name.
    fn keep_earlier(&mut self, place: usize) -> Result<(), ExperimentError> {
        let entry = &mut self.measured.index.cells[place];
        let folder = self.measured.directory.file(&entry.name);
        if !folder.exists() {
            return Ok(());
        }
        let named = |number: usize| format!("{}.attempt-{number}", entry.name);
        let free = |name: &String| !self.measured.directory.file(name).exists();
        let name = (1..=usize::MAX).map(named).find(free).unwrap_or_default();
        let kept: PathBuf = self.measured.directory.file(&name);
        fs::rename(&folder, &kept)
            .map_err(|source| ExperimentError::Keep { name: entry.name.clone(), source })?;
        entry.earlier.push(name);
        Ok(())
    }

    /// Plays one cell on a target that is opened where it is not open.
    fn play(
        &mut self,
        place: usize,
        cell: &Cell,
        directory: RunDirectory,
        fault: Option<String>,
        is_last: bool,
        watch: &mut dyn Watch,
    ) -> Result<MeasuredRun, ExperimentError> {
        let own = self.resolved.of_cell(cell);
        let settings = own.to_toml().map_err(ExperimentError::Settings)?;
        keep_engine_log(&directory)?;
        let mut manifest = self.template.clone();
        manifest.title = format!("{}, {}, {}", own.target, own.workload.asked(), cell.load);
        manifest.prompts = Some(PromptFacts::of(&own.workload));
        manifest.started = utc_now().to_string();
        manifest.faults.extend(fault);
        save_before_the_first_request(&directory, &settings, &manifest)?;
        let beginning = match self.target.take() {
            Some(Readiness::Open(open)) => Beginning::Open(open),
            Some(Readiness::Described(opening)) => Beginning::Closed(opening, Room::of(self.plans)),
            None => {
                let opening = describe_again(self.resolved)
                    .map_err(|error| ExperimentError::Again(error.to_string()))?;
                Beginning::Closed(opening, Room::of(self.plans))
            }
        };
        let mut runner = PointRunner::begin(&own, beginning, directory, manifest, self.stop)?
            .with_roofline(self.roofline.clone())
            .with_sent_before(self.before[place].clone());
        let mut watch = Labelled { asked: own.workload.asked(), watch };
        runner.play(&self.plans[place], cell.label(self.plans[place].label()), &mut watch)?;
        if is_last {
            return Ok(runner.close());
        }
        let (run, open) = runner.release();
        self.target = open.map(Readiness::Open);
        Ok(run)
    }

    /// Writes down what became of a cell, and the reports of its folder.
    fn note(&mut self, place: usize, played: Result<MeasuredRun, ExperimentError>) {
        let entry = &mut self.measured.index.cells[place];
        match played {
            Ok(run) => {
                let written = artefacts::write_reports(&run);
                let summary = run.points.first().map(|point| &point.summary);
                entry.numbers = summary.map(CellNumbers::of);
                (entry.state, entry.why) = state_of(&run, summary);
                if let Err(error) = written {
                    entry.state = CellState::Failed;
                    entry.why = Some(error.to_string());
                }
                self.measured.runs.push((place, run));
            }
            Err(error) => {
                entry.state = CellState::Failed;
                entry.why = Some(error.to_string());
            }
        }
        if let (CellState::Failed, Some(why)) = (entry.state, &entry.why) {
            console::print_notice(format_args!("cell {} has no result: {why}", entry.name));
            // The next cell gets one that has not failed yet.
            if let Some(Readiness::Open(open)) = self.target.take() {
                self.measured.index.faults.extend(open.close());
            }
        }
    }

    fn save(&self) -> Result<(), ExperimentError> {
        Ok(write_index(&self.measured.directory, &self.measured.index)?)
    }
}

/// `cell 3 of 8: isl_128_osl_64_conc_4, about 2 min left`.
fn announce(name: &str, done: usize, all: usize, began: MonoNs) {
    let spent = (clock::now() - began).as_secs_f64();
    let left = if done == 0 {
        String::new()
    } else {
        let seconds = spent / done as f64 * (all - done) as f64;
        format!(", about {} left", in_words(seconds))
    };
    console::print_notice(format_args!("cell {} of {all}: {name}{left}", done + 1));
}

/// How far a cell has come, and why it has no result.
fn state_of(run: &MeasuredRun, summary: Option<&Summary>) -> (CellState, Option<String>) {
    let faults = || run.manifest.faults.join("; ");
    match (run.manifest.state, summary) {
        (State::Interrupted | State::Running, _) => (CellState::Interrupted, None),
        (State::Failed | State::Incomplete, _) => (CellState::Failed, Some(faults())),
        (State::Complete, None) => (CellState::Failed, Some("nothing was measured".to_owned())),
        (State::Complete, Some(summary)) if summary.nothing_completed() => {
            let words = summary.counts.failure_messages.iter().next();
            let why = words.map_or_else(
                || "no request completed".to_owned(),
                |(kind, words)| {
                    format!("no request completed; the first failed as {kind}: {words}")
                },
            );
            (CellState::Failed, Some(why))
        }
        (State::Complete, Some(_)) => (CellState::Complete, None),
    }
}

fn write_index(directory: &RunDirectory, index: &CellsIndex) -> Result<(), WriteError> {
    let json = pretty(index);
    write_whole(&directory.file(file::INDEX_JSON), json.as_bytes())?;
    write_whole(&directory.file(file::INDEX_CSV), &index.to_csv())?;
    Ok(())
}
