//! `bareflight doctor`: lines, exit codes, and no fault found with a machine for having no GPU.

use std::process::{Command, Output};

use crate::support::left_behind::words;
use crate::support::made_up;
use serde_json::Value;

fn doctor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .arg("doctor")
        .args(arguments)
        .env_remove("BAREFLIGHT_TARGET")
        .output()
        .expect("the binary runs")
}

fn findings(output: &Output) -> Vec<Value> {
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    report["findings"].as_array().expect("a list").clone()
}

fn find<'a>(findings: &'a [Value], area: &str, id: &str) -> &'a Value {
    findings
        .iter()
        .find(|finding| finding["area"] == area && finding["id"] == id)
        .unwrap_or_else(|| panic!("{area} {id} is missing: {findings:?}"))
}

#[test]
fn every_line_says_why_it_matters_and_only_what_did_not_pass_has_a_remedy() {
    let output = doctor(&["--json"]);
    let all = findings(&output);
    assert!(all.len() >= 12, "{all:?}");
    for finding in &all {
        assert!(finding["why"].as_str().is_some_and(|why| why.len() > 20), "{finding}");
        let status = finding["status"].as_str().expect("a word");
        assert_eq!(finding["remedy"].is_string(), matches!(status, "warn" | "fail"), "{finding}");
    }
}

#[test]
fn a_machine_without_a_gpu_is_not_blamed_unless_a_target_needs_one() {
    // A management library that knows of no GPU, so that a machine with one passes too.
    let folder = tempfile::tempdir().expect("a folder");
    made_up::library(&folder, "fake_nvml/nvml.c", "nvml.so");
    let doctor = |more: &[&str]| {
        let arguments = [&["doctor", "--json", "--nvml-library", "./nvml.so"], more].concat();
        made_up::bareflight(&folder, &[("FAKE_NVML_GPUS", "0")], &arguments)
    };
    let output = doctor(&[]);
    assert_eq!(find(&findings(&output), "gpu", "gpu")["status"], "skip");
    let failed = findings(&output).iter().any(|finding| finding["status"] == "fail");
    assert_eq!(output.status.code(), Some(if failed { 3 } else { 0 }));
    let output = doctor(&["--target", "trtllm:engine"]);
    assert_eq!(find(&findings(&output), "gpu", "gpu")["status"], "fail");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_server_that_is_not_there_fails_by_name_and_a_text_that_is_no_url_is_refused() {
    let output = doctor(&["http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(3), "{}", words(&output.stdout));
    let shown = words(&output.stdout);
    assert!(shown.contains("FAIL  reach") && shown.contains("127.0.0.1:1"), "{shown}");
    let output = doctor(&["ftp://h"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output.stderr).contains("ftp://h"), "{}", words(&output.stderr));
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_build_that_cannot_measure_a_gpu_says_which_feature_it_lacks() {
    let output = doctor(&["--probe-gpu"]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("cargo build --release --features cuda"), "{message}");
}
