//! CPU cost of the `openai:` client per streamed token, compared with a raw reader that discards the same bytes.
//!
//! The server runs in a process of its own, so the CPU time of this process is the client's. Passes of `openai:` (the
//! whole harness: issuer, client, ring, recorder, records) and of the raw reader take turns, and which of them goes first
//! changes from round to round: what the machine does to one it does to the other. Printed are medians over rounds of
//! CPU-seconds, user and system, per million tokens, and the median of each round's ratio.
//!
//! With `PERF_ANALYZER=/path/to/perf_analyzer` that peer takes its turn too, its whole process counted.
//!
//! `cargo bench --bench client_cost [-- ROUNDS [CONCURRENCY…]]`; `paced` as a concurrency is 256 streams at TTFT 50 ms
//! and ITL 10 ms.

#![allow(dead_code)] // Two benchmarks share these modules; each uses its part.

mod client;
mod figures;
mod peer;
mod raw_reader;
mod server;

use std::time::Duration;

use bareflight::clock::Nanos;
use client::{Asked, through_openai, through_raw_reader};
use figures::{conditions, keep, median};
use server::{Schedule, Server, serve_if_asked};

const TOKENS: u32 = 128;
const AT_ONCE: Schedule = Schedule { ttft: Duration::ZERO, itl: Duration::ZERO, tokens: TOKENS };
const PACED: Schedule =
    Schedule { ttft: Duration::from_millis(50), itl: Duration::from_millis(10), tokens: TOKENS };
/// Tokens of one pass, so that it takes about a second.
const TOKENS_PER_PASS: u32 = 200_000;
const TOKENS_PER_PACED_PASS: u32 = 65_536;

#[derive(Debug, Clone, Copy)]
struct Point {
    concurrency: u32,
    schedule: Schedule,
    tokens: u32,
}

impl Point {
    fn at_once(concurrency: u32) -> Self {
        Self { concurrency, schedule: AT_ONCE, tokens: TOKENS_PER_PASS }
    }

    fn paced(concurrency: u32) -> Self {
        Self { concurrency, schedule: PACED, tokens: TOKENS_PER_PACED_PASS }
    }

    fn name(&self) -> String {
        let paced = if self.schedule.itl.is_zero() { "" } else { " paced" };
        format!("{}{paced}", self.concurrency)
    }
}

fn main() {
    serve_if_asked().expect("a server on loopback");
    let mut typed = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let rounds = typed.next().map_or(5, |rounds| rounds.parse().expect("a number of rounds"));
    let mut points: Vec<Point> = typed.map(|word| point(&word)).collect();
    if points.is_empty() {
        points = [1, 16, 64, 256, 1024].map(Point::at_once).to_vec();
        points.push(Point::paced(256));
    }
    measure(rounds, &points);
}

fn point(word: &str) -> Point {
    match word {
        "paced" => Point::paced(256),
        number => Point::at_once(number.parse().expect("a number of streams, or `paced`")),
    }
}

fn measure(rounds: usize, points: &[Point]) {
    println!("\nCPU-seconds of the client per million streamed tokens; medians of {rounds} rounds");
    println!("{}", conditions());
    println!(
        "{:>12} {:>10} {:>10} {:>8} {:>14} {:>16}",
        "streams", "openai:", "raw", "ratio", "(least, most)", "perf_analyzer"
    );
    let mut rows = vec![
        "streams,round,openai_cpu_s_per_mtok,raw_cpu_s_per_mtok,perf_analyzer_cpu_s_per_mtok"
            .to_owned(),
    ];
    for point in points {
        let costs = side_by_side(rounds, point);
        show(point, &costs);
        for (round, Costs { ours, raw, peer }) in costs.iter().enumerate() {
            let peer = peer.map_or(String::new(), |peer| format!("{peer:.4}"));
            rows.push(format!("{},{round},{ours:.4},{raw:.4},{peer}", point.name()));
        }
    }
    let path = keep("client_cost.csv", &rows).expect("the build folder can be written");
    println!("every round: {}", path.display());
}

fn show(point: &Point, costs: &[Costs]) {
    let of = |figure: fn(&Costs) -> Option<f64>| costs.iter().filter_map(figure).collect();
    let ratios: Vec<f64> = of(|costs| Some(costs.ours / costs.raw));
    let peers: Vec<f64> = of(|costs| costs.peer);
    println!(
        "{:>12} {:>10.2} {:>10.2} {:>8.2} {:>7.2} {:>6.2} {:>16}",
        point.name(),
        median(&of(|costs| Some(costs.ours))),
        median(&of(|costs| Some(costs.raw))),
        median(&ratios),
        ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
        if peers.is_empty() { "-".to_owned() } else { format!("{:.2}", median(&peers)) },
    );
}

/// CPU-seconds per million tokens, of one round.
struct Costs {
    ours: f64,
    raw: f64,
    peer: Option<f64>,
}

fn side_by_side(rounds: usize, point: &Point) -> Vec<Costs> {
    let server = Server::start(point.schedule).expect("the server starts");
    let requests = (point.tokens / TOKENS).max(2 * point.concurrency);
    // Prompts repeat from pass to pass: this benchmark does not look into the server's log.
    let asked = Asked { first_id: 0, requests, concurrency: point.concurrency, tokens: TOKENS };
    let per_million =
        |cpu: Nanos| cpu.as_secs_f64() * 1e6 / f64::from(asked.requests * asked.tokens);
    let ours = || per_million(through_openai(server.address(), &asked).cpu);
    let raw = || per_million(through_raw_reader(server.address(), &asked).cpu);
    let peer = || {
        peer::program().map(|program| {
            let cpu = peer::through(&program, server.address(), &asked);
            per_million(cpu.expect("the peer runs"))
        })
    };
    let round = |number: usize| {
        if number.is_multiple_of(2) {
            let (ours, raw) = (ours(), raw());
            Costs { ours, raw, peer: peer() }
        } else {
            let (peer, raw) = (peer(), raw());
            Costs { ours: ours(), raw, peer }
        }
    };
    (0..rounds).map(round).collect()
}
