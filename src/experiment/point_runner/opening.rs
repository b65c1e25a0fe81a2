//! Opening of a target with its folder: room for every request, watchers, files.

use std::path::Path;

use super::PointRunner;
use super::progress::RunProgress;
use crate::clock::utc_now;
use crate::console;
use crate::experiment::collectors::Collectors;
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::interrupt;
use crate::experiment::server_watch::ServerWatch;
use crate::experiment::sweep::ExperimentError;
use crate::experiment::workers::{self, calls::Listening};
use crate::issue::drawing::DrawingError;
use crate::issue::phase::{Keep, Stage, StageError};
use crate::issue::stop::Stop;
use crate::issue::workers::Workers;
use crate::issue::workers::message::SideJob;
use crate::load::Load;
use crate::load::plan::Plan;
use crate::observe::gpu::sampler::Telemetry;
use crate::observe::profiler::Profiler;
use crate::record::nvtx_ranges::Tool;
use crate::settings::Resolved;
use crate::store::manifest::{Manifest, State};
use crate::store::plan_file::PlanWriter;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::write_whole;
use crate::targets::named::Named;
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
pub(super) const WARM_UP_CONCURRENCY: u32 = 4;

/// What is about to be opened.
pub struct Opening {
    /// What answers.
    pub target: Box<dyn Target>,
    /// The GPUs that are watched meanwhile.
    pub telemetry: Option<Telemetry>,
    /// Where workers call that this process does not start.
    pub calls: Option<Listening>,
    /// Ids with a meaning of their own.
    pub special_ids: Vec<u32>,
    /// What a process in another environment is told, which opens it instead.
    pub job: Option<SideJob>,
}

impl Opening {
    /// Of a described target.
    pub fn of(named: Named, telemetry: Option<Telemetry>) -> Self {
        let special_ids = named.special_ids().collect();
        Self { target: named.target, telemetry, calls: None, special_ids, job: None }
    }
}

/// A target that stays open between two run folders.
pub struct OpenTarget {
    stage: Stage,
    info: TargetInfo,
    telemetry: Option<Telemetry>,
    tool: Option<Tool>,
}

/// What a runner begins with.
#[allow(clippy::large_enum_variant, reason = "there is one of it, and it is moved once")]
pub enum Beginning {
    /// A target that is to be opened, with room for a whole session.
    Closed(Opening, Room),
    /// One that so many workers open, each for itself, to play plans of these hashes.
    Divided(Opening, u32, Vec<String>),
    /// One that a process in another environment opens, to play plans of these hashes.
    Elsewhere(Opening, SideJob, Vec<String>),
    /// One that is open already.
    Open(OpenTarget),
}

impl Beginning {
    /// What it says of its target.
    fn info(&self) -> TargetInfo {
        match self {
            Self::Closed(opening, _)
            | Self::Divided(opening, ..)
            | Self::Elsewhere(opening, ..) => opening.target.describe().clone(),
            Self::Open(open) => open.info.clone(),
        }
    }
}

impl<'a> PointRunner<'a> {
    /// Opens the target for all of these plans. `manifest` has been written into `directory` already.
    ///
    /// # Errors
    /// When the target cannot be opened or a file not be made. The manifest on disk then says so.
    pub fn open(
        resolved: &'a Resolved,
        mut opening: Opening,
        plans: &[Plan],
        directory: RunDirectory,
        manifest: Manifest,
        stop: &'a Stop,
    ) -> Result<Self, ExperimentError> {
        let hashes = || plans.iter().map(|plan| plan.hash().to_owned()).collect();
        let beginning = match (resolved.workers, opening.job.take()) {
            (Some(workers), _) => Beginning::Divided(opening, workers, hashes()),
            (None, Some(job)) => Beginning::Elsewhere(opening, job, hashes()),
            (None, None) => Beginning::Closed(opening, Room::of(plans)),
        };
        Self::begin(resolved, beginning, directory, manifest, stop)
    }

    /// The same, where plans are not known yet or the target may be open.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn begin(
        resolved: &'a Resolved,
        beginning: Beginning,
        directory: RunDirectory,
        manifest: Manifest,
        stop: &'a Stop,
    ) -> Result<Self, ExperimentError> {
        let (path, on_disk) = (directory.file(file::MANIFEST), manifest.clone());
        Self::begin_all(resolved, beginning, directory, manifest, stop)
            .inspect_err(|error| write_not_opened(&path, on_disk, error))
    }

    fn begin_all(
        resolved: &'a Resolved,
        beginning: Beginning,
        directory: RunDirectory,
        mut manifest: Manifest,
        stop: &'a Stop,
    ) -> Result<Self, ExperimentError> {
        interrupt::keep_manifest(stop, &directory);
        let info = beginning.info();
        let (stage, telemetry) = match beginning {
            Beginning::Open(OpenTarget { stage, telemetry, tool, .. }) => {
                (Ok((stage, tool)), telemetry)
            }
            Beginning::Closed(opening, room) => {
                (Err(Shut::Here(opening.target, room)), opening.telemetry)
            }
            Beginning::Divided(opening, workers, hashes) => {
                let shut = Shut::Divided { workers, hashes, calls: opening.calls };
                (Err(shut), opening.telemetry)
            }
            Beginning::Elsewhere(opening, job, hashes) => {
                (Err(Shut::Elsewhere(Box::new(Elsewhere { job, hashes }))), opening.telemetry)
            }
        };
        let gpus = telemetry.map(|telemetry| GpuWatch::open(telemetry, &directory)).transpose()?;
        manifest.gpus = gpus.as_ref().map(GpuWatch::machine).transpose()?;
        let server = ServerWatch::open(resolved, &directory)?;
        let profiler = resolved
            .profile_window
            .map(|window| Profiler::new(window.from, window.to, resolved.cuda_library.as_deref()))
            .transpose()?;
        let mut elsewhere = None;
        let (stage, tool) = match stage {
            Ok(open) => open,
            Err(Shut::Divided { workers, hashes, calls }) => {
                let calls = calls.as_ref();
                let workers =
                    workers::start(resolved, workers, &hashes, &directory, calls, stop.clone());
                let mut workers = workers.map_err(StageError::from)?;
                let rate = workers.calibrate().map_err(StageError::from)?;
                (manifest.null_rate, manifest.client_rate) = (rate.null, rate.client);
                manifest.faults.extend(rate.faults);
                (Stage::of_workers(workers), None)
            }
            Err(Shut::Elsewhere(it)) => {
                let stage = it.open(resolved, &directory, stop)?;
                elsewhere = Some(*it);
                (stage, None)
            }
            Err(Shut::Here(target, room)) => {
                let tool = resolved.nvtx.then(Tool::find).transpose()?;
                (open_stage(resolved, target, room, stop, tool)?, tool)
            }
        };
        if let (Some(facts), Some(details)) =
            (stage.facts(), manifest.target.details.as_object_mut())
        {
            details.insert("opened".to_owned(), facts);
        }
        manifest.workers = stage.workers().map(Workers::entries).unwrap_or_default();
        let collectors = Collectors::start(&stage, &directory)?;
        let plan_file =
            PlanWriter::create(&directory.file(file::PLAN)).map_err(DrawingError::File)?;
        let run = RunProgress {
            resolved,
            info,
            directory,
            manifest,
            gpus,
            server,
            profiler,
            tool,
            stop,
            roofline: None,
            sent_before: None,
            also_sent_by: Vec::new(),
            points: Vec::new(),
            entries: Vec::new(),
            incomplete: false,
            plan_file: Some(plan_file),
            is_cut_off: false,
            elsewhere,
        };
        Ok(Self { collectors, stage, run, listener: None })
    }
}

/// A target that is not open yet.
enum Shut {
    Here(Box<dyn Target>, Room),
    Divided { workers: u32, hashes: Vec<String>, calls: Option<Listening> },
    Elsewhere(Box<Elsewhere>),
}

/// A target that a process in another environment opens, whenever it is opened.
pub(super) struct Elsewhere {
    job: SideJob,
    hashes: Vec<String>,
}

impl Elsewhere {
    /// Starts that process and has it open the target.
    pub(super) fn open(
        &self,
        resolved: &Resolved,
        directory: &RunDirectory,
        stop: &Stop,
    ) -> Result<Stage, StageError> {
        let child = workers::start_side(resolved, &self.job, &self.hashes, directory, stop.clone());
        Ok(Stage::of_workers(child?))
    }
}

impl OpenTarget {
    pub(super) const fn new(
        stage: Stage,
        info: TargetInfo,
        telemetry: Option<Telemetry>,
        tool: Option<Tool>,
    ) -> Self {
        Self { stage, info, telemetry, tool }
    }

    /// Closes it; what did not go well, where something did not.
    pub fn close(self) -> Option<String> {
        match self.stage.finish() {
            Drain::Clean => None,
            Drain::Forced(text) => Some(format!("closing the target: {text}")),
        }
    }
}

/// Opens a target with this room; answers are kept where later prompts repeat them.
pub(super) fn open_stage(
    resolved: &Resolved,
    target: Box<dyn Target>,
    Room { requests, slots }: Room,
    stop: &Stop,
    tool: Option<Tool>,
) -> Result<Stage, StageError> {
    let keep = if resolved.workload.is_conversation() { Keep::Answers } else { Keep::Nothing };
    Stage::open_heard(target, requests, slots, stop.clone(), tool, keep)
}

/// Ends the manifest of a run whose target could not be opened.
pub(super) fn write_not_opened(path: &Path, mut manifest: Manifest, error: &ExperimentError) {
    manifest.state = State::Failed;
    manifest.faults.push(error.to_string());
    manifest.ended = Some(utc_now().to_string());
    if let Err(error) = write_whole(path, manifest.to_json().as_bytes()) {
        console::print_notice(format_args!("{error}"));
    }
}
