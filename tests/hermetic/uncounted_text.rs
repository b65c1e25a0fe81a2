//! Text of a file for servers whose tokenizer nobody has: sent as it stands, counted by the server alone.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fault_server::{FaultServer, LENGTH, Out, Request, TOKEN};
use crate::support::left_behind::words;
use crate::support::serve_process::Serving;
use crate::support::served_run::Run;

/// Counts the words of what it is sent, and answers with as many tokens as are asked for.
fn server() -> FaultServer {
    FaultServer::start(|request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        answer(request, out);
        out.end()
    })
}

fn answer(request: &Request, out: &mut Out<'_>) {
    let body = request.json();
    let text = body["prompt"].as_str().or(body["messages"][0]["content"].as_str());
    let prompt = text.expect("text is sent").split_whitespace().count();
    let asked = ["max_completion_tokens", "max_tokens"].iter().find_map(|it| body[it].as_u64());
    let tokens = asked.expect("a length");
    let is_chat = body["messages"].is_array();
    let token = if is_chat { TOKEN } else { r#"{"choices":[{"index":0,"text":" a"}]}"# };
    let last = if is_chat {
        LENGTH
    } else {
        r#"{"choices":[{"index":0,"text":"","finish_reason":"length"}]}"#
    };
    out.stream_head();
    (0..tokens).for_each(|_| {
        out.event(token);
    });
    out.event(last);
    let usage = json!({ "prompt_tokens": prompt, "completion_tokens": tokens });
    out.event(&json!({ "choices": [], "usage": usage }).to_string());
    out.event("[DONE]");
}

/// Lines of JSON with one to `count` words each, and as many output tokens.
fn lines(folder: &TempDir, count: usize) -> String {
    let line = |number: usize| {
        json!({ "prompt": vec!["é"; number].join(" "), "max_tokens": number }).to_string()
    };
    let text: Vec<String> = (1..=count).map(line).collect();
    let path = folder.path().join("prompts.jsonl");
    fs::write(&path, text.join("\n")).expect("a file");
    format!("jsonl:{}", path.display())
}

fn prompt_of(request: &Request) -> Value {
    let body = request.json();
    if body["prompt"].is_null() {
        body["messages"][0]["content"].clone()
    } else {
        body["prompt"].clone()
    }
}

#[test]
fn text_goes_as_it_stands_and_its_length_is_the_server_s_own_count() {
    let folder = TempDir::new().expect("a folder");
    let file = lines(&folder, 6);
    for endpoint in ["chat", "completions"] {
        let server = server();
        let asked = ["--workload", &file, "--workload-order", "file"];
        let load = ["--concurrency", "1", "--requests", "6"];
        let run = Run::asked(&server, endpoint, &[&asked[..], &load].concat());
        let (point, console) = (run.point(), &run.console);
        assert_eq!(point["counts"]["completed"], 6, "{console}");
        let sent: Vec<Value> =
            server.requests().iter().filter(|it| it.method == "POST").map(prompt_of).collect();
        // The probe is the first.
        assert_eq!(sent[1..4], ["é", "é é", "é é é"], "{endpoint}");
        assert_eq!(run.column("prompt_tokens_told"), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(run.column("prompt_tokens"), ["0"; 6], "nothing here counts them");
        assert_eq!(run.column("output_tokens"), ["1", "2", "3", "4", "5", "6"]);
        let lengths = &point["distributions"]["prompt_tokens"];
        assert_eq!((&lengths["min"], &lengths["max"]), (&json!(1.0), &json!(6.0)), "{point}");
        assert!(point["rates"]["input_throughput_tokens_per_s"].as_f64() > Some(0.0));
        assert_eq!(point["counts"]["prompt_token_mismatches"], 0);
        assert!(words(console.as_bytes()).contains("the server alone counts"), "{console}");
        let shas: std::collections::HashSet<String> = run
            .text("plan.csv")
            .lines()
            .skip(1)
            .map(|row| row.split(',').nth(7).unwrap().into())
            .collect();
        assert_eq!(shas.len(), 6, "each prompt has a hash of its own");
    }
}

#[test]
fn a_server_that_counts_nothing_has_no_rate_of_input() {
    let folder = TempDir::new().expect("a folder");
    let server = FaultServer::start(|request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        out.stream_head();
        out.event(TOKEN);
        out.event(LENGTH);
        out.event("[DONE]");
        out.end()
    });
    let file = lines(&folder, 3);
    let run = Run::asked(
        &server,
        "chat",
        &["--workload", &file, "--concurrency", "1", "--requests", "3"],
    );
    let point = run.point();
    assert_eq!(point["counts"]["completed"], 3, "{}", run.console);
    assert_eq!(point["rates"]["input_throughput_tokens_per_s"], Value::Null);
    assert_eq!(point["rates"]["total_throughput_tokens_per_s"], Value::Null);
    assert!(point["rates"]["output_throughput_tokens_per_s"].as_f64() > Some(0.0));
    assert_eq!(point["distributions"]["prompt_tokens"], Value::Null);
}

#[test]
fn what_needs_a_count_is_refused_before_any_load() {
    let folder = TempDir::new().expect("a folder");
    let file = lines(&folder, 3);
    let ids = folder.path().join("ids.jsonl");
    fs::write(&ids, "{\"prompt\": [1, 2], \"max_tokens\": 3}\n").expect("a file");
    let ids = format!("jsonl:{}", ids.display());
    let answered = folder.path().join("answered.jsonl");
    fs::write(&answered, "{\"question\": \"a\", \"response\": \"b\"}\n").expect("a file");
    let answered = format!("openorca:{}", answered.display());
    let target = ["run", "--target", "openai:http://127.0.0.1:9", "--model", "m"];
    for (asked, parts) in [
        (vec!["--workload", &file, "--max-isl", "9"], ["--max-isl", "--tokenizer"]),
        (vec!["--workload", &ids], ["token ids", "--prompts ids"]),
        (vec!["--workload", &answered], ["outputs as text", "--output-tokens"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        let output = command.args(target).args(&asked).output().expect("the binary runs");
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[test]
fn a_broken_first_line_is_left_out_like_any_other_where_that_is_asked() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("broken.jsonl");
    for first in
        ["{\"prompt\": \"a\"", "{\"prompt\": \"a", "{\"prompt\": a}", "{\"prompt\": \"a\","]
    {
        fs::write(&path, format!("{first}\n{{\"prompt\": \"b c\", \"max_tokens\": 2}}\n"))
            .expect("a file");
        let file = format!("jsonl:{}", path.display());
        let server = server();
        let asked =
            ["--workload", &file, "--skip-bad-lines", "--concurrency", "1", "--requests", "1"];
        let run = Run::asked(&server, "chat", &asked);
        assert_eq!(run.point()["counts"]["completed"], 1, "{first}: {}", run.console);
        let said = words(run.console.as_bytes());
        assert!(said.contains("1 are bad lines (the first bad one is line 1"), "{said}");
    }
}

#[test]
fn text_goes_over_triton_s_protocol_too_and_a_mixture_of_texts_over_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = Serving::start(&["--target", "local:dummy-pico"]);
    let file = lines(&folder, 6);
    let again = folder.path().join("again.jsonl");
    fs::copy(folder.path().join("prompts.jsonl"), &again).expect("a copy");
    let again = format!("2:jsonl:{}", again.display());
    let triton = format!("triton:{}/ensemble", served.grpc);
    let openai = format!("openai:{}", served.openai);
    for (number, target) in [&triton, &openai].into_iter().enumerate() {
        let out = folder.path().join(format!("runs{number}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["run", "--target", target, "--prompts", "text", "--concurrency", "2"]);
        command.args(["--workload", &file, "--workload", &again, "--output-tokens-column"]);
        command.args(["max_tokens", "--requests", "6", "--warmup", "0", "--window", "whole"]);
        command.arg("--quiet").arg("--out").arg(&out).env("CI", "1");
        let output = command.output().expect("the binary runs");
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
        let run = fs::read_dir(&out).expect("runs").next().expect("one").expect("a folder").path();
        let mut table = csv::Reader::from_path(run.join("requests.csv")).expect("a table");
        let header = table.headers().expect("a header").clone();
        let place = |name| header.iter().position(|it| it == name).expect("a column");
        let (asked, answered) = (place("requested_tokens"), place("output_tokens"));
        let (outcome, planned, part) =
            (place("outcome"), place("prompt_tokens"), place("workload"));
        let rows: Vec<_> = table.records().map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), 6, "{target}");
        for row in &rows {
            assert_eq!(&row[outcome], "completed", "{target}: {row:?}");
            assert_eq!(row[asked], row[answered], "{target}: {row:?}");
            assert!(&row[planned] == "0" && ["0", "1"].contains(&&row[part]), "{row:?}");
        }
    }
}
