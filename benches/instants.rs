//! Benchmark of instants: how far submissions are from their intended instants at 50 to 20 000 a second on `null:`, and what
//! that costs in CPU.
//!
//! `cargo bench --bench instants`, on a machine that does nothing else. perf_analyzer sleeps until each instant with
//! `std::this_thread::sleep_until` and hands the request to a worker; the same loop is timed beside ours, without a request.

use std::sync::Arc;
use std::time::Duration;

use bareflight::clock::{self, MonoNs, Nanos};
use bareflight::issue::pace::{Graces, Pace};
use bareflight::issue::phase::Stage;
use bareflight::issue::stop::Stop;
use bareflight::load::course::Tail;
use bareflight::load::plan::Shot;
use bareflight::load::{Arrivals, Load};
use bareflight::request::RequestId;
use bareflight::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use bareflight::targets::null::NullTarget;
use bareflight::workload::DEFAULT_PRIORITY;

const RATES: [f64; 4] = [50.0, 500.0, 5_000.0, 20_000.0];
const SECONDS: f64 = 4.0;

/// Distances of submissions from their instants, and the CPU that was used.
struct Kept {
    /// In microseconds, ascending.
    off: Vec<f64>,
    cpu_share: f64,
}

impl Kept {
    fn of(off: impl Iterator<Item = Nanos>, cpu: Nanos, wall: Nanos) -> Self {
        let mut off: Vec<f64> = off.map(|it| it.0.abs() as f64 / 1e3).collect();
        off.sort_by(f64::total_cmp);
        Self { off, cpu_share: cpu.as_secs_f64() / wall.as_secs_f64() }
    }

    fn row(&self, way: &str, rate: f64) {
        let rank = |share: f64| {
            let place = (self.off.len() as f64 * share).ceil() as usize;
            self.off.get(place.max(1) - 1).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{rate:>8} {way:<22} {:>9.1} {:>9.1} {:>10.1} {:>9.0} %",
            rank(0.5),
            rank(0.99),
            rank(1.0),
            100.0 * self.cpu_share
        );
    }
}

fn instants(rate: f64) -> Vec<Nanos> {
    let end = Some(Nanos::from_secs_f64(SECONDS));
    Arrivals::Poisson.instants(rate, 1 << 20, end, 1).expect("a Poisson process has no shape")
}

fn ours(rate: f64) -> Kept {
    let request = RequestSpec {
        prompt: Prompt { ids: Arc::from([1_u32]), text: None },
        beside: Beside::Nothing,
        output: OutputSpec { max_tokens: 1, min_tokens: 0, ignore_eos: true },
        sampling: Sampling::greedy(0),
        streaming: true,
        priority: DEFAULT_PRIORITY,
        adapter: None,
        terms: Arc::default(),
    };
    let shots: Vec<Shot> = (0..)
        .zip(instants(rate))
        .map(|(id, at)| Shot::new(RequestId(id), request.clone()).intended(Some(at)))
        .collect();
    let target = Box::new(NullTarget::default());
    let mut stage = Stage::open(target, shots.len(), 1, Stop::never()).expect("it opens");
    let pace = Pace {
        load: Load::Open { arrivals: Arrivals::Poisson, rate, max_in_flight: None },
        ramp: None,
        tail: Tail::None,
        stages: None,
        duration: None,
        timeout: Nanos::from_secs_f64(60.0),
        drain: Nanos::from_secs_f64(1.0),
        graces: Graces::OF_RUNS,
        begin_at: None,
    };
    let (cpu, begins) = (clock::process_cpu(), clock::now());
    let (_, phase) = stage.run(&shots, &pace, None);
    let (cpu, wall) = (Nanos(clock::process_cpu().0 - cpu.0), clock::now() - begins);
    stage.finish();
    let records = phase.records.requests().iter();
    let off = records.filter_map(|it| Some(it.submit? - it.intended?));
    Kept::of(off.collect::<Vec<_>>().into_iter(), cpu, wall)
}

/// A loop that sleeps until each instant and takes a stamp.
fn by_sleeping(rate: f64) -> Kept {
    let instants = instants(rate);
    let (cpu, start) = (clock::process_cpu(), clock::now());
    let mut off = Vec::with_capacity(instants.len());
    for after in instants {
        let at: MonoNs = start + after;
        let left = at - clock::now();
        if left > Nanos::ZERO {
            std::thread::sleep(Duration::from_nanos(left.0.unsigned_abs()));
        }
        off.push(clock::now() - at);
    }
    let (cpu, wall) = (Nanos(clock::process_cpu().0 - cpu.0), clock::now() - start);
    Kept::of(off.into_iter(), cpu, wall)
}

fn main() {
    println!("|sent - intended| in microseconds, Poisson arrivals, {SECONDS} s each\n");
    println!("  rate/s way                          p50       p99      worst       CPU");
    for rate in RATES {
        ours(rate).row("bareflight, null:", rate);
        by_sleeping(rate).row("sleep until, alone", rate);
    }
}
