//! Reports of a measured run: summary as JSON and CSV, and the page.

use crate::report::{Experiment, FileNote, PointReport, html, summary_csv, summary_json};
use crate::store::manifest::State;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::{WriteError, write_whole};

/// Writes every report of a run.
///
/// # Errors
/// When a file cannot be written.
pub fn write_reports(run: &MeasuredRun) -> Result<Experiment, WriteError> {
    let experiment = as_experiment(run);
    let directory = &run.directory;
    write_whole(&directory.file(file::SUMMARY_JSON), summary_json::render(&experiment).as_bytes())?;
    write_whole(&directory.file(file::SUMMARY_CSV), &summary_csv::render(&experiment))?;
    write_whole(&directory.file(file::REPORT), html::render(&experiment).as_bytes())?;
    Ok(experiment)
}

/// A run as reports show it.
///
/// # Panics
/// Never: every key of a manifest is a string.
pub fn as_experiment(run: &MeasuredRun) -> Experiment {
    let manifest = &run.manifest;
    let points = manifest.points.iter().zip(&run.points);
    let warm_ups = manifest.points.iter().filter_map(|entry| {
        entry.warmup_failure.as_ref().map(|failure| format!("{}: {failure}", entry.label))
    });
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
        warnings: manifest.warnings.iter().map(ToString::to_string).chain(warm_ups).collect(),
        manifest: serde_json::to_value(manifest)
            .expect("every key is a string, and a value in memory takes any size"),
        folder: run.directory.path().display().to_string(),
        files: notes(&run.directory),
    }
}

fn notes(directory: &RunDirectory) -> Vec<FileNote> {
    [
        (file::REPORT, "for people: tables and plots"),
        (file::SUMMARY_CSV, "one row per point of load"),
        (file::SUMMARY_JSON, "every metric with its definition (see `bareflight schema`)"),
        (file::REQUESTS, "one row per request, raw stamps and derived values"),
        (file::DELIVERIES, "the stamp of each delivery"),
        (file::ITERATIONS, "iteration statistics of the engine"),
        (file::KV_EVENTS, "what happened to blocks of the engine's KV cache"),
        (file::ENGINE_LOG, "what the engine wrote to its own log (`--engine-log LEVEL`)"),
        (file::GPU, "GPU samples, ten per second"),
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
