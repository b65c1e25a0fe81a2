//! Publishing of points: their files, the manifest, and the end of a run.

use std::fs::File;

use super::opening::OpenTarget;
use super::{PointRunner, first_id};
use crate::experiment::gpu_watch::GpuWatch;
use crate::issue::drawing::{Drawing, DrawingOutcome, Undrawn};
use crate::load::plan::Plan;
use crate::metrics::Summary;
use crate::metrics::observed::ObservedPoint;
use crate::observe::profiler::Profiling;
use crate::record::log::RecordLog;
use crate::store::manifest::{PointEntry, UnfinishedPoint};
use crate::store::measured_run::{MeasuredPoint, MeasuredRun, RecordsAt};
use crate::store::partial_files::{PartialFiles, PartialNames};
use crate::store::point_files;
use crate::store::stored_point::PartialPoint;

impl PointRunner<'_> {
    /// Makes the partial files of a point and names them in the manifest on disk. Where that cannot be, the point is
    /// measured all the same, and its records stay in memory.
    pub(super) fn partial_files(
        &mut self,
        plan: &Plan,
        entry: &PointEntry,
    ) -> Option<(PartialFiles, Box<dyn RecordLog>)> {
        let names = PartialNames::unused(&self.run.directory);
        let requests = plan.shots().len() + plan.fill().len();
        let (directory, is_supply) = (&self.run.directory, plan.is_pool());
        match PartialFiles::create(directory, &names, plan.point(), requests, is_supply) {
            Ok(files) => {
                self.run.manifest.unfinished.push(UnfinishedPoint {
                    first_id: first_id(plan),
                    files: names,
                    entry: entry.clone(),
                });
                self.run.write_manifest();
                Some(files)
            }
            Err(error) => {
                self.run.fault(format!("records of point {} stay in memory: {error}", entry.label));
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
        let keep = self.run.resolved.keep_deliveries;
        let point = entry.facts.point;
        let written = point_files::append(
            &self.run.directory,
            &records,
            observed,
            &entry.facts,
            &summary,
            keep,
        );
        let unfinished =
            self.run.manifest.unfinished.iter().position(|it| it.entry.facts.point == point);
        let records = match written {
            Ok(()) => {
                let names = unfinished.map(|at| self.run.manifest.unfinished.remove(at).files);
                self.run.manifest.points.push(entry.clone());
                if self.run.write_manifest()
                    && let Some(Err(error)) = names.map(|names| names.remove(&self.run.directory))
                {
                    self.run.fault(format!("partial files cannot be removed: {error}"));
                }
                RecordsAt::Files
            }
            Err(error) => {
                self.run.fault(format!("point {}: {error}", entry.label));
                if let Some(at) = unfinished {
                    self.run.manifest.unfinished[at].entry = entry.clone();
                }
                RecordsAt::Partial(records)
            }
        };
        self.run.points.push(MeasuredPoint { summary, records });
        self.run.entries.push(entry);
    }

    /// Whether a profiler looked at any of the point; a window that could not be kept to is a fault of the experiment.
    pub(super) fn end_profiling(&mut self, begun: std::io::Result<Profiling>, label: &str) -> bool {
        let looked = match begun.map(Profiling::finish) {
            Ok(Ok(true)) => return true,
            Ok(Ok(false)) => "it ended before its profile window began".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.run.manifest.faults.push(format!("profile window of {label}: {looked}"));
        false
    }

    /// Completes `plan.csv`, unless the end was asked for, and says how many shots that count are in it.
    pub(super) fn end_drawing(&mut self, drawing: Drawing<File>, label: &str) -> u32 {
        let undrawn = if self.run.stop.is_asked() { Undrawn::Left } else { Undrawn::Written };
        let DrawingOutcome { file, not_drawn, not_saved, in_file } = drawing.finish(undrawn);
        self.run.plan_file = Some(file);
        self.run.is_cut_off |= not_drawn.is_some();
        if let Some(error) = not_drawn {
            self.run.manifest.faults.push(format!("point {label}: sending ended early: {error}"));
        }
        if let Some(error) = not_saved {
            self.run.fault(format!("point {label}: {error}"));
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
        if paused.broken.is_some() || paused.run.stop.failure().is_some() {
            paused.note_closed(stage.finish());
            return (paused.close(), None);
        }
        let telemetry = paused.run.gpus.take().map(GpuWatch::into_telemetry);
        let open = OpenTarget::new(stage, paused.run.info.clone(), telemetry, paused.run.tool);
        (paused.close(), Some(open))
    }
}
