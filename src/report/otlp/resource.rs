//! Resource of OTLP metrics: this program, what it measures, marks, and what the user says of server and run.

use std::env;

use super::message::{KeyValue, Value, attribute, text};
use crate::settings::declared::Declared;
use crate::targets::TargetInfo;

/// Attributes that every metric of a run carries.
pub fn attributes(target: &TargetInfo, run: &str, declared: &Declared) -> Vec<KeyValue> {
    let mut all = vec![
        text("service.name", env!("CARGO_PKG_NAME")),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("bareflight.run", run),
        text("bareflight.target", target.name.as_str()),
        text("bareflight.target.kind", target.kind.as_str()),
        attribute("bareflight.simulated", Value::Bool(target.simulated)),
        attribute("bareflight.dummy_weights", Value::Bool(target.dummy_weights)),
    ];
    let server = &declared.server;
    let facts = [
        ("bareflight.server.engine", &server.engine),
        ("bareflight.server.version", &server.version),
        ("bareflight.server.gpu_type", &server.gpu_type),
    ];
    all.extend(facts.into_iter().filter_map(|(key, value)| Some(text(key, value.as_ref()?))));
    let count = server.gpu_count.map(i64::from);
    all.extend(count.map(|count| attribute("bareflight.server.gpu_count", Value::Int(count))));
    let notes = declared.notes.iter();
    all.extend(notes.map(|(key, value)| text(&format!("bareflight.note.{key}"), value.as_str())));
    let more = env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for (key, value) in pairs(&more) {
        // What this program says of itself stands.
        if all.iter().all(|own| own.key != key) {
            all.push(text(key, value));
        }
    }
    all
}

/// `key=value,key=value`.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.trim(), value.trim())).filter(|(key, _)| !key.is_empty())
}
