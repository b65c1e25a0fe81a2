//! Request record: everything that is kept of one request after its end.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos};
use crate::record::event::TokenHash;
use crate::record::log::Batch;
use crate::record::oddity::Oddities;
use crate::request::Failure;
use crate::request::RequestId;

/// Which part of its run a request belongs to. Parts follow each other without a pause.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It brought the load to its steady state.
    Ramp,
    /// It counts.
    #[default]
    Measured,
    /// It kept the load up until the last measured one had ended.
    Tail,
}

impl Part {
    /// Every part, in order of time.
    pub const ALL: [Self; 3] = [Self::Ramp, Self::Measured, Self::Tail];

    /// As written into files and printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ramp => "ramp",
            Self::Measured => "measured",
            Self::Tail => "tail",
        }
    }
}

/// Resolution of the stamps: events of one request whose stamps differ by less are one delivery.
///
/// Two reads of one segment carry one stamp of the kernel; our own clock is read within some hundred nanoseconds.
pub const STAMP_RESOLUTION: Nanos = Nanos::from_micros(1);

/// Everything that was seen of one request. Instants are `None` where they were never reached.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestRecord {
    /// Which shot of the plan.
    pub id: RequestId,
    /// Which part of the run it belongs to.
    pub part: Part,
    /// Prompt length in tokens, as planned.
    pub prompt_tokens: u32,
    /// Output tokens asked for.
    pub requested_tokens: u32,
    /// When it should have arrived; `None` only if a closed loop never reached it.
    pub intended: Option<MonoNs>,
    /// The earliest instant at which the harness may send it: `intended`, or later under a cap on requests in flight.
    pub ready: Option<MonoNs>,
    /// Right before the call that handed it over.
    pub submit: Option<MonoNs>,
    /// First delivery that carried a token.
    pub first_token: Option<MonoNs>,
    /// Tokens in that delivery.
    pub first_tokens: u32,
    /// Last delivery that carried a token.
    pub last_token: Option<MonoNs>,
    /// The final event.
    pub end: Option<MonoNs>,
    /// When the harness asked the target to end it early; until `end` it is the target's all the same.
    pub cancel_asked: Option<MonoNs>,
    /// Output tokens that arrived.
    pub output_tokens: u32,
    /// Where `output_tokens` comes from.
    pub token_source: TokenSource,
    /// Counts by others, to be held against ours.
    pub other_counts: OtherCounts,
    /// Hash over the output's token ids, where ids arrived.
    pub token_hash: TokenHash,
    /// Who took the delivery stamps.
    pub stamp_source: StampSource,
    /// Largest distance between a delivery's stamp and our own thread's look at it, in nanoseconds; 0 where
    /// the stamp is our own.
    pub max_pull_lag_ns: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// In what a completed answer is not what was asked for.
    pub oddities: Oddities,
    /// The engine's own stamps.
    pub engine_times: Option<EngineTimes>,
    /// The engine's own counts.
    pub engine_use: Option<EngineUse>,
    /// What its connection cost.
    pub connection: ConnectionUse,
    /// Which part of a mixture it is of, from 0.
    pub workload: Option<u8>,
}

impl RequestRecord {
    /// Of a shot that nothing has happened to yet.
    pub const fn planned(id: RequestId, prompt_tokens: u32, requested_tokens: u32) -> Self {
        Self {
            id,
            part: Part::Measured,
            prompt_tokens,
            requested_tokens,
            intended: None,
            ready: None,
            submit: None,
            first_token: None,
            first_tokens: 0,
            last_token: None,
            end: None,
            cancel_asked: None,
            output_tokens: 0,
            token_source: TokenSource::Ids,
            other_counts: OtherCounts { recounted: None, prompt: None, cached: None },
            token_hash: TokenHash::EMPTY,
            stamp_source: StampSource::Engine,
            max_pull_lag_ns: 0,
            outcome: Outcome::NotSent(NotSentReason::NotReached),
            oddities: Oddities::NONE,
            engine_times: None,
            engine_use: None,
            connection: ConnectionUse::NOTHING,
            workload: None,
        }
    }
}

/// How a request ended; every request has exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All output arrived.
    Completed(FinishReason),
    /// It failed.
    Failed(Failure),
    /// It was cancelled at the end of the drain or by the user.
    Cancelled,
    /// It exceeded the time a request may take.
    TimedOut,
    /// It was planned and never submitted.
    NotSent(NotSentReason),
}

impl Outcome {
    /// The word in files: `completed`, `failed`, `cancelled`, `timed_out`, `not_sent`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::NotSent(_) => "not_sent",
        }
    }

    /// Whether all output arrived.
    pub const fn is_completed(&self) -> bool {
        matches!(self, Self::Completed(_))
    }
}

/// Why the output stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// As many tokens as were asked for, or as fit.
    Length,
    /// The end token.
    EndToken,
    /// A stop word.
    StopWords,
    /// The target did not say.
    Unknown,
    /// A value that this version does not know.
    Other(i32),
}

/// Why a planned request was never submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotSentReason {
    /// The run's time was over before its turn in a closed loop. Not a fault: nothing was intended for an instant.
    NotReached,
    /// The schedule had an instant for it inside the window, and the harness or its cap did not send it.
    Missed,
    /// The run was interrupted.
    Interrupted,
    /// The target as a whole had failed by then.
    TargetFailed,
    /// Its worker was lost: it was not sent, or its record went with the worker.
    WorkerLost,
}

/// Where the number of output tokens comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// Token ids arrived and were counted.
    Ids,
    /// The server's own count.
    Usage,
    /// Our tokenizer over the whole text.
    Retokenized,
    /// One per chunk that carried text: nothing better was at hand.
    Chunks,
}

/// Counts of tokens by someone else than the source that counts; a mismatch is counted, and corrects nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherCounts {
    /// Output tokens by our tokenizer, where the server counted otherwise; `None` where they agree or only one counted.
    pub recounted: Option<u32>,
    /// Prompt tokens by the server's own count, where it gives one.
    pub prompt: Option<u32>,
    /// Of these, tokens that the server found in its cache, where it tells.
    pub cached: Option<u32>,
}

/// Who took the stamps of a request's deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampSource {
    /// C++ right after `awaitResponses` returned, or the embedded engine's loop.
    Engine,
    /// The kernel, when the bytes arrived.
    Kernel,
    /// Our own thread, right after the read.
    User,
}

/// The engine's own stamps, on the same clock as ours unless a server sent them from another host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineTimes {
    /// The engine took the request up. In TensorRT-LLM: fetched by the executor's loop, not enqueued.
    pub arrival: Option<MonoNs>,
    /// A slot in the batch was assigned.
    pub first_scheduled: Option<MonoNs>,
    /// The first token existed.
    pub first_token: Option<MonoNs>,
    /// The last token existed.
    pub last_token: Option<MonoNs>,
}

/// [`EngineTimes`] in half the room, for the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedTimes([i64; 4]);

impl EngineTimes {
    const NEVER: i64 = i64::MIN;

    /// For the ring.
    #[inline]
    pub fn pack(self) -> PackedTimes {
        let pack = |stamp: Option<MonoNs>| stamp.map_or(Self::NEVER, |at| at.0);
        PackedTimes([
            pack(self.arrival),
            pack(self.first_scheduled),
            pack(self.first_token),
            pack(self.last_token),
        ])
    }
}

impl PackedTimes {
    /// As it was before [`EngineTimes::pack`].
    pub fn unpack(self) -> EngineTimes {
        let [arrival, first_scheduled, first_token, last_token] =
            self.0.map(|ns| (ns != EngineTimes::NEVER).then_some(MonoNs(ns)));
        EngineTimes { arrival, first_scheduled, first_token, last_token }
    }
}

/// What the engine says of its caches and drafts for one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineUse {
    /// KV-cache blocks in total.
    pub kv_total_blocks: u32,
    /// Newly allocated.
    pub kv_new_blocks: u32,
    /// Found in the cache.
    pub kv_reused_blocks: u32,
    /// Looked for in the cache and not found; `None` where the target does not say, as without block reuse.
    pub kv_missed_blocks: Option<u32>,
    /// Draft tokens proposed.
    pub draft_tokens: u32,
    /// Draft tokens accepted.
    pub accepted_draft_tokens: u32,
}

/// What the connection of one request cost; nothing for a target without connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionUse {
    /// How often it was sent again, since the server had closed an idle connection at that moment or did not process the stream.
    pub resent: u32,
    /// Its connection was opened for it, or ahead of it and it was the first to use it.
    pub opened: Option<Opened>,
}

impl ConnectionUse {
    /// Sent once, over a connection that others had used.
    pub const NOTHING: Self = Self { resent: 0, opened: None };
}

/// How long a connection took to open: name, TCP and TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Before the load: no latency holds it.
    Ahead(Nanos),
    /// After the request had been submitted: its latencies hold it.
    Inside(Nanos),
}

impl Opened {
    /// How long it took.
    pub const fn took(self) -> Nanos {
        match self {
            Self::Ahead(took) | Self::Inside(took) => took,
        }
    }
}

/// One arrival of output, as it is kept for inter-token latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it became visible.
    pub at: MonoNs,
    /// Tokens it carried, possibly none.
    pub tokens: u32,
}

/// All records of one run, with the arrivals of each request in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records {
    requests: Vec<RequestRecord>,
    arrivals: Vec<Arrival>,
    /// `starts[i]..starts[i + 1]` are the arrivals of request `i`.
    starts: Vec<usize>,
}

impl Records {
    /// Puts records and their arrivals together, one list of arrivals per record and in the same order.
    pub fn new(rows: impl IntoIterator<Item = (RequestRecord, Vec<Arrival>)>) -> Self {
        let mut records = Self { starts: vec![0], ..Self::default() };
        for (request, arrivals) in rows {
            records.requests.push(request);
            records.arrivals.extend(arrivals);
            records.starts.push(records.arrivals.len());
        }
        records
    }

    /// Puts records together with all arrivals in the order in which they came, each with the index of its record.
    ///
    /// A counting sort: linear, and arrivals of one request keep their order.
    pub fn from_arrival_order<'a>(
        requests: Vec<RequestRecord>,
        arrivals: impl Iterator<Item = &'a (u32, Arrival)> + Clone,
    ) -> Self {
        let mut starts = vec![0_usize; requests.len() + 1];
        for (index, _) in arrivals.clone() {
            starts[*index as usize + 1] += 1;
        }
        for i in 0..requests.len() {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let nothing = Arrival { at: MonoNs(0), tokens: 0 };
        let mut sorted = vec![nothing; starts[requests.len()]];
        for (index, arrival) in arrivals {
            let place = &mut next[*index as usize];
            sorted[*place] = *arrival;
            *place += 1;
        }
        Self { requests, arrivals: sorted, starts }
    }

    /// What a batch holds, in the order of the plan; `first` is the id of the first request of the phase. Deliveries of
    /// requests that are not in the batch are left out.
    pub fn of_batch(first: u32, batch: Batch) -> Self {
        let Batch { mut ended, mut deliveries } = batch;
        ended.sort_by_key(|record| record.id);
        let is_whole = ended.iter().zip(first..).all(|(record, id)| record.id == RequestId(id));
        if !is_whole {
            deliveries.retain_mut(|(place, _)| {
                let id = RequestId(first + *place);
                let found = ended.binary_search_by_key(&id, |record| record.id);
                *place = found.unwrap_or_default() as u32;
                found.is_ok()
            });
        }
        Self::from_arrival_order(ended, deliveries.iter())
    }

    /// All requests, in the order of the plan: measured ones, then those of ramp and tail.
    pub fn requests(&self) -> &[RequestRecord] {
        &self.requests
    }

    /// The measured ones.
    pub fn measured(&self) -> &[RequestRecord] {
        let count = self.requests.iter().take_while(|record| record.part == Part::Measured).count();
        &self.requests[..count]
    }

    /// Each request with its arrivals.
    pub fn iter(&self) -> impl Iterator<Item = (&RequestRecord, &[Arrival])> {
        self.requests
            .iter()
            .enumerate()
            .map(|(i, request)| (request, &self.arrivals[self.starts[i]..self.starts[i + 1]]))
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is no request at all.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u32) -> RequestRecord {
        RequestRecord::planned(RequestId(id), 1, 1)
    }

    #[test]
    fn arrivals_find_their_request_and_keep_their_order() {
        let at = |ns| Arrival { at: MonoNs(ns), tokens: 1 };
        let interleaved = [(1, at(1)), (0, at(2)), (1, at(3)), (1, at(4))];
        let sorted =
            Records::from_arrival_order(vec![record(0), record(1), record(2)], interleaved.iter());
        let by_request = Records::new([
            (record(0), vec![at(2)]),
            (record(1), vec![at(1), at(3), at(4)]),
            (record(2), vec![]),
        ]);
        assert_eq!(sorted, by_request);
    }

    #[test]
    fn packing_engine_stamps_loses_nothing() {
        let times = EngineTimes {
            arrival: Some(MonoNs(0)),
            first_scheduled: None,
            first_token: Some(MonoNs(-3)),
            last_token: Some(MonoNs(i64::MAX)),
        };
        assert_eq!(times.pack().unpack(), times);
    }
}
