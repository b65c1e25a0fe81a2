//! Every format of a workload at every kind of target: each is really played, and `docs/workloads.md` has what came of it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use bareflight_engine::dummy_tokenizer;

use crate::support::left_behind::{rows, words};
use crate::support::serve_process::Serving;

const TABLE: &str = include_str!("../../docs/workloads.md");

/// A format, with the flags that its file needs.
struct Format {
    kind: &'static str,
    workload: String,
    flags: &'static [&'static str],
}

/// Files that are in no fixture are made here.
fn formats(folder: &Path) -> Vec<Format> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workloads");
    let made = |name: &str, text: &str| {
        fs::write(folder.join(name), text).expect("a file");
        folder.join(name)
    };
    let config = r#"{"source": {"type": "file", "path": "asked.jsonl"}, "prompt_column": "ask"}"#;
    made("asked.jsonl", "{\"ask\": \"w0001 w0002\"}\n{\"ask\": \"w0003\"}\n");
    let list = r#"{"data": [{"ask": "w0001 w0002"}, {"ask": "w0003"}]}"#;
    let turns = r#"{"turns": [{"user": "w0001 w0002", "assistant": "w0003", "output_tokens": 2}, {"user": "w0004", "assistant": "w0005", "output_tokens": 3}]}"#;
    let of = |kind: &'static str, file: &str, flags| Format {
        kind,
        workload: format!("{kind}:{}", fixtures.join(file).display()),
        flags,
    };
    let own = |kind: &'static str, name: &str, text: &str, flags| Format {
        kind,
        workload: format!("{kind}:{}", made(name, text).display()),
        flags,
    };
    vec![
        of("sharegpt", "sharegpt.json", &[]),
        of("openorca", "openorca.jsonl", &[]),
        of("cnn-dailymail", "cnn_dailymail.csv", &[]),
        of("jsonl", "openorca.jsonl", &["--prompt-column", "question", "--output-tokens", "3"]),
        own("json", "list.json", list, &["--prompt-column", "ask", "--output-tokens", "3"]),
        of("csv", "prompts.csv", &[]),
        of("text", "prompts.txt", &["--output-tokens", "3"]),
        of("trtllm-bench", "trtllm_bench.jsonl", &[]),
        of("gpt-manager", "gpt_manager.json", &[]),
        of("genai-perf", "genai_perf.jsonl", &["--output-tokens", "3"]),
        own("genai-bench", "config.json", config, &["--output-tokens", "3"]),
        // The served engine takes 1024 tokens.
        of("mooncake", "mooncake.jsonl", &["--max-isl", "600"]),
        of("burstgpt", "burstgpt.csv", &[]),
        of("azure-llm", "azure_llm_2024.csv", &[]),
        of("plan", "plan.csv", &[]),
        of("lengths", "lengths.csv", &[]),
        of("histogram", "histogram.csv", &["--max-isl", "600"]),
        own("conversation", "talk.jsonl", turns, &["--history", "model"]),
        own("conversation", "talk.jsonl", turns, &["--history", "recorded"]),
    ]
}

/// What came of a run: `yes` where every request completed, or that it was refused before any was sent.
fn played(folder: &Path, place: usize, format: &Format, target: &[&str]) -> &'static str {
    let tokenizer = folder.join("tokenizer.json");
    let out = folder.join(format!("runs-{place}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--quiet", "--warmup", "0", "--concurrency", "1", "--requests", "3"]);
    command.args(["--workload", &format.workload]).args(format.flags).args(target);
    command.arg("--out").arg(&out).env("CI", "1");
    // The one has its own, and the other reads no prompt.
    if !target.iter().any(|it| ["local:dummy-pico", "null:"].contains(it)) {
        command.arg("--tokenizer").arg(tokenizer);
    }
    let output = command.output().expect("the binary runs");
    let said = words(&output.stderr);
    match output.status.code() {
        Some(0 | 4) => {}
        Some(2 | 3) => return "no",
        code => panic!("{} at {target:?}: {code:?}: {said}", format.kind),
    }
    let run = fs::read_dir(&out).expect("runs").next().expect("a run").expect("a folder").path();
    let outcomes = rows(&run, "requests.csv", &["part", "outcome", "output_tokens"]);
    let measured: Vec<_> = outcomes.iter().filter(|row| row[0] == "measured").collect();
    assert!(measured.len() >= 2, "{} at {target:?}: {outcomes:?}", format.kind);
    for row in measured {
        assert_eq!(row[1], "completed", "{} at {target:?}: {said}", format.kind);
        assert_ne!(row[2], "0", "{} at {target:?}", format.kind);
    }
    fs::remove_dir_all(&out).expect("our own folder");
    "yes"
}

#[test]
fn every_format_is_played_at_every_target_or_refused_before_any_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    dummy_tokenizer(4_096).save(folder.join("tokenizer.json"), false).expect("a file");
    let serving = Serving::start(&["--target", "local:dummy-pico"]);
    let (openai, triton) = (format!("openai:{}", serving.openai), serving.grpc.as_str());
    let (by_ids, by_text) =
        (format!("triton:{triton}/tensorrt_llm"), format!("triton:{triton}/ensemble"));
    let targets: [(&str, Vec<&str>); 7] = [
        ("`null:`", vec!["--target", "null:"]),
        ("`sim:`", vec!["--target", "sim:null"]),
        ("`local:`", vec!["--target", "local:dummy-pico"]),
        ("`openai:` chat", vec!["--target", &openai]),
        (
            "`openai:` ids",
            vec!["--target", &openai, "--endpoint", "completions", "--prompts", "ids"],
        ),
        ("`triton:` ids", vec!["--target", &by_ids]),
        ("`triton:` text", vec!["--target", &by_text, "--prompts", "text"]),
    ];
    let formats = formats(folder);
    let columns: Vec<Vec<&'static str>> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (place, (_, target)) in targets.iter().enumerate() {
            let formats = &formats;
            threads.push(scope.spawn(move || {
                formats.iter().map(|format| played(folder, place, format, target)).collect()
            }));
        }
        threads.into_iter().map(|thread| thread.join().expect("every run was looked at")).collect()
    });
    let names: Vec<&str> = targets.iter().map(|(name, _)| *name).collect();
    let mut table = format!("| format | {} |\n|{}\n", names.join(" | "), "---|".repeat(8));
    for (row, format) in formats.iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row]).collect();
        let history = if format.kind == "conversation" {
            format!(", `{}`", format.flags.join(" "))
        } else {
            String::new()
        };
        writeln!(table, "| `{}`{history} | {} |", format.kind, cells.join(" | "))
            .expect("a text takes any words");
    }
    assert!(TABLE.contains(&table), "the table of docs/workloads.md is another one than\n{table}");
}
