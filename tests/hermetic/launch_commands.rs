//! `--launch` with cells, several launches, and the commands beside `run`; what is refused before anything is started.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::launches::{
    LOAD, PROGRAM, assert_gone, launch_file, launch_file_of_a_running, output, pid_of, run, script,
    serving, wait_for,
};
use crate::support::left_behind::{directory, read, words};

/// Cells of the load and of one scenario more.
const OF_CELLS: [&str; 2] = ["isl_8_osl_2_conc_2", "isl_4_osl_4_conc_2"];

#[test]
fn one_server_answers_all_cells_of_a_launch_and_another_one_what_is_missing() {
    let out = TempDir::new().expect("a folder");
    let first = output(&out, &["--launch", &serving(""), "--scenario", "D(8,2)"]);
    assert!(matches!(first.status.code(), Some(0 | 4)), "{}", words(&first.stderr));
    let folder = directory(&out);
    let began = assert_gone(&folder);
    let pid_of_cell = |cell: &str| {
        let manifest: Value =
            serde_json::from_str(&read(&folder.join(cell), "manifest.json")).expect("JSON");
        manifest["launch"]["pid"].clone()
    };
    for cell in OF_CELLS {
        assert_eq!(pid_of_cell(cell), began["pid"], "{cell}");
    }
    assert!(folder.join("server.log").is_file());
    fs::remove_dir_all(folder.join(OF_CELLS[1])).expect("it is there");
    let again = Command::new(PROGRAM)
        .args(["run", "--resume"])
        .arg(&folder)
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    assert!(matches!(again.status.code(), Some(0 | 4)), "{}", words(&again.stderr));
    let other = assert_gone(&folder);
    assert_eq!(pid_of_cell(OF_CELLS[0]), began["pid"]);
    assert_eq!(pid_of_cell(OF_CELLS[1]), other["pid"]);
    let earlier: Value =
        serde_json::from_str(&read(&folder, "launch.attempt-1.json")).expect("JSON");
    assert_eq!(earlier["pid"], began["pid"], "the first server's file is kept");
}

#[test]
fn cells_of_several_launches_are_held_against_each_other_scenario_by_scenario() {
    let out = TempDir::new().expect("a folder");
    let slower = serving("").replace("sim:null", "sim:explicit,base_us=3000");
    let both = ["--launch", &serving(""), "--launch", &slower, "--scenario", "D(8,2)"];
    let ran = output(&out, &both);
    let (printed, message) = (words(&ran.stdout), words(&ran.stderr));
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{message}{printed}");
    let folder = directory(&out);
    for scenario in ["D(8,2)", "D(4,4)"] {
        assert!(printed.contains(&format!("\n{scenario}\n")), "{scenario} in {printed}");
        assert!(read(&folder, "benchmark_summary.txt").contains(&format!("{scenario}\n")));
    }
    for picture in ["benchmark_comparison_D_8_2.svg", "benchmark_comparison_D_4_4.svg"] {
        assert!(read(&folder, picture).starts_with("<svg"));
    }
    let refused = output(&out, &[&both[..], &["--layout", "bench_results"]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused.stderr));
    assert!(words(&refused.stderr).contains("--layout"), "{}", words(&refused.stderr));
}

#[test]
fn a_server_that_dies_leaves_later_cells_missing_and_the_run_failed() {
    let out = TempDir::new().expect("a folder");
    let mut child = run(&out, &["--launch", &serving(""), "--scenario", "D(8,2)", "--quiet"])
        .args(["--repeat", "500"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let (folder, launch) = launch_file_of_a_running(&out);
    wait_for("a measured cell", || {
        let folders = fs::read_dir(out.path().join("runs")).ok()?;
        let indexed = folders.flatten().find(|it| it.path().join("index.json").is_file())?;
        let text = fs::read_to_string(indexed.path().join("index.json")).ok()?;
        text.contains("\"complete\"").then_some(())
    });
    kill_process(pid_of(&launch), Signal::KILL).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{}", folder.display());
    assert!(read(&directory(&out), "index.json").contains("\"missing\""));
}

#[test]
fn one_server_that_does_not_start_keeps_the_other_from_nothing() {
    let out = TempDir::new().expect("a folder");
    let broken = script("exit 3; # {port}");
    let output = output(&out, &["--launch", &broken, "--launch", &serving("")]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("exit code 3"), "{message}");
    let printed = words(&output.stdout);
    assert!(printed.contains("A  bareflight, "), "the other was measured: {printed}");
}

#[test]
fn a_plan_shows_the_command_line_and_starts_nothing() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["plan", "--launch", "vllm", "--launch-model", "org/m", "--world-size", "2"])
        .args(["--env", "HF_TOKEN=hf-secret"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let printed = words(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    let command = "vllm serve org/m --host 127.0.0.1 --port {port} --tensor-parallel-size 2";
    assert!(printed.contains(command), "{printed}");
    assert!(printed.contains("HF_TOKEN=(hidden)") && !printed.contains("hf-secret"), "{printed}");
    assert!(printed.contains("nothing was run"), "{printed}");
}

#[test]
fn a_flag_of_a_launch_without_one_is_refused() {
    let out = TempDir::new().expect("a folder");
    for (flag, value) in
        [("--world-size", "2"), ("--ready-log", "x"), ("--env", "A=1"), ("--launch-model", "m")]
    {
        let output = output(&out, &[flag, value, "--target", "null:"]);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag}: {message}");
        assert!(message.contains(flag) && message.contains("`--launch`"), "{message}");
    }
    assert!(!out.path().join("runs").exists(), "nothing was begun");
}

/// Where `--upload` brings copies.
fn lab(out: &TempDir) -> String {
    format!("file://{}/lab", out.path().display())
}

/// What the server wrote last, and how it ended, are in the copy too.
fn assert_uploaded_after_the_end(out: &TempDir, folder: &Path) {
    let copy = out.path().join("lab").join(folder.file_name().expect("a name"));
    for name in ["launch.json", "server.log"] {
        assert_eq!(read(&copy, name), read(folder, name), "{name}");
    }
    assert_eq!(launch_file(&copy)["stopped_by"], "SIGINT");
}

#[test]
fn a_comparison_starts_the_server_that_one_of_its_sides_asks() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["compare", "--launch", &serving(""), "--blocks", "2", "--target", "sim:null"])
        .args(["--target", "openai:http://127.0.0.1:{port}/v1", "--set", "B:endpoint=completions"])
        .args(&LOAD[2..])
        .args(["--upload", &lab(&out)])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    let folder = directory(&out);
    assert_gone(&folder);
    assert!(folder.join("comparison.json").exists());
    assert_uploaded_after_the_end(&out, &folder);
    let output = Command::new(PROGRAM)
        .args(["compare", "--launch", &serving(""), "--target", "sim:null", "--target", "null:"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("no side asks"), "{message}");
}

#[test]
fn a_search_starts_its_server_and_stops_it() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["search", "--launch", &serving(""), "--slo", "e2e.p50<5s", "--max-probes", "3"])
        .args(["--search", "concurrency", "--flood", "2", "--requests", "20", "--warmup", "1"])
        .args(["--endpoint", "completions", "--scenario", "D(4,4)"])
        .args(["--upload", &lab(&out)])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1 | 4 | 5)), "{message}");
    let folder = directory(&out);
    assert!(folder.join("search.json").exists(), "{message}");
    assert_gone(&folder);
    assert_uploaded_after_the_end(&out, &folder);
}

#[test]
fn a_ladder_serves_its_engine_itself() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["ladder", "--target", "sim:null", "--launch", &serving("")])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--launch") && message.contains("compare"), "{message}");
}

#[test]
fn a_server_that_nobody_would_ask_is_not_started() {
    let out = TempDir::new().expect("a folder");
    for target in ["sim:null", "openai:http://127.0.0.1:8000/v1"] {
        let output = output(&out, &["--launch", &serving(""), "--target", target]);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(target) && message.contains("{port}"), "{message}");
    }
    assert!(!out.path().join("runs").exists(), "nothing was begun");
}
