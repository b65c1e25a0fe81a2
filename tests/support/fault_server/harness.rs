//! Plays shots against a target as the issuer does, and checks what is claimed of every target.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use bareflight::clock::{MonoNs, Nanos, now, sleep};
use bareflight::load::plan::Shot;
use bareflight::record::backpressure::Backpressure;
use bareflight::record::event::{Ending, Event, TokenHash};
use bareflight::record::gate::Gate;
use bareflight::record::oddity::Oddities;
use bareflight::record::request_record::{
    ConnectionUse, EngineTimes, FinishReason, StampSource, TokenSource,
};
use bareflight::record::sink::{SideMessage, Sink};
use bareflight::request::RequestId;
use bareflight::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use bareflight::request::{Failure, FailureKind};
use bareflight::targets::openai::{OpenAiOptions, OpenAiTarget};
use bareflight::targets::{Drain, Session, Target};

/// Everything that was seen of one shot.
#[derive(Debug, Default)]
pub struct Story {
    pub submitted: Option<MonoNs>,
    pub refused: Option<Failure>,
    pub sent: Option<MonoNs>,
    /// Stamp, tokens, hash, pull lag.
    pub deliveries: Vec<(MonoNs, u32, TokenHash, u32)>,
    pub endings: Vec<(MonoNs, Ending)>,
    pub timed_out: bool,
    pub message: Option<String>,
    pub count: Option<(u32, TokenSource)>,
    pub mismatch: Option<(u32, u32)>,
    pub times: Option<EngineTimes>,
    pub stamps: Option<StampSource>,
    pub connection: ConnectionUse,
    pub oddities: Oddities,
}

impl Story {
    pub fn failure(&self) -> FailureKind {
        match self.endings.as_slice() {
            [(_, Ending::Failed(kind))] => *kind,
            _ => panic!("it did not fail: {self:?}"),
        }
    }

    pub fn finish(&self) -> FinishReason {
        match self.endings.as_slice() {
            [(_, Ending::Completed(finish))] => *finish,
            _ => panic!("it did not complete: {self:?}"),
        }
    }

    pub fn was_cancelled(&self) -> bool {
        matches!(self.endings.as_slice(), [(_, Ending::Cancelled)])
    }

    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| panic!("a failure has a message: {self:?}"))
    }

    /// Tokens over all deliveries.
    pub fn tokens(&self) -> u32 {
        self.deliveries.iter().map(|delivery| delivery.1).sum()
    }

    pub fn end(&self) -> MonoNs {
        self.endings[0].0
    }
}

/// An opened target with shots to fire at it.
pub struct Range {
    pub session: Option<Box<dyn Session>>,
    gate: Arc<Gate>,
    backpressure: Arc<Backpressure>,
    side_messages: Receiver<SideMessage>,
    rings: Vec<rtrb::Consumer<Event>>,
    stories: BTreeMap<u32, Story>,
    pub session_stamps: Option<StampSource>,
}

impl Range {
    pub fn open(target: OpenAiTarget, shots: usize) -> Self {
        let gate = Arc::new(Gate::new(shots, shots));
        let (side_channel, side_messages) = channel();
        let backpressure = Arc::new(Backpressure::default());
        let sink = Sink::new(Arc::clone(&gate), side_channel, Arc::clone(&backpressure));
        let session = Some(Box::new(target).open(sink).expect("threads can be had"));
        Self {
            session,
            gate,
            backpressure,
            side_messages,
            rings: Vec::new(),
            stories: BTreeMap::new(),
            session_stamps: None,
        }
    }

    pub fn fire(&mut self, shot: &Shot) {
        let story = self.stories.entry(shot.id.0).or_default();
        self.gate.open(shot.id);
        let at = now();
        story.submitted = Some(at);
        if let Err(failure) = self.session.as_mut().expect("not yet finished").submit(shot) {
            story.refused = Some(failure);
            self.gate.close(shot.id, at);
        }
    }

    pub fn cancel(&mut self, id: u32) {
        self.session.as_mut().expect("not yet finished").cancel(RequestId(id));
    }

    pub fn in_flight(&self) -> u32 {
        self.gate.in_flight()
    }

    /// Waits until nothing is in flight, at most twenty seconds.
    pub fn wait(&self) {
        let by = now() + Nanos::from_secs_f64(20.0);
        while self.gate.in_flight() > 0 && now() < by {
            sleep(Nanos::from_millis(2));
        }
        assert_eq!(self.gate.in_flight(), 0, "some request never ended");
    }

    /// Finishes the session, checks the claims, and gives the story of each shot.
    pub fn finish(&mut self, by: MonoNs) -> (Drain, Vec<Story>) {
        let drain = self.session.take().expect("finished once").finish(by);
        self.note_what_came();
        for ring in &self.rings {
            assert!(ring.is_abandoned(), "nothing can reach the sink after finish");
        }
        let stories = std::mem::take(&mut self.stories);
        assert_eq!(self.gate.stray_ends(), 0, "no request ends twice");
        assert_eq!(self.backpressure.so_far().waits, 0, "no event waited for room");
        stories.values().for_each(check);
        (drain, stories.into_values().collect())
    }

    /// Waits until a token of a shot has come, at most twenty seconds.
    pub fn wait_for_a_token(&mut self, id: u32) {
        let by = now() + Nanos::from_secs_f64(20.0);
        while self.stories[&id].tokens() == 0 {
            assert!(now() < by, "no token came");
            sleep(Nanos::from_millis(2));
            self.note_what_came();
        }
    }

    fn note_what_came(&mut self) {
        while let Ok(side_message) = self.side_messages.try_recv() {
            self.note_side_message(side_message);
        }
        for ring in &mut self.rings {
            while let Ok(event) = ring.pop() {
                note_event(event, &mut self.stories);
            }
        }
    }

    fn note_side_message(&mut self, side_message: SideMessage) {
        let stories = &mut self.stories;
        match side_message {
            SideMessage::Ring(ring) => self.rings.push(ring),
            SideMessage::FailureMessage(id, message) => {
                stories.entry(id.0).or_default().message = Some(message);
            }
            SideMessage::TokenCount(id, tokens, source) => {
                stories.entry(id.0).or_default().count = Some((tokens, source));
            }
            SideMessage::TokenMismatch { id, usage, retokenized } => {
                stories.entry(id.0).or_default().mismatch = Some((usage, retokenized));
            }
            // Counted where whole runs are told of.
            SideMessage::PromptCount(..) | SideMessage::CachedCount(..) => {}
            SideMessage::Connection(id, cost) => stories.entry(id.0).or_default().connection = cost,
            SideMessage::Odd(id, oddity) => {
                let story = stories.entry(id.0).or_default();
                story.oddities = story.oddities.with(oddity);
            }
            SideMessage::StampsOf(id, source) => {
                stories.entry(id.0).or_default().stamps = Some(source);
            }
            SideMessage::Stamps(source) => self.session_stamps = Some(source),
            SideMessage::Tokens(source) => assert_eq!(source, TokenSource::Chunks),
        }
    }
}

fn note_event(event: Event, stories: &mut BTreeMap<u32, Story>) {
    let (Event::Sent { id, .. }
    | Event::Delivery { id, .. }
    | Event::End { id, .. }
    | Event::TimedOut { id, .. }
    | Event::Times(id, _)) = event
    else {
        panic!("no target says {event:?}")
    };
    let story = stories.get_mut(&id.0).expect("only of shots that were fired");
    match event {
        Event::Sent { at, .. } => {
            assert_eq!(story.sent.replace(at), None, "a request leaves once");
        }
        Event::Delivery { at, tokens, hash, pull_lag, .. } => {
            story.deliveries.push((at, tokens, hash, pull_lag));
        }
        Event::End { at, ending, .. } => story.endings.push((at, ending)),
        Event::TimedOut { .. } => story.timed_out = true,
        Event::Times(_, times) => story.times = Some(times.unpack()),
        _ => unreachable!("taken apart above"),
    }
}

/// What is claimed of every shot, however it went.
fn check(story: &Story) {
    if story.refused.is_some() {
        assert!(story.endings.is_empty(), "what was refused has no other ending: {story:?}");
        return;
    }
    assert_eq!(story.endings.len(), 1, "each shot ends exactly once: {story:?}");
    let mut before = story.sent.or(story.submitted).expect("every shot was submitted");
    assert!(story.submitted <= Some(before), "it leaves after it was handed over: {story:?}");
    for delivery in &story.deliveries {
        assert!(before <= delivery.0, "stamps are monotone: {story:?}");
        before = delivery.0;
    }
    assert!(before <= story.end(), "the end is last: {story:?}");
    assert_eq!(
        story.message.is_some(),
        matches!(story.endings[0].1, Ending::Failed(_)),
        "{story:?}"
    );
}

/// A shot that streams, with both ids and text.
pub fn shot(id: u32, max_tokens: u32) -> Shot {
    Shot::new(
        RequestId(id),
        RequestSpec {
            beside: Beside::Nothing,
            prompt: Prompt { ids: [1, 2, 3].into(), text: Some("one two three".into()) },
            output: OutputSpec { max_tokens, min_tokens: 0, ignore_eos: false },
            sampling: Sampling::greedy(1),
            streaming: true,
            priority: 0.5,
            adapter: None,
            terms: Arc::default(),
        },
    )
}

/// Options for a model that needs no asking for.
pub fn options(url: &str) -> OpenAiOptions {
    let mut options = OpenAiOptions::new(url);
    options.model = Some("m".to_owned());
    options
}

/// Fires all shots at once and waits for their ends.
pub fn play(options: OpenAiOptions, shots: &[Shot]) -> Vec<Story> {
    let target = OpenAiTarget::new(options).expect("the options make sense");
    let mut range = Range::open(target, shots.len());
    for shot in shots {
        range.fire(shot);
    }
    range.wait();
    let (drain, stories) = range.finish(now() + Nanos::from_secs_f64(5.0));
    assert_eq!(drain, Drain::Clean);
    stories
}

/// One shot of four tokens.
pub fn play_one(options: OpenAiOptions) -> Story {
    play(options, &[shot(0, 4)]).remove(0)
}
