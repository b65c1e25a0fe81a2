//! Runs that launch a server, and what is left of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::left_behind::read;
use super::serve_process::PATIENCE;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bareflight");
pub const LOAD: [&str; 10] = [
    "--endpoint",
    "completions",
    "--scenario",
    "D(4,4)",
    "--concurrency",
    "2",
    "--requests",
    "4",
    "--warmup",
    "1",
];

pub fn run(out: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("run").args(arguments).args(LOAD).current_dir(out.path()).env("CI", "1");
    command
}

pub fn output(out: &TempDir, arguments: &[&str]) -> Output {
    run(out, arguments).output().expect("the binary runs")
}

/// A server that is this program, as a command line.
pub fn serving(more: &str) -> String {
    format!(
        "{PROGRAM} serve --target sim:null --host 127.0.0.1 --port {{port}} --grpc-port 0 {more}"
    )
}

/// A shell script as a command line.
pub fn script(text: &str) -> String {
    format!("sh -c '{text}'")
}

pub fn launch_file(folder: &Path) -> Value {
    serde_json::from_str(&read(folder, "launch.json")).expect("JSON")
}

/// The same as soon as it is there.
pub fn launch_file_of_a_running(out: &TempDir) -> (PathBuf, Value) {
    wait_for("launch.json", || {
        let folders = fs::read_dir(out.path().join("runs")).ok()?;
        folders.flatten().find_map(|folder| {
            let text = fs::read_to_string(folder.path().join("launch.json")).ok()?;
            Some((folder.path(), serde_json::from_str(&text).ok()?))
        })
    })
}

pub fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn pid_of(launch: &Value) -> Pid {
    let pid = launch["pid"].as_i64().expect("a process id");
    Pid::from_raw(i32::try_from(pid).expect("small")).expect("not 0")
}

pub fn is_there(pid: Pid) -> bool {
    // A zombie is waiting for its parent alone and runs no more.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

/// Neither the server's process nor anything of its group.
pub fn is_gone(launch: &Value) -> bool {
    let pid = pid_of(launch);
    !is_there(pid) && rustix::process::test_kill_process_group(pid).is_err()
}

pub fn assert_gone(folder: &Path) -> Value {
    let launch = launch_file(folder);
    assert!(is_gone(&launch), "it is still there: {launch}");
    assert_eq!(launch.get("left_behind"), None, "{launch}");
    launch
}
