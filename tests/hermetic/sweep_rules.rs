//! Rules of a sweep: what happens between points, requests by concurrency, time told ahead, cost.

use std::ffi::OsStr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::support::fault_server::FaultServer;
use crate::support::left_behind::{directory, read, words};
use crate::support::served_run::good;

fn bareflight<T: AsRef<OsStr>>(out: &TempDir, arguments: &[T]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

const SWEEP: [&str; 7] =
    ["run", "--target", "sim:explicit,base_us=200", "--scenario", "D(4,4)", "--warmup", "1"];

/// Two points at a server.
fn served(server: &FaultServer, more: &[&str]) -> Vec<String> {
    let target = format!("openai:{}", server.url());
    let asked = ["run", "--target", &target, "--endpoint", "completions", "--model", "m"];
    let load = ["--scenario", "D(4,8)", "--concurrency", "1,2", "--requests", "2", "--warmup", "0"];
    let all = [&asked[..], &load, &["--window", "whole"], more].concat();
    all.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_command_runs_before_each_point_but_the_first_and_its_failure_is_told() {
    let out = tempfile::tempdir().expect("a folder");
    let rules = ["--concurrency", "1,2,4", "--requests", "2x", "--cool-down", "10ms", "--between"];
    let between = "echo done >> marks; echo no such cache >&2; exit 3";
    let output = bareflight(&out, &[&SWEEP[..], &rules, &[between]].concat());
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    assert_eq!(read(out.path(), "marks").lines().count(), 2, "{message}");
    assert!(message.contains("no such cache") && message.contains("--between"), "{message}");
    let folder = directory(&out);
    let summary = read(&folder, "summary.csv");
    assert_eq!(summary.lines().count(), 4, "three points were measured: {summary}");
    assert!(read(&folder, "manifest.json").contains("no such cache"));
}

#[test]
fn a_preset_for_a_server_is_refused_where_nothing_is_served() {
    let out = tempfile::tempdir().expect("a folder");
    let output = bareflight(
        &out,
        &[&SWEEP[..], &["--concurrency", "1,2", "--between", "vllm-reset"]].concat(),
    );
    assert_eq!(output.status.code(), Some(3));
    assert!(words(&output.stderr).contains("openai:URL"), "{}", words(&output.stderr));
}

#[test]
fn a_server_without_the_path_of_a_preset_is_found_before_any_load_and_the_remedy_is_named() {
    let server = FaultServer::start(|request, out| match request.method.as_str() {
        "POST" if request.path == "/v1/completions" => good(out),
        _ => out.json(404, r#"{"detail":"Not Found"}"#),
    });
    let out = tempfile::tempdir().expect("a folder");
    let output = bareflight(&out, &served(&server, &["--between", "vllm-reset"]));
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("VLLM_SERVER_DEV_MODE=1"), "{message}");
    let asked = server.requests();
    let last = asked.last().expect("it was asked");
    assert_eq!((&*last.method, &*last.path), ("POST", "/reset_prefix_cache"), "no load behind it");
}

#[test]
fn a_server_that_is_still_busy_is_asked_again_and_with_the_key() {
    let flushes = AtomicUsize::new(0);
    let server = FaultServer::start(move |request, out| match &*request.path {
        "/v1/completions" => good(out),
        "/flush_cache" => match flushes.fetch_add(1, Ordering::SeqCst) {
            0 => out.whole(400, "", "requests are running"),
            _ => out.whole(200, "", "Cache flushed."),
        },
        _ => out.json(404, "{}"),
    });
    let out = tempfile::tempdir().expect("a folder");
    std::fs::write(out.path().join("key"), "sk-flush").expect("a file");
    let more = ["--between", "sglang-flush", "--api-key-file", "key"];
    let output = bareflight(&out, &served(&server, &more));
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    assert!(!message.contains("--between"), "{message}");
    let flushes: Vec<_> =
        server.requests().into_iter().filter(|it| it.path == "/flush_cache").collect();
    assert_eq!(flushes.len(), 3, "twice before the load and once between two points");
    for flush in flushes {
        assert_eq!(flush.method, "POST");
        assert_eq!(flush.header("authorization"), Some("Bearer sk-flush"));
    }
}

#[test]
fn a_price_gives_the_cost_of_tokens_and_a_plan_gives_the_time() {
    let out = tempfile::tempdir().expect("a folder");
    let priced = ["--concurrency", "1,2", "--requests", "8", "--gpu-hour-price", "2.5"];
    let output = bareflight(&out, &[&SWEEP[..], &priced].concat());
    let printed = words(&output.stdout);
    assert!(printed.contains("a million output tokens cost"), "{printed}");
    assert!(!words(&output.stderr).contains("how long"), "what nobody knows is not told");
    let page = read(&directory(&out), "report.html");
    assert!(page.contains("a million output tokens cost"));
    let planned = bareflight(
        &out,
        &["plan", "--target", "null:", "--rate", "5,10", "--max-time-per-run", "30s"],
    );
    let planned = words(&planned.stdout);
    assert!(
        planned.contains("sends for about") && planned.contains("nothing was run"),
        "{planned}"
    );
}
