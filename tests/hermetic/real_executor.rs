//! Claims about an executor as it really behaves: exceptions of every call, a shutdown that runs its backlog, cancels that cost
//! a prefill, statistics whose latency is that of the iteration before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bareflight");
/// Far beyond what any of these runs takes; a run that hangs is killed.
const PATIENCE: Duration = Duration::from_mins(2);

fn started(out: &TempDir, arguments: &[&str]) -> Child {
    Command::new(PROGRAM)
        .args(arguments)
        .current_dir(out.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// Waits for the end, at most for the patience.
fn ended(mut child: Child, what: &str) -> Output {
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().expect("it is there");
            let output = child.wait_with_output().expect("it was killed");
            panic!("{what}: it hangs\n{}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().expect("it has ended")
}

fn folder(out: &TempDir) -> PathBuf {
    let mut runs = fs::read_dir(out.path().join("runs")).expect("a folder of runs");
    runs.next().expect("a run").expect("a folder").path()
}

fn json(folder: &Path, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}

/// Rows of measured requests.
fn rows(folder: &Path) -> usize {
    let text = fs::read_to_string(folder.join("requests.csv")).unwrap_or_default();
    text.lines().skip(1).filter(|row| row.split(',').nth(2) == Some("measured")).count()
}

/// What one call that throws comes to.
struct Case {
    /// The key of the profile that makes it throw.
    throws: &'static str,
    /// Exit codes; a busy machine may make a complete run invalid (4).
    exits: &'static [i32],
    state: &'static str,
    /// A part of a fault in the manifest; empty where the records say it.
    fault: &'static str,
}

const COMPLETE: &[i32] = &[0, 4];
const REQUESTS: usize = 12;

const CASES: [Case; 7] = [
    Case { throws: "open=1", exits: &[3], state: "failed", fault: "cannot be opened" },
    Case { throws: "enqueue=1", exits: &[1], state: "complete", fault: "" },
    Case { throws: "await=3", exits: &[1], state: "failed", fault: "failed as a whole" },
    // Every request takes longer than it may, and ends by itself.
    Case { throws: "cancel=1", exits: &[1], state: "complete", fault: "could not be cancelled" },
    Case {
        throws: "statistics=1",
        exits: COMPLETE,
        state: "complete",
        fault: "iteration statistics ended",
    },
    // The first look for events is part of opening.
    Case {
        throws: "kv_events=2",
        exits: COMPLETE,
        state: "complete",
        fault: "events of the KV cache ended",
    },
    Case { throws: "shutdown=1", exits: COMPLETE, state: "complete", fault: "its shutdown threw" },
];

/// Plays one case and returns what does not hold.
fn play(case: &Case, other_type: bool) {
    let out = tempfile::tempdir().expect("a folder");
    let kind = if other_type { ",throw_int=1" } else { "" };
    let target = format!("sim:explicit,base_us=1000,throw_at_{}{kind}", case.throws);
    let timeout = if case.throws.starts_with("cancel") { "10ms" } else { "60s" };
    let requests = REQUESTS.to_string();
    let arguments = [
        "run",
        "--target",
        &target,
        "--scenario",
        "D(8,40)",
        "--requests",
        &requests,
        "--concurrency",
        "4",
        "--warmup",
        "0",
        "--timeout",
        timeout,
        "--kv-reuse",
        "--kv-events",
    ];
    let output = ended(started(&out, &arguments), &target);
    let told = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(code.is_some_and(|code| case.exits.contains(&code)), "{target}: {code:?}\n{told}");
    let folder = folder(&out);
    let manifest = json(&folder, "manifest.json");
    assert_eq!(manifest["state"], case.state, "{target}: {manifest}");
    let faults = manifest["faults"].to_string();
    assert!(faults.contains(case.fault), "{target}: {faults}");
    assert!(told.contains(case.fault), "{target}: {told}");
    let expected = if case.throws.starts_with("open") { 0 } else { REQUESTS };
    assert_eq!(rows(&folder), expected, "{target}: rows of requests");
    if other_type && !case.fault.is_empty() {
        assert!(faults.contains("not a std::exception, of type int"), "{target}: {faults}");
    }
}

#[test]
fn an_exception_of_any_call_ends_in_the_right_exit_code_with_complete_records() {
    for case in &CASES {
        for other_type in [false, true] {
            play(case, other_type);
        }
    }
}

#[test]
fn a_call_for_statistics_that_never_returns_is_given_up_and_the_run_ends_with_its_records() {
    let out = tempfile::tempdir().expect("a folder");
    let arguments = [
        "run",
        "--target",
        "sim:explicit,base_us=1000,hang_at_statistics=2",
        "--scenario",
        "D(8,40)",
        "--requests",
        "12",
        "--concurrency",
        "4,2",
        "--warmup",
        "0",
    ];
    let begun = Instant::now();
    let output = ended(started(&out, &arguments), "a hanging call");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| COMPLETE.contains(&code)), "{told}");
    // 5 s for the first answer that does not come, none for the next, 10 s for the shutdown behind the call.
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    let folder = folder(&out);
    let manifest = json(&folder, "manifest.json");
    assert_eq!(manifest["state"], "complete");
    let faults = manifest["faults"].to_string();
    assert!(faults.contains("iteration statistics ended"), "{faults}");
    assert!(faults.contains("has not returned after 5 s"), "{faults}");
    assert_eq!(rows(&folder), 24);
}

#[test]
fn ctrl_c_under_overload_ends_within_the_stated_time_with_complete_records() {
    let out = tempfile::tempdir().expect("a folder");
    // 50 ms for each prompt, one request at a time, 100 arrivals a second: cancelling costs a prefill each, so that the
    // backlog outlives `--drain`, the five seconds for cancelled requests and the ten for the shutdown.
    let child = started(
        &out,
        &[
            "run",
            "--target",
            "sim:explicit,base_us=50000,max_batch_size=1",
            "--scenario",
            "D(8,2)",
            "--rate",
            "100",
            "--duration",
            "100s",
            "--warmup",
            "0",
            "--ramp",
            "0s",
            "--drain",
            "1s",
        ],
    );
    let begun = Instant::now();
    let under_way = || {
        let runs = fs::read_dir(out.path().join("runs")).ok()?;
        let folder = runs.flatten().next()?.path();
        let rows = fs::read_to_string(folder.join("requests.partial.csv")).ok()?;
        (rows.lines().count() > 50).then_some(())
    };
    while under_way().is_none() {
        assert!(begun.elapsed() < PATIENCE, "50 requests have not ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill exists").success());
    let output = ended(child, "Ctrl-C");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    // 1 s, 5 s and 10 s are stated; the rest is what a busy machine takes to write.
    assert!(asked.elapsed() < Duration::from_mins(1), "{:?}", asked.elapsed());
    let folder = folder(&out);
    let manifest = json(&folder, "manifest.json");
    assert_eq!(manifest["state"], "interrupted");
    let faults = manifest["faults"].to_string();
    assert!(faults.contains("was not over after 10 s"), "{faults}");
    assert_eq!(json(&folder, "summary.json")["incomplete"], true);
    assert!(rows(&folder) > 50, "{}", rows(&folder));
}

/// The summary of the only point.
fn point(folder: &Path) -> Value {
    json(folder, "summary.json")["points"][0].clone()
}

#[test]
fn each_iteration_has_its_own_latency_although_its_line_carries_that_of_the_one_before() {
    let out = tempfile::tempdir().expect("a folder");
    // A prefill of 50 ms and steps of 10 ms, one request after the other.
    let arguments = [
        "run",
        "--target",
        "sim:explicit,base_us=10000,prefill_us_per_token=5000",
        "--scenario",
        "D(8,5)",
        "--requests",
        "4",
        "--concurrency",
        "1",
        "--warmup",
        "0",
        "--window",
        "whole",
    ];
    let output = ended(started(&out, &arguments), "a run");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| COMPLETE.contains(&code)), "{told}");
    let folder = folder(&out);
    let iterations = point(&folder)["iterations"].clone();
    let number = |keys: [&str; 2]| iterations[keys[0]][keys[1]].as_f64().expect("a number");
    // What is simulated is never faster than its model on average: a step behind a late one is shorter.
    assert!(number(["with_context_ms", "mean"]) >= 49.0, "{iterations}");
    assert!(number(["generation_only_ms", "mean"]) >= 9.0, "{iterations}");
    assert!(
        number(["generation_only_ms", "mean"]) < number(["with_context_ms", "mean"]),
        "{iterations}"
    );
    assert_eq!(iterations["active_requests"]["mean"], 1.0, "{iterations}");
    assert_eq!(iterations["lost"], 0, "{iterations}");
    // Lines stay as the executor wrote them: the first has no latency, and the second that of the prefill.
    let text = fs::read_to_string(folder.join("iterations.jsonl")).expect("lines");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["engine"]["iterLatencyMS"], 0.0);
    assert!(lines[1]["engine"]["iterLatencyMS"].as_f64().expect("a number") >= 50.0);
    assert_eq!(lines[1]["engine"]["inflightBatchingStats"]["numCtxTokens"], 0);
    assert!(lines.iter().any(|line| line["active"] == 0), "an idle engine adds a line");
    assert!(lines.iter().all(|line| line["latency_of"] == "iteration_before"));
    let again = Command::new(PROGRAM).arg("report").arg(&folder).output().expect("the binary runs");
    assert!(again.status.code().is_some_and(|code| COMPLETE.contains(&code)));
    assert_eq!(point(&folder)["iterations"], iterations, "read back from the lines");
}

#[test]
fn a_request_that_timed_out_keeps_its_slot_until_the_engine_has_ended_it_and_the_report_says_how_long()
 {
    let out = tempfile::tempdir().expect("a folder");
    // Steps of 300 ms, of which the engine leaves none before it looks for cancels.
    let arguments = [
        "run",
        "--target",
        "sim:explicit,base_us=300000",
        "--scenario",
        "D(8,50)",
        "--requests",
        "4",
        "--concurrency",
        "2",
        "--warmup",
        "0",
        "--window",
        "whole",
        "--timeout",
        "50ms",
    ];
    let output = ended(started(&out, &arguments), "a run");
    assert_eq!(output.status.code(), Some(1), "no request completes");
    let folder = folder(&out);
    let counts = point(&folder)["counts"].clone();
    assert_eq!(
        (&counts["timed_out"], &counts["failed"]),
        (&Value::from(4), &Value::from(0)),
        "{counts}"
    );
    let held = &counts["cancelled_still_running"];
    assert_eq!(held["requests"], 4, "{held}");
    // Asked after 50 ms, ended with a step.
    assert!(held["max_s"].as_f64().expect("seconds") >= 0.2, "{held}");
    let text = fs::read_to_string(folder.join("iterations.jsonl")).expect("lines");
    let active = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["active"].as_u64().expect("a number")
    });
    assert!(active.max() <= Some(2), "more requests were active than the loop has slots");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("held a slot of the target after the cancel"), "{said}");
}

#[test]
fn the_end_of_an_overloaded_open_loop_is_bounded_too_and_every_request_has_its_row() {
    let out = tempfile::tempdir().expect("a folder");
    // 200 ms for each prompt, one request at a time, 50 arrivals a second for two seconds.
    let arguments = [
        "run",
        "--target",
        "sim:explicit,base_us=200000,max_batch_size=1",
        "--scenario",
        "D(8,2)",
        "--rate",
        "50",
        "--duration",
        "2s",
        "--warmup",
        "0",
        "--window",
        "whole",
        "--drain",
        "500ms",
    ];
    let output = ended(started(&out, &arguments), "an overloaded loop");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{told}");
    let folder = folder(&out);
    let manifest = json(&folder, "manifest.json");
    assert_eq!(manifest["state"], "complete");
    let faults = manifest["faults"].to_string();
    assert!(faults.contains("was not over after 10 s"), "{faults}");
    let counts = point(&folder)["counts"].clone();
    // What outlives even the time after the cancel was cancelled all the same.
    assert!(faults.contains("for more than 5 s after they were cancelled"), "{faults}");
    assert_eq!(counts["failed"], 0, "{counts}");
    assert!(counts["cancelled"].as_u64() > Some(50), "{counts}");
    assert_eq!(counts["planned"].as_u64(), Some(rows(&folder) as u64), "{counts}");
    assert!(counts["cancelled_still_running"]["requests"].as_u64() > Some(50), "{counts}");
    assert!(told.contains("was not over after 10 s"), "{told}");
}
