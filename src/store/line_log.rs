//! Log of the statistics collector: a file of JSON lines in the run directory, flushed after every batch.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};

use crate::observe::collector::Log;
use crate::record::iteration::ReportedIteration;
use crate::record::kv_event::KvEvent;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::{iterations_file, kv_events_file};

/// A kind of item that has a file of its own.
pub trait Logged: Sized {
    /// Name of the file.
    const FILE: &'static str;

    /// Writes one line.
    ///
    /// # Errors
    /// When `out` refuses.
    fn write_line(&self, out: &mut impl Write, point: u32) -> io::Result<()>;
}

impl Logged for ReportedIteration {
    const FILE: &'static str = file::ITERATIONS;

    fn write_line(&self, out: &mut impl Write, point: u32) -> io::Result<()> {
        iterations_file::write_line(out, point, self.iteration, &self.raw_json)
    }
}

impl Logged for KvEvent {
    const FILE: &'static str = file::KV_EVENTS;

    fn write_line(&self, out: &mut impl Write, point: u32) -> io::Result<()> {
        kv_events_file::write_line(out, point, self)
    }
}

/// The file of one kind of item.
#[derive(Debug)]
pub struct LineLog(BufWriter<File>);

impl LineLog {
    /// Opens the file of `Item` in a run directory, and appends to it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open<Item: Logged>(directory: &RunDirectory) -> io::Result<Self> {
        let path = directory.file(Item::FILE);
        Ok(Self(BufWriter::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }
}

impl<Item: Logged> Log<Item> for LineLog {
    fn name(&self) -> &'static str {
        Item::FILE
    }

    fn write(&mut self, point: u32, items: &[Item]) -> io::Result<()> {
        for item in items {
            item.write_line(&mut self.0, point)?;
        }
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;
    use crate::clock::{MonoNs, Nanos};
    use crate::record::iteration::{Iteration, LatencyOf};

    #[test]
    fn every_batch_is_on_disk_when_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::existing(folder.path());
        let reported = |iteration| ReportedIteration {
            iteration: Iteration {
                iteration,
                at: MonoNs(5),
                latency: Nanos(1),
                latency_of: LatencyOf::ThisIteration,
                active: 0,
                queued: 0,
                completed: 0,
                max_batch_size: None,
                batch: None,
                kv: None,
            },
            raw_json: "{}".into(),
        };
        let mut log = LineLog::open::<ReportedIteration>(&directory).unwrap();
        for (point, first) in [(0, 11), (1, 21)] {
            log.write(point, &[reported(first), reported(first + 1)]).unwrap();
        }
        let file = File::open(directory.file(file::ITERATIONS)).unwrap();
        let lines = iterations_file::read_all(BufReader::new(file), false).unwrap();
        let numbers: Vec<_> = lines.iter().map(|(point, it)| (*point, it.iteration)).collect();
        assert_eq!(numbers, [(0, 11), (0, 12), (1, 21), (1, 22)]);
    }
}
