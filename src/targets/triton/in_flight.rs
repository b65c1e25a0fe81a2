//! HOT PATH. In-flight table of one thread. Each request leaves it exactly once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{MonoNs, Nanos};
use crate::network::stamp::ReadStamp;
use crate::record::event::Ending;
use crate::record::oddity::Oddity;
use crate::record::request_record::{ConnectionUse, FinishReason, StampSource, TokenSource};
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};
use crate::targets::triton::in_flight_request::{Carrier, Finish, InFlightRequest, finish_of};
use crate::targets::triton::options::{CountTokens, Timeouts};
use crate::targets::triton::output_counter::Total;
use crate::targets::triton::response::{Reading, plausible_times};

/// Settings that all requests of a session share.
#[derive(Clone)]
pub struct SessionSettings {
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

/// The open requests of one thread, and the sink they end in.
pub struct InFlightTable {
    sink: Sink,
    settings: Arc<SessionSettings>,
    requests: HashMap<RequestId, InFlightRequest>,
}

impl InFlightTable {
    /// An empty table.
    pub fn new(sink: Sink, settings: Arc<SessionSettings>) -> Self {
        Self { sink, settings, requests: HashMap::new() }
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

    /// What its connection cost.
    pub fn connection_of(&mut self, id: RequestId, cost: ConnectionUse) {
        if self.is_open(id) {
            self.sink.connection_of(id, cost);
        }
    }

    /// The answer of a request is one document, and no stream of events.
    pub fn comes_whole(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.comes_whole();
        }
    }

    /// A response came. Responses for a request that has ended are ignored.
    #[inline]
    pub fn response(&mut self, id: RequestId, stamp: ReadStamp, reading: &Reading<'_>) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.last_activity = stamp.at;
        request.begun = true;
        request.by_user |= stamp.source == StampSource::User;
        let added =
            request.output.take(reading, &request.prompt, self.settings.count_tokens.as_ref());
        if added.tokens > 0 {
            request.deliveries += 1;
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
        let total = request.output.total(self.settings.count_tokens.as_ref());
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
        // A text in one piece is no token.
        let is_uncounted = total.source == TokenSource::Chunks && request.came_in_one_piece();
        if is_uncounted {
            self.sink.token_count(id, 0, total.source);
            self.sink.odd(id, Oddity::Uncounted);
        } else if total.corrects || total.source != self.settings.tokens {
            self.sink.token_count(id, total.tokens, total.source);
        }
        if let Some(retokenized) = total.retokenized {
            self.sink.token_mismatch(id, total.tokens, retokenized);
        }
        if total.has_no_token {
            self.sink.odd(id, Oddity::NoTokensInText);
        }
        if let Some(odd) = request.odd_streaming() {
            self.sink.odd(id, odd);
        }
        if request.by_user && self.settings.stamps == StampSource::Kernel {
            self.sink.stamps_of(id, StampSource::User);
        }
        let times = request.times.filter(|_| self.settings.same_host);
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
        let tokens = request.output.total(self.settings.count_tokens.as_ref()).tokens;
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
        let Timeouts { first_response, idle, .. } = self.settings.timeouts;
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
                let message = format!(
                    "nothing more came for {idle:?}, which `--idle-timeout` sets, after {tokens} tokens"
                );
                Failure::new(FailureKind::Idle, message)
            } else {
                let message = format!(
                    "no response within {first_response:?}, which `--first-token-timeout` sets"
                );
                Failure::new(FailureKind::Silent, message)
            };
            self.fail(id, at, failure);
        }
    }
}

fn nanos(span: Duration) -> Nanos {
    Nanos(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "in_flight_tests.rs"]
mod tests;
