//! Observation of one request: its stamps and counts, and what its deliveries come to. Made in one or two passes over the
//! records of a point.
//!
//! Nothing here grows with the number of deliveries. A request takes about 120 bytes, and about as much again where
//! the engine gives stamps and counts of its own.

mod point;

use crate::clock::{MonoNs, Nanos, Window};
use crate::record::oddity::{Oddities, Oddity};
use crate::record::request_record::{
    Arrival, ConnectionUse, EngineTimes, EngineUse, NotSentReason, OtherCounts, Outcome, Part,
    RequestRecord, StampSource, TokenSource,
};
use crate::request::{FailureKind, RequestId};

pub use point::{ObservedPoint, moments};

/// An instant that may not have been reached, in eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(i64);

impl Stamp {
    const NONE: Self = Self(i64::MIN);

    fn of(at: Option<MonoNs>) -> Self {
        at.map_or(Self::NONE, |at| Self(at.0))
    }

    fn get(self) -> Option<MonoNs> {
        (self != Self::NONE).then_some(MonoNs(self.0))
    }
}

/// How a request ended, without the message of its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All output arrived.
    Completed,
    /// It failed.
    Failed(FailureKind),
    /// It was cancelled.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// It was never submitted.
    NotSent(NotSentReason),
}

impl Ended {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Completed(_) => Self::Completed,
            Outcome::Failed(failure) => Self::Failed(failure.kind),
            Outcome::Cancelled => Self::Cancelled,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::NotSent(reason) => Self::NotSent(*reason),
        }
    }

    /// Whether all output arrived.
    pub fn is_completed(self) -> bool {
        self == Self::Completed
    }
}

/// Stamps and counts of the engine itself.
#[derive(Debug, Clone, Copy)]
struct OfEngine {
    times: Option<EngineTimes>,
    counts: Option<EngineUse>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Which request.
    pub id: RequestId,
    /// Which part of the run it belongs to.
    pub part: Part,
    /// Prompt length in tokens, as planned.
    pub prompt_tokens: u32,
    /// Output tokens asked for.
    pub requested_tokens: u32,
    /// Tokens in the first delivery that carried any.
    pub first_tokens: u32,
    /// Output tokens that arrived.
    pub output_tokens: u32,
    /// Largest read delay, in nanoseconds.
    pub max_pull_lag_ns: u32,
    /// How it ended.
    pub ended: Ended,
    /// Where the number of output tokens comes from.
    pub token_source: TokenSource,
    /// Who took the stamps.
    pub stamp_source: StampSource,
    /// Counts by others.
    pub other_counts: OtherCounts,
    /// What its connection cost.
    pub connection: ConnectionUse,
    /// In what the answer is not what was asked for.
    pub oddities: Oddities,
    /// Which part of a mixture it is of, from 0.
    pub workload: Option<u8>,
    intended: Stamp,
    ready: Stamp,
    submit: Stamp,
    first_token: Stamp,
    last_token: Stamp,
    end: Stamp,
    cancel_asked: Stamp,
    of_engine: Option<Box<OfEngine>>,
    delivered: Delivered,
}

/// What the deliveries of one request come to.
#[derive(Debug, Clone, Copy)]
struct Delivered {
    /// Tokens that deliveries held.
    held: u32,
    /// Of these, tokens within the window.
    held_in_window: u32,
    /// The last delivery that carried tokens.
    last: Stamp,
    /// The last delivery of any kind, to see whether stamps run backwards.
    last_of_any: Stamp,
    /// Largest gap between deliveries that carried tokens, in nanoseconds; negative where there is none.
    largest_gap: i64,
    /// A delivery has an earlier stamp than the one before it.
    runs_backwards: bool,
}

impl Delivered {
    const NOTHING: Self = Self {
        held: 0,
        held_in_window: 0,
        last: Stamp::NONE,
        last_of_any: Stamp::NONE,
        largest_gap: -1,
        runs_backwards: false,
    };

    /// Adds a delivery; the gap that it ended, where it ended one.
    fn add(&mut self, arrival: Arrival, window: Window) -> Option<Nanos> {
        self.runs_backwards |= self.last_of_any.get().is_some_and(|last| arrival.at < last);
        self.last_of_any = Stamp(arrival.at.0);
        if arrival.tokens == 0 {
            return None;
        }
        self.held = self.held.saturating_add(arrival.tokens);
        if window.holds(arrival.at) {
            self.held_in_window = self.held_in_window.saturating_add(arrival.tokens);
        }
        let last = std::mem::replace(&mut self.last, Stamp(arrival.at.0)).get();
        let gap = arrival.at - last?;
        self.largest_gap = self.largest_gap.max(gap.0);
        Some(gap)
    }
}

/// What was found of a prompt in a cache, of what was looked for: blocks or tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheUse {
    /// Found.
    pub found: u32,
    /// Found or not.
    pub looked_for: u32,
}

/// What is known of a request's output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// None came, whatever was counted.
    Nothing,
    /// All at one instant, whose delivery was not kept.
    Once(MonoNs),
    /// In deliveries. Each token that they held stands for `scale` tokens: not 1 where the count is the server's or
    /// tokenizer's and differs from what deliveries held.
    Deliveries {
        /// `n ÷ Σ n_k`.
        scale: f64,
    },
    /// There was output, and its deliveries were not kept.
    Unknown,
}

impl Observed {
    /// Of a record whose deliveries are not known yet.
    pub fn of(record: &RequestRecord) -> Self {
        let has_engine = record.engine_times.is_some() || record.engine_use.is_some();
        let of_engine =
            || Box::new(OfEngine { times: record.engine_times, counts: record.engine_use });
        Self {
            id: record.id,
            part: record.part,
            prompt_tokens: record.prompt_tokens,
            requested_tokens: record.requested_tokens,
            first_tokens: record.first_tokens,
            output_tokens: record.output_tokens,
            max_pull_lag_ns: record.max_pull_lag_ns,
            ended: Ended::of(&record.outcome),
            token_source: record.token_source,
            stamp_source: record.stamp_source,
            other_counts: record.other_counts,
            connection: record.connection,
            oddities: record.oddities,
            workload: record.workload,
            intended: Stamp::of(record.intended),
            ready: Stamp::of(record.ready),
            submit: Stamp::of(record.submit),
            first_token: Stamp::of(record.first_token),
            last_token: Stamp::of(record.last_token),
            end: Stamp::of(record.end),
            cancel_asked: Stamp::of(record.cancel_asked),
            of_engine: has_engine.then(of_engine),
            delivered: Delivered::NOTHING,
        }
    }

    /// When it should have arrived.
    pub fn intended(&self) -> Option<MonoNs> {
        self.intended.get()
    }

    /// The earliest instant at which it could be sent.
    pub fn ready(&self) -> Option<MonoNs> {
        self.ready.get()
    }

    /// When it was handed over.
    pub fn submit(&self) -> Option<MonoNs> {
        self.submit.get()
    }

    /// First delivery that carried a token.
    pub fn first_token(&self) -> Option<MonoNs> {
        self.first_token.get()
    }

    /// Last delivery that carried a token.
    pub fn last_token(&self) -> Option<MonoNs> {
        self.last_token.get()
    }

    /// The final event.
    pub fn end(&self) -> Option<MonoNs> {
        self.end.get()
    }

    /// How long it was still the target's after it had been asked to end it.
    pub fn held_after_cancel(&self) -> Option<Nanos> {
        let held = self.end.get()? - self.cancel_asked.get()?;
        (held.0 >= 0).then_some(held)
    }

    /// The engine's own stamps.
    pub fn engine_times(&self) -> Option<&EngineTimes> {
        self.of_engine.as_ref()?.times.as_ref()
    }

    /// The engine's own counts.
    pub fn engine_use(&self) -> Option<EngineUse> {
        self.of_engine.as_ref()?.counts
    }

    /// Prompt tokens as planned, where anything counted them then.
    pub fn planned_prompt(&self) -> Option<u32> {
        (self.prompt_tokens > 0).then_some(self.prompt_tokens)
    }

    /// Prompt tokens as the server counts them, else as planned; `None` where nobody did.
    pub fn counted_prompt(&self) -> Option<u32> {
        self.other_counts.prompt.or_else(|| self.planned_prompt())
    }

    /// Whether any of its prompt was not computed, since a cache held it.
    pub fn reuses_a_prompt(&self) -> bool {
        let by_engine = self.engine_use().is_some_and(|counts| counts.kv_reused_blocks > 0);
        by_engine || self.other_counts.cached.is_some_and(|tokens| tokens > 0)
    }

    /// What was looked up of the prompt, in blocks by the engine's counts, else in tokens by the server's; `None` where
    /// neither tells.
    pub fn cache_use(&self) -> Option<CacheUse> {
        let of_engine = self.engine_use().and_then(|counts| {
            let found = counts.kv_reused_blocks;
            Some(CacheUse { found, looked_for: found + counts.kv_missed_blocks? })
        });
        let looked_for = self.counted_prompt().unwrap_or(0);
        let of_server = self
            .other_counts
            .cached
            .map(|cached| CacheUse { found: cached.min(looked_for), looked_for });
        of_engine.or(of_server).filter(|used| used.looked_for > 0)
    }

    /// What is known of its output.
    pub fn output(&self) -> Output {
        if self.output_tokens == 0 || self.first_token().is_none() {
            return Output::Nothing;
        }
        match (self.first_token(), self.last_token()) {
            _ if self.delivered.held > 0 => {
                let scale = f64::from(self.output_tokens) / f64::from(self.delivered.held);
                Output::Deliveries { scale }
            }
            (Some(first), Some(last)) if first == last => Output::Once(first),
            _ => Output::Unknown,
        }
    }

    /// Whether its tokens came one after the other, where that was asked for.
    pub fn is_streamed(&self, asked: bool) -> bool {
        asked && !self.oddities.has(Oddity::NotStreamed)
    }

    /// The end of its latency: the last token, or the final event where nothing was streamed.
    pub fn served(&self, streamed: bool) -> Option<MonoNs> {
        let last = self.last_token().filter(|_| streamed && self.ended.is_completed());
        last.or(self.end())
    }

    /// What deliveries held, where there were any: chunks, where nothing tells the tokens of a chunk.
    pub fn held(&self) -> u32 {
        self.delivered.held
    }

    /// Tokens of the first delivery, scaled as all deliveries are.
    pub fn first_share(&self) -> f64 {
        let scale = match self.output() {
            Output::Deliveries { scale } => scale,
            Output::Nothing | Output::Once(_) | Output::Unknown => 1.0,
        };
        f64::from(self.first_tokens) * scale
    }

    /// Whether deliveries held another number of tokens than the request has.
    pub fn holds_another_count(&self) -> bool {
        self.delivered.held > 0 && self.delivered.held != self.output_tokens
    }

    /// Whether its deliveries run backwards in time.
    pub fn runs_backwards(&self) -> bool {
        self.delivered.runs_backwards
    }

    /// Output tokens delivered in the window.
    pub fn tokens_in_window(&self, window: Window) -> f64 {
        match self.output() {
            Output::Nothing | Output::Unknown => 0.0,
            Output::Once(at) if window.holds(at) => f64::from(self.output_tokens),
            Output::Once(_) => 0.0,
            Output::Deliveries { scale } => f64::from(self.delivered.held_in_window) * scale,
        }
    }

    /// The same without those of the first delivery.
    pub fn decoded_in_window(&self, window: Window) -> f64 {
        let Output::Deliveries { scale } = self.output() else { return 0.0 };
        let began_inside = self.first_token().is_some_and(|at| window.holds(at));
        let first = if began_inside { self.first_tokens } else { 0 };
        f64::from(self.delivered.held_in_window.saturating_sub(first)) * scale
    }

    /// The largest gap between deliveries that carried tokens.
    pub fn stall(&self) -> Option<Nanos> {
        (self.delivered.largest_gap >= 0 && self.output_tokens > 0)
            .then_some(Nanos(self.delivered.largest_gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_before_that_of_an_empty_delivery_runs_backwards() {
        let mut delivered = Delivered::NOTHING;
        let window = Window { start: MonoNs(0), end: MonoNs(100) };
        let gaps = [(10, 1), (20, 0), (15, 1)]
            .map(|(at, tokens)| delivered.add(Arrival { at: MonoNs(at), tokens }, window));
        assert_eq!(gaps, [None, None, Some(Nanos(5))]);
        assert!(delivered.runs_backwards);
    }
}
