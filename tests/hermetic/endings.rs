//! Ends of a run: windows that agree, a rate that is too high, several runs of each load.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::left_behind::{directory, document, read, words};

fn bareflight(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

/// One request at a time, 4 tokens of 2.5 ms: 100 a second.
const RUN: [&str; 9] = [
    "run",
    "--target",
    "sim:explicit,base_us=2500",
    "--max-batch-size",
    "1",
    "--scenario",
    "D(4,4)",
    "--warmup",
    "1",
];

fn measured(out: &TempDir, more: &[&str]) -> (Value, String) {
    let output = bareflight(out, &[&RUN[..], more].concat());
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{message}");
    let summary = document(&directory(out), "summary");
    (summary["points"].clone(), printed)
}

#[test]
fn a_run_ends_as_soon_as_three_windows_agree() {
    let out = tempfile::tempdir().expect("a folder");
    // Of a noisy machine much is allowed for.
    let windows = ["--measurement-interval", "300ms", "--stability-percentage", "60"];
    let asked = [&["--concurrency", "1", "--duration", "60s"][..], &windows].concat();
    let (points, printed) = measured(&out, &asked);
    let found = &points[0]["windows"];
    assert_eq!(found["stable"], true, "{found}");
    let window = points[0]["window_s"].as_f64().expect("a window");
    assert!(window < 30.0, "it ended long before its duration: {window}");
    assert!(printed.contains("stable after"), "{printed}");
}

#[test]
fn windows_that_never_agree_end_at_the_limit_and_are_marked() {
    let out = tempfile::tempdir().expect("a folder");
    // No two windows are so much alike.
    let windows = ["--measurement-interval", "70ms", "--stability-percentage", "0.000001"];
    let (points, printed) = measured(&out, &[&["--concurrency", "1"][..], &windows].concat());
    assert_eq!(points[0]["windows"]["stable"], false);
    let checks = points[0]["checks"].as_array().expect("checks");
    let stability = checks.iter().find(|it| it["id"] == "stability").expect("the check");
    assert_eq!(stability["status"], "warn", "{stability}");
    assert!(printed.contains("no three in a row agreed"), "{printed}");
}

#[test]
fn a_rate_that_is_more_than_the_target_can_take_ends_its_run_early_and_the_next_one_is_measured() {
    let out = tempfile::tempdir().expect("a folder");
    let asked = ["--rate", "400,10", "--duration", "3s", "--stop-when-saturated", "--drain", "1s"];
    let (points, printed) = measured(&out, &asked);
    let after = points[0]["saturated"]["after_s"].as_f64().expect("found");
    assert!(after < 3.0, "{after}");
    assert!(printed.contains("SATURATED"), "{printed}");
    assert!(points[1].get("saturated").is_none(), "a tenth of what it takes");
    assert!(points[1]["window_s"].as_f64().expect("a window") > 1.5);
}

#[test]
fn repeated_runs_have_intervals_and_a_variation_between_them() {
    let out = tempfile::tempdir().expect("a folder");
    let asked = ["--concurrency", "1,2", "--requests", "10", "--repeat", "3"];
    let (points, printed) = measured(&out, &asked);
    assert_eq!(points.as_array().map(Vec::len), Some(6));
    assert_eq!(points[4]["label"], "concurrency 1, run 3 of 3");
    assert!(printed.contains("concurrency 2: between 3 runs"), "{printed}");
    let folder = directory(&out);
    assert!(read(&folder, "report.html").contains("Between runs"));
    let repeats = read(&folder, "repeats.csv");
    let mut rows = csv::Reader::from_reader(repeats.as_bytes());
    let mut seen = 0;
    for row in rows.records() {
        let row = row.expect("a row");
        let number = |column: usize| -> f64 { row[column].parse().expect("a number") };
        let (mean, low, high) = (number(3), number(4), number(5));
        assert!(low <= mean && mean <= high && &row[1] == "3", "{row:?}");
        seen += 1;
    }
    assert!(seen >= 12, "{repeats}");
}

#[test]
fn what_ends_a_run_is_refused_where_it_means_nothing() {
    let out = tempfile::tempdir().expect("a folder");
    for (more, named) in [
        (vec!["--stop-when-saturated"], "`--rate`"),
        (vec!["--stability-percentage", "5"], "`--measurement-interval`"),
        (vec!["--batch", "--measurement-interval", "5s"], "`--measurement-interval`"),
        (vec!["--measurement-interval", "0s"], "`--measurement-interval`"),
        (vec!["--repeat", "0"], "`--repeat`"),
    ] {
        let output = bareflight(&out, &[&RUN[..], &more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(words(&output.stderr).contains(named), "{}", words(&output.stderr));
    }
    let compare = ["compare", "--target", "null:", "--target", "null:", "--repeat", "2"];
    let output = bareflight(&out, &compare);
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output.stderr).contains("`--repeat`"), "{}", words(&output.stderr));
}

#[test]
fn a_warm_up_lasts_for_a_time_or_until_it_is_stable() {
    let run = |more: &[&str]| {
        let out = tempfile::tempdir().expect("a folder");
        let asked = ["--concurrency", "1", "--requests", "5"];
        let output = bareflight(&out, &[&RUN[..7], &asked, more].concat());
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
        let manifest: Value =
            serde_json::from_str(&read(&directory(&out), "manifest.json")).expect("JSON");
        let point = &manifest["points"][0];
        (point["warmup_requests"].as_u64().expect("sent"), point["warmup_failure"].clone())
    };
    // At 100 a second, and fewer on a busy machine.
    let (sent, failure) = run(&["--warmup-until", "500ms"]);
    assert!((5..=60).contains(&sent) && failure.is_null(), "{sent} {failure}");
    let stable = ["--warmup-until", "stable", "--measurement-interval", "200ms"];
    let (sent, failure) = run(&[&stable[..], &["--stability-percentage", "60"]].concat());
    assert!((5..=220).contains(&sent) && failure.is_null(), "{sent} {failure}");
}
