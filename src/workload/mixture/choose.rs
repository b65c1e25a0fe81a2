//! Choice of a mixture's entries: the part of each drawn with the seed, each part in its own order.

use std::sync::Arc;

use super::{Mixture, MixturePart, PartContent};
use crate::clock::Nanos;
use crate::workload::dataset::DatasetError;
use crate::workload::dataset::choose::{Chosen, PartTally, choose};
use crate::workload::dataset::entries::{Content, Entries, Entry, EntryTurn, Tally};
use crate::workload::dataset::resolve::Counter;
use crate::workload::scenario::Lengths;
use crate::workload::seeds::{Seeds, Stream};

/// Place of a mixture's lengths in their stream, where phases have the places from 0.
const OF_MIXTURES: u64 = u64::MAX;

/// Bits of a block's id that tell parts of a mixture apart.
const PART_SHIFT: u32 = 56;

/// What one part gives: single entries, or the turns of conversations, in its own order.
struct Supply {
    units: Vec<Vec<Entry>>,
    tally: Tally,
}

/// Chooses `most` entries of all parts together, or so many conversations. A part that has fewer than its share begins again.
///
/// # Errors
/// When a file cannot be read, has a bad line, or nothing that can be asked.
pub fn choose_mixed(
    mixture: &Mixture,
    counter: &Counter,
    seeds: &Seeds,
    most: usize,
) -> Result<Chosen, DatasetError> {
    let places: Vec<usize> = (0..most as u64).map(|index| mixture.part_of(seeds, index)).collect();
    let mut supplies = Vec::with_capacity(mixture.parts.len());
    for (number, part) in mixture.parts.iter().enumerate() {
        let wanted = places.iter().filter(|place| **place == number).count();
        // A file is read even where chance gives it nothing, so that one that cannot be used is refused.
        supplies.push(supply(part, number, counter, seeds, wanted.max(1))?);
    }
    let in_turns = mixture.conversation().is_some();
    let mut taken = vec![0_usize; supplies.len()];
    let mut entries = Vec::with_capacity(most);
    for place in places {
        let Supply { units, .. } = &supplies[place];
        let unit = &units[taken[place] % units.len()];
        taken[place] += 1;
        entries.extend(unit.iter().map(|entry| of_part(entry, place, in_turns)));
    }
    let parts: Vec<PartTally> = mixture
        .parts
        .iter()
        .zip(supplies)
        .map(|(part, supply)| PartTally {
            name: part.source().to_string(),
            tally: supply.tally,
            // Random prompts never come again.
            entries: part.file().map(|_| supply.units.iter().map(Vec::len).sum()),
        })
        .collect();
    let entries = Entries::new(entries).ok_or_else(|| {
        let path = mixture.parts.iter().find_map(MixturePart::file).map(|file| &file.source.path);
        DatasetError::NoEntries {
            path: path.cloned().unwrap_or_default(),
            tally: "none was asked for".to_owned(),
        }
    })?;
    Ok(Chosen { entries, tally: Tally::default(), parts })
}

fn supply(
    part: &MixturePart,
    number: usize,
    counter: &Counter,
    seeds: &Seeds,
    wanted: usize,
) -> Result<Supply, DatasetError> {
    match &part.asks {
        PartContent::File(file) => {
            let Chosen { entries, tally, .. } = choose(file, counter, seeds, wanted)?;
            Ok(Supply { units: units(entries.all()), tally })
        }
        PartContent::Synthetic(scenario) => {
            let one = |index: usize| {
                let place = [OF_MIXTURES, number as u64, index as u64];
                let drawn = scenario.draw(&mut seeds.rng(Stream::Lengths, &place));
                let output = if counter.has_output { drawn.output } else { 0 };
                vec![Entry::of_lengths(Lengths { input: drawn.input, output })]
            };
            Ok(Supply { units: (0..wanted).map(one).collect(), tally: Tally::default() })
        }
    }
}

/// Entries cut where a conversation, or a request of its own, begins.
fn units(entries: &[Entry]) -> Vec<Vec<Entry>> {
    let mut units: Vec<Vec<Entry>> = Vec::new();
    for entry in entries {
        let goes_on = entry.turn.as_ref().is_some_and(|turn| turn.number > 0);
        match units.last_mut() {
            Some(unit) if goes_on => unit.push(entry.clone()),
            Some(_) | None => units.push(vec![entry.clone()]),
        }
    }
    units
}

/// An entry as a part of a mixture: its blocks are its own, and among conversations it is one of a single turn.
fn of_part(entry: &Entry, number: usize, in_turns: bool) -> Entry {
    let alone = EntryTurn { number: 0, before: 0, answer: None, think: Nanos::ZERO };
    let content = match &entry.content {
        Content::Blocks { block, ids } if number > 0 => {
            let of_part = |id: &u64| id ^ ((number as u64) << PART_SHIFT);
            Content::Blocks { block: *block, ids: ids.iter().map(of_part).collect::<Arc<[u64]>>() }
        }
        other => other.clone(),
    };
    let turn = entry.turn.clone().or_else(|| in_turns.then_some(alone));
    Entry { content, turn, part: Some(number as u8), ..entry.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::PromptKind;
    use crate::workload::dataset::FileWorkload;

    fn counter() -> Counter {
        let (tokenizer, prompts) = (None, PromptKind::Ids);
        Counter { tokenizer, prompts, vocabulary: None, has_output: true }
    }

    fn mixture(file: &std::path::Path, weights: [f64; 2]) -> Mixture {
        let source = format!("lengths:{}", file.display()).parse().expect("a source");
        let scenario = "D(100,7)".parse().expect("a scenario");
        let asks = [
            PartContent::File(Box::new(FileWorkload::new(source))),
            PartContent::Synthetic(scenario),
        ];
        let parts = weights.into_iter().zip(asks);
        Mixture { parts: parts.map(|(weight, asks)| MixturePart { weight, asks }).collect() }
    }

    fn two_lengths() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "input_tokens,output_tokens\n10,1\n20,2\n").expect("text");
        file
    }

    #[test]
    fn each_entry_says_its_part_and_a_short_file_begins_again() {
        let file = two_lengths();
        let mixture = mixture(file.path(), [1.0, 1.0]);
        let seeds = Seeds::from_root(1);
        let chosen = choose_mixed(&mixture, &counter(), &seeds, 100).expect("it can be asked");
        let of_part = |part| {
            let all = chosen.entries.all().iter().filter(move |entry| entry.part == Some(part));
            all.map(|entry| entry.lengths.input).collect::<Vec<_>>()
        };
        let (file, random) = (of_part(0), of_part(1));
        assert_eq!(file.len() + random.len(), 100);
        assert!((30..70).contains(&file.len()), "{}", file.len());
        assert!(random.iter().all(|input| *input == 100));
        assert!(file.chunks(2).all(|pair| pair == &file[..pair.len()]), "{file:?}");
        assert_eq!(chosen.parts[0].entries, Some(2));
        assert_eq!(chosen.parts[1].entries, None);
    }

    #[test]
    fn a_longer_run_takes_the_same_entries_first() {
        let file = two_lengths();
        let mixture = mixture(file.path(), [1.0, 3.0]);
        let seeds = Seeds::from_root(5);
        let take = |most| {
            let chosen = choose_mixed(&mixture, &counter(), &seeds, most).expect("it can be asked");
            chosen.entries.all().to_vec()
        };
        assert_eq!(take(20), take(60)[..20]);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_even_where_chance_gives_it_nothing() {
        let mixture = mixture(std::path::Path::new("/nowhere/lengths.csv"), [1e-12, 1.0]);
        let refused = choose_mixed(&mixture, &counter(), &Seeds::from_root(1), 3);
        let message = refused.expect_err("there is no such file").to_string();
        assert!(message.contains("/nowhere/lengths.csv"), "{message}");
    }
}
