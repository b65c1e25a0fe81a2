//! One of several workers, as the leading process sees it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::Sender;

use super::link::{Link, Outbox};
use super::message::{FromWorker, Order, PlayedPart, RecordsPart, next_from_worker, send};
use super::offset::{ClockOffset, RoundTrip};
use crate::clock::{self, MonoNs, Nanos};
use crate::record::backpressure::Waited;
use crate::threads::Own;

/// From the end of a link to the end of its process.
const EXIT: Nanos = Nanos::from_millis(500);

/// A worker, and how far it is.
pub struct RemoteWorker {
    /// From 0.
    pub number: usize,
    /// The process, where it was started here.
    process: Option<Child>,
    outbox: Box<dyn Outbox>,
    /// Its process id, as it says.
    pub(super) pid: u32,
    /// Its machine, as it says.
    pub(super) host: String,
    /// Cores that it may use, as it says.
    pub(super) cores: u32,
    state: State,
    trips: Vec<RoundTrip>,
    offset: Option<ClockOffset>,
    /// The largest bound so far.
    pub(super) worst_bound: Nanos,
    pub(super) correction: Nanos,
    /// How much of the phase it has sent.
    pub(super) sent: RecordsPart,
    /// How its part of the phase went, once it is over.
    pub(super) part: Option<PlayedPart>,
    /// Totals of its recorder and gate so far.
    pub(super) waited: Waited,
    pub(super) stray_ends: u64,
    pub(super) counted_ended: bool,
    pub(super) is_connected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Playing,
    Lost(String),
}

/// Something that came from a worker, or its end.
pub struct News {
    /// Which worker.
    pub number: usize,
    /// When it came.
    pub at: MonoNs,
    /// What came.
    pub what: io::Result<FromWorker>,
}

impl RemoteWorker {
    /// Over a link; a thread of its own passes on what comes from it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        number: usize,
        link: Link,
        process: Option<Child>,
        news: Sender<News>,
    ) -> io::Result<Self> {
        let Link { outbox, mut inbox } = link;
        Own::Worker.numbered(number).spawn(move || {
            loop {
                let what = next_from_worker(&mut *inbox);
                let is_last = what.is_err();
                let heard = news.send(News { number, at: clock::now(), what });
                if is_last || heard.is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            number,
            process,
            outbox,
            pid: 0,
            host: String::new(),
            cores: 1,
            state: State::Idle,
            trips: Vec::new(),
            offset: None,
            worst_bound: Nanos::ZERO,
            correction: Nanos::ZERO,
            sent: RecordsPart::default(),
            part: None,
            waited: Waited::default(),
            stray_ends: 0,
            counted_ended: false,
            is_connected: false,
        })
    }

    /// Sends an order; a worker that cannot be reached is lost.
    pub(super) fn tell(&mut self, order: &Order) {
        if self.is_lost() {
            return;
        }
        if let Err(error) = send(&mut *self.outbox, order) {
            self.lose(&error);
        }
    }

    /// Forgets earlier round trips: clocks drift.
    pub(super) fn forget_trips(&mut self) {
        self.trips.clear();
    }

    pub(super) fn trips(&self) -> usize {
        self.trips.len()
    }

    pub(super) fn note_trip(&mut self, trip: RoundTrip) {
        self.trips.push(trip);
    }

    /// What its clock is ahead of ours by, as far as that is known apart from nothing.
    pub(super) fn settle_clock(&mut self) {
        self.offset = ClockOffset::of(&self.trips).or(self.offset);
        if let Some(offset) = self.offset {
            self.worst_bound = self.worst_bound.max(offset.error());
            self.correction = offset.correction();
        }
    }

    /// How far the clocks have come apart since they were settled; stamps were corrected by what was known then.
    pub(super) fn note_drift(&mut self) {
        let Some(now) = ClockOffset::of(&self.trips) else { return };
        self.worst_bound = self.worst_bound.max(now.error_of(self.correction));
    }

    /// How far its clock is ahead of ours.
    pub(super) fn ahead(&self) -> Nanos {
        self.offset.map_or(Nanos::ZERO, ClockOffset::correction)
    }

    pub(super) fn begin(&mut self) {
        if !self.is_lost() {
            self.state = State::Playing;
        }
        self.sent = RecordsPart::default();
        self.part = None;
        self.counted_ended = false;
    }

    pub(super) fn end(&mut self, part: PlayedPart) {
        self.waited = part.waited;
        self.stray_ends = part.stray_ends;
        self.part = Some(part);
        if !self.is_lost() {
            self.state = State::Idle;
        }
    }

    pub(super) fn is_playing(&self) -> bool {
        self.state == State::Playing
    }

    pub(super) fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost(_))
    }

    /// Why it was lost, where it was.
    pub(super) fn lost(&self) -> Option<&str> {
        match &self.state {
            State::Lost(words) => Some(words),
            State::Idle | State::Playing => None,
        }
    }

    /// How its process ended; a socket is closed a moment before its process can be asked.
    fn how_it_ended(&mut self) -> Option<ExitStatus> {
        let process = self.process.as_mut()?;
        let give_up = clock::now() + EXIT;
        loop {
            match process.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if clock::now() < give_up => clock::sleep(Nanos::from_millis(2)),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Takes it as lost, with how its process ended where that is known.
    pub(super) fn lose(&mut self, error: &io::Error) {
        if self.is_lost() {
            return;
        }
        let ended = self.how_it_ended();
        let why = match ended {
            Some(status) => format!("its process ended with {status}"),
            None => how_its_link_ended(error),
        };
        self.state = State::Lost(why);
    }

    /// Ends the process, if it has not ended by itself.
    pub(super) fn end_process(&mut self, patience: Nanos) {
        let Some(mut process) = self.process.take() else { return };
        let give_up = clock::now() + patience;
        while clock::now() < give_up {
            if !matches!(process.try_wait(), Ok(None)) {
                return;
            }
            clock::sleep(Nanos::from_millis(5));
        }
        // It does not answer, or was never told: nothing of it is needed any more.
        let _has_ended_meanwhile = process.kill();
        let _has_ended_meanwhile = process.wait();
    }
}

fn how_its_link_ended(error: &io::Error) -> String {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable,
        TimedOut, UnexpectedEof,
    };
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => {
            "its link was closed".to_owned()
        }
        TimedOut | HostUnreachable | NetworkUnreachable => {
            format!("its host answers no more ({error})")
        }
        _ => error.to_string(),
    }
}

impl Drop for RemoteWorker {
    fn drop(&mut self) {
        self.end_process(Nanos::ZERO);
    }
}
