//! Reports of cells: what all of them come to together.

use super::MeasuredCells;
use crate::experiment::artefacts;
use crate::report::cells::{CellsReport, Group};
use crate::report::{Experiment, FileNote, PointReport, html, summary_csv, summary_json};
use crate::store::cells_index::CellState;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::{WriteError, write_whole};
use crate::warning::Note;

/// Writes what all cells come to together.
///
/// # Errors
/// When a file cannot be written.
pub fn write_reports(measured: &MeasuredCells) -> Result<CellsReport, WriteError> {
    let report = as_report(measured);
    let (directory, experiment) = (&measured.directory, &report.experiment);
    write_whole(&directory.file(file::SUMMARY_JSON), summary_json::render(experiment).as_bytes())?;
    write_whole(&directory.file(file::SUMMARY_CSV), &summary_csv::render(experiment))?;
    artefacts::write_repeats(directory, experiment)?;
    write_whole(&directory.file(file::REPORT), html::cells::render(&report).as_bytes())?;
    Ok(report)
}

/// Cells as reports show them.
///
/// # Panics
/// Never: every key of an index is a string.
pub fn as_report(measured: &MeasuredCells) -> CellsReport {
    let index = &measured.index;
    let mut groups: Vec<Group> = Vec::new();
    for (place, run) in &measured.runs {
        let entry = &index.cells[*place];
        let points = run
            .points
            .iter()
            .map(|point| PointReport { label: entry.name.clone(), summary: point.summary.clone() });
        match groups.iter_mut().find(|group| group.scenario == entry.scenario) {
            Some(group) => group.points.extend(points),
            None => {
                groups.push(Group { scenario: entry.scenario.clone(), points: points.collect() });
            }
        }
    }
    let lost = index.cells.iter().filter_map(|entry| {
        let why = match entry.state {
            CellState::Complete => return None,
            CellState::Missing => "it was not begun; `--resume` measures it".to_owned(),
            CellState::Interrupted => "it was ended early; `--resume` measures it again".to_owned(),
            CellState::Failed => {
                entry.why.clone().unwrap_or_else(|| "see its `manifest.json`".to_owned())
            }
        };
        Some((entry.name.clone(), why))
    });
    let lost: Vec<(String, String)> = lost.collect();
    let mut warnings: Vec<Note> = Vec::new();
    for (_, run) in &measured.runs {
        for problem in &run.manifest.warnings {
            let note = Note::new(problem.code, problem.to_string());
            if !warnings.contains(&note) {
                warnings.push(note);
            }
        }
    }
    let first = measured.runs.first().map(|(_, run)| &run.manifest);
    let experiment = Experiment {
        title: index.title.clone(),
        target: measured.target.clone(),
        points: groups.iter().flat_map(|group| group.points.iter().cloned()).collect(),
        incomplete: !lost.is_empty(),
        declared: first.map(|it| it.declared.clone()).unwrap_or_default(),
        time_unit: first.map(|it| it.time_unit).unwrap_or_default(),
        warnings,
        manifest: serde_json::to_value(index)
            .expect("every key is a string, and a value in memory takes any size"),
        folder: measured.directory.path().display().to_string(),
        files: notes(&measured.directory),
    };
    CellsReport { experiment, groups, lost }
}

fn notes(directory: &RunDirectory) -> Vec<FileNote> {
    let exports = (file::EXPORTS, "all cells as one experiment of genai-bench");
    let exports = directory.file(file::EXPORTS).is_dir().then_some(exports);
    let of_launch = [
        (file::LAUNCH, "how the server was started and how it ended"),
        (file::SERVER_LOG, "what the launched server wrote"),
    ];
    let of_launch = of_launch.into_iter().filter(|(name, _)| directory.file(name).is_file());
    [
        (file::REPORT, "for people: a table and a curve for each scenario"),
        (file::INDEX_CSV, "one row per cell: how far it has come, its main numbers"),
        (file::INDEX_JSON, "the same"),
        (file::SUMMARY_CSV, "one row per measured cell, all numbers"),
        (file::SUMMARY_JSON, "every metric with its definition (see `bareflight schema`)"),
        (file::RESOLVED, "every setting; `bareflight run --resume` goes on from here"),
        ("isl_…/", "a run directory for each cell, with everything of a run"),
    ]
    .into_iter()
    .chain(exports)
    .chain(of_launch)
    .map(|(name, holds)| FileNote { name: name.into(), holds: holds.into() })
    .collect()
}
