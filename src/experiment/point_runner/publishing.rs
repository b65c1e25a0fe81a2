//! Publishing of points: their files, the manifest, and the end of a run.

use std::fs::File;

use super::opening::OpenTarget;
use super::{PausedRunner, PointRunner, first_id};
use crate::clock::utc_now;
use crate::console;
use crate::experiment::gpu_watch::GpuWatch;
use crate::experiment::workers;
use crate::issue::drawing::{Drawing, DrawingOutcome, Undrawn};
use crate::load::plan::Plan;
use crate::metrics::Summary;
use crate::metrics::observed::ObservedPoint;
use crate::observe::profiler::Profiling;
use crate::record::log::RecordLog;
use crate::store::manifest::{PointEntry, State, UnfinishedPoint};
use crate::store::measured_run::{MeasuredPoint, MeasuredRun, RecordsAt};
use crate::store::partial_files::{PartialFiles, PartialNames};
use crate::store::plan_file::PlanWriter;
use crate::store::point_files;
use crate::store::run_directory::file;
use crate::store::stored_point::PartialPoint;
use crate::store::write::write_whole;

impl PointRunner<'_> {
    /// Makes the partial files of a point and names them in the manifest on disk. Where that cannot be, the point is
    /// measured all the same, and its records stay in memory.
    pub(super) fn partial_files(
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
    pub(super) fn publish(
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
    pub(super) fn fault(&mut self, text: String) {
        console::print_notice(format_args!("{text}"));
        self.manifest.faults.push(text);
        self.incomplete = true;
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

    /// Whether a profiler looked at any of the point; a window that could not be kept to is a fault of the experiment.
    pub(super) fn end_profiling(&mut self, begun: std::io::Result<Profiling>, label: &str) -> bool {
        let looked = match begun.map(Profiling::finish) {
            Ok(Ok(true)) => return true,
            Ok(Ok(false)) => "it ended before its profile window began".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.manifest.faults.push(format!("profile window of {label}: {looked}"));
        false
    }

    /// Completes `plan.csv`, unless the end was asked for, and says how many shots that count are in it.
    pub(super) fn end_drawing(&mut self, drawing: Drawing<File>, label: &str) -> u32 {
        let undrawn = match (self.stop.is_asked(), self.stage.crew()) {
            (true, _) => Undrawn::Left,
            (false, None) => Undrawn::Written,
            (false, Some(_)) => Undrawn::WrittenOfSupplies,
        };
        let DrawingOutcome { file, not_drawn, not_saved, in_file } = drawing.finish(undrawn);
        self.plan_file = Some(file);
        self.is_cut_off |= not_drawn.is_some();
        if let Some(error) = not_drawn {
            self.manifest.faults.push(format!("point {label}: sending ended early: {error}"));
        }
        if let Some(error) = not_saved {
            self.fault(format!("point {label}: {error}"));
        }
        in_file as u32
    }

    /// Closes the target and writes the manifest for the last time; the reports are made from what is returned.
    pub fn close(self) -> MeasuredRun {
        self.pause().close()
    }

    /// The same, but that a target which still answers stays open for another folder.
    pub fn release(self) -> (MeasuredRun, Option<OpenTarget>) {
        let (stage, mut paused) = self.part();
        if paused.broken.is_some() || paused.stop.failure().is_some() {
            paused.note_closed(stage.finish());
            return (paused.close(), None);
        }
        let telemetry = paused.gpus.take().map(GpuWatch::into_telemetry);
        let open = OpenTarget::new(stage, paused.info.clone(), telemetry, paused.tool);
        (paused.close(), Some(open))
    }
}

impl PausedRunner<'_> {
    /// Writes the manifest for the last time; the reports are made from what is returned.
    pub fn close(mut self) -> MeasuredRun {
        if let Some(workers) = self.resolved.workers {
            workers::remove_empty_logs(workers, &self.directory);
        }
        if let Some(Err(error)) = self.plan_file.take().map(PlanWriter::close) {
            self.manifest.faults.push(error.to_string());
            self.incomplete = true;
        }
        self.manifest.state = match self.stop.failure().or(self.broken) {
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
        let points = self.points;
        MeasuredRun { directory: self.directory, manifest: self.manifest, points }
    }
}
