//! Recorder: the thread that turns events into records, off the path of the requests.
//!
//! The recorder reads the rings every few milliseconds. A phase begins with the requests to expect (`begin`) and ends with
//! their records (`end`); both are commands over a channel, so that no state is shared with the threads that measure.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use crate::clock::{self, MonoNs, Nanos};
use crate::record::backpressure::{Backpressure, Waited};
use crate::record::event::Event;
use crate::record::gate::Gate;
use crate::record::live::LiveSnapshot;
use crate::record::log::RecordLog;
use crate::record::request_record::Records;
use crate::record::request_table::{PlannedRequest, RequestTable, Sources};
use crate::record::sink::{RING_SLOTS, SideMessage, Sink};
use crate::threads::Own;

/// Between two looks into the rings: every look wakes a thread, and little would be found.
const LOOK: Nanos = Nanos::from_millis(4);
/// The same where the last look found [`MANY`] events.
const LOOK_SOON: Nanos = Nanos::from_millis(1);
/// A ring holds 64 times as many.
const MANY: usize = RING_SLOTS / 64;
/// How often snapshots are published.
const PUBLISH_EVERY: Nanos = Nanos::from_millis(200);

enum Command {
    Begin(Vec<PlannedRequest>, Option<Box<dyn RecordLog>>, Sender<()>),
    End(Sender<PhaseRecords>),
}

/// The records of one phase, as far as they are in memory.
#[derive(Debug)]
pub struct PhaseRecords {
    /// Requests of the phase.
    pub planned: usize,
    /// Records that no log has taken: all of them without a log, in the order of the plan; none while the log works; those
    /// since it failed otherwise.
    pub records: Records,
    /// Events of requests that belong to no request of the phase: late answers of an earlier one.
    pub late_events: u64,
    /// The latest end of a measured request.
    pub last_end: Option<MonoNs>,
    /// The first and the last submission of a measured request.
    pub submissions: Option<(MonoNs, MonoNs)>,
    /// Why the log failed, if it did.
    pub log_error: Option<io::Error>,
    /// CPU time that the recorder has used so far.
    pub recorder_cpu: Nanos,
}

/// The recorder's handle. Dropping it ends the thread.
#[derive(Debug)]
pub struct Recorder {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    side_channel: Sender<SideMessage>,
    backpressure: Arc<Backpressure>,
    live: Arc<LiveSnapshot>,
}

impl Recorder {
    /// Starts the recorder's thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start() -> io::Result<Self> {
        let (commands, inbox) = channel();
        let (side_channel, side_messages) = channel();
        let live = Arc::new(LiveSnapshot::default());
        let published = Arc::clone(&live);
        let thread = Own::Recorder
            .builder()
            .spawn(move || Worker::new(side_messages, published).run(&inbox))?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
            side_channel,
            backpressure: Arc::default(),
            live,
        })
    }

    /// A sink for a thread that sees events. The first one made is the issuer's.
    pub fn sink(&self, gate: &Arc<Gate>) -> Sink {
        Sink::new(Arc::clone(gate), self.side_channel.clone(), Arc::clone(&self.backpressure))
    }

    /// The snapshot of the phase that is running.
    pub fn live(&self) -> Arc<LiveSnapshot> {
        Arc::clone(&self.live)
    }

    /// Counters of who waits for the recorder, for a look while it runs.
    pub fn backpressure(&self) -> Arc<Backpressure> {
        Arc::clone(&self.backpressure)
    }

    /// How long threads have waited for the recorder, so far.
    pub fn waited(&self) -> Waited {
        self.backpressure.so_far()
    }

    /// Begins a phase with the requests to expect, and returns when the recorder knows them: an earlier event would
    /// belong to no request.
    ///
    /// # Panics
    /// If the recorder's thread has panicked, which is a bug.
    pub fn begin(&self, planned: Vec<PlannedRequest>, log: Option<Box<dyn RecordLog>>) {
        let (ready, is_ready) = channel();
        self.command(Command::Begin(planned, log, ready));
        is_ready.recv().expect("the recorder answers until its handle is dropped");
    }

    /// Takes the records of the phase. Call when every request has ended or been given up.
    ///
    /// # Panics
    /// If the recorder's thread has panicked, which is a bug.
    pub fn end(&self) -> PhaseRecords {
        let (reply, answer) = channel();
        self.command(Command::End(reply));
        answer.recv().expect("the recorder answers until its handle is dropped")
    }

    fn command(&self, command: Command) {
        self.commands
            .as_ref()
            .expect("commands are taken only on drop")
            .send(command)
            .expect("the recorder listens until its handle is dropped");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            // A panic of the recorder has already been printed by its own thread; a drop may not add a second.
        }
    }
}

struct Worker {
    side_messages: Receiver<SideMessage>,
    rings: Vec<rtrb::Consumer<Event>>,
    /// How much lies in each ring at the moment of a look.
    ready: Vec<usize>,
    /// Who takes the stamps and counts the tokens of this session, in every phase.
    sources: Sources,
    table: Option<RequestTable>,
    live: Arc<LiveSnapshot>,
}

impl Worker {
    fn new(side_messages: Receiver<SideMessage>, live: Arc<LiveSnapshot>) -> Self {
        Self {
            side_messages,
            rings: Vec::new(),
            ready: Vec::new(),
            sources: Sources::default(),
            table: None,
            live,
        }
    }

    fn run(mut self, inbox: &Receiver<Command>) {
        let mut publish_at = MonoNs(0);
        let mut found = 0;
        loop {
            let seen = self.drain();
            found += seen;
            match inbox.try_recv() {
                Ok(Command::Begin(planned, log, ready)) => {
                    self.table = Some(RequestTable::open(&planned, self.sources, log));
                    // The caller may be gone after an error of its own.
                    let _caller_is_gone = ready.send(());
                }
                Ok(Command::End(reply)) => self.end(&reply),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) if seen == 0 => {
                    clock::sleep(if found < MANY { LOOK } else { LOOK_SOON });
                    found = 0;
                }
                Err(TryRecvError::Empty) => {}
            }
            let now = clock::now();
            if now >= publish_at {
                if let Some(table) = &self.table {
                    self.live.publish(table.snapshot(now));
                }
                publish_at = now + PUBLISH_EVERY;
            }
        }
    }

    /// Takes in all that is there and hands it to the log; returns how many events that were.
    ///
    /// Cause comes before effect: the issuer's ring is the first and is counted last, so every end among the
    /// counted events finds its submission; side messages are read after the count, so it finds its own too.
    fn drain(&mut self) -> usize {
        self.ready.clear();
        self.ready.extend(self.rings.iter().rev().map(rtrb::Consumer::slots));
        self.ready.reverse();
        while let Ok(message) = self.side_messages.try_recv() {
            self.take(message);
        }
        let Self { rings, ready, table, .. } = self;
        for (ring, ready) in rings.iter_mut().zip(ready.iter()) {
            let chunk =
                ring.read_chunk(*ready).expect("the slots were just counted by their only reader");
            if let Some(table) = table {
                let (front, back) = chunk.as_slices();
                for event in front.iter().chain(back) {
                    table.note(event);
                }
            }
            chunk.commit_all();
        }
        if let Some(table) = table {
            table.flush();
        }
        ready.iter().sum()
    }

    fn take(&mut self, message: SideMessage) {
        match message {
            SideMessage::Ring(ring) => return self.rings.push(ring),
            SideMessage::Stamps(stamps) => self.sources.stamps = stamps,
            SideMessage::Tokens(tokens) => self.sources.tokens = tokens,
            _ => {}
        }
        let Some(table) = self.table.as_mut() else { return };
        match message {
            SideMessage::FailureMessage(id, words) => table.told().failure_message(id, words),
            SideMessage::TokenCount(id, tokens, source) => {
                table.told().token_count(id, tokens, source);
            }
            SideMessage::TokenMismatch { id, retokenized, .. } => {
                table.told().recounted(id, retokenized);
            }
            SideMessage::PromptCount(id, tokens) => table.told().prompt_count(id, tokens),
            SideMessage::CachedCount(id, tokens) => table.told().cached_count(id, tokens),
            SideMessage::Odd(id, oddity) => table.told().odd(id, oddity),
            SideMessage::StampsOf(id, source) => table.told().stamps_of(id, source),
            SideMessage::Connection(id, cost) => table.told().connection_of(id, cost),
            SideMessage::Stamps(_) | SideMessage::Tokens(_) => table.set_sources(self.sources),
            SideMessage::Ring(_) => unreachable!("a ring was taken above"),
        }
    }

    fn end(&mut self, reply: &Sender<PhaseRecords>) {
        // Twice, since a ring that is announced in one look is read in the next.
        self.drain();
        while self.drain() > 0 {}
        let table = self.table.take();
        let table = table.unwrap_or_else(|| RequestTable::open(&[], self.sources, None));
        self.live.publish(table.snapshot(clock::now()));
        let records = table.close(clock::thread_cpu());
        // The caller may be gone after an error of its own; the records then have no reader.
        let _caller_is_gone = reply.send(records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::record::event::{Ending, TokenHash};
    use crate::record::log::Batch;
    use crate::record::oddity::Asked;
    use crate::record::request_record::{FinishReason, Outcome};
    use crate::request::RequestId;
    use crate::workload::seeds::Phase;

    fn planned(id: RequestId) -> PlannedRequest {
        PlannedRequest {
            id,
            phase: Phase::Measure,
            prompt_tokens: 1,
            requested_tokens: 1,
            workload: None,
        }
    }

    #[test]
    fn an_event_right_after_the_beginning_of_a_phase_belongs_to_it() {
        let recorder = Recorder::start().expect("a thread");
        let gate = Arc::new(Gate::new(200, 1));
        let mut sink = recorder.sink(&gate);
        for id in (0..200).map(RequestId) {
            recorder.begin(vec![planned(id)], None);
            gate.open(id);
            let at = now();
            sink.push_blocking(Event::Submitted {
                id,
                intended: at,
                ready: at,
                at,
                asked: Asked::default(),
            });
            sink.delivery(id, now(), 1, TokenHash::EMPTY);
            sink.end(id, now(), Ending::Completed(FinishReason::Length));
            let phase = recorder.end();
            let record = &phase.records.requests()[0];
            assert_eq!(phase.late_events, 0);
            assert_eq!((record.submit, record.output_tokens), (Some(at), 1));
        }
    }

    struct FullDisk;

    impl RecordLog for FullDisk {
        fn write(&mut self, _: u32, _: &Batch) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn report(&self, _: &io::Error) {}
    }

    #[test]
    fn a_full_disk_is_reported_and_loses_no_record_in_memory() {
        let recorder = Recorder::start().expect("a thread");
        let gate = Arc::new(Gate::new(2, 1));
        let mut sink = recorder.sink(&gate);
        recorder
            .begin(vec![planned(RequestId(0)), planned(RequestId(1))], Some(Box::new(FullDisk)));
        for id in [RequestId(0), RequestId(1)] {
            gate.open(id);
            sink.end(id, now(), Ending::Cancelled);
        }
        let phase = recorder.end();
        let kind = phase.log_error.map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::StorageFull));
        let requests = phase.records.requests();
        assert!(requests.iter().all(|record| record.outcome == Outcome::Cancelled));
    }
}
