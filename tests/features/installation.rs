//! The whole program on an installation of TensorRT-LLM. Discovered, compiled against, linked, loaded; on one that is made
//! of our simulated executor. `tests/features.sh` makes it and starts these claims.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::left_behind;
use crate::support::left_behind::{directory, words};
use crate::support::stand_in;
use tempfile::TempDir;

/// As `tests/simulated_installation/make.sh` has made it.
fn installation() -> PathBuf {
    let root = std::env::var_os("TRTLLM_ROOT").expect("tests/features.sh sets TRTLLM_ROOT");
    PathBuf::from(root)
}

fn program(out: &TempDir, target: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--target", target]).args(more).current_dir(out.path()).env("CI", "1");
    if !more.contains(&"--scenario") {
        command.args(["--scenario", "D(16,8)"]);
    }
    if !more.contains(&"--warmup") {
        command.args(["--warmup", "1"]);
    }
    // Rows and tokens are counted here: nothing is sent beside the requests that were asked for.
    command.args(["--window", "whole"]);
    command
}

fn run(out: &TempDir, profile: &str, more: &[&str]) -> Output {
    let target = stand_in::target(out, profile, 1);
    program(out, &target, more).output().expect("the binary runs")
}

/// A file of the one run directory.
fn read(out: &TempDir, name: &str) -> String {
    left_behind::read(&directory(out), name)
}

fn manifest(out: &TempDir) -> serde_json::Value {
    serde_json::from_str(&read(out, "manifest.json")).expect("JSON")
}

/// What a run says that was refused before any load was sent.
fn refused(out: &TempDir, output: &Output) -> String {
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(!out.path().join("runs").exists(), "nothing was begun: {message}");
    message
}

#[test]
fn the_build_took_the_version_from_the_package_since_the_headers_have_none_as_in_the_image() {
    let root = installation();
    assert!(!root.join("include/tensorrt_llm/executor/version.h").exists());
    let package = root.join("lib").canonicalize().expect("a link into the package");
    assert!(package.join("../version.py").exists(), "{}", package.display());
}

/// Lines of a list that a library does not define, as `docs/H200.md` looks for them.
fn absent(library: &str, list: &str) -> Vec<String> {
    let library = installation().join("lib").join(library);
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output();
    let there = words(&output.expect("`nm` is needed for this test").stdout);
    let there: Vec<&str> = there.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    list.lines().filter(|name| !there.contains(name)).map(str::to_owned).collect()
}

#[test]
fn each_symbol_that_is_needed_is_in_the_library_that_it_is_listed_for() {
    let of_library = include_str!("../needed_symbols.txt");
    let of_plugins = include_str!("../needed_plugin_symbols.txt");
    assert!(absent("libtensorrt_llm.so", of_library).is_empty());
    assert!(absent("libnvinfer_plugin_tensorrt_llm.so", of_plugins).is_empty());
    assert_eq!(absent("libtensorrt_llm.so", of_plugins), ["initTrtLlmPlugins"]);
}

/// Slow enough that the tokens of one output are seen one after the other.
const COST: &str = "explicit,base_us=3000";

/// Whether the first and the last token of a row's request came at different instants.
fn came_in_parts(row: &str) -> bool {
    const FIRST_TOKEN_NS: usize = 7;
    const LAST_TOKEN_NS: usize = 9;
    let columns: Vec<&str> = row.split(',').collect();
    columns[FIRST_TOKEN_NS] != columns[LAST_TOKEN_NS]
}

#[test]
fn a_run_streams_through_the_linked_library_and_every_artefact_says_simulated() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, COST, &["--concurrency", "4", "--requests", "20"]);
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    assert!(message.contains("SIMULATED TensorRT-LLM 1.2.1+simulated"), "{message}");
    assert!(words(&output.stdout).contains("SIMULATED"));
    let manifest = manifest(&out);
    assert_eq!(manifest["target"]["kind"], "trtllm");
    assert_eq!(manifest["target"]["details"]["library_version"], "1.2.1+simulated");
    assert_eq!(manifest["target"]["gpus"], 1);
    assert_eq!(manifest["target"]["details"]["settings"]["kv_reuse"], false, "said explicitly");
    assert_eq!(manifest["state"], "complete");
    for name in ["manifest.json", "summary.json", "summary.csv", "report.html"] {
        assert!(read(&out, name).to_lowercase().contains("simulated"), "{name}");
    }
    let summary: serde_json::Value =
        serde_json::from_str(&read(&out, "summary.json")).expect("JSON");
    let counts = &summary["points"][0]["counts"];
    assert_eq!(counts["completed"], 20, "{counts}");
    let rows = read(&out, "requests.csv");
    assert!(rows.lines().skip(1).any(came_in_parts), "no output was streamed: {rows}");
}

#[test]
fn a_request_that_takes_too_long_is_cancelled_in_the_library() {
    let out = tempfile::tempdir().expect("a folder");
    let more = [
        "--concurrency",
        "1",
        "--requests",
        "2",
        "--timeout",
        "100ms",
        "--scenario",
        "D(16,2000)",
        "--warmup",
        "0",
    ];
    let target = stand_in::target(&out, "explicit,base_us=5000", 1);
    let output = program(&out, &target, &more).output().expect("runs");
    assert_eq!(output.status.code(), Some(1), "{}", words(&output.stderr));
    let requests = read(&out, "requests.csv");
    assert_eq!(requests.matches("timed_out").count(), 2, "{requests}");
}

#[test]
fn an_end_token_that_no_file_names_is_refused_and_one_that_is_named_ends_outputs() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, "explicit,base_us=500,eos_after=3", 1);
    let more = ["--stop-at-eos", "--concurrency", "1", "--requests", "4"];
    let output = program(&out, &target, &more).output().expect("runs");
    let message = refused(&out, &output);
    assert!(message.contains("--stop-at-eos") && message.contains("--tokenizer"), "{message}");

    let engine = target.strip_prefix("trtllm:").expect("a target of that kind");
    let config = PathBuf::from(engine).join("generation_config.json");
    std::fs::write(config, r#"{"eos_token_id": [5, 6]}"#).expect("a file");
    let output = program(&out, &target, &more).output().expect("runs");
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let requests = read(&out, "requests.csv");
    assert_eq!(requests.matches(",completed,end_token,").count(), 4, "{requests}");
    let end = &manifest(&out)["target"]["details"]["end_token"];
    assert_eq!((&end["id"], &end["others"]), (&5.into(), &serde_json::json!([6])));
}

#[test]
fn one_engine_drafts_and_another_verifies_in_one_process() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::engine(&out, "large", "explicit,base_us=1000", 1, 4);
    let draft = stand_in::engine(&out, "small", "explicit,base_us=100,agreement=0.8", 1, 0);
    let (target, draft) = (format!("trtllm:{}", target.display()), draft.display().to_string());
    let asked = ["--draft-engine", &draft, "--kv-reuse", "--concurrency", "2", "--requests", "6"];
    let more = [&asked[..], &["--scenario", "D(100,40)"]].concat();
    let output = program(&out, &target, &more).output().expect("runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    assert!(message.contains("4 tokens at a time drafted by"), "{message}");
    assert!(words(&output.stdout).contains("draft tokens accepted"));
    let rows = read(&out, "requests.csv");
    let mut lines = rows.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = |name: &str| header.iter().position(|it| *it == name).expect(name);
    let accepted = column("accepted_draft_tokens");
    for row in lines {
        let fields: Vec<&str> = row.split(',').collect();
        assert!(fields[accepted].parse::<u32>().expect(row) > 0, "{row}");
    }
}

#[test]
fn engines_that_do_not_draft_together_are_refused_with_the_remedy() {
    let out = tempfile::tempdir().expect("a folder");
    let plain = stand_in::target(&out, COST, 1);
    let large = stand_in::engine(&out, "large", COST, 1, 2);
    let small = stand_in::engine(&out, "small", COST, 1, 0).display().to_string();
    let wide = stand_in::engine(&out, "wide", COST, 2, 0).display().to_string();
    let large = format!("trtllm:{}", large.display());
    for (target, draft, named) in [
        (&plain, &small, "--speculative_decoding_mode draft_tokens_external"),
        (&large, &small, "verify 2 draft tokens"),
        (&large, &wide, "orchestrator mode"),
        (&large, &"no/such/engine".to_owned(), "its draft engine"),
    ] {
        let output =
            program(&out, target, &["--kv-reuse", "--draft-engine", draft]).output().expect("runs");
        let message = refused(&out, &output);
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn a_failure_of_the_forward_pass_is_recorded_in_the_librarys_words() {
    let out = tempfile::tempdir().expect("a folder");
    let profile = "explicit,base_us=100,fail_at_iteration=0";
    let output = run(&out, profile, &["--concurrency", "1", "--requests", "1", "--warmup", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output.stderr));
    assert!(read(&out, "requests.csv").contains("failed,engine,"), "with the library's own words");
}

#[test]
fn a_library_of_another_version_is_refused_with_both_versions_named() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, COST, 1);
    let other = installation().join("other_version");
    let output = program(&out, &target, &[]).env("LD_LIBRARY_PATH", other).output().expect("runs");
    let message = refused(&out, &output);
    assert!(
        message.contains("0.0.1+simulated") && message.contains("1.2.1+simulated"),
        "{message}"
    );
}

#[test]
fn a_library_that_lays_a_struct_out_differently_is_refused_even_if_its_version_agrees() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, COST, 1);
    let other = installation().join("other_layout");
    let output = program(&out, &target, &[]).env("LD_LIBRARY_PATH", other).output().expect("runs");
    let message = refused(&out, &output);
    assert!(message.contains("executor::IterationStats") && message.contains("bytes"), "{message}");
    assert!(message.contains("1.2.1+simulated"), "{message}");
}

#[test]
fn a_library_that_cannot_be_loaded_is_named() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, COST, 1);
    let other = installation().join("unreadable");
    let output = program(&out, &target, &[]).env("LD_LIBRARY_PATH", &other).output().expect("runs");
    let message = words(&output.stderr);
    assert!(!output.status.success());
    assert!(message.contains(&other.join("libtensorrt_llm.so").display().to_string()), "{message}");
}

#[test]
fn plugins_that_cannot_be_registered_are_refused_before_load() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, COST, 1);
    let output = program(&out, &target, &["--concurrency", "1"])
        .env("SIMULATED_PLUGINS_REFUSE", "1")
        .output()
        .expect("runs");
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("initTrtLlmPlugins"), "{message}");
}

#[test]
fn a_folder_that_holds_no_engine_is_refused() {
    let out = tempfile::tempdir().expect("a folder");
    let target = format!("trtllm:{}", out.path().display());
    let output = program(&out, &target, &[]).output().expect("runs");
    assert!(refused(&out, &output).contains("config.json"));
}

#[test]
fn the_simulated_executor_lives_in_the_same_program_under_another_namespace() {
    let out = tempfile::tempdir().expect("a folder");
    let more = ["--concurrency", "2", "--requests", "8"];
    let output = program(&out, "sim:explicit,base_us=200", &more).output().expect("runs");
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    assert_eq!(manifest(&out)["target"]["kind"], "sim");
}

#[test]
fn what_the_library_writes_to_standard_output_is_kept_in_the_run_and_not_among_results() {
    let out = tempfile::tempdir().expect("a folder");
    let more = ["--concurrency", "2", "--requests", "6", "--engine-log", "info"];
    let output = run(&out, COST, &more);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    assert!(!words(&output.stdout).contains("[TensorRT-LLM]"), "{}", words(&output.stdout));
    let log = read(&out, "engine.log");
    assert!(log.contains("[TensorRT-LLM][INFO]") && log.ends_with("shuts down\n"), "{log}");
}

#[test]
fn a_ladder_starts_from_an_engine_that_writes_to_standard_output_first() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, COST, 1);
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["ladder", "--target", &target, "--scenario", "D(16,8)", "--requests", "4"])
        .args(["--warmup", "1", "--blocks", "1"])
        .current_dir(out.path())
        .env("CI", "1")
        .env("TLLM_LOG_LEVEL", "TRACE")
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    assert!(words(&output.stdout).contains("L6 "), "{}", words(&output.stdout));
    for name in ["engine.log", "served.engine.log"] {
        assert!(read(&out, name).contains("[TensorRT-LLM][INFO]"), "{name}");
    }
}

#[test]
fn a_checkpoint_in_place_of_an_engine_is_told_with_the_command_that_builds_one() {
    let out = tempfile::tempdir().expect("a folder");
    let checkpoint = out.path().join("checkpoint");
    std::fs::create_dir(&checkpoint).expect("made");
    let config = r#"{"architecture": "LlamaForCausalLM", "num_hidden_layers": 32}"#;
    std::fs::write(checkpoint.join("config.json"), config).expect("written");
    let target = format!("trtllm:{}", checkpoint.display());
    let output = program(&out, &target, &[]).output().expect("runs");
    assert!(refused(&out, &output).contains("trtllm-build --checkpoint_dir"));
}
