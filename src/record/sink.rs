//! HOT PATH. Event sink of a target, one for each of its threads with a ring buffer of its own, and the rarer messages beside it.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::Waker;

use rtrb::{Consumer, Producer, RingBuffer};

use crate::clock::{self, MonoNs, Nanos};
use crate::record::backpressure::Backpressure;
use crate::record::event::{Ending, Event, FewIds, TokenHash};
use crate::record::gate::Gate;
use crate::record::oddity::Oddity;
use crate::record::request_record::{
    ConnectionUse, EngineTimes, EngineUse, StampSource, TokenSource,
};
use crate::request::Failure;
use crate::request::RequestId;

/// Events that fit into a ring. The recorder looks every few milliseconds; this is room for ten millions a second.
pub const RING_SLOTS: usize = 1 << 16;
/// How often a full ring is tried again before the thread sleeps between tries.
const TRIES: u32 = 64;
/// The sleep between tries: in it the recorder takes some thousand events.
const PAUSE: Nanos = Nanos::from_micros(100);

/// A message beside the ring: what has no fixed size or is rare.
#[derive(Debug)]
pub enum SideMessage {
    /// A thread joined: its ring.
    Ring(Consumer<Event>),
    /// The message of a failure, sent before its [`Event::End`].
    FailureMessage(RequestId, String),
    /// The server's or tokenizer's own count of output tokens, sent before the [`Event::End`].
    TokenCount(RequestId, u32, TokenSource),
    /// The server's own count and our tokenizer's count of the same output differ. Both are kept.
    TokenMismatch {
        /// Which request.
        id: RequestId,
        /// The server's `usage`.
        usage: u32,
        /// Our tokenizer over the whole text.
        retokenized: u32,
    },
    /// The server's own count of the prompt's tokens, sent before the [`Event::End`].
    PromptCount(RequestId, u32),
    /// Prompt tokens that the server found in its cache, sent before the [`Event::End`].
    CachedCount(RequestId, u32),
    /// Who took the stamps of one request, where it differs from the session's default.
    StampsOf(RequestId, StampSource),
    /// What the connection of a request cost, where it cost anything; sent before the [`Event::End`].
    Connection(RequestId, ConnectionUse),
    /// The target saw something odd in an answer; sent before the [`Event::End`].
    Odd(RequestId, Oddity),
    /// Who takes the stamps of this session; the engine unless a target says otherwise.
    Stamps(StampSource),
    /// Where token counts come from by default in this session; ids unless a target says otherwise.
    Tokens(TokenSource),
}

/// Where a target puts what it sees. Owned by one thread; [`Sink::for_another_thread`] makes a second one.
#[derive(Debug)]
pub struct Sink {
    ring: Producer<Event>,
    side_channel: Sender<SideMessage>,
    gate: Arc<Gate>,
    backpressure: Arc<Backpressure>,
    /// Whoever serves what comes out wants the ids themselves, all of them, and to be woken.
    server: Option<Waker>,
}

impl Sink {
    /// A sink whose ring is announced over `side_channel`; `backpressure` counts its waits for the recorder.
    pub fn new(
        gate: Arc<Gate>,
        side_channel: Sender<SideMessage>,
        backpressure: Arc<Backpressure>,
    ) -> Self {
        let (ring, consumer) = RingBuffer::new(RING_SLOTS);
        // Without a recorder at the other end nobody reads the ring either; `push_blocking` then counts what is lost.
        let _recorder_is_gone = side_channel.send(SideMessage::Ring(consumer));
        Self { ring, side_channel, gate, backpressure, server: None }
    }

    /// A sink whose reader hands output on to people: it gets every id, and `server` wakes it.
    pub fn to_server(
        gate: Arc<Gate>,
        side_channel: Sender<SideMessage>,
        backpressure: Arc<Backpressure>,
        server: Waker,
    ) -> Self {
        Self { server: Some(server), ..Self::new(gate, side_channel, backpressure) }
    }

    /// A sink for one more thread of the same target.
    #[must_use]
    pub fn for_another_thread(&self) -> Self {
        let (gate, backpressure) = (Arc::clone(&self.gate), Arc::clone(&self.backpressure));
        Self {
            server: self.server.clone(),
            ..Self::new(gate, self.side_channel.clone(), backpressure)
        }
    }

    /// Says who takes the stamps, where it is not the engine.
    pub fn set_stamp_source(&self, source: StampSource) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::Stamps(source));
    }

    /// Says where token counts come from, where they are not counted ids.
    pub fn tokens_come_from(&self, source: TokenSource) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::Tokens(source));
    }

    /// The most requests that a session with this sink is for.
    pub fn room(&self) -> usize {
        self.gate.room()
    }

    /// Whether output of this request is still expected; what comes later is dropped.
    #[inline]
    pub fn is_open(&self, id: RequestId) -> bool {
        self.gate.is_open(id)
    }

    /// Output arrived at `at`: these token ids.
    #[inline]
    pub fn output(&mut self, id: RequestId, at: MonoNs, mut ids: impl Iterator<Item = u32>) {
        if self.server.is_some() {
            self.serve(id, at, &mut ids);
            return;
        }
        if let Some(answers) = self.gate.answers() {
            let kept: Vec<u32> = ids.collect();
            answers.add_ids(id, &kept);
            let hash = TokenHash::of(kept.iter().copied());
            return self.delivery(id, at, kept.len() as u32, hash);
        }
        let mut tokens = 0;
        let hash = TokenHash::of(ids.inspect(|_| tokens += 1));
        self.delivery(id, at, tokens, hash);
    }

    /// Output for people must not be lost: where they are slower than the engine, the engine waits.
    #[inline]
    fn serve(&mut self, id: RequestId, at: MonoNs, from: &mut impl Iterator<Item = u32>) {
        loop {
            let ids = FewIds::take(from);
            if ids.as_slice().is_empty() {
                break;
            }
            self.push_blocking(Event::Ids { id, at, ids });
        }
        self.wake_server();
    }

    #[inline]
    fn wake_server(&self) {
        if let Some(server) = &self.server {
            server.wake_by_ref();
        }
    }

    /// Output arrived at `at`: `tokens` tokens with this hash.
    #[inline]
    pub fn delivery(&mut self, id: RequestId, at: MonoNs, tokens: u32, hash: TokenHash) {
        self.push_blocking(Event::Delivery { id, at, tokens, hash, pull_lag: 0 });
    }

    /// As [`Self::delivery`], where our own thread looked `pull_lag_ns` after the stamp `at`.
    #[inline]
    pub fn delivery_seen_late(
        &mut self,
        id: RequestId,
        at: MonoNs,
        tokens: u32,
        hash: TokenHash,
        pull_lag: u32,
    ) {
        self.push_blocking(Event::Delivery { id, at, tokens, hash, pull_lag });
    }

    /// The request really left at `at`, later than it was handed over; replaces `t_submit`.
    #[inline]
    pub fn sent(&mut self, id: RequestId, at: MonoNs) {
        self.push_blocking(Event::Sent { id, at });
    }

    /// The request took longer than it may; its end follows.
    pub fn timed_out(&mut self, id: RequestId, at: MonoNs) {
        self.push_blocking(Event::TimedOut { id, at });
    }

    /// The engine's own stamps; before the end of the request.
    #[inline]
    pub fn engine_times(&mut self, id: RequestId, times: EngineTimes) {
        self.push_blocking(Event::Times(id, times.pack()));
    }

    /// The engine's own counts; before the end of the request.
    #[inline]
    pub fn engine_use(&mut self, id: RequestId, counts: EngineUse) {
        self.push_blocking(Event::Use(id, counts));
    }

    /// A count of output tokens better than the sum over deliveries; before the end of the request.
    pub fn token_count(&mut self, id: RequestId, tokens: u32, source: TokenSource) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::TokenCount(id, tokens, source));
    }

    /// The server's count and ours differ; before the end of the request.
    pub fn token_mismatch(&mut self, id: RequestId, usage: u32, retokenized: u32) {
        let _recorder_is_gone =
            self.side_channel.send(SideMessage::TokenMismatch { id, usage, retokenized });
    }

    /// What the server counted of the prompt; before the end of the request.
    pub fn prompt_count(&mut self, id: RequestId, tokens: u32) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::PromptCount(id, tokens));
    }

    /// How many tokens of the prompt the server found in its cache; before the end of the request.
    pub fn cached_count(&mut self, id: RequestId, tokens: u32) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::CachedCount(id, tokens));
    }

    /// Marks an answer that is not what was asked for; before the end of the request.
    pub fn odd(&mut self, id: RequestId, oddity: Oddity) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::Odd(id, oddity));
    }

    /// This request's stamps were not all taken by the session's default; before the end of the request.
    pub fn stamps_of(&mut self, id: RequestId, source: StampSource) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::StampsOf(id, source));
    }

    /// What its connection cost; before the end of the request.
    pub fn connection_of(&mut self, id: RequestId, cost: ConnectionUse) {
        let _recorder_is_gone = self.side_channel.send(SideMessage::Connection(id, cost));
    }

    /// The text of a whole answer, where it is kept; before the end of the request.
    pub fn answer_text(&mut self, id: RequestId, text: impl FnOnce() -> String) {
        if let Some(answers) = self.gate.answers() {
            answers.set_text(id, text());
        }
    }

    /// The request is over. A second end of the same request is counted and dropped.
    #[inline]
    pub fn end(&mut self, id: RequestId, at: MonoNs, ending: Ending) {
        // The event goes first: who sees the gate closed must find the end in the ring.
        if !self.gate.is_open(id) {
            self.gate.close(id, at);
            return;
        }
        self.push_blocking(Event::End { id, at, ending });
        if let Some(answers) = self.gate.answers() {
            answers.end(id, matches!(ending, Ending::Completed(_)));
        }
        self.gate.close(id, at);
        self.wake_server();
    }

    /// The request failed; its words go beside the ring.
    pub fn fail(&mut self, id: RequestId, at: MonoNs, failure: Failure) {
        let kind = failure.kind;
        let _recorder_is_gone =
            self.side_channel.send(SideMessage::FailureMessage(id, failure.message));
        self.end(id, at, Ending::Failed(kind));
    }

    /// The target as a whole answers no more: the issuer stops, and fails what is open with these words.
    pub fn fail_target(&self, words: impl Into<String>) {
        self.gate.fail_target(words.into());
        self.wake_server();
    }

    /// Puts an event into the ring. Where the ring is full, the thread waits for the recorder: no event is lost, and the wait
    /// is counted, since it delays the thread that measures.
    #[inline]
    pub(crate) fn push_blocking(&mut self, event: Event) {
        if self.ring.push(event).is_err() {
            self.push_counting(event);
        }
    }

    #[cold]
    fn push_counting(&mut self, event: Event) {
        let from = clock::now();
        self.push_blocking_uncounted(event);
        self.backpressure.waited(clock::now() - from);
    }

    /// As [`Self::push_blocking`], from a thread that has nothing left to measure: its wait delays nobody and is not counted.
    pub(crate) fn push_blocking_uncounted(&mut self, event: Event) {
        let mut tries = 0;
        while self.ring.push(event).is_err() {
            if self.ring.is_abandoned() {
                return self.backpressure.lost();
            }
            if tries < TRIES {
                std::thread::yield_now();
            } else {
                clock::sleep(PAUSE);
            }
            tries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;
    use crate::record::request_record::FinishReason;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    fn sink_and_ring() -> (Sink, Consumer<Event>, Arc<Gate>, Arc<Backpressure>) {
        let gate = Arc::new(Gate::new(4, 4));
        let backpressure = Arc::new(Backpressure::default());
        let (side_channel, side_messages) = channel();
        let sink = Sink::new(Arc::clone(&gate), side_channel, Arc::clone(&backpressure));
        let Ok(SideMessage::Ring(ring)) = side_messages.recv() else {
            panic!("the ring is announced first")
        };
        (sink, ring, gate, backpressure)
    }

    #[test]
    fn a_second_end_never_reaches_the_ring() {
        let (mut sink, mut ring, gate, _) = sink_and_ring();
        gate.open(RequestId(0));
        sink.end(RequestId(0), now(), Ending::Completed(FinishReason::Length));
        sink.end(RequestId(0), now(), Ending::Cancelled);
        assert!(matches!(ring.pop(), Ok(Event::End { ending: Ending::Completed(_), .. })));
        assert!(ring.pop().is_err());
        assert_eq!(gate.stray_ends(), 1);
    }

    struct Count(AtomicU64);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_server_gets_every_id_and_is_woken_once_per_delivery_and_end() {
        let gate = Arc::new(Gate::new(1, 1));
        let woken = Arc::new(Count(AtomicU64::new(0)));
        let (side_channel, side_messages) = channel();
        let waker = Arc::clone(&woken).into();
        let mut sink = Sink::to_server(Arc::clone(&gate), side_channel, Arc::default(), waker);
        let Ok(SideMessage::Ring(mut ring)) = side_messages.recv() else {
            panic!("the ring is announced first")
        };
        gate.open(RequestId(0));
        let counted = allocation_counter::measure(|| {
            sink.output(RequestId(0), now(), 0..11);
            sink.output(RequestId(0), now(), 11..12);
            sink.end(RequestId(0), now(), Ending::Completed(FinishReason::Length));
        });
        assert_eq!(counted.count_total, 0, "the engine's thread allocates nothing");
        let mut seen = Vec::new();
        while let Ok(event) = ring.pop() {
            match event {
                Event::Ids { ids, .. } => seen.extend_from_slice(ids.as_slice()),
                Event::End { .. } => assert_eq!(seen, (0..12).collect::<Vec<_>>()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_thread_that_finds_its_ring_full_waits_and_nothing_is_lost() {
        let (mut sink, mut ring, _, backpressure) = sink_and_ring();
        let events = RING_SLOTS + 3;
        let reader = std::thread::spawn(move || {
            // The first wait shows that the ring was full.
            while ring.slots() < RING_SLOTS {
                std::thread::yield_now();
            }
            let mut read = 0;
            while read < events {
                if ring.pop().is_ok() {
                    read += 1;
                }
            }
        });
        for _ in 0..events {
            sink.delivery(RequestId(0), now(), 1, TokenHash::EMPTY);
        }
        reader.join().expect("every event was read");
        assert_eq!(backpressure.so_far().lost, 0);
    }

    #[test]
    fn a_full_ring_whose_recorder_has_ended_loses_the_event_and_counts_it() {
        let (mut sink, ring, _, backpressure) = sink_and_ring();
        for _ in 0..RING_SLOTS {
            sink.delivery(RequestId(0), now(), 1, TokenHash::EMPTY);
        }
        drop(ring);
        sink.delivery(RequestId(0), now(), 1, TokenHash::EMPTY);
        let waited = backpressure.so_far();
        assert_eq!((waited.lost, waited.waits), (1, 1));
    }
}
