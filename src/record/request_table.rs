//! HOT PATH. Table of the requests of one phase: events add up to records. Indexed by request, never searched.
//!
//! Only requests under way are held whole. A request that has ended leaves with the next batch, to the log where there is
//! one, so that memory does not grow with requests or deliveries.

use std::io;

use crate::clock::{MonoNs, Nanos};
use crate::record::event::{Ending, Event, TokenHash};
use crate::record::live::{LiveLatency, Snapshot};
use crate::record::log::{Batch, RecordLog};
use crate::record::oddity::{Asked, Oddities};
use crate::record::recorder::PhaseRecords;
use crate::record::request_record::{
    Arrival, NotSentReason, Outcome, Part, Records, RequestRecord, STAMP_RESOLUTION, StampSource,
    TokenSource,
};
use crate::record::side_facts::SideFacts;
use crate::request::{Failure, FailureKind, RequestId};
use crate::workload::seeds::Phase;

/// What the recorder must know of a request before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedRequest {
    /// Which request; those of a phase have consecutive ids.
    pub id: RequestId,
    /// What it is sent for; those of ramp and tail come last, and none of them needs to be sent.
    pub phase: Phase,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Output tokens asked for.
    pub requested_tokens: u32,
    /// Which part of a mixture it is of, from 0.
    pub workload: Option<u8>,
}

/// Who takes stamps and counts tokens where a request says nothing of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) stamps: StampSource,
    pub(crate) tokens: TokenSource,
}

impl Default for Sources {
    fn default() -> Self {
        Self { stamps: StampSource::Engine, tokens: TokenSource::Ids }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Submitted,
    OverTime,
    Ended,
}

/// Prompt and output length of a planned request.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    prompt: u32,
    requested: u32,
}

/// A request under way.
#[derive(Debug, Clone)]
struct UnderWay {
    record: RequestRecord,
    /// Its latest delivery, until one comes that is not of the same instant.
    held: Option<Arrival>,
    asked: Asked,
}

/// No place among the requests under way.
const NOWHERE: u32 = u32::MAX;

/// The requests of one phase while it runs.
pub(crate) struct RequestTable {
    first: u32,
    /// Requests that are not of ramp or tail.
    measured: usize,
    lengths: Vec<Lengths>,
    /// The part of a mixture that each request is of; empty where there is no mixture.
    workloads: Vec<Option<u8>>,
    states: Vec<State>,
    /// Place of each request among those under way.
    places: Vec<u32>,
    under_way: Vec<UnderWay>,
    free_places: Vec<u32>,
    /// Ended requests and deliveries since the last batch.
    batch: Batch,
    log: Option<Box<dyn RecordLog>>,
    log_error: Option<io::Error>,
    /// What no log has taken: everything without a log, and everything since the log failed.
    unlogged: Batch,
    told: SideFacts,
    late_events: u64,
    last_end: Option<MonoNs>,
    submissions: Option<(MonoNs, MonoNs)>,
    sources: Sources,
    live: Snapshot,
    ttft: LiveLatency,
    latency: LiveLatency,
    itl: LiveLatency,
    lag: LiveLatency,
}

impl RequestTable {
    pub(crate) fn open(
        planned: &[PlannedRequest],
        sources: Sources,
        log: Option<Box<dyn RecordLog>>,
    ) -> Self {
        let lengths = planned.iter().map(|request| Lengths {
            prompt: request.prompt_tokens,
            requested: request.requested_tokens,
        });
        let is_mixed = planned.iter().any(|request| request.workload.is_some());
        let workloads = planned.iter().filter(|_| is_mixed).map(|request| request.workload);
        Self {
            first: planned.first().map_or(0, |request| request.id.0),
            measured: planned.iter().take_while(|it| it.phase != Phase::Fill).count(),
            lengths: lengths.collect(),
            workloads: workloads.collect(),
            states: vec![State::Waiting; planned.len()],
            places: vec![NOWHERE; planned.len()],
            under_way: Vec::new(),
            free_places: Vec::new(),
            batch: Batch::default(),
            log,
            log_error: None,
            unlogged: Batch::default(),
            told: SideFacts::default(),
            late_events: 0,
            last_end: None,
            submissions: None,
            sources,
            live: Snapshot { part: Part::Ramp, ..Snapshot::default() },
            ttft: LiveLatency::new(),
            latency: LiveLatency::new(),
            itl: LiveLatency::new(),
            lag: LiveLatency::new(),
        }
    }

    /// Where facts go that come beside the ring.
    pub(crate) fn told(&mut self) -> &mut SideFacts {
        &mut self.told
    }

    pub(crate) fn set_sources(&mut self, sources: Sources) {
        self.sources = sources;
    }

    #[inline]
    fn index(&mut self, id: RequestId) -> Option<usize> {
        let i = id.0.wrapping_sub(self.first) as usize;
        if i < self.states.len() {
            return Some(i);
        }
        self.late_events += 1;
        None
    }

    /// The record of a request that has not ended; it has a place from its first event on.
    #[inline]
    fn record(&mut self, i: usize) -> Option<&mut RequestRecord> {
        self.request(i).map(|request| &mut request.record)
    }

    #[inline]
    fn request(&mut self, i: usize) -> Option<&mut UnderWay> {
        if self.states[i] == State::Ended {
            return None;
        }
        if self.places[i] == NOWHERE {
            self.give_place(i);
        }
        Some(&mut self.under_way[self.places[i] as usize])
    }

    fn give_place(&mut self, i: usize) {
        let request = UnderWay { record: self.planned(i), held: None, asked: Asked::default() };
        if let Some(place) = self.free_places.pop() {
            self.under_way[place as usize] = request;
            self.places[i] = place;
        } else {
            self.places[i] = self.under_way.len() as u32;
            self.under_way.push(request);
        }
    }

    fn planned(&self, i: usize) -> RequestRecord {
        let Lengths { prompt, requested } = self.lengths[i];
        RequestRecord {
            stamp_source: self.sources.stamps,
            token_source: self.sources.tokens,
            workload: self.workloads.get(i).copied().flatten(),
            ..RequestRecord::planned(RequestId(self.first + i as u32), prompt, requested)
        }
    }

    #[inline]
    pub(crate) fn note(&mut self, event: &Event) {
        match *event {
            Event::Delivery { id, at, tokens, hash, pull_lag } => {
                if let Some(i) = self.index(id) {
                    self.delivery(i, Arrival { at, tokens }, hash, pull_lag);
                }
            }
            // Ids go to servers; a recorder's sinks send counts and hashes.
            Event::Ids { .. } => {}
            Event::Submitted { id, intended, ready, at, asked } => {
                if let Some(i) = self.index(id) {
                    self.submitted(i, intended, ready, at, asked);
                }
            }
            Event::Sent { id, at } => {
                self.change(id, |record| record.submit = Some(at));
            }
            Event::End { id, at, ending } => {
                if let Some(i) = self.index(id) {
                    self.end(i, at, ending);
                }
            }
            Event::NotSent { id, intended, reason } => {
                if let Some(i) = self.index(id)
                    && let Some(record) = self.record(i)
                {
                    record.intended = intended;
                    self.finish(i, Outcome::NotSent(reason));
                }
            }
            Event::TimedOut { id, .. } => {
                if let Some(i) = self.index(id)
                    && self.states[i] != State::Ended
                {
                    self.states[i] = State::OverTime;
                }
            }
            Event::CancelAsked { id, at } => {
                self.change(id, |record| record.cancel_asked = Some(at));
            }
            Event::Times(id, times) => {
                self.change(id, |record| record.engine_times = Some(times.unpack()));
            }
            Event::Use(id, counts) => {
                self.change(id, |record| record.engine_use = Some(counts));
            }
        }
    }

    #[inline]
    fn change(&mut self, id: RequestId, change: impl FnOnce(&mut RequestRecord)) {
        if let Some(i) = self.index(id)
            && let Some(record) = self.record(i)
        {
            change(record);
        }
    }

    fn submitted(&mut self, i: usize, intended: MonoNs, ready: MonoNs, at: MonoNs, asked: Asked) {
        let sources = self.sources;
        let part = self.part(i);
        let Some(request) = self.request(i) else { return };
        request.asked = asked;
        let record = &mut request.record;
        record.part = part;
        record.intended = Some(intended);
        record.ready = Some(ready);
        record.submit = Some(at);
        record.stamp_source = sources.stamps;
        record.token_source = sources.tokens;
        if self.states[i] == State::Waiting {
            self.states[i] = State::Submitted;
        }
        if (self.live.part, part) == (Part::Ramp, Part::Measured) {
            self.live.since = None;
        }
        self.live.part = part;
        self.live.submitted += 1;
        self.live.since.get_or_insert(at);
    }

    /// A request that does not count is one of the ramp until the first one that counts has been submitted.
    #[inline]
    fn part(&self, i: usize) -> Part {
        match self.live.part {
            _ if i < self.measured => Part::Measured,
            Part::Ramp => Part::Ramp,
            Part::Measured | Part::Tail => Part::Tail,
        }
    }

    /// Adds a delivery. What arrives at one instant is one delivery, however many events the target made of it.
    #[inline]
    fn delivery(&mut self, i: usize, arrival: Arrival, hash: TokenHash, pull_lag: u32) {
        let Some(UnderWay { record, held, .. }) = self.request(i) else {
            self.late_events += 1;
            return;
        };
        let tokens = arrival.tokens;
        let (at, before) = match held {
            Some(held) if is_one_instant(held.at, arrival.at) => {
                held.tokens += tokens;
                (held.at, None)
            }
            _ => (arrival.at, held.replace(arrival)),
        };
        let mut ttft = None;
        let mut gap = None;
        if tokens > 0 {
            match record.last_token {
                None => {
                    record.first_token = Some(at);
                    ttft = record.submit.map(|submit| at - submit);
                }
                Some(last) if last == at => {}
                Some(last) => gap = Some(Nanos((at - last).0 / i64::from(tokens))),
            }
            if record.first_token == Some(at) {
                record.first_tokens += tokens;
            }
            record.last_token = Some(at);
            record.output_tokens += tokens;
            record.token_hash = record.token_hash.then(hash, tokens);
        }
        record.max_pull_lag_ns = record.max_pull_lag_ns.max(pull_lag);
        self.live.output_tokens += u64::from(tokens);
        if let Some(ttft) = ttft {
            self.ttft.record(ttft, 1);
        }
        if let Some(gap) = gap {
            self.itl.record(gap, tokens);
        }
        self.batch.deliveries.extend(before.map(|arrival| (i as u32, arrival)));
    }

    fn end(&mut self, i: usize, at: MonoNs, ending: Ending) {
        let over_time = self.states[i] == State::OverTime;
        let Some(record) = self.record(i) else {
            self.late_events += 1;
            return;
        };
        let (id, counts) = (record.id, record.part == Part::Measured);
        record.end = Some(at);
        if counts {
            self.last_end = self.last_end.max(Some(at));
        }
        let outcome = match ending {
            _ if over_time => Outcome::TimedOut,
            Ending::Completed(reason) => Outcome::Completed(reason),
            Ending::Cancelled => Outcome::Cancelled,
            Ending::TimedOut => Outcome::TimedOut,
            Ending::Failed(kind) => {
                let message = self.told.take_failure_message(id);
                Outcome::Failed(Failure { kind, message })
            }
        };
        self.finish(i, outcome);
    }

    /// Takes a request out of those under way, with its outcome and the counts that apply at its end.
    fn finish(&mut self, i: usize, outcome: Outcome) {
        if self.states[i] == State::Ended {
            return;
        }
        self.live.ended += u64::from(!matches!(outcome, Outcome::NotSent(_)));
        self.live.failed += u64::from(matches!(outcome, Outcome::Failed(_) | Outcome::TimedOut));
        let (mut record, asked) = match self.places[i] {
            NOWHERE => (self.planned(i), Asked::default()),
            place => {
                self.free_places.push(place);
                let UnderWay { record, held, asked } = self.under_way[place as usize].clone();
                self.batch.deliveries.extend(held.map(|arrival| (i as u32, arrival)));
                (record, asked)
            }
        };
        self.places[i] = NOWHERE;
        self.states[i] = State::Ended;
        record.outcome = outcome;
        let odd = self.told.complete(&mut record);
        if record.part == Part::Measured {
            self.live.measured_ended += u64::from(record.submit.is_some());
            if let Some(at) = record.submit {
                let (first, last) = self.submissions.unwrap_or((at, at));
                self.submissions = Some((first.min(at), last.max(at)));
            }
        }
        if let Some((ready, submit)) = record.ready.zip(record.submit) {
            self.lag.record(submit - ready, 1);
        }
        if record.outcome.is_completed() {
            record.oddities = Oddities::of(&record, asked, odd);
            if let Some((submit, end)) = record.submit.zip(record.end) {
                self.latency.record(end - submit, 1);
            }
        }
        self.batch.ended.push(record);
    }

    /// Hands ended requests and deliveries to the log, so that they are on disk; called after each look at the rings.
    ///
    /// A log that fails once is not asked again: the disk is full or gone. From then on everything stays in memory.
    pub(crate) fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if let Some(log) = self.log.as_mut() {
            match log.write(self.first, &self.batch) {
                Ok(()) => {
                    self.batch.clear();
                    return;
                }
                Err(error) => {
                    log.report(&error);
                    self.log_error = Some(error);
                    self.log = None;
                }
            }
        }
        self.unlogged.append(&mut self.batch);
    }

    pub(crate) fn snapshot(&self, at: MonoNs) -> Snapshot {
        Snapshot {
            at: Some(at),
            ttft_p50: self.ttft.quantile(0.5),
            ttft_p99: self.ttft.quantile(0.99),
            latency_p50: self.latency.quantile(0.5),
            latency_p99: self.latency.quantile(0.99),
            itl_p50: self.itl.quantile(0.5),
            itl_p99: self.itl.quantile(0.99),
            lag_p99: self.lag.quantile(0.99),
            lag_most: self.lag.most(),
            ..self.live.clone()
        }
    }

    /// Gives every request that has not ended an outcome, and returns what is in memory.
    pub(crate) fn close(mut self, recorder_cpu: Nanos) -> PhaseRecords {
        for i in 0..self.states.len() {
            let outcome = match self.states[i] {
                State::Ended => continue,
                // Ramp and tail took less of their supply.
                State::Waiting if i >= self.measured => continue,
                State::Waiting => Outcome::NotSent(NotSentReason::NotReached),
                State::OverTime => Outcome::TimedOut,
                State::Submitted => Outcome::Failed(Failure::new(
                    FailureKind::Unanswered,
                    "the target never said how this request ended",
                )),
            };
            self.finish(i, outcome);
            if self.batch.ended.len() >= Batch::ENOUGH {
                self.flush();
            }
        }
        self.flush();
        PhaseRecords {
            planned: self.states.len(),
            records: Records::of_batch(self.first, self.unlogged),
            late_events: self.late_events,
            last_end: self.last_end,
            submissions: self.submissions,
            log_error: self.log_error,
            recorder_cpu,
        }
    }
}

/// Whether two stamps, the earlier one first, cannot be told apart.
#[inline]
fn is_one_instant(first: MonoNs, next: MonoNs) -> bool {
    (0..STAMP_RESOLUTION.0).contains(&(next - first).0)
}

#[cfg(test)]
#[path = "request_table_tests.rs"]
mod tests;
