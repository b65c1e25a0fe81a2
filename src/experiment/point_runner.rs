//! Point runner: an opened target with its folder and manifest, on which points are played one after another.

use std::fs::File;
use std::path::Path;

use crate::clock::{self, Nanos, Window, utc_now};
use crate::console;
use crate::experiment::between;
use crate::experiment::collectors::{CollectedStatistics, Collectors};
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::interrupt;
use crate::experiment::listening_log::{Listener, heard};
use crate::experiment::sweep::{ExperimentError, Watch};
use crate::experiment::warm_up::Warmed;
use crate::issue::drawing::{Drawing, DrawingError, DrawingOutcome};
use crate::issue::issuer::{Pace, Played, RampPace};
use crate::issue::phase::Stage;
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::course::{Ramp, Tail, WindowKind, window_of};
use crate::load::plan::Plan;
use crate::metrics::facts::SentBefore;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::{RunFacts, Summary, TargetFacts, iterations, kv_events, summarise_observed};
use crate::observe::gpu::sampler::Telemetry;
use crate::observe::health::Health;
use crate::observe::probe::Probe;
use crate::observe::profiler::{self, Profiler, Profiling};
use crate::record::log::RecordLog;
use crate::record::nvtx_ranges::Tool;
use crate::record::recorder::PhaseRecords;
use crate::request::RequestId;
use crate::settings::Resolved;
use crate::specs::RooflineFacts;
use crate::store::manifest::{Manifest, PointEntry, State, UnfinishedPoint};
use crate::store::measured_run::{MeasuredPoint, MeasuredRun, RecordsAt};
use crate::store::partial_files::{PartialFiles, PartialNames};
use crate::store::plan_file::PlanWriter;
use crate::store::point_files;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::stored_point::PartialPoint;
use crate::store::write::write_whole;
use crate::targets::{Drain, Target, TargetInfo};

/// How much a session has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Requests of the whole session.
    pub requests: usize,
    /// The most that a closed or capped loop has in flight.
    pub slots: usize,
}

impl Room {
    /// For all of these plans.
    pub fn of(plans: &[Plan]) -> Self {
        let requests = plans.last().map_or(0, |plan| plan.next_id().0 as usize);
        let slots = plans.iter().map(|plan| match plan.load() {
            Load::Closed { concurrency } => concurrency,
            Load::Open { max_in_flight, .. } => max_in_flight.unwrap_or(1),
            Load::Batch => 1,
        });
        Self { requests, slots: slots.max().unwrap_or(1).max(WARM_UP_CONCURRENCY) as usize }
    }
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
pub struct PointRunner<'a> {
    resolved: &'a Resolved,
    info: TargetInfo,
    /// Before `stage`, so that an error on the way ends them first: they read from its target.
    collectors: Collectors,
    stage: Stage,
    directory: RunDirectory,
    manifest: Manifest,
    gpus: Option<GpuWatch>,
    profiler: Option<Profiler>,
    tool: Option<Tool>,
    stop: &'a Stop,
    roofline: Option<RooflineFacts>,
    sent_before: Option<SentBefore>,
    /// Measured points and what is known of each.
    points: Vec<MeasuredPoint>,
    entries: Vec<PointEntry>,
    /// Something could not be written.
    incomplete: bool,
    /// `plan.csv`, between two points.
    plan_file: Option<PlanWriter<File>>,
    /// A prompt could not be drawn.
    is_cut_off: bool,
    /// Hears of the requests of the next point.
    listener: Option<Listener>,
}

impl<'a> PointRunner<'a> {
    /// Opens the target for all of these plans. `manifest` has been written into `directory` already.
    ///
    /// # Errors
    /// When the target cannot be opened or a file not be made. The manifest on disk then says so.
    pub fn open(
        resolved: &'a Resolved,
        opening: Opening,
        plans: &[Plan],
        directory: RunDirectory,
        manifest: Manifest,
        stop: &'a Stop,
    ) -> Result<Self, ExperimentError> {
        Self::open_for(resolved, opening, Room::of(plans), directory, manifest, stop)
    }

    /// The same, where plans are not known yet.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for(
        resolved: &'a Resolved,
        opening: Opening,
        room: Room,
        directory: RunDirectory,
        manifest: Manifest,
        stop: &'a Stop,
    ) -> Result<Self, ExperimentError> {
        let (path, on_disk) = (directory.file(file::MANIFEST), manifest.clone());
        Self::open_all(resolved, opening, room, directory, manifest, stop)
            .inspect_err(|error| write_not_opened(&path, on_disk, error))
    }

    fn open_all(
        resolved: &'a Resolved,
        Opening { target, telemetry }: Opening,
        Room { requests, slots }: Room,
        directory: RunDirectory,
        mut manifest: Manifest,
        stop: &'a Stop,
    ) -> Result<Self, ExperimentError> {
        interrupt::keep_manifest(stop, &directory);
        let info = target.describe().clone();
        let gpus = telemetry.map(|telemetry| GpuWatch::open(telemetry, &directory)).transpose()?;
        manifest.gpus = gpus.as_ref().map(GpuWatch::machine).transpose()?;
        let profiler = resolved
            .profile_window
            .map(|window| Profiler::new(window.from, window.to, resolved.cuda_library.as_deref()))
            .transpose()?;
        let tool = resolved.nvtx.then(Tool::find).transpose()?;
        let stage = Stage::open_heard(target, requests, slots, stop.clone(), tool)?;
        let collectors = Collectors::start(&stage, &directory)?;
        let plan_file =
            PlanWriter::create(&directory.file(file::PLAN)).map_err(DrawingError::File)?;
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
            roofline: None,
            sent_before: None,
            points: Vec::new(),
            entries: Vec::new(),
            incomplete: false,
            plan_file: Some(plan_file),
            is_cut_off: false,
            listener: None,
        })
    }

    /// Lets somebody hear of every request of the next point as soon as it has ended.
    pub fn listen(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// The same, with the model and machine that points are held against.
    #[must_use]
    pub fn with_roofline(self, roofline: Option<RooflineFacts>) -> Self {
        Self { roofline, ..self }
    }

    /// With the run that sent the same prompts to the same server, where there was one.
    #[must_use]
    pub fn with_sent_before(self, sent_before: Option<SentBefore>) -> Self {
        Self { sent_before, ..self }
    }

    /// What is to happen between two points. A point is measured all the same where it fails, and the run says so.
    pub fn rest(&mut self) {
        if let Some(text) = between::rest(self.resolved, self.stop) {
            console::print_notice(format_args!("{text}"));
            self.manifest.faults.push(text);
        }
    }

    /// Whether another point can be played: nobody has asked for the end, and the target still answers.
    pub fn can_go_on(&self) -> bool {
        !self.stop.is_asked() && !self.is_cut_off && self.stage.broken().is_none()
    }

    /// Plays one point: warm-up, then the measurement. When it returns, the point is on disk, complete.
    ///
    /// # Errors
    /// When the plan cannot be drawn or saved, samples not be written, or records not be read again.
    ///
    /// # Panics
    /// If the drawing thread has panicked, which is a bug.
    pub fn play(
        &mut self,
        plan: &Plan,
        label: String,
        watch: &mut dyn Watch,
    ) -> Result<(), ExperimentError> {
        let file = self.plan_file.take().expect("every point gives it back");
        let mut drawing = Drawing::start(plan, file, self.stage.preparer())?;
        let warmed = self.warm_up(plan, &mut drawing, &label, watch);
        if let Some(failure) = &warmed.failure {
            console::print_notice(format_args!("{label}: {failure}"));
        }
        drawing.wait_until_ahead();
        let entry = PointEntry {
            label,
            plan_hash: plan.hash().to_owned(),
            warmup_requests: plan.warmup().len() as u32,
            warmup_completed: warmed.completed,
            warmup_failure: warmed.failure.clone(),
            ran_out: false,
            late_events: 0,
            iteration_before: None,
            kv_event_before: None,
            facts: self.facts(plan),
            health: Health {
                null_rate: self.manifest.null_rate,
                client_rate: self.manifest.client_rate,
                ..Health::default()
            },
        };
        let (files, log) = self.partial_files(plan, &entry).unzip();
        let log = match self.listener.take() {
            Some(listener) => log.map(|log| heard(log, listener)),
            None => log,
        };
        let (entry, records, collected) =
            self.measure(plan, drawing, entry, (files, log), warmed, watch)?;
        let observed = ObservedPoint::read(&records, &entry.facts)?;
        let mut summary = summarise_observed(&observed, &entry.facts, &entry.health);
        let window = entry.facts.window;
        summary.iterations =
            iterations::of(&collected.iterations.items, entry.iteration_before, window);
        summary.kv_events =
            kv_events::of(&collected.kv_events.items, entry.kv_event_before, window);
        watch.measured(&entry, &summary);
        self.publish(entry, summary, &observed, records);
        Ok(())
    }

    /// Sends the measured requests and returns what is known of them.
    fn measure(
        &mut self,
        plan: &Plan,
        mut drawing: Drawing<File>,
        mut entry: PointEntry,
        (files, log): (Option<PartialFiles>, Option<Box<dyn RecordLog>>),
        warmed: Warmed,
        watch: &mut dyn Watch,
    ) -> Result<(PointEntry, PartialPoint, CollectedStatistics), ExperimentError> {
        let label = entry.label.clone();
        let (waited_before, stray_before) = (self.stage.waited(), self.stage.stray_ends());
        // What the engine did while it was warmed up is not part of the point.
        self.collectors.begin(plan.point());
        let sampling = self.gpus.as_ref().map(GpuWatch::start).transpose()?;
        let profiling = self.profiler.as_ref().map(Profiler::begin);
        let probe = Probe::start();
        watch.phase(&label, plan.shots().len() as u64, plan.size().duration, &self.stage);
        let marked = self.tool.map(|tool| tool.phase(&label));
        let pace = self.pace(plan, warmed.mean_latency);
        let mut shots = drawing.measured(plan);
        let (played, phase) = self.stage.play(&mut shots, &pace, log);
        drop(marked);
        let seen = probe.finish();
        let profiled = profiling.is_some_and(|begun| self.end_profiling(begun, &label));
        let collected = self.collectors.end();
        watch.phase_over();
        self.end_drawing(drawing, &label);
        if let Some(error) = &phase.log_error {
            self.fault(format!("records of point {label} are not all on disk: {error}"));
        }
        for text in [&collected.iterations.fault, &collected.kv_events.fault].into_iter().flatten()
        {
            self.manifest.faults.push(format!("point {label}: {text}"));
        }
        if played.ramp_ran_out {
            let why = "the load may be more than the target can take, or `--ramp` is too long";
            let most = plan.ramp_at_most();
            let text = format!("point {label}: the ramp ended early, after {most} requests: {why}");
            self.manifest.faults.push(text);
        }
        entry.facts.window = window(entry.facts.window_kind, &played, &phase);
        entry.facts.complete = !played.interrupted && self.stage.broken().is_none();
        let waited = self.stage.waited() - waited_before;
        let watched = self.gpus.as_mut().zip(sampling);
        let window = entry.facts.window;
        let gpu = watched.map(|(gpus, sampling)| gpus.finish(sampling, plan.point(), window));
        entry.health = Health {
            dropped_events: waited.lost,
            recorder_waits: waited.waits,
            recorder_wait_ms: waited.span.as_millis_f64(),
            stray_ends: self.stage.stray_ends() - stray_before,
            null_rate: self.manifest.null_rate,
            client_rate: self.manifest.client_rate,
            gpu: gpu.transpose()?,
            profiled: profiled || self.resolved.nvtx || profiler::is_attached(),
            ..seen
        };
        entry.ran_out = played.ran_out && plan.is_pool();
        entry.late_events = phase.late_events;
        entry.iteration_before = collected.iterations.before.and_then(|it| it.last_number());
        entry.kv_event_before = collected.kv_events.before.map(|it| it.event);
        let first = first_id(plan);
        Ok((entry, PartialPoint::new(files, phase.records, first), collected))
    }

    /// Makes the partial files of a point and names them in the manifest on disk. Where that cannot be, the point is
    /// measured all the same, and its records stay in memory.
    fn partial_files(
        &mut self,
        plan: &Plan,
        entry: &PointEntry,
    ) -> Option<(PartialFiles, Box<dyn RecordLog>)> {
        let names = PartialNames::unused(&self.directory);
        let requests = plan.shots().len() + plan.fill().len();
        match PartialFiles::create(&self.directory, &names, plan.point(), requests) {
            Ok(files) => {
                self.manifest.unfinished.push(UnfinishedPoint {
                    first_id: first_id(plan),
                    files: names,
                    entry: entry.clone(),
                });
                self.write_manifest();
                Some(files)
            }
            Err(error) => {
                self.fault(format!("records of point {} stay in memory: {error}", entry.label));
                None
            }
        }
    }

    /// Takes a measured point over into the files of the run; what cannot be written stays where it is.
    fn publish(
        &mut self,
        entry: PointEntry,
        summary: Summary,
        observed: &ObservedPoint,
        records: PartialPoint,
    ) {
        let keep = self.resolved.keep_deliveries;
        let point = entry.facts.point;
        let written =
            point_files::append(&self.directory, &records, observed, &entry.facts, &summary, keep);
        let unfinished =
            self.manifest.unfinished.iter().position(|it| it.entry.facts.point == point);
        let records = match written {
            Ok(()) => {
                let names = unfinished.map(|at| self.manifest.unfinished.remove(at).files);
                self.manifest.points.push(entry.clone());
                if self.write_manifest()
                    && let Some(Err(error)) = names.map(|names| names.remove(&self.directory))
                {
                    self.fault(format!("partial files cannot be removed: {error}"));
                }
                RecordsAt::Files
            }
            Err(error) => {
                self.fault(format!("point {}: {error}", entry.label));
                if let Some(at) = unfinished {
                    self.manifest.unfinished[at].entry = entry.clone();
                }
                RecordsAt::Partial(records)
            }
        };
        self.points.push(MeasuredPoint { summary, records });
        self.entries.push(entry);
    }

    /// Something could not be written: the user hears of it at once, and the run ends as incomplete.
    fn fault(&mut self, text: String) {
        console::print_notice(format_args!("{text}"));
        self.manifest.faults.push(text);
        self.incomplete = true;
    }

    /// Writes the manifest as it stands; whether it is on disk.
    fn write_manifest(&mut self) -> bool {
        let path = self.directory.file(file::MANIFEST);
        if self.stop.is_asked() {
            // Whatever ends the program now, this is what it was.
            self.manifest.state = State::Interrupted;
        }
        match write_whole(&path, self.manifest.to_json().as_bytes()) {
            Ok(()) => true,
            Err(error) => {
                self.fault(error.to_string());
                false
            }
        }
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
        let DrawingOutcome { file, not_drawn, not_saved } = drawing.finish(!self.stop.is_asked());
        self.plan_file = Some(file);
        self.is_cut_off |= not_drawn.is_some();
        if let Some(error) = not_drawn {
            self.manifest.faults.push(format!("point {label}: sending ended early: {error}"));
        }
        if let Some(error) = not_saved {
            self.fault(format!("point {label}: {error}"));
        }
    }

    fn warm_up(
        &mut self,
        plan: &Plan,
        drawing: &mut Drawing<File>,
        label: &str,
        watch: &mut dyn Watch,
    ) -> Warmed {
        let shots = plan.warmup();
        if shots.is_empty() {
            return Warmed::default();
        }
        let concurrency = match plan.load() {
            Load::Closed { concurrency } => concurrency,
            Load::Open { .. } | Load::Batch => WARM_UP_CONCURRENCY,
        };
        let pace = Pace {
            load: Load::Closed { concurrency },
            ramp: None,
            tail: Tail::None,
            duration: None,
            ..self.pace(plan, None)
        };
        let label = format!("{label}, warm-up");
        watch.phase(&label, shots.len() as u64, None, &self.stage);
        let _marked = self.tool.map(|tool| tool.phase(&label));
        let (_, phase) = self.stage.play(&mut drawing.shots(shots), &pace, None);
        watch.phase_over();
        Warmed::of(phase.records.requests())
    }

    fn pace(&self, plan: &Plan, mean_latency: Option<Nanos>) -> Pace {
        let course = plan.size().course;
        let at_most = plan.ramp_at_most();
        let ramp = match (course.ramp, plan.load()) {
            (Ramp::None, _) => None,
            (Ramp::Over(span), _) => Some(RampPace { over: Some(span), at_most }),
            (Ramp::Estimated, Load::Closed { .. }) => {
                Some(RampPace { over: mean_latency, at_most })
            }
            (Ramp::Estimated, Load::Open { .. } | Load::Batch) => {
                Some(RampPace { over: None, at_most })
            }
        };
        Pace {
            load: plan.load(),
            ramp,
            tail: course.tail,
            duration: plan.size().duration,
            timeout: self.resolved.timeout,
            drain: self.resolved.drain,
        }
    }

    /// As the target knows them, else as the user says.
    fn gpus_in_use(&self) -> u32 {
        let said = self.resolved.declared.server.gpu_count;
        if self.info.gpus > 0 { self.info.gpus } else { said.unwrap_or(0) }
    }

    fn facts(&self, plan: &Plan) -> RunFacts {
        let now = clock::now();
        RunFacts {
            point: plan.point(),
            target: TargetFacts::from(&self.info),
            load: plan.load(),
            // Known at the end.
            window: Window { start: now, end: now },
            window_kind: self.resolved.window.of(&plan.load()),
            planned: plan.shots().len() as u64,
            gpus: self.gpus_in_use(),
            streaming: self.resolved.workload.streaming,
            slos: self.resolved.slos.clone(),
            complete: false,
            stability_percent: RunFacts::STABILITY_PERCENT,
            roofline: self.roofline.clone(),
            shared_prefix_tokens: self.resolved.workload.prefix_tokens,
            sent_before: self.sent_before.clone(),
            allowed: self.resolved.allow.clone(),
        }
    }

    /// Closes the target and writes the manifest for the last time; the reports are made from what is returned.
    pub fn close(mut self) -> MeasuredRun {
        let broken = self.stage.broken().map(str::to_owned);
        self.collectors.stop();
        if let Drain::Forced(text) = self.stage.finish() {
            self.manifest.faults.push(format!("closing the target: {text}"));
        }
        if let Some(Err(error)) = self.plan_file.take().map(PlanWriter::close) {
            self.manifest.faults.push(error.to_string());
            self.incomplete = true;
        }
        self.manifest.state = match broken {
            Some(text) => {
                self.manifest.faults.push(format!("the target failed as a whole: {text}"));
                State::Failed
            }
            None if self.is_cut_off => State::Failed,
            None if self.stop.is_asked() => State::Interrupted,
            None if self.incomplete => State::Incomplete,
            None => State::Complete,
        };
        self.manifest.ended = Some(utc_now().to_string());
        let path = self.directory.file(file::MANIFEST);
        if let Err(error) = write_whole(&path, self.manifest.to_json().as_bytes()) {
            self.manifest.faults.push(error.to_string());
            if self.manifest.state == State::Complete {
                self.manifest.state = State::Incomplete;
            }
        }
        // On disk a point that could not be taken over is unfinished; here it is measured like the others.
        self.manifest.points = self.entries;
        self.manifest.unfinished.clear();
        MeasuredRun { directory: self.directory, manifest: self.manifest, points: self.points }
    }
}

/// Ends the manifest of a run whose target could not be opened.
fn write_not_opened(path: &Path, mut manifest: Manifest, error: &ExperimentError) {
    manifest.state = State::Failed;
    manifest.faults.push(error.to_string());
    manifest.ended = Some(utc_now().to_string());
    if let Err(error) = write_whole(path, manifest.to_json().as_bytes()) {
        console::print_notice(format_args!("{error}"));
    }
}

/// Id of the first measured request.
fn first_id(plan: &Plan) -> RequestId {
    plan.shots().facts().next().map_or(RequestId(0), |shot| shot.id)
}

/// The window of the rates; empty where no request that counts was submitted.
fn window(kind: WindowKind, played: &Played, phase: &PhaseRecords) -> Window {
    let nothing = Window { start: played.start, end: played.start };
    window_of(kind, phase.submissions, phase.last_end).unwrap_or(nothing)
}
