//! What a caller sees of one cell: the same as of a run, with what is asked in every label.

use crate::clock::Nanos;
use crate::experiment::sweep::Watch;
use crate::issue::live_phase::LivePhase;
use crate::metrics::Summary;
use crate::store::manifest::PointEntry;
use crate::store::run_directory::RunDirectory;
use crate::targets::TargetInfo;

/// Tells a caller of a cell's phases and of its result.
pub(super) struct Labelled<'a> {
    /// What is asked in it.
    pub(super) asked: String,
    pub(super) watch: &'a mut dyn Watch,
}

impl Labelled<'_> {
    fn label(&self, of_point: &str) -> String {
        format!("{}, {of_point}", self.asked)
    }
}

impl Watch for Labelled<'_> {
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory) {
        self.watch.begun(target, directory);
    }

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, live: &LivePhase) {
        let label = self.label(label);
        self.watch.phase(&label, shots, duration, live);
    }

    fn phase_over(&mut self) {
        self.watch.phase_over();
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        let entry = PointEntry { label: self.label(&entry.label), ..entry.clone() };
        self.watch.measured(&entry, summary);
    }
}
