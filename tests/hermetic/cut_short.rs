//! Runs that are ended in the middle: nothing of what had ended by then is lost.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::left_behind::{directory, read, words};

/// A run that would go on for minutes, and is waited for until some requests have ended.
#[allow(clippy::zombie_processes)] // Every caller waits for its end; a failed claim ends the test process too.
fn long_run(out: &TempDir) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args([
            "run",
            "--target",
            "sim:explicit,base_us=2000",
            "--concurrency",
            "2",
            "--scenario",
            "D(8,5)",
            "--warmup",
            "0",
            "--duration",
            "120s",
        ])
        .current_dir(out.path())
        .env("CI", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let rows = fs::read_dir(out.path().join("runs")).ok().and_then(|mut runs| {
            let folder = runs.next()?.ok()?.path();
            fs::read_to_string(folder.join("requests.partial.csv")).ok()
        });
        if rows.is_some_and(|rows| rows.lines().count() > 5) {
            return child;
        }
        assert!(Instant::now() < deadline, "no request has ended in a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.expect("kill exists").success());
}

#[test]
fn ctrl_c_writes_everything_and_marks_it_incomplete() {
    let out = tempfile::tempdir().expect("a folder");
    let child = long_run(&out);
    signal(&child, "-INT");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130), "{}", words(&output.stderr));
    let folder = directory(&out);
    let summary: serde_json::Value =
        serde_json::from_str(&read(&folder, "summary.json")).expect("JSON");
    assert_eq!(summary["incomplete"], true);
    // Far more is left unsent than a ring holds, and that is no loss of what was measured.
    let point = &summary["points"][0];
    let count = |name: &str| point["counts"][name].as_u64().expect("a count");
    let interrupted = count("interrupted");
    assert!(interrupted > 1 << 16, "{point}");
    // It is the rest of a supply: counted, and without a row for each.
    let rows = read(&folder, "requests.csv").lines().count() as u64 - 1;
    let of_fill = |part: &str| point["counts"][part]["sent"].as_u64().expect("a count");
    let sent = count("planned") - interrupted + of_fill("ramp") + of_fill("tail");
    assert_eq!(rows, sent, "{point}");
    let again = |name: &str| read(&folder, name);
    let before = again("summary.json");
    let report = Command::new(env!("CARGO_BIN_EXE_bareflight")).arg("report").arg(&folder).output();
    assert_eq!(report.expect("the binary runs").status.code(), Some(130));
    assert_eq!(again("summary.json"), before, "the counts are in the manifest too");
    let mut checks = point["checks"].as_array().expect("checks").iter();
    let recorder = checks.find(|check| check["id"] == "recorder").expect("a check");
    assert_eq!(recorder["status"], "pass", "{recorder}");
    assert!(read(&folder, "manifest.json").contains("interrupted"));
    assert!(words(&output.stdout).to_uppercase().contains("INCOMPLETE"));
    assert!(read(&folder, "requests.csv").contains("completed"));
}

#[test]
fn a_killed_run_leaves_the_rows_of_every_request_that_had_ended() {
    let out = tempfile::tempdir().expect("a folder");
    let mut child = long_run(&out);
    signal(&child, "-KILL");
    child.wait().expect("ends");
    let folder = directory(&out);
    let rows = read(&folder, "requests.partial.csv");
    let (header, rest) = rows.split_once('\n').expect("a header");
    let columns = header.split(',').count();
    let whole = rest.lines().filter(|row| row.split(',').count() == columns);
    assert!(whole.count() >= 5);
    assert!(read(&folder, "manifest.json").contains("running"), "nobody could say that it ended");
}
