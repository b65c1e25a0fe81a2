//! How does a whole experiment go? Calibrate, open, and for each point of load: warm up, measure, write.

use std::fs::File;
use std::io::{BufWriter, Write};

use crate::cli::resolve::Resolved;
use crate::clock::{Nanos, utc_now};
use crate::experiment::calibrate;
use crate::experiment::manifest::{Manifest, PointEntry, State};
use crate::experiment::phase::{Stage, StageError};
use crate::experiment::preflight::Ready;
use crate::load::Load;
use crate::load::issuer::{Pace, Played};
use crate::load::plan::Plan;
use crate::load::plan_file::{PlanFileError, PlanWriter};
use crate::load::stop::Stop;
use crate::metrics::{RunFacts, Summary, TargetFacts, Window, summarise};
use crate::observe::health::Health;
use crate::observe::probe::Probe;
use crate::record::recorder::Sealed;
use crate::record::request_record::Records;
use crate::record::rows::RowError;
use crate::record::run_directory::{DirectoryError, RunDirectory, file};
use crate::report::write::{WriteError, write_whole};
use crate::target::{Drain, TargetInfo};

/// Why an experiment could not go on. What had been measured by then is on disk.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The target could not be opened.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// No folder.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A file.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The plan could not be saved, so nothing was sent.
    #[error("the plan cannot be saved, so nothing was sent: {0}")]
    Plan(#[from] PlanFileError),
    /// The journal could not be opened, so nothing was sent.
    #[error("records cannot be written, so nothing was sent: {0}")]
    Journal(#[from] RowError),
    /// Settings as TOML.
    #[error("settings cannot be written as TOML: {0}")]
    Settings(#[from] toml::ser::Error),
    /// A file of lines.
    #[error("`{0}` cannot be written: {1}")]
    Lines(String, std::io::Error),
}

/// One measured point.
#[derive(Debug)]
pub struct Point {
    /// Everything that was seen.
    pub records: Records,
    /// What it comes to.
    pub summary: Summary,
}

/// A finished experiment, or as much of it as there was.
#[derive(Debug)]
pub struct Outcome {
    /// Where it lies.
    pub directory: RunDirectory,
    /// What is known of it.
    pub manifest: Manifest,
    /// Its points, as many as were measured.
    pub points: Vec<Point>,
}

/// What a caller sees while an experiment goes on.
pub trait Watch {
    /// The folder exists and the target is about to be opened.
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory);
    /// A phase begins: its label and shots, and where to look at it live.
    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, stage: &Stage);
    /// The phase is over.
    fn phase_over(&mut self);
    /// A point was measured.
    fn measured(&mut self, entry: &PointEntry, summary: &Summary);
}

/// Runs everything that is ready and leaves a complete folder, whatever happens on the way.
///
/// # Errors
/// When files cannot be written or the target cannot be opened.
pub fn run(
    resolved: &Resolved,
    ready: Ready,
    stop: &Stop,
    watch: &mut dyn Watch,
) -> Result<Outcome, ExperimentError> {
    let Ready { target, plans } = ready;
    let info = target.describe().clone();
    let directory = create_directory(resolved, &info, &plans)?;
    let mut manifest = Manifest::begin(info.clone(), title(resolved), resolved.workload.seed);
    save_before_the_first_request(&directory, resolved, &plans, &manifest)?;
    watch.begun(&info, &directory);

    manifest.null_rate = Some(calibrate::null_rate()?);
    let (requests, slots) = room_for(&plans);
    let stage = Stage::open(target, requests, slots, stop.clone())?;
    let mut experiment = Experiment { resolved, info, stage, directory, manifest, stop };
    let points = experiment.play_all(&plans, watch)?;
    Ok(experiment.close(points))
}

fn create_directory(
    resolved: &Resolved,
    info: &TargetInfo,
    plans: &[Plan],
) -> Result<RunDirectory, DirectoryError> {
    let load = match (&resolved.loads[..], resolved.loads.first()) {
        ([_], Some(load)) => load.to_string(),
        (_, Some(Load::Closed { .. })) => "concurrency-sweep".into(),
        _ => "rate-sweep".into(),
    };
    let hash = plans.first().map_or("", Plan::hash);
    RunDirectory::create(&resolved.out, &info.name, &load, hash)
}

fn title(resolved: &Resolved) -> String {
    let how = match resolved.loads.first() {
        Some(Load::Closed { .. }) => "closed loop",
        Some(Load::Open { .. }) => "open loop",
        Some(Load::Batch) | None => "batch",
    };
    format!("{}, {}, {how}", resolved.target, resolved.workload.scenario)
}

fn save_before_the_first_request(
    directory: &RunDirectory,
    resolved: &Resolved,
    plans: &[Plan],
    manifest: &Manifest,
) -> Result<(), ExperimentError> {
    let settings = toml::to_string(&resolved.to_settings())?;
    write_whole(&directory.file(file::RESOLVED), settings.as_bytes())?;
    let mut rows = PlanWriter::new(Vec::new());
    for plan in plans {
        rows.append(plan)?;
    }
    write_whole(&directory.file(file::PLAN), &rows.finish()?)?;
    write_whole(&directory.file(file::MANIFEST), manifest.to_json().as_bytes())?;
    Ok(())
}

/// Requests of the whole session, and the most that a closed or capped loop has in flight.
fn room_for(plans: &[Plan]) -> (usize, usize) {
    let requests = plans.last().map_or(0, |plan| plan.next_id().0 as usize);
    let slots = plans.iter().map(|plan| match plan.load() {
        Load::Closed { concurrency } => concurrency,
        Load::Open { max_in_flight, .. } => max_in_flight.unwrap_or(1),
        Load::Batch => 1,
    });
    (requests, slots.max().unwrap_or(1).max(WARM_UP_CONCURRENCY) as usize)
}

/// Requests in flight while an open loop or a batch is warmed up.
const WARM_UP_CONCURRENCY: u32 = 4;

struct Experiment<'a> {
    resolved: &'a Resolved,
    info: TargetInfo,
    stage: Stage,
    directory: RunDirectory,
    manifest: Manifest,
    stop: &'a Stop,
}

impl Experiment<'_> {
    fn play_all(
        &mut self,
        plans: &[Plan],
        watch: &mut dyn Watch,
    ) -> Result<Vec<Point>, ExperimentError> {
        let path = self.directory.file(file::ITERATIONS);
        let lines = |error| ExperimentError::Lines(file::ITERATIONS.into(), error);
        let mut iterations = BufWriter::new(File::create(path).map_err(lines)?);
        let mut points = Vec::with_capacity(plans.len());
        for plan in plans {
            if self.stop.is_asked() || self.stage.broken().is_some() {
                break;
            }
            points.push(self.play_point(plan, watch)?);
            for mut iteration in self.stage.drain_iterations() {
                if let Some(object) = iteration.as_object_mut() {
                    object.insert("point".into(), plan.point().into());
                }
                writeln!(iterations, "{iteration}").map_err(lines)?;
            }
        }
        iterations.flush().map_err(lines)?;
        Ok(points)
    }

    fn play_point(&mut self, plan: &Plan, watch: &mut dyn Watch) -> Result<Point, ExperimentError> {
        let label = plan.load().to_string();
        let warmup_completed = self.warm_up(plan, &label, watch);
        // What the engine did while it was warmed up is not part of the point.
        drop(self.stage.drain_iterations());
        let journal = self.directory.journal(plan.point())?;
        let (dropped_before, stray_before) = self.stage.faults();
        let probe = Probe::start();
        let duration = plan.size().duration;
        watch.phase(&label, plan.shots().len() as u64, duration, &self.stage);
        let (played, sealed) = self.stage.run(plan.shots(), &self.pace(plan), Some(journal));
        let seen = probe.finish();
        watch.phase_over();
        let (dropped, stray) = self.stage.faults();
        let health = Health {
            dropped_events: dropped - dropped_before,
            stray_ends: stray - stray_before,
            null_rate: self.manifest.null_rate,
            ..seen
        };
        let facts = self.facts(plan, &played, &sealed.records);
        Ok(self.conclude(plan, label, warmup_completed, played, sealed, facts, health, watch))
    }

    fn warm_up(&mut self, plan: &Plan, label: &str, watch: &mut dyn Watch) -> u32 {
        let shots = plan.warmup();
        if shots.is_empty() {
            return 0;
        }
        let concurrency = match plan.load() {
            Load::Closed { concurrency } => concurrency,
            Load::Open { .. } | Load::Batch => WARM_UP_CONCURRENCY,
        };
        let pace = Pace { load: Load::Closed { concurrency }, duration: None, ..self.pace(plan) };
        watch.phase(&format!("{label}, warm-up"), shots.len() as u64, None, &self.stage);
        let (_, sealed) = self.stage.run(shots, &pace, None);
        watch.phase_over();
        let requests = sealed.records.requests();
        requests.iter().filter(|record| record.outcome.is_completed()).count() as u32
    }

    fn pace(&self, plan: &Plan) -> Pace {
        Pace {
            load: plan.load(),
            duration: plan.size().duration,
            timeout: self.resolved.timeout,
            drain: self.resolved.drain,
        }
    }

    fn facts(&self, plan: &Plan, played: &Played, records: &Records) -> RunFacts {
        RunFacts {
            point: plan.point(),
            target: TargetFacts::from(&self.info),
            load: plan.load(),
            window: window(plan, played, records),
            planned: plan.shots().len() as u64,
            gpus: self.info.gpus,
            streaming: self.resolved.workload.streaming,
            slos: self.resolved.slos.clone(),
            complete: !played.interrupted && self.stage.broken().is_none(),
            stability_percent: RunFacts::STABILITY_PERCENT,
        }
    }

    #[allow(clippy::too_many_arguments)] // Everything that one point has come to, each once.
    fn conclude(
        &mut self,
        plan: &Plan,
        label: String,
        warmup_completed: u32,
        played: Played,
        sealed: Sealed,
        facts: RunFacts,
        health: Health,
        watch: &mut dyn Watch,
    ) -> Point {
        if let Some(error) = sealed.journal_error {
            self.manifest.faults.push(format!("records of point {label}: {error}"));
        }
        let summary = summarise(&sealed.records, &facts, &health);
        let entry = PointEntry {
            label,
            plan_hash: plan.hash().to_owned(),
            warmup_requests: plan.warmup().len() as u32,
            warmup_completed,
            ran_out: played.ran_out && plan.is_pool(),
            late_events: sealed.late_events,
            facts,
            health,
        };
        watch.measured(&entry, &summary);
        self.manifest.points.push(entry);
        Point { records: sealed.records, summary }
    }

    /// Closes the target and settles the manifest; the reports are made from what is returned.
    fn close(mut self, points: Vec<Point>) -> Outcome {
        let broken = self.stage.broken().map(str::to_owned);
        if let Drain::Forced(words) = self.stage.finish() {
            self.manifest.faults.push(format!("closing the target: {words}"));
        }
        self.manifest.state = match broken {
            Some(words) => {
                self.manifest.faults.push(format!("the target failed as a whole: {words}"));
                State::Failed
            }
            None if self.stop.is_asked() => State::Interrupted,
            None => State::Complete,
        };
        self.manifest.ended = Some(utc_now().to_string());
        Outcome { directory: self.directory, manifest: self.manifest, points }
    }
}

/// From the start to the duration, or to the last end where shots are counted or the run was cut short.
fn window(plan: &Plan, played: &Played, records: &Records) -> Window {
    let last_end = records.requests().iter().filter_map(|record| record.end).max();
    // The window does not hold its own end; the last request does belong to it.
    let by_requests = last_end.map_or(played.end, |end| end + Nanos(1));
    let end = match plan.size().duration {
        Some(span) if !played.interrupted && !played.ran_out => played.start + span,
        _ => by_requests,
    };
    Window { start: played.start, end }
}
