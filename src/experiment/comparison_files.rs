//! Files of an experiment with several sides or probes, beside those in the folder of each.

use serde::{Deserialize, Serialize};

use crate::clock::utc_now;
use crate::experiment::artefacts;
use crate::metrics::comparison::Comparison;
use crate::metrics::ladder::Ladder;
use crate::metrics::search::Search;
use crate::metrics::summary::SCHEMA_VERSION;
use crate::observe::host::{Build, Host};
use crate::report::FileNote;
use crate::report::comparison::{csv, json, page};
use crate::report::{ladder, search};
use crate::store::manifest::{State, command_line};
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::{WriteError, write_whole};

/// `manifest.json` of the whole; each side has one of its own in its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the shape of the files.
    pub schema_version: u32,
    /// `comparison`, `ladder` or `search`.
    pub kind: String,
    /// How far it has come.
    pub state: State,
    /// This program.
    pub tool: Build,
    /// As typed.
    pub command_line: Vec<String>,
    /// When it began, wall clock, UTC.
    pub started: String,
    /// When it ended.
    pub ended: Option<String>,
    /// The machine.
    pub host: Host,
    /// In a few words.
    pub title: String,
    /// What each side is called, and what was asked for.
    pub sides: Vec<(String, String)>,
}

impl Manifest {
    /// At the start.
    pub fn begin(kind: &str, title: &str, sides: Vec<(String, String)>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            kind: kind.to_owned(),
            state: State::Running,
            tool: Build::this(),
            command_line: command_line(),
            started: utc_now().to_string(),
            ended: None,
            host: Host::read(),
            title: title.to_owned(),
            sides,
        }
    }

    /// At the end.
    pub fn end(&mut self, state: State) {
        self.state = state;
        self.ended = Some(utc_now().to_string());
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, directory: &RunDirectory) -> Result<(), WriteError> {
        write_whole(&directory.file(file::MANIFEST), json::pretty(self).as_bytes())?;
        Ok(())
    }
}

/// Writes the reports of each side, as a run of its own would leave them.
///
/// # Errors
/// When a file cannot be written; those before it are complete.
pub fn write_sides(runs: &mut [MeasuredRun]) -> Result<(), WriteError> {
    runs.iter_mut().try_for_each(|run| {
        artefacts::note_codes(run)?;
        artefacts::write_reports(run).map(|_| ())
    })
}

/// Writes what the sides come to together.
///
/// # Errors
/// When a file cannot be written.
pub fn write_comparison(
    directory: &RunDirectory,
    comparison: &Comparison,
) -> Result<Vec<FileNote>, WriteError> {
    write_whole(&directory.file(file::COMPARISON_JSON), json::render(comparison).as_bytes())?;
    write_whole(&directory.file(file::COMPARISON_CSV), &csv::render(comparison))?;
    write_whole(&directory.file(file::COMPARISON_PAGE), page::render(comparison).as_bytes())?;
    let notes = [
        (file::COMPARISON_PAGE, "for people: the ratios as a picture, every table"),
        (file::COMPARISON_CSV, "one row per pair of sides and number"),
        (file::COMPARISON_JSON, "everything (see `bareflight schema comparison`)"),
        (file::MANIFEST, "machine, version, command line; each side has one of its own"),
    ];
    Ok(with_logs(directory, &notes))
}

/// These files, and the logs of engines where there are any.
fn with_logs(directory: &RunDirectory, notes: &[(&str, &str)]) -> Vec<FileNote> {
    let logs = [
        (file::ENGINE_LOG, "what engines in this process wrote to their own log"),
        (file::SERVED_LOG, "the same of the server"),
    ];
    let logs = logs.iter().filter(|(name, _)| directory.file(name).exists());
    let all = notes.iter().chain(logs);
    all.map(|(name, holds)| FileNote { name: (*name).into(), holds: (*holds).into() }).collect()
}

/// Writes what the rungs of a ladder come to together.
///
/// # Errors
/// When a file cannot be written.
pub fn write_ladder(
    directory: &RunDirectory,
    document: &Ladder,
) -> Result<Vec<FileNote>, WriteError> {
    let json = ladder::json::render(document);
    write_whole(&directory.file(file::LADDER_JSON), json.as_bytes())?;
    write_whole(&directory.file(file::LADDER_CSV), &ladder::csv::render(document))?;
    write_whole(&directory.file(file::LADDER_PAGE), ladder::page::render(document).as_bytes())?;
    let notes = [
        (file::LADDER_PAGE, "for people: where the milliseconds go, what each layer adds"),
        (file::LADDER_CSV, "one row per rung"),
        (file::LADDER_JSON, "everything (see `bareflight schema ladder`)"),
        (file::MANIFEST, "machine, version, command line; each rung has one of its own"),
    ];
    Ok(with_logs(directory, &notes))
}

/// Writes a search as far as it has come.
///
/// # Errors
/// When a file cannot be written.
pub fn write_search(
    directory: &RunDirectory,
    document: &Search,
) -> Result<Vec<FileNote>, WriteError> {
    let json = search::json::render(document);
    write_whole(&directory.file(file::SEARCH_JSON), json.as_bytes())?;
    write_whole(&directory.file(file::SEARCH_CSV), &search::csv::render(document))?;
    write_whole(&directory.file(file::SEARCH_PAGE), search::page::render(document).as_bytes())?;
    let notes = [
        (file::SEARCH_PAGE, "for people: where the limit lies, every probe"),
        (file::SEARCH_CSV, "one row per probe"),
        (file::SEARCH_JSON, "everything (see `bareflight schema search`)"),
        (file::RESOLVED, "every setting; `bareflight search --resume` goes on from here"),
        (file::MANIFEST, "machine, version, command line"),
    ];
    Ok(notes.map(|(name, holds)| FileNote { name: name.into(), holds: holds.into() }).into())
}
