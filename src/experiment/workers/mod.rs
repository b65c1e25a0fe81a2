//! Workers: processes of this program that send the load of one run together.

pub mod calls;
pub mod key;
mod link_log;
#[cfg(feature = "mpi")]
pub mod mpi;
mod side;
mod start;
mod worker;

use std::io;
use std::os::unix::net::UnixStream;

pub use side::{play_side, side_of_this_process, start_side};
pub use start::{remove_empty_logs, start};
pub use worker::work;

use crate::issue::workers::link::Link;

/// Tells a process that it is a worker: the socket on which the process that started it listens.
const SOCKET: &str = "BAREFLIGHT_WORKER";

/// The link to the leading process, where that process started this one as a worker.
///
/// # Errors
/// When it is gone.
pub fn link_of_this_process() -> io::Result<Option<Link>> {
    let Some(socket) = std::env::var_os(SOCKET) else { return Ok(None) };
    let stream = UnixStream::connect(socket)?;
    Ok(Some(Link::over(stream.try_clone()?, stream)))
}
