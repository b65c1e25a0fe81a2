//! Progress of a run: its folder and manifest, and what was measured so far, whether its target is open or closed.

use std::fs::File;

use super::opening::Elsewhere;
use crate::clock::utc_now;
use crate::console;
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::server_watch::ServerWatch;
use crate::experiment::workers;
use crate::issue::stop::Stop;
use crate::metrics::facts::SentBefore;
use crate::observe::profiler::Profiler;
use crate::record::nvtx_ranges::Tool;
use crate::settings::Resolved;
use crate::specs::RooflineFacts;
use crate::store::manifest::{Manifest, PointEntry, State};
use crate::store::measured_run::{MeasuredPoint, MeasuredRun};
use crate::store::plan_file::PlanWriter;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::write_whole;
use crate::targets::TargetInfo;

/// What outlives a target that is closed and opened again.
pub(super) struct RunProgress<'a> {
    pub(super) resolved: &'a Resolved,
    pub(super) info: TargetInfo,
    pub(super) directory: RunDirectory,
    pub(super) manifest: Manifest,
    pub(super) gpus: Option<GpuWatch>,
    pub(super) server: Option<ServerWatch>,
    pub(super) profiler: Option<Profiler>,
    pub(super) tool: Option<Tool>,
    pub(super) stop: &'a Stop,
    pub(super) roofline: Option<RooflineFacts>,
    pub(super) sent_before: Option<SentBefore>,
    pub(super) also_sent_by: Vec<String>,
    /// Measured points and what is known of each.
    pub(super) points: Vec<MeasuredPoint>,
    pub(super) entries: Vec<PointEntry>,
    /// Something could not be written.
    pub(super) incomplete: bool,
    /// `plan.csv`, between two points.
    pub(super) plan_file: Option<PlanWriter<File>>,
    /// A prompt could not be drawn.
    pub(super) is_cut_off: bool,
    /// How its target is opened, where another process does.
    pub(super) elsewhere: Option<Elsewhere>,
}

impl RunProgress<'_> {
    /// Something could not be written: the user hears of it at once, and the run ends as incomplete.
    pub(super) fn fault(&mut self, text: String) {
        console::print_notice(format_args!("{text}"));
        self.manifest.faults.push(text);
        self.incomplete = true;
    }

    /// What was seen; where it could not be written, that is a fault.
    pub(super) fn told<T, E: ToString>(&mut self, seen: T, written: Result<(), E>) -> T {
        if let Err(error) = written {
            self.fault(error.to_string());
        }
        seen
    }

    /// Writes the manifest as it stands; whether it is on disk.
    pub(super) fn write_manifest(&mut self) -> bool {
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

    /// Writes the manifest for the last time; the reports are made from what is returned. `broken` says why the
    /// target had failed as a whole when it was closed.
    pub(super) fn close(mut self, broken: Option<String>) -> MeasuredRun {
        if let Some(workers) = self.resolved.workers {
            workers::remove_empty_logs(workers, &self.directory);
        }
        if let Some(Err(error)) = self.plan_file.take().map(PlanWriter::close) {
            self.manifest.faults.push(error.to_string());
            self.incomplete = true;
        }
        self.manifest.state = self.end_state(broken);
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

    /// How the run ended; a failure of the target is written among its faults.
    fn end_state(&mut self, broken: Option<String>) -> State {
        match self.stop.failure().or(broken) {
            Some(text) => {
                let is_lost = self.manifest.workers.iter().any(|worker| worker.lost.is_some());
                let text =
                    if is_lost { text } else { format!("the target failed as a whole: {text}") };
                self.manifest.faults.push(text);
                State::Failed
            }
            None if self.is_cut_off => State::Failed,
            None if self.stop.is_asked() => State::Interrupted,
            None if self.incomplete => State::Incomplete,
            None => State::Complete,
        }
    }
}
