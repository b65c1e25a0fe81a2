//! HTML sections of metric definitions, manifest and files.

use std::fmt::Write as _;

use serde_json::Value;

use crate::metrics::definition::{Definition, Quantity, Rate};
use crate::report::html::tables::table;
use crate::report::html::text::escape;
use crate::report::{Experiment, FileNote};

/// Every number of the page with its formula.
pub(super) fn definitions() -> String {
    let all = Quantity::ALL.map(Quantity::definition);
    let rows: Vec<Vec<String>> =
        all.into_iter().chain(Rate::ALL.map(Rate::definition)).map(definition_row).collect();
    let header = ["Number", "Key", "Unit", "One value per", "Definition"];
    format!(
        "<h2>What each number means</h2>\n<p class=\"soft\">t_submit: the call that hands a request over begins · \
         t_intended: when the schedule says that it arrives · t_k, n_k: delivery k became visible, and carried n_k \
         tokens · t_first, t_last: first and last delivery with tokens · t_end: the end was seen.</p>\n{}",
        table("text-table", &header, &rows)
    )
}

fn definition_row(definition: &Definition) -> Vec<String> {
    vec![
        definition.label.to_owned(),
        format!("<code>{}</code>", definition.key),
        definition.unit.symbol().to_owned(),
        definition.per.word().to_owned(),
        escape(definition.formula),
    ]
}

/// The manifest, a row for each fact.
pub(super) fn manifest(experiment: &Experiment) -> String {
    let mut rows = Vec::new();
    facts("", &experiment.manifest, &mut rows);
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Under which circumstances</h2>\n{}",
        table("text-table", &["Fact", "Value"], &rows)
    )
}

/// What else was written.
pub(super) fn files(files: &[FileNote]) -> String {
    let mut items = String::new();
    for file in files {
        let (name, holds) = (escape(&file.name), escape(&file.holds));
        // Writing to a string cannot fail.
        let _infallible = writeln!(items, "<li><code>{name}</code> {holds}</li>");
    }
    if items.is_empty() { items } else { format!("<h2>Files</h2>\n<ul>\n{items}</ul>\n") }
}

/// Walks an object; lists of objects are counted, since `manifest.json` holds them in full.
fn facts(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    let text = match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                facts(&name, value, rows);
            }
            return;
        }
        Value::Null => return,
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            format!("{} entries, in manifest.json", items.len())
        }
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => plain(value),
    };
    rows.push(vec![escape(name), format!("<code>{}</code>", escape(&text))]);
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
