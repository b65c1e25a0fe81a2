//! Draws from a histogram: entries whose lengths follow its bins, uniform within each.

use rand_xoshiro::Xoshiro256PlusPlus;

use super::DatasetError;
use super::choice::FileWorkload;
use super::choose::{Chosen, Reading};
use super::entries::{Entries, Entry};
use super::format::{Bin, BinOf};
use super::resolve::Counter;
use crate::workload::scenario::{Lengths, Span};
use crate::workload::seeds::{Seeds, Stream, unit};

/// Draws for each entry that is wanted, where bounds leave some out.
const TRIES: usize = 64;

/// Bins with their counts.
#[derive(Default)]
struct Bins {
    both: Vec<(f64, (Span, Option<Span>))>,
    inputs: Vec<(f64, Span)>,
    outputs: Vec<(f64, Span)>,
}

impl Bins {
    fn add(&mut self, Bin { of, weight }: Bin) {
        match of {
            BinOf::Both { input, output } => self.both.push((weight, (input, output))),
            BinOf::Input(span) => self.inputs.push((weight, span)),
            BinOf::Output(span) => self.outputs.push((weight, span)),
        }
    }

    /// Lengths of a prompt and of its output, where the file tells that; `None` where it tells of no prompt.
    fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Option<(u32, Option<u32>)> {
        let (input, output) = match pick(&self.both, rng) {
            Some(both) => both,
            None => (pick(&self.inputs, rng)?, pick(&self.outputs, rng)),
        };
        Some((input.draw(rng), output.map(|span| span.draw(rng))))
    }
}

/// One of them by its weight.
fn pick<T: Copy>(bins: &[(f64, T)], rng: &mut Xoshiro256PlusPlus) -> Option<T> {
    let total: f64 = bins.iter().map(|(weight, _)| weight).sum();
    let mut left = unit(rng) * total;
    let chosen = bins.iter().find(|(weight, _)| {
        left -= weight;
        left < 0.0
    });
    // Rounding may leave a rest beyond the last bin.
    chosen.or(bins.last()).map(|(_, bin)| *bin)
}

/// Draws `most` entries. A longer run begins with the same ones.
///
/// # Errors
/// When the file cannot be read, has a bad line, no bin, or no length of outputs where one is needed.
pub(super) fn draw(
    file: &FileWorkload,
    counter: &Counter,
    seeds: &Seeds,
    most: usize,
) -> Result<Chosen, DatasetError> {
    let mut reading = Reading::open(file)?;
    let (mut bins, mut last_line) = (Bins::default(), 1);
    while let Some((line, entry)) = reading.read()? {
        entry.bin.into_iter().for_each(|bin| bins.add(*bin));
        last_line = line;
    }
    let mut tally = std::mem::take(&mut reading.tally);
    tally.nothing_asked = 0;
    tally.read = 0;
    let mut entries = Vec::with_capacity(most);
    for number in 0..most.saturating_mul(TRIES) as u64 {
        if entries.len() >= most {
            break;
        }
        let Some((input, output)) = bins.draw(&mut seeds.rng(Stream::Entries, &[number])) else {
            break;
        };
        let output = match (counter.has_output, file.output_tokens.or(output)) {
            (false, _) => 0,
            (true, Some(output)) => output,
            (true, None) => {
                let path = file.source.path.clone();
                return Err(DatasetError::NoOutputLength { path, line: last_line });
            }
        };
        tally.read += 1;
        if file.max_input.is_some_and(|most| input > most) {
            tally.long_input += 1;
        } else if file.max_output.is_some_and(|most| output > most) {
            tally.long_output += 1;
        } else {
            entries.push(Entry::of_lengths(Lengths { input, output }));
        }
    }
    let none = || DatasetError::NoEntries {
        path: file.source.path.clone(),
        tally: if tally.read == 0 {
            "it has no bin of prompts with a count".to_owned()
        } else {
            tally.to_string()
        },
    };
    let entries = Entries::new(entries).ok_or_else(none)?;
    Ok(Chosen { entries, tally, parts: Vec::new() })
}
