//! Command line: exit codes, files of a run, and one clear error for bad input.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::left_behind::{directory, in_one_line, read, words};
use tempfile::TempDir;

fn bareflight(out: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).current_dir(out.path()).env("CI", "1");
    command
}

fn run(out: &TempDir, arguments: &[&str]) -> Output {
    bareflight(out, arguments).output().expect("the binary runs")
}

const QUICK: [&str; 9] = [
    "run",
    "--target",
    "sim:explicit,base_us=200",
    "--scenario",
    "D(16,8)",
    "--warmup",
    "1",
    "--requests",
    "12",
];

fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    QUICK.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn an_engine_in_python_is_refused_by_the_plain_program_which_names_the_one_that_has_it() {
    for words in [
        &["run", "--target", "py:my_adapter"][..],
        &["plan", "--target", "vllm:/models/tiny"],
        &["serve", "--target", "trtllm-torch:/models/tiny"],
        &["compare", "--target", "vllm:/models/tiny", "--target", "null:"],
        &["ladder", "--target", "vllm:/models/tiny"],
        &["adapter", "check", "my_adapter"],
    ] {
        let out = tempfile::tempdir().expect("a folder");
        let output = run(&out, words);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {told}");
        assert!(told.contains("pip install .") && told.contains("PYTHON_ENGINES.md"), "{told}");
        assert!(output.stdout.is_empty(), "{words:?}");
        assert_eq!(fs::read_dir(out.path()).expect("the folder").count(), 0, "{words:?}");
    }
}

#[test]
fn a_run_leaves_every_file_that_it_names() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &quick(&["--concurrency", "1,2"]));
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let folder = directory(&out);
    for name in [
        "manifest.json",
        "resolved.toml",
        "plan.csv",
        "requests.csv",
        "deliveries.csv.gz",
        "iterations.jsonl",
        "summary.json",
        "summary.csv",
        "report.html",
    ] {
        assert!(folder.join(name).metadata().expect(name).len() > 0, "{name} is empty");
    }
    assert!(!folder.join("requests.partial.csv").exists());
    assert!(printed.to_uppercase().contains("SIMULATED"), "{printed}");
    for heading in ["TTFT", "ITL", "TPOT", "p99", "p90", "p75", "p50", "avg", "min", "max"] {
        assert!(printed.contains(heading), "{heading} is missing: {printed}");
    }
}

#[test]
fn summary_csv_begins_with_the_columns_that_scripts_rely_on() {
    let out = tempfile::tempdir().expect("a folder");
    run(&out, &quick(&["--concurrency", "1,2"]));
    let csv = read(&directory(&out), "summary.csv");
    let mut lines = csv.lines();
    let header = lines.next().expect("a header");
    assert!(header.starts_with(
        "concurrency,total_requests,successful_requests,failed_requests,total_time_s,requests_per_sec,\
         throughput_tokens_per_sec,avg_latency_ms,p50_latency_ms,p90_latency_ms,p99_latency_ms,avg_ttft_ms,"
    ), "{header}");
    let starts: Vec<&str> =
        lines.map(|line| line.split(",12,12,0,").next().expect("a row")).collect();
    assert_eq!(starts, ["1", "2"]);
}

#[test]
fn simulated_numbers_are_labelled_in_every_artefact() {
    let out = tempfile::tempdir().expect("a folder");
    run(&out, &quick(&["--concurrency", "1"]));
    let folder = directory(&out);
    for name in ["manifest.json", "summary.json", "summary.csv", "report.html"] {
        assert!(read(&folder, name).to_lowercase().contains("simulated"), "{name}");
    }
}

#[test]
fn bad_input_is_one_error_that_names_the_thing_and_nothing_is_run() {
    let out = tempfile::tempdir().expect("a folder");
    let missing = out.path().join("no-such-model").display().to_string();
    let missing = format!("local:{missing}");
    let cases: [(&[&str], i32, &str); 21] = [
        (&["run", "--target", "warp:9"], 2, "warp:9"),
        (
            &["run", "--target", "sim:"],
            2,
            "`sim:` has no name behind its kind: write `sim:PROFILE`",
        ),
        (&["run", "--target", "openai"], 2, "write `openai:URL`"),
        (&["run", "--target", "null:x"], 2, "`null:x` has a name behind its kind: write `null:`"),
        (&["doctor", "--target", "warp:9"], 2, "warp:9"),
        (&["doctor", "trtllm:"], 2, "`trtllm:ENGINE_DIR`"),
        (&["run", "--target", "sim:no-such-profile"], 3, "no-such-profile"),
        (&["run", "--target", &missing], 3, "no-such-model"),
        (&["run", "--target", &missing], 3, "`local:dummy-nano`"),
        (&["run", "--scenario", "X(1,2)"], 2, "X(1,2)"),
        (&["run", "--requests", "0"], 2, "--requests"),
        (&["run", "--concurrency", "0"], 2, "--concurrency"),
        (&["run", "--concurrency", "1", "--rate", "2"], 2, "--rate"),
        (&["run", "--duration", "soon"], 2, "soon"),
        (&["run", "--no-such-flag"], 2, "--no-such-flag"),
        (&["run", "--config", "missing.toml"], 2, "missing.toml"),
        (&["run", "--slo", "ttft<fast"], 2, "fast"),
        (&["run", "--kv-fraction", "2"], 2, "--kv-fraction"),
        (&["run", "--target", "local:dummy-pico", "--beam-width", "4"], 3, "--beam-width"),
        (&["run", "--target", "sim:null", "--lora", "7", "--lora-dir", "no-such"], 3, "no-such/7"),
        (&["run", "--target", "local:dummy-pico", "--scenario", "D(100000,4)"], 3, "--kv-tokens"),
    ];
    for (arguments, code, named) in cases {
        let output = run(&out, arguments);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(named), "{arguments:?} says: {message}");
        assert!(!message.contains("panicked"), "{message}");
    }
    assert!(!out.path().join("runs").exists(), "no run was begun");
}

#[cfg(not(feature = "trtllm"))]
#[test]
fn a_target_that_was_not_built_says_how_to_build_it() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &["run", "--target", "trtllm:engine"]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("cargo build --release --features trtllm"), "{message}");
}

#[test]
fn an_unknown_key_of_a_configuration_file_is_refused_by_name() {
    let out = tempfile::tempdir().expect("a folder");
    fs::write(out.path().join("c.toml"), "concurency = [1]\n").expect("written");
    let output = run(&out, &["run", "--config", "c.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output.stderr).contains("concurency"));
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let out = tempfile::tempdir().expect("a folder");
    fs::write(out.path().join("c.toml"), "seed = 1\nrequests = 1\ntarget = 'null:'\n")
        .expect("written");
    let mut command = bareflight(&out, &["plan", "--config", "c.toml", "--seed", "3"]);
    let output = command.env("BAREFLIGHT_SEED", "2").env("BAREFLIGHT_REQUESTS", "2").output();
    let text = words(&output.expect("runs").stdout);
    let line = |key: &str| {
        let found = text.lines().find(|line| line.trim_start().starts_with(key));
        found.unwrap_or_else(|| panic!("{key} in {text}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("seed"), ["seed", "3", "flag"]);
    assert_eq!(line("requests"), ["requests", "2", "environment"]);
    assert_eq!(line("target"), ["target", "\"null:\"", "file"]);
}

#[test]
fn all_requests_failed_is_a_failure_and_every_one_is_on_record() {
    let out = tempfile::tempdir().expect("a folder");
    let target = "sim:explicit,base_us=100,fail_at_iteration=0";
    let arguments =
        ["run", "--target", target, "--concurrency", "1", "--requests", "1", "--warmup", "0"];
    let output = run(&out, &[&arguments[..], &["--window", "whole"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", words(&output.stderr));
    let rows = read(&directory(&out), "requests.csv");
    assert_eq!(rows.lines().count(), 2, "{rows}");
    assert!(rows.contains("failed,engine,"), "with the engine's own words: {rows}");
    let shown = in_one_line(&words(&output.stdout));
    assert!(shown.contains("verdict NO RESULT"), "{shown}");
    let told = shown.split_once("1 request failed as engine, the first: ");
    let (_, cause) = told.unwrap_or_else(|| panic!("nobody has to open a file for it: {shown}"));
    let (cause, _files) = cause.split_once(" files in ").expect("files are named last");
    assert!(rows.contains(cause), "{cause}\n{rows}");
}

#[test]
fn a_missed_slo_has_an_exit_code_of_its_own() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &quick(&["--concurrency", "1", "--slo", "e2e<1us"]));
    // On a machine that is too busy the run is invalid, which is graver.
    assert!(matches!(output.status.code(), Some(4 | 5)), "{}", words(&output.stdout));
    assert!(words(&output.stdout).contains("SLO MISSED: 0.0 %"), "{}", words(&output.stdout));
}

#[test]
fn a_loop_has_a_ramp_and_a_tail_unless_the_whole_of_a_run_is_asked_for() {
    let played = |more: &[&str]| {
        let out = tempfile::tempdir().expect("a folder");
        let output = run(&out, &[&quick(&["--concurrency", "4"])[..], more].concat());
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
        let folder = directory(&out);
        let rows = read(&folder, "requests.csv");
        let of =
            |part: &str| rows.lines().filter(|row| row.split(',').nth(2) == Some(part)).count();
        let parts = ["ramp", "measured", "tail"].map(of);
        let text = read(&folder, "summary.json");
        let summary: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        (parts, summary["points"][0].clone())
    };
    let ([ramp, measured, tail], point) = played(&[]);
    // At least what starts the slots. Where the last measured ones end together, nothing is left for a tail.
    assert!(ramp >= 4 && measured == 12, "{ramp} {measured} {tail}");
    assert_eq!(
        (&point["window_kind"], &point["counts"]["planned"]),
        (&"steady".into(), &12.into())
    );
    assert_eq!(point["counts"]["ramp"]["sent"], ramp);
    assert_eq!(point["counts"]["tail"]["sent"], tail);
    assert_eq!(point["distributions"]["e2e_ms"]["count"], 12);
    let whole = &point["whole_run"];
    assert_eq!(whole["submitted"], ramp + measured + tail);
    assert!(whole["window_s"].as_f64() > point["window_s"].as_f64());
    let (parts, point) = played(&["--window", "whole"]);
    assert_eq!((parts, &point["window_kind"]), ([0, 12, 0], &"whole".into()));
    assert_eq!(point["whole_run"]["window"], point["window"]);
    assert_eq!(played(&["--ramp", "0"]).0[0], 0);
}

#[test]
fn what_a_run_has_resolved_runs_again_with_the_same_plan() {
    let out = tempfile::tempdir().expect("a folder");
    run(&out, &quick(&["--concurrency", "2", "--seed", "9"]));
    let first = directory(&out);
    let again = tempfile::tempdir().expect("a folder");
    let resolved = first.join("resolved.toml").display().to_string();
    run(&again, &["run", "--config", &resolved, "--out", "runs"]);
    // How much of the supply for ramp and tail is drawn depends on the time that they take.
    let planned = |folder: &Path| -> Vec<String> {
        let plan = read(folder, "plan.csv");
        plan.lines().filter(|row| !row.contains(",fill,")).map(str::to_owned).collect()
    };
    assert_eq!(planned(&first), planned(&directory(&again)));
}

#[test]
fn reports_made_again_are_equal_byte_for_byte() {
    let out = tempfile::tempdir().expect("a folder");
    run(&out, &quick(&["--concurrency", "1"]));
    let folder = directory(&out);
    let before = read(&folder, "summary.json");
    fs::remove_file(folder.join("summary.json")).expect("was there");
    let name = folder.display().to_string();
    assert!(!run(&out, &["report", &name]).stdout.is_empty());
    assert_eq!(read(&folder, "summary.json"), before);
}

#[test]
fn a_folder_that_is_no_run_cannot_be_reported() {
    let out = tempfile::tempdir().expect("a folder");
    let output = run(&out, &["report", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output.stderr).contains("manifest.json"));
}

#[test]
fn the_schema_is_json() {
    let out = tempfile::tempdir().expect("a folder");
    let schema = words(&run(&out, &["schema"]).stdout);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    assert!(schema["$schema"].is_string());
}

#[test]
fn what_the_engine_says_of_itself_is_kept_and_summarised() {
    for target in ["sim:explicit,base_us=200", "local:dummy-pico"] {
        let out = tempfile::tempdir().expect("a folder");
        let load = [
            "--warmup",
            "1",
            "--requests",
            "12",
            "--concurrency",
            "2",
            "--kv-reuse",
            "--window",
            "whole",
        ];
        run(&out, &[&["run", "--target", target, "--scenario", "D(16,8)"][..], &load].concat());
        let folder = directory(&out);
        let message = read(&folder, "iterations.jsonl");
        let lines: Vec<serde_json::Value> =
            message.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(lines.iter().all(|line| line["engine"].is_object() && line["point"] == 0));
        let summary: serde_json::Value =
            serde_json::from_str(&read(&folder, "summary.json")).expect("JSON");
        let iterations = &summary["points"][0]["iterations"];
        let count = iterations["iterations"].as_u64().expect("a number");
        // Each of 12 requests takes 8 iterations, and at most two share one.
        assert!((48..=lines.len() as u64).contains(&count), "{target}: {iterations}");
        assert_eq!(iterations["lost"], 0, "{target}");
        assert_eq!(iterations["batch_requests"]["max"], 2.0, "{target}");
        assert!(
            iterations["context_iterations_fraction"].as_f64().is_some_and(|share| share > 0.0)
        );
        let hits = &summary["points"][0]["distributions"]["kv_hit_fraction"];
        assert_eq!(hits["count"], 12, "{target}: {hits}");
    }
}

#[test]
fn settings_of_the_executor_reach_it_and_are_echoed() {
    let out = tempfile::tempdir().expect("a folder");
    let adapter = out.path().join("adapters/7");
    fs::create_dir_all(&adapter).expect("a folder");
    for file in ["model.lora_weights.npy", "model.lora_config.npy"] {
        fs::write(adapter.join(file), b"").expect("a file");
    }
    let settings = "target = 'sim:explicit,base_us=100,max_beam_width=2'\nconcurrency = [2]\n\
        [engine]\nkv_fraction = 0.5\nlora_dir = 'adapters'\n\
        [request]\nbeam_width = 2\nlora = '7:1,0:1'\n";
    fs::write(out.path().join("labs.toml"), settings).expect("a file");
    let typed = ["run", "--config", "labs.toml", "--scenario", "D(16,8)", "--requests", "20"];
    let output = run(&out, &[&typed[..], &["--weights-percent", "50"]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let folder = directory(&out);
    let manifest: serde_json::Value =
        serde_json::from_str(&read(&folder, "manifest.json")).expect("JSON");
    let echoed = &manifest["target"]["details"]["settings"];
    assert_eq!(echoed["weights_percent"], 50.0);
    assert_eq!((&echoed["max_beam_width"], &echoed["decoding"]), (&2.into(), &"beam".into()));
    assert_eq!(echoed["kv_partial_reuse"], true, "a default that moved is said explicitly");
    let plan = read(&folder, "plan.csv");
    let adapted = plan.lines().filter(|row| row.split(',').nth(9) == Some("7")).count();
    assert!((1..plan.lines().count() - 1).contains(&adapted), "{plan}");
    let rows = read(&folder, "requests.csv");
    let completed = |row: &&str| row.contains(",measured,") && row.contains(",completed,");
    assert_eq!(rows.lines().filter(completed).count(), 20, "{rows}");
}

#[test]
fn a_number_below_zero_is_refused_by_the_flag_that_it_was_given_to() {
    let out = tempfile::tempdir().expect("a folder");
    let mentions = |arguments: &[&str], named: &[&str]| {
        let output = run(&out, arguments);
        let message = words(&output.stderr);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{arguments:?}: {message}");
        for named in named {
            assert!(message.contains(named), "{arguments:?} says: {message}");
        }
    };
    for subcommand in ["run", "plan", "compare", "ladder", "serve"] {
        mentions(&[subcommand, "--concurrency", "-1"], &["'-1'", "--concurrency", "`1,2,4`"]);
        mentions(&[subcommand, "--concurrency", "-1,2"], &["'-1'", "--concurrency", "`1,2,4`"]);
        mentions(&[subcommand, "--rate", "-0.5,1"], &["'-0.5'", "--rate", "`0.5,1,2`"]);
        mentions(&[subcommand, "--device-ids", "-1,0"], &["'-1'", "--device-ids"]);
        mentions(&[subcommand, "-n", "-5"], &["'-5'", "--requests"]);
        mentions(&[subcommand, "--rate", "-3"], &["'-3'", "--rate"]);
        mentions(&[subcommand, "--seed", "-1"], &["'-1'", "--seed"]);
    }
    mentions(&["run", "--temperature", "-1"], &["`--temperature -1`", "above 0"]);
    // A list that was forgotten is missed, and does not swallow the next flag.
    mentions(&["run", "--concurrency", "--rate", "2"], &["value is required", "--concurrency"]);
    mentions(&["run", "--concurrency", "1,"], &["--concurrency", "`1,2,4`"]);
    mentions(&["run", "--rate", "abc"], &["'abc'", "--rate", "`0.5,1,2`"]);
    assert!(!out.path().join("runs").exists(), "no run was begun");
}

#[test]
fn a_misspelt_key_of_a_file_is_one_short_error_with_the_key_that_was_meant() {
    let out = tempfile::tempdir().expect("a folder");
    fs::write(out.path().join("c.toml"), "max_batchsize = 4\n").expect("written");
    let output = run(&out, &["run", "--config", "c.toml"]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("c.toml") && message.contains("`max_batch_size`"), "{message}");
    assert!(message.len() < 250, "{message}");
}

#[test]
fn a_plan_and_a_run_say_the_same_threads_and_the_run_writes_them_down() {
    let out = tempfile::tempdir().expect("a folder");
    let asked = ["--target", "local:dummy-pico", "--scenario", "D(8,4)", "--concurrency", "1"];
    let title = |text: &str| {
        let line = text.lines().find(|line| line.contains("thread")).expect("a title");
        line.trim().to_owned()
    };
    let planned = words(&run(&out, &[&["plan"][..], &asked].concat()).stdout);
    assert!(planned.contains("\n  threads "), "{planned}");
    let more = ["--requests", "2", "--warmup", "0"];
    let ran = words(&run(&out, &[&["run"][..], &asked, &more].concat()).stderr);
    let threads = |text: &str| {
        let before = text.split(" thread").next().expect("a number").to_owned();
        before.rsplit(' ').next().expect("a number").to_owned()
    };
    let planned = threads(&title(&planned[planned.find("\ntarget\n").expect("a target")..]));
    assert_eq!(planned, threads(&title(&ran)), "{ran}");
    assert!(read(&directory(&out), "resolved.toml").contains(&format!("\nthreads = {planned}\n")));
}

#[test]
fn a_version_names_its_revision_as_the_manifest_does() {
    let out = tempfile::tempdir().expect("a folder");
    let message = words(&run(&out, &["--version"]).stdout);
    let revision = message.split(['(', ')']).nth(1).expect("a revision").to_owned();
    run(&out, &quick(&["--concurrency", "1"]));
    let manifest = read(&directory(&out), "manifest.json");
    assert!(manifest.contains(&format!("\"{revision}\"")), "{message} {manifest}");
}
