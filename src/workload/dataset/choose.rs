//! Choice of entries: one pass over the file that keeps no more of them than a plan takes.
//!
//! Shuffled, each record has a key that follows from the seed and its number, and those with the smallest keys are kept, in
//! the order of their keys. So a longer run takes the same entries first, and the file is never held as a whole.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use serde_json::Value;

use super::choice::{FileOrder, FileWorkload};
use super::columns::Columns;
use super::entries::{Entries, Entry, Tally};
use super::format::RawEntry;
use super::open::has_extension;
use super::records::{ReadError, Records};
use super::resolve::{Counted, Counter};
use super::{DatasetError, histogram};
use crate::clock::Nanos;
use crate::workload::seeds::{Seeds, Stream};

/// Entries, and what was left out.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// What is asked.
    pub entries: Entries,
    /// What the file had.
    pub tally: Tally,
    /// The same of each part of a mixture.
    pub parts: Vec<PartTally>,
}

/// What a part of a mixture had.
#[derive(Debug, Clone)]
pub struct PartTally {
    /// As it was typed, without its weight.
    pub name: String,
    /// What its file had.
    pub tally: Tally,
    /// Entries of its file that were kept, after which the first comes again; `None` where prompts are random.
    pub entries: Option<usize>,
}

/// Reads a file record by record: what each asks, before anything is counted.
pub struct Reading<'a> {
    file: &'a FileWorkload,
    columns: Columns,
    records: Records,
    /// Instant of the first entry of a trace.
    begin: Option<Nanos>,
    /// Of several plans in the file, the first one.
    part: Option<String>,
    /// What was left out so far.
    pub tally: Tally,
}

impl<'a> Reading<'a> {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be read or is not of its kind.
    pub fn open(file: &'a FileWorkload) -> Result<Self, DatasetError> {
        let path = &file.source.path;
        let kind = file.source.kind;
        let shape = kind.format().shape(has_extension(path, "csv"));
        let records = Records::open(path, shape).map_err(|error| error.of(path, kind.name()))?;
        let columns = Columns {
            prompt: file.prompt_column.clone(),
            output: file.output_column.clone(),
            image: file.image_column.clone(),
        };
        Ok(Self { file, columns, records, begin: None, part: None, tally: Tally::default() })
    }

    /// The next record that asks something within the window, with its line.
    ///
    /// # Errors
    /// A bad line, unless those are left out; or the file cannot be read on.
    pub fn read(&mut self) -> Result<Option<(u64, RawEntry)>, DatasetError> {
        let kind = self.file.source.kind;
        loop {
            let failed = |error: ReadError| error.of(&self.file.source.path, kind.name());
            let Some((line, record)) = self.records.next().map_err(failed)? else {
                return Ok(None);
            };
            self.tally.read += 1;
            if record.as_ref().is_ok_and(|record| !self.is_of_first_part(record)) {
                self.tally.other_points += 1;
                continue;
            }
            match record.and_then(|record| kind.format().entry(&record, &self.columns)) {
                Ok(Some(entry)) => match self.in_window(entry) {
                    Some(entry) => return Ok(Some((line, entry))),
                    None => self.tally.outside_window += 1,
                },
                Ok(None) => self.tally.nothing_asked += 1,
                Err(reason) if self.file.skip_bad_lines => {
                    self.tally.bad += 1;
                    self.tally.first_bad.get_or_insert((line, reason));
                }
                Err(reason) => {
                    let path = self.file.source.path.clone();
                    return Err(DatasetError::BadLine { path, line, reason });
                }
            }
        }
    }

    /// Whether a record is of the plan that the file begins with.
    fn is_of_first_part(&mut self, record: &Value) -> bool {
        let Some(part) = self.file.source.kind.format().part(record) else { return true };
        self.part.get_or_insert_with(|| part.to_owned()) == part
    }

    /// Moves an entry's instant to the time of the run; `None` outside the window.
    fn in_window(&mut self, mut entry: RawEntry) -> Option<RawEntry> {
        let Some(at) = entry.at else { return Some(entry) };
        let begin = *self.begin.get_or_insert(at);
        let seconds = Nanos(at.0 - begin.0).as_secs_f64();
        let (start, end) = self.file.window.map_or((0.0, f64::INFINITY), |it| (it.start, it.end));
        let inside = self.file.window.is_none() || (start..end).contains(&seconds);
        entry.at = Some(Nanos::from_secs_f64((seconds - start) / self.file.time_scale));
        inside.then_some(entry)
    }
}

impl FileWorkload {
    /// What the first record asks that asks anything; `None` where there is none.
    ///
    /// # Errors
    /// When the file cannot be read so far.
    pub fn first_entry(&self) -> Result<Option<RawEntry>, DatasetError> {
        Ok(Reading::open(self)?.read()?.map(|(_, entry)| entry))
    }
}

/// Chooses at most `most` entries of a file.
///
/// # Errors
/// When it cannot be read, has a bad line, or nothing that can be asked.
pub fn choose(
    file: &FileWorkload,
    counter: &Counter,
    seeds: &Seeds,
    most: usize,
) -> Result<Chosen, DatasetError> {
    if file.source.kind.is_drawn() {
        return histogram::draw(file, counter, seeds, most);
    }
    let mut reading = Reading::open(file)?;
    let mut kept: BinaryHeap<Keyed> = BinaryHeap::new();
    let mut number = 0_u64;
    while let Some((line, raw)) = reading.read()? {
        let key = match file.order {
            FileOrder::File => number,
            FileOrder::Shuffled => seeds.seed(Stream::Entries, &[number]),
        };
        let place = (key, number);
        number += 1;
        let is_full = kept.len() >= most;
        if is_full && kept.peek().is_some_and(|last| last.place < place) {
            if file.order == FileOrder::File {
                break;
            }
            continue;
        }
        match counter.count(file, line, raw)? {
            Counted::Entries(entries) => {
                if is_full {
                    kept.pop();
                }
                kept.push(Keyed { place, entries });
            }
            Counted::Empty => reading.tally.empty += 1,
            Counted::LongInput => reading.tally.long_input += 1,
            Counted::LongOutput => reading.tally.long_output += 1,
        }
    }
    let mut entries: Vec<Entry> =
        kept.into_sorted_vec().into_iter().flat_map(|keyed| keyed.entries).collect();
    if file.replay {
        start_at_zero(&mut entries);
    }
    let path = file.source.path.clone();
    let tally = reading.tally;
    let none = || DatasetError::NoEntries { path, tally: tally.to_string() };
    let entries = Entries::new(entries).ok_or_else(none)?;
    Ok(Chosen { entries, tally, parts: Vec::new() })
}

/// Entries in the order of their instants, the first of which is the start.
fn start_at_zero(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| entry.at);
    let first = entries.first().and_then(|entry| entry.at).unwrap_or(Nanos::ZERO);
    for entry in entries {
        entry.at = entry.at.map(|at| Nanos(at.0 - first.0));
    }
}

/// An entry, or the turns of a conversation, with its place in the shuffled order.
struct Keyed {
    place: (u64, u64),
    entries: Vec<Entry>,
}

impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Eq for Keyed {}

impl PartialOrd for Keyed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
