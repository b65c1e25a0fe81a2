//! Profile windows: a profiler is switched once in each measured point, and every artefact says so. The driver is a library
//! that notes each switch (`fake_cuda/cuda.c`).

use std::fs;
use std::process::{Command, Output};

use crate::support::left_behind::words;
use crate::support::made_up;
use serde_json::Value;
use tempfile::TempDir;

const MS: i64 = 1_000_000;

/// A folder with the library in it, a run of 400 ms there at two concurrencies, and what came of it.
fn run(script: &[(&str, &str)], window: &str) -> (TempDir, Output) {
    let folder = tempfile::tempdir().expect("a folder");
    made_up::library(&folder, "fake_cuda/cuda.c", "cuda.so");
    let load = ["--concurrency", "1,2", "--duration", "400ms", "--warmup", "1"];
    let looked_at = ["--profile-window", window, "--cuda-library", "./cuda.so"];
    let arguments = [&made_up::RUN[..], &load, &looked_at].concat();
    let script = [&[("FAKE_CUDA_LOG", "switches")], script].concat();
    let output = made_up::bareflight(&folder, &script, &arguments);
    (folder, output)
}

fn json(folder: &TempDir, name: &str) -> Value {
    let mut runs = fs::read_dir(folder.path().join("runs")).expect("`runs` was made");
    let directory = runs.next().expect("a run").expect("listed").path();
    serde_json::from_str(&fs::read_to_string(directory.join(name)).expect(name)).expect("JSON")
}

#[test]
fn the_profiler_looks_once_in_each_measured_point_and_every_artefact_says_so() {
    let (folder, output) = run(&[], "100ms..200ms");
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let log = fs::read_to_string(folder.path().join("switches")).expect("it was switched");
    let switches: Vec<(&str, i64)> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(word, at)| (word, at.parse().expect("nanoseconds")))
        .collect();
    let order: Vec<&str> = switches.iter().map(|(word, _)| *word).collect();
    assert_eq!(order, ["start", "stop", "start", "stop"]);
    let summary = json(&folder, "summary.json");
    for (point, pair) in switches.chunks(2).enumerate() {
        let window = &summary["points"][point]["window"];
        let end = window["end_ns"].as_i64().expect("an instant");
        // It counts from when the point is set up, which is before its first request.
        assert!(pair[0].1 < end, "{point}: {switches:?}");
        assert!(pair[1].1 >= pair[0].1 + 90 * MS, "{point}: {switches:?}");
    }
    assert!(summary["marks"].as_array().is_some_and(|marks| marks.contains(&"profiled".into())));
    assert!(words(&output.stdout).contains("PROFILED"), "{}", words(&output.stdout));
}

#[test]
fn a_window_that_a_point_does_not_reach_is_a_fault_and_no_profile() {
    let (folder, output) = run(&[], "60s..61s");
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    assert!(!folder.path().join("switches").exists());
    let faults = json(&folder, "manifest.json")["faults"].to_string();
    assert!(faults.contains("before its profile window began"), "{faults}");
    assert_eq!(
        json(&folder, "summary.json")["points"][0]["marks"],
        serde_json::json!(["simulated"])
    );
}

#[test]
fn an_error_of_the_driver_names_the_function_that_failed() {
    let (folder, _) = run(&[("FAKE_CUDA_CONTEXT", "1")], "100ms..200ms");
    let faults = json(&folder, "manifest.json")["faults"].to_string();
    assert!(faults.contains("cuDevicePrimaryCtxRetain"), "{faults}");
}

#[test]
fn a_window_without_a_driver_is_refused_before_any_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", "null:", "--requests", "1", "--profile-window", "1s..2s"])
        .args(["--cuda-library", "/nowhere/libcuda.so"])
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(3), "{}", words(&output.stderr));
    assert!(words(&output.stderr).contains("/nowhere/libcuda.so"));
}
