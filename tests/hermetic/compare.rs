//! `bareflight compare`: turns, records of each side, results with intervals, exit codes.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::left_behind::{directory, document, in_one_line, read, words};
use serde_json::Value;
use tempfile::TempDir;

fn compare(out: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.arg("compare").args(arguments).current_dir(out.path()).env("CI", "1");
    command
}

/// Two simulated engines of which the second takes twice as long for each iteration.
const SLOWER: [&str; 12] = [
    "--target",
    "sim:explicit,base_us=1000",
    "--target",
    "sim:explicit,base_us=2000",
    "--scenario",
    "D(16,8)",
    "--concurrency",
    "2",
    "--warmup",
    "1",
    "--requests",
    "6",
];

fn slower<'a>(more: &[&'a str]) -> Vec<&'a str> {
    SLOWER.iter().copied().chain(more.iter().copied()).collect()
}

fn run(out: &TempDir, arguments: &[&str]) -> Output {
    compare(out, arguments).output().expect("the binary runs")
}

#[test]
fn what_cannot_be_compared_is_one_error_and_nothing_is_run() {
    let out = tempfile::tempdir().expect("a folder");
    let two = ["--target", "null:", "--target", "null:"];
    let with = |more: &[&'static str]| [two.as_slice(), more].concat();
    let cases: [(Vec<&str>, i32, &str); 9] = [
        (vec!["--target", "null:"], 2, "once for each side"),
        (with(&["--fail-if", "speed>5%"]), 2, "`speed` is no metric"),
        (with(&["--fail-if", "ttft_p99"]), 2, "METRIC>PERCENT"),
        (with(&["--fail-if", "ttft_p99>5%", "--blocks", "4"]), 2, "--blocks"),
        (with(&["--concurrency", "1,2"]), 2, "one load"),
        (with(&["--set", "C:kv_reuse=true"]), 2, "no side C"),
        (with(&["--set", "B:requests=300"]), 2, "--set"),
        (with(&["--set", "B:no_such_key=3"]), 2, "no_such_key"),
        (vec!["--target", "null:", "--target", "warp:9"], 2, "warp:9"),
    ];
    for (arguments, code, named) in cases {
        let output = run(&out, &arguments);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(named), "{arguments:?} says: {message}");
        assert!(!message.contains("panicked"), "{message}");
    }
    assert!(!out.path().join("runs").exists(), "no comparison was begun");
}

#[test]
fn a_side_that_takes_twice_as_long_is_a_regression_with_exit_code_6() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &slower(&["--fail-if", "e2e_p50>20%,request_throughput>20%"]));
    let printed = words(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{printed}{}", words(&output.stderr));
    assert!(printed.contains("WORSE") && printed.contains("REGRESSION"), "{printed}");
    assert!(printed.contains("SIMULATED") && printed.contains("AB BA BA AB BA AB"), "{printed}");

    let document = document(&directory(&out), "comparison");
    assert_eq!((&document["blocks"], &document["interleaved"]), (&6.into(), &true.into()));
    let rows = document["pairs"][0]["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["metric"] == "e2e_p50").expect("a latency");
    let low = row["ratio"]["low"].as_f64().expect("an interval");
    assert!(low > 1.2, "{row}");
    assert_eq!(row["ratio"]["answer"], "slower");
}

#[test]
fn every_side_keeps_records_of_the_same_requests_in_a_folder_of_its_own() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &slower(&["--blocks", "2"]));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    // Progress says whose turn it is, and which of how many.
    for line in [
        "A sim:explicit,base_us=1000, lead-in: ",
        "B sim:explicit,base_us=2000, lead-in: ",
        "A sim:explicit,base_us=1000, block 1 of 2, warm-up: ",
        "B sim:explicit,base_us=2000, block 1 of 2: ",
        "B sim:explicit,base_us=2000, block 2 of 2: ",
        "A sim:explicit,base_us=1000, block 2 of 2: ",
    ] {
        assert!(words(&output.stderr).contains(line), "{line} in {}", words(&output.stderr));
    }
    let folder = directory(&out);
    for name in ["manifest.json", "comparison.json", "comparison.csv", "comparison.html"] {
        assert!(folder.join(name).metadata().expect(name).len() > 0, "{name} is empty");
    }
    let document = document(&folder, "comparison");
    let mut plans = Vec::new();
    for side in document["sides"].as_array().expect("sides") {
        let side = folder.join(side["folder"].as_str().expect("a folder"));
        for name in ["manifest.json", "requests.csv", "summary.json", "resolved.toml"] {
            assert!(side.join(name).metadata().expect(name).len() > 0, "{name} is empty");
        }
        // The lead-in and two blocks.
        let rows = read(&side, "requests.csv");
        assert_eq!(rows.lines().filter(|row| row.contains(",measured,")).count(), 3 * 6);
        // How much of the supply for ramp and tail is drawn depends on the time that they take.
        let plan = read(&side, "plan.csv");
        let planned = plan.lines().filter(|row| !row.contains(",fill,")).map(str::to_owned);
        plans.push(planned.collect::<Vec<_>>());
    }
    assert_eq!(plans[0], plans[1]);
    let same = |begins: &str| {
        let items = document["pairs"][0]["fairness"].as_array().expect("conditions");
        let found = items.iter().find(|item| {
            item["condition"].as_str().is_some_and(|condition| condition.starts_with(begins))
        });
        found.map_or(Value::Null, |item| item["same"].clone())
    };
    assert_eq!(same("output tokens (12 of 12"), true);
    assert_eq!(same("requests and instants"), true);
    assert_eq!(same("engine"), false);
    // Two blocks decide nothing.
    assert!(words(&output.stdout).contains("fewer than 5 blocks"));
}

#[test]
fn a_setting_of_one_side_is_set_on_that_side_and_reported() {
    let out = tempfile::tempdir().expect("a folder");
    let arguments = [
        "--target",
        "sim:explicit,base_us=500",
        "--target",
        "sim:explicit,base_us=500",
        "--set",
        "B:max_batch_size=1",
        "--scenario",
        "D(16,8)",
        "--concurrency",
        "2",
        "--requests",
        "4",
        "--blocks",
        "1",
    ];
    let output = run(&out, &arguments);
    let printed = words(&output.stdout);
    assert!(printed.contains("setting `max_batch_size`: A default, B 1"), "{printed}");
}

#[test]
fn an_interrupted_comparison_keeps_the_blocks_that_were_whole_and_says_so() {
    let out = tempfile::tempdir().expect("a folder");
    let mut child = compare(&out, &slower(&["--blocks", "5000"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let runs = out.path().join("runs");
    let begun = Instant::now();
    // Rows of the second side show that it is on its way.
    let is_on_its_way = || {
        let sides = fs::read_dir(&runs).ok()?.next()?.ok()?.path();
        let rows = fs::read_dir(sides)
            .ok()?
            .filter_map(|side| fs::read_to_string(side.ok()?.path().join("requests.csv")).ok());
        let long = rows.filter(|rows| rows.lines().count() > 20).count();
        (long == 2).then_some(())
    };
    while is_on_its_way().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(300), "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.expect("`kill` runs").success());
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let folder = directory(&out);
    let document = document(&folder, "comparison");
    assert_eq!(document["incomplete"], true);
    assert!(document["blocks"].as_u64().is_some_and(|blocks| (1..5000).contains(&blocks)));
    assert!(read(&folder, "comparison.html").contains("INCOMPLETE"));
    assert!(read(&folder, "manifest.json").contains("\"interrupted\""));
}

#[test]
fn more_than_two_sides_are_each_compared_with_the_first() {
    let out = tempfile::tempdir().expect("a folder");
    let arguments =
        [&["--target", "sim:explicit,base_us=1500"], slower(&["--blocks", "3"]).as_slice()]
            .concat();
    let output = run(&out, &arguments);
    assert!(words(&output.stdout).contains("ABC BCA CAB"), "{}", words(&output.stdout));
    let document = document(&directory(&out), "comparison");
    let pairs: Vec<(u64, u64)> = document["pairs"]
        .as_array()
        .expect("pairs")
        .iter()
        .map(|pair| (pair["baseline"].as_u64().unwrap(), pair["candidate"].as_u64().unwrap()))
        .collect();
    assert_eq!(pairs, [(0, 1), (0, 2)]);
}

/// The folders of two runs, the second of an engine that takes twice as long.
fn two_runs(out: &TempDir, load: &[&str]) -> [String; 2] {
    [("run-a", "sim:explicit,base_us=1000"), ("run-b", "sim:explicit,base_us=2000")].map(
        |(place, target)| {
            let status = Command::new(env!("CARGO_BIN_EXE_bareflight"))
                .args(["run", "--target", target, "--scenario", "D(16,8)", "--out", place, "-q"])
                .args(load)
                .current_dir(out.path())
                .stdout(Stdio::null())
                .status()
                .expect("the binary runs");
            assert!(matches!(status.code(), Some(0 | 4)), "{status}");
            let run = fs::read_dir(out.path().join(place)).expect("a run").next();
            run.expect("a run").expect("can be listed").path().display().to_string()
        },
    )
}

#[test]
fn stored_runs_of_several_loads_fit_the_console_and_say_what_more_blocks_would_take() {
    let out = tempfile::tempdir().expect("a folder");
    let folders = two_runs(&out, &["--concurrency", "1,12", "--requests", "12"]);
    let printed = words(&run(&out, &folders.each_ref().map(String::as_str)).stdout);
    let (tables, notes) = printed.split_once("\nnotes\n").expect("notes");
    for line in tables.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(printed.contains("B at concurrency 12 against A at concurrency 12"), "{printed}");
    assert!(printed.contains("B − A") && printed.contains("B ÷ A"), "{printed}");
    let notes = in_one_line(notes);
    assert!(notes.contains("compare runs with 25 or more sent at each load"), "{printed}");
    assert!(!printed.contains("--blocks"), "{printed}");
}

#[test]
fn a_load_that_was_cut_short_takes_no_blocks_from_the_others_of_a_stored_run() {
    let out = tempfile::tempdir().expect("a folder");
    let folders = two_runs(&out, &["--concurrency", "1,16", "--requests", "40"]);
    let manifest = out.path().join(&folders[1]).join("manifest.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json["points"][1]["facts"]["complete"] = false.into();
    fs::write(&manifest, json.to_string()).expect("written");
    let printed = words(&run(&out, &folders.each_ref().map(String::as_str)).stdout);
    let document = document(&directory(&out), "comparison");
    let blocks = |pair: usize| document["pairs"][pair]["rows"][0]["blocks"].as_u64();
    assert_eq!([0, 1].map(blocks), [Some(8), None], "{printed}");
    assert_eq!((&document["incomplete"], &document["blocks"]), (&true.into(), &0.into()));
    let notes = in_one_line(&printed);
    let finished = "A at concurrency 1 8, B at concurrency 1 8, A at concurrency 16 0";
    assert!(notes.contains(finished), "{printed}");
}

#[test]
fn stored_runs_are_compared_and_marked_as_not_interleaved() {
    let out = tempfile::tempdir().expect("a folder");
    let folders = two_runs(&out, &["--concurrency", "2", "--requests", "40"]);
    let arguments = [&folders[0], &folders[1], "--fail-if", "e2e_p50>20%"];
    let output = run(&out, &arguments.map(|it| it as &str));
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(4 | 6)), "{printed}{}", words(&output.stderr));
    assert!(printed.contains("NOT INTERLEAVED") && printed.contains("likely worse"), "{printed}");
    assert!(!printed.contains("WORSE"), "{printed}");
    let document = document(&directory(&out), "comparison");
    assert_eq!((&document["interleaved"], &document["blocks"]), (&false.into(), &8.into()));
    let alike =
        document["pairs"][0]["fairness"].as_array().expect("conditions").iter().any(|item| {
            item["condition"] == "output tokens (40 of 40 pairs alike)" && item["same"] == true
        });
    assert!(alike, "the same requests are paired across the stretches");

    let missing = run(&out, &[folders[0].as_str(), "nowhere"]);
    assert_eq!(missing.status.code(), Some(2), "{}", words(&missing.stderr));
    assert!(words(&missing.stderr).contains("nowhere"));
}

#[test]
fn each_side_has_the_roofline_of_its_own_model_and_machine() {
    let out = tempfile::tempdir().expect("a folder");
    let sides = ["--target", "sim:h200-llama3-8b-fp8", "--target", "null:"];
    let load = ["--scenario", "D(16,8)", "--concurrency", "1", "--requests", "4", "--blocks", "2"];
    let output = run(&out, &[&sides[..], &load, &["--warmup", "1"]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let roofline = |side: &str| {
        let folders = fs::read_dir(directory(&out)).expect("a folder").filter_map(Result::ok);
        let mut folders = folders.filter(|it| it.file_name().to_string_lossy().starts_with(side));
        let summary = document(&folders.next().expect("a side").path(), "summary");
        summary["points"][1]["roofline"].clone()
    };
    assert!(roofline("A-").get("decode").is_some(), "{}", roofline("A-"));
    assert!(roofline("B-").is_null(), "nothing is known of its model");
}

#[test]
fn a_bound_that_nothing_can_be_held_against_ends_with_code_4_and_the_reason() {
    let out = tempfile::tempdir().expect("a folder");
    let folders = two_runs(&out, &["--concurrency", "2", "--requests", "40"]);
    let gate = |bound: &str| {
        let arguments = [&folders[0], &folders[1], "--fail-if", bound];
        let output = run(&out, &arguments.map(|it| it as &str));
        (output.status.code(), words(&output.stdout))
    };
    let (code, absent) = gate("kv_hit_avg>5%");
    assert_eq!(code, Some(4), "{absent}");
    assert!(absent.contains("NOT HELD: not measured in this experiment"), "{absent}");
    let manifest = out.path().join(&folders[1]).join("manifest.json");
    let mut json: Value =
        serde_json::from_str(&fs::read_to_string(&manifest).expect("a manifest")).expect("JSON");
    json["points"][0]["health"]["dropped_events"] = 1.into();
    fs::write(&manifest, json.to_string()).expect("written");
    let (code, invalid) = gate("e2e_p50>5%");
    assert_eq!(code, Some(4), "{invalid}");
    assert!(invalid.contains("NOT HELD: the measurement of a side is invalid"), "{invalid}");
}
