//! Worked examples: runs made by hand, and the numbers that a reader with pencil and paper gets from them.
#![allow(clippy::float_cmp, reason = "the runs are chosen so that every result is exact")]

mod core_wait;
mod files;
mod latencies;
mod rates;
mod roofline;
mod stability;
mod validity;

use crate::clock::Window;
use crate::clock::{MonoNs, Nanos};
use crate::load::{Arrivals, Load};
use crate::metrics::{Quantity, RunFacts, Summary, TargetFacts, summarise};
use crate::observe::health::{Health, NullRate};
use crate::record::event::TokenHash;
use crate::record::oddity::Oddities;
use crate::record::request_record::{
    Arrival, ConnectionUse, FinishReason, NotSentReason, OtherCounts, Outcome, Part, Records,
    RequestRecord, StampSource, TokenSource,
};
use crate::request::RequestId;
use crate::request::{Failure, FailureKind};

/// Milliseconds after an instant that is not 0, so that nothing works by accident.
fn at(ms: f64) -> MonoNs {
    MonoNs(77_000_000_000_000) + Nanos((ms * 1e6) as i64)
}

/// One request with its arrivals.
type Played = (RequestRecord, Vec<Arrival>);

/// A request that was due, let go and sent at the same instant, and brought these `(ms, tokens)`.
fn played(id: u32, submit_ms: f64, deliveries: &[(f64, u32)]) -> Played {
    let arrivals: Vec<Arrival> =
        deliveries.iter().map(|&(ms, tokens)| Arrival { at: at(ms), tokens }).collect();
    let with_tokens = || arrivals.iter().filter(|arrival| arrival.tokens > 0);
    let record = RequestRecord {
        id: RequestId(id),
        part: Part::Measured,
        prompt_tokens: 100,
        requested_tokens: 4,
        intended: Some(at(submit_ms)),
        ready: Some(at(submit_ms)),
        submit: Some(at(submit_ms)),
        first_token: with_tokens().next().map(|arrival| arrival.at),
        first_tokens: with_tokens().next().map_or(0, |arrival| arrival.tokens),
        last_token: with_tokens().next_back().map(|arrival| arrival.at),
        end: arrivals.last().map(|arrival| arrival.at),
        cancel_asked: None,
        workload: None,
        output_tokens: arrivals.iter().map(|arrival| arrival.tokens).sum(),
        token_source: TokenSource::Ids,
        other_counts: OtherCounts::default(),
        token_hash: TokenHash::EMPTY,
        stamp_source: StampSource::User,
        max_pull_lag_ns: 0,
        outcome: Outcome::Completed(FinishReason::Length),
        oddities: Oddities::NONE,
        engine_times: None,
        engine_use: None,
        connection: ConnectionUse::NOTHING,
    };
    (record, arrivals)
}

/// The same request, ended otherwise.
fn ended(mut request: Played, outcome: Outcome) -> Played {
    request.0.outcome = outcome;
    request
}

fn failed(request: Played) -> Played {
    ended(
        request,
        Outcome::Failed(Failure::new(FailureKind::HttpServer, "503, come \"back\"\nlater")),
    )
}

/// A shot that was never sent.
fn unsent(id: u32, reason: NotSentReason) -> Played {
    let mut request = ended(played(id, 0.0, &[]), Outcome::NotSent(reason));
    request.0.ready = None;
    request.0.submit = None;
    request
}

fn closed() -> Load {
    Load::Closed { concurrency: 1 }
}

fn open(rate: f64) -> Load {
    Load::Open { arrivals: Arrivals::Constant, rate, max_in_flight: None }
}

/// A complete, streamed run with a window from 0 to `window_ms`.
fn facts(load: Load, window_ms: f64, planned: usize) -> RunFacts {
    let target = TargetFacts {
        name: "openai:http://localhost:8000".to_owned(),
        kind: "openai".to_owned(),
        simulated: false,
        dummy_weights: false,
    };
    let window = Window { start: at(0.0), end: at(window_ms) };
    RunFacts { point: 3, ..RunFacts::plain(target, load, window, planned as u64) }
}

fn healthy() -> Health {
    let null_rate = NullRate { requests_per_s: 1e6, tokens_per_s: 1e8 };
    Health { null_rate: Some(null_rate), ..Health::default() }
}

fn summary_of(rows: Vec<Played>, facts: &RunFacts) -> Summary {
    summarise(&Records::new(rows), facts, &healthy())
}

/// The summary of a closed-loop run of these requests over one second.
fn summary(rows: Vec<Played>) -> Summary {
    let facts = facts(closed(), 1_000.0, rows.len());
    summary_of(rows, &facts)
}

/// The mean of a quantity, which is its value where there is a single request.
fn mean(summary: &Summary, quantity: Quantity) -> Option<f64> {
    summary.distribution(quantity).map(|all| all.mean)
}
