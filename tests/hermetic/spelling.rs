//! Flags of other benchmarks at the command line: read as ours, told, and never silently something else.

use std::fs;
use std::process::{Command, Output};

use crate::support::left_behind::{in_one_line, words};
use tempfile::TempDir;

fn run(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

/// Key, value and origin of a setting in what `plan` prints.
fn setting(plan: &Output, key: &str) -> String {
    let text = words(&plan.stdout);
    let found = text.lines().find(|line| line.split_whitespace().next() == Some(key));
    let line = found.unwrap_or_else(|| panic!("{key} in {text}{}", words(&plan.stderr)));
    in_one_line(line)
}

#[test]
fn a_line_of_another_benchmark_is_planned_under_our_names() {
    let out = tempfile::tempdir().expect("a folder");
    let typed = ["plan", "--target", "sim:null", "--max_requests", "40", "--concurrency", "1", "2"];
    let more = ["--random-seed", "7", "--streaming", "--traffic-scenario", "D(8,4)"];
    let plan = run(&out, &[&typed[..], &more].concat());
    assert_eq!(plan.status.code(), Some(0), "{}", words(&plan.stderr));
    assert_eq!(setting(&plan, "requests"), "requests 40 flag");
    assert_eq!(setting(&plan, "concurrency"), "concurrency [1,2] flag");
    assert_eq!(setting(&plan, "seed"), "seed 7 flag");
    assert_eq!(setting(&plan, "no_streaming"), "no_streaming false flag");
    let told = words(&plan.stderr);
    assert!(told.contains("`--max_requests 40` as `--requests 40`"), "{told}");
    assert!(told.contains("`--streaming` as `--no-streaming=false`"), "{told}");
}

#[test]
fn what_a_line_was_read_as_is_told_once_where_the_program_starts_itself_again() {
    let out = tempfile::tempdir().expect("a folder");
    let typed = ["local:dummy-pico", "--concurrency", "1", "-n", "2", "-s", "D(4,2)"];
    let ran = run(&out, &typed);
    let told = words(&ran.stderr);
    assert_eq!(
        told.matches("`local:dummy-pico` as `--target local:dummy-pico`").count(),
        1,
        "{told}"
    );
    assert!(words(&ran.stdout).contains("dummy-pico"), "{told}");
}

#[test]
fn an_address_alone_is_asked_as_an_openai_server() {
    let out = tempfile::tempdir().expect("a folder");
    for address in [
        &["run", "-u", "127.0.0.1:9"][..],
        &["run", "--target", "http://127.0.0.1:9"],
        &["run", "http://127.0.0.1:9"],
        &["http://127.0.0.1:9"],
    ] {
        let asked = run(&out, &[address, &["--concurrency", "1"]].concat());
        let said = words(&asked.stderr);
        assert_eq!(asked.status.code(), Some(3), "{said}");
        assert!(said.contains("openai:") && said.contains("127.0.0.1:9"), "{said}");
    }
}

#[test]
fn vllm_s_number_of_prompts_is_told_not_to_be_ours() {
    let out = tempfile::tempdir().expect("a folder");
    let typed = ["plan", "--target", "sim:null", "--concurrency", "1", "--num-prompts", "9"];
    let said = words(&run(&out, &typed).stderr);
    assert!(said.contains("`--requests 9`") && said.contains("vLLM"), "{said}");
    let said = words(&run(&out, &[&typed[..], &["-n", "9"]].concat()).stderr);
    assert!(!said.contains("vLLM"), "{said}");
}

#[test]
fn a_word_that_nobody_knows_gets_what_was_meant_or_the_benchmark_that_has_it() {
    let out = tempfile::tempdir().expect("a folder");
    for folder in ["a model", "a run", "here:8000"] {
        fs::create_dir(out.path().join(folder)).expect("made");
    }
    fs::write(out.path().join("a run/manifest.json"), "{}").expect("written");
    for (typed, meant) in [
        (&["--concurency", "4"][..], "'--concurrency'"),
        (&["--service-kind", "openai"], "`bareflight translate -- genai-perf profile …`"),
        (&["--zzz"], "`bareflight run --help`"),
        (&["gpt2"], "`--model gpt2`"),
        (&["a model"], "--target 'local:a model'"),
        (&["a run"], "`bareflight report 'a run'`"),
        (&["http://a", "null:"], "`bareflight compare http://a null:`"),
        (&["here:8000"], "`--target here:8000`"),
        (&["--rate", "1", "--request-rate", "1"], "are the same setting"),
    ] {
        let refused = run(&out, &[&["run"], typed].concat());
        let said = words(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(meant), "{typed:?}: {said}");
    }
}
