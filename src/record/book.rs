//! HOT PATH. How do events add up to the record of a request? One entry per planned shot, indexed, never searched.

use std::collections::HashMap;
use std::io;

use crate::clock::{MonoNs, Nanos};
use crate::record::event::{Ending, Event, TokenHash};
use crate::record::live::{LiveLatency, Snapshot};
use crate::record::recorder::{Journal, Sealed};
use crate::record::request_record::{
    Arrival, NotSentReason, OtherCounts, Outcome, Records, RequestRecord, StampSource, TokenSource,
};
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};

/// What the recorder is told of a shot beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Which shot; the shots of a phase have consecutive ids.
    pub id: RequestId,
    /// Prompt length in tokens.
    pub prompt_tokens: u32,
    /// Output tokens asked for.
    pub requested_tokens: u32,
}

/// Arrivals are kept in chunks, so that growing never copies what is there.
const CHUNK: usize = 1 << 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Submitted,
    OverTime,
    Ended,
}

/// The records of one phase while they are being written.
pub(crate) struct Book {
    first: u32,
    records: Vec<RequestRecord>,
    stages: Vec<Stage>,
    arrivals: Vec<Vec<(u32, Arrival)>>,
    words: HashMap<RequestId, String>,
    /// Counts better than the sum over deliveries; they apply when the request ends.
    counts: HashMap<RequestId, (u32, TokenSource)>,
    journal: Option<Box<dyn Journal>>,
    journal_error: Option<io::Error>,
    late_events: u64,
    /// Counts by others, which apply when the request ends.
    other_counts: HashMap<RequestId, OtherCounts>,
    /// Who took the stamps of a request, where it was not the session's default; applies when the request ends.
    odd_stamps: HashMap<RequestId, StampSource>,
    stamps: StampSource,
    tokens: TokenSource,
    live: Snapshot,
    ttft: LiveLatency,
    itl: LiveLatency,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            first: 0,
            records: Vec::new(),
            stages: Vec::new(),
            arrivals: Vec::new(),
            words: HashMap::new(),
            counts: HashMap::new(),
            journal: None,
            journal_error: None,
            late_events: 0,
            other_counts: HashMap::new(),
            odd_stamps: HashMap::new(),
            stamps: StampSource::Engine,
            tokens: TokenSource::Ids,
            live: Snapshot::default(),
            ttft: LiveLatency::new(),
            itl: LiveLatency::new(),
        }
    }
}

impl Book {
    pub(crate) fn open(shots: &[Planned], journal: Option<Box<dyn Journal>>) -> Self {
        let records: Vec<_> = shots
            .iter()
            .map(|shot| RequestRecord::planned(shot.id, shot.prompt_tokens, shot.requested_tokens))
            .collect();
        Self {
            first: shots.first().map_or(0, |shot| shot.id.0),
            stages: vec![Stage::Waiting; records.len()],
            records,
            arrivals: vec![Vec::with_capacity(CHUNK)],
            journal,
            ..Self::default()
        }
    }

    pub(crate) fn words(&mut self, id: RequestId, words: String) {
        self.words.insert(id, words);
    }

    pub(crate) fn token_count(&mut self, id: RequestId, tokens: u32, source: TokenSource) {
        self.counts.insert(id, (tokens, source));
    }

    pub(crate) fn recounted(&mut self, id: RequestId, tokens: u32) {
        self.other_counts.entry(id).or_default().recounted = Some(tokens);
    }

    pub(crate) fn prompt_count(&mut self, id: RequestId, tokens: u32) {
        self.other_counts.entry(id).or_default().prompt = Some(tokens);
    }

    pub(crate) fn stamps_of(&mut self, id: RequestId, source: StampSource) {
        self.odd_stamps.insert(id, source);
    }

    pub(crate) fn stamps_come_from(&mut self, source: StampSource) {
        self.stamps = source;
    }

    pub(crate) fn tokens_come_from(&mut self, source: TokenSource) {
        self.tokens = source;
    }

    #[inline]
    fn index(&mut self, id: RequestId) -> Option<usize> {
        let i = id.0.wrapping_sub(self.first) as usize;
        if i < self.records.len() {
            return Some(i);
        }
        self.late_events += 1;
        None
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
            Event::Submitted { id, intended, ready, at } => {
                if let Some(i) = self.index(id) {
                    self.submitted(i, intended, ready, at);
                }
            }
            Event::Sent { id, at } => {
                if let Some(i) = self.index(id) {
                    self.records[i].submit = Some(at);
                }
            }
            Event::End { id, at, ending } => {
                if let Some(i) = self.index(id) {
                    self.end(i, at, ending);
                }
            }
            Event::NotSent { id, intended, reason } => {
                if let Some(i) = self.index(id) {
                    self.records[i].intended = intended;
                    self.finish(i, Outcome::NotSent(reason));
                }
            }
            Event::TimedOut { id, .. } => {
                if let Some(i) = self.index(id)
                    && self.stages[i] != Stage::Ended
                {
                    self.stages[i] = Stage::OverTime;
                }
            }
            Event::Times(id, times) => {
                if let Some(i) = self.index(id) {
                    self.records[i].engine_times = Some(times.unpack());
                }
            }
            Event::Use(id, counts) => {
                if let Some(i) = self.index(id) {
                    self.records[i].engine_use = Some(counts);
                }
            }
        }
    }

    fn submitted(&mut self, i: usize, intended: MonoNs, ready: MonoNs, at: MonoNs) {
        let record = &mut self.records[i];
        record.intended = Some(intended);
        record.ready = Some(ready);
        record.submit = Some(at);
        record.stamp_source = self.stamps;
        record.token_source = self.tokens;
        if self.stages[i] == Stage::Waiting {
            self.stages[i] = Stage::Submitted;
        }
        self.live.submitted += 1;
        self.live.since.get_or_insert(at);
    }

    #[inline]
    fn delivery(&mut self, i: usize, arrival: Arrival, hash: TokenHash, pull_lag: u32) {
        if self.stages[i] == Stage::Ended {
            self.late_events += 1;
            return;
        }
        let record = &mut self.records[i];
        if arrival.tokens > 0 {
            match record.last_token {
                None => {
                    record.first_token = Some(arrival.at);
                    record.first_tokens = arrival.tokens;
                    if let Some(submit) = record.submit {
                        self.ttft.record(arrival.at - submit, 1);
                    }
                }
                Some(last) => {
                    let per_token = (arrival.at - last).0 / i64::from(arrival.tokens);
                    self.itl.record(Nanos(per_token), arrival.tokens);
                }
            }
            record.last_token = Some(arrival.at);
            record.output_tokens += arrival.tokens;
            record.token_hash = record.token_hash.then(hash, arrival.tokens);
            self.live.output_tokens += u64::from(arrival.tokens);
        }
        record.max_pull_lag_ns = record.max_pull_lag_ns.max(pull_lag);
        self.keep(i as u32, arrival);
    }

    #[inline]
    fn keep(&mut self, index: u32, arrival: Arrival) {
        let full = self.arrivals.last().is_none_or(|chunk| chunk.len() == CHUNK);
        if full {
            self.arrivals.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.arrivals.last_mut().expect("a chunk with room was just made sure of");
        chunk.push((index, arrival));
    }

    fn end(&mut self, i: usize, at: MonoNs, ending: Ending) {
        if self.stages[i] == Stage::Ended {
            self.late_events += 1;
            return;
        }
        let id = self.records[i].id;
        self.records[i].end = Some(at);
        let outcome = match ending {
            _ if self.stages[i] == Stage::OverTime => Outcome::TimedOut,
            Ending::Completed(reason) => Outcome::Completed(reason),
            Ending::Cancelled => Outcome::Cancelled,
            Ending::TimedOut => Outcome::TimedOut,
            Ending::Failed(kind) => {
                let message = self.words.remove(&id).unwrap_or_default();
                Outcome::Failed(Failure { kind, message })
            }
        };
        self.finish(i, outcome);
    }

    fn finish(&mut self, i: usize, outcome: Outcome) {
        self.stages[i] = Stage::Ended;
        self.live.ended += u64::from(!matches!(outcome, Outcome::NotSent(_)));
        self.live.failed += u64::from(matches!(outcome, Outcome::Failed(_) | Outcome::TimedOut));
        let record = &mut self.records[i];
        record.outcome = outcome;
        if let Some((tokens, source)) = self.counts.remove(&record.id) {
            record.output_tokens = tokens;
            record.token_source = source;
        }
        if let Some(counts) = self.other_counts.remove(&record.id) {
            record.other_counts = counts;
        }
        if let Some(source) = self.odd_stamps.remove(&record.id) {
            record.stamp_source = source;
        }
        self.write(i);
    }

    fn write(&mut self, i: usize) {
        let Some(journal) = self.journal.as_mut() else { return };
        let written = journal.row(&self.records[i]);
        self.note_journal(written);
    }

    /// Lets the journal write out what it holds back.
    pub(crate) fn settle(&mut self) {
        let Some(journal) = self.journal.as_mut() else { return };
        let settled = journal.settle();
        self.note_journal(settled);
    }

    fn note_journal(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            // One failure is enough to know: the disk is full or gone. The records stay in memory.
            self.journal_error = Some(error);
            self.journal = None;
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            ttft_p50: self.ttft.quantile(0.5),
            ttft_p99: self.ttft.quantile(0.99),
            itl_p50: self.itl.quantile(0.5),
            itl_p99: self.itl.quantile(0.99),
            ..self.live.clone()
        }
    }

    /// Gives every request that has not ended an end, and hands out the records.
    pub(crate) fn close(mut self, recorder_cpu: Nanos) -> Sealed {
        for i in 0..self.records.len() {
            let outcome = match self.stages[i] {
                Stage::Ended => continue,
                Stage::Waiting => Outcome::NotSent(NotSentReason::NotReached),
                Stage::OverTime => Outcome::TimedOut,
                Stage::Submitted => Outcome::Failed(Failure::new(
                    FailureKind::Unanswered,
                    "the target never said how this request ended",
                )),
            };
            self.finish(i, outcome);
        }
        self.settle();
        let arrivals = self.arrivals.iter().flatten();
        Sealed {
            records: Records::from_arrival_order(self.records, arrivals),
            late_events: self.late_events,
            journal_error: self.journal_error,
            recorder_cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::request_record::FinishReason;

    const ID: RequestId = RequestId(7);

    fn submitted_at(at: i64) -> Book {
        let shot = Planned { id: ID, prompt_tokens: 1, requested_tokens: 1 };
        let mut book = Book::open(&[shot], None);
        book.stamps_come_from(StampSource::Kernel);
        let at = MonoNs(at);
        book.note(&Event::Submitted { id: ID, intended: at, ready: at, at });
        book
    }

    #[test]
    fn a_request_that_left_later_than_it_was_handed_over_counts_from_there() {
        let mut book = submitted_at(100);
        book.note(&Event::Sent { id: ID, at: MonoNs(140) });
        let sealed = book.close(Nanos::ZERO);
        let record = &sealed.records.requests()[0];
        assert_eq!((record.intended, record.submit), (Some(MonoNs(100)), Some(MonoNs(140))));
    }

    #[test]
    fn stamps_and_counts_that_differ_from_the_default_are_kept_with_their_request() {
        let mut book = submitted_at(100);
        book.stamps_of(ID, StampSource::User);
        book.recounted(ID, 5);
        book.prompt_count(ID, 9);
        let ending = Ending::Completed(FinishReason::Length);
        book.note(&Event::End { id: ID, at: MonoNs(200), ending });
        let sealed = book.close(Nanos::ZERO);
        let record = &sealed.records.requests()[0];
        assert_eq!(record.stamp_source, StampSource::User);
        assert_eq!(record.other_counts, OtherCounts { recounted: Some(5), prompt: Some(9) });
    }
}
