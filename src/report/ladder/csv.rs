//! `ladder.csv`: one row per rung.

use crate::metrics::ladder::{Ladder, Rung};
use crate::report::ladder::{SHOWN, row, value};
use crate::report::mark_words;

/// The whole file. A value that does not exist is an empty field; nothing is rounded.
///
/// # Panics
/// Never: rows of equal length in memory are always accepted.
pub fn render(ladder: &Ladder) -> Vec<u8> {
    let in_memory = "rows of equal length in memory are always accepted";
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for (index, rung) in ladder.rungs.iter().enumerate() {
        let cells = cells(ladder, rung);
        if index == 0 {
            writer.write_record(cells.iter().map(|(name, _)| name)).expect(in_memory);
        }
        writer.write_record(cells.iter().map(|(_, field)| field)).expect(in_memory);
    }
    writer.into_inner().expect(in_memory)
}

/// Column and field together, so that they cannot come apart.
fn cells(ladder: &Ladder, rung: &Rung) -> Vec<(String, String)> {
    let maybe = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let level = |side: Option<usize>| {
        let found = ladder.rungs.iter().find(|it| it.side.is_some() && it.side == side);
        found.map_or_else(String::new, |it| it.level.name().to_owned())
    };
    let mut cells: Vec<(String, String)> = vec![
        ("level".into(), rung.level.name().to_owned()),
        ("words".into(), rung.description.clone()),
        ("not_applicable".into(), rung.not_applicable.clone().unwrap_or_default()),
        ("against".into(), level(rung.stands_on)),
    ];
    let mut approximate = Vec::new();
    for measure in SHOWN {
        let row = row(ladder, rung, measure);
        let found = value(ladder, rung, measure);
        cells.push((measure.to_string(), maybe(found.map(|it| it.value))));
        let is_approximate = found.map_or_else(String::new, |it| it.is_approximate.to_string());
        approximate.push((format!("{measure}_approximate"), is_approximate));
        cells.push((format!("{measure}_added"), maybe(row.map(|row| row.difference.mean))));
        cells.push((format!("{measure}_added_low"), maybe(row.and_then(|row| row.difference.low))));
        cells.push((
            format!("{measure}_added_high"),
            maybe(row.and_then(|row| row.difference.high)),
        ));
    }
    let (cpu, parts) = (rung.cpu.as_ref(), rung.parts.as_ref());
    let engine = parts.and_then(|parts| parts.engine);
    let further = [
        ("cpu_here_ms", cpu.map(|it| it.here_ms)),
        ("cpu_server_ms", cpu.and_then(|it| it.server_ms)),
        ("cpu_added_ms", cpu.and_then(|it| it.adds_ms).map(|it| it.mean)),
        ("e2e_mean_ms", parts.map(|it| it.e2e_ms)),
        ("queue_ms", engine.map(|it| it.queue_ms)),
        ("prefill_ms", engine.map(|it| it.prefill_ms)),
        ("decode_ms", engine.map(|it| it.decode_ms)),
        ("around_ms", engine.map(|it| it.overhead_ms)),
        ("pull_ms", parts.map(|it| it.pull_ms)),
    ];
    cells.extend(further.map(|(name, value)| (name.to_owned(), maybe(value))));
    cells.extend(approximate);
    cells.push(("marks".into(), mark_words(ladder.comparison.marks.iter().copied())));
    cells
}
