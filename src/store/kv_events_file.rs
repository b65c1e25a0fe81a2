//! `kv_events.jsonl`: KV cache events, one line of JSON each, written while a run goes on and read back.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::record::kv_event::KvEvent;
use crate::store::json_lines;
use crate::store::json_lines::LinesError;

/// A line: the event, and the point that it belongs to.
#[derive(Serialize)]
struct Line<'a> {
    point: u32,
    #[serde(flatten)]
    event: &'a KvEvent,
}

/// A line that was read.
#[derive(Deserialize)]
struct LineRead {
    point: u32,
    #[serde(flatten)]
    event: KvEvent,
}

/// Writes one line.
///
/// # Errors
/// When `out` refuses.
pub fn write_line(out: &mut impl Write, point: u32, event: &KvEvent) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Line { point, event })?;
    out.write_all(b"\n")
}

/// Reads all lines back (see [`json_lines::read_all`]), each with its point.
///
/// # Errors
/// At the first line that cannot be read.
pub fn read_all(from: impl BufRead, may_be_torn: bool) -> Result<Vec<(u32, KvEvent)>, LinesError> {
    let lines: Vec<LineRead> = json_lines::read_all(from, may_be_torn)?;
    Ok(lines.into_iter().map(|read| (read.point, read.event)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MonoNs;
    use crate::record::kv_event::{BlockHash, KvChange};

    fn event(number: u64, change: KvChange) -> KvEvent {
        let at = MonoNs(77_000_000_123_456_789);
        KvEvent { event: number, since: MonoNs(-3), at, window: Some(4096), change }
    }

    fn hashes(numbers: &[u64]) -> Vec<BlockHash> {
        numbers.iter().copied().map(BlockHash).collect()
    }

    /// One of each kind.
    fn all() -> Vec<KvEvent> {
        let parent = Some(BlockHash(u64::MAX));
        let moved = |level, priority| KvChange::Updated { block: BlockHash(7), level, priority };
        vec![
            event(0, KvChange::Created { blocks_per_level: vec![100, 0] }),
            event(1, KvChange::Stored { parent, blocks: hashes(&[1, 2, 3]), beyond_gpu: 0 }),
            event(2, KvChange::Stored { parent: None, blocks: hashes(&[9]), beyond_gpu: 1 }),
            event(3, KvChange::Removed { blocks: hashes(&[1, u64::MAX - 1]) }),
            event(4, moved(Some((0, 1)), None)),
            event(5, moved(Some((1, 0)), Some((35, 80)))),
            KvEvent { window: None, ..event(6, moved(None, Some((35, 80)))) },
        ]
    }

    #[test]
    fn a_line_that_was_cut_short_is_an_error_that_names_it() {
        let mut text = Vec::new();
        write_line(&mut text, 0, &all()[0]).unwrap();
        text.extend_from_slice(b"{\"point\":0,\"event");
        let error = read_all(text.as_slice(), false).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        let strange = b"{\"point\":0,\"event\":1,\"since_ns\":1,\"at_ns\":2,\"window\":3,\"what\":\"removed\",\"blocks\":[\"xyz\"]}";
        assert!(read_all(strange.as_slice(), false).is_err());
    }

    #[test]
    fn every_kind_of_event_is_read_back_as_it_was_written_to_the_last_bit_of_a_hash() {
        let mut text = Vec::new();
        for event in &all() {
            write_line(&mut text, 4, event).unwrap();
        }
        let back = read_all(text.as_slice(), false).unwrap();
        assert_eq!(back, all().into_iter().map(|event| (4, event)).collect::<Vec<_>>());
        assert!(String::from_utf8(text).unwrap().contains("\"ffffffffffffffff\""));
    }

    #[test]
    fn an_event_counts_its_blocks_and_which_way_they_went() {
        let counts = |event: &KvEvent| {
            let tally = event.tally();
            [tally.stored, tally.removed, tally.offloaded, tally.onboarded]
        };
        let counted: Vec<_> = all().iter().map(counts).collect();
        assert_eq!(
            counted,
            [
                [0, 0, 0, 0],
                [3, 0, 0, 0],
                [1, 0, 0, 0],
                [0, 2, 0, 0],
                [0, 0, 1, 0],
                [0, 0, 0, 1],
                [0, 0, 0, 0]
            ]
        );
    }
}
