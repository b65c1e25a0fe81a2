//! `ladder.json`: the comparison of rungs, and the further data of each rung.

use crate::metrics::ladder::Ladder;
use crate::report::comparison::json::pretty;

/// The JSON Schema (2020-12) of [`render`]'s document, as published in `docs/ladder.schema.json`.
pub const LADDER_SCHEMA: &str = include_str!("../../../docs/ladder.schema.json");

/// The whole file.
pub fn render(ladder: &Ladder) -> String {
    pretty(ladder)
}
