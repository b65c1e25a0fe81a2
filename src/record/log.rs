//! Log of records: where ended requests and deliveries go while a phase runs.

use std::io;

use crate::record::request_record::{Arrival, RequestRecord};

/// Takes records while a phase runs, so that they are on disk whatever happens next.
pub trait RecordLog: Send {
    /// Writes a batch, all of it or nothing that counts; `first` is the id of the first request of the phase, from which
    /// the places of deliveries count.
    ///
    /// # Errors
    /// When it cannot be written; the log is then not asked again.
    fn write(&mut self, first: u32, batch: &Batch) -> io::Result<()>;

    /// Tells the user at once that records stay in memory from here on.
    fn report(&self, error: &io::Error);
}

/// What happened between two looks at the rings.
#[derive(Debug, Default)]
pub struct Batch {
    /// Requests that ended, in the order in which they ended.
    pub ended: Vec<RequestRecord>,
    /// Deliveries in the order of arrival, each with the place of its request in the phase.
    pub deliveries: Vec<(u32, Arrival)>,
}

impl Batch {
    /// Ended requests that are worth a write of their own.
    pub const ENOUGH: usize = 4096;

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.deliveries.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.ended.clear();
        self.deliveries.clear();
    }

    pub(crate) fn append(&mut self, other: &mut Self) {
        self.ended.append(&mut other.ended);
        self.deliveries.append(&mut other.deliveries);
    }
}
