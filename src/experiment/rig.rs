//! What is needed to play points on one target? The opened target with its folder and its manifest.

use std::fs::File;

use crate::clock::Window;
use crate::clock::{Nanos, utc_now};
use crate::experiment::collectors::{CollectedStatistics, Collectors};
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::sweep::{ExperimentError, Outcome, Point, Watch};
use crate::issue::drawing::{Drawing, DrawingError, Drawn};
use crate::issue::issuer::{Pace, Played};
use crate::issue::phase::Stage;
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::plan::Plan;
use crate::metrics::{RunFacts, TargetFacts, iterations, kv_events, summarise};
use crate::observe::gpu::sampler::Telemetry;
use crate::observe::health::Health;
use crate::observe::probe::Probe;
use crate::observe::profiler::{self, Profiler, Profiling};
use crate::record::nvtx_ranges::Tool;
use crate::record::recorder::Sealed;
use crate::record::request_record::Records;
use crate::settings::Resolved;
use crate::specs::RooflineFacts;
use crate::store::manifest::{Manifest, PointEntry, State};
use crate::store::plan_file::PlanWriter;
use crate::store::run_directory::{RunDirectory, file};
use crate::targets::{Drain, Target, TargetInfo};

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

/// What is about to be opened.
pub struct Opening {
    /// What answers.
    pub target: Box<dyn Target>,
    /// The GPUs that are watched meanwhile.
    pub telemetry: Option<Telemetry>,
}

/// An opened target, the folder that its records go to, and what is known of it so far.
pub struct Rig<'a> {
    resolved: &'a Resolved,
    info: TargetInfo,
    stage: Stage,
    directory: RunDirectory,
    manifest: Manifest,
    collectors: Collectors,
    gpus: Option<GpuWatch>,
    profiler: Option<Profiler>,
    tool: Option<Tool>,
    stop: &'a Stop,
    roofline: Option<RooflineFacts>,
    /// `plan.csv`, between two points.
    plan_file: Option<PlanWriter<File>>,
    /// A prompt could not be drawn.
    is_cut_off: bool,
}

impl<'a> Rig<'a> {
    /// Opens the target for all of these plans. `manifest` has been written into `directory` already.
    ///
    /// # Errors
    /// When the target cannot be opened or a file not be made.
    pub fn open(
        resolved: &'a Resolved,
        Opening { target, telemetry }: Opening,
        plans: &[Plan],
        directory: RunDirectory,
        mut manifest: Manifest,
        stop: &'a Stop,
    ) -> Result<Self, ExperimentError> {
        let info = target.describe().clone();
        let gpus = telemetry.map(|telemetry| GpuWatch::open(telemetry, &directory)).transpose()?;
        manifest.gpus = gpus.as_ref().map(GpuWatch::machine).transpose()?;
        let profiler = resolved
            .profile_window
            .map(|window| Profiler::new(window.from, window.to, resolved.cuda_library.as_deref()))
            .transpose()?;
        let (requests, slots) = room_for(plans);
        let tool = resolved.nvtx.then(Tool::find).transpose()?;
        let stage = Stage::open_heard(target, requests, slots, stop.clone(), tool)?;
        let collectors = Collectors::start(&stage, &directory)?;
        let plan_file =
            PlanWriter::create(&directory.file(file::PLAN)).map_err(DrawingError::File)?;
        let roofline = None;
        Ok(Self {
            resolved,
            info,
            stage,
            directory,
            manifest,
            collectors,
            gpus,
            profiler,
            tool,
            stop,
            roofline,
            plan_file: Some(plan_file),
            is_cut_off: false,
        })
    }

    /// The same, with the model and machine that points are held against.
    #[must_use]
    pub fn with_roofline(self, roofline: Option<RooflineFacts>) -> Self {
        Self { roofline, ..self }
    }

    /// Whether another point can be played: nobody has asked for the end, and the target still answers.
    pub fn can_go_on(&self) -> bool {
        !self.stop.is_asked() && !self.is_cut_off && self.stage.broken().is_none()
    }

    /// Plays one point: warm-up, then the measurement.
    ///
    /// # Errors
    /// When records cannot be written, or the plan not be drawn or saved.
    ///
    /// # Panics
    /// If the drawing thread has panicked, which is a bug.
    pub fn play(
        &mut self,
        plan: &Plan,
        label: String,
        watch: &mut dyn Watch,
    ) -> Result<Point, ExperimentError> {
        let file = self.plan_file.take().expect("every point gives it back");
        let mut drawing = Drawing::start(plan, file)?;
        let warmup_completed = self.warm_up(plan, &mut drawing, &label, watch);
        drawing.wait_until_ahead();
        let journal = self.directory.journal(plan.point())?;
        let (dropped_before, stray_before) = self.stage.faults();
        // What the engine did while it was warmed up is not part of the point.
        self.collectors.begin(plan.point());
        let sampling = self.gpus.as_ref().map(GpuWatch::start).transpose()?;
        let profiling = self.profiler.as_ref().map(Profiler::begin);
        let probe = Probe::start();
        let duration = plan.size().duration;
        watch.phase(&label, plan.shots().len() as u64, duration, &self.stage);
        let marked = self.tool.map(|tool| tool.phase(&label));
        let pace = self.pace(plan);
        let mut shots = drawing.shots(plan.shots());
        let (played, sealed) = self.stage.play(&mut shots, &pace, Some(journal));
        drop(marked);
        let seen = probe.finish();
        let profiled = profiling.is_some_and(|begun| self.end_profiling(begun, &label));
        let collected = self.collectors.end();
        watch.phase_over();
        self.end_drawing(drawing, &label);
        let (dropped, stray) = self.stage.faults();
        let facts = self.facts(plan, &played, &sealed.records);
        let watched = self.gpus.as_mut().zip(sampling);
        let gpu = watched.map(|(gpus, sampling)| gpus.finish(sampling, facts.point, facts.window));
        let health = Health {
            dropped_events: dropped - dropped_before,
            stray_ends: stray - stray_before,
            null_rate: self.manifest.null_rate,
            gpu: gpu.transpose()?,
            profiled: profiled || self.resolved.nvtx || profiler::is_attached(),
            ..seen
        };
        Ok(self.conclude(
            plan,
            label,
            warmup_completed,
            played,
            sealed,
            collected,
            facts,
            health,
            watch,
        ))
    }

    /// Whether a profiler looked at any of the point; a window that could not be kept to is a fault of the experiment.
    fn end_profiling(&mut self, begun: std::io::Result<Profiling>, label: &str) -> bool {
        let looked = match begun.map(Profiling::finish) {
            Ok(Ok(true)) => return true,
            Ok(Ok(false)) => "it ended before its profile window began".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.manifest.faults.push(format!("profile window of {label}: {looked}"));
        false
    }

    /// Completes `plan.csv`, unless the end was asked for.
    fn end_drawing(&mut self, drawing: Drawing<File>, label: &str) {
        let Drawn { file, not_drawn, not_saved } = drawing.finish(!self.stop.is_asked());
        self.plan_file = Some(file);
        self.is_cut_off |= not_drawn.is_some();
        let cut_off = not_drawn.map(|error| format!("sending ended early: {error}"));
        for words in cut_off.into_iter().chain(not_saved.map(|error| error.to_string())) {
            self.manifest.faults.push(format!("point {label}: {words}"));
        }
    }

    fn warm_up(
        &mut self,
        plan: &Plan,
        drawing: &mut Drawing<File>,
        label: &str,
        watch: &mut dyn Watch,
    ) -> u32 {
        let shots = plan.warmup();
        if shots.is_empty() {
            return 0;
        }
        let concurrency = match plan.load() {
            Load::Closed { concurrency } => concurrency,
            Load::Open { .. } | Load::Batch => WARM_UP_CONCURRENCY,
        };
        let pace = Pace { load: Load::Closed { concurrency }, duration: None, ..self.pace(plan) };
        let label = format!("{label}, warm-up");
        watch.phase(&label, shots.len() as u64, None, &self.stage);
        let _marked = self.tool.map(|tool| tool.phase(&label));
        let (_, sealed) = self.stage.play(&mut drawing.shots(shots), &pace, None);
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
            roofline: self.roofline.clone(),
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
        collected: CollectedStatistics,
        facts: RunFacts,
        health: Health,
        watch: &mut dyn Watch,
    ) -> Point {
        if let Some(error) = sealed.journal_error {
            self.manifest.faults.push(format!("records of point {label}: {error}"));
        }
        for words in [collected.iterations.fault, collected.kv_events.fault].into_iter().flatten() {
            self.manifest.faults.push(format!("point {label}: {words}"));
        }
        let mut summary = summarise(&sealed.records, &facts, &health);
        let iteration_before = collected.iterations.before.map(|it| it.iteration);
        summary.iterations =
            iterations::of(&collected.iterations.items, iteration_before, facts.window);
        let kv_event_before = collected.kv_events.before.map(|it| it.event);
        summary.kv_events =
            kv_events::of(&collected.kv_events.items, kv_event_before, facts.window);
        let entry = PointEntry {
            label,
            plan_hash: plan.hash().to_owned(),
            warmup_requests: plan.warmup().len() as u32,
            warmup_completed,
            ran_out: played.ran_out && plan.is_pool(),
            late_events: sealed.late_events,
            iteration_before,
            kv_event_before,
            facts,
            health,
        };
        watch.measured(&entry, &summary);
        self.manifest.points.push(entry);
        Point { records: sealed.records, summary }
    }

    /// Closes the target and settles the manifest; the reports are made from what is returned.
    pub fn close(mut self, points: Vec<Point>) -> Outcome {
        let broken = self.stage.broken().map(str::to_owned);
        self.collectors.stop();
        if let Drain::Forced(words) = self.stage.finish() {
            self.manifest.faults.push(format!("closing the target: {words}"));
        }
        let plan_file = self.plan_file.take().map(PlanWriter::close);
        if let Some(Err(error)) = plan_file {
            self.manifest.faults.push(error.to_string());
        }
        self.manifest.state = match broken {
            Some(words) => {
                self.manifest.faults.push(format!("the target failed as a whole: {words}"));
                State::Failed
            }
            None if self.is_cut_off => State::Failed,
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
