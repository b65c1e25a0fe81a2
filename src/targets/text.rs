//! `text:TARGET`: an in-process target behind a tokenizer, to measure what tokenising and detokenising add.
//!
//! One thread does what the front of a server does: it takes a prompt's text, encodes it and submits the ids; it takes
//! each delivery's ids, decodes them, and only then is the delivery there. The clock of a request starts before the
//! encoding and a delivery is stamped after the decoding, by that thread. A prompt that has no text goes on as ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::{Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use bareflight_engine::tokenizers::Tokenizer;
use rtrb::Consumer;

use crate::clock::{MonoNs, now};
use crate::load::plan::Shot;
use crate::record::event::{Ending, Event, TokenHash};
use crate::record::gate::Gate;
use crate::record::request_record::StampSource;
use crate::record::sink::{Aside, Sink};
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::{Drain, Session, Target, TargetError, TargetInfo};
use crate::tokenizer::text_stream::{Text, TextStream};

/// A wake-up can be lost only to a bug; the thread looks up anyway.
const LOOK: Duration = Duration::from_millis(20);

/// A target in this process behind its tokenizer.
pub struct TextTarget {
    inner: Box<dyn Target>,
    text: Arc<Text>,
    info: TargetInfo,
}

impl TextTarget {
    /// Puts a tokenizer in front of a target.
    pub fn new(inner: Box<dyn Target>, tokenizer: Tokenizer) -> Self {
        let described = inner.describe();
        let info = TargetInfo {
            name: format!("text:{}", described.name),
            title: format!("{}, asked as text", described.title),
            ..described.clone()
        };
        Self { inner, text: Arc::new(Text::new(tokenizer)), info }
    }
}

impl Target for TextTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        sink.stamps_come_from(StampSource::User);
        let (orders, inbox) = channel();
        let (opened, outcome) = channel();
        let Self { inner, text, info } = *self;
        let unusable = |reason: String| TargetError::Unusable { name: info.name.clone(), reason };
        let thread = std::thread::Builder::new()
            .name("bf-text".into())
            .spawn(move || match Front::open(inner, text, sink) {
                Ok((front, session)) => {
                    // Whoever opened it waits for this word.
                    let _opener_is_gone = opened.send(Ok(()));
                    front.run(session, &inbox)
                }
                Err(error) => {
                    let _opener_is_gone = opened.send(Err(error));
                    Drain::Clean
                }
            })
            .map_err(|error| unusable(format!("its thread cannot be started: {error}")))?;
        outcome.recv().map_err(|_| unusable("its thread ended while it opened".into()))??;
        Ok(Box::new(TextSession { orders, thread }))
    }
}

enum Order {
    Submit(Shot),
    Cancel(RequestId),
    Finish(MonoNs),
}

struct TextSession {
    orders: Sender<Order>,
    thread: JoinHandle<Drain>,
}

impl TextSession {
    fn order(&self, order: Order) -> Result<(), Failure> {
        let gone = |_| Failure::new(FailureKind::ShutDown, "the tokenizer's thread has ended");
        self.orders.send(order).map_err(gone)?;
        self.thread.thread().unpark();
        Ok(())
    }
}

impl Session for TextSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        self.order(Order::Submit(shot.clone()))
    }

    fn cancel(&mut self, id: RequestId) {
        // Where the thread is gone, so is the request.
        let _is_gone = self.order(Order::Cancel(id));
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        let _is_gone = self.order(Order::Finish(by));
        let Self { orders, thread } = *self;
        drop(orders);
        thread.join().unwrap_or_else(|_| Drain::Forced("the tokenizer's thread panicked".into()))
    }
}

/// Wakes the thread when the engine has put something into its ring.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Everything that the thread owns beside the engine's session.
struct Front {
    text: Arc<Text>,
    sink: Sink,
    /// Of the engine; the one behind `sink` is the harness's.
    gate: Arc<Gate>,
    asides: Receiver<Aside>,
    rings: Vec<Consumer<Event>>,
    words: HashMap<RequestId, String>,
    streams: HashMap<RequestId, TextStream>,
    /// Text of one delivery; kept, so that its room is.
    piece: String,
}

impl Front {
    fn open(
        inner: Box<dyn Target>,
        text: Arc<Text>,
        sink: Sink,
    ) -> Result<(Self, Box<dyn Session>), TargetError> {
        let (aside, asides) = channel();
        let gate = Arc::new(Gate::new(sink.room(), 1));
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let session =
            inner.open(Sink::to_server(Arc::clone(&gate), aside, Arc::default(), waker))?;
        let front = Self {
            text,
            sink,
            gate,
            asides,
            rings: Vec::new(),
            words: HashMap::new(),
            streams: HashMap::new(),
            piece: String::new(),
        };
        Ok((front, session))
    }

    fn run(mut self, mut session: Box<dyn Session>, inbox: &Receiver<Order>) -> Drain {
        let by = loop {
            let idle = !self.hand_out();
            match inbox.try_recv() {
                Ok(Order::Submit(shot)) => self.submit(&mut *session, shot),
                Ok(Order::Cancel(id)) => session.cancel(id),
                Ok(Order::Finish(by)) => break by,
                Err(TryRecvError::Disconnected) => break now(),
                Err(TryRecvError::Empty) => {
                    if let Some(words) = self.gate.broken() {
                        self.sink.break_off(words);
                    }
                    if idle {
                        // Who has put something in has unparked this thread since, and it does not park.
                        std::thread::park_timeout(LOOK);
                    }
                }
            }
        };
        let drain = session.finish(by);
        self.hand_out();
        drain
    }

    fn submit(&mut self, session: &mut dyn Session, mut shot: Shot) {
        let id = shot.id;
        if let Some(text) = &shot.request.prompt.text {
            match self.text.encode(text, false) {
                Ok(ids) => shot.request.prompt.ids = ids.into(),
                Err(refusal) => {
                    let failure = Failure::new(FailureKind::Refused, refusal.to_string());
                    return self.sink.fail(id, now(), failure);
                }
            }
        }
        self.gate.open(id);
        self.streams.insert(id, TextStream::new(Arc::clone(&self.text)));
        if let Err(failure) = session.submit(&shot) {
            self.gate.close(id, now());
            self.streams.remove(&id);
            self.sink.fail(id, now(), failure);
        }
    }

    /// Decodes and hands on everything that has come out of the engine; `false` if nothing had.
    fn hand_out(&mut self) -> bool {
        while let Ok(aside) = self.asides.try_recv() {
            match aside {
                Aside::Ring(ring) => self.rings.push(ring),
                Aside::Words(id, words) => {
                    self.words.insert(id, words);
                }
                // Said of stamps and counts that are ours from here on.
                _ => {}
            }
        }
        let mut any = false;
        for place in 0..self.rings.len() {
            while let Ok(event) = self.rings[place].pop() {
                any = true;
                self.hand_on(event);
            }
        }
        any
    }

    fn hand_on(&mut self, event: Event) {
        match event {
            Event::Ids { id, ids, .. } => {
                let ids = ids.as_slice();
                if let Some(stream) = self.streams.get_mut(&id) {
                    self.piece.clear();
                    stream.push(ids, &mut self.piece);
                }
                let hash = TokenHash::of(ids.iter().copied());
                self.sink.delivery(id, now(), ids.len() as u32, hash);
            }
            Event::Times(id, times) => self.sink.engine_times(id, times.unpack()),
            Event::Use(id, counts) => self.sink.engine_use(id, counts),
            Event::End { id, ending, .. } => {
                if let Some(mut stream) = self.streams.remove(&id) {
                    stream.finish(&mut self.piece);
                }
                match ending {
                    Ending::Failed(kind) => {
                        let words = self.words.remove(&id).unwrap_or_default();
                        self.sink.fail(id, now(), Failure::new(kind, words));
                    }
                    other => self.sink.end(id, now(), other),
                }
            }
            // An in-process target sends none of these to a server.
            Event::Delivery { .. }
            | Event::Submitted { .. }
            | Event::Sent { .. }
            | Event::NotSent { .. }
            | Event::TimedOut { .. } => {}
        }
    }
}
