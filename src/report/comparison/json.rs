//! `comparison.json` and its schema.

use serde::Serialize;

use crate::metrics::comparison::Comparison;

/// The JSON Schema (2020-12) of [`render`]'s document, as published in `docs/comparison.schema.json`.
pub const COMPARISON_SCHEMA: &str = include_str!("../../../docs/comparison.schema.json");

/// Any document of ours as a file: readable, with a line end.
///
/// # Panics
/// Never: every key is a string, and a string in memory takes any length.
pub(crate) fn pretty(document: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document)
        .expect("every key is a string, and a string in memory takes any length");
    text.push('\n');
    text
}

/// The whole file.
pub fn render(comparison: &Comparison) -> String {
    pretty(comparison)
}
