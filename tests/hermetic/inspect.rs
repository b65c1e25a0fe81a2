//! Engine directories: read before anything is loaded, with the roofline of the simulated executor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::left_behind::words;
use bareflight::engine_directory::EngineDirectory;
use bareflight::metrics::roofline::floor;
use bareflight::settings::engine::EngineSettings;
use bareflight::targets::Target;
use bareflight::targets::sim::SimTarget;
use serde_json::Value;
use tempfile::TempDir;

const LLAMA_8B: &str = "llama3-8b-fp8-tp1";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine_directories").join(name)
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).env("CI", "1").output().expect("the binary runs")
}

/// The 8B engine with a stand-in of the simulated executor behind it.
fn stand_in(profile: &str) -> TempDir {
    let text = fs::read_to_string(fixture(LLAMA_8B).join("config.json")).expect("a fixture");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    config["simulated_profile"] = profile.into();
    let directory = tempfile::tempdir().expect("a folder");
    fs::write(directory.path().join("config.json"), config.to_string()).expect("written");
    directory
}

fn path(directory: &TempDir) -> String {
    directory.path().to_str().expect("a path of text").to_owned()
}

#[test]
fn an_engine_that_would_fail_is_shown_and_refused() {
    let directory = fixture("llama-13b-legacy");
    let output = run(&["inspect", "engine", directory.to_str().expect("text")]);
    let shown = words(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{shown}");
    for part in
        ["llama, 40 layers", "2 GPUs", "llama_float16_tp2_rank0.engine MISSING", "refused[version]"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn an_engine_in_json_has_its_figures_and_its_findings() {
    let directory = stand_in("h200-llama3-8b-fp8");
    let output = run(&["inspect", "engine", &path(&directory), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["model"]["architecture"], "LlamaForCausalLM");
    assert_eq!(json["mapping"]["tensor"], 1);
    assert_eq!(json["limits"]["max_batch_size"], 256);
    assert_eq!(json["limits_in_use"]["max_prompt_tokens"], 8191);
    assert_eq!(json["figures"]["parameters"], 8_030_261_248.0);
    assert_eq!(json["findings"], serde_json::json!([]));
}

#[test]
fn what_is_no_engine_is_one_clear_sentence() {
    let directory = tempfile::tempdir().expect("a folder");
    let error = |expected: &str| {
        let output = run(&["inspect", "engine", &path(&directory)]);
        let message = words(&output.stderr);
        assert_eq!((output.status.code(), message.lines().count()), (Some(3), 1), "{message}");
        assert!(message.contains(expected), "{message}");
    };
    error("config.json` cannot be read");
    fs::write(directory.path().join("config.json"), r#"{"model_type": "llama"}"#).expect("written");
    error("Hugging Face model");
    let nowhere = run(&["inspect", "engine", "/no/such/engine"]);
    assert!(words(&nowhere.stderr).contains("`/no/such/engine` is no directory"));
}

#[test]
fn a_plan_is_held_against_the_directory_before_anything_is_loaded() {
    let directory = stand_in("null");
    let target = format!("sim:{}", path(&directory));
    let plan = |more: &[&str]| {
        let output = run(&[&["plan", "--target", &target, "--concurrency", "1"], more].concat());
        (output.status.code(), words(&output.stdout) + &words(&output.stderr))
    };
    let (code, message) = plan(&["--max-batch-size", "300"]);
    assert!(code == Some(3) && message.contains("built for 256"), "{message}");
    let (code, message) = plan(&["--scenario", "D(8000,500)"]);
    assert!(code == Some(3) && message.contains("holds 8192"), "{message}");
    let (code, message) = plan(&["--no-chunked-context", "--max-num-tokens", "100"]);
    assert!(code == Some(3) && message.contains("takes 100"), "{message}");
    let (code, message) = plan(&["--concurrency", "400"]);
    assert!(code == Some(0) && message.contains("warning[max_batch_size]"), "{message}");
}

#[test]
fn the_roofline_of_a_run_is_reported_and_never_exceeded_by_the_simulation() {
    let directory = stand_in("h200-llama3-8b-fp8,base_us=0");
    let out = tempfile::tempdir().expect("a folder");
    let target = format!("sim:{}", path(&directory));
    let (runs, load) =
        (path(&out), ["--concurrency", "4", "--requests", "24", "--scenario", "D(64,48)"]);
    let output = run(&[&["run", "--target", &target, "--out", &runs][..], &load].concat());
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    assert!(printed.contains("roofline of the profile's GPU"), "{printed}");
    let folder =
        fs::read_dir(out.path()).expect("runs").next().expect("a run").expect("listed").path();
    let summary = fs::read_to_string(folder.join("summary.json")).expect("a summary");
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    let decode = &summary["points"][0]["roofline"]["decode"];
    assert_eq!(decode["bound"], "memory");
    // The simulation reaches 0.8 of the bandwidth by its own account, and never more.
    let share = decode["share"].as_f64().expect("a share");
    assert!(share > 0.0 && share < 0.81, "{share}");
    assert!(summary["points"][0]["roofline"]["flop_utilisation"].as_f64().expect("MFU") > 0.0);
    let csv = fs::read_to_string(folder.join("summary.csv")).expect("a table");
    assert!(csv.lines().next().expect("a header").contains("roofline_decode_share"));
}

#[test]
fn the_simulated_cost_model_is_the_roofline_at_its_own_efficiency() {
    let mut compared = 0;
    for profile in
        ["h100-llama3-8b", "h200-llama3-8b-fp8", "h200-llama3-70b-fp8-tp2", "b200-llama3-70b-tp4"]
    {
        let target = SimTarget::new(profile, EngineSettings::default()).expect("a profile");
        let costs = &target.describe().details["costs"];
        let cost = |name: &str| costs[name].as_f64().expect(name);
        let facts = target.deployment().expect("figures").on(None, None, None).expect("a machine");
        for (batch, context) in [(1.0, 100.0), (64.0, 2_000.0)] {
            let floor = floor::decode(&facts, batch, context);
            let simulated_ms = cost("roofline_weights_us") / 1e3
                + batch * context * cost("roofline_kv_ns_per_token") / 1e6;
            assert!((floor.memory_ms / simulated_ms - 0.8).abs() < 1e-3, "{profile}");
            // The simulation leaves out attention's arithmetic.
            let without = floor::decode(&facts, batch, 0.0).compute_ms.expect("a peak");
            let simulated_ms = batch * cost("roofline_compute_ns_per_token") / 1e6;
            assert!((without / simulated_ms - 0.6).abs() < 1e-3, "{profile}");
            compared += 1;
        }
    }
    assert_eq!(compared, 8);
}

#[test]
fn weights_counted_from_a_shape_equal_those_of_the_simulation() {
    let counted =
        EngineDirectory::read(&fixture(LLAMA_8B)).expect("a fixture").figures().expect("figures");
    let target =
        SimTarget::new("h200-llama3-8b-fp8", EngineSettings::default()).expect("a profile");
    let told = target.deployment().expect("figures").model;
    assert!((counted.parameters / told.parameters - 1.0).abs() < 1e-3);
    assert_eq!(counted.kv_bytes_per_token.to_bits(), told.kv_bytes_per_token.to_bits());
    assert_eq!(counted.attention_width.to_bits(), told.attention_width.to_bits());
    assert_eq!(counted.arithmetic, told.arithmetic);
}
