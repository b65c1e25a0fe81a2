//! Error of the latencies that `openai:` reports, measured against a server that logs its own writes.
//!
//! The server (see `server.rs`) keeps a known schedule, or none, and stamps `CLOCK_MONOTONIC` right before it writes
//! each token; client and server share one machine, so their stamps subtract.
//!
//! - *true TTFT* = the server's write of the first token − the client's `t_submit`. The error is then what the
//!   client's own stamps add.
//! - *server's TTFT* = the server's write of the first token − its read of the request: the server's own log. What a
//!   request waits in the server's socket is missing from it, and is part of what every client sees.
//! - *true ITL* = from one write of a token to the next. ITL is weighed as METRICS.md says: tokens that came in one
//!   read share the gap before it.
//!
//! Errors are absolute, one per request (TTFT) or per gap between single tokens (ITL). The raw reader beside it
//! stamps each read by itself. The first request of each connection is left out: connecting is part of its TTFT.
//!
//! `cargo bench --bench fidelity [-- ROUNDS]`

#![allow(dead_code)] // Two benchmarks share these modules; each uses its part.

mod client;
mod figures;
mod raw_reader;
mod server;

use std::collections::HashMap;
use std::time::Duration;

use bareflight::clock::MonoNs;
use bareflight::record::request_record::Arrival;
use client::{Asked, Pass, Seen, through_openai, through_raw_reader};
use figures::{conditions, keep, percentile};
use server::{Schedule, Server, Truth, serve_if_asked};

const TOKENS: u32 = 32;

struct Point {
    streams: u32,
    requests: u32,
    paced: bool,
}

const POINTS: [Point; 6] = [
    Point { streams: 1, requests: 24, paced: true },
    Point { streams: 32, requests: 320, paced: true },
    Point { streams: 256, requests: 1_024, paced: true },
    Point { streams: 1_024, requests: 4_096, paced: true },
    Point { streams: 64, requests: 4_096, paced: false },
    Point { streams: 256, requests: 4_096, paced: false },
];

/// All values in milliseconds.
#[derive(Default)]
struct Samples {
    ttft_said: Vec<f64>,
    ttft_true: Vec<f64>,
    ttft_server: Vec<f64>,
    ttft_error: Vec<f64>,
    itl_said: Vec<f64>,
    itl_true: Vec<f64>,
    itl_error: Vec<f64>,
    pull_lag: Vec<f64>,
    by_kernel: usize,
}

fn main() {
    serve_if_asked().expect("a server on loopback");
    let mut typed = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let rounds: usize =
        typed.next().map_or(3, |rounds| rounds.parse().expect("a number of rounds"));
    println!(
        "\nLatencies reported by the client, and those of the server, in ms: p50 / p99 over {rounds} rounds"
    );
    println!("{}", conditions());
    println!(
        "{:>9} {:>7} {:>17} {:>17} {:>17} {:>15} {:>15} {:>15} {:>13}",
        "streams",
        "client",
        "TTFT reported",
        "TTFT true",
        "server's TTFT",
        "TTFT error",
        "ITL reported",
        "ITL true",
        "ITL error"
    );
    let mut rows = vec![HEADER.to_owned()];
    for point in &POINTS {
        for (client, samples) in side_by_side(rounds, point) {
            print_row(point, client, &samples);
            rows.push(csv_row(point, client, &samples));
        }
    }
    let path = keep("fidelity.csv", &rows).expect("the build folder can be written");
    println!("with more digits: {}", path.display());
}

fn side_by_side(rounds: usize, point: &Point) -> [(&'static str, Samples); 2] {
    let millis = |ms| Duration::from_millis(if point.paced { ms } else { 0 });
    let schedule = Schedule { ttft: millis(50), itl: millis(10), tokens: TOKENS };
    let server = Server::start(schedule).expect("the server starts");
    let mut passes = [Vec::new(), Vec::new()];
    for round in 0..2 * rounds {
        let (requests, concurrency) = (point.requests, point.streams);
        let asked =
            Asked { first_id: round as u32 * requests, requests, concurrency, tokens: TOKENS };
        // openai: raw, raw openai:, …
        let which = usize::from(matches!(round % 4, 1 | 2));
        let through = [through_openai, through_raw_reader][which];
        let mut pass = through(server.address(), &asked);
        pass.seen.retain(|seen| seen.id - asked.first_id >= concurrency);
        passes[which].push(pass);
    }
    let asked_in_all = 2 * rounds * point.requests as usize;
    let truths: HashMap<u32, Truth> = server
        .truths(asked_in_all)
        .expect("the server wrote its log")
        .into_iter()
        .map(|truth| (truth.id, truth))
        .collect();
    let [ours, raw] = passes.map(|passes| samples(&passes, &truths));
    [("openai:", ours), ("raw", raw)]
}

fn samples(passes: &[Pass], truths: &HashMap<u32, Truth>) -> Samples {
    let mut samples = Samples::default();
    for seen in passes.iter().flat_map(|pass| &pass.seen) {
        samples.add(seen, &truths[&seen.id]);
    }
    samples
}

impl Samples {
    fn add(&mut self, seen: &Seen, truth: &Truth) {
        let ms = |later: MonoNs, earlier: MonoNs| (later - earlier).as_millis_f64();
        let first = truth.sent[0];
        self.ttft_said.push(ms(seen.first, seen.sent));
        self.ttft_true.push(ms(first, seen.sent));
        self.ttft_server.push(ms(first, truth.read));
        self.ttft_error.push(ms(seen.first, first).abs());
        self.itl_true.extend(truth.sent.windows(2).map(|pair| ms(pair[1], pair[0])));
        self.pull_lag.push(seen.pull_lag.as_millis_f64());
        self.by_kernel += usize::from(seen.by_kernel);
        self.add_gaps(&seen.arrivals, truth);
    }

    /// Token `n` is the `n`-th that arrived: one stream keeps its order.
    fn add_gaps(&mut self, arrivals: &[Arrival], truth: &Truth) {
        let mut token = 0;
        let mut before: Option<Arrival> = None;
        for &arrival in arrivals.iter().filter(|arrival| arrival.tokens > 0) {
            if let Some(before) = before {
                let gap = (arrival.at - before.at).as_millis_f64() / f64::from(arrival.tokens);
                self.itl_said.extend(std::iter::repeat_n(gap, arrival.tokens as usize));
                if (before.tokens, arrival.tokens) == (1, 1) {
                    let true_gap = (truth.sent[token] - truth.sent[token - 1]).as_millis_f64();
                    self.itl_error.push((gap - true_gap).abs());
                }
            }
            token += arrival.tokens as usize;
            before = Some(arrival);
        }
    }
}

fn both(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    format!("{:.digits$} / {:.digits$}", percentile(values, 0.5), percentile(values, 0.99))
}

fn print_row(point: &Point, client: &str, samples: &Samples) {
    let streams = format!("{}{}", point.streams, if point.paced { "" } else { " sat." });
    println!(
        "{streams:>9} {client:>7} {:>17} {:>17} {:>17} {:>15} {:>15} {:>15} {:>13}",
        both(&samples.ttft_said, 2),
        both(&samples.ttft_true, 2),
        both(&samples.ttft_server, 2),
        both(&samples.ttft_error, 3),
        both(&samples.itl_said, 2),
        both(&samples.itl_true, 2),
        both(&samples.itl_error, 3),
    );
}

const HEADER: &str = "streams,paced,client,requests,kernel_stamped,ttft_said_p50_ms,ttft_said_p99_ms,\
ttft_true_p50_ms,ttft_true_p99_ms,server_ttft_p50_ms,server_ttft_p99_ms,ttft_error_p50_ms,ttft_error_p99_ms,\
itl_said_p50_ms,itl_said_p99_ms,itl_true_p50_ms,itl_true_p99_ms,itl_error_p50_ms,itl_error_p99_ms,\
pull_lag_p50_ms,pull_lag_p99_ms";

fn csv_row(point: &Point, client: &str, samples: &Samples) -> String {
    let mut row = format!(
        "{},{},{client},{},{}",
        point.streams,
        point.paced,
        samples.ttft_said.len(),
        samples.by_kernel
    );
    let columns = [
        &samples.ttft_said,
        &samples.ttft_true,
        &samples.ttft_server,
        &samples.ttft_error,
        &samples.itl_said,
        &samples.itl_true,
        &samples.itl_error,
        &samples.pull_lag,
    ];
    for values in columns {
        for share in [0.5, 0.99] {
            row.push(',');
            if !values.is_empty() {
                row.push_str(&percentile(values, share).to_string());
            }
        }
    }
    row
}
