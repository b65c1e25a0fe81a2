//! Per-request quantities: every value that exists once for each request.

use crate::clock::{MonoNs, Nanos};
use crate::metrics::definition::{Per, Quantity};
use crate::metrics::observed::{CacheUse, Observed};
use crate::record::oddity::Oddity;
use crate::record::request_record::{EngineTimes, STAMP_RESOLUTION, StampSource};

/// Every per-request quantity of one request; pooled ones have no value here.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived([Option<f64>; Quantity::ALL.len()]);

impl Derived {
    /// Of one request. Values exist where their stamps do, whatever became of the request.
    pub fn of(request: &Observed, streaming: bool) -> Self {
        let streaming = request.is_streamed(streaming);
        let mut values = [None; Quantity::ALL.len()];
        for quantity in Quantity::ALL {
            let definition = quantity.definition();
            if definition.per == Per::Request && (streaming || !definition.needs_streaming) {
                values[quantity as usize] = value(quantity, request, streaming);
            }
        }
        Self(values)
    }

    /// The value of one quantity of one request, in its unit.
    pub fn one(quantity: Quantity, request: &Observed, streaming: bool) -> Option<f64> {
        let streaming = request.is_streamed(streaming);
        let definition = quantity.definition();
        let applies = definition.per == Per::Request && (streaming || !definition.needs_streaming);
        applies.then(|| value(quantity, request, streaming)).flatten()
    }

    /// The value of one quantity, in its unit.
    pub fn get(&self, quantity: Quantity) -> Option<f64> {
        self.0[quantity as usize]
    }
}

fn value(quantity: Quantity, record: &Observed, streaming: bool) -> Option<f64> {
    let engine = |of: fn(&EngineTimes) -> Option<MonoNs>| record.engine_times().and_then(of);
    let ms =
        |later: Option<MonoNs>, earlier: Option<MonoNs>| Some((later? - earlier?).as_millis_f64());
    match quantity {
        Quantity::Ttft => ms(record.first_token(), record.submit()),
        Quantity::TtftIntended => ms(record.first_token(), record.intended()),
        Quantity::E2e => ms(record.served(streaming), record.submit()),
        Quantity::E2eIntended => ms(record.served(streaming), record.intended()),
        Quantity::Tpot => tpot_ms(record),
        Quantity::Itl | Quantity::Icl => None,
        Quantity::Stall => record.stall().map(Nanos::as_millis_f64),
        Quantity::NormLatency => (record.output_tokens > 0)
            .then_some(ms(record.served(streaming), record.intended()))
            .flatten()
            .map(|latency| latency / f64::from(record.output_tokens)),
        Quantity::StreamClose => ms(record.end(), record.last_token()),
        Quantity::Queue => ms(engine(|t| t.first_scheduled), engine(|t| t.arrival)),
        Quantity::Prefill => ms(engine(|t| t.first_token), engine(|t| t.first_scheduled)),
        Quantity::Decode => ms(engine(|t| t.last_token), engine(|t| t.first_token)),
        Quantity::OverheadTtft => {
            let ours = record.first_token()? - record.submit()?;
            let engines = engine(|t| t.first_token)? - engine(|t| t.arrival)?;
            Some(Nanos(ours.0 - engines.0).as_millis_f64())
        }
        Quantity::PerUser => tpot_ms(record).map(|tpot| 1_000.0 / tpot),
        Quantity::OutputTokens => {
            let is_counted = !record.oddities.has(Oddity::Uncounted);
            is_counted.then(|| f64::from(record.output_tokens))
        }
        Quantity::PromptTokens => {
            record.planned_prompt().or(record.other_counts.prompt).map(f64::from)
        }
        Quantity::ScheduleLag => ms(record.submit(), record.ready()),
        Quantity::PullLag => pull_lag_ms(record, streaming),
        Quantity::Connect => record.connection.opened.map(|it| it.took().as_millis_f64()),
        Quantity::KvHit => {
            let CacheUse { found, looked_for } = record.cache_use()?;
            share(found, looked_for)
        }
        Quantity::DraftAcceptance => {
            let counts = record.engine_use()?;
            share(counts.accepted_draft_tokens, counts.draft_tokens)
        }
    }
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// `(t_last − t_first) / (n − n_first)`. Undefined where all tokens came at one instant, as far as stamps tell instants
/// apart: nothing was timed then, whatever the counts say.
pub(super) fn tpot_ms(record: &Observed) -> Option<f64> {
    let span = record.last_token()? - record.first_token()?;
    let after_first = f64::from(record.output_tokens) - record.first_share();
    (after_first > 0.0 && span >= STAMP_RESOLUTION).then(|| span.as_millis_f64() / after_first)
}

/// Where the stamp of a delivery is our own thread's, nothing earlier is known and there is no lag to tell.
/// Without streaming all output comes at the end, and only the last token says how late it was seen.
fn pull_lag_ms(record: &Observed, streaming: bool) -> Option<f64> {
    match record.stamp_source {
        StampSource::Engine => {
            let (first, last) = lags_of_engine(record, streaming);
            first.max(last).map(Nanos::as_millis_f64)
        }
        StampSource::Kernel => {
            record.first_token().map(|_| Nanos(i64::from(record.max_pull_lag_ns)).as_millis_f64())
        }
        StampSource::User => None,
    }
}

/// How late the first and the last token were seen, by the engine's stamps. These are inside the latencies.
pub(super) fn lags_of_engine(record: &Observed, streaming: bool) -> (Option<Nanos>, Option<Nanos>) {
    let Some(times) = record.engine_times() else { return (None, None) };
    let lag = |ours: Option<MonoNs>, engines: Option<MonoNs>| Some(ours? - engines?);
    let first = lag(record.first_token(), times.first_token).filter(|_| streaming);
    (first, lag(record.last_token(), times.last_token))
}
