//! Pause of a point runner: its target is closed and can be opened again, its folder and what was measured stay.

use std::fs::File;

use super::opening::{Elsewhere, open_stage, write_not_opened};
use super::{PointRunner, Room};
use crate::experiment::collectors::Collectors;
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::server_watch::ServerWatch;
use crate::experiment::sweep::ExperimentError;
use crate::issue::phase::Stage;
use crate::issue::stop::Stop;
use crate::metrics::facts::SentBefore;
use crate::observe::profiler::Profiler;
use crate::record::nvtx_ranges::Tool;
use crate::settings::Resolved;
use crate::specs::RooflineFacts;
use crate::store::manifest::{Manifest, PointEntry};
use crate::store::measured_run::MeasuredPoint;
use crate::store::plan_file::PlanWriter;
use crate::store::run_directory::{RunDirectory, file};
use crate::targets::{Drain, Target, TargetInfo};

/// A point runner whose target is closed.
pub struct PausedRunner<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) info: TargetInfo,
    pub(super) directory: RunDirectory,
    pub(super) manifest: Manifest,
    pub(super) gpus: Option<GpuWatch>,
    server: Option<ServerWatch>,
    profiler: Option<Profiler>,
    pub(super) tool: Option<Tool>,
    pub(super) stop: &'a Stop,
    roofline: Option<RooflineFacts>,
    sent_before: Option<SentBefore>,
    also_sent_by: Vec<String>,
    pub(super) points: Vec<MeasuredPoint>,
    pub(super) entries: Vec<PointEntry>,
    pub(super) incomplete: bool,
    pub(super) plan_file: Option<PlanWriter<File>>,
    pub(super) is_cut_off: bool,
    /// Why its target had failed as a whole when it was closed.
    pub(super) broken: Option<String>,
    elsewhere: Option<Elsewhere>,
}

impl<'a> PointRunner<'a> {
    /// Closes the target.
    pub fn pause(self) -> PausedRunner<'a> {
        let (stage, mut paused) = self.part();
        paused.note_closed(stage.finish());
        paused
    }

    /// The target that is still open, which nobody reads from any more, and all the rest.
    pub(super) fn part(self) -> (Stage, PausedRunner<'a>) {
        let mut manifest = self.manifest;
        let broken = self.stage.broken().map(str::to_owned);
        if let Err(text) = self.collectors.stop() {
            manifest.faults.push(text);
        }
        let paused = PausedRunner {
            resolved: self.resolved,
            info: self.info,
            directory: self.directory,
            manifest,
            gpus: self.gpus,
            server: self.server,
            profiler: self.profiler,
            tool: self.tool,
            stop: self.stop,
            roofline: self.roofline,
            sent_before: self.sent_before,
            also_sent_by: self.also_sent_by,
            points: self.points,
            entries: self.entries,
            incomplete: self.incomplete,
            plan_file: self.plan_file,
            is_cut_off: self.is_cut_off,
            broken,
            elsewhere: self.elsewhere,
        };
        (self.stage, paused)
    }
}

impl<'a> PausedRunner<'a> {
    /// Keeps what did not go well when the target was closed.
    pub(super) fn note_closed(&mut self, drain: Drain) {
        if let Drain::Forced(text) = drain {
            self.manifest.faults.push(format!("closing the target: {text}"));
        }
    }

    /// Whether its target can be opened again and measured.
    pub fn can_go_on(&self) -> bool {
        !self.stop.is_asked() && !self.is_cut_off && self.broken.is_none()
    }

    /// Opens the target again, with room for the whole session.
    ///
    /// # Errors
    /// When it cannot be opened. The manifest on disk then says so.
    pub fn resume(
        self,
        target: Box<dyn Target>,
        room: Room,
    ) -> Result<PointRunner<'a>, ExperimentError> {
        let (path, on_disk) = (self.directory.file(file::MANIFEST), self.manifest.clone());
        self.open_again(target, room).inspect_err(|error| write_not_opened(&path, on_disk, error))
    }

    fn open_again(
        self,
        target: Box<dyn Target>,
        room: Room,
    ) -> Result<PointRunner<'a>, ExperimentError> {
        let stage = match &self.elsewhere {
            Some(it) => it.open(self.resolved, &self.directory, self.stop)?,
            None => open_stage(self.resolved, target, room, self.stop, self.tool)?,
        };
        let collectors = Collectors::start(&stage, &self.directory)?;
        Ok(PointRunner {
            resolved: self.resolved,
            info: self.info,
            stage,
            directory: self.directory,
            manifest: self.manifest,
            collectors,
            gpus: self.gpus,
            server: self.server,
            profiler: self.profiler,
            tool: self.tool,
            stop: self.stop,
            roofline: self.roofline,
            sent_before: self.sent_before,
            also_sent_by: self.also_sent_by,
            points: self.points,
            entries: self.entries,
            incomplete: self.incomplete,
            plan_file: self.plan_file,
            is_cut_off: self.is_cut_off,
            listener: None,
            elsewhere: self.elsewhere,
        })
    }
}
