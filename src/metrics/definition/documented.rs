//! Tests of the documentation against the registry of metric definitions.

use std::collections::BTreeSet;

use super::{Definition, Per, Quantity, Rate};
use crate::metrics::percentile::{Percentile, certification_floor};
use crate::metrics::summary::CheckId;

const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");

fn all() -> Vec<&'static Definition> {
    let quantities = Quantity::ALL.into_iter().map(Quantity::definition);
    quantities.chain(Rate::ALL.into_iter().map(Rate::definition)).collect()
}

fn row(of: &Definition) -> String {
    let Definition { id, key, label, formula, .. } = of;
    let streamed = if of.needs_streaming { "yes" } else { "" };
    let (origin, per, over) = (of.origin.word(), of.per.word(), of.over.word());
    format!("| `{id}` | `{key}` | {label} | {formula} | {origin} | {per} | {over} | {streamed} |")
}

#[test]
fn every_number_is_documented_as_it_is_defined_and_nothing_else_is() {
    for definition in all() {
        assert!(DOCUMENT.lines().any(|line| line == row(definition)), "{}", row(definition));
    }
    let documented = DOCUMENT.lines().filter(|line| line.matches('|').count() == 9);
    // Two tables, each with a heading and a rule.
    assert_eq!(documented.count(), all().len() + 4);
}

#[test]
fn every_check_is_documented() {
    for id in CheckId::ALL {
        let name = serde_json::to_value(id).unwrap();
        let start = format!("| `{}` |", name.as_str().unwrap());
        assert!(DOCUMENT.lines().any(|line| line.starts_with(&start)), "{start}");
    }
}

#[test]
fn the_documented_floors_are_the_computed_ones() {
    let floor = |which| certification_floor(which);
    let text = format!(
        "11 samples for p50, 24 for p75,\n  64 for p90, 130 for p95, {} for p99 and 6 {} for p99.9",
        floor(Percentile::P99),
        floor(Percentile::P999) - 6_000
    );
    assert!(DOCUMENT.contains(&text), "{text}");
}

#[test]
fn each_number_has_one_id_and_one_key_that_names_its_unit() {
    let ids: BTreeSet<_> = all().iter().map(|definition| definition.id).collect();
    let keys: BTreeSet<_> = all().iter().map(|definition| definition.key).collect();
    assert_eq!((ids.len(), keys.len()), (all().len(), all().len()));
    for definition in all() {
        let unit = match definition.unit {
            crate::metrics::definition::Unit::Ms => "_ms",
            crate::metrics::definition::Unit::Tokens => "_tokens",
            crate::metrics::definition::Unit::TokensPerS => "_tokens_per_s",
            crate::metrics::definition::Unit::RequestsPerS
            | crate::metrics::definition::Unit::DocumentsPerS
            | crate::metrics::definition::Unit::ImagesPerS => "_per_s",
            crate::metrics::definition::Unit::Fraction => "_fraction",
            crate::metrics::definition::Unit::Joules => "_j",
            crate::metrics::definition::Unit::TokensPerJoule => "_tokens_per_joule",
        };
        assert!(definition.key.ends_with(unit), "{}", definition.key);
        assert!(definition.key.starts_with(definition.id), "{}", definition.key);
    }
}

#[test]
fn the_key_in_files_is_the_key_of_the_definition() {
    for quantity in Quantity::ALL {
        assert_eq!(serde_json::to_value(quantity).unwrap(), quantity.definition().key);
        assert_ne!(quantity.definition().per, Per::Run);
    }
    for rate in Rate::ALL {
        assert_eq!(serde_json::to_value(rate).unwrap(), rate.definition().key);
        assert_eq!(rate.definition().per, Per::Run);
    }
}
