//! `text:TARGET`: an in-process target behind a tokenizer, to measure what tokenising and detokenising add.
//!
//! One thread does the work of a server's front end: it encodes the text of each prompt and submits the ids, and it decodes
//! the ids of each delivery before it reports the delivery. A request's time starts before the encoding, and a delivery is
//! stamped after the decoding, by that thread. A prompt without text is passed on as ids.

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
use crate::record::sink::{SideMessage, Sink};
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::named::Named;
use crate::targets::registry::{self, Abilities, DefaultPrompts, Kind, describe};
use crate::targets::{Drain, Session, Target, TargetError, TargetInfo};
use crate::threads::Own;
use crate::tokenizer::text_stream::{Text, TextStream};
use bareflight_engine::dummy_tokenizer;

/// `text:TARGET`.
pub const KIND: Kind = Kind {
    name: "text",
    help: "`text:TARGET` (a target in this process behind its tokenizer)",
    has_argument: true,
    describe: |name, settings, served| behind_tokenizer(describe(name.argument, settings, served)?),
    abilities: Abilities { wraps_target: true, prompts: DefaultPrompts::Text, ..Abilities::NONE },
};

/// The same target behind its tokenizer. One that has none gets the words of [`dummy_tokenizer`], one for each token, as
/// it does when it is served.
fn behind_tokenizer(mut inner: Named) -> Result<Named, TargetError> {
    let info = inner.target.describe();
    let is_behind_one = registry::abilities_of(&info.name).wraps_target;
    if is_behind_one || !info.abilities().in_process {
        return Err(TargetError::Unusable {
            name: info.name.clone(),
            reason:
                "`text:` goes before an engine in this process, such as `text:local:dummy-nano`"
                    .into(),
        });
    }
    let (name, size) = (info.name.clone(), info.limits.vocab_size);
    let tokenizer = match (inner.tokenizer()?, size) {
        (Some(tokenizer), _) => tokenizer,
        (None, Some(size)) => dummy_tokenizer(size as usize),
        (None, None) => {
            let reason =
                "nothing says how many tokens it knows: name its tokenizer with `--tokenizer`";
            return Err(TargetError::Unusable { name, reason: reason.to_owned() });
        }
    };
    Ok(inner.wrapped(tokenizer.clone(), |target| Box::new(TextTarget::new(target, tokenizer))))
}

/// The thread also wakes up by itself, in case a bug loses a wake-up.
const WAKE_INTERVAL: Duration = Duration::from_millis(20);

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
        sink.set_stamp_source(StampSource::User);
        let (commands, inbox) = channel();
        let (opened, outcome) = channel();
        let Self { inner, text, info } = *self;
        let unusable = |reason: String| TargetError::Unusable { name: info.name.clone(), reason };
        let thread = Own::Text
            .builder()
            .spawn(move || match TextThread::open(inner, text, sink) {
                Ok((thread_state, session)) => {
                    // The opener waits for this.
                    let _opener_is_gone = opened.send(Ok(()));
                    thread_state.run(session, &inbox)
                }
                Err(error) => {
                    let _opener_is_gone = opened.send(Err(error));
                    Drain::Clean
                }
            })
            .map_err(|error| unusable(format!("its thread cannot be started: {error}")))?;
        outcome.recv().map_err(|_| unusable("its thread ended while it opened".into()))??;
        Ok(Box::new(TextSession { commands, thread }))
    }
}

enum TextCommand {
    Submit(Shot),
    Cancel(RequestId),
    Finish(MonoNs),
}

struct TextSession {
    commands: Sender<TextCommand>,
    thread: JoinHandle<Drain>,
}

impl TextSession {
    fn send(&self, command: TextCommand) -> Result<(), Failure> {
        let gone = |_| Failure::new(FailureKind::ShutDown, "the tokenizer's thread has ended");
        self.commands.send(command).map_err(gone)?;
        self.thread.thread().unpark();
        Ok(())
    }
}

impl Session for TextSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        self.send(TextCommand::Submit(shot.clone()))
    }

    fn cancel(&mut self, id: RequestId) {
        // If the thread is gone, so is the request.
        let _is_gone = self.send(TextCommand::Cancel(id));
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        let _is_gone = self.send(TextCommand::Finish(by));
        let Self { commands, thread } = *self;
        drop(commands);
        thread.join().unwrap_or_else(|_| Drain::Forced("the tokenizer's thread panicked".into()))
    }
}

/// Wakes the thread when the engine has put an event into its ring.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// State of the thread, without the engine's session.
struct TextThread {
    text: Arc<Text>,
    sink: Sink,
    /// The engine's gate; the one behind `sink` is the harness's.
    gate: Arc<Gate>,
    side_messages: Receiver<SideMessage>,
    rings: Vec<Consumer<Event>>,
    failure_messages: HashMap<RequestId, String>,
    streams: HashMap<RequestId, TextStream>,
    /// Text of one delivery; kept to reuse its memory.
    piece: String,
}

impl TextThread {
    fn open(
        inner: Box<dyn Target>,
        text: Arc<Text>,
        sink: Sink,
    ) -> Result<(Self, Box<dyn Session>), TargetError> {
        let (side_channel, side_messages) = channel();
        let gate = Arc::new(Gate::new(sink.room(), 1));
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let session =
            inner.open(Sink::to_server(Arc::clone(&gate), side_channel, Arc::default(), waker))?;
        let thread_state = Self {
            text,
            sink,
            gate,
            side_messages,
            rings: Vec::new(),
            failure_messages: HashMap::new(),
            streams: HashMap::new(),
            piece: String::new(),
        };
        Ok((thread_state, session))
    }

    fn run(mut self, mut session: Box<dyn Session>, inbox: &Receiver<TextCommand>) -> Drain {
        let by = loop {
            let idle = !self.forward_events();
            match inbox.try_recv() {
                Ok(TextCommand::Submit(shot)) => self.submit(&mut *session, shot),
                Ok(TextCommand::Cancel(id)) => session.cancel(id),
                Ok(TextCommand::Finish(by)) => break by,
                Err(TryRecvError::Disconnected) => break now(),
                Err(TryRecvError::Empty) => {
                    if let Some(message) = self.gate.broken() {
                        self.sink.fail_target(message);
                    }
                    if idle {
                        // If an event came since, the thread was unparked already, and this returns at once.
                        std::thread::park_timeout(WAKE_INTERVAL);
                    }
                }
            }
        };
        let drain = session.finish(by);
        self.forward_events();
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

    /// Decodes and forwards all events of the engine; `false` if there were none.
    fn forward_events(&mut self) -> bool {
        while let Ok(side_message) = self.side_messages.try_recv() {
            match side_message {
                SideMessage::Ring(ring) => self.rings.push(ring),
                SideMessage::FailureMessage(id, message) => {
                    self.failure_messages.insert(id, message);
                }
                // About stamps and counts, which are our own from here on.
                _ => {}
            }
        }
        let mut any = false;
        for place in 0..self.rings.len() {
            while let Ok(event) = self.rings[place].pop() {
                any = true;
                self.forward(event);
            }
        }
        any
    }

    fn forward(&mut self, event: Event) {
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
                        let message = self.failure_messages.remove(&id).unwrap_or_default();
                        self.sink.fail(id, now(), Failure::new(kind, message));
                    }
                    other => self.sink.end(id, now(), other),
                }
            }
            // An in-process target sends none of these to a server.
            Event::Delivery { .. }
            | Event::Submitted { .. }
            | Event::Sent { .. }
            | Event::NotSent { .. }
            | Event::TimedOut { .. }
            | Event::CancelAsked { .. } => {}
        }
    }
}
