//! Embeddings and rerank in batches against llama.cpp's own server, through the binary.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bareflight_engine::dummy_tokenizer;

use crate::python::{Script, environment};

tests! {
    embeddings_of_batches_are_asked_with_every_token_of_every_text,
    documents_of_batches_are_put_in_order,
}

/// The first token that is a word, and how many there are, in the script.
const FIRST_WORD: u32 = 260;
const WORDS: u32 = 512;

fn start(arguments: &[&str]) -> Script {
    Script::start(&environment("llamacpp"), "tests/network/llamacpp_python/serve.py", arguments)
}

fn run(out: &Path, target: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--quiet", "--target", target]).args(arguments);
    let output = command.arg("--out").arg(out).env("CI", "1").output().expect("the binary runs");
    // What was asked is the claim, and not whether this machine was quiet enough for numbers.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{target}: {said}");
    output
}

/// Columns of the measured requests of the one run of a folder.
fn rows(out: &Path, columns: &[&str]) -> Vec<Vec<String>> {
    let runs: Vec<PathBuf> =
        fs::read_dir(out).expect("runs").map(|run| run.expect("a folder").path()).collect();
    let [run] = &runs[..] else { panic!("one run: {runs:?}") };
    let mut reader = csv::Reader::from_path(run.join("requests.csv")).expect("a table");
    let header = reader.headers().expect("a header").clone();
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.expect("a row");
        let by_name: HashMap<&str, &str> = header.iter().zip(row.iter()).collect();
        if by_name["part"] == "measured" {
            rows.push(columns.iter().map(|name| by_name[name].to_owned()).collect());
        }
    }
    rows
}

fn embeddings_of_batches_are_asked_with_every_token_of_every_text() {
    let out = tempfile::tempdir().expect("a folder");
    let server = start(&["--embeddings"]);
    let vocabulary = (FIRST_WORD + WORDS).to_string();
    let asked = ["--scenario", "E(20)", "--batch-size", "1,8", "--concurrency", "2"];
    let ids = ["--prompts", "ids", "--vocab-size", &vocabulary, "--requests", "6"];
    let target = format!("openai:{}", server.field("url"));
    run(out.path(), &target, &[&asked[..], &ids].concat());
    let columns = ["point", "outcome", "prompt_tokens", "prompt_tokens_told"];
    let rows = rows(out.path(), &columns);
    assert_eq!(rows.len(), 12);
    for row in rows {
        let tokens = if row[0] == "0" { "20" } else { "160" };
        assert_eq!(row[1..], ["completed", tokens, tokens]);
    }
}

fn documents_of_batches_are_put_in_order() {
    let out = tempfile::tempdir().expect("a folder");
    let tokenizer = out.path().join("tokenizer.json");
    dummy_tokenizer(4_096).save(&tokenizer, false).expect("a file");
    let server = start(&["--rerank"]);
    let asked = ["--scenario", "R(8,4)", "--batch-size", "1,4", "--concurrency", "2"];
    let counted = ["--requests", "6", "--tokenizer", tokenizer.to_str().expect("text")];
    let runs = out.path().join("runs");
    let target = format!("openai:{}", server.field("url"));
    run(&runs, &target, &[&asked[..], &counted].concat());
    let rows = rows(&runs, &["point", "outcome", "prompt_tokens"]);
    assert_eq!(rows.len(), 12);
    for row in rows {
        let tokens = if row[0] == "0" { "12" } else { "36" };
        assert_eq!(row[1..], ["completed", tokens]);
    }
}
