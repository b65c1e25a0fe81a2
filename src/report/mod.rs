//! Reports: one renderer per file, each a pure function from an [`Experiment`] to text.

mod background_thread;
pub mod cells;
pub mod comparison;
mod cost;
pub mod export;
pub mod figures;
mod frontier;
pub mod html;
pub mod in_python;
pub mod ladder;
pub mod notes;
mod odd_answers;
pub mod otlp;
pub mod png;
pub mod progress;
pub mod prometheus;
pub mod repeats;
pub mod roofline;
pub mod search;
mod stages;
pub mod summary_csv;
pub mod summary_json;
pub mod table;
mod times;
pub mod together;
mod unseen_server;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::load::Load;
use crate::metrics::Summary;
use crate::metrics::summary::{Mark, Verdict, json_word};
use crate::settings::declared::Declared;
use crate::settings::time_unit::TimeUnit;
use crate::targets::TargetInfo;
use crate::warning::Note;

/// Several runs that are shown together, e.g. one for each concurrency. What every renderer takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Title, e.g. `local:dummy-nano, D(128,64), closed loop`.
    pub title: String,
    /// What answered.
    pub target: TargetInfo,
    /// The runs, in the order in which they were made; may be empty where the experiment was interrupted at once.
    pub points: Vec<PointReport>,
    /// It was interrupted: points or requests that were planned are missing.
    pub incomplete: bool,
    /// What was known of the engine before it was loaded, and should be known of its numbers; and what went wrong beside requests.
    pub warnings: Vec<Note>,
    /// What the user says of server and run.
    pub declared: Declared,
    /// What latencies are shown in, on the console and in Markdown.
    pub time_unit: TimeUnit,
    /// The manifest, for the facts that the HTML report repeats: an object of any depth.
    pub manifest: serde_json::Value,
    /// The folder that was written, as a user can open it.
    pub folder: String,
    /// What was written into it, in the order in which it is listed.
    pub files: Vec<FileNote>,
}

/// One run of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointReport {
    /// Label among the points, e.g. `concurrency 8`.
    pub label: String,
    /// What it came to; its `load` says how requests arrived.
    #[serde(flatten)]
    pub summary: Summary,
}

impl PointReport {
    /// The label where it is known what kind of load it is: `8` for concurrency 8, `20/s` for a rate.
    fn short_label(&self) -> String {
        match self.summary.load {
            _ if self.summary.documents.is_some() => self.label.clone(),
            Load::Closed { concurrency } => concurrency.to_string(),
            Load::Open { rate, .. } => format!("{rate}/s"),
            Load::Batch => self.label.clone(),
        }
    }
}

/// Marks as a field of a table: `simulated;dummy_weights`, empty where there is none.
pub(in crate::report) fn mark_words(marks: impl IntoIterator<Item = Mark>) -> String {
    let marks: BTreeSet<Mark> = marks.into_iter().collect();
    marks.iter().map(json_word).collect::<Vec<_>>().join(";")
}

/// What every number of a target must say, before there is any.
pub fn marks_of(target: &TargetInfo) -> impl Iterator<Item = Mark> + use<> {
    [
        (target.simulated, Mark::Simulated),
        (target.dummy_weights, Mark::DummyWeights),
        (target.abilities().replies_at_once, Mark::NullTarget),
    ]
    .into_iter()
    .filter_map(|(is_so, mark)| is_so.then_some(mark))
}

/// A file that an experiment left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNote {
    /// Its name in the folder.
    pub name: String,
    /// Short description of its content.
    pub holds: String,
}

impl Experiment {
    /// The worst verdict of all points; `None` where there is no point.
    pub fn verdict(&self) -> Option<Verdict> {
        self.points.iter().map(|point| point.summary.verdict).max()
    }

    /// What every artefact must say: the marks of all points, and those of the experiment.
    pub fn marks(&self) -> BTreeSet<Mark> {
        let of_points = self.points.iter().flat_map(|point| point.summary.marks.iter().copied());
        let incomplete = self.incomplete.then_some(Mark::Incomplete);
        of_points.chain(incomplete).chain(marks_of(&self.target)).collect()
    }

    /// The point with the highest throughput (of output; of input where there is no output) among those that are valid and complete; one whose
    /// throughput is not known comes behind all others.
    pub fn best_point(&self) -> Option<&PointReport> {
        let rate = |point: &PointReport| point.summary.rate(point.summary.headline_rate());
        self.points
            .iter()
            .filter(|point| point.summary.verdict != Verdict::Invalid)
            .filter(|point| !point.summary.marks.contains(&Mark::Incomplete))
            .filter(|point| point.summary.counts.completed > 0)
            .max_by(|a, b| rate(a).partial_cmp(&rate(b)).unwrap_or(std::cmp::Ordering::Equal))
    }
}
