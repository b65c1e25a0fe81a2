//! Conversations, embeddings and rerank in batches against llama.cpp's own server, through the binary.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bareflight_engine::dummy_tokenizer;
use serde_json::{Map, Value, json};

use crate::python::{Script, environment};

tests! {
    a_conversation_of_three_turns_has_the_same_token_counts_in_process_and_served,
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

/// A word of the model whose words are characters.
fn character(number: u32) -> String {
    char::from_u32(0x4E00 + number).expect("a character").to_string()
}

/// A tokenizer that has one token for each of its words, whatever blanks are between them.
fn tokenizer_of_characters(folder: &Path) -> String {
    let mut vocabulary: Map<String, Value> =
        (3..FIRST_WORD).map(|id| (format!("<{id}>"), id.into())).collect();
    let special = ["<unk>", "<s>", "</s>"];
    vocabulary.extend(special.into_iter().zip(0_u32..).map(|(it, id)| (it.to_owned(), id.into())));
    vocabulary.extend((0..WORDS).map(|word| (character(word), (FIRST_WORD + word).into())));
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    });
    let path = folder.join("characters.json");
    fs::write(&path, tokenizer.to_string()).expect("a file");
    path.to_str().expect("text").to_owned()
}

fn a_conversation_of_three_turns_has_the_same_token_counts_in_process_and_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokenizer = tokenizer_of_characters(folder.path());
    let talks = folder.path().join("talks.jsonl");
    let says = |words: std::ops::Range<u32>| words.map(character).collect::<Vec<_>>().join(" ");
    let turn = |words, tokens: u32| json!({ "user": says(words), "output_tokens": tokens });
    let talk = json!({ "turns": [turn(1..5, 5), turn(5..8, 4), turn(8..10, 3)] });
    fs::write(&talks, format!("{talk}\n")).expect("a file");
    let file = format!("conversation:{}", talks.display());
    let asked = ["--workload", &file, "--sessions", "1", "--concurrency", "1"];
    let asked = [&asked[..], &["--tokenizer", &tokenizer]].concat();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    run(&here, "sim:null", &asked);
    let server = start(&["--characters"]);
    let target = format!("openai:{}", server.field("url"));
    let as_text = ["--endpoint", "completions", "--prompts", "text"];
    run(&there, &target, &[&asked[..], &as_text].concat());
    let columns = ["outcome", "prompt_tokens", "prompt_tokens_told", "output_tokens"];
    let in_process = rows(&here, &columns);
    let told: Vec<&str> = in_process.iter().map(|row| row[2].as_str()).collect();
    // Each prompt holds what was asked and answered before it: 4, 4 + 5 + 3, and 12 + 4 + 2.
    assert_eq!(told, ["4", "12", "18"]);
    assert_eq!(rows(&there, &columns), in_process);
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
