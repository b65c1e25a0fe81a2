//! Comparisons, searches and ladders that start their server, and copies that are brought away after it has stopped.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{LOAD, PROGRAM, assert_gone, launch_file, serving};
use crate::support::left_behind::{directory, read, words};

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
