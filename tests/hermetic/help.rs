//! Help at the command line: one screen, everything, topics, completions, manual pages, translations.

use std::fs;
use std::process::{Command, Output};

use crate::support::left_behind::words;
use tempfile::TempDir;

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(folder.path()).output().expect("it runs")
}

fn said(arguments: &[&str], columns: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    let output = command.args(arguments).env("COLUMNS", columns).output().expect("it runs");
    (output.status.code(), words(&output.stdout) + &words(&output.stderr))
}

#[test]
fn a_short_help_is_one_screen_and_a_long_one_has_every_flag() {
    for arguments in [&["-h"][..], &["run", "-h"], &["run", "--rate", "2", "-h"], &["serve", "-h"]]
    {
        let (code, text) = said(arguments, "80");
        assert_eq!(code, Some(0), "{text}");
        assert!(text.lines().count() <= 24, "{arguments:?}:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{arguments:?}:\n{text}");
    }
    let (_, text) = said(&["run", "--help"], "100");
    for flag in ["--concurrency", "--lora-max-rank", "--trace-window", "--gpu-telemetry"] {
        assert!(text.contains(flag), "{flag}");
    }
}

#[test]
fn help_has_topics_and_commands_and_refuses_what_is_neither() {
    for (topic, holds) in [
        ("targets", "sim:PROFILE"),
        ("scenarios", "N(mean,std)/(mean,std)"),
        ("metrics", "Inter-token latency"),
        ("files", "requests.csv"),
        ("exit-codes", "130"),
        ("run", "--max-in-flight"),
    ] {
        let (code, text) = said(&["help", topic], "80");
        assert!(code == Some(0) && text.contains(holds), "{topic}: {text}");
    }
    let (code, text) = said(&["help", "metric"], "80");
    assert!(code == Some(2) && text.contains("did you mean `metrics`?"), "{text}");
}

#[test]
fn help_names_the_targets_that_a_subcommand_takes_and_no_others() {
    let out = tempfile::tempdir().expect("a folder");
    let help = |subcommand| words(&run(&out, &[subcommand, "--help"]).stdout);
    assert!(help("run").contains("`trtllm:ENGINE_DIR`"));
    for subcommand in ["serve", "ladder"] {
        let help = help(subcommand);
        assert!(help.contains("`trtllm:ENGINE_DIR`"), "{help}");
        assert!(!help.contains("`openai:URL`") && !help.contains("`triton:HOST"), "{help}");
    }
    assert!(help("compare").contains("--fail-if <BOUND,…>"));
}

#[test]
fn bash_completes_commands_flags_and_their_values() {
    let out = tempfile::tempdir().expect("a folder");
    let script = run(&out, &["completions", "bash"]);
    assert!(script.status.success());
    fs::write(out.path().join("completions"), &script.stdout).expect("the folder is ours");
    let completed = |line: &[&str]| {
        let last = line.len() - 1;
        let typed: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
        let asked = format!(
            "source completions; COMP_WORDS=({}); COMP_CWORD={last}; \
             _bareflight bareflight '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            typed.join(" "),
            line[last],
            line[last - 1],
        );
        let output = Command::new("bash").args(["-c", &asked]).current_dir(out.path()).output();
        words(&output.expect("bash runs").stdout)
    };
    assert!(completed(&["bareflight", "com"]).lines().any(|word| word == "compare"));
    assert!(
        completed(&["bareflight", "run", "--conc"]).lines().any(|word| word == "--concurrency")
    );
    let endpoints = completed(&["bareflight", "run", "--endpoint", ""]);
    assert!(endpoints.contains("embeddings"), "{endpoints}");
}

#[test]
fn every_command_has_a_manual_page() {
    let out = tempfile::tempdir().expect("a folder");
    assert!(run(&out, &["man", "pages"]).status.success());
    let pages = out.path().join("pages");
    for name in
        ["bareflight.1", "bareflight-run.1", "bareflight-compare.1", "bareflight-translate.1"]
    {
        let page = fs::read_to_string(pages.join(name)).expect(name);
        assert!(page.contains(".SH"), "{name}");
    }
    let page = fs::read_to_string(pages.join("bareflight-run.1")).expect("read");
    assert!(page.contains("concurrency"));
    assert!(page.contains(".SH SYNOPSIS\nbareflight run [TARGET] [\\-\\-concurrency N"), "{page}");
    let nowhere = run(&out, &["man", "/proc/no"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(words(&nowhere.stderr).contains("/proc/no"));
}

#[test]
fn a_translated_command_is_one_that_plans() {
    let out = tempfile::tempdir().expect("a folder");
    let ours = run(
        &out,
        &[
            "translate",
            "--",
            "trtllm-bench",
            "throughput",
            "--engine_dir",
            "/e",
            "--concurrency",
            "4",
            "--num_requests",
            "16",
        ],
    );
    let text = words(&ours.stdout);
    let command = text.lines().next().expect("a command").replace("trtllm:/e", "sim:null");
    let command = command.replacen("bareflight run", "bareflight plan", 1);
    let typed: Vec<&str> = command.split_whitespace().skip(1).collect();
    let planned = run(&out, &typed);
    assert!(planned.status.success(), "{command}: {}", words(&planned.stderr));
    assert_eq!(run(&out, &["translate", "--", "wrk", "-c", "4"]).status.code(), Some(2));
}
