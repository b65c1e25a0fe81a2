//! Benchmark of the bridge's overhead: the simulated `null` executor driven from Rust through bridge, ring and
//! recorder, and the same closed loop in C++ alone. Both run in one process, in turns; the result is their ratio.

#![allow(missing_docs)] // The macros of criterion make functions without any.

use std::sync::Arc;
use std::time::Duration;

use bareflight::clock::{self, Nanos};
use bareflight::ffi::engine::raw_loop_simulated;
use bareflight::issue::pace::{Graces, Pace};
use bareflight::issue::phase::Stage;
use bareflight::issue::stop::Stop;
use bareflight::load::Load;
use bareflight::load::course::Tail;
use bareflight::load::plan::Shot;
use bareflight::request::RequestId;
use bareflight::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use bareflight::settings::engine::EngineSettings;
use bareflight::targets::Target;
use bareflight::targets::sim::{SimTarget, wire_config};
use bareflight::workload::DEFAULT_PRIORITY;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const REQUESTS: u32 = 1_000;
const CONCURRENCY: u32 = 32;
const PROMPT: u32 = 32;
const TOKENS: u32 = 128;

/// Time of one pass over all requests.
#[derive(Debug, Clone, Copy)]
struct Cost {
    deliveries: u64,
    wall: Nanos,
    cpu: Nanos,
}

fn settings() -> EngineSettings {
    EngineSettings { perf_metrics: false, iteration_stats: Some(0), ..EngineSettings::default() }
}

fn shots() -> Vec<Shot> {
    let prompt = Prompt { ids: Arc::from(vec![5_u32; PROMPT as usize]), text: None };
    let request = RequestSpec {
        beside: Beside::Nothing,
        prompt,
        output: OutputSpec { max_tokens: TOKENS, min_tokens: 0, ignore_eos: true },
        sampling: Sampling::greedy(0),
        streaming: true,
        priority: DEFAULT_PRIORITY,
        adapter: None,
        terms: Arc::default(),
    };
    (0..REQUESTS).map(|id| Shot::new(RequestId(id), request.clone())).collect()
}

fn through_the_bridge(shots: &[Shot]) -> Cost {
    let target: Box<dyn Target> = Box::new(SimTarget::new("null", settings()).expect("a profile"));
    let mut stage = Stage::open(target, shots.len(), CONCURRENCY as usize, Stop::never())
        .expect("the simulated executor opens");
    let pace = Pace {
        load: Load::Closed { concurrency: CONCURRENCY },
        ramp: None,
        tail: Tail::None,
        stages: None,
        duration: None,
        timeout: Nanos::from_secs_f64(60.0),
        drain: Nanos::from_secs_f64(1.0),
        graces: Graces::OF_RUNS,
        begin_at: None,
    };
    let cpu = clock::process_cpu();
    let (played, sealed) = stage.run(shots, &pace, None);
    let cpu = Nanos(clock::process_cpu().0 - cpu.0);
    assert_eq!(stage.waited().waits, 0, "nothing waited for the recorder");
    let deliveries = sealed.records.iter().map(|(_, arrivals)| arrivals.len() as u64).sum();
    stage.finish();
    Cost { deliveries, wall: played.end - played.start, cpu }
}

fn in_cpp_alone() -> Cost {
    let config = wire_config("null", &settings());
    let raw = raw_loop_simulated(&config, REQUESTS.into(), CONCURRENCY, PROMPT, TOKENS as i32)
        .expect("runs");
    Cost { deliveries: raw.deliveries, wall: Nanos(raw.wall_ns), cpu: Nanos(raw.process_cpu_ns) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// In turns, so that a machine that slows down slows both.
fn side_by_side(shots: &[Shot]) {
    let pairs: Vec<(Cost, Cost)> =
        (0..11).map(|_| (through_the_bridge(shots), in_cpp_alone())).collect();
    let cpu_ns = |cost: &Cost| cost.cpu.0 as f64 / cost.deliveries as f64;
    let rate = |cost: &Cost| cost.deliveries as f64 / cost.wall.as_secs_f64();
    let of = |figure: &dyn Fn(&(Cost, Cost)) -> f64| median(pairs.iter().map(figure).collect());
    println!(
        "\nbridge, ring, recorder and records, beside the raw C++ loop (medians of {} pairs)",
        pairs.len()
    );
    println!(
        "  deliveries/s          {:>12.0}   raw {:>12.0}",
        of(&|p| rate(&p.0)),
        of(&|p| rate(&p.1))
    );
    println!(
        "  CPU ns per delivery   {:>12.0}   raw {:>12.0}",
        of(&|p| cpu_ns(&p.0)),
        of(&|p| cpu_ns(&p.1))
    );
    println!("  CPU ratio             {:>12.3}\n", of(&|p| cpu_ns(&p.0) / cpu_ns(&p.1)));
}

fn deliveries(criterion: &mut Criterion) {
    let shots = shots();
    side_by_side(&shots);
    let mut group = criterion.benchmark_group("deliveries");
    group.throughput(Throughput::Elements(u64::from(REQUESTS * TOKENS)));
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    group.bench_function("bridge", |bencher| {
        bencher.iter_custom(|passes| {
            let walls = (0..passes).map(|_| through_the_bridge(&shots).wall.0.unsigned_abs());
            Duration::from_nanos(walls.sum())
        });
    });
    group.bench_function("raw C++ loop", |bencher| {
        bencher.iter_custom(|passes| {
            let walls = (0..passes).map(|_| in_cpp_alone().wall.0.unsigned_abs());
            Duration::from_nanos(walls.sum())
        });
    });
    group.finish();
}

criterion_group!(benches, deliveries);
criterion_main!(benches);
