//! Conversations: turns in their order, prompts that repeat what was answered, on engines of this process and on servers.

use std::fs;
use std::process::{Command, Output};

use bareflight_engine::dummy_tokenizer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::fault_server::{FaultServer, LENGTH, Request, TOKEN, usage};
use crate::support::left_behind::words;
use crate::support::served_run::Run;

/// Two conversations of our own, of three turns and of two; each has its recorded answers.
fn file(folder: &TempDir) -> String {
    let turn = |user: &str, assistant: &str, tokens: u32| json!({ "user": user, "assistant": assistant, "output_tokens": tokens, "think_s": 0.02 });
    let lines = [
        json!({ "turns": [
            turn("w0001 w0002 w0003", "w0100", 4),
            turn("w0004", "w0101 w0102", 2),
            turn("w0005 w0006", "w0103", 3),
        ] }),
        json!({ "turns": [turn("w0010", "w0110", 5), turn("w0011 w0012", "w0111", 1)] }),
    ];
    let path = folder.path().join("talk.jsonl");
    fs::write(&path, lines.map(|line| line.to_string()).join("\n")).expect("a file");
    format!("conversation:{}", path.display())
}

fn tokenizer(folder: &TempDir) -> String {
    let path = folder.path().join("tokenizer.json");
    dummy_tokenizer(4_096).save(&path, false).expect("a file");
    path.to_str().expect("a path of text").to_owned()
}

/// Chat that counts words, and answers as many as are asked for.
fn chat() -> FaultServer {
    FaultServer::start(|request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        let said = said(request);
        let tokens = request.json()["max_completion_tokens"].as_u64();
        let tokens = tokens.or(request.json()["max_tokens"].as_u64()).expect("a length");
        out.stream_head();
        (0..tokens).for_each(|_| {
            out.event(TOKEN);
        });
        out.event(LENGTH);
        let prompt: usize = said.iter().map(|(_, text)| text.split_whitespace().count()).sum();
        let counted = usage(tokens as usize).replace(":3,", &format!(":{prompt},"));
        out.event(&counted);
        out.event("[DONE]");
        out.end()
    })
}

fn said(request: &Request) -> Vec<(String, String)> {
    let body = request.json();
    let messages = body["messages"].as_array().expect("messages").clone();
    let member = |message: &Value, name: &str| message[name].as_str().expect("text").to_owned();
    messages.iter().map(|it| (member(it, "role"), member(it, "content"))).collect()
}

fn in_process(folder: &TempDir, target: &str, asked: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--target", target, "--quiet"]).args(asked);
    command.arg("--out").arg(folder.path().join("runs")).env("CI", "1");
    command.output().expect("the binary runs")
}

/// What was asked is the claim, and not whether this machine was quiet enough for numbers.
fn is_played(output: &Output) {
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
}

fn columns(folder: &TempDir, file: &str, names: &[&str]) -> Vec<Vec<String>> {
    let runs = fs::read_dir(folder.path().join("runs")).expect("runs");
    let run = runs.into_iter().next().expect("one run").expect("a folder").path();
    let mut reader = csv::Reader::from_path(run.join(file)).expect("a table");
    let header = reader.headers().expect("a header").clone();
    let place = |name: &&str| header.iter().position(|it| it == *name).expect("a column");
    let places: Vec<usize> = names.iter().map(place).collect();
    let rows = reader.records().map(|row| row.expect("a row"));
    rows.map(|row| places.iter().map(|place| row[*place].to_owned()).collect()).collect()
}

/// By request: prompts of turns with what was said before them.
const PROMPTS: [&str; 5] = ["3", "8", "12", "1", "8"];
const OUTPUTS: [&str; 5] = ["4", "2", "3", "5", "1"];

const ASKED: [&str; 6] = ["--workload-order", "file", "--concurrency", "2", "--requests", "4"];

#[test]
fn a_turn_waits_for_the_one_before_and_repeats_the_model_s_own_answers_in_process() {
    let folder = TempDir::new().expect("a folder");
    let (file, tokenizer) = (file(&folder), tokenizer(&folder));
    let asked = ["--workload", &file, "--tokenizer", &tokenizer];
    let output = in_process(&folder, "sim:null", &[&asked[..], &ASKED].concat());
    is_played(&output);
    let names =
        ["prompt_tokens", "prompt_tokens_told", "output_tokens", "outcome", "submit_ns", "end_ns"];
    let mut rows = columns(&folder, "requests.csv", &[&["request_id"][..], &names].concat());
    rows.sort_by_key(|row| row[0].parse::<u32>().expect("an id"));
    let column = |place: usize| rows.iter().map(|row| row[place].as_str()).collect::<Vec<_>>();
    // Conversations are played to their ends: the fourth request begins one of two turns.
    assert_eq!(column(1), PROMPTS);
    assert_eq!(column(2), PROMPTS, "as long as the engine was asked");
    assert_eq!(column(3), OUTPUTS);
    assert_eq!(column(4), ["completed"; 5]);
    let number = |row: usize, place: usize| rows[row][place].parse::<i64>().expect("a stamp");
    for later in [1, 2, 4] {
        let thought = number(later, 5) - number(later - 1, 6);
        assert!(thought >= 19_000_000, "turn {later} was sent {thought} ns after the answer");
    }
    let planned = columns(&folder, "plan.csv", &["session", "turn", "prompt_tokens"]);
    let expected =
        [["0", "0", "3"], ["0", "1", "8"], ["0", "2", "12"], ["3", "0", "1"], ["3", "1", "8"]];
    assert_eq!(planned, expected);
}

#[test]
fn a_chat_server_is_sent_what_it_answered_and_counts_what_an_engine_in_process_counts() {
    let folder = TempDir::new().expect("a folder");
    let (file, tokenizer) = (file(&folder), tokenizer(&folder));
    let server = chat();
    let asked = ["--workload", &file, "--tokenizer", &tokenizer];
    let run = Run::asked(&server, "chat", &[&asked[..], &ASKED].concat());
    assert_eq!(run.point()["counts"]["completed"], 5, "{}", run.console);
    let mut told: Vec<(u32, String)> = run
        .column("request_id")
        .iter()
        .map(|id| id.parse().expect("an id"))
        .zip(run.column("prompt_tokens_told"))
        .collect();
    told.sort_unstable();
    assert_eq!(told.into_iter().map(|(_, tokens)| tokens).collect::<Vec<_>>(), PROMPTS);
    let posts: Vec<Request> =
        server.requests().into_iter().filter(|it| it.method == "POST").collect();
    let third = posts.iter().map(said).find(|said| said.len() == 5).expect("a third turn");
    let expected = [
        ("user", "w0001 w0002 w0003"),
        ("assistant", " word word word word"),
        ("user", "w0004"),
        ("assistant", " word word"),
        ("user", "w0005 w0006"),
    ];
    let third: Vec<(&str, &str)> = third.iter().map(|(role, text)| (&**role, &**text)).collect();
    assert_eq!(third, expected);
}

#[test]
fn recorded_answers_are_part_of_the_plan_for_every_target() {
    let folder = TempDir::new().expect("a folder");
    let (file, tokenizer) = (file(&folder), tokenizer(&folder));
    let asked = ["--workload", &file, "--tokenizer", &tokenizer, "--history", "recorded"];
    let output = in_process(&folder, "sim:null", &[&asked[..], &ASKED].concat());
    is_played(&output);
    let prompts: Vec<String> =
        columns(&folder, "plan.csv", &["prompt_tokens"]).into_iter().flatten().collect();
    assert_eq!(prompts, ["3", "5", "9", "1", "4"]);
    let server = chat();
    let run = Run::asked(&server, "chat", &[&asked[..], &ASKED].concat());
    let posts: Vec<Request> =
        server.requests().into_iter().filter(|it| it.method == "POST").collect();
    let second = posts.iter().map(said).find(|said| said.len() == 3).expect("a second turn");
    assert!(second[1].1 == "w0100" || second[1].1 == "w0110", "{second:?}");
    let mut told = run.column("prompt_tokens_told");
    told.sort();
    assert_eq!(told, ["1", "3", "4", "5", "9"]);
}

#[test]
fn a_turn_that_fails_ends_its_conversation_and_no_other() {
    let folder = TempDir::new().expect("a folder");
    let file = file(&folder);
    let server = FaultServer::start(|request, out| match request.method.as_str() {
        "GET" => out.json(404, "{}"),
        _ if said(request).len() == 3 && said(request)[2].1 == "w0004" => {
            out.json(500, r#"{"error":{"message":"no"}}"#)
        }
        _ => out.good(3),
    });
    let asked = ["--workload", &file, "--sessions", "2", "--workload-order", "file"];
    let run = Run::asked(
        &server,
        "chat",
        &[&asked[..], &["--concurrency", "1", "--think-time", "0s"]].concat(),
    );
    let counts = &run.point()["counts"];
    assert_eq!(
        (&counts["completed"], &counts["failed"]),
        (&json!(3), &json!(1)),
        "{}",
        run.console
    );
    assert_eq!(counts["not_sent"], 1, "{counts}");
}

#[test]
fn sharegpt_s_conversations_are_played_in_turns_and_inspected() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("sharegpt.json");
    let said = json!([{ "id": "a", "conversations": [
        { "from": "system", "value": "w0001" },
        { "from": "human", "value": "w0002 w0003" },
        { "from": "gpt", "value": "w0004 w0005" },
        { "from": "human", "value": "w0006" },
        { "from": "gpt", "value": "w0007" },
        { "from": "human", "value": "w0008" },
    ] }]);
    fs::write(&path, said.to_string()).expect("a file");
    let (file, tokenizer) = (format!("conversation:{}", path.display()), tokenizer(&folder));
    let asked =
        ["--workload", &file, "--tokenizer", &tokenizer, "--sessions", "3", "--concurrency", "2"];
    let output = in_process(&folder, "sim:null", &asked);
    is_played(&output);
    let planned = columns(&folder, "plan.csv", &["turn", "prompt_tokens", "max_tokens"]);
    assert_eq!(planned, [["0", "3", "2"], ["1", "6", "1"]].repeat(3));
}

#[test]
fn what_conversations_do_not_have_is_refused_by_its_flag() {
    let folder = TempDir::new().expect("a folder");
    let file = file(&folder);
    let cases: [(&str, &[&str], &[&str]); 7] = [
        ("null:", &[], &["--history", "recorded"]),
        ("local:dummy-nano", &["--rate", "3"], &["--rate", "closed loop"]),
        ("local:dummy-nano", &["--warmup", "3"], &["--warmup"]),
        ("local:dummy-nano", &["--prompts", "text"], &["--prompts ids"]),
        ("local:dummy-nano", &["--sessions", "0"], &["--sessions"]),
        (
            "local:dummy-nano",
            &["--sessions", "2", "--requests", "4"],
            &["--sessions", "--requests"],
        ),
        ("openai:http://127.0.0.1:9", &["--endpoint", "embeddings"], &["--endpoint chat"]),
    ];
    for (target, asked, parts) in cases {
        let output = in_process(&folder, target, &[&["--workload", &file], asked].concat());
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{target} {asked:?}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{target} {asked:?}: {message}");
    }
    let output = in_process(&folder, "local:dummy-nano", &["--think-time", "1s"]);
    let message = words(&output.stderr);
    assert!(output.status.code() == Some(2) && message.contains("--think-time"), "{message}");
}
