//! `examples/h200/first-hour.sh`, to its end: every check of the page for an H200 finds the simulated installation in order.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::left_behind::words;
use crate::support::stand_in;

/// Checks that need what this machine has not.
const SKIPPED: [&str; 4] = ["gpus", "doctor", "probe-gpu", "compare"];
const PASSED: [&str; 17] = [
    "program",
    "symbols",
    "sizes",
    "engine",
    "run",
    "versions",
    "kv-capacity",
    "deltas",
    "engine-stamps",
    "log",
    "fixed-lengths",
    "empty-final-response",
    "clamp",
    "time-out",
    "cancel",
    "iterations",
    "ladder",
];

/// On a machine of its own: neither a GPU's tools nor TensorRT-LLM's server.
fn first_hour(out: &Path, engine: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/h200/first-hour.sh");
    Command::new("bash")
        .arg(script)
        .arg(engine)
        .env("BAREFLIGHT", env!("CARGO_BIN_EXE_bareflight"))
        .env("OUT", out.join("first-hour"))
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(out)
        .output()
        .expect("`bash` is needed for this test")
}

#[test]
fn what_is_no_engine_is_a_failure_with_the_remedy_and_another_exit_code() {
    let out = tempfile::tempdir().expect("a folder");
    let checkpoint = r#"{"architecture": "LlamaForCausalLM", "num_hidden_layers": 32}"#;
    fs::write(out.path().join("config.json"), checkpoint).expect("written");
    let output = first_hour(out.path(), out.path());
    let printed = words(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("FAIL engine: ") && printed.contains("trtllm-build"), "{printed}");
}

#[test]
fn every_check_of_the_first_hour_is_made_and_told_in_a_line() {
    let out = tempfile::tempdir().expect("a folder");
    // A prompt costs much more than a step, and outputs end early where they may.
    let profile = "explicit,base_us=1000,prefill_us_per_token=10,eos_after=20";
    let engine = stand_in::engine(&out, "engine", profile, 1, 0);
    fs::write(engine.join("generation_config.json"), r#"{"eos_token_id": 2}"#).expect("written");
    let output = first_hour(out.path(), &engine);
    let printed = words(&output.stdout);
    let said = |word: &str, name: &str| {
        printed.lines().any(|line| line.starts_with(&format!("{word} {name}: ")))
    };
    for name in PASSED {
        assert!(said("PASS", name), "{name}:\n{printed}{}", words(&output.stderr));
    }
    for name in SKIPPED {
        assert!(said("SKIP", name), "{name}:\n{printed}");
    }
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let transcript = out.path().join("first-hour/transcript.txt");
    let transcript = fs::read_to_string(transcript).expect("to send back");
    assert!(
        transcript.contains("(exit code 0)") && transcript.contains("17 passed"),
        "{transcript}"
    );
}
