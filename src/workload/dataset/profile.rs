//! Profile of a workload file: lengths as histograms, share of prefixes seen before, arrivals over time.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::DatasetError;
use super::choice::FileWorkload;
use super::choose::Reading;
use super::entries::{Content, Tally};
use super::format::{RawEntry, RawOutput};
use super::resolve::Counter;
use crate::clock::Nanos;
use crate::request::spec::Prompt;

/// Block sizes, in tokens, that prefixes are cut into where the file has the tokens themselves.
const BLOCK_SIZES: [u32; 4] = [16, 32, 64, 512];

/// Stretches of time that arrivals are counted in.
pub const STRETCHES: usize = 20;

/// Lengths in bins that double: bin b holds those from 2^b to 2^(b+1) − 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many there are in each bin.
    pub bins: Vec<u64>,
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The longest.
    pub longest: u32,
}

/// Tokens in whole blocks that an earlier prompt began with too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    /// Tokens of a block.
    pub block: u32,
    /// Tokens of prompts that begin as an earlier one does, in whole blocks.
    pub tokens: u64,
    seen: HashSet<u64>,
}

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// What was read and left out.
    pub tally: Tally,
    /// So many requests were drawn as a run does; `None` where a file was read as a whole.
    pub drawn: Option<usize>,
    /// Lengths of prompts.
    pub inputs: Histogram,
    /// Lengths of outputs, where the file tells.
    pub outputs: Histogram,
    /// By block size.
    pub reuse: Vec<Reuse>,
    /// Instants of arrival, in order.
    pub instants: Vec<Nanos>,
}

impl Histogram {
    fn add(&mut self, tokens: u32) {
        let bin = tokens.max(1).ilog2() as usize;
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0);
        }
        self.bins[bin] += 1;
        self.count += 1;
        self.sum += u64::from(tokens);
        self.longest = self.longest.max(tokens);
    }

    /// Their mean; 0 where there is none.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}

impl Reuse {
    /// Adds a prompt by what identifies each of its blocks.
    fn add<T: Hash>(&mut self, tokens: u32, blocks: impl Iterator<Item = T>) {
        let mut hasher = DefaultHasher::new();
        let (mut is_seen, mut left) = (true, tokens);
        for block in blocks {
            block.hash(&mut hasher);
            is_seen &= !self.seen.insert(hasher.clone().finish());
            let length = left.min(self.block);
            left -= length;
            if is_seen && length == self.block {
                self.tokens += u64::from(length);
            }
        }
    }
}

impl Profile {
    /// Reads a whole file.
    ///
    /// # Errors
    /// When it cannot be read or counted, with the line and the reason.
    pub fn of(file: &FileWorkload, counter: &Counter) -> Result<Self, DatasetError> {
        let mut reading = Reading::open(file)?;
        let mut profile = Self::default();
        while let Some((line, mut raw)) = reading.read()? {
            let later = std::mem::take(&mut raw.later);
            for raw in std::iter::once(raw).chain(later) {
                profile.add(file, counter, line, raw, &mut reading.tally)?;
            }
        }
        profile.instants.sort_unstable();
        profile.tally = reading.tally;
        Ok(profile)
    }

    /// Adds one prompt.
    fn add(
        &mut self,
        file: &FileWorkload,
        counter: &Counter,
        line: u64,
        raw: RawEntry,
        tally: &mut Tally,
    ) -> Result<(), DatasetError> {
        let (content, tokens) = counter.content(file, line, raw.given)?;
        let Some(tokens) = tokens.filter(|tokens| *tokens > 0) else {
            tally.empty += 1;
            return Ok(());
        };
        self.inputs.add(tokens);
        if file.output_tokens.is_some() || raw.output != RawOutput::Unknown {
            self.outputs.add(counter.output(file, line, raw.output)?);
        }
        self.instants.extend(raw.at);
        self.add_prefix(&content, tokens);
        Ok(())
    }

    /// Adds a prompt that was drawn, and the output that is asked for.
    pub fn add_drawn(&mut self, prompt: &Prompt, output: u32) {
        self.inputs.add(prompt.tokens());
        if output > 0 {
            self.outputs.add(output);
        }
        self.add_prefix(&Content::Prompt(prompt.clone()), prompt.tokens());
    }

    fn add_prefix(&mut self, content: &Content, tokens: u32) {
        match content {
            Content::Length => {}
            Content::Blocks { block, ids } => {
                self.reuse_of(*block).add(tokens, ids.iter());
            }
            Content::Prompt(prompt) => {
                for block in BLOCK_SIZES {
                    self.reuse_of(block).add(tokens, prompt.ids.chunks(block as usize));
                }
            }
        }
    }

    fn reuse_of(&mut self, block: u32) -> &mut Reuse {
        let place = self.reuse.iter().position(|it| it.block == block);
        let place = place.unwrap_or_else(|| {
            self.reuse.push(Reuse { block, tokens: 0, seen: HashSet::new() });
            self.reuse.len() - 1
        });
        &mut self.reuse[place]
    }

    /// Arrivals in equal stretches of time, and the seconds of each; `None` without instants, or where all are one.
    pub fn arrivals(&self) -> Option<(f64, [u64; STRETCHES])> {
        let (first, last) = (self.instants.first()?, self.instants.last()?);
        let span = last.0 - first.0;
        if span <= 0 {
            return None;
        }
        let mut counts = [0; STRETCHES];
        for at in &self.instants {
            let share = (at.0 - first.0) as f64 / span as f64;
            counts[((share * STRETCHES as f64) as usize).min(STRETCHES - 1)] += 1;
        }
        Some((span as f64 / 1e9 / STRETCHES as f64, counts))
    }
}
