//! Drafting: it changes how long an output takes and never the output. Two simulated executors, one of which drafts.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::contract::{Subject, pace, shots};
use crate::support::left_behind::in_one_line;
use bareflight::ffi::engine::Engine;
use bareflight::record::recorder::PhaseRecords;
use bareflight::record::request_record::Outcome;
use bareflight::settings::engine::{Drafting, EngineSettings};
use bareflight::targets::sim::wire_config;

const TARGET: &str = "sim:explicit,base_us=1000,external_drafts=4";

fn drafted(draft: &str, tokens: u32) -> Subject {
    let drafting = Drafting { engine: draft.into(), tokens, ..Drafting::default() };
    let engine =
        EngineSettings { drafting: Some(drafting), kv_reuse: true, ..EngineSettings::default() };
    Subject { engine, ..Subject::named(TARGET) }
}

fn play(subject: &Subject) -> PhaseRecords {
    subject.play(&shots(12, 40, 30), &pace(4)).1
}

#[test]
fn the_output_is_what_the_target_alone_gives_in_fewer_of_its_steps() {
    let alone = play(&Subject::named("sim:explicit,base_us=1000"));
    let together = play(&drafted("explicit,base_us=100,agreement=0.8", 4));
    let mut rounds = 0;
    for ((one, _), (other, arrivals)) in alone.records.iter().zip(together.records.iter()) {
        assert_eq!(one.token_hash, other.token_hash, "other tokens with drafts");
        assert_eq!(other.output_tokens, 30);
        rounds += arrivals.len();
        let used = other.engine_use.expect("the engine counts");
        let accepted = used.accepted_draft_tokens as usize;
        // Each round adds what was accepted and one token more, but that one is missing where an output is full.
        let added = accepted + arrivals.len();
        assert!((30..=31).contains(&added), "{used:?} in {} rounds", arrivals.len());
        assert!(used.draft_tokens > used.accepted_draft_tokens && accepted > 0, "{used:?}");
    }
    assert!(rounds < 12 * 30 / 2, "{rounds} steps for {} tokens", 12 * 30);
}

#[test]
fn a_sequence_of_the_last_length_that_both_take_is_whole() {
    let drafting =
        Drafting { engine: "null,agreement=0.5".into(), tokens: 3, ..Drafting::default() };
    let engine =
        EngineSettings { drafting: Some(drafting), kv_reuse: true, ..EngineSettings::default() };
    let subject =
        Subject { engine, ..Subject::named("sim:null,max_seq_len=100,external_drafts=4") };
    // Behind 96 tokens lies room for the drafts of one step.
    let phase = subject.play(&shots(8, 40, 56), &pace(2)).1;
    for record in phase.records.requests() {
        assert_eq!((record.output_tokens, record.outcome.is_completed()), (56, true));
    }
}

#[test]
fn drafts_that_never_agree_cost_time_and_nothing_else() {
    let alone = play(&Subject::named("sim:explicit,base_us=1000"));
    let together = play(&drafted("explicit,base_us=100,agreement=0", 2));
    for ((one, _), (other, arrivals)) in alone.records.iter().zip(together.records.iter()) {
        assert_eq!((one.token_hash, arrivals.len()), (other.token_hash, 30));
        assert_eq!(other.engine_use.expect("the engine counts").accepted_draft_tokens, 0);
    }
}

#[test]
fn a_draft_engine_that_breaks_fails_the_requests_in_its_own_words_and_the_run_ends() {
    let breaks = drafted("explicit,base_us=100,fail_at_iteration=40", 4);
    let phase = play(&breaks);
    let failures: Vec<&str> = phase
        .records
        .requests()
        .iter()
        .filter_map(|record| match &record.outcome {
            Outcome::Failed(failure) => Some(failure.message.as_str()),
            _ => None,
        })
        .collect();
    // The engine goes on after it, and so do the requests that it did not hold just then.
    let ended = phase.records.requests().iter().filter(|it| it.outcome.is_completed()).count();
    assert!(!failures.is_empty() && failures.len() + ended == 12, "{ended} ended, {failures:?}");
    for words in failures {
        assert!(words.starts_with("the draft engine: ") && words.contains("simulated failure"));
    }
}

fn bareflight(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--requests", "8", "--warmup", "2", "--concurrency", "2", "--seed", "1"])
        .args(["--scenario", "D(40,30)", "--out"])
        .arg(folder.join("run"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn a_run_tells_who_drafts_and_how_much_of_it_is_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let draft = "explicit,base_us=100,agreement=0.8";
    let arguments = ["--target", TARGET, "--draft-engine", draft, "--kv-reuse"];
    let output = bareflight(folder.path(), &arguments);
    let console = String::from_utf8_lossy(&output.stdout);
    // It may be broken anywhere.
    let console = in_one_line(&console);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{console}\n{complaints}");
    assert!(console.contains("4 tokens at a time drafted by"), "{console}");
    assert!(console.contains("draft tokens accepted"), "{console}");
    let run =
        std::fs::read_dir(folder.path().join("run")).unwrap().next().expect("one run").unwrap();
    let manifest = std::fs::read(run.path().join("manifest.json")).expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    let drafting = &manifest["target"]["details"]["settings"]["drafting"];
    assert_eq!((&drafting["engine"], &drafting["tokens"]), (&draft.into(), &4.into()));
}

#[test]
fn what_cannot_draft_is_refused_before_load_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (target, draft, named) in [
        ("sim:null", "null", "external_drafts=N"),
        ("sim:null,external_drafts=2", "null", "--draft-tokens"),
        ("sim:null,external_drafts=4", "null,vocab=100", "same tokenizer"),
        ("sim:null,external_drafts=4", "nonsense", "draft engine"),
        ("local:dummy-pico", "null", "--draft-engine"),
        ("sim:null,external_drafts=4,eos_after=3", "null", "eos_after"),
    ] {
        let output =
            bareflight(folder.path(), &["--target", target, "--kv-reuse", "--draft-engine", draft]);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaints.contains(named), "{target}: {complaints}");
    }
    let alone = bareflight(folder.path(), &["--target", TARGET]);
    let complaints = String::from_utf8_lossy(&alone.stderr);
    assert!(!alone.status.success() && complaints.contains("--draft-engine"), "{complaints}");
}

#[test]
fn without_reuse_of_the_kv_cache_nothing_is_loaded_and_the_flag_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = bareflight(folder.path(), &["--target", TARGET, "--draft-engine", "null"]);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaints}");
    assert!(complaints.contains("without `--kv-reuse`"), "{complaints}");
    assert!(!folder.path().join("run").exists(), "nothing was begun");
}

#[test]
fn the_simulated_library_refuses_it_as_the_original_does() {
    let settings = EngineSettings::default();
    let config = wire_config("null,external_drafts=4", &settings);
    let error = Engine::open_simulated(&config).err().expect("refused").to_string();
    assert!(error.contains("block reuse must be enabled"), "{error}");
}

/// The one folder below `run`, with its manifest.
fn left(folder: &Path) -> (std::path::PathBuf, serde_json::Value) {
    let run =
        std::fs::read_dir(folder.join("run")).expect("runs").next().expect("one").expect("one");
    let manifest = std::fs::read(run.path().join("manifest.json")).expect("a manifest");
    (run.path(), serde_json::from_slice(&manifest).expect("JSON"))
}

#[test]
fn a_draft_engine_that_does_not_load_ends_the_run_before_load_with_its_own_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let draft = ["--draft-engine", "null", "--draft-kv-tokens", "1", "--kv-reuse"];
    let output = bareflight(folder.path(), &[&["--target", TARGET][..], &draft].concat());
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{complaints}");
    assert!(complaints.contains("its draft engine `null`: the KV cache holds 1"), "{complaints}");
}

#[test]
fn a_run_whose_draft_engine_breaks_tells_it_and_keeps_every_record() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let draft = "explicit,base_us=100,fail_at_iteration=60";
    let arguments =
        ["--target", TARGET, "--draft-engine", draft, "--kv-reuse", "--window", "whole"];
    let output = bareflight(folder.path(), &arguments);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "some failed, so it is invalid: {complaints}");
    let console = String::from_utf8_lossy(&output.stdout);
    assert!(console.contains("the draft engine: "), "{console}");
    let (run, manifest) = left(folder.path());
    assert_eq!(manifest["state"], "complete");
    let rows = std::fs::read_to_string(run.join("requests.csv")).expect("rows");
    let (failed, completed) =
        (rows.matches(",failed,").count(), rows.matches(",completed,").count());
    assert!(failed > 0 && failed + completed == 8, "{rows}");
}

#[test]
fn what_the_draft_engine_throws_when_it_is_asked_is_told_as_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Behind the warm-up, and before the end.
    let draft = "explicit,base_us=100,throw_at_enqueue=40";
    let arguments =
        ["--target", TARGET, "--draft-engine", draft, "--kv-reuse", "--window", "whole"];
    let output = bareflight(folder.path(), &arguments);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 4)), "{complaints}");
    let rows = std::fs::read_to_string(left(folder.path()).0.join("requests.csv")).expect("rows");
    assert!(rows.contains("the draft engine: simulated exception of the call enqueue"), "{rows}");
}

#[test]
fn the_roofline_of_a_drafted_run_is_the_target_s() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = "sim:h200-llama3-8b-fp8,external_drafts=4";
    let draft = "h200-llama3-8b-fp8,agreement=0.7";
    let arguments = ["--target", target, "--draft-engine", draft, "--kv-reuse"];
    let output = bareflight(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = std::fs::read(left(folder.path()).0.join("summary.json")).expect("a summary");
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
    let floor = &summary["points"][0]["roofline"]["decode"]["floor_ms"];
    assert!(floor.as_f64().is_some_and(|floor| floor > 1.0), "weights of 8 GB: {floor}");
}
