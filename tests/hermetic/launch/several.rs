//! Several servers in turn, and several cells of one server.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    PROGRAM, assert_gone, launch_file_of_a_running, output, pid_of, run, script, serving, wait_for,
};
use crate::support::left_behind::{directory, read, words};

#[test]
fn two_servers_are_measured_in_turn_and_held_against_each_other() {
    let out = TempDir::new().expect("a folder");
    let slower = serving("").replace("sim:null", "sim:explicit,base_us=3000");
    let output = output(
        &out,
        &["--launch", "bareflight", "--launch-model", "sim:null", "--launch", &slower],
    );
    // A model belongs to a preset.
    assert_eq!(output.status.code(), Some(2), "{}", words(&output.stderr));
    let output = run(&out, &["--launch", &serving(""), "--launch", &slower])
        .args(["--layout", "bench_results"])
        .output()
        .expect("the binary runs");
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}{printed}");
    let folder = directory(&out);
    let mut sides: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    sides.sort();
    assert_eq!(sides.len(), 2, "{sides:?}");
    for side in &sides {
        assert_gone(side);
    }
    for text in ["concurrency 2", "TTFT mean, ms", "A  bareflight, D(4,4)", "B  bareflight, D(4,4)"]
    {
        assert!(printed.contains(text), "{text} in {printed}");
    }
    assert!(read(&folder, "benchmark_comparison.svg").starts_with("<svg"));
    assert!(read(&folder, "benchmark_comparison.html").contains("TTFT, mean"));
    let results = folder.join("bench_results");
    assert!(read(&results, "benchmark_summary.txt").contains("BENCHMARK SUMMARY"));
    for own in ["bareflight", "bareflight_2"] {
        let text = read(&results.join(own), "concurrency_2.json");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["max_concurrency"], 2, "{own}");
        assert_eq!(json["completed"], 4, "{own}");
        let model = json["model_id"].as_str().expect("a name");
        assert!(!model.is_empty() && !model.contains("http"), "{model}");
    }
}

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
