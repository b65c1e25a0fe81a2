//! Requests that a server never looked at, so that they can be sent again whatever they ask for.

use std::error::Error;

use crate::clock::Nanos;

/// A server that closes an idle connection does so without knowing of a request that is on its way; one that has read it and
/// worked on it takes longer.
pub const IDLE_RACE: Nanos = Nanos::from_millis(10);

/// How often a request is sent again: a server that refuses it each time has failed it.
pub const SENT_AGAIN_AT_MOST: u32 = 3;

/// Whether a failed request was never processed: it was not written, its HTTP/2 stream was refused, or the server went away and
/// named an earlier stream as its last (RFC 9113, 8.7).
pub fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(|cause| {
        let was_not_written =
            cause.downcast_ref().is_some_and(|error: &hyper::Error| error.is_canceled());
        was_not_written || cause.downcast_ref().is_some_and(is_refused)
    })
}

/// A server that goes away ends only the streams that it did not process; others go on, or break with the connection.
fn is_refused(error: &h2::Error) -> bool {
    let is_refused_stream = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (is_refused_stream || error.is_go_away())
}
