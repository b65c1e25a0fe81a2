//! `summary.json` and its schema.

use serde::Serialize;

use crate::metrics::definition::{Better, Definition, Origin, Over, Per, Quantity, Rate, Unit};
use crate::metrics::summary::{Mark, SCHEMA_VERSION, Verdict};
use crate::report::{Experiment, PointReport, notes};
use crate::settings::declared::Declared;
use crate::targets::TargetInfo;
use crate::warning::Note;

/// The JSON Schema (2020-12) of [`render`]'s document, as published in `docs/summary.schema.json`.
pub const SUMMARY_SCHEMA: &str = include_str!("../../docs/summary.schema.json");

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    tool: Tool,
    title: &'a str,
    target: &'a TargetInfo,
    verdict: Option<Verdict>,
    marks: Vec<Mark>,
    incomplete: bool,
    declared: &'a Declared,
    notes: Vec<Note>,
    definitions: Vec<DefinitionEntry>,
    points: &'a [PointReport],
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

/// Where the numbers of a definition stand in a point.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Distributions,
    Rates,
}

#[derive(Serialize)]
struct DefinitionEntry {
    key: &'static str,
    id: &'static str,
    label: &'static str,
    place: Place,
    unit: Unit,
    formula: &'static str,
    origin: Origin,
    per: Per,
    over: Over,
    better: Better,
    needs_streaming: bool,
}

impl DefinitionEntry {
    const fn new(place: Place, definition: &Definition) -> Self {
        Self {
            key: definition.key,
            id: definition.id,
            label: definition.label,
            place,
            unit: definition.unit,
            formula: definition.formula,
            origin: definition.origin,
            per: definition.per,
            over: definition.over,
            better: definition.better,
            needs_streaming: definition.needs_streaming,
        }
    }
}

/// The whole file.
///
/// # Panics
/// Never: every key is a string, and a string in memory takes any length.
pub fn render(experiment: &Experiment) -> String {
    let quantities =
        Quantity::ALL.map(|it| DefinitionEntry::new(Place::Distributions, it.definition()));
    let rates = Rate::ALL.map(|it| DefinitionEntry::new(Place::Rates, it.definition()));
    let document = Document {
        schema_version: SCHEMA_VERSION,
        tool: Tool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
        title: &experiment.title,
        target: &experiment.target,
        verdict: experiment.verdict(),
        marks: experiment.marks().into_iter().collect(),
        incomplete: experiment.incomplete,
        declared: &experiment.declared,
        notes: notes::notes(experiment),
        definitions: quantities.into_iter().chain(rates).collect(),
        points: &experiment.points,
    };
    let mut text = serde_json::to_string_pretty(&document)
        .expect("every key is a string, and a string in memory takes any length");
    text.push('\n');
    text
}
