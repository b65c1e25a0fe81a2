//! Fidelity: measured figures agree with the declared costs that went in.

use bareflight::cli::resolve::resolve;
use bareflight::cli::typed::Settings;
use bareflight::experiment::preflight;
use bareflight::experiment::sweep::{self, Watch};
use bareflight::issue::live_phase::LivePhase;
use bareflight::issue::stop::Stop;
use bareflight::metrics::percentile::Percentile;
use bareflight::metrics::{Quantity, Summary};
use bareflight::settings::Resolved;
use bareflight::store::measured_run::MeasuredRun;

/// Sees nothing: these tests look at what is returned.
struct Nobody;

impl Watch for Nobody {
    fn begun(
        &mut self,
        _: &bareflight::targets::TargetInfo,
        _: &bareflight::store::run_directory::RunDirectory,
    ) {
    }
    fn phase(&mut self, _: &str, _: u64, _: Option<bareflight::clock::Nanos>, _: &LivePhase) {}
    fn phase_over(&mut self) {}
    fn measured(&mut self, _: &bareflight::store::manifest::PointEntry, _: &Summary) {}
}

fn settings(toml: &str, out: &tempfile::TempDir) -> Resolved {
    let mut typed: Settings = toml::from_str(toml).expect("the test's own settings");
    typed.out = Some(out.path().to_owned());
    resolve(&typed).expect("the test's own settings")
}

fn measure(toml: &str) -> MeasuredRun {
    let out = tempfile::tempdir().expect("a temporary folder");
    measure_into(&out, toml)
}

fn measure_into(out: &tempfile::TempDir, toml: &str) -> MeasuredRun {
    let mut resolved = settings(toml, out);
    let ready = preflight::prepare(&mut resolved).expect("can be measured");
    sweep::run(
        &resolved,
        &resolved.to_toml().expect("plain data"),
        ready,
        &Stop::never(),
        &mut Nobody,
    )
    .expect("was measured")
}

fn p50(summary: &Summary, quantity: Quantity) -> f64 {
    summary.percentile(quantity, Percentile::P50).expect("was measured").value
}

/// One request at a time on declared costs: 100 prompt tokens at 30 µs and 1 ms per iteration make 4 ms to the first
/// token; each further token is one iteration of 1 ms + 0.5 ms.
///
/// Nothing is earlier than that, in the median; and the fastest of 40 requests is as early, but for the time in which two
/// threads wake up. A busy machine makes a measurement late, which is true of it and no fault of ours, so that the median
/// has no bound from above here: a quiet machine stays within 100 µs, and `just bench-fidelity` shows it.
#[test]
fn measured_latencies_are_what_the_cost_model_says() {
    const WAKING_MS: f64 = 0.5;
    let outcome = measure(
        "target = 'sim:explicit,base_us=1000,prefill_us_per_token=30,decode_us_per_sequence=500'\n\
         concurrency = [1]\nrequests = 40\nscenario = 'D(100,21)'\nwarmup = 2",
    );
    let summary = &outcome.points[0].summary;
    for (quantity, expected_ms) in [
        (Quantity::Ttft, 4.0),
        (Quantity::Itl, 1.5),
        (Quantity::Tpot, 1.5),
        (Quantity::E2e, 4.0 + 20.0 * 1.5),
    ] {
        let median = p50(summary, quantity);
        let fastest = summary.distribution(quantity).expect("was measured").min;
        println!("{quantity:?}: {fastest:.4}, {median:.4} ms; the cost model: {expected_ms} ms");
        assert!(median > expected_ms - 0.02, "{quantity:?}: {median} ms is earlier than possible");
        assert!(fastest < expected_ms + WAKING_MS, "{quantity:?}: all are late: {fastest} ms");
    }
}

/// The engine stops once for 600 ms. Under a cap on requests in flight the harness cannot send meanwhile: whoever looks
/// only from the submission on does not see what users would have waited.
#[test]
fn intended_latency_sees_a_stall_that_submit_latency_hides() {
    let outcome = measure(
        "target = 'sim:explicit,base_us=500,stall_at_ms=700,stall_ms=600'\n\
         rate = [200.0]\narrivals = 'constant'\nmax_in_flight = 2\nduration = '3s'\n\
         scenario = 'D(8,4)'\nwarmup = 0",
    );
    let summary = &outcome.points[0].summary;
    let p99 = |quantity| summary.percentile(quantity, Percentile::P99).expect("measured").value;
    let p90 = |quantity| summary.percentile(quantity, Percentile::P90).expect("measured").value;
    println!("p99 submit {} ms, intended {} ms", p99(Quantity::E2e), p99(Quantity::E2eIntended));
    assert!(p99(Quantity::E2eIntended) > 400.0, "users waited for most of the stall");
    assert!(p90(Quantity::E2eIntended) > 100.0, "and many of them");
    assert!(p99(Quantity::E2e) < 100.0, "from the submission on, nearly nobody did");
}

#[test]
fn the_same_seed_asks_the_same_and_gets_the_same_tokens() {
    let run = |target: &str, seed: u32| {
        let out = tempfile::tempdir().expect("a temporary folder");
        let outcome = measure_into(
            &out,
            &format!(
                "target = '{target}'\nconcurrency = [3]\nrequests = 12\nscenario = 'U(8,30)/(4,12)'\n\
             warmup = 1\nseed = {seed}"
            ),
        );
        let records = outcome.load_records().expect("they were written");
        let hashes: Vec<_> = records[0].measured().iter().map(|record| record.token_hash).collect();
        (outcome.manifest.points[0].plan_hash.clone(), hashes)
    };
    for target in ["sim:explicit,base_us=50", "local:dummy-pico"] {
        let first = run(target, 1);
        assert_eq!(first, run(target, 1), "{target}");
        let other = run(target, 2);
        assert_ne!(first.0, other.0, "{target}");
        assert_ne!(first.1, other.1, "{target}");
    }
}

#[test]
fn blocks_of_the_kv_cache_are_followed_when_asked_and_as_many_as_prompts_fill() {
    // 64 blocks of 32 tokens; each prompt fills three blocks, of which all prompts of a point share the first.
    let asked = "target = 'sim:explicit,base_us=500,kv_tokens=2048'\nconcurrency = [1]\nrequests = 40\nwarmup = 0\n\
                 scenario = 'D(96,1)'\nprefix_tokens = 32\nkv_reuse = true\nwindow = 'whole'";
    let out = tempfile::tempdir().expect("a temporary folder");
    let measured = |toml: &str| measure_into(&out, toml);
    let silent = measured(asked);
    assert_eq!(silent.points[0].summary.kv_events, None);
    assert!(!silent.directory.file("kv_events.jsonl").exists());
    let told = measured(&format!("{asked}\n[engine]\nkv_events = 1000"));
    assert!(told.directory.file("kv_events.jsonl").exists());
    let message = told.points[0].summary.kv_events.as_ref().expect("events");
    assert_eq!((message.blocks_stored, message.lost), (1 + 40 * 2, 0));
    // What does not fit the cache any more was removed; the last prompts found room by that.
    assert_eq!(message.blocks_removed, 1 + 40 * 2 - 64);
    assert_eq!((message.blocks_offloaded, message.blocks_onboarded), (0, 0));
    let sliced: u64 = message.over_time.iter().map(|slice| slice.stored).sum();
    assert_eq!(sliced, message.blocks_stored);
}

#[test]
fn a_run_read_back_from_its_files_has_the_same_numbers() {
    use bareflight::experiment::artefacts;
    use bareflight::store::read_back::read_back;
    let out = tempfile::tempdir().expect("a temporary folder");
    let mut resolved = settings(
        "target = 'sim:explicit,base_us=100,draft_len=2,acceptance=0.5'\nconcurrency = [1, 4]\n\
         requests = 20\nscenario = 'D(16,8)'\nslo = 'ttft<1s'\nkv_reuse = true\n[engine]\nkv_events = 1000",
        &out,
    );
    let ready = preflight::prepare(&mut resolved).expect("can be measured");
    let outcome = sweep::run(
        &resolved,
        &resolved.to_toml().expect("plain data"),
        ready,
        &Stop::never(),
        &mut Nobody,
    )
    .expect("was measured");
    artefacts::write_reports(&outcome).expect("written");
    let read = |name: &str| std::fs::read(outcome.directory.file(name)).expect(name);
    let before = ["summary.json", "summary.csv", "report.html"].map(read);
    let again = read_back(outcome.directory.path()).expect("reads back");
    artefacts::write_reports(&again).expect("written again");
    assert_eq!(before, ["summary.json", "summary.csv", "report.html"].map(read));
}
