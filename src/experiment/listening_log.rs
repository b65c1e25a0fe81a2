//! Listening log: a log of records that tells somebody of every request that has ended.

use std::io;

use crate::record::log::{Batch, RecordLog};
use crate::record::request_record::RequestRecord;

/// Hears of requests on the recorder's thread, in the order in which they ended.
pub type Listener = Box<dyn FnMut(&RequestRecord) + Send>;

struct ListeningLog {
    inner: Box<dyn RecordLog>,
    listener: Listener,
}

/// The log, heard by a listener.
pub fn heard(inner: Box<dyn RecordLog>, listener: Listener) -> Box<dyn RecordLog> {
    Box::new(ListeningLog { inner, listener })
}

/// A log that keeps nothing: records stay in memory.
struct NoLog;

impl RecordLog for NoLog {
    fn write(&mut self, _first: u32, _batch: &Batch) -> io::Result<()> {
        Ok(())
    }

    fn report(&self, _error: &io::Error) {}
}

/// A listener alone, where nothing is kept.
pub fn heard_alone(listener: Listener) -> Box<dyn RecordLog> {
    heard(Box::new(NoLog), listener)
}

impl RecordLog for ListeningLog {
    fn write(&mut self, first: u32, batch: &Batch) -> io::Result<()> {
        batch.ended.iter().for_each(&mut self.listener);
        self.inner.write(first, batch)
    }

    fn report(&self, error: &io::Error) {
        self.inner.report(error);
    }
}
