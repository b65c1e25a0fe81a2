//! Values that cannot be used: below zero, not a number, without an end, and empty variables. Each is one error that names its flag or
//! its variable, before anything is run.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::left_behind::words;

fn run(out: &TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(arguments)
        .current_dir(out.path())
        .env("CI", "1")
        .envs(environment.iter().copied())
        .output()
        .expect("the binary runs")
}

/// What is said of a command that is refused as usage, and that nothing was run.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let out = TempDir::new().expect("a folder");
    let output = run(&out, arguments, environment);
    let told = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?} {environment:?}: {told}");
    assert!(output.stdout.is_empty() && !told.contains("panicked"), "{told}");
    assert!(!out.path().join("runs").exists(), "{arguments:?}");
    told
}

#[test]
fn a_span_below_zero_is_refused_by_its_flag() {
    for (flag, shown) in [
        ("--duration", "--duration"),
        ("-d", "--duration"),
        ("--timeout", "--timeout"),
        ("--drain", "--drain"),
        ("--ramp", "--ramp"),
        ("--cool-down", "--cool-down"),
        ("--measurement-interval", "--measurement-interval"),
        ("--warmup-until", "--warmup-until"),
        ("--connect-timeout", "--connect-timeout"),
        ("--first-token-timeout", "--first-token-timeout"),
        ("--idle-timeout", "--idle-timeout"),
        ("--profile-window", "--profile-window"),
        ("--stages", "--stages"),
    ] {
        for value in ["-1s", "-0.5m", "-.5s", "-3"] {
            let told = refused(&["run", "--target", "null:", flag, value], &[]);
            assert!(told.contains(shown) && told.contains(value), "{flag} {value}: {told}");
        }
    }
}

#[test]
fn a_number_below_zero_is_refused_by_its_flag() {
    let out = TempDir::new().expect("a folder");
    for flag in [
        "--burstiness",
        "--stability-percentage",
        "--spawn-rate",
        "--temperature",
        "--top-p",
        "--memory-bandwidth-gbps",
        "--gpu-hour-price",
        "--kv-fraction",
        "--weights-percent",
        "--lora-fraction",
        "--min-p",
        "--repetition-penalty",
        "--time-scale",
        "--rate",
    ] {
        let output = run(&out, &["run", "--target", "sim:null", flag, "-1"], &[]);
        let told = words(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(2 | 3)) && told.contains(flag),
            "{flag}: {told}"
        );
    }
    for (flag, other) in [("--isl", "--osl"), ("--osl", "--isl")] {
        let told = refused(&["run", "--target", "null:", flag, "-1", other, "8"], &[]);
        assert!(told.contains(flag), "{told}");
    }
    assert!(!out.path().join("runs").exists());
}

#[test]
fn a_number_that_is_none_is_refused_by_its_flag() {
    for flag in ["--temperature", "--top-p", "--burstiness", "--gpu-hour-price", "--kv-fraction"] {
        for value in ["nan", "inf", "-inf", "-nan", "infinity"] {
            let told = refused(&["run", "--target", "sim:null", flag, value], &[]);
            assert!(told.contains(flag), "{flag} {value}: {told}");
        }
    }
    for (flag, value) in [("--rate", "nan"), ("--rate", "1,inf"), ("--prefix-shares", "1,nan")] {
        let more = ["--prefix-groups", "2", "--prefix-tokens", "2"];
        let arguments = [&["run", "--target", "null:", flag, value][..], &more].concat();
        assert!(refused(&arguments, &[]).contains(flag), "{flag} {value}");
    }
    for value in ["ttft<nan", "ttft<inf", "ttft<-1s", "tpot<nanms"] {
        let told = refused(&["run", "--target", "null:", "--slo", value], &[]);
        assert!(told.contains("--slo") || told.contains(value), "{value}: {told}");
    }
}

#[test]
fn a_number_that_is_none_is_refused_in_a_file_by_its_key() {
    let out = TempDir::new().expect("a folder");
    for (text, key) in [("temperature = nan", "temperature"), ("rate = [inf]", "rate")] {
        fs::write(out.path().join("c.toml"), format!("target = 'null:'\n{text}\n"))
            .expect("written");
        let output = run(&out, &["run", "--config", "c.toml"], &[]);
        let told = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(key), "{told}");
    }
    assert!(!out.path().join("runs").exists());
}

#[test]
fn an_empty_variable_is_named_whatever_it_stands_for() {
    for variable in [
        "BAREFLIGHT_RATE",
        "BAREFLIGHT_CONCURRENCY",
        "BAREFLIGHT_TARGET",
        "BAREFLIGHT_REQUESTS",
        "BAREFLIGHT_DURATION",
        "BAREFLIGHT_WARMUP",
        "BAREFLIGHT_RAMP",
        "BAREFLIGHT_WINDOW",
        "BAREFLIGHT_ARRIVALS",
        "BAREFLIGHT_SCENARIO",
        "BAREFLIGHT_SEED",
        "BAREFLIGHT_CONFIG",
        "BAREFLIGHT_OUT",
        "BAREFLIGHT_GPU_TELEMETRY",
    ] {
        for value in ["", " "] {
            let told = refused(&["run", "--quiet"], &[(variable, value)]);
            let is_told = told.contains(&format!("`{variable}` is empty"));
            assert!(is_told && told.contains("unset it"), "{variable}={value:?}: {told}");
        }
    }
}

#[test]
fn a_variable_with_a_bad_value_is_named_and_one_that_a_flag_overrides_is_not() {
    let told = refused(&["run"], &[("BAREFLIGHT_RATE", "abc")]);
    assert!(told.contains("BAREFLIGHT_RATE") && told.contains("'abc'"), "{told}");
    let told = refused(&["run"], &[("BAREFLIGHT_REQUESTS", "0")]);
    assert!(told.contains("`BAREFLIGHT_REQUESTS`"), "{told}");
    let told = refused(&["run", "--rate", "x"], &[("BAREFLIGHT_RATE", "abc")]);
    assert!(told.contains("'x'") && !told.contains("BAREFLIGHT_RATE"), "{told}");
    let out = TempDir::new().expect("a folder");
    let fine = ["plan", "--target", "null:", "--rate", "2", "--requests", "4"];
    let output = run(&out, &fine, &[("BAREFLIGHT_RATE", "")]);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
}

#[test]
fn a_variable_that_nothing_reads_is_told_and_stops_nothing() {
    let out = TempDir::new().expect("a folder");
    let fine = ["plan", "--target", "null:", "--requests", "4"];
    let output = run(&out, &fine, &[("BAREFLIGHT_REQUETS", "8")]);
    let told = words(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("`BAREFLIGHT_REQUETS`") && told.contains("`BAREFLIGHT_REQUESTS`"),
        "{told}"
    );
}
