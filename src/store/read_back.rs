//! Reading a run back from its folder: the same records, so the same numbers.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use crate::load::course::window_of;
use crate::metrics::observed::ObservedPoint;
use crate::metrics::point_records::{PointRecords, RecordsError, collect};
use crate::metrics::summary::SCHEMA_VERSION;
use crate::metrics::{Summary, iterations, kv_events, summarise_observed};
use crate::record::iteration::Iteration;
use crate::record::kv_event::KvTally;
use crate::record::request_record::Records;
use crate::store::json_lines::LinesError;
use crate::store::manifest::{Manifest, PointEntry, State, UnfinishedPoint};
use crate::store::measured_run::{MeasuredPoint, MeasuredRun, RecordsAt};
use crate::store::partial_files::PartialFiles;
use crate::store::rows::RowError;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::stored_point::{PartialPoint, StoredPoint, StoredPointError};
use crate::store::{iterations_file, kv_events_file};

/// Why a run cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is missing or unreadable.
    #[error("`{0}` cannot be read ({1}): name a run directory that `bareflight run` has made")]
    File(String, #[source] io::Error),
    /// The manifest is not one.
    #[error(
        "`{0}` is no manifest of this version of bareflight ({1}): read the run with the version that made it, or copy its folder \
         anew from where it was measured"
    )]
    Manifest(String, #[source] serde_json::Error),
    /// What is not known yet cannot be read rightly.
    #[error(
        "`{file}` was written by a newer bareflight (schema {found}, and this one knows {known}): read the run with that",
        known = SCHEMA_VERSION
    )]
    Newer {
        /// The manifest.
        file: String,
        /// Its schema.
        found: u32,
    },
    /// A comparison, a ladder or a search: runs lie below it.
    #[error(
        "`{folder}` is no run but a {kind}: open the page in it, or name runs below it: `bareflight report {runs}`"
    )]
    Several {
        /// The folder that was named.
        folder: String,
        /// What it is.
        kind: String,
        /// Folders of its runs.
        runs: String,
    },
    /// Rows or deliveries of a point.
    #[error(transparent)]
    Point(#[from] StoredPointError),
    /// Rows or deliveries of a point, while they were read again.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Partial rows of a point that did not end.
    #[error("`{0}`: {1}")]
    Partial(String, #[source] RowError),
    /// Iterations.
    #[error("`iterations.jsonl`: {0}")]
    Iterations(#[source] LinesError),
    /// Events of the KV cache.
    #[error("`kv_events.jsonl`: {0}")]
    KvEvents(#[source] LinesError),
    /// A run whose files do not hold together.
    #[error(
        "the run in `{folder}` is damaged: {why}: copy its folder anew from where it was measured, or leave it out"
    )]
    Damaged {
        /// Its folder.
        folder: String,
        /// What is wrong.
        #[source]
        why: Box<ReadError>,
    },
}

impl ReadError {
    /// The error with the folder that it is about, where its words do not name that.
    fn within(self, folder: &Path) -> Self {
        match self {
            Self::File(..)
            | Self::Manifest(..)
            | Self::Newer { .. }
            | Self::Several { .. }
            | Self::Point(StoredPointError::Open(..))
            | Self::Damaged { .. } => self,
            Self::Point(_)
            | Self::Records(_)
            | Self::Partial(..)
            | Self::Iterations(_)
            | Self::KvEvents(_) => {
                Self::Damaged { folder: folder.display().to_string(), why: Box::new(self) }
            }
        }
    }
}

/// Reads a run back, with the points that did not end as far as they came.
///
/// # Errors
/// When a file is missing, cut short or not of this version.
pub fn read_back(folder: &Path) -> Result<MeasuredRun, ReadError> {
    read_files(folder).map_err(|error| error.within(folder))
}

fn read_files(folder: &Path) -> Result<MeasuredRun, ReadError> {
    let directory = RunDirectory::existing(folder);
    let mut manifest = read_manifest(&directory)?;
    let statistics = Statistics::read(&directory, manifest.state == State::Running)?;
    let mut points = Vec::with_capacity(manifest.points.len() + 1);
    for entry in &manifest.points {
        let stored = StoredPoint::find(&directory, entry.facts.point)?;
        let summary = statistics.summary(&stored, entry)?;
        points.push(MeasuredPoint { summary, records: RecordsAt::Files });
    }
    for unfinished in std::mem::take(&mut manifest.unfinished) {
        let Some((entry, records)) = recover(&directory, &unfinished)? else { continue };
        let summary = statistics.summary(&records, &entry)?;
        points.push(MeasuredPoint { summary, records: RecordsAt::Memory(records) });
        manifest.points.push(entry);
    }
    Ok(MeasuredRun { directory, manifest, points })
}

/// What partial files hold of a point; `None` where no request had ended.
fn recover(
    directory: &RunDirectory,
    unfinished: &UnfinishedPoint,
) -> Result<Option<(PointEntry, Records)>, ReadError> {
    let UnfinishedPoint { first_id, files, entry } = unfinished;
    let left = PartialFiles::left_behind(directory, files, first_id.0)
        .map_err(|error| ReadError::Partial(files.requests.clone(), error))?;
    let point = PartialPoint::new(Some(left), Records::default(), *first_id);
    if point.is_empty() {
        return Ok(None);
    }
    let records = collect(&point)?;
    let requests = records.measured();
    let submissions = || requests.iter().filter_map(|record| record.submit);
    let ends = requests.iter().filter_map(|record| record.end).max();
    let mut entry = entry.clone();
    let between = submissions().min().zip(submissions().max());
    if let Some(window) = window_of(entry.facts.window_kind, between, ends) {
        entry.facts.window = window;
    }
    let planned = entry.facts.planned;
    entry.facts.planned = requests.len() as u64;
    entry.facts.complete = false;
    entry.label = format!("{}, cut short: {} of {planned} requests", entry.label, requests.len());
    Ok(Some((entry, records)))
}

/// What the engine reported, of all points.
struct Statistics {
    iterations: Vec<(u32, Iteration)>,
    kv_events: Vec<(u32, KvTally)>,
}

impl Statistics {
    /// An engine that reports nothing leaves no file. The last line of a process that was killed may be cut short.
    fn read(directory: &RunDirectory, was_killed: bool) -> Result<Self, ReadError> {
        let open = |name: &str| match File::open(directory.file(name)) {
            Ok(file) => Ok(Some(BufReader::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReadError::File(directory.file(name).display().to_string(), error)),
        };
        let iterations = match open(file::ITERATIONS)? {
            None => Vec::new(),
            Some(lines) => {
                iterations_file::read_all(lines, was_killed).map_err(ReadError::Iterations)?
            }
        };
        let events = match open(file::KV_EVENTS)? {
            None => Vec::new(),
            Some(lines) => {
                kv_events_file::read_all(lines, was_killed).map_err(ReadError::KvEvents)?
            }
        };
        let kv_events = events.into_iter().map(|(point, event)| (point, event.tally())).collect();
        Ok(Self { iterations, kv_events })
    }

    fn summary(
        &self,
        records: &dyn PointRecords,
        entry: &PointEntry,
    ) -> Result<Summary, RecordsError> {
        let point = entry.facts.point;
        let window = entry.facts.window;
        let of_point = |(of, it): &(u32, Iteration)| (*of == point).then_some(*it);
        let seen: Vec<Iteration> = self.iterations.iter().filter_map(of_point).collect();
        let observed = ObservedPoint::read(records, &entry.facts)?;
        let mut summary = summarise_observed(&observed, &entry.facts, &entry.health);
        summary.iterations = iterations::of(&seen, entry.iteration_before, window);
        let of_point = |(of, it): &(u32, KvTally)| (*of == point).then_some(*it);
        let tallies: Vec<KvTally> = self.kv_events.iter().filter_map(of_point).collect();
        summary.kv_events = kv_events::of(&tallies, entry.kv_event_before, window);
        Ok(summary)
    }
}

fn read_manifest(directory: &RunDirectory) -> Result<Manifest, ReadError> {
    let path = directory.file(file::MANIFEST);
    let name = path.display().to_string();
    let text = fs::read_to_string(&path).map_err(|error| ReadError::File(name.clone(), error))?;
    let manifest: Manifest =
        serde_json::from_str(&text).map_err(|error| why_not(directory, &name, &text, error))?;
    match manifest.schema_version {
        found if found > SCHEMA_VERSION => Err(ReadError::Newer { file: name, found }),
        _ => Ok(manifest),
    }
}

/// Why a text is no manifest of a run: it may be one of a newer version, or of an experiment of several runs.
fn why_not(
    directory: &RunDirectory,
    name: &str,
    text: &str,
    error: serde_json::Error,
) -> ReadError {
    let document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let schema = document["schema_version"].as_u64().and_then(|it| u32::try_from(it).ok());
    if let Some(found) = schema.filter(|found| *found > SCHEMA_VERSION) {
        return ReadError::Newer { file: name.to_owned(), found };
    }
    let runs = runs_below(directory.path());
    match document["kind"].as_str() {
        Some(kind) if !runs.is_empty() => ReadError::Several {
            folder: directory.path().display().to_string(),
            kind: kind.to_owned(),
            runs: runs.join(" "),
        },
        _ => ReadError::Manifest(name.to_owned(), error),
    }
}

/// Folders with a manifest of their own, in the order of their names.
fn runs_below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path()).filter(|it| it.join(file::MANIFEST).is_file());
    let mut runs: Vec<String> = folders.map(|it| it.display().to_string()).collect();
    runs.sort();
    runs
}
