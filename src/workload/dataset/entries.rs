//! Entries that a plan takes its requests from: prompts of a file, or their lengths and blocks.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::Nanos;
use crate::request::spec::Prompt;
use crate::workload::scenario::Lengths;
use crate::workload::seeds::Phase;

/// One entry, its tokens counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What is sent.
    pub content: Content,
    /// Lengths of prompt and output.
    pub lengths: Lengths,
    /// When it arrives, from the start of the run.
    pub at: Option<Nanos>,
    /// Line of the file that it begins on.
    pub line: u64,
    /// Images that go with it, as URLs.
    pub images: Option<Arc<[Arc<str>]>>,
    /// Where it stands in a conversation.
    pub turn: Option<EntryTurn>,
    /// Which part of a mixture it is of, from 0.
    pub part: Option<u8>,
}

/// A turn of a conversation. Those of one follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryTurn {
    /// From 0.
    pub number: u32,
    /// Tokens of all that is said before it, as planned; part of the entry's prompt length.
    pub before: u32,
    /// The recorded answer to it.
    pub answer: Option<Prompt>,
    /// How long the user thinks before it.
    pub think: Nanos,
}

/// What a prompt consists of.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The file's own prompt.
    Prompt(Prompt),
    /// Random tokens.
    Length,
    /// Random tokens in blocks, of which those with the same id are the same.
    Blocks {
        /// Tokens of a block.
        block: u32,
        /// Which blocks.
        ids: Arc<[u64]>,
    },
}

/// What a file had, and what of it was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records seen.
    pub read: u64,
    /// Lines that are none of the format.
    pub bad: u64,
    /// The first of them, with its reason.
    pub first_bad: Option<(u64, String)>,
    /// Well formed, with nothing to ask: a conversation without an answer, a call that failed.
    pub nothing_asked: u64,
    /// Prompts or outputs of no token.
    pub empty: u64,
    /// Prompts above `--max-isl`.
    pub long_input: u64,
    /// Outputs above `--max-osl`.
    pub long_output: u64,
    /// Outside the window of the trace.
    pub outside_window: u64,
    /// Of another plan in the file than the first.
    pub other_points: u64,
}

impl Tally {
    /// Whether nothing was left out.
    pub fn is_clean(&self) -> bool {
        let Self { read: _, bad, first_bad: _, nothing_asked, empty, .. } = self;
        let Self { long_input, long_output, outside_window, other_points, .. } = self;
        let outside = long_input + long_output + outside_window + other_points;
        bad + nothing_asked + empty + outside == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {} entries", self.read)?;
        let mut any = false;
        for (count, what) in [
            (self.bad, "are bad lines"),
            (self.nothing_asked, "ask nothing"),
            (self.empty, "have an empty prompt or output"),
            (self.long_input, "are above `--max-isl`"),
            (self.long_output, "are above `--max-osl`"),
            (self.outside_window, "are outside `--trace-window`"),
            (self.other_points, "are of other points than the first"),
        ] {
            if count > 0 {
                write!(f, "{}{count} {what}", if any { ", " } else { " looked at, " })?;
                any = true;
            }
        }
        match &self.first_bad {
            Some((line, reason)) => write!(f, " (the first bad one is line {line}: {reason})"),
            None => Ok(()),
        }
    }
}

/// Entries in the order in which they are asked; never empty.
#[derive(Debug, Clone)]
pub struct Entries {
    all: Arc<[Entry]>,
    /// How many have been measured before, and sent unmeasured.
    before: u64,
    unmeasured_before: u64,
}

impl Entries {
    /// `None` where there is none.
    pub fn new(all: Vec<Entry>) -> Option<Self> {
        (!all.is_empty()).then(|| Self { all: all.into(), before: 0, unmeasured_before: 0 })
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Entry] {
        &self.all
    }

    /// Whether each has a prompt of its own, so that none is drawn.
    pub fn are_all_given(&self) -> bool {
        self.all.iter().all(|entry| matches!(entry.content, Content::Prompt(_)))
    }

    /// The same behind so many requests that were measured and sent unmeasured: each point has entries of its own, as long as
    /// the file has enough.
    #[must_use]
    pub fn behind(&self, measured: usize, unmeasured: usize) -> Self {
        Self {
            all: Arc::clone(&self.all),
            before: self.before + measured as u64,
            unmeasured_before: self.unmeasured_before + unmeasured as u64,
        }
    }

    /// The entry of text `index`. Measured ones are taken from the front, others from the back; behind the last the first
    /// comes again.
    pub fn of(&self, phase: Phase, index: u64) -> &Entry {
        let count = self.all.len() as u64;
        let place = match phase {
            Phase::Measure => (self.before + index) % count,
            // The fill follows the warm-up at a distance, since it is not known how many that has.
            Phase::Warmup => count - 1 - (self.unmeasured_before + index) % count,
            Phase::Fill => {
                let index = self.unmeasured_before + index + FILL_BEHIND;
                count - 1 - index % count
            }
        };
        &self.all[place as usize]
    }

    /// Instants of the measured requests, in order; `None` where an entry has none.
    pub fn instants(&self) -> Option<Vec<Nanos>> {
        self.all.iter().map(|entry| entry.at).collect()
    }
}

/// Entries between warm-up and fill of a point.
const FILL_BEHIND: u64 = 32;

impl Entry {
    /// A random prompt of these lengths.
    pub fn of_lengths(lengths: Lengths) -> Self {
        let (content, line) = (Content::Length, 0);
        Self { content, lengths, at: None, line, images: None, turn: None, part: None }
    }

    /// SHA-256 of its prompt: ids and text, or the blocks.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        match &self.content {
            Content::Length => hasher.update([0]),
            Content::Prompt(Prompt { ids, text }) => {
                hasher.update([1]);
                ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
                if let Some(text) = text {
                    hasher.update(text.as_bytes());
                }
            }
            Content::Blocks { block, ids } => {
                hasher.update([2]);
                hasher.update(block.to_le_bytes());
                ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
            }
        }
        for url in self.images.iter().flat_map(|urls| urls.iter()) {
            hasher.update([3]);
            hasher.update(url.as_bytes());
        }
        if let Some(turn) = &self.turn {
            hasher.update([4]);
            hasher.update(turn.number.to_le_bytes());
            hasher.update(turn.think.0.to_le_bytes());
            if let Some(Prompt { ids, text }) = &turn.answer {
                ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
                hasher.update(text.as_deref().unwrap_or_default().as_bytes());
            }
        }
        hasher.finalize().into()
    }
}
