//! `--server-metrics`: what a server tells of itself beside a run, and that a run does without it.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::fault_server::{FaultServer, Next};
use crate::support::left_behind::{directory, document, read, words};
use crate::support::serve_process::Serving;
use crate::support::served_run::{done, tokens};

fn run(out: &TempDir, target: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", target, "--endpoint", "completions", "--scenario", "D(4,8)"])
        .args(["--warmup", "0"])
        .args(if more.contains(&"--concurrency") { &[][..] } else { &["--concurrency", "2"] })
        .args(more)
        .current_dir(out.path())
        .env("CI", "1")
        .output()
        .expect("the binary runs")
}

fn lines(out: &TempDir) -> Vec<Value> {
    let text = read(&directory(out), "server_metrics.jsonl");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn our_own_server_is_asked_twice_a_second_and_its_answers_are_shown() {
    let server = Serving::start(&["--target", "sim:explicit,base_us=4000"]);
    let out = TempDir::new().expect("a folder");
    let output = run(&out, &format!("openai:{}", server.openai), &["--duration", "3s"]);
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{}", words(&output.stderr));
    assert!(printed.contains("server's metrics: "), "{printed}");
    let lines = lines(&out);
    // From before the ramp until after the window; a busy machine asks late and not more often.
    assert!((3..20).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line["server"] == "bareflight"), "{lines:?}");
    assert!(lines[0]["raw"]["bareflight_requests_total"].is_number(), "{}", lines[0]);
    let summary = document(&directory(&out), "summary");
    let told = &summary["points"][0]["summary"]["server"];
    let told = if told.is_null() { &summary["points"][0]["server"] } else { told };
    assert!(told["running_max"].as_f64().is_some_and(|most| most <= 2.0), "{told}");
    assert!(read(&directory(&out), "report.html").contains("Requests in the server"));
}

/// A server with vLLM's metrics, whose counters grow with each question.
fn like_vllm() -> FaultServer {
    let asked = AtomicU64::new(0);
    FaultServer::start(move |request, out| {
        if request.path == "/metrics" {
            let times = asked.fetch_add(1, Ordering::Relaxed);
            let body = format!(
                "vllm:num_requests_running{{engine=\"0\"}} 2\nvllm:num_requests_waiting{{engine=\"0\"}} 1\n\
                 vllm:kv_cache_usage_perc{{engine=\"0\"}} 0.5\n\
                 vllm:prefix_cache_queries_total{{engine=\"0\"}} {}\nvllm:prefix_cache_hits_total{{engine=\"0\"}} {}\n\
                 vllm:num_preemptions_total{{engine=\"0\"}} {times}\n\
                 vllm:request_queue_time_seconds_sum{{engine=\"0\"}} {}\n\
                 vllm:request_queue_time_seconds_count{{engine=\"0\"}} {times}\n",
                times * 100,
                times * 25,
                times as f64 * 0.03,
            );
            return out.json(200, &body);
        }
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        let wanted = request.json()["max_tokens"].as_u64().unwrap_or(8);
        out.stream_head();
        out.raw(format!("{}{}", tokens(wanted as usize).concat(), done(wanted as usize)));
        Next::KeepAlive
    })
}

#[test]
fn what_vllm_tells_is_normalised_into_rates_and_waits() {
    let server = like_vllm();
    let out = TempDir::new().expect("a folder");
    let target = format!("openai:{}", server.url());
    let output = run(&out, &target, &["--duration", "2s", "--model", "m"]);
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{}", words(&output.stderr));
    for part in ["2.00 running", "KV cache 50", "prefix cache hit 25", "30.00 ms in the queue"] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    assert!(!printed.contains("W088"), "{printed}");
}

#[test]
fn a_window_in_which_the_server_was_not_asked_has_no_levels_and_says_why() {
    let server = like_vllm();
    let out = TempDir::new().expect("a folder");
    let target = format!("openai:{}", server.url());
    // Some milliseconds each, between two questions.
    let more = ["--requests", "20", "--model", "m", "--concurrency", "1,2"];
    let output = run(&out, &target, &more);
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{}", words(&output.stderr));
    assert!(printed.contains("no answer within the window"), "{printed}");
    assert!(printed.contains("W088 note: ") && printed.contains("twice a second"), "{printed}");
    let mut rows = printed.lines().skip_while(|line| !line.contains("vLLM's metrics"));
    let row = rows.find(|line| line.contains("concurrency 1")).expect("a row");
    assert!(row.contains(" – ") && !row.contains("0/0"), "{printed}");
    let summary = document(&directory(&out), "summary");
    let told = &summary["points"][0]["server"];
    assert!(told["running_mean"].is_null() && told["kv_used_max"].is_null(), "{told}");
}

#[test]
fn off_asks_nothing_and_a_place_that_does_not_answer_is_refused_before_load() {
    let server = like_vllm();
    let target = format!("openai:{}", server.url());
    let out = TempDir::new().expect("a folder");
    let more = ["--requests", "4", "--model", "m", "--server-metrics"];
    let output = run(&out, &target, &[&more[..], &["off"]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    assert!(!directory(&out).join("server_metrics.jsonl").exists());
    let out = TempDir::new().expect("a folder");
    let output = run(&out, &target, &[&more[..], &["http://127.0.0.1:1/metrics"]].concat());
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("--server-metrics") && message.contains("127.0.0.1:1"), "{message}");
}

#[test]
fn a_server_without_metrics_is_measured_without_them() {
    let server = FaultServer::start(move |request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        out.stream_head();
        out.raw(format!("{}{}", tokens(8).concat(), done(8)));
        Next::KeepAlive
    });
    let out = TempDir::new().expect("a folder");
    let target = format!("openai:{}", server.url());
    let output = run(&out, &target, &["--requests", "4", "--model", "m"]);
    let printed = words(&output.stdout);
    assert!(!printed.contains("server's metrics"), "{printed}");
    assert!(!directory(&out).join("server_metrics.jsonl").exists());
}
