//! Help at the command line: one screen, everything, topics.

use std::process::Command;

use crate::support::left_behind::words;

fn said(arguments: &[&str], columns: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    let output = command.args(arguments).env("COLUMNS", columns).output().expect("it runs");
    (output.status.code(), words(&output.stdout) + &words(&output.stderr))
}

#[test]
fn a_short_help_is_one_screen_and_a_long_one_has_every_flag() {
    for arguments in [&["-h"][..], &["run", "-h"], &["run", "--rate", "2", "-h"], &["serve", "-h"]]
    {
        let (code, text) = said(arguments, "100");
        assert_eq!(code, Some(0), "{text}");
        assert!(text.lines().count() <= 24, "{arguments:?}:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{arguments:?}:\n{text}");
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
