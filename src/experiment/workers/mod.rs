//! Workers: processes of this program that send the load of one run together.

mod link_log;
mod side;
mod start;
mod worker;

use std::path::PathBuf;

pub use side::{play_side, side_of_this_process, start_side};
pub use start::{remove_empty_logs, start};
pub use worker::work;

use crate::load::plan::Slice;

/// Tells a process that it is a worker: its number from 0, how many there are, and where the leading process listens.
const PLACE: &str = "BAREFLIGHT_WORKER";

/// The place of this process among the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which part of the plan it plays.
    pub slice: Slice,
    /// The socket of the leading process.
    pub socket: PathBuf,
}

impl Place {
    /// Of a process that was started as a worker.
    pub fn of_this_process() -> Option<Self> {
        Self::parse(&std::env::var(PLACE).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let worker = parts.next()?.parse().ok()?;
        let workers = parts.next()?.parse().ok()?;
        let socket = PathBuf::from(parts.next()?);
        Some(Self { slice: Slice { worker, workers }, socket })
    }

    fn text(&self) -> String {
        let Slice { worker, workers } = self.slice;
        format!("{worker}:{workers}:{}", self.socket.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place =
            Place { slice: Slice { worker: 1, workers: 3 }, socket: PathBuf::from("/tmp/a:b/0") };
        assert_eq!(Place::parse(&place.text()), Some(place));
        assert_eq!(Place::parse("1:x:/tmp"), None);
    }
}
