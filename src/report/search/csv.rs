//! `search.csv`: one row per probe.

use crate::metrics::search::{Probe, Search};
use crate::report::mark_words;

/// The whole file. A value that does not exist is an empty field; nothing is rounded.
///
/// # Panics
/// Never: rows of equal length in memory are always accepted.
pub fn render(search: &Search) -> Vec<u8> {
    let in_memory = "rows of equal length in memory are always accepted";
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for (index, probe) in search.probes.iter().enumerate() {
        let cells = cells(search, probe);
        if index == 0 {
            writer.write_record(cells.iter().map(|(name, _)| name)).expect(in_memory);
        }
        writer.write_record(cells.iter().map(|(_, field)| field)).expect(in_memory);
    }
    writer.into_inner().expect(in_memory)
}

/// Column and field together, so that they cannot come apart.
fn cells(search: &Search, probe: &Probe) -> Vec<(String, String)> {
    let maybe = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let mut cells: Vec<(String, String)> = vec![
        ("number".into(), probe.number.to_string()),
        ("role".into(), probe.role.word().to_owned()),
        ("load".into(), probe.load.to_string()),
        ("at".into(), maybe(probe.at)),
        ("meets".into(), probe.meets.to_string()),
        ("certain".into(), probe.certain.to_string()),
        ("counted".into(), probe.counted.to_string()),
        ("good".into(), probe.good.to_string()),
        ("request_throughput".into(), maybe(probe.throughput)),
        ("seconds".into(), probe.seconds.to_string()),
        ("folder".into(), probe.folder.clone()),
        ("point".into(), probe.point.to_string()),
    ];
    cells.extend(
        probe.counts.iter().map(|it| (format!("over {}", it.objective), it.over.to_string())),
    );
    cells.push(("marks".into(), mark_words(search.marks())));
    cells
}
