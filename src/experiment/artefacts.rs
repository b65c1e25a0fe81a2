//! Reports of a measured run: summary as JSON and CSV, and the page.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::metrics::point_records::RecordsError;
use crate::report::export::{self, ExportRun, GenaiBench};
use crate::report::html::plot;
use crate::report::png::{self, PngError};
use crate::report::prometheus::Origin;
use crate::report::table::marks as in_words;
use crate::report::{
    Experiment, FileNote, PointReport, html, marks_of, notes, otlp, prometheus, repeats,
    summary_csv, summary_json,
};
use crate::settings::export::{ExportFormat, PlotFormat};
use crate::settings::otlp_address::OtlpAddress;
use crate::store::manifest::State;
use crate::store::measured_run::MeasuredRun;
use crate::store::parquet_tables::{self, ParquetFileError};
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::{WriteError, write_whole};
use crate::warning::{Code, Note};

/// Writes every report of a run.
///
/// # Errors
/// When a file cannot be written.
pub fn write_reports(run: &MeasuredRun) -> Result<Experiment, WriteError> {
    let experiment = as_experiment(run);
    let directory = &run.directory;
    write_whole(&directory.file(file::SUMMARY_JSON), summary_json::render(&experiment).as_bytes())?;
    write_whole(&directory.file(file::SUMMARY_CSV), &summary_csv::render(&experiment))?;
    write_repeats(directory, &experiment)?;
    write_whole(&directory.file(file::REPORT), html::render(&experiment).as_bytes())?;
    Ok(experiment)
}

/// Writes into the manifest which codes came up.
///
/// # Errors
/// When it cannot be written.
pub fn note_codes(run: &mut MeasuredRun) -> Result<(), WriteError> {
    let raised = notes::all(&as_experiment(run));
    let codes: BTreeSet<Code> = raised.into_iter().map(|note| note.code).collect();
    run.manifest.codes = codes.into_iter().collect();
    write_whole(&run.directory.file(file::MANIFEST), run.manifest.to_json().as_bytes())
}

/// Writes the results for Prometheus' textfile collector.
///
/// # Errors
/// When the file cannot be written.
pub fn write_prometheus(run: &MeasuredRun) -> Result<(), WriteError> {
    let shown = as_experiment(run);
    let origin = Origin {
        target: shown.target.name.clone(),
        marks: marks_of(&shown.target).collect(),
        declared: run.manifest.declared.clone(),
    };
    let text = prometheus::render(&origin, &shown.points, None);
    write_whole(&run.directory.file(file::PROMETHEUS), text.as_bytes())
}

/// Sends the results to a collector. One that takes nothing is told of and changes nothing.
///
/// # Errors
/// When records cannot be read.
pub fn push_otlp(run: &MeasuredRun, address: &OtlpAddress) -> Result<(), RecordsError> {
    let records = run.load_records()?;
    let started = run.manifest.started.parse::<jiff::Timestamp>();
    let started = started.map_or(0, |at| u64::try_from(at.as_nanosecond()).unwrap_or(0));
    let message = otlp::of_run(&as_experiment(run), started, &records);
    otlp::push::post_or_tell(address, &message, otlp::push::time_for_results());
    Ok(())
}

/// What came up although it was denied, each in a sentence that names its code.
pub fn denied(run: &MeasuredRun) -> Vec<String> {
    let denied = &run.manifest.denied;
    if denied.is_empty() {
        return Vec::new();
    }
    Note::denied(notes::all(&as_experiment(run)), denied)
}

/// Writes what several runs of each load come to, where there are several.
pub(super) fn write_repeats(
    directory: &RunDirectory,
    experiment: &Experiment,
) -> Result<(), WriteError> {
    let rows = repeats::csv(&experiment.points);
    if rows.is_empty() { Ok(()) } else { write_whole(&directory.file(file::REPEATS_CSV), &rows) }
}

/// Why files for others are not there.
#[derive(Debug, thiserror::Error)]
pub enum ExtraFilesError {
    /// The records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A folder cannot be made.
    #[error("the folder `{0}` cannot be made ({1}): check that the run directory is writable")]
    Folder(PathBuf, #[source] io::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Parquet cannot be written.
    #[error(transparent)]
    Parquet(#[from] ParquetFileError),
    /// A picture cannot be drawn.
    #[error(transparent)]
    Png(#[from] PngError),
}

/// Writes the plots of the page as pictures; names of those that have nothing to draw are given back.
///
/// # Errors
/// When a picture cannot be drawn or written.
pub fn write_plots(
    run: &MeasuredRun,
    formats: &[PlotFormat],
) -> Result<Vec<String>, ExtraFilesError> {
    let mut empty = Vec::new();
    if formats.is_empty() {
        return Ok(empty);
    }
    let shown = as_experiment(run);
    let marks = in_words(shown.marks());
    for (name, chart) in html::curves::charts(&shown.points) {
        let Some(svg) = plot::file::alone(&chart, marks.trim()) else {
            empty.push(name);
            continue;
        };
        for format in formats {
            let (extension, bytes) = as_picture(&svg, *format)?;
            let path = format!("{}/{name}.{extension}", file::PLOTS);
            write_below(&run.directory, &path, &bytes)?;
        }
    }
    Ok(empty)
}

/// Writes pictures beside the page that they are of, each an SVG with its name, and tells of the files.
///
/// # Errors
/// When a picture cannot be drawn or written.
pub fn write_pictures(
    directory: &RunDirectory,
    pictures: &[(String, String)],
    formats: &[PlotFormat],
) -> Result<Vec<FileNote>, ExtraFilesError> {
    let mut notes = Vec::new();
    for (name, svg) in pictures {
        for format in formats {
            let (extension, bytes) = as_picture(svg, *format)?;
            let name = format!("{name}.{extension}");
            write_below(directory, &name, &bytes)?;
            notes.push(FileNote { name, holds: "the picture of the page".into() });
        }
    }
    Ok(notes)
}

/// An SVG as a file of a format, with the ending of its name.
///
/// # Errors
/// When it cannot be drawn.
pub fn as_picture(svg: &str, format: PlotFormat) -> Result<(&'static str, Vec<u8>), PngError> {
    match format {
        PlotFormat::Svg => Ok(("svg", svg.as_bytes().to_vec())),
        PlotFormat::Png => Ok(("png", png::from_svg(svg)?)),
    }
}

/// Writes results in the shapes of other tools; what a format has no place for is given back in words.
///
/// # Errors
/// When records cannot be read, or a file cannot be written.
pub fn write_exports(
    run: &MeasuredRun,
    formats: &[ExportFormat],
) -> Result<Vec<String>, ExtraFilesError> {
    if formats.is_empty() {
        return Ok(Vec::new());
    }
    let records = run.load_records()?;
    let shown = as_experiment(run);
    let exporting = ExportRun::new(&run.manifest, &shown, scenario(run), &records);
    let mut left_out = Vec::new();
    if formats.contains(&ExportFormat::Parquet) {
        let folder = run.directory.file(file::EXPORTS).join(ExportFormat::Parquet.word());
        fs::create_dir_all(&folder)
            .map_err(|error| ExtraFilesError::Folder(folder.clone(), error))?;
        let words = parquet_tables::write(run.directory.path(), &folder)?;
        left_out.extend(words.into_iter().map(|words| format!("export parquet: {words}")));
    }
    for format in formats {
        let exported = export::render(*format, &exporting);
        for file in exported.files {
            write_below(&run.directory, &file.path, &file.bytes)?;
        }
        left_out.extend(exported.left_out);
    }
    Ok(left_out)
}

/// Writes one experiment of genai-bench for several runs into a folder above theirs; what has no place is given back in words.
///
/// # Errors
/// When records cannot be read, or a file cannot be written.
pub fn write_genai_bench<'a>(
    directory: &RunDirectory,
    runs: impl Iterator<Item = &'a MeasuredRun>,
) -> Result<Vec<String>, ExtraFilesError> {
    let mut experiment = GenaiBench::default();
    for run in runs {
        let records = run.load_records()?;
        let shown = as_experiment(run);
        experiment.add(&ExportRun::new(&run.manifest, &shown, scenario(run), &records));
    }
    let exported = export::genai_bench_together(experiment);
    for file in exported.files {
        write_below(directory, &file.path, &file.bytes)?;
    }
    Ok(exported.left_out)
}

/// Writes a result JSON for each point into a folder, named for its load, e.g. `concurrency_16.json`.
///
/// # Errors
/// When records cannot be read, or a file cannot be written.
pub fn write_by_load(run: &MeasuredRun, folder: &Path) -> Result<(), ExtraFilesError> {
    let records = run.load_records()?;
    let shown = as_experiment(run);
    let exporting = ExportRun::new(&run.manifest, &shown, scenario(run), &records);
    fs::create_dir_all(folder)
        .map_err(|error| ExtraFilesError::Folder(folder.to_owned(), error))?;
    for file in export::serving_by_load(&exporting) {
        write_whole(&folder.join(&file.path), &file.bytes)?;
    }
    Ok(())
}

/// Writes a file in a folder of the run, which is made where it is not there.
fn write_below(directory: &RunDirectory, name: &str, bytes: &[u8]) -> Result<(), ExtraFilesError> {
    let path = directory.file(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|error| ExtraFilesError::Folder(folder.to_owned(), error))?;
    }
    Ok(write_whole(&path, bytes)?)
}

/// The scenario of lengths as it was typed; empty where the folder does not say.
fn scenario(run: &MeasuredRun) -> String {
    let settings = fs::read_to_string(run.directory.file(file::RESOLVED)).ok();
    let table = settings.and_then(|text| text.parse::<toml::Table>().ok());
    let scenario = table.as_ref().and_then(|table| table.get("scenario"));
    scenario.and_then(toml::Value::as_str).unwrap_or_default().to_owned()
}

/// Of a run that is read back as running, whose engine lives in its process.
const ENDED_BY_ITS_ENGINE: &str = "FAILED: the process ended in the middle of the run without a word: its engine lives in it and can \
     end it (a crash, a watchdog, `os._exit`), unless somebody killed it; `engine.log` has the engine's last lines";

/// A run as reports show it.
///
/// # Panics
/// Never: every key of a manifest is a string.
pub fn as_experiment(run: &MeasuredRun) -> Experiment {
    let manifest = &run.manifest;
    let points = manifest.points.iter().zip(&run.points);
    let known = manifest.warnings.iter().map(|it| Note::new(it.code, it.to_string()));
    let faults = manifest.faults.iter().map(|fault| Note::new(Code::Fault, fault));
    let ended =
        manifest.was_ended_by_its_engine().then(|| Note::new(Code::Fault, ENDED_BY_ITS_ENGINE));
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
        declared: manifest.declared.clone(),
        time_unit: manifest.time_unit,
        warnings: known.chain(faults).chain(ended).collect(),
        manifest: serde_json::to_value(manifest)
            .expect("every key is a string, and a value in memory takes any size"),
        folder: run.directory.path().display().to_string(),
        files: file_notes(&run.directory),
    }
}

/// The same where not all of its files could be written: only those that are there are named.
pub fn as_far_as_written(run: &MeasuredRun) -> Experiment {
    let mut shown = as_experiment(run);
    shown.files.retain(|note| run.directory.file(&note.name).exists());
    shown
}

/// Files of a run in the order of lists, each with what it holds.
pub const FILES: &[(&str, &str)] = &[
    (file::REPORT, "for people: tables and plots"),
    (file::SUMMARY_CSV, "one row per point of load"),
    (file::SUMMARY_JSON, "every metric with its definition (see `bareflight schema`)"),
    (file::REQUESTS, "one row per request, raw stamps and derived values"),
    (file::DELIVERIES, "the stamp of each delivery"),
    (file::ITERATIONS, "iteration statistics of the engine"),
    (file::KV_EVENTS, "what happened to blocks of the engine's KV cache"),
    (file::CHILD_LOG, "what the process of another environment and its engine wrote (`--python`)"),
    (file::ENGINE_LOG, "what the engine wrote to its own log (`--engine-log LEVEL`)"),
    (file::LAUNCH, "how the server was started and how it ended"),
    (file::SERVER_LOG, "what the launched server wrote"),
    (file::SERVER_METRICS, "the server's own metrics, twice a second"),
    (file::GPU, "GPU samples, ten per second"),
    (file::MANIFEST, "machine, versions, seeds, hashes"),
    (file::RESOLVED, "every setting: `bareflight run --config` repeats the run"),
    (file::EXPORTS, "the same results in the shapes of other tools"),
    (file::PLOTS, "the plots of the page as pictures"),
    (file::PROMETHEUS, "results for Prometheus' textfile collector"),
];

fn file_notes(directory: &RunDirectory) -> Vec<FileNote> {
    FILES
        .iter()
        .copied()
        .filter(|(name, _)| {
            let written_after_this_list = [file::REPORT, file::SUMMARY_CSV, file::SUMMARY_JSON];
            written_after_this_list.contains(name) || directory.file(name).exists()
        })
        .map(|(name, holds)| FileNote { name: name.into(), holds: holds.into() })
        .collect()
}
