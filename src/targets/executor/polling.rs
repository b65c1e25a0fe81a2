//! HOT PATH. Polling loop of an executor, until the session closes or the job ends.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::ffi::engine::Poller;
use crate::targets::mpi_job::JobEnd;

/// Passes each batch to `take` until the session closes. One poll blocks for up to `poll_us`; only shutdown waits for it.
///
/// # Errors
/// When the executor throws, with its message, or the MPI job ends. Polling then stops, and the run is over.
pub(super) fn poll_until_closed(
    mut poller: Poller,
    poll_us: u32,
    closing: &AtomicBool,
    job_end: &JobEnd,
    mut take: impl FnMut(&Poller),
) -> Result<(), String> {
    loop {
        if job_end.has_come() {
            return Err(JobEnd::MESSAGE.into());
        }
        match poller.poll(poll_us) {
            Ok(_) => take(&poller),
            Err(_) if closing.load(Ordering::Acquire) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        if closing.load(Ordering::Acquire) {
            return Ok(());
        }
    }
}
