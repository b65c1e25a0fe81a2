//! HOT PATH. In-flight table of one thread. Each request leaves it exactly once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::clock::{MonoNs, Nanos};
use crate::network::stamp::ReadStamp;
use crate::record::event::Ending;
use crate::record::request_record::{EngineUse, FinishReason, StampSource, TokenSource};
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::spec::Prompt;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::answer::{Answer, Total};
use crate::targets::triton::options::{CountTokens, Timeouts};
use crate::targets::triton::response::{Reading, plausible_times};

/// What is the same for all requests of a session.
#[derive(Clone)]
pub struct Rules {
    /// How long what may take.
    pub timeouts: Timeouts,
    /// Counts tokens of text.
    pub count_tokens: Option<CountTokens>,
    /// Server and harness run on one machine, so that the engine's stamps can be on our clock.
    pub same_host: bool,
    /// Who takes stamps, unless a request says otherwise.
    pub stamps: StampSource,
    /// Where token counts come from, unless a request says otherwise.
    pub tokens: TokenSource,
}

/// A request that has not ended.
pub struct Flight {
    prompt: Prompt,
    max_tokens: u32,
    answer: Answer,
    handed_over: MonoNs,
    /// When something was last sent or received for it.
    moved: MonoNs,
    begun: bool,
    by_user: bool,
    times: Option<[i64; 4]>,
    used: Option<EngineUse>,
    finish: Option<Finish>,
    carrier: Carrier,
}

/// What the server said of the end of an output.
enum Finish {
    Reason(FinishReason),
    Failure(String),
}

/// What carries a request, so that it can be given up.
pub enum Carrier {
    /// A task of its own.
    Task(Option<AbortHandle>),
    /// A stream that others share.
    Shared(usize),
}

impl Flight {
    /// Handed over at `handed_over`.
    pub fn new(prompt: Prompt, max_tokens: u32, answer: Answer, handed_over: MonoNs) -> Self {
        Self {
            prompt,
            max_tokens,
            answer,
            handed_over,
            moved: handed_over,
            begun: false,
            by_user: false,
            times: None,
            used: None,
            finish: None,
            carrier: Carrier::Task(None),
        }
    }

    fn give_up_carrier(&self) {
        if let Carrier::Task(Some(task)) = &self.carrier {
            task.abort();
        }
    }
}

/// The open requests of one thread, and the sink they end in.
pub struct InFlight {
    sink: Sink,
    rules: Arc<Rules>,
    flights: HashMap<RequestId, Flight>,
}

impl InFlight {
    /// None yet.
    pub fn new(sink: Sink, rules: Arc<Rules>) -> Self {
        Self { sink, rules, flights: HashMap::new() }
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// A request was handed over.
    pub fn begin(&mut self, id: RequestId, flight: Flight) {
        self.flights.insert(id, flight);
    }

    /// Whether that request is open.
    pub fn is_open(&self, id: RequestId) -> bool {
        self.flights.contains_key(&id)
    }

    /// A request was refused on the spot; whoever handed it over says how it ended.
    pub fn forget(&mut self, id: RequestId) {
        self.flights.remove(&id);
    }

    /// Says what carries a request.
    pub fn carried_by(&mut self, id: RequestId, carrier: Carrier) {
        if let Some(flight) = self.flights.get_mut(&id) {
            flight.carrier = carrier;
        }
    }

    /// The request is about to be written. `false` if it is not open any more.
    pub fn sent(&mut self, id: RequestId, at: MonoNs) -> bool {
        let Some(flight) = self.flights.get_mut(&id) else { return false };
        flight.moved = at;
        self.sink.sent(id, at);
        true
    }

    /// A response came. What comes for a request that has ended is left alone.
    #[inline]
    pub fn response(&mut self, id: RequestId, stamp: ReadStamp, reading: &Reading<'_>) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.moved = stamp.at;
        flight.begun = true;
        flight.by_user |= stamp.source == StampSource::User;
        let added = flight.answer.take(reading, &flight.prompt);
        if added.tokens > 0 {
            self.sink.delivery_seen_late(id, stamp.at, added.tokens, added.hash, stamp.lag_ns);
        }
        flight.times = reading.times.or(flight.times);
        flight.used = reading.used.or(flight.used);
        if let Some(finish) = reading.finish.and_then(finish_of) {
            flight.finish = Some(finish);
        }
        if reading.is_final {
            self.complete(id, stamp.at);
        }
    }

    /// All of the answer has come.
    pub fn complete(&mut self, id: RequestId, at: MonoNs) {
        let Some(flight) = self.flights.remove(&id) else { return };
        let total = flight.answer.total(self.rules.count_tokens.as_ref());
        if total.tokens == 0 && flight.answer.delivered() == 0 {
            let words = "the answer ended properly and held no token";
            self.sink.fail(id, at, Failure::new(FailureKind::Empty, words));
            return;
        }
        self.report(id, at, &flight, total);
        let reason = match flight.finish {
            Some(Finish::Reason(reason)) => reason,
            Some(Finish::Failure(words)) => {
                self.sink.fail(id, at, Failure::new(FailureKind::Engine, words));
                return;
            }
            None if total.tokens >= flight.max_tokens => FinishReason::Length,
            None => FinishReason::Unknown,
        };
        self.sink.end(id, at, Ending::Completed(reason));
    }

    /// What is known beside the deliveries; before the end.
    fn report(&mut self, id: RequestId, at: MonoNs, flight: &Flight, total: Total) {
        if total.corrects || total.source != self.rules.tokens {
            self.sink.token_count(id, total.tokens, total.source);
        }
        if let Some(retokenized) = total.retokenized {
            self.sink.token_mismatch(id, total.tokens, retokenized);
        }
        if flight.by_user && self.rules.stamps == StampSource::Kernel {
            self.sink.stamps_of(id, StampSource::User);
        }
        let times = flight.times.filter(|_| self.rules.same_host);
        if let Some(times) = times.and_then(|ns| plausible_times(ns, flight.handed_over, at)) {
            self.sink.engine_times(id, times);
        }
        if let Some(used) = flight.used {
            self.sink.engine_use(id, used);
        }
    }

    /// The server, or the way there, failed the request.
    pub fn fail(&mut self, id: RequestId, at: MonoNs, failure: Failure) {
        if self.flights.remove(&id).is_some() {
            self.sink.fail(id, at, failure);
        }
    }

    /// An error message in a stream. Without a final marker and before any response, Triton itself refused the
    /// request; else the model failed it.
    pub fn error_message(&mut self, id: RequestId, at: MonoNs, words: &str, is_final: bool) {
        let begun = self.flights.get(&id).is_some_and(|flight| flight.begun);
        let kind =
            if begun || is_final { FailureKind::ErrorInStream } else { FailureKind::Refused };
        self.fail(id, at, Failure::new(kind, words));
    }

    /// The stream that carried the request is over. Complete only if all tokens that were asked for are there.
    pub fn stream_over(&mut self, id: RequestId, at: MonoNs) {
        let Some(flight) = self.flights.get(&id) else { return };
        let tokens = flight.answer.total(self.rules.count_tokens.as_ref()).tokens;
        if tokens >= flight.max_tokens {
            self.complete(id, at);
            return;
        }
        let words = format!(
            "the stream ended without triton_final_response, after {tokens} of {} tokens",
            flight.max_tokens
        );
        self.fail(id, at, Failure::new(FailureKind::Truncated, words));
    }

    /// Ends a request early; returns what carried it, if it was open.
    pub fn cancel(&mut self, id: RequestId, at: MonoNs) -> Option<Carrier> {
        let flight = self.flights.remove(&id)?;
        flight.give_up_carrier();
        self.sink.end(id, at, Ending::Cancelled);
        Some(flight.carrier)
    }

    /// Ends all requests early; returns how many there were.
    pub fn cancel_all(&mut self, at: MonoNs) -> usize {
        let ids: Vec<_> = self.flights.keys().copied().collect();
        for id in &ids {
            self.cancel(*id, at);
        }
        ids.len()
    }

    /// The open requests that a shared stream carries, oldest first.
    pub fn on_stream(&self, stream: usize) -> Vec<RequestId> {
        let mut ids: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, flight)| matches!(flight.carrier, Carrier::Shared(on) if on == stream))
            .map(|(id, flight)| (flight.handed_over, *id))
            .collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// The oldest request on a shared stream that has had no response: errors without an id are about requests that
    /// were refused on arrival.
    pub fn oldest_unanswered(&self, stream: usize) -> Option<RequestId> {
        self.on_stream(stream).into_iter().find(|id| !self.flights[id].begun)
    }

    /// Fails requests for which nothing has come for too long; they are looked at a few times per timeout, so that
    /// nothing is armed per token.
    pub fn fail_idle(&mut self, at: MonoNs) {
        let Timeouts { first_response, idle, .. } = self.rules.timeouts;
        let late: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, flight)| {
                let limit = if flight.begun { idle } else { first_response };
                at - flight.moved > nanos(limit)
            })
            .map(|(id, flight)| (*id, flight.begun))
            .collect();
        for (id, begun) in late {
            if let Some(flight) = self.flights.get(&id) {
                flight.give_up_carrier();
            }
            let failure = if begun {
                let tokens = self.flights[&id].answer.delivered();
                let words = format!("nothing more came for {idle:?}, after {tokens} tokens");
                Failure::new(FailureKind::Idle, words)
            } else {
                let words = format!("no response within {first_response:?}");
                Failure::new(FailureKind::Silent, words)
            };
            self.fail(id, at, failure);
        }
    }
}

fn nanos(span: Duration) -> Nanos {
    Nanos(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

/// Words of the LLM API and vLLM; `None` (as a word) while the output goes on.
fn finish_of(words: &[u8]) -> Option<Finish> {
    Some(match words {
        b"length" => Finish::Reason(FinishReason::Length),
        b"stop" => Finish::Reason(FinishReason::EndToken),
        b"abort" | b"error" | b"cancelled" | b"timeout" => Finish::Failure(format!(
            "the server ended the request with finish_reason `{}`",
            String::from_utf8_lossy(words)
        )),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc::channel;

    use crate::clock::now;
    use crate::record::event::Event;
    use crate::record::gate::Gate;
    use crate::record::sink::Aside;
    use crate::targets::triton::contract::{Contract, OutputAs};

    const ID: RequestId = RequestId(0);
    const THREE: &[u8] = &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];

    /// A book with one open request for three tokens, and what it puts into its sink.
    struct Scene {
        book: InFlight,
        gate: Arc<Gate>,
        ring: rtrb::Consumer<Event>,
        asides: std::sync::mpsc::Receiver<Aside>,
    }

    impl Scene {
        fn new() -> Self {
            let (aside, asides) = channel();
            let gate = Arc::new(Gate::new(2, 2));
            let sink = Sink::new(Arc::clone(&gate), aside, Arc::new(AtomicU64::new(0)));
            let Ok(Aside::Ring(ring)) = asides.recv() else {
                panic!("the ring is announced first")
            };
            let rules = Rules {
                timeouts: Timeouts::default(),
                count_tokens: None,
                same_host: true,
                stamps: StampSource::Kernel,
                tokens: TokenSource::Ids,
            };
            let mut book = InFlight::new(sink, Arc::new(rules));
            gate.open(ID);
            let prompt = Prompt { ids: [9].into(), text: None };
            book.begin(ID, Flight::new(prompt, 3, Answer::new(&contract(), false), now()));
            Self { book, gate, ring, asides }
        }

        fn respond(&mut self, reading: &Reading<'_>) {
            let stamp = ReadStamp { at: now(), lag_ns: 7, source: StampSource::Kernel };
            self.book.response(ID, stamp, reading);
        }

        /// The only end, and the words beside it.
        fn end(mut self) -> (Ending, String) {
            let mut ends = Vec::new();
            while let Ok(event) = self.ring.pop() {
                if let Event::End { ending, .. } = event {
                    ends.push(ending);
                }
            }
            assert_eq!((ends.len(), self.gate.stray_ends()), (1, 0), "{ends:?}");
            assert!(self.book.is_empty());
            let words = self.asides.try_iter().find_map(|aside| match aside {
                Aside::Words(_, words) => Some(words),
                _ => None,
            });
            (ends[0], words.unwrap_or_default())
        }
    }

    fn contract() -> Contract {
        Contract {
            model: "m".into(),
            inputs: Vec::new(),
            output: OutputAs::Ids,
            requested: Vec::new(),
            decoupled: true,
            accumulates: None,
        }
    }

    fn ids(ids: &[u8], is_final: bool) -> Reading<'_> {
        Reading { ids: Some(ids), is_final, ..Reading::default() }
    }

    #[test]
    fn an_error_before_any_response_and_without_a_final_marker_is_a_refusal() {
        let mut scene = Scene::new();
        scene.book.error_message(ID, now(), "unexpected input", false);
        let refused = (Ending::Failed(FailureKind::Refused), "unexpected input".to_owned());
        assert_eq!(scene.end(), refused);
    }

    #[test]
    fn an_error_of_the_model_is_an_error_in_the_stream() {
        for (begun, is_final) in [(true, false), (false, true), (true, true)] {
            let mut scene = Scene::new();
            if begun {
                scene.respond(&ids(&THREE[..4], false));
            }
            scene.book.error_message(ID, now(), "out of blocks", is_final);
            assert_eq!(scene.end().0, Ending::Failed(FailureKind::ErrorInStream));
        }
    }

    #[test]
    fn what_comes_after_the_end_is_left_alone() {
        let mut scene = Scene::new();
        scene.respond(&ids(THREE, true));
        scene.respond(&ids(THREE, true));
        scene.book.error_message(ID, now(), "late", true);
        scene.book.stream_over(ID, now());
        assert!(scene.book.cancel(ID, now()).is_none());
        assert_eq!(scene.end().0, Ending::Completed(FinishReason::Length));
    }

    #[test]
    fn a_stream_that_ends_without_a_marker_is_complete_only_with_all_tokens() {
        let mut short = Scene::new();
        short.respond(&ids(&THREE[..8], false));
        short.book.stream_over(ID, now());
        let (ending, words) = short.end();
        assert_eq!(ending, Ending::Failed(FailureKind::Truncated));
        assert!(words.contains("after 2 of 3 tokens"), "{words}");
        let mut whole = Scene::new();
        whole.respond(&ids(THREE, false));
        whole.book.stream_over(ID, now());
        assert_eq!(whole.end().0, Ending::Completed(FinishReason::Length));
    }

    #[test]
    fn an_answer_without_a_token_is_empty() {
        let mut scene = Scene::new();
        scene.respond(&Reading { is_final: true, ..Reading::default() });
        assert_eq!(scene.end().0, Ending::Failed(FailureKind::Empty));
    }

    #[test]
    fn a_finish_reason_that_means_failure_is_one() {
        let mut scene = Scene::new();
        scene.respond(&Reading { finish: Some(b"abort"), ..ids(THREE, true) });
        let (ending, words) = scene.end();
        assert_eq!(ending, Ending::Failed(FailureKind::Engine));
        assert!(words.contains("`abort`"), "{words}");
    }

    #[test]
    fn silence_is_told_from_stalling() {
        let later = || now() + Nanos::from_secs_f64(1_000.0);
        let mut silent = Scene::new();
        silent.book.fail_idle(now());
        assert!(!silent.book.is_empty(), "not yet");
        silent.book.fail_idle(later());
        assert_eq!(silent.end().0, Ending::Failed(FailureKind::Silent));
        let mut stalled = Scene::new();
        stalled.respond(&ids(&THREE[..4], false));
        stalled.book.fail_idle(later());
        assert_eq!(stalled.end().0, Ending::Failed(FailureKind::Idle));
    }

    #[test]
    fn a_stamp_of_our_own_among_the_kernels_is_said() {
        let mut scene = Scene::new();
        let own = ReadStamp { at: now(), lag_ns: 0, source: StampSource::User };
        scene.book.response(ID, own, &ids(THREE, true));
        let says = |aside| matches!(aside, Aside::StampsOf(ID, StampSource::User));
        assert!(scene.asides.try_iter().any(says));
    }
}
