//! What every export says of its origin: who wrote it, marks, verdict, what the user said of server and run, warnings.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{ExportFile, ExportPoint, ExportRun, text_file};
use crate::metrics::summary::{Mark, Verdict, json_word};
use crate::report::{marks_of, notes};
use crate::settings::export::ExportFormat;

/// Key of [`value`] in documents that have room for it.
pub(in crate::report) const KEY: &str = "bareflight";
/// Name of the file in a folder of a format.
const SIDECAR: &str = "README.txt";

/// The marks of a point, or of the whole run.
fn marks(run: &ExportRun, point: Option<&ExportPoint>) -> Vec<Mark> {
    let own = point.iter().flat_map(|point| point.summary.marks.iter().copied());
    let all = point.is_none().then(|| run.shown.marks());
    let mut marks: Vec<Mark> = own.chain(all.into_iter().flatten()).collect();
    // What holds of the target holds of every point.
    marks.extend(marks_of(&run.shown.target));
    marks.sort_unstable();
    marks.dedup();
    marks
}

fn verdict(run: &ExportRun, point: Option<&ExportPoint>) -> Option<Verdict> {
    point.map_or_else(|| run.shown.verdict(), |point| Some(point.summary.verdict))
}

/// A word for fields that take one, such as `SIMULATED`; `None` of a run that needs none.
pub(super) fn label(run: &ExportRun) -> Option<String> {
    let marks = marks(run, None);
    let words: Vec<String> = marks.iter().map(|mark| mark.description().to_uppercase()).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// For a document in JSON that has room for more fields.
pub(super) fn value(run: &ExportRun, point: &ExportPoint) -> Value {
    let declared = &run.manifest.declared;
    let warnings: Vec<Value> = notes::all(run.shown)
        .into_iter()
        .map(|note| json!({"code": note.code, "text": note.text}))
        .collect();
    let mut value = Map::new();
    value.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    value.insert("target".into(), run.manifest.target.name.clone().into());
    value.insert("marks".into(), marks(run, Some(point)).iter().map(json_word).collect());
    value.insert("verdict".into(), json_word(&point.summary.verdict).into());
    value.insert("server".into(), json!(declared.server));
    value.insert("notes".into(), json!(declared.notes));
    value.insert("warnings".into(), warnings.into());
    Value::Object(value)
}

/// A further section of a table in CSV, whose readers look for sections by their headings; empty where no mark is needed.
pub(super) fn section(label: Option<String>) -> String {
    label.map_or_else(String::new, |label| format!("\r\nMark,Value\r\nbareflight,\"{label}\"\r\n"))
}

/// For a text, a line each: of a point, or of the whole run.
pub(super) fn lines(run: &ExportRun, point: Option<&ExportPoint>) -> Vec<String> {
    let mut lines = vec![format!(
        "written by bareflight {} from what it measured on {}",
        env!("CARGO_PKG_VERSION"),
        run.manifest.target.name
    )];
    lines.extend(
        marks(run, point)
            .into_iter()
            .map(|mark| format!("{}: {}", mark.description().to_uppercase(), mark.sentence())),
    );
    lines.extend(verdict(run, point).map(|it| format!("verdict: {}", it.description())));
    let declared = &run.manifest.declared;
    lines.extend(declared.server.line().map(|server| format!("server: {server}")));
    lines.extend(declared.notes_line().map(|notes| format!("notes: {notes}")));
    lines
}

/// The file beside those of several runs, with what is to be said of each folder.
pub(super) fn sidecar_of(format: ExportFormat, origins: &[(String, Vec<String>)]) -> ExportFile {
    let mut text = opening(format);
    for (folder, lines) in origins {
        // Writing to a string cannot fail, here and below.
        let name = folder.rsplit('/').next().unwrap_or(folder);
        let _infallible = writeln!(text, "\n{name}");
        for line in lines {
            let _infallible = writeln!(text, "  {line}");
        }
    }
    text.push_str("\nThe whole record of each is in its own folder: summary.json, report.html.\n");
    text_file(SIDECAR, text)
}

fn opening(format: ExportFormat) -> String {
    format!(
        "Files in the shape of {}, for scripts that read its results. Figures are computed as that tool computes them.\n",
        format.word()
    )
}

/// The file beside those of a format, with all warnings of the run.
pub(super) fn sidecar(format: ExportFormat, run: &ExportRun) -> ExportFile {
    let mut text = opening(format) + "\n";
    for line in lines(run, None) {
        let _infallible = writeln!(text, "{line}");
    }
    let warnings = notes::all(run.shown);
    if !warnings.is_empty() {
        text.push_str("\nWhat to know before quoting a number:\n");
    }
    for note in warnings {
        let _infallible = writeln!(text, "{} {}", note.code, note.text);
    }
    text.push_str("\nThe whole record is two folders up: summary.json, report.html.\n");
    text_file(SIDECAR, text)
}
