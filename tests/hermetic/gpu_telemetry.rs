//! GPU telemetry: the whole path from the library to the report. There is no GPU here: a management library that plays a
//! script (`fake_nvml/nvml.c`) is built and named, and every artefact says whose word it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::left_behind;
use crate::support::left_behind::{in_one_line, words};
use crate::support::made_up;
use crate::support::made_up::bareflight;
use crate::support::stand_in;
use serde_json::Value;
use tempfile::TempDir;

/// A folder with the library in it.
fn with_library() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    made_up::library(&folder, "fake_nvml/nvml.c", "libfake-nvml.so");
    let library = folder.path().join("libfake-nvml.so");
    (folder, library)
}

/// 400 ms of a simulated executor that is watched.
fn run(script: &[(&str, &str)], more: &[&str]) -> (TempDir, Output, Option<PathBuf>) {
    let (folder, library) = with_library();
    let library = library.display().to_string();
    let mut arguments = made_up::RUN.to_vec();
    arguments.extend(["--concurrency", "4", "--duration", "400ms", "--warmup", "1"]);
    arguments.extend(["--nvml-library", &library]);
    arguments.extend(more);
    let output = bareflight(&folder, script, &arguments);
    let runs = fs::read_dir(folder.path().join("runs")).ok();
    let directory = runs.and_then(|mut runs| Some(runs.next()?.expect("listed").path()));
    (folder, output, directory)
}

fn json(directory: &Path, name: &str) -> Value {
    let text = fs::read_to_string(directory.join(name)).expect(name);
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn energy_per_token_is_the_power_of_the_watched_gpus_over_the_window_and_its_tokens() {
    let script = [("FAKE_NVML_GPUS", "2"), ("FAKE_NVML_POWER_W", "150")];
    let (_folder, output, directory) = run(&script, &["--gpu-telemetry", "all"]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let directory = directory.expect("a run directory");
    let point = json(&directory, "summary.json")["points"][0].clone();
    let gpu = &point["gpu"];
    assert_eq!(gpu["energy_valid"], true, "{gpu}");
    assert_eq!(gpu["gpus"].as_array().map(Vec::len), Some(2));
    assert_eq!(gpu["gpus"][1]["uuid"], "GPU-fake-1");
    assert_eq!(gpu["gpus"][0]["energy_from"], "power");
    let number = |value: &Value| value.as_f64().expect("a number");
    let joules = 2.0 * 150.0 * number(&point["window_s"]);
    assert!((number(&gpu["energy_j"]) - joules).abs() < joules * 1e-6, "{gpu}");
    let tokens =
        number(&point["rates"]["output_throughput_tokens_per_s"]) * number(&point["window_s"]);
    let per_token = number(&point["rates"]["energy_per_output_token_j"]);
    assert!((per_token - joules / tokens).abs() < per_token * 1e-6, "{per_token}");
    let printed = in_one_line(&words(&output.stdout));
    assert!(printed.contains("J per output token"), "{printed}");
    assert!(printed.contains("(GPU-fake-1): 150.0 W"), "{printed}");
}

#[test]
fn every_sample_is_kept_raw_and_reports_made_again_are_equal() {
    let (folder, _, directory) = run(&[], &["--gpu-telemetry", "GPU-fake-0"]);
    let directory = directory.expect("a run directory");
    let text = fs::read_to_string(directory.join("gpu.jsonl")).expect("samples");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() >= 3, "{text}");
    for line in &lines {
        assert_eq!(line["uuid"], "GPU-fake-0");
        assert_eq!(line["power_w"], 200.0);
        assert_eq!(line["sm_mhz"], 1500);
        assert_eq!(line["memory_utilisation"], 0.5);
    }
    let stamps: Vec<_> = lines.iter().map(|line| line["t_ns"].as_i64()).collect();
    assert!(stamps.is_sorted());
    let window = json(&directory, "summary.json")["points"][0]["window"].clone();
    assert!(
        stamps[0] <= window["start_ns"].as_i64()
            && stamps[stamps.len() - 1] >= window["end_ns"].as_i64()
    );
    let before = fs::read(directory.join("summary.json")).expect("a summary");
    bareflight(&folder, &[], &["report", &directory.display().to_string()]);
    assert_eq!(fs::read(directory.join("summary.json")).expect("a summary"), before);
}

#[test]
fn a_run_whose_clocks_were_held_down_is_marked_with_the_reason() {
    // Power cap and heat noticed by hardware; the idle bit beside them says nothing.
    let script = [("FAKE_NVML_THROTTLE", "69")];
    let (_folder, output, directory) = run(&script, &["--gpu-telemetry", "all"]);
    let point = json(&directory.expect("a run directory"), "summary.json")["points"][0].clone();
    let checks = point["checks"].as_array().expect("checks").clone();
    let check = checks.iter().find(|check| check["id"] == "gpu_throttling").expect("the check");
    assert_eq!((check["status"].as_str(), check["measured"].as_f64()), (Some("warn"), Some(1.0)));
    let printed = in_one_line(&words(&output.stdout));
    assert!(printed.contains("warning[gpu_throttling]"), "{printed}");
    assert!(printed.contains("by the power cap and heat"), "{printed}");
}

#[test]
fn every_artefact_names_the_source_of_gpu_numbers() {
    let (_folder, output, directory) = run(&[], &["--gpu-telemetry", "all"]);
    let directory = directory.expect("a run directory");
    assert!(words(&output.stdout).contains("libfake-nvml.so"), "{}", words(&output.stdout));
    let manifest = json(&directory, "manifest.json");
    assert_eq!(manifest["gpus"]["driver"]["named"], true);
    assert_eq!(manifest["gpus"]["gpus"][0]["name"], "Fake GPU (no hardware)");
    let page = fs::read_to_string(directory.join("report.html")).expect("a page");
    assert!(page.contains("libfake-nvml.so"));
}

#[test]
fn the_page_shows_power_and_clocks_where_gpus_were_watched_and_nowhere_else() {
    for (choice, is_there) in [("all", true), ("none", false)] {
        let (_folder, output, directory) = run(&[], &["--gpu-telemetry", choice]);
        let directory = directory.unwrap_or_else(|| panic!("{}", words(&output.stderr)));
        let page = fs::read_to_string(directory.join("report.html")).expect("a page");
        for title in ["Power of the GPUs", "Clock of the multiprocessors"] {
            assert_eq!(page.contains(title), is_there, "{choice}: {title}");
        }
    }
}

/// A run of an engine directory that a simulated profile stands in for, which names no GPU of its own.
fn run_engine(name: &str, more: &[&str]) -> (Output, Value, Value) {
    run_engine_after_a_probe(name, more, "{}")
}

/// The same, where the user's cache holds this of measured GPUs.
fn run_engine_after_a_probe(name: &str, more: &[&str], measured: &str) -> (Output, Value, Value) {
    let (folder, library) = with_library();
    let cache = folder.path().join("cache/bareflight");
    fs::create_dir_all(&cache).expect("a folder");
    fs::write(cache.join("measured-gpus.json"), measured).expect("written");
    let engine = stand_in::target(&folder, "explicit,base_us=2000", 1).replace("trtllm:", "sim:");
    let library = library.display().to_string();
    let mut arguments = vec!["run", "--target", &engine, "--scenario", "D(16,8)"];
    arguments.extend(["--concurrency", "2", "--requests", "8", "--warmup", "1"]);
    arguments.extend(["--nvml-library", &library, "--gpu-telemetry", "all"]);
    arguments.extend(more);
    let script = [("FAKE_NVML_NAME", name), ("XDG_CACHE_HOME", "cache")];
    let output = bareflight(&folder, &script, &arguments);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let directory = left_behind::directory(&folder);
    let summary = left_behind::document(&directory, "summary");
    (output, summary["points"][0].clone(), json(&directory, "manifest.json"))
}

#[test]
fn a_gpu_that_no_datasheet_is_known_of_gives_a_note_and_no_roofline() {
    let (output, point, manifest) = run_engine("NVIDIA Made-Up 1", &[]);
    assert_eq!(point["roofline"], Value::Null);
    let warnings = manifest["warnings"].to_string();
    assert!(warnings.contains("no datasheet of a GPU `NVIDIA Made-Up 1`"), "{warnings}");
    assert!(words(&output.stderr).contains("warning[roofline]"), "{}", words(&output.stderr));
}

#[test]
fn the_roofline_is_that_of_the_gpu_that_the_driver_names_unless_the_user_names_one() {
    let (output, point, manifest) = run_engine("NVIDIA H200", &[]);
    assert_eq!(point["roofline"]["machine"], "H200 SXM");
    assert_eq!(point["roofline"]["machine_from"], "nvml");
    let facts = &manifest["points"][0]["facts"]["roofline"];
    assert_eq!(facts["machine_from"], "nvml");
    let source = facts["machine"]["source"].as_str().expect("a source");
    assert!(source.contains("H200 Tensor Core GPU datasheet"), "{source}");
    let printed = in_one_line(&words(&output.stdout));
    assert!(printed.contains("roofline of H200 SXM (as NVML names it): decode floor"), "{printed}");

    let (_, point, _) = run_engine("NVIDIA H200", &["--gpu", "b200"]);
    assert_eq!(point["roofline"]["machine"], "B200");
    assert_eq!(point["roofline"]["machine_from"], "user");
}

#[test]
fn a_roofline_shows_both_shares_of_the_datasheet_and_of_what_the_gpu_was_measured_to_do() {
    let measured = r#"{"GPU-fake-0": {"uuid": "GPU-fake-0", "at": "2026-01-01T00:00:00Z",
        "read_bytes_per_s": 2.4e12, "bfloat16_flops": 4e14, "float8_flops": 8e14}}"#;
    let (output, point, manifest) = run_engine_after_a_probe("NVIDIA H200", &[], measured);
    let roofline = &point["roofline"];
    let (share, of_measured) =
        (&roofline["decode"]["share"], &roofline["measured"]["decode_share"]);
    // Memory holds it back, at half of the datasheet's 4.8 TB/s.
    let twice = of_measured.as_f64().expect("a share") / share.as_f64().expect("a share");
    assert!((twice - 2.0).abs() < 1e-9, "{roofline}");
    assert_eq!(roofline["measured"]["source"], "measured at 2026-01-01T00:00:00Z");
    let facts = &manifest["points"][0]["facts"]["roofline"]["measured"];
    assert_eq!(facts["bandwidth_bytes_per_s"], 2.4e12);
    let printed = in_one_line(&words(&output.stdout));
    assert!(printed.contains("% of measured)"), "{printed}");
    // Another machine than the user's was not measured, nor was another GPU.
    let (_, point, _) = run_engine_after_a_probe("NVIDIA H200", &["--gpu", "b200"], measured);
    assert_eq!(point["roofline"].get("measured"), None);
    let other = measured.replace("GPU-fake-0", "GPU-fake-7");
    let (_, point, _) = run_engine_after_a_probe("NVIDIA H200", &[], &other);
    assert_eq!(point["roofline"].get("measured"), None);
    let (output, _, _) = run_engine_after_a_probe("NVIDIA H200", &[], "not JSON");
    assert!(words(&output.stderr).contains("measured-gpus.json"), "{}", words(&output.stderr));
}

#[test]
fn gpus_and_libraries_that_are_not_there_are_refused_before_any_load() {
    let (_folder, output, _) = run(&[], &["--gpu-telemetry", "GPU-none"]);
    assert_eq!(output.status.code(), Some(3), "{}", words(&output.stderr));
    assert!(words(&output.stderr).contains("GPU-fake-0"), "{}", words(&output.stderr));
    let (_folder, output, _) = run(&[("FAKE_NVML_INIT", "9")], &["--gpu-telemetry", "all"]);
    assert_eq!(output.status.code(), Some(3), "{}", words(&output.stderr));
}

#[test]
fn nothing_is_watched_where_nobody_asked() {
    let (_folder, output, directory) = run(&[], &[]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let directory = directory.expect("a run directory");
    assert!(!directory.join("gpu.jsonl").exists());
    assert_eq!(json(&directory, "summary.json")["points"][0]["gpu"], Value::Null);
}

#[test]
fn the_doctor_judges_what_the_library_says_of_each_gpu() {
    let (folder, library) = with_library();
    let library = library.display().to_string();
    let script = [("FAKE_NVML_GPUS", "2"), ("FAKE_NVML_PERSISTENCE", "0")];
    let output = bareflight(&folder, &script, &["doctor", "--json", "--nvml-library", &library]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let of = |id: &str| -> Vec<&Value> {
        findings.iter().filter(|finding| finding["area"] == "gpu" && finding["id"] == id).collect()
    };
    let persistence = of("persistence");
    assert_eq!(persistence.len(), 2);
    assert_eq!(persistence[1]["status"], "warn");
    assert_eq!(persistence[1]["remedy"], "sudo nvidia-smi -i GPU-fake-1 -pm 1");
    assert_eq!(of("throttling")[0]["status"], "pass");
    let driver = of("driver")[0]["sentence"].as_str().expect("words");
    assert!(driver.contains("580.0-fake") && driver.contains("libfake-nvml.so"), "{driver}");
}
