//! Loads in stages: exact instants, a line for each stage, lateness under a cap, slots that come and go.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::left_behind::{directory, document, read, words};

fn bareflight(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

const RUN: [&str; 5] = ["run", "--scenario", "D(4,4)", "--warmup", "1"];

fn staged(out: &TempDir, target: &str, stages: &str, more: &[&str]) -> (Value, String) {
    let asked = [&RUN[..], &["--target", target, "--stages", stages], more].concat();
    let output = bareflight(out, &asked);
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{message}");
    let summary = document(&directory(out), "summary");
    (summary["points"][0].clone(), printed)
}

#[test]
fn each_stage_gets_its_rate_times_its_span_at_exact_instants() {
    let out = tempfile::tempdir().expect("a folder");
    let stages = "400ms:10,400ms:50,200ms:0";
    let target = "sim:explicit,base_us=200";
    let (point, printed) = staged(&out, target, stages, &["--arrivals", "constant"]);
    let stages = point["stages"].as_array().expect("stages");
    let of = |key: &str| -> Vec<u64> {
        stages.iter().map(|stage| stage[key].as_u64().expect("a count")).collect()
    };
    assert_eq!((of("planned"), of("sent")), (vec![4, 20, 0], vec![4, 20, 0]));
    assert!(printed.contains("0.4 … 0.8 s"), "{printed}");
    let folder = directory(&out);
    assert!(read(&folder, "report.html").contains("Stages of the load"));
    let plan = read(&folder, "plan.csv");
    let mut rows = csv::Reader::from_reader(plan.as_bytes());
    let heads = rows.headers().expect("a header").clone();
    let column = |name: &str| heads.iter().position(|it| it == name).expect("a column");
    let (phase, intended) = (column("phase"), column("intended_ns"));
    let instants: Vec<i64> = rows
        .records()
        .map(|row| row.expect("a row"))
        .filter(|row| &row[phase] == "measure")
        .map(|row| row[intended].parse().expect("an instant"))
        .collect();
    let exact = (0..4).map(|it| it * 100).chain((0..20).map(|it| 400 + it * 20));
    assert_eq!(instants, exact.map(|ms| ms * 1_000_000).collect::<Vec<i64>>());
}

#[test]
fn under_a_cap_the_lateness_of_each_stage_is_told() {
    let out = tempfile::tempdir().expect("a folder");
    // 4 tokens of 10 ms: 25 requests a second at most, one at a time.
    let target = "sim:explicit,base_us=10000";
    let capped = ["--arrivals", "constant", "--max-in-flight", "1"];
    let (point, printed) = staged(&out, target, "400ms:5,400ms:60", &capped);
    let late = |stage: usize| point["stages"][stage]["late_ms"]["max"].as_f64().expect("late");
    assert!(late(1) > 100.0, "{} {}", late(0), late(1));
    assert!(late(1) > 2.0 * late(0), "{} {}", late(0), late(1));
    assert!(printed.contains("late, ms, p99/max"), "{printed}");
}

#[test]
fn slots_come_and_go_with_the_stages() {
    let out = tempfile::tempdir().expect("a folder");
    let target = "sim:explicit,base_us=5000";
    let slots = ["--stages-of", "concurrency"];
    let (point, _) = staged(&out, target, "300ms:1,300ms:4", &slots);
    let sent = |stage: usize| point["stages"][stage]["sent"].as_f64().expect("sent");
    assert!(sent(1) > 2.0 * sent(0), "{} {}", sent(0), sent(1));
    assert_eq!(point["stages"][1]["level"], 4.0);
    // What is written down runs again.
    let settings = directory(&out).join("resolved.toml").display().to_string();
    let planned = bareflight(&out, &["plan", "--config", &settings]);
    assert_eq!(planned.status.code(), Some(0), "{}", words(&planned.stderr));
    assert!(words(&planned.stdout).contains("4 in flight for 0.3 s"));
}

#[test]
fn stages_are_the_whole_load_and_contradictions_are_refused() {
    let out = tempfile::tempdir().expect("a folder");
    for (more, named) in [
        (vec!["--rate", "3"], "`--rate`"),
        (vec!["--requests", "3"], "`--requests`"),
        (vec!["--duration", "3s"], "`--duration`"),
        (vec!["--stages-of", "concurrency", "--max-in-flight", "3"], "`--max-in-flight`"),
    ] {
        let asked = [&RUN[..], &["--target", "null:", "--stages", "1s:5"], &more].concat();
        let output = bareflight(&out, &asked);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(words(&output.stderr).contains(named), "{}", words(&output.stderr));
    }
    for (asked, named) in [
        (vec!["run", "--stages-of", "rate"], "`--stages`"),
        (vec!["run", "--stages", "1s"], "no colon"),
        (vec!["search", "--target", "null:", "--slo", "ttft<1s", "--stages", "1s:5"], "`--stages`"),
    ] {
        let output = bareflight(&out, &asked);
        assert_eq!(output.status.code(), Some(2), "{asked:?}");
        assert!(words(&output.stderr).contains(named), "{}", words(&output.stderr));
    }
}
