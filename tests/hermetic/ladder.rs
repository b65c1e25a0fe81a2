//! `bareflight ladder`: every rung or why it is missing, what each adds, where the time goes.

use std::fs;
use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::left_behind;
use crate::support::left_behind::{directory, document, words};
use crate::support::serve_process::PATIENCE;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

fn ladder(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.arg("ladder").args(arguments).current_dir(out.path()).env("CI", "1");
    command.env("CANDLE_NUM_THREADS", "1").output().expect("the binary runs")
}

fn rung<'a>(document: &'a Value, level: &str) -> &'a Value {
    let rungs = document["rungs"].as_array().expect("rungs");
    rungs.iter().find(|rung| rung["level"] == level).expect(level)
}

#[test]
fn a_ladder_from_something_that_is_no_engine_in_this_process_is_refused() {
    let out = tempfile::tempdir().expect("a folder");
    for (arguments, named) in [
        (vec!["--target", "null:"], "null:"),
        (vec!["--target", "openai:http://127.0.0.1:1"], "openai:"),
        (vec!["--concurrency", "1,2"], "one load"),
    ] {
        let output = ladder(&out, &arguments);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(named), "{arguments:?} says: {message}");
    }
    assert!(!out.path().join("runs").exists(), "nothing was begun");
}

#[test]
fn a_simulated_ladder_says_which_rungs_do_not_apply_and_why() {
    let out = tempfile::tempdir().expect("a folder");
    let output = ladder(
        &out,
        &[
            "--target",
            "sim:explicit,base_us=2000",
            "--scenario",
            "D(16,8)",
            "--requests",
            "4",
            "--warmup",
            "1",
            "--blocks",
            "5",
            "--in-process",
        ],
    );
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{}", words(&output.stderr));
    assert!(printed.contains("SIMULATED"), "{printed}");
    let message = words(&output.stderr);
    for line in ["L0 null:, block 1 of 5: ", "L1 sim:explicit,base_us=2000, block 5 of 5: "] {
        assert!(message.contains(line), "{line} in {message}");
    }
    let folder = directory(&out);
    for name in ["ladder.csv", "ladder.html", "manifest.json"] {
        assert!(folder.join(name).metadata().expect(name).len() > 0, "{name} is empty");
    }
    let document = document(&folder, "ladder");
    let why = |level| rung(&document, level)["not_applicable"].as_str().unwrap_or_default();
    assert_eq!((why("L0"), why("L1"), why("L3")), ("", "", ""));
    assert!(why("L2").contains("no engine"), "{printed}");
    assert!(why("L4").contains("--in-process") && why("L6").contains("--in-process"));
    // Eight tokens of 2 ms each are what the executor adds to a harness that replies at once.
    let rows = document["pairs"][0]["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["metric"] == "e2e_avg").expect("a latency");
    assert!(row["difference"]["low"].as_f64().expect("an interval") > 14.0, "{row}");
    assert!(rung(&document, "L0")["parts"]["engine"].is_null());
    let parts = &rung(&document, "L1")["parts"];
    assert!(parts["engine"]["decode_ms"].as_f64().expect("stamps") > 12.0, "{parts}");
}

#[test]
fn every_rung_of_an_engine_with_a_tokenizer_is_climbed_and_every_server_ended() {
    let out = tempfile::tempdir().expect("a folder");
    let output = ladder(
        &out,
        &[
            "--target",
            "local:dummy-pico",
            "--scenario",
            "D(12,6)",
            "--requests",
            "3",
            "--warmup",
            "1",
            "--blocks",
            "2",
        ],
    );
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{message}");
    let document = document(&directory(&out), "ladder");
    for level in ["L0", "L1", "L2", "L3", "L4", "L5", "L6"] {
        let rung = rung(&document, level);
        assert!(rung["not_applicable"].is_null(), "{rung}");
        let side = &document["sides"][rung["side"].as_u64().expect("a side") as usize];
        assert_eq!(
            (&side["attempted"], &side["completed"]),
            (&6.into(), &6.into()),
            "{level}: {message}"
        );
        assert!(rung["parts"]["e2e_ms"].as_f64().expect("a latency") > 0.0);
    }
    // The server stamps on this host's clock, so its parts are told apart too.
    let served = &rung(&document, "L4")["parts"]["engine"];
    assert!(served["around_ms"].as_f64().expect("stamps") > 0.0, "{served}");
    assert!(rung(&document, "L4")["cpu"]["server_ms"].as_f64().expect("CPU time") > 0.0);
    assert!(rung(&document, "L2")["cpu"]["server_ms"].is_null());
    let same: Vec<(&Value, &Value)> = [("L3", "L2"), ("L4", "L2"), ("L5", "L4"), ("L6", "L2")]
        .map(|(above, below)| {
            (&rung(&document, above)["stands_on"], &rung(&document, below)["side"])
        })
        .into();
    assert!(same.iter().all(|(on, side)| on == side), "{same:?}");
}

#[test]
fn a_simulated_engine_stays_labelled_on_every_rung_that_is_served() {
    let out = tempfile::tempdir().expect("a folder");
    let plan = ["--scenario", "D(16,8)", "--requests", "2", "--warmup", "1", "--blocks", "1"];
    let output = ladder(&out, &[&["--target", "sim:explicit,base_us=500"][..], &plan].concat());
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    let folder = directory(&out);
    let document = document(&folder, "ladder");
    for level in ["L1", "L3", "L4", "L5", "L6"] {
        let side = rung(&document, level)["side"].as_u64().expect("a side") as usize;
        let own = document["sides"][side]["folder"].as_str().expect("a folder");
        let manifest = left_behind::read(&folder.join(own), "manifest.json");
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        assert_eq!(manifest["target"]["simulated"], true, "{level}: {manifest}");
    }
}

#[test]
fn a_ladder_that_is_killed_leaves_no_server_behind() {
    let out = tempfile::tempdir().expect("a folder");
    let mut ladder = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["ladder", "--target", "sim:explicit,base_us=2000", "--scenario", "D(16,8)"])
        .args(["--requests", "100000", "--warmup", "1", "--quiet"])
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let id = ladder.id();
    let children = || fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok();
    let command = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline"));
    let server = wait_for(|| {
        let children = children()?;
        let is_server = |pid: &&str| command(pid).is_ok_and(|it| it.contains("serve"));
        children.split_whitespace().find(is_server).map(str::to_owned)
    });
    ladder.kill().expect("it runs");
    ladder.wait().expect("it ends");
    // Its process id may be another program's by then.
    wait_for(|| command(&server).map_or(true, |it| !it.contains("serve")).then_some(()));
}

#[test]
fn ctrl_c_while_the_server_loads_its_engine_ends_the_ladder_and_the_server() {
    let out = tempfile::tempdir().expect("a folder");
    let target = "sim:null,load_ms=600000";
    let mut child = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["ladder", "--target", target, "--scenario", "D(16,8)"])
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // Its log is opened by the server itself.
    wait_for(|| {
        let folder = fs::read_dir(out.path().join("runs")).ok()?.next()?.ok()?.path();
        folder.join("served.engine.log").exists().then_some(())
    });
    rustix::process::kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{said}");
    assert!(said.contains("interrupted while `bareflight serve` was loading"), "{said}");
}

fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}
