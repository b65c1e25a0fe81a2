//! Recovery claims: what a run leaves when it is killed, when the disk fills, and when its folder goes away.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bareflight");

/// A sweep of four points over a simulated engine, half a second each.
const SWEEP: [&str; 10] = [
    "run",
    "--target",
    "sim:explicit,base_us=400",
    "--scenario",
    "D(16,8)",
    "--concurrency",
    "2,3,4,5",
    "--requests",
    "200",
    "-q",
];

fn started(out: &TempDir) -> Child {
    Command::new(PROGRAM)
        .args(SWEEP)
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs")
}

fn folder(out: &TempDir) -> Option<PathBuf> {
    Some(fs::read_dir(out.path().join("runs")).ok()?.next()?.ok()?.path())
}

/// Point and id of each measured request that has a whole row in a file.
fn rows(path: &Path) -> BTreeSet<(u64, u64)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let row = |line: &str| {
        let mut fields = line.split(',');
        let (point, id) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (fields.next()? == "measured").then_some((point, id))
    };
    whole.lines().skip(1).filter_map(row).collect()
}

/// Every request that is on disk, finished point or not.
fn on_disk(folder: &Path) -> BTreeSet<(u64, u64)> {
    // The partial file first: what is taken over from it meanwhile is in the other one then.
    let mut all = rows(&folder.join("requests.partial.csv"));
    all.extend(rows(&folder.join("requests.csv")));
    all
}

fn report(folder: &Path) -> Output {
    Command::new(PROGRAM).arg("report").arg(folder).output().expect("the binary runs")
}

fn json(folder: &Path, name: &str) -> Value {
    let text = fs::read_to_string(folder.join(name)).expect(name);
    serde_json::from_str(&text).expect(name)
}

/// Waits until the run has as many requests on disk as that.
fn wait_for(out: &TempDir, requests: usize) -> PathBuf {
    let begun = Instant::now();
    loop {
        if let Some(folder) = folder(out).filter(|folder| on_disk(folder).len() >= requests) {
            return folder;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "fewer than {requests} requests");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_sweep_reports_every_finished_point_and_the_unfinished_one_as_far_as_it_came() {
    // In the first point, within others, and where points are taken over.
    for requests in [1, 150, 199, 200, 333, 399, 610, 790] {
        let out = tempfile::tempdir().expect("a folder");
        let mut child = started(&out);
        let folder = wait_for(&out, requests);
        let seen = on_disk(&folder);
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");

        let output = report(&folder);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{requests}: {text}{told}");
        assert!(text.contains("INCOMPLETE"), "{requests}: {text}");
        let summary = json(&folder, "summary.json");
        let points = summary["points"].as_array().expect("points");
        let attempted: u64 =
            points.iter().map(|point| point["counts"]["attempted"].as_u64().unwrap_or(0)).sum();
        assert!(attempted >= seen.len() as u64, "{requests}: {attempted} of {}", seen.len());
        let finished = json(&folder, "manifest.json")["points"].as_array().map_or(0, Vec::len);
        assert!(points.len() >= finished && finished >= seen.len() / 201, "{requests}: {text}");
        for point in points.iter().take(finished) {
            assert_eq!(point["counts"]["completed"], 200, "{requests}: {text}");
        }
    }
}

/// A run under a limit on the size of each file, so that writes fail as on a full disk.
fn with_small_files(out: &TempDir, kilobytes: u32, load: &[&str]) -> (Option<i32>, String, String) {
    // In units of 512 bytes.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kilobytes * 2);
    let output = Command::new("sh")
        .args(["-c", &script, PROGRAM])
        .args(&SWEEP[..5])
        .args(load)
        .current_dir(out.path())
        .output()
        .expect("sh runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_disk_that_fills_while_a_point_runs_is_reported_at_once_and_the_run_goes_on_in_memory() {
    let out = tempfile::tempdir().expect("a folder");
    let load = ["--concurrency", "4", "--requests", "400"];
    let (code, text, told) = with_small_files(&out, 40, &load);
    assert_eq!(code, Some(1), "{text}{told}");
    assert!(told.contains("cannot be written") && told.contains("keeps them in memory"), "{told}");
    assert!(told.contains("--out"), "the remedy: {told}");
    assert!(text.contains("400 requests attempted, 400 completed"), "{text}{told}");
}

#[test]
fn whichever_file_of_a_run_finds_the_disk_full_names_it_and_what_to_do() {
    let out = tempfile::tempdir().expect("a folder");
    // Each limit is met by another file first: the plan, rows of requests, the page.
    for (kilobytes, requests) in [(1, "40"), (2, "400"), (4, "60"), (30, "2000")] {
        let load = ["--concurrency", "4", "--requests", requests];
        let (code, text, told) = with_small_files(&out, kilobytes, &load);
        assert!(matches!(code, Some(1 | 3)), "{kilobytes}: {code:?} {text}{told}");
        let lines: Vec<&str> = told.lines().filter(|it| it.contains("File too large")).collect();
        assert!(!lines.is_empty(), "{kilobytes}: {told}");
        for line in lines {
            let remedy = ["--out", "has room"].iter().any(|words| line.contains(words));
            assert!(remedy && !line.contains("panicked"), "{kilobytes}: {line}");
        }
    }
}

#[test]
fn a_disk_that_fills_between_points_keeps_every_point_that_was_measured() {
    let out = tempfile::tempdir().expect("a folder");
    let load = ["--concurrency", "2,3,4,5", "--requests", "200"];
    let (code, text, told) = with_small_files(&out, 100, &load);
    assert_eq!(code, Some(1), "{text}{told}");
    assert!(told.contains("requests.csv"), "{told}");
    assert_eq!(text.matches("200/0").count(), 4, "{text}{told}");
}

#[test]
fn a_folder_that_goes_away_loses_no_number_that_was_measured() {
    let out = tempfile::tempdir().expect("a folder");
    let child = Command::new(PROGRAM)
        .args(SWEEP)
        .current_dir(out.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let folder = wait_for(&out, 250);
    fs::remove_dir_all(&folder)
        .or_else(|_| fs::remove_dir_all(&folder))
        .expect("it can be removed");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}{told}");
    assert!(told.contains("cannot be written") || told.contains("stay in memory"), "{told}");
    // The first point was in the folder; it was shown when it had ended. The others are in memory.
    assert_eq!(text.matches("200/0").count(), 4, "{text}{told}");
}
