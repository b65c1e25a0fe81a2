//! Partial files of a point: rows of ended requests and deliveries, written while it runs, read again at its end.
//!
//! Rows are CSV with the raw columns of `requests.csv`, in the order in which requests ended. Deliveries are records of 16
//! bytes, little-endian: place of the request in the point (u32), tokens (u32), instant (i64, ns of CLOCK_MONOTONIC).
//! Both are valid up to the last whole record, so what is there after a crash can be read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;
use crate::console;
use crate::record::log::{Batch, RecordLog};
use crate::record::request_record::{Arrival, RequestRecord};
use crate::record::unsent::Unsent;
use crate::store::rows::{RowError, RowReader, RowWriter};
use crate::store::run_directory::{RunDirectory, file};

/// Bytes of one delivery.
const DELIVERY: usize = 16;

/// Names of the two files in the run directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialNames {
    /// Rows of requests.
    pub requests: String,
    /// Deliveries.
    pub deliveries: String,
}

impl PartialNames {
    /// Of the point that runs. Files that an earlier point could not be taken out of keep their names.
    pub fn unused(directory: &RunDirectory) -> Self {
        let numbered = |number: u32| match number {
            0 => Self {
                requests: file::PARTIAL_REQUESTS.into(),
                deliveries: file::PARTIAL_DELIVERIES.into(),
            },
            _ => Self {
                requests: format!("requests.partial-{number}.csv"),
                deliveries: format!("deliveries.partial-{number}.bin"),
            },
        };
        let is_unused = |names: &Self| {
            [&names.requests, &names.deliveries].iter().all(|name| !directory.file(name).exists())
        };
        let mut number = 0;
        loop {
            let names = numbered(number);
            if is_unused(&names) {
                return names;
            }
            number += 1;
        }
    }

    /// Removes the files, once the canonical ones hold what they held.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, directory: &RunDirectory) -> io::Result<()> {
        for name in [&self.requests, &self.deliveries] {
            match fs::remove_file(directory.file(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a reader of rows is called with.
type EachRow<'a> = dyn FnMut(&RequestRecord) + 'a;

/// How far the files are valid, and where each row begins.
#[derive(Debug, Default)]
struct Written {
    row_bytes: u64,
    delivery_bytes: u64,
    /// Offset of the row of each request, by place; 0 where there is none (the header lies there).
    offsets: Vec<u64>,
    /// What has no row since it was not sent.
    unsent: Vec<Unsent>,
}

/// Partial files that can be read, while they are written and after.
#[derive(Debug)]
pub struct PartialFiles {
    rows: File,
    deliveries: File,
    written: Arc<Mutex<Written>>,
}

/// The end that the recorder writes to.
#[derive(Debug)]
struct PartialLog {
    point: u32,
    rows: File,
    deliveries: File,
    path: PathBuf,
    /// Whether what is not sent is the rest of a supply.
    is_supply: bool,
    written: Arc<Mutex<Written>>,
    buffer: Vec<u8>,
}

impl PartialFiles {
    /// Makes both files for a point of so many requests; returns what reads them and what the recorder writes to. Of a supply, what
    /// is not sent has no row.
    ///
    /// # Errors
    /// When a file cannot be made or written.
    pub fn create(
        directory: &RunDirectory,
        names: &PartialNames,
        point: u32,
        requests: usize,
        is_supply: bool,
    ) -> Result<(Self, Box<dyn RecordLog>), RowError> {
        let open = |name: &str| {
            let path = directory.file(name);
            OpenOptions::new().read(true).write(true).create_new(true).open(path)
        };
        let io = |error: io::Error| RowError::Csv(error.into());
        let (mut rows, deliveries) =
            (open(&names.requests).map_err(io)?, open(&names.deliveries).map_err(io)?);
        let header = RowWriter::new(Vec::new())?.finish()?;
        rows.write_all(&header).map_err(io)?;
        let written = Arc::new(Mutex::new(Written {
            row_bytes: header.len() as u64,
            delivery_bytes: 0,
            offsets: vec![0; requests],
            unsent: Vec::new(),
        }));
        let log = PartialLog {
            point,
            rows: rows.try_clone().map_err(io)?,
            deliveries: deliveries.try_clone().map_err(io)?,
            path: directory.path().to_owned(),
            is_supply,
            written: Arc::clone(&written),
            buffer: Vec::new(),
        };
        Ok((Self { rows, deliveries, written }, Box::new(log)))
    }

    /// What a process that was killed has left. Ids of the point begin at `first`.
    ///
    /// # Errors
    /// When a file is missing, or is none of ours.
    pub fn left_behind(
        directory: &RunDirectory,
        names: &PartialNames,
        first: u32,
    ) -> Result<Self, RowError> {
        let io = |error: io::Error| RowError::Csv(error.into());
        let rows = File::open(directory.file(&names.requests)).map_err(io)?;
        let deliveries = File::open(directory.file(&names.deliveries)).map_err(io)?;
        let mut written = Written::default();
        let text = rows.try_clone().map_err(io)?;
        let whole = length_of_whole_lines(&rows).map_err(io)?;
        for row in RowReader::new(BufReader::new(text))?.with_offsets() {
            // The last row may have been cut short.
            let Ok((offset, end, record)) = row else { break };
            if end > whole {
                break;
            }
            let Some(place) = record.id.0.checked_sub(first) else { continue };
            let place = place as usize;
            if written.offsets.len() <= place {
                written.offsets.resize(place + 1, 0);
            }
            written.offsets[place] = offset;
            written.row_bytes = end;
        }
        let bytes = deliveries.metadata().map_err(io)?.len();
        written.delivery_bytes = bytes - bytes % DELIVERY as u64;
        Ok(Self { rows, deliveries, written: Arc::new(Mutex::new(written)) })
    }

    /// Whether there is a row of the request at `place`.
    pub fn holds(&self, place: usize) -> bool {
        self.lock().offsets.get(place).is_some_and(|offset| *offset > 0)
    }

    /// Number of places, with and without a row.
    pub fn places(&self) -> usize {
        self.lock().offsets.len()
    }

    /// What has no row since it was not sent.
    pub fn unsent(&self) -> Vec<Unsent> {
        self.lock().unsent.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `each` with every row, in the order of places; `missing` with each place that has none.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn rows(
        &self,
        each: &mut EachRow<'_>,
        missing: &mut dyn FnMut(usize, &mut EachRow<'_>),
    ) -> Result<(), RowError> {
        let io = |error: io::Error| RowError::Csv(error.into());
        let mut file = self.rows.try_clone().map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut reader = RowReader::new(file)?;
        let written = self.lock();
        for (place, offset) in written.offsets.iter().enumerate() {
            if *offset == 0 {
                missing(place, each);
            } else {
                each(&reader.read_at(*offset)?);
            }
        }
        Ok(())
    }

    /// Calls `each` with every delivery, in the order of arrival.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn deliveries(&self, each: &mut dyn FnMut(u32, Arrival)) -> io::Result<()> {
        let mut file = self.deliveries.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let valid = self.lock().delivery_bytes;
        let mut reader = BufReader::with_capacity(1 << 18, file.take(valid));
        let mut bytes = [0; DELIVERY];
        for _ in 0..valid / DELIVERY as u64 {
            reader.read_exact(&mut bytes)?;
            let (place, arrival) = decode(&bytes);
            each(place, arrival);
        }
        Ok(())
    }
}

/// Bytes up to the last line break.
fn length_of_whole_lines(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut tail = [0; 4096];
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(tail.len() as u64);
        let piece = &mut tail[..(end - begin) as usize];
        file.read_exact_at(piece, begin)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn encode(place: u32, arrival: Arrival, into: &mut Vec<u8>) {
    into.extend_from_slice(&place.to_le_bytes());
    into.extend_from_slice(&arrival.tokens.to_le_bytes());
    into.extend_from_slice(&arrival.at.0.to_le_bytes());
}

fn decode(bytes: &[u8; DELIVERY]) -> (u32, Arrival) {
    let [p0, p1, p2, p3, n0, n1, n2, n3, at @ ..] = *bytes;
    let tokens = u32::from_le_bytes([n0, n1, n2, n3]);
    (u32::from_le_bytes([p0, p1, p2, p3]), Arrival { at: MonoNs(i64::from_le_bytes(at)), tokens })
}

impl RecordLog for PartialLog {
    fn write(&mut self, first: u32, batch: &Batch) -> io::Result<()> {
        let Self { point, rows, deliveries, is_supply, written, buffer, .. } = self;
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        // Deliveries first: a row says that its request has ended, so all of its deliveries must be there.
        buffer.clear();
        for (place, arrival) in &batch.deliveries {
            encode(*place, *arrival, buffer);
        }
        deliveries.seek(SeekFrom::Start(written.delivery_bytes))?;
        deliveries.write_all(buffer)?;
        let delivery_bytes = written.delivery_bytes + buffer.len() as u64;
        buffer.clear();
        let mut text = RowWriter::after_header(std::mem::take(buffer));
        let mut offsets = Vec::with_capacity(batch.ended.len());
        let mut unsent = written.unsent.clone();
        for record in &batch.ended {
            if *is_supply && Unsent::takes(&mut unsent, record) {
                continue;
            }
            let offset = written.row_bytes + text.written().map_err(io::Error::other)?;
            offsets.push((record.id.0.wrapping_sub(first) as usize, offset));
            text.write(*point, record).map_err(io::Error::other)?;
        }
        *buffer = text.finish().map_err(io::Error::other)?;
        rows.seek(SeekFrom::Start(written.row_bytes))?;
        rows.write_all(buffer)?;
        written.row_bytes += buffer.len() as u64;
        written.delivery_bytes = delivery_bytes;
        written.unsent = unsent;
        for (place, offset) in offsets {
            if let Some(slot) = written.offsets.get_mut(place) {
                *slot = offset;
            }
        }
        Ok(())
    }

    fn report(&self, error: &io::Error) {
        console::print_notice(format_args!(
            "records cannot be written to `{}` ({error}): the run goes on and keeps them in memory; free \
             space there, or choose another place with `--out`",
            Path::display(&self.path)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::request_record::{FinishReason, NotSentReason, Outcome};
    use crate::request::RequestId;

    fn ended(id: u32) -> RequestRecord {
        RequestRecord {
            outcome: Outcome::Completed(FinishReason::Length),
            end: Some(MonoNs(i64::from(id) + 1)),
            ..RequestRecord::planned(RequestId(id), 3, 4)
        }
    }

    fn arrival(at: i64) -> Arrival {
        Arrival { at: MonoNs(at), tokens: 2 }
    }

    fn read(files: &PartialFiles) -> (Vec<u32>, Vec<(u32, i64)>) {
        let (mut ids, mut deliveries) = (Vec::new(), Vec::new());
        files.rows(&mut |record| ids.push(record.id.0), &mut |_, _| {}).unwrap();
        files.deliveries(&mut |place, it| deliveries.push((place, it.at.0))).unwrap();
        (ids, deliveries)
    }

    fn two_batches(directory: &RunDirectory) -> (PartialNames, PartialFiles) {
        let names = PartialNames::unused(directory);
        let (files, mut log) = PartialFiles::create(directory, &names, 1, 4, false).unwrap();
        let batch = |ids: &[u32], deliveries: &[(u32, i64)]| Batch {
            ended: ids.iter().map(|id| ended(*id)).collect(),
            deliveries: deliveries.iter().map(|(place, at)| (*place, arrival(*at))).collect(),
        };
        log.write(10, &batch(&[12, 10], &[(2, 7), (0, 8)])).unwrap();
        log.write(10, &batch(&[13], &[(3, 9)])).unwrap();
        (names, files)
    }

    #[test]
    fn rows_come_in_the_order_of_the_plan_and_deliveries_as_they_arrived() {
        let folder = tempfile::tempdir().unwrap();
        let (_, files) = two_batches(&RunDirectory::existing(folder.path()));
        assert_eq!(read(&files), (vec![10, 12, 13], vec![(2, 7), (0, 8), (3, 9)]));
        assert!(files.holds(0) && !files.holds(1));
    }

    #[test]
    fn what_a_killed_process_left_is_read_up_to_the_last_whole_record() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::existing(folder.path());
        let (names, _) = two_batches(&directory);
        let cut = |name: &str, by: u64| {
            let file = OpenOptions::new().write(true).open(directory.file(name)).unwrap();
            file.set_len(file.metadata().unwrap().len() - by).unwrap();
        };
        cut(&names.requests, 30);
        cut(&names.deliveries, 5);
        let files = PartialFiles::left_behind(&directory, &names, 10).unwrap();
        assert_eq!(read(&files), (vec![10, 12], vec![(2, 7), (0, 8)]));
    }

    #[test]
    fn what_is_left_of_a_supply_is_counted_by_its_reason_and_has_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::existing(folder.path());
        let unsent = |id, reason, intended| RequestRecord {
            outcome: Outcome::NotSent(reason),
            intended,
            ..RequestRecord::planned(RequestId(id), 3, 4)
        };
        let batch = || Batch {
            ended: vec![
                ended(10),
                unsent(11, NotSentReason::Missed, Some(MonoNs(1))),
                unsent(12, NotSentReason::Interrupted, None),
                unsent(13, NotSentReason::Interrupted, None),
            ],
            deliveries: Vec::new(),
        };
        for (is_supply, rows) in [(true, 2), (false, 4)] {
            let names = PartialNames::unused(&directory);
            let (files, mut log) =
                PartialFiles::create(&directory, &names, 1, 4, is_supply).unwrap();
            log.write(10, &batch()).unwrap();
            assert_eq!(read(&files).0.len(), rows);
            let interrupted =
                Unsent { reason: NotSentReason::Interrupted, workload: None, requests: 2 };
            assert_eq!(files.unsent(), Vec::from_iter(is_supply.then_some(interrupted)));
        }
    }

    #[test]
    fn names_that_are_taken_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::existing(folder.path());
        let (first, _) = two_batches(&directory);
        let second = PartialNames::unused(&directory);
        assert_ne!(first, second);
        first.remove(&directory).unwrap();
        assert_eq!(PartialNames::unused(&directory), first);
    }
}
