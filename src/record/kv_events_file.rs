//! What happened to blocks of the KV cache? One line of JSON for each event, written while it runs and read back.

use std::fmt;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;
use crate::record::json_lines::{self, LinesError};

/// The name of a block: a hash over its content and all that comes before it.
///
/// Written as text, since not every reader of JSON has whole numbers of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlockHash(pub u64);

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<BlockHash> for String {
    fn from(hash: BlockHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for BlockHash {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

/// One event of an engine's KV cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvEvent {
    /// Its number; engines count without gaps, so a gap is what was lost.
    pub event: u64,
    /// The look before the one that found it: engines do not stamp it, so it happened between the two.
    #[serde(rename = "since_ns")]
    pub since: MonoNs,
    /// The look that found it.
    #[serde(rename = "at_ns")]
    pub at: MonoNs,
    /// Attention window of the layers that the blocks belong to; `None` where the engine does not say.
    pub window: Option<u32>,
    /// What happened.
    #[serde(flatten)]
    pub change: KvChange,
}

/// What happened to blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum KvChange {
    /// The cache exists.
    Created {
        /// Blocks at each level, the GPU's first.
        blocks_per_level: Vec<u64>,
    },
    /// Blocks can be reused from now on.
    Stored {
        /// The block before the first one; `None` where a prompt begins.
        parent: Option<BlockHash>,
        /// Each is the parent of the next.
        blocks: Vec<BlockHash>,
        /// How many of them lie beyond the GPU.
        beyond_gpu: u32,
    },
    /// Blocks are there no more.
    Removed {
        /// Which.
        blocks: Vec<BlockHash>,
    },
    /// A block went to another level, or matters more or less than before.
    Updated {
        /// Which.
        block: BlockHash,
        /// Level before and after: 0 is the GPU, 1 the host.
        level: Option<(u32, u32)>,
        /// Retention priority before and after.
        priority: Option<(u32, u32)>,
    },
}

/// How many blocks one event is about, and between which looks it happened: all that a summary is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvTally {
    /// Number of the event.
    pub event: u64,
    /// The look before the one that found it.
    pub since: MonoNs,
    /// The look that found it.
    pub at: MonoNs,
    /// Blocks that can be reused from now on.
    pub stored: u64,
    /// Blocks that are there no more.
    pub removed: u64,
    /// Blocks that went away from the GPU.
    pub offloaded: u64,
    /// Blocks that came back to the GPU.
    pub onboarded: u64,
}

impl KvEvent {
    /// How many blocks it is about.
    pub fn tally(&self) -> KvTally {
        let nothing = KvTally {
            event: self.event,
            since: self.since,
            at: self.at,
            stored: 0,
            removed: 0,
            offloaded: 0,
            onboarded: 0,
        };
        match &self.change {
            KvChange::Stored { blocks, .. } => KvTally { stored: blocks.len() as u64, ..nothing },
            KvChange::Removed { blocks } => KvTally { removed: blocks.len() as u64, ..nothing },
            KvChange::Updated { level: Some((before, after)), .. } => KvTally {
                offloaded: u64::from(after > before),
                onboarded: u64::from(after < before),
                ..nothing
            },
            KvChange::Created { .. } | KvChange::Updated { level: None, .. } => nothing,
        }
    }
}

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

/// Reads all lines back, each with its point.
///
/// # Errors
/// At the first line that cannot be read.
pub fn read_all(from: impl BufRead) -> Result<Vec<(u32, KvEvent)>, LinesError> {
    let lines: Vec<LineRead> = json_lines::read_all(from)?;
    Ok(lines.into_iter().map(|read| (read.point, read.event)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let error = read_all(text.as_slice()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
        let strange = b"{\"point\":0,\"event\":1,\"since_ns\":1,\"at_ns\":2,\"window\":3,\"what\":\"removed\",\"blocks\":[\"xyz\"]}";
        assert!(read_all(strange.as_slice()).is_err());
    }

    #[test]
    fn every_kind_of_event_is_read_back_as_it_was_written_to_the_last_bit_of_a_hash() {
        let mut text = Vec::new();
        for event in &all() {
            write_line(&mut text, 4, event).unwrap();
        }
        let back = read_all(text.as_slice()).unwrap();
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
