//! What do the stamps of one request say? Every value that exists once for each request.

use crate::clock::{MonoNs, Nanos};
use crate::metrics::definition::{Per, Quantity};
use crate::record::request_record::{Arrival, EngineTimes, RequestRecord, StampSource};

/// The deliveries of one request that carried tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output<'a> {
    /// There was none.
    Nothing,
    /// All in one delivery.
    Once(Arrival),
    /// In these deliveries, some of which may be empty. Each token they counted stands for `scale` tokens.
    Deliveries {
        /// In the order in which they arrived.
        arrivals: &'a [Arrival],
        /// `n ÷ Σ n_k`: not 1 where n is the server's or tokenizer's count and differs from what deliveries held.
        scale: f64,
    },
    /// There was output and its deliveries were not kept.
    Unknown,
}

impl<'a> Output<'a> {
    /// Of a record and its arrivals.
    pub fn of(record: &RequestRecord, arrivals: &'a [Arrival]) -> Self {
        if record.output_tokens == 0 {
            return Self::Nothing;
        }
        let counted: u64 = arrivals.iter().map(|arrival| u64::from(arrival.tokens)).sum();
        match (record.first_token, record.last_token) {
            _ if counted > 0 => {
                let scale = f64::from(record.output_tokens) / counted as f64;
                Self::Deliveries { arrivals, scale }
            }
            (Some(first), Some(last)) if first == last => {
                Self::Once(Arrival { at: first, tokens: record.output_tokens })
            }
            _ => Self::Unknown,
        }
    }

    /// Each delivery that carried tokens: when, and how many tokens of the request's count it stands for.
    pub fn tokens(&self) -> impl Iterator<Item = (MonoNs, f64)> + use<'a> {
        let (once, arrivals, scale) = match *self {
            Self::Nothing | Self::Unknown => (None, [].as_slice(), 1.0),
            Self::Once(arrival) => (Some(arrival), [].as_slice(), 1.0),
            Self::Deliveries { arrivals, scale } => (None, arrivals, scale),
        };
        once.into_iter()
            .chain(arrivals.iter().copied().filter(|arrival| arrival.tokens > 0))
            .map(move |arrival| (arrival.at, f64::from(arrival.tokens) * scale))
    }

    /// Each gap between successive deliveries that carried tokens, with the tokens that ended it.
    pub fn gaps(&self) -> impl Iterator<Item = (Nanos, f64)> + use<'a> {
        let mut tokens = self.tokens();
        let first = tokens.next().map(|(at, _)| at);
        tokens.scan(first, |previous, (at, count)| {
            let gap = previous.replace(at).map(|before| at - before)?;
            Some((gap, count))
        })
    }
}

/// Every per-request quantity of one request; pooled ones have no value here.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived([Option<f64>; Quantity::ALL.len()]);

impl Derived {
    /// From a record and its arrivals. Values exist where their stamps do, whatever became of the request.
    pub fn of(record: &RequestRecord, arrivals: &[Arrival], streaming: bool) -> Self {
        let output = Output::of(record, arrivals);
        let mut values = [None; Quantity::ALL.len()];
        for quantity in Quantity::ALL {
            let definition = quantity.definition();
            if definition.per == Per::Request && (streaming || !definition.needs_streaming) {
                values[quantity as usize] = value(quantity, record, &output);
            }
        }
        Self(values)
    }

    /// The value of one quantity, in its unit.
    pub fn get(&self, quantity: Quantity) -> Option<f64> {
        self.0[quantity as usize]
    }
}

fn value(quantity: Quantity, record: &RequestRecord, output: &Output<'_>) -> Option<f64> {
    let engine = |of: fn(&EngineTimes) -> Option<MonoNs>| record.engine_times.as_ref().and_then(of);
    let ms =
        |later: Option<MonoNs>, earlier: Option<MonoNs>| Some((later? - earlier?).as_millis_f64());
    match quantity {
        Quantity::Ttft => ms(record.first_token, record.submit),
        Quantity::TtftIntended => ms(record.first_token, record.intended),
        Quantity::E2e => ms(record.end, record.submit),
        Quantity::E2eIntended => ms(record.end, record.intended),
        Quantity::Tpot => tpot_ms(record),
        Quantity::Itl | Quantity::Icl => None,
        Quantity::Stall => output.gaps().map(|(gap, _)| gap).max().map(Nanos::as_millis_f64),
        Quantity::NormLatency => (record.output_tokens > 0)
            .then_some(ms(record.end, record.intended))
            .flatten()
            .map(|latency| latency / f64::from(record.output_tokens)),
        Quantity::Queue => ms(engine(|t| t.first_scheduled), engine(|t| t.arrival)),
        Quantity::Prefill => ms(engine(|t| t.first_token), engine(|t| t.first_scheduled)),
        Quantity::Decode => ms(engine(|t| t.last_token), engine(|t| t.first_token)),
        Quantity::OverheadTtft => {
            let ours = record.first_token? - record.submit?;
            let engines = engine(|t| t.first_token)? - engine(|t| t.arrival)?;
            Some(Nanos(ours.0 - engines.0).as_millis_f64())
        }
        Quantity::PerUser => tpot_ms(record).map(|tpot| 1_000.0 / tpot),
        Quantity::OutputTokens => Some(f64::from(record.output_tokens)),
        Quantity::PromptTokens => Some(f64::from(record.prompt_tokens)),
        Quantity::ScheduleLag => ms(record.submit, record.ready),
        Quantity::PullLag => pull_lag_ms(record),
        Quantity::KvHit => {
            let counts = record.engine_use?;
            let missed = counts.kv_missed_blocks?;
            share(counts.kv_reused_blocks, counts.kv_reused_blocks + missed)
        }
        Quantity::DraftAcceptance => {
            let counts = record.engine_use?;
            share(counts.accepted_draft_tokens, counts.draft_tokens)
        }
    }
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// `(t_last − t_first) / (n − n_first)`. Undefined where all tokens came at one instant: nothing was timed then,
/// whatever the counts say.
pub(super) fn tpot_ms(record: &RequestRecord) -> Option<f64> {
    let span = record.last_token? - record.first_token?;
    let after_first = record.output_tokens.checked_sub(record.first_tokens)?;
    (after_first > 0 && span > Nanos::ZERO).then(|| span.as_millis_f64() / f64::from(after_first))
}

/// Where the stamp of a delivery is our own thread's, nothing earlier is known and there is no lag to tell.
fn pull_lag_ms(record: &RequestRecord) -> Option<f64> {
    match record.stamp_source {
        StampSource::Engine => {
            let times = record.engine_times?;
            let lag = |ours: Option<MonoNs>, engines: Option<MonoNs>| Some(ours? - engines?);
            let first = lag(record.first_token, times.first_token);
            let last = lag(record.last_token, times.last_token);
            first.max(last).map(Nanos::as_millis_f64)
        }
        StampSource::Kernel => {
            record.first_token.map(|_| Nanos(i64::from(record.max_pull_lag_ns)).as_millis_f64())
        }
        StampSource::User => None,
    }
}
