//! Log of an executor: its lines are in a file of the run and never among results, whatever level is asked for.

use std::process::{Command, Output, Stdio};

use crate::support::left_behind::{directory, read, words};
use crate::support::serve_process::Serving;
use tempfile::TempDir;

const TARGET: &str = "sim:explicit,base_us=500";
const MARK: &str = "[TensorRT-LLM]";

/// Without a level in the environment, as a user has none.
fn command(out: &TempDir, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.arg(name).current_dir(out.path()).env("CI", "1").env_remove("TLLM_LOG_LEVEL");
    command
}

fn run(out: &TempDir, target: &str, more: &[&str]) -> Command {
    let mut command = command(out, "run");
    command.args(["--target", target, "--scenario", "D(16,8)", "--concurrency", "1"]);
    command.args(["--requests", "4", "--warmup", "1", "--window", "whole"]).args(more);
    command
}

fn finished(command: &mut Command) -> Output {
    let output = command.output().expect("the binary runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    output
}

#[test]
fn the_log_is_a_file_of_the_run_and_both_streams_are_clean_of_it() {
    let out = tempfile::tempdir().expect("a folder");
    let output = finished(&mut run(&out, TARGET, &["--engine-log", "info"]));
    assert!(!words(&output.stdout).contains(MARK), "{}", words(&output.stdout));
    assert!(!words(&output.stderr).contains(MARK), "{}", words(&output.stderr));
    assert!(words(&output.stdout).contains("engine.log"), "{}", words(&output.stdout));
    let log = read(&directory(&out), "engine.log");
    assert!(log.starts_with("[TensorRT-LLM][INFO] simulated executor "), "{log}");
    assert!(log.ends_with("shuts down\n"), "until the very end: {log}");
    let manifest = read(&directory(&out), "manifest.json");
    assert!(manifest.contains("\"log_level\": \"info\""), "{manifest}");
    assert!(read(&directory(&out), "resolved.toml").contains("engine_log = \"info\""));
}

#[test]
fn warnings_are_the_default_the_environment_comes_before_it_and_the_flag_before_both() {
    for (flag, variable, has_lines) in [
        (None, None, false),
        (None, Some("INFO"), true),
        (Some("warning"), Some("INFO"), false),
        (Some("trace"), Some("ERROR"), true),
    ] {
        let out = tempfile::tempdir().expect("a folder");
        let typed: Vec<&str> = flag.into_iter().flat_map(|level| ["--engine-log", level]).collect();
        let mut command = run(&out, TARGET, &typed);
        command.envs(variable.map(|level| ("TLLM_LOG_LEVEL", level)));
        finished(&mut command);
        let log = read(&directory(&out), "engine.log");
        assert_eq!(log.contains("[INFO]"), has_lines, "{flag:?} {variable:?}: {log}");
    }
}

#[test]
fn a_warning_is_kept_too_though_it_goes_to_the_other_stream() {
    let out = tempfile::tempdir().expect("a folder");
    let output = finished(&mut run(&out, TARGET, &["--kv-tokens", "64"]));
    assert!(!words(&output.stderr).contains(MARK), "{}", words(&output.stderr));
    let log = read(&directory(&out), "engine.log");
    assert!(log.starts_with("[TensorRT-LLM][WARNING] sequences end at "), "{log}");
}

#[test]
fn the_last_lines_are_shown_when_the_engine_does_not_load() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, TARGET, &["--kv-tokens", "1"]).output().expect("the binary runs");
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("last lines of the engine's log"), "{message}");
    assert!(message.contains("[TensorRT-LLM][ERROR] the KV cache holds 1 tokens"), "{message}");
}

#[test]
fn a_target_without_such_a_log_refuses_the_flag() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, "null:", &["--engine-log", "info"]).output().expect("the binary runs");
    let message = words(&output.stderr);
    assert!(!output.status.success() && message.contains("--engine-log"), "{message}");
}

#[test]
fn a_server_prints_its_one_line_and_the_log_goes_to_standard_error_or_a_file() {
    let out = tempfile::tempdir().expect("a folder");
    let ports = ["--port", "0", "--grpc-port", "0", "--engine-log", "info", "--target", TARGET];
    for file in [None, Some("server.log")] {
        let mut command = command(&out, "serve");
        command.args(ports).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.args(file.into_iter().flat_map(|file| ["--engine-log-file", file]));
        command.args(["--ready-file", "ready.json"]);
        let child = command.spawn().expect("the binary starts");
        let ready = out.path().join("ready.json");
        let is_ready = || std::fs::read_to_string(&ready).is_ok_and(|text| text.ends_with('\n'));
        while !is_ready() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(words(&output.stdout), "", "the line went to the file that was named");
        let log = file.map_or_else(|| words(&output.stderr), |file| read(out.path(), file));
        assert!(log.contains("[TensorRT-LLM][INFO]"), "{log}");
        assert_eq!(words(&output.stderr).contains(MARK), file.is_none());
        std::fs::remove_file(&ready).expect("removed");
    }
}

#[test]
fn a_parent_is_told_on_a_channel_of_its_own() {
    let serving = Serving::start(&["--target", TARGET, "--engine-log", "trace"]);
    assert_eq!(serving.ready["ready"], true);
}

#[test]
fn a_ladder_starts_its_server_though_the_engine_writes_lines_before_it_is_ready() {
    let out = tempfile::tempdir().expect("a folder");
    let mut command = command(&out, "ladder");
    command.args(["--target", TARGET, "--scenario", "D(16,8)", "--requests", "4"]);
    command.args(["--warmup", "1", "--blocks", "1", "--engine-log", "info"]);
    let output = command.output().expect("the binary runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    assert!(!words(&output.stdout).contains(MARK) && !message.contains(MARK), "{message}");
    for name in ["engine.log", "served.engine.log"] {
        assert!(read(&directory(&out), name).contains("[INFO]"), "{name}");
    }
}
