//! Events of an engine's KV cache: blocks created, stored, removed, updated.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;

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
