//! Benchmark of the summary of ten million deliveries. The goal is one second; the exit code is 1 where it is missed.
//!
//! `cargo bench --bench summarise` on a machine that does nothing else; each kind of output is summed up five times.

use bareflight::clock::Window;
use bareflight::clock::{MonoNs, Nanos, now};
use bareflight::load::Load;
use bareflight::metrics::{Quantity, RunFacts, TargetFacts, summarise};
use bareflight::observe::health::Health;
use bareflight::record::request_record::{Arrival, FinishReason, Outcome, Records, RequestRecord};
use bareflight::request::RequestId;

const REQUESTS: u32 = 20_000;
const DELIVERIES: u32 = 500;
const CONCURRENCY: u32 = 64;
const ROUNDS: usize = 5;
const AIM: Nanos = Nanos::from_millis(1_000);

/// Tokens per delivery.
#[derive(Clone, Copy)]
enum Chunks {
    /// One token each, as of an engine in this process.
    OfOneToken,
    /// One to four tokens, as of a server under load or with speculative decoding.
    OfSeveral,
}

/// A fixed shuffle, so that every run sums up the same.
fn scrambled(number: u64) -> u64 {
    let mixed = (number ^ (number >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}

fn request(id: u32, chunks: Chunks) -> (RequestRecord, Vec<Arrival>) {
    // As many rows of requests as are in flight, each a little later than the one beside it.
    let start = i64::from(id / CONCURRENCY) * 10_000_000_000 + i64::from(id % CONCURRENCY) * 1_000;
    let mut at = MonoNs(start + 50_000_000);
    let mut record = RequestRecord::planned(RequestId(id), 1_000, DELIVERIES);
    let submit = Some(MonoNs(start));
    (record.intended, record.ready, record.submit) = (submit, submit, submit);
    let arrivals: Vec<Arrival> = (0..DELIVERIES)
        .map(|place| {
            let noise = scrambled(u64::from(id) * u64::from(DELIVERIES) + u64::from(place));
            at = at + Nanos(15_000_000 + (noise % 5_000_000) as i64);
            let tokens = match chunks {
                Chunks::OfOneToken => 1,
                Chunks::OfSeveral => 1 + (noise >> 40) as u32 % 4,
            };
            Arrival { at, tokens }
        })
        .collect();
    record.first_token = arrivals.first().map(|it| it.at);
    record.first_tokens = arrivals.first().map_or(0, |it| it.tokens);
    record.output_tokens = arrivals.iter().map(|it| it.tokens).sum();
    (record.last_token, record.end) = (Some(at), Some(at));
    record.outcome = Outcome::Completed(FinishReason::Length);
    (record, arrivals)
}

fn facts(records: &Records) -> RunFacts {
    let last = records.requests().iter().filter_map(|record| record.end).max();
    let target = TargetFacts {
        name: "made up".into(),
        kind: "local".into(),
        simulated: false,
        dummy_weights: false,
    };
    let window = Window { start: MonoNs(0), end: last.unwrap_or(MonoNs(0)) + Nanos(1) };
    RunFacts::plain(target, Load::Closed { concurrency: CONCURRENCY }, window, REQUESTS.into())
}

/// The shortest of the rounds: what else runs only makes them longer.
fn shortest(chunks: Chunks) -> Nanos {
    let records = Records::new((0..REQUESTS).map(|id| request(id, chunks)));
    let (facts, health) = (facts(&records), Health::default());
    let rounds = (0..ROUNDS).map(|_| {
        let begun = now();
        let summary = summarise(&records, &facts, &health);
        let took = now() - begun;
        assert!(summary.distribution(Quantity::Itl).is_some(), "there are gaps");
        took
    });
    rounds.min().unwrap_or(Nanos::ZERO)
}

fn main() {
    let deliveries = u64::from(REQUESTS) * u64::from(DELIVERIES);
    let mut met = true;
    for (chunks, output) in
        [(Chunks::OfOneToken, "one token each"), (Chunks::OfSeveral, "one to four tokens each")]
    {
        let took = shortest(chunks);
        met &= took <= AIM;
        println!(
            "summary of {deliveries} deliveries, {output}: {:.0} ms, aim {:.0} ms",
            took.as_millis_f64(),
            AIM.as_millis_f64()
        );
    }
    std::process::exit(i32::from(!met));
}
