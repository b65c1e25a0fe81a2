//! Rules of a sweep: what happens between points, requests by concurrency, time told ahead, cost.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::left_behind::{directory, read, words};

fn bareflight(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

const SWEEP: [&str; 7] =
    ["run", "--target", "sim:explicit,base_us=200", "--scenario", "D(4,4)", "--warmup", "1"];

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
