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
use crate::targets::triton::options::{CountTokens, Timeouts};
use crate::targets::triton::output_counter::{OutputCounter, Total};
use crate::targets::triton::response::{Reading, plausible_times};

/// Settings that all requests of a session share.
#[derive(Clone)]
pub struct Rules {
    /// Time limits.
    pub timeouts: Timeouts,
    /// Counts tokens of text.
    pub count_tokens: Option<CountTokens>,
    /// Server and harness run on one host, so the engine's stamps are on our clock.
    pub same_host: bool,
    /// Default source of stamps; a request may report another.
    pub stamps: StampSource,
    /// Default source of token counts; a request may report another.
    pub tokens: TokenSource,
}

/// A request that has not ended.
pub struct InFlightRequest {
    prompt: Prompt,
    max_tokens: u32,
    output: OutputCounter,
    handed_over: MonoNs,
    /// When something was last sent or received.
    last_activity: MonoNs,
    begun: bool,
    by_user: bool,
    times: Option<[i64; 4]>,
    used: Option<EngineUse>,
    finish: Option<Finish>,
    carrier: Carrier,
}

/// The finish reason of the server.
enum Finish {
    Reason(FinishReason),
    Failure(String),
}

/// Task or stream that carries a request; needed to cancel it.
pub enum Carrier {
    /// A task of its own.
    Task(Option<AbortHandle>),
    /// A stream that others share.
    Shared(usize),
}

impl InFlightRequest {
    /// A request that was submitted at `handed_over`.
    pub fn new(
        prompt: Prompt,
        max_tokens: u32,
        output: OutputCounter,
        handed_over: MonoNs,
    ) -> Self {
        Self {
            prompt,
            max_tokens,
            output,
            handed_over,
            last_activity: handed_over,
            begun: false,
            by_user: false,
            times: None,
            used: None,
            finish: None,
            carrier: Carrier::Task(None),
        }
    }

    fn abort_task(&self) {
        if let Carrier::Task(Some(task)) = &self.carrier {
            task.abort();
        }
    }
}

/// The open requests of one thread, and the sink they end in.
pub struct InFlightTable {
    sink: Sink,
    rules: Arc<Rules>,
    requests: HashMap<RequestId, InFlightRequest>,
}

impl InFlightTable {
    /// An empty table.
    pub fn new(sink: Sink, rules: Arc<Rules>) -> Self {
        Self { sink, rules, requests: HashMap::new() }
    }

    /// Whether no request is open.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Adds a submitted request.
    pub fn insert(&mut self, id: RequestId, request: InFlightRequest) {
        self.requests.insert(id, request);
    }

    /// Whether the request is open.
    pub fn is_open(&self, id: RequestId) -> bool {
        self.requests.contains_key(&id)
    }

    /// Removes a request that was refused at once, without an event: `submit` returns the failure.
    pub fn remove(&mut self, id: RequestId) {
        self.requests.remove(&id);
    }

    /// Notes which task or stream carries a request.
    pub fn carried_by(&mut self, id: RequestId, carrier: Carrier) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.carrier = carrier;
        }
    }

    /// The request is about to be written. `false` if it is not open any more.
    pub fn sent(&mut self, id: RequestId, at: MonoNs) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return false };
        request.last_activity = at;
        self.sink.sent(id, at);
        true
    }

    /// A response came. Responses for a request that has ended are ignored.
    #[inline]
    pub fn response(&mut self, id: RequestId, stamp: ReadStamp, reading: &Reading<'_>) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.last_activity = stamp.at;
        request.begun = true;
        request.by_user |= stamp.source == StampSource::User;
        let added = request.output.take(reading, &request.prompt);
        if added.tokens > 0 {
            self.sink.delivery_seen_late(id, stamp.at, added.tokens, added.hash, stamp.lag_ns);
        }
        request.times = reading.times.or(request.times);
        request.used = reading.used.or(request.used);
        if let Some(finish) = reading.finish.and_then(finish_of) {
            request.finish = Some(finish);
        }
        if reading.is_final {
            self.complete(id, stamp.at);
        }
    }

    /// The response is complete.
    pub fn complete(&mut self, id: RequestId, at: MonoNs) {
        let Some(request) = self.requests.remove(&id) else { return };
        let total = request.output.total(self.rules.count_tokens.as_ref());
        if total.tokens == 0 && request.output.delivered() == 0 {
            let message = "the answer ended properly and held no token";
            self.sink.fail(id, at, Failure::new(FailureKind::Empty, message));
            return;
        }
        self.report(id, at, &request, total);
        let reason = match request.finish {
            Some(Finish::Reason(reason)) => reason,
            Some(Finish::Failure(message)) => {
                self.sink.fail(id, at, Failure::new(FailureKind::Engine, message));
                return;
            }
            None if total.tokens >= request.max_tokens => FinishReason::Length,
            None => FinishReason::Unknown,
        };
        self.sink.end(id, at, Ending::Completed(reason));
    }

    /// Sends counts and engine times, before the end of the request.
    fn report(&mut self, id: RequestId, at: MonoNs, request: &InFlightRequest, total: Total) {
        if total.corrects || total.source != self.rules.tokens {
            self.sink.token_count(id, total.tokens, total.source);
        }
        if let Some(retokenized) = total.retokenized {
            self.sink.token_mismatch(id, total.tokens, retokenized);
        }
        if request.by_user && self.rules.stamps == StampSource::Kernel {
            self.sink.stamps_of(id, StampSource::User);
        }
        let times = request.times.filter(|_| self.rules.same_host);
        if let Some(times) = times.and_then(|ns| plausible_times(ns, request.handed_over, at)) {
            self.sink.engine_times(id, times);
        }
        if let Some(used) = request.used {
            self.sink.engine_use(id, used);
        }
    }

    /// Ends a request with a failure.
    pub fn fail(&mut self, id: RequestId, at: MonoNs, failure: Failure) {
        if self.requests.remove(&id).is_some() {
            self.sink.fail(id, at, failure);
        }
    }

    /// An error message in a stream. Without a final marker and before any response, Triton itself refused the
    /// request; otherwise the model failed it.
    pub fn error_message(&mut self, id: RequestId, at: MonoNs, message: &str, is_final: bool) {
        let begun = self.requests.get(&id).is_some_and(|request| request.begun);
        let kind =
            if begun || is_final { FailureKind::ErrorInStream } else { FailureKind::Refused };
        self.fail(id, at, Failure::new(kind, message));
    }

    /// The stream of the request has ended. The request is complete only if it has all requested tokens.
    pub fn stream_over(&mut self, id: RequestId, at: MonoNs) {
        let Some(request) = self.requests.get(&id) else { return };
        let tokens = request.output.total(self.rules.count_tokens.as_ref()).tokens;
        if tokens >= request.max_tokens {
            self.complete(id, at);
            return;
        }
        let message = format!(
            "the stream ended without triton_final_response, after {tokens} of {} tokens",
            request.max_tokens
        );
        self.fail(id, at, Failure::new(FailureKind::Truncated, message));
    }

    /// Cancels a request; returns its carrier if it was open.
    pub fn cancel(&mut self, id: RequestId, at: MonoNs) -> Option<Carrier> {
        let request = self.requests.remove(&id)?;
        request.abort_task();
        self.sink.end(id, at, Ending::Cancelled);
        Some(request.carrier)
    }

    /// Cancels all requests; returns how many there were.
    pub fn cancel_all(&mut self, at: MonoNs) -> usize {
        let ids: Vec<_> = self.requests.keys().copied().collect();
        for id in &ids {
            self.cancel(*id, at);
        }
        ids.len()
    }

    /// The open requests that a shared stream carries, oldest first.
    pub fn on_stream(&self, stream: usize) -> Vec<RequestId> {
        let mut ids: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, request)| matches!(request.carrier, Carrier::Shared(on) if on == stream))
            .map(|(id, request)| (request.handed_over, *id))
            .collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// The oldest request on a shared stream that has had no response: errors without an id are about requests that
    /// were refused on arrival.
    pub fn oldest_unanswered(&self, stream: usize) -> Option<RequestId> {
        self.on_stream(stream).into_iter().find(|id| !self.requests[id].begun)
    }

    /// Fails requests that have exceeded a time limit. Called a few times per limit, so that no timer is set per token.
    pub fn fail_idle(&mut self, at: MonoNs) {
        let Timeouts { first_response, idle, .. } = self.rules.timeouts;
        let late: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, request)| {
                let limit = if request.begun { idle } else { first_response };
                at - request.last_activity > nanos(limit)
            })
            .map(|(id, request)| (*id, request.begun))
            .collect();
        for (id, begun) in late {
            if let Some(request) = self.requests.get(&id) {
                request.abort_task();
            }
            let failure = if begun {
                let tokens = self.requests[&id].output.delivered();
                let message = format!("nothing more came for {idle:?}, after {tokens} tokens");
                Failure::new(FailureKind::Idle, message)
            } else {
                let message = format!("no response within {first_response:?}");
                Failure::new(FailureKind::Silent, message)
            };
            self.fail(id, at, failure);
        }
    }
}

fn nanos(span: Duration) -> Nanos {
    Nanos(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

/// Parses the finish reasons of the LLM API and vLLM; they send the text `None` while the output goes on.
fn finish_of(reason: &[u8]) -> Option<Finish> {
    Some(match reason {
        b"length" => Finish::Reason(FinishReason::Length),
        b"stop" => Finish::Reason(FinishReason::EndToken),
        b"abort" | b"error" | b"cancelled" | b"timeout" => Finish::Failure(format!(
            "the server ended the request with finish_reason `{}`",
            String::from_utf8_lossy(reason)
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
    use crate::targets::triton::model_io::{ModelIo, OutputAs};

    const ID: RequestId = RequestId(0);
    const THREE: &[u8] = &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];

    /// A table with one open request for three tokens, and the receivers of its sink.
    struct Scene {
        table: InFlightTable,
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
            let mut table = InFlightTable::new(sink, Arc::new(rules));
            gate.open(ID);
            let prompt = Prompt { ids: [9].into(), text: None };
            table.insert(
                ID,
                InFlightRequest::new(prompt, 3, OutputCounter::new(&model_io(), false), now()),
            );
            Self { table, gate, ring, asides }
        }

        fn respond(&mut self, reading: &Reading<'_>) {
            let stamp = ReadStamp { at: now(), lag_ns: 7, source: StampSource::Kernel };
            self.table.response(ID, stamp, reading);
        }

        /// The only ending, and its failure message.
        fn end(mut self) -> (Ending, String) {
            let mut ends = Vec::new();
            while let Ok(event) = self.ring.pop() {
                if let Event::End { ending, .. } = event {
                    ends.push(ending);
                }
            }
            assert_eq!((ends.len(), self.gate.stray_ends()), (1, 0), "{ends:?}");
            assert!(self.table.is_empty());
            let message = self.asides.try_iter().find_map(|aside| match aside {
                Aside::Words(_, message) => Some(message),
                _ => None,
            });
            (ends[0], message.unwrap_or_default())
        }
    }

    fn model_io() -> ModelIo {
        ModelIo {
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
        scene.table.error_message(ID, now(), "unexpected input", false);
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
            scene.table.error_message(ID, now(), "out of blocks", is_final);
            assert_eq!(scene.end().0, Ending::Failed(FailureKind::ErrorInStream));
        }
    }

    #[test]
    fn responses_after_the_end_are_ignored() {
        let mut scene = Scene::new();
        scene.respond(&ids(THREE, true));
        scene.respond(&ids(THREE, true));
        scene.table.error_message(ID, now(), "late", true);
        scene.table.stream_over(ID, now());
        assert!(scene.table.cancel(ID, now()).is_none());
        assert_eq!(scene.end().0, Ending::Completed(FinishReason::Length));
    }

    #[test]
    fn a_stream_that_ends_without_a_marker_is_complete_only_with_all_tokens() {
        let mut short = Scene::new();
        short.respond(&ids(&THREE[..8], false));
        short.table.stream_over(ID, now());
        let (ending, message) = short.end();
        assert_eq!(ending, Ending::Failed(FailureKind::Truncated));
        assert!(message.contains("after 2 of 3 tokens"), "{message}");
        let mut whole = Scene::new();
        whole.respond(&ids(THREE, false));
        whole.table.stream_over(ID, now());
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
        let (ending, message) = scene.end();
        assert_eq!(ending, Ending::Failed(FailureKind::Engine));
        assert!(message.contains("`abort`"), "{message}");
    }

    #[test]
    fn silence_and_stalling_are_distinguished() {
        let later = || now() + Nanos::from_secs_f64(1_000.0);
        let mut silent = Scene::new();
        silent.table.fail_idle(now());
        assert!(!silent.table.is_empty(), "not yet");
        silent.table.fail_idle(later());
        assert_eq!(silent.end().0, Ending::Failed(FailureKind::Silent));
        let mut stalled = Scene::new();
        stalled.respond(&ids(&THREE[..4], false));
        stalled.table.fail_idle(later());
        assert_eq!(stalled.end().0, Ending::Failed(FailureKind::Idle));
    }

    #[test]
    fn a_stamp_that_is_not_the_kernels_is_reported() {
        let mut scene = Scene::new();
        let own = ReadStamp { at: now(), lag_ns: 0, source: StampSource::User };
        scene.table.response(ID, own, &ids(THREE, true));
        let user_stamp = |aside| matches!(aside, Aside::StampsOf(ID, StampSource::User));
        assert!(scene.asides.try_iter().any(user_stamp));
    }
}
