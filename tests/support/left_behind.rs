//! Output of a program: its text, its one run directory, and documents validated against their schema.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

pub fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Words that were laid out for a terminal, which may break them anywhere.
pub fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The one run directory below `runs/`.
pub fn directory(out: &TempDir) -> PathBuf {
    let mut found: Vec<_> = fs::read_dir(out.path().join("runs"))
        .expect("`runs` was made")
        .map(|entry| entry.expect("can be listed").path())
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

pub fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Columns of a table of a run, as rows.
pub fn rows(run: &Path, file: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(run.join(file)).expect("a table");
    let header = reader.headers().expect("a header").clone();
    let rows = reader.records().map(|row| {
        let row = row.expect("a row");
        let by_name: HashMap<&str, &str> = header.iter().zip(row.iter()).collect();
        columns.iter().map(|name| by_name[name].to_owned()).collect()
    });
    rows.collect()
}

/// `NAME.json` of a folder, which keeps to `docs/NAME.schema.json`.
pub fn document(folder: &Path, name: &str) -> Value {
    let json = |folder: &Path, name: &str| -> Value {
        serde_json::from_str(&read(folder, name)).expect("JSON")
    };
    let document = json(folder, &format!("{name}.json"));
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let schema = json(&docs, &format!("{name}.schema.json"));
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{error}")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    document
}

pub fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&read(folder, name)).expect(name)
}

/// Columns of a CSV file, row by row.
pub fn columns(text: &str, names: &[&str]) -> Vec<Vec<String>> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let places: Vec<usize> = names
        .iter()
        .map(|name| header.iter().position(|it| it == name).unwrap_or_else(|| panic!("{name}")))
        .collect();
    lines.map(|row| places.iter().map(|place| row[*place].to_owned()).collect()).collect()
}

/// What does not depend on the speed of the machine.
pub const DETERMINED: [&str; 8] = [
    "request_id",
    "part",
    "prompt_tokens",
    "requested_tokens",
    "output_tokens",
    "token_source",
    "token_hash",
    "outcome",
];
