//! `search.json`: the question, every probe, and what they come to. A search goes on from it.

use crate::metrics::search::Search;
use crate::report::comparison::json::pretty;

/// The JSON Schema (2020-12) of [`render`]'s document, as published in `docs/search.schema.json`.
pub const SEARCH_SCHEMA: &str = include_str!("../../../docs/search.schema.json");

/// The whole file.
pub fn render(search: &Search) -> String {
    pretty(search)
}
