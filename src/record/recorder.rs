//! Who turns events into records? One thread, off the path of the requests, that owns them all.
//!
//! The recorder looks into the rings every few milliseconds. Between phases it is told which shots to expect
//! (`begin`) and asked for what became of them (`seal`); both are commands over a channel, so that no state is
//! shared with the threads that measure.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use crate::clock::{self, MonoNs, Nanos};
use crate::record::book::{Book, Planned};
use crate::record::event::Event;
use crate::record::gate::Gate;
use crate::record::live::Live;
use crate::record::request_record::{Records, RequestRecord};
use crate::record::sink::{Aside, RING_SLOTS, Sink};

/// Takes each record as its request ends, so that it is on disk whatever happens next.
pub trait Journal: Send {
    /// A request has ended.
    ///
    /// # Errors
    /// When the record cannot be written; the journal is then not asked again.
    fn row(&mut self, record: &RequestRecord) -> io::Result<()>;

    /// Nothing is going on: what was buffered may go out.
    ///
    /// # Errors
    /// As [`Self::row`].
    fn settle(&mut self) -> io::Result<()>;
}

/// Between two looks into the rings: every look wakes a thread, and little would be found.
const LOOK: Nanos = Nanos::from_millis(4);
/// The same where the last look found [`MANY`] events.
const LOOK_SOON: Nanos = Nanos::from_millis(1);
/// A ring holds 64 times as many.
const MANY: usize = RING_SLOTS / 64;
/// How often snapshots are published.
const PUBLISH_EVERY: Nanos = Nanos::from_millis(200);

enum Command {
    Begin(Vec<Planned>, Option<Box<dyn Journal>>, Sender<()>),
    Seal(Sender<Sealed>),
}

/// What became of the shots of one phase.
#[derive(Debug)]
pub struct Sealed {
    /// One record per planned shot.
    pub records: Records,
    /// Events of requests that belonged to no shot of the phase: late answers of an earlier one.
    pub late_events: u64,
    /// The first failure of the journal, if it failed: the records in memory are complete all the same.
    pub journal_error: Option<io::Error>,
    /// CPU time that the recorder has used so far.
    pub recorder_cpu: Nanos,
}

/// The recorder's handle. Dropping it ends the thread.
#[derive(Debug)]
pub struct Recorder {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    aside: Sender<Aside>,
    dropped: Arc<AtomicU64>,
    live: Arc<Live>,
}

impl Recorder {
    /// Starts the recorder's thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start() -> io::Result<Self> {
        let (commands, inbox) = channel();
        let (aside, asides) = channel();
        let live = Arc::new(Live::default());
        let published = Arc::clone(&live);
        let thread = std::thread::Builder::new()
            .name("bf-recorder".into())
            .spawn(move || Worker::new(asides, published).run(&inbox))?;
        Ok(Self {
            commands: Some(commands),
            thread: Some(thread),
            aside,
            dropped: Arc::default(),
            live,
        })
    }

    /// A sink for a thread that sees events. The first one made is the issuer's.
    pub fn sink(&self, gate: &Arc<Gate>) -> Sink {
        Sink::new(Arc::clone(gate), self.aside.clone(), Arc::clone(&self.dropped))
    }

    /// The snapshot of the phase that is running.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Events that found a ring full, so far.
    pub fn dropped_events(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Tells which shots to expect, and returns when the recorder does: an event that came earlier would belong to
    /// no shot.
    ///
    /// # Panics
    /// If the recorder's thread has panicked, which is a bug.
    pub fn begin(&self, shots: Vec<Planned>, journal: Option<Box<dyn Journal>>) {
        let (ready, is_ready) = channel();
        self.command(Command::Begin(shots, journal, ready));
        is_ready.recv().expect("the recorder answers until its handle is dropped");
    }

    /// Takes the records of the phase. Call when every request has ended or been given up.
    ///
    /// # Panics
    /// If the recorder's thread has panicked, which is a bug.
    pub fn seal(&self) -> Sealed {
        let (reply, answer) = channel();
        self.command(Command::Seal(reply));
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
    asides: Receiver<Aside>,
    rings: Vec<rtrb::Consumer<Event>>,
    /// How much lies in each ring at the moment of a look.
    ready: Vec<usize>,
    book: Book,
    live: Arc<Live>,
}

impl Worker {
    fn new(asides: Receiver<Aside>, live: Arc<Live>) -> Self {
        Self { asides, rings: Vec::new(), ready: Vec::new(), book: Book::default(), live }
    }

    fn run(mut self, inbox: &Receiver<Command>) {
        let mut publish_at = MonoNs(0);
        let mut found = 0;
        loop {
            let seen = self.drain();
            found += seen;
            match inbox.try_recv() {
                Ok(Command::Begin(shots, journal, ready)) => {
                    self.book = Book::open(&shots, journal);
                    // Whoever asked may be gone after an error of its own.
                    let _asker_is_gone = ready.send(());
                }
                Ok(Command::Seal(reply)) => self.seal(&reply),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) if seen == 0 => {
                    self.book.settle();
                    clock::sleep(if found < MANY { LOOK } else { LOOK_SOON });
                    found = 0;
                }
                Err(TryRecvError::Empty) => {}
            }
            let now = clock::now();
            if now >= publish_at {
                self.live.publish(self.book.snapshot());
                publish_at = now + PUBLISH_EVERY;
            }
        }
    }

    /// Takes in all that is there; returns how many events that were.
    ///
    /// Cause comes before effect: the issuer's ring is the first and is counted last, so every end among the
    /// counted events finds its submission; asides are read after the count, so it finds its words too.
    fn drain(&mut self) -> usize {
        let Self { asides, rings, ready, book, .. } = self;
        ready.clear();
        ready.extend(rings.iter().rev().map(rtrb::Consumer::slots));
        ready.reverse();
        while let Ok(aside) = asides.try_recv() {
            match aside {
                Aside::Ring(ring) => rings.push(ring),
                Aside::Words(id, words) => book.words(id, words),
                Aside::TokenCount(id, tokens, source) => book.token_count(id, tokens, source),
                Aside::TokenMismatch { id, retokenized, .. } => book.recounted(id, retokenized),
                Aside::PromptCount(id, tokens) => book.prompt_count(id, tokens),
                Aside::StampsOf(id, source) => book.stamps_of(id, source),
                Aside::Stamps(source) => book.stamps_come_from(source),
                Aside::Tokens(source) => book.tokens_come_from(source),
            }
        }
        for (ring, ready) in rings.iter_mut().zip(ready.iter()) {
            let chunk =
                ring.read_chunk(*ready).expect("the slots were just counted by their only reader");
            let (front, back) = chunk.as_slices();
            for event in front.iter().chain(back) {
                book.note(event);
            }
            chunk.commit_all();
        }
        ready.iter().sum()
    }

    fn seal(&mut self, reply: &Sender<Sealed>) {
        // Twice, since a ring that is announced in one look is read in the next.
        self.drain();
        while self.drain() > 0 {}
        let book = std::mem::take(&mut self.book);
        self.live.publish(book.snapshot());
        let sealed = book.close(clock::thread_cpu());
        // Whoever asked may be gone after an error of its own; the records then have no reader.
        let _asker_is_gone = reply.send(sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::record::event::{Ending, TokenHash};
    use crate::record::request_record::{FinishReason, Outcome};
    use crate::request::RequestId;

    #[test]
    fn an_event_right_after_the_beginning_of_a_phase_belongs_to_it() {
        let recorder = Recorder::start().expect("a thread");
        let gate = Arc::new(Gate::new(200, 1));
        let mut sink = recorder.sink(&gate);
        for id in (0..200).map(RequestId) {
            recorder.begin(vec![Planned { id, prompt_tokens: 1, requested_tokens: 1 }], None);
            gate.open(id);
            let at = now();
            sink.put_surely(Event::Submitted { id, intended: at, ready: at, at });
            sink.delivery(id, now(), 1, TokenHash::EMPTY);
            sink.end(id, now(), Ending::Completed(FinishReason::Length));
            let sealed = recorder.seal();
            let record = &sealed.records.requests()[0];
            assert_eq!(sealed.late_events, 0);
            assert_eq!((record.submit, record.output_tokens), (Some(at), 1));
        }
    }

    struct FullDisk;

    impl Journal for FullDisk {
        fn row(&mut self, _: &RequestRecord) -> io::Result<()> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn settle(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_and_loses_no_record_in_memory() {
        let recorder = Recorder::start().expect("a thread");
        let gate = Arc::new(Gate::new(2, 1));
        let mut sink = recorder.sink(&gate);
        let planned = |id| Planned { id: RequestId(id), prompt_tokens: 1, requested_tokens: 1 };
        recorder.begin(vec![planned(0), planned(1)], Some(Box::new(FullDisk)));
        for id in [RequestId(0), RequestId(1)] {
            gate.open(id);
            sink.end(id, now(), Ending::Cancelled);
        }
        let sealed = recorder.seal();
        let kind = sealed.journal_error.map(|error| error.kind());
        assert_eq!(kind, Some(io::ErrorKind::StorageFull));
        let requests = sealed.records.requests();
        assert!(requests.iter().all(|record| record.outcome == Outcome::Cancelled));
    }
}
