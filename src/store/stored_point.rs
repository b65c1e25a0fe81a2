//! Records of a point where they lie: in the partial files of a point that has just run, or in the files of a run.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use crate::metrics::point_records::{PointRecords, RecordsError};
use crate::record::request_record::{Arrival, Records, RequestRecord};
use crate::request::RequestId;
use crate::store::deliveries_file::{DeliveriesError, DeliveriesReader};
use crate::store::partial_files::PartialFiles;
use crate::store::rows::{RowError, RowReader};
use crate::store::run_directory::{RunDirectory, file};

/// A point that has just run: its partial files, and in memory what they could not take.
#[derive(Debug)]
pub struct PartialPoint {
    files: Option<PartialFiles>,
    in_memory: Records,
    /// Id of the first request.
    first: u32,
    /// Place of each request in the order of rows; `None` where every planned request has a row.
    places: Option<Vec<Option<u32>>>,
    requests: usize,
}

impl PartialPoint {
    /// Of files and memory together; each planned request is in one of them.
    pub fn new(files: Option<PartialFiles>, in_memory: Records, first: RequestId) -> Self {
        let in_files = files.as_ref().map_or(0, PartialFiles::places);
        let has_row = |place: usize| {
            files.as_ref().is_some_and(|files| files.holds(place))
                || find(&in_memory, RequestId(first.0 + place as u32)).is_some()
        };
        let planned = in_files.max(if files.is_none() { in_memory.len() } else { 0 });
        let mut next = 0..;
        let places: Vec<Option<u32>> =
            (0..planned).map(|place| if has_row(place) { next.next() } else { None }).collect();
        let requests = places.iter().flatten().count();
        let places = (requests < planned).then_some(places);
        Self { files, in_memory, first: first.0, places, requests }
    }

    fn place(&self, place: usize) -> Option<usize> {
        match &self.places {
            // A delivery beyond the last row is of a request that had not ended.
            None => (place < self.requests).then_some(place),
            Some(places) => places.get(place).copied().flatten().map(|place| place as usize),
        }
    }
}

fn find(records: &Records, id: RequestId) -> Option<usize> {
    records.requests().binary_search_by_key(&id, |record| record.id).ok()
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> RecordsError {
    RecordsError(Box::new(error))
}

impl PointRecords for PartialPoint {
    fn requests(&self, each: &mut dyn FnMut(&RequestRecord)) -> Result<(), RecordsError> {
        let Some(files) = &self.files else {
            self.in_memory.requests().iter().for_each(each);
            return Ok(());
        };
        let mut missing = |place: usize, each: &mut (dyn FnMut(&RequestRecord) + '_)| {
            let found = find(&self.in_memory, RequestId(self.first + place as u32));
            if let Some(at) = found {
                each(&self.in_memory.requests()[at]);
            }
        };
        files.rows(each, &mut missing).map_err(unreadable)
    }

    fn deliveries(&self, each: &mut dyn FnMut(usize, Arrival)) -> Result<(), RecordsError> {
        if let Some(files) = &self.files {
            let mut each = |place: u32, arrival| {
                if let Some(place) = self.place(place as usize) {
                    each(place, arrival);
                }
            };
            files.deliveries(&mut each).map_err(unreadable)?;
        }
        for (record, arrivals) in self.in_memory.iter() {
            if let Some(place) = self.place((record.id.0 - self.first) as usize) {
                for arrival in arrivals {
                    each(place, *arrival);
                }
            }
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.requests
    }
}

/// A point in the files of a run, read anew each time.
#[derive(Debug)]
pub struct StoredPoint<'a> {
    directory: &'a RunDirectory,
    point: u32,
    order: RequestIndex,
}

/// Place of each request of a point.
#[derive(Debug)]
enum RequestIndex {
    /// Ids follow each other from this one on.
    Consecutive { first: u32, requests: usize },
    /// Anything else.
    Any(HashMap<RequestId, usize>),
}

/// Why a stored point cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredPointError {
    /// A file is missing or unreadable.
    #[error("`{0}` cannot be read ({1}): name a run directory that `bareflight run` has made")]
    Open(String, #[source] io::Error),
    /// Rows of requests.
    #[error("`requests.csv`: {0}")]
    Rows(#[from] RowError),
    /// Deliveries.
    #[error("`deliveries.csv.gz`: {0}")]
    Deliveries(#[from] DeliveriesError),
}

impl<'a> StoredPoint<'a> {
    /// Finds the rows of a point.
    ///
    /// # Errors
    /// When `requests.csv` is missing or is not one.
    pub fn find(directory: &'a RunDirectory, point: u32) -> Result<Self, StoredPointError> {
        let mut ids = Vec::new();
        read_rows(directory, point, &mut |record| ids.push(record.id))?;
        let first = ids.first().map_or(0, |id| id.0);
        let follow = ids.iter().zip(first..).all(|(id, expected)| id.0 == expected);
        let order = if follow {
            RequestIndex::Consecutive { first, requests: ids.len() }
        } else {
            RequestIndex::Any(ids.into_iter().enumerate().map(|(place, id)| (id, place)).collect())
        };
        Ok(Self { directory, point, order })
    }

    fn place(&self, id: RequestId) -> Option<usize> {
        match &self.order {
            RequestIndex::Consecutive { first, requests } => {
                let place = id.0.checked_sub(*first)? as usize;
                (place < *requests).then_some(place)
            }
            RequestIndex::Any(places) => places.get(&id).copied(),
        }
    }

    fn read_deliveries(
        &self,
        each: &mut dyn FnMut(usize, Arrival),
    ) -> Result<(), StoredPointError> {
        let path = self.directory.file(file::DELIVERIES);
        if !path.exists() {
            return Ok(());
        }
        let mut began = false;
        for delivery in DeliveriesReader::new(open(&path)?)? {
            let delivery = match delivery {
                Ok(delivery) => delivery,
                // Points follow each other, so what was cut short behind this one is another's.
                Err(_) if began && self.is_followed_by_a_torn_point() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            began |= delivery.point == self.point;
            if delivery.point == self.point {
                let place = self.place(delivery.id);
                let place = place.ok_or(DeliveriesError::UnknownRequest(delivery.id.0))?;
                each(place, delivery.arrival);
            }
        }
        Ok(())
    }

    /// Only a process that was killed while it took a point over leaves partial files beside a longer file.
    fn is_followed_by_a_torn_point(&self) -> bool {
        self.directory.file(file::PARTIAL_DELIVERIES).exists()
    }
}

fn open(path: &Path) -> Result<File, StoredPointError> {
    File::open(path).map_err(|error| StoredPointError::Open(path.display().to_string(), error))
}

fn read_rows(
    directory: &RunDirectory,
    point: u32,
    each: &mut dyn FnMut(&RequestRecord),
) -> Result<(), StoredPointError> {
    let mut began = false;
    for row in RowReader::new(open(&directory.file(file::REQUESTS))?)? {
        let (of, record) = match row {
            Ok(row) => row,
            // Points follow each other, so what was cut short behind this one is another's.
            Err(_) if began && directory.file(file::PARTIAL_REQUESTS).exists() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if of == point {
            began = true;
            each(&record);
        }
    }
    Ok(())
}

impl PointRecords for StoredPoint<'_> {
    fn requests(&self, each: &mut dyn FnMut(&RequestRecord)) -> Result<(), RecordsError> {
        read_rows(self.directory, self.point, each).map_err(unreadable)
    }

    fn deliveries(&self, each: &mut dyn FnMut(usize, Arrival)) -> Result<(), RecordsError> {
        self.read_deliveries(each).map_err(unreadable)
    }

    fn len(&self) -> usize {
        match &self.order {
            RequestIndex::Consecutive { requests, .. } => *requests,
            RequestIndex::Any(places) => places.len(),
        }
    }
}
