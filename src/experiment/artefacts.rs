//! Which files does an experiment leave, and how is it read back from them?

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use crate::experiment::sweep::{Outcome, Point};
use crate::metrics::{iterations, kv_events, summarise};
use crate::record::iteration::Iteration;
use crate::record::kv_event::KvTally;
use crate::report::{Experiment, FileNote, PointReport, html, summary_csv, summary_json};
use crate::store::deliveries_file::{DeliveriesError, DeliveriesReader, DeliveriesWriter, join};
use crate::store::iterations_file;
use crate::store::json_lines::LinesError;
use crate::store::kv_events_file;
use crate::store::manifest::{Manifest, State};
use crate::store::requests_csv::RequestsCsv;
use crate::store::rows::{RowError, RowReader};
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::{WriteError, write_whole};

/// Why files could not be written or read back.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Rows of requests.
    #[error("`requests.csv`: {0}")]
    Rows(#[from] RowError),
    /// Deliveries.
    #[error("`deliveries.csv.gz`: {0}")]
    Deliveries(#[from] DeliveriesError),
    /// Iterations.
    #[error("`iterations.jsonl`: {0}")]
    Iterations(#[source] LinesError),
    /// Events of the KV cache.
    #[error("`kv_events.jsonl`: {0}")]
    KvEvents(#[source] LinesError),
    /// A file is missing or unreadable.
    #[error("`{0}` cannot be read ({1}): name a run directory that `bareflight run` has made")]
    Read(String, io::Error),
    /// The manifest is not one.
    #[error("`{0}` is no manifest of this version of bareflight: {1}")]
    Manifest(String, serde_json::Error),
    /// The journal stays behind.
    #[error("`requests.partial.csv` cannot be removed: {0}")]
    Journal(io::Error),
}

/// Writes what was measured, first of all the records, then what they come to.
///
/// # Errors
/// When a file cannot be written; those before it are complete.
pub fn write_records(outcome: &Outcome, keep_deliveries: bool) -> Result<(), ArtefactError> {
    let directory = &outcome.directory;
    let mut requests = RequestsCsv::new(Vec::new())?;
    for (entry, point) in outcome.manifest.points.iter().zip(&outcome.points) {
        requests.write(&point.records, &entry.facts, &point.summary)?;
    }
    write_whole(&directory.file(file::REQUESTS), &requests.finish()?)?;
    directory.drop_journal().map_err(ArtefactError::Journal)?;
    if keep_deliveries {
        let mut deliveries = DeliveriesWriter::new(Vec::new())?;
        for (entry, point) in outcome.manifest.points.iter().zip(&outcome.points) {
            deliveries.write_all(entry.facts.point, &point.records)?;
        }
        write_whole(&directory.file(file::DELIVERIES), &deliveries.finish()?)?;
    }
    write_whole(&directory.file(file::MANIFEST), outcome.manifest.to_json().as_bytes())?;
    Ok(())
}

/// Writes every report of an experiment.
///
/// # Errors
/// When a file cannot be written.
pub fn write_reports(outcome: &Outcome) -> Result<Experiment, ArtefactError> {
    let experiment = as_experiment(outcome);
    let directory = &outcome.directory;
    write_whole(&directory.file(file::SUMMARY_JSON), summary_json::render(&experiment).as_bytes())?;
    write_whole(&directory.file(file::SUMMARY_CSV), &summary_csv::render(&experiment))?;
    write_whole(&directory.file(file::REPORT), html::render(&experiment).as_bytes())?;
    Ok(experiment)
}

fn as_experiment(outcome: &Outcome) -> Experiment {
    let manifest = &outcome.manifest;
    let points = manifest.points.iter().zip(&outcome.points);
    Experiment {
        title: manifest.title.clone(),
        target: manifest.target.clone(),
        points: points
            .map(|(entry, point)| PointReport {
                label: entry.label.clone(),
                summary: point.summary.clone(),
            })
            .collect(),
        incomplete: manifest.state != State::Complete,
        warnings: manifest.warnings.iter().map(ToString::to_string).collect(),
        manifest: serde_json::to_value(manifest)
            .expect("every key is a string, and a value in memory takes any size"),
        folder: outcome.directory.path().display().to_string(),
        files: notes(&outcome.directory),
    }
}

fn notes(directory: &RunDirectory) -> Vec<FileNote> {
    [
        (file::REPORT, "for people: tables and plots"),
        (file::SUMMARY_CSV, "one row per point of load"),
        (file::SUMMARY_JSON, "every metric with its definition (see `bareflight schema`)"),
        (file::REQUESTS, "one row per request, raw stamps and derived values"),
        (file::DELIVERIES, "the stamp of each delivery"),
        (file::ITERATIONS, "what the engine said of its iterations"),
        (file::KV_EVENTS, "what happened to blocks of the engine's KV cache"),
        (file::GPU, "what the GPUs said, ten times a second"),
        (file::MANIFEST, "machine, versions, seeds, hashes"),
        (file::RESOLVED, "every setting: `bareflight run --config` repeats the run"),
    ]
    .into_iter()
    .filter(|(name, _)| {
        let written_after_this_list = [file::REPORT, file::SUMMARY_CSV, file::SUMMARY_JSON];
        written_after_this_list.contains(name) || directory.file(name).exists()
    })
    .map(|(name, holds)| FileNote { name: name.into(), holds: holds.into() })
    .collect()
}

/// Reads an experiment back from its folder: the same records, so the same numbers.
///
/// # Errors
/// When a file is missing, cut short or not of this version.
pub fn read_back(folder: &Path) -> Result<Outcome, ArtefactError> {
    let directory = RunDirectory::existing(folder);
    let manifest = read_manifest(&directory)?;
    let said = read_iterations(&directory)?;
    let tallies = read_kv_events(&directory)?;
    let mut points = Vec::with_capacity(manifest.points.len());
    for entry in &manifest.points {
        let point = entry.facts.point;
        let path = directory.file(file::REQUESTS);
        let rows = RowReader::new(open(&path)?)?;
        let mut requests = Vec::new();
        for row in rows {
            let (of, record) = row?;
            if of == point {
                requests.push(record);
            }
        }
        let path = directory.file(file::DELIVERIES);
        let records = if path.exists() {
            join(point, requests, DeliveriesReader::new(open(&path)?)?)?
        } else {
            join(point, requests, [])?
        };
        let of_point: Vec<Iteration> =
            said.iter().filter(|(of, _)| *of == point).map(|(_, it)| *it).collect();
        let mut summary = summarise(&records, &entry.facts, &entry.health);
        summary.iterations = iterations::of(&of_point, entry.iteration_before, entry.facts.window);
        let of_point: Vec<KvTally> =
            tallies.iter().filter(|(of, _)| *of == point).map(|(_, it)| *it).collect();
        summary.kv_events = kv_events::of(&of_point, entry.kv_event_before, entry.facts.window);
        points.push(Point { records, summary });
    }
    Ok(Outcome { directory, manifest, points })
}

/// An engine that says nothing of its iterations leaves no file of them.
fn read_iterations(directory: &RunDirectory) -> Result<Vec<(u32, Iteration)>, ArtefactError> {
    let path = directory.file(file::ITERATIONS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    iterations_file::read_all(BufReader::new(open(&path)?)).map_err(ArtefactError::Iterations)
}

/// An engine that was not asked for events leaves no file of them.
fn read_kv_events(directory: &RunDirectory) -> Result<Vec<(u32, KvTally)>, ArtefactError> {
    let path = directory.file(file::KV_EVENTS);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let events =
        kv_events_file::read_all(BufReader::new(open(&path)?)).map_err(ArtefactError::KvEvents)?;
    Ok(events.into_iter().map(|(point, event)| (point, event.tally())).collect())
}

fn read_manifest(directory: &RunDirectory) -> Result<Manifest, ArtefactError> {
    let path = directory.file(file::MANIFEST);
    let name = path.display().to_string();
    let text =
        fs::read_to_string(&path).map_err(|error| ArtefactError::Read(name.clone(), error))?;
    serde_json::from_str(&text).map_err(|error| ArtefactError::Manifest(name, error))
}

fn open(path: &Path) -> Result<File, ArtefactError> {
    File::open(path).map_err(|error| ArtefactError::Read(path.display().to_string(), error))
}
