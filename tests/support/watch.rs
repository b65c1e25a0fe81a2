//! Recorder of one session: opens a target, sends shots to it, and keeps everything that the sink received.

#![allow(dead_code)] // Each test binary uses a part of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bareflight::clock::{MonoNs, Nanos, now, sleep};
use bareflight::load::plan::Shot;
use bareflight::record::event::{Ending, Event, TokenHash};
use bareflight::record::gate::Gate;
use bareflight::record::oddity::Oddities;
use bareflight::record::request_record::{StampSource, TokenSource};
use bareflight::record::sink::{SideMessage, Sink};
use bareflight::request::FailureKind;
use bareflight::request::RequestId;
use bareflight::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use bareflight::targets::{Drain, Session, Target, TargetError};

/// Everything that was seen of one request.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub submitted: Option<MonoNs>,
    pub sent: Option<MonoNs>,
    pub deliveries: Vec<(MonoNs, u32)>,
    pub hash: Option<TokenHash>,
    pub count: Option<(u32, TokenSource)>,
    pub message: Option<String>,
    pub ends: Vec<(MonoNs, Ending)>,
    pub has_times: bool,
    /// Who took its stamps, where that differs from the session's own.
    pub stamps: Option<StampSource>,
    /// In what its answer is not what was asked for.
    pub oddities: Oddities,
    /// How often it was sent again.
    pub resent: u32,
}

impl Seen {
    /// Tokens, by the best count at hand.
    pub fn tokens(&self) -> u32 {
        let delivered = self.deliveries.iter().map(|(_, tokens)| tokens).sum();
        self.count.map_or(delivered, |(count, _)| count)
    }

    /// The only ending.
    pub fn ending(&self) -> Ending {
        assert_eq!(self.ends.len(), 1, "a request ends exactly once: {self:?}");
        self.ends[0].1
    }

    /// The kind of its failure.
    pub fn failure(&self) -> FailureKind {
        match self.ending() {
            Ending::Failed(kind) => kind,
            other => panic!("it did not fail but {other:?}: {self:?}"),
        }
    }

    /// The words of its failure.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| panic!("a failure has a message: {self:?}"))
    }

    pub fn is_completed(&self) -> bool {
        matches!(self.ending(), Ending::Completed(_))
    }

    /// From leaving to the first token.
    pub fn ttft(&self) -> Nanos {
        let first = self.deliveries.iter().find(|(_, tokens)| *tokens > 0).expect("a token came");
        first.0 - self.sent.expect("it was sent")
    }

    /// From leaving to the end.
    pub fn e2e(&self) -> Nanos {
        self.ends[0].0 - self.sent.expect("it was sent")
    }
}

/// A session under test.
pub struct Watch {
    pub session: Box<dyn Session>,
    gate: Arc<Gate>,
    sink: Sink,
    side_messages: Receiver<SideMessage>,
    rings: Vec<rtrb::Consumer<Event>>,
    seen: BTreeMap<u32, Seen>,
    /// Who takes the stamps, as the session says.
    pub session_stamps: Option<StampSource>,
}

impl Watch {
    pub fn open(target: impl Target + 'static) -> Self {
        Self::try_open(target).expect("the target opens")
    }

    /// As [`Self::open`], where the target may refuse to be opened.
    pub fn try_open(target: impl Target + 'static) -> Result<Self, TargetError> {
        let (side_channel, side_messages) = channel();
        let gate = Arc::new(Gate::new(10_000, 10_000));
        let sink = Sink::new(Arc::clone(&gate), side_channel, Arc::default());
        let session = Box::new(target).open(sink.for_another_thread())?;
        Ok(Self {
            session,
            gate,
            sink,
            side_messages,
            rings: Vec::new(),
            seen: BTreeMap::new(),
            session_stamps: None,
        })
    }

    /// Hands over a shot, as the issuer does.
    pub fn fire(&mut self, shot: &Shot) {
        self.gate.open(shot.id);
        self.seen.entry(shot.id.0).or_default().submitted = Some(now());
        if let Err(failure) = self.session.submit(shot) {
            self.sink.fail(shot.id, now(), failure);
        }
    }

    /// Waits until all have ended, at most so long.
    pub fn wait(&mut self, seconds: f64) {
        let deadline = now() + Nanos::from_secs_f64(seconds);
        while self.gate.in_flight() > 0 && now() < deadline {
            self.look();
            sleep(Nanos::from_millis(1));
        }
        self.look();
        assert_eq!(self.gate.in_flight(), 0, "requests never ended: {:?}", self.open_ids());
    }

    /// Waits until so many tokens of a request have come.
    pub fn wait_for_tokens(&mut self, id: u32, tokens: u32) {
        let deadline = now() + Nanos::from_secs_f64(30.0);
        while self.seen.get(&id).is_none_or(|seen| seen.tokens() < tokens) {
            assert!(now() < deadline, "request {id} never had {tokens} tokens");
            sleep(Nanos::from_millis(1));
            self.look();
        }
    }

    fn open_ids(&self) -> Vec<u32> {
        self.seen.keys().copied().filter(|id| self.gate.is_open(RequestId(*id))).collect()
    }

    /// What has been seen so far.
    pub fn seen(&mut self) -> &BTreeMap<u32, Seen> {
        self.look();
        &self.seen
    }

    /// Lets the session go without finishing it, as a panic would.
    pub fn drop_session(&mut self) {
        self.session = Box::new(Gone);
    }

    /// Ends the session; what was seen, and how it drained.
    pub fn finish(mut self, seconds: f64) -> (BTreeMap<u32, Seen>, Drain) {
        let session = std::mem::replace(&mut self.session, Box::new(Gone));
        let drain = session.finish(now() + Nanos::from_secs_f64(seconds));
        self.look();
        assert_eq!(self.gate.stray_ends(), 0, "an end came twice");
        assert_eq!(self.gate.in_flight(), 0, "finish left requests open");
        (self.seen, drain)
    }

    fn look(&mut self) {
        for _ in 0..2 {
            while let Ok(side_message) = self.side_messages.try_recv() {
                match side_message {
                    SideMessage::Ring(ring) => self.rings.push(ring),
                    SideMessage::FailureMessage(id, message) => {
                        self.seen.entry(id.0).or_default().message = Some(message);
                    }
                    SideMessage::TokenCount(id, count, source) => {
                        self.seen.entry(id.0).or_default().count = Some((count, source));
                    }
                    SideMessage::StampsOf(id, source) => {
                        self.seen.entry(id.0).or_default().stamps = Some(source);
                    }
                    SideMessage::Odd(id, oddity) => {
                        let seen = self.seen.entry(id.0).or_default();
                        seen.oddities = seen.oddities.with(oddity);
                    }
                    SideMessage::Connection(id, cost) => {
                        self.seen.entry(id.0).or_default().resent = cost.resent;
                    }
                    SideMessage::Stamps(source) => self.session_stamps = Some(source),
                    _ => {}
                }
            }
            for ring in &mut self.rings {
                while let Ok(event) = ring.pop() {
                    note(&mut self.seen, event);
                }
            }
        }
    }
}

fn note(all: &mut BTreeMap<u32, Seen>, event: Event) {
    match event {
        Event::Sent { id, at } => all.entry(id.0).or_default().sent = Some(at),
        Event::Delivery { id, at, tokens, hash, .. } => {
            let seen = all.entry(id.0).or_default();
            assert!(seen.ends.is_empty(), "a delivery after the end");
            seen.hash = Some(seen.hash.unwrap_or(TokenHash::EMPTY).then(hash, tokens));
            seen.deliveries.push((at, tokens));
        }
        Event::Times(id, _) => all.entry(id.0).or_default().has_times = true,
        Event::End { id, at, ending } => all.entry(id.0).or_default().ends.push((at, ending)),
        _ => {}
    }
}

/// Stands in for a session that is being finished.
struct Gone;

impl Session for Gone {
    fn submit(&mut self, _: &Shot) -> Result<(), bareflight::request::Failure> {
        panic!("the session is being finished")
    }
    fn cancel(&mut self, _: RequestId) {}
    fn finish(self: Box<Self>, _: MonoNs) -> Drain {
        Drain::Clean
    }
}

/// A shot that asks for `tokens` tokens, with a prompt as ids and as text.
pub fn shot(id: u32, tokens: u32) -> Shot {
    Shot::new(
        RequestId(id),
        RequestSpec {
            beside: Beside::Nothing,
            prompt: Prompt {
                ids: [100 + id, 7, 8, 9].into(),
                text: Some(format!("one two {id} three").into()),
            },
            output: OutputSpec { max_tokens: tokens, min_tokens: 0, ignore_eos: true },
            sampling: Sampling::greedy(1),
            streaming: true,
            priority: 0.5,
            adapter: None,
            terms: Arc::default(),
        },
    )
}
