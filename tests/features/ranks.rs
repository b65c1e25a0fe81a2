//! Engines over several ranks, and the records that are kept when one of them dies. `mpirun` and an orchestrator's workers,
//! with our simulated executor in the linked library.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use crate::support::left_behind::{directory, words};
use crate::support::stand_in;
use tempfile::TempDir;

/// Open MPI as tests need it: more ranks than cores, and as root.
fn with_open_mpi(mut command: Command, out: &TempDir) -> Command {
    command
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("CI", "1")
        .current_dir(out.path());
    command
}

const WORKLOAD: [&str; 6] = ["--scenario", "D(16,8)", "--warmup", "1", "--window", "whole"];

/// The program under `mpirun`, or alone with 0 ranks.
fn program(out: &TempDir, ranks: u32, target: &str, more: &[&str]) -> Command {
    let binary = env!("CARGO_BIN_EXE_bareflight");
    let mut command = match ranks {
        0 => Command::new(binary),
        ranks => {
            let mut command = Command::new("mpirun");
            command.args(["-n", &ranks.to_string(), binary]);
            command
        }
    };
    command.args(["run", "--target", target]).args(WORKLOAD).args(more);
    with_open_mpi(command, out)
}

fn manifest(out: &TempDir) -> serde_json::Value {
    let text = fs::read_to_string(directory(out).join("manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

fn finished(output: &Output) -> String {
    let message = words(&output.stderr);
    // A machine that tests share may be too busy for a valid measurement.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{:?}: {message}", output.status);
    message
}

#[test]
fn rank_0_drives_the_others_hold_their_part_and_only_one_writes() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, "explicit,base_us=300", 2);
    let more = ["--concurrency", "2", "--requests", "10"];
    let output =
        program(&out, 2, &target, &more).output().expect("`mpirun` is needed for this test");
    let message = finished(&output);
    assert!(message.contains("rank 1 of 2"), "{message}");
    let printed = words(&output.stdout);
    assert_eq!(printed.matches("headline").count(), 1, "one report: {printed}");
    let manifest = manifest(&out);
    assert_eq!(manifest["state"], "complete");
    assert_eq!(manifest["target"]["gpus"], 2);
    let rows = fs::read_to_string(directory(&out).join("requests.csv")).expect("rows");
    assert_eq!(rows.matches(",completed,").count(), 10, "{rows}");
}

#[test]
fn another_number_of_ranks_than_the_engine_was_built_for_is_refused() {
    for ranks in [0, 3] {
        let out = tempfile::tempdir().expect("a folder");
        let target = stand_in::target(&out, "explicit,base_us=300", 2);
        let output = program(&out, ranks, &target, &["--concurrency", "1"]).output().expect("runs");
        let message = words(&output.stderr);
        assert!(!output.status.success(), "{message}");
        assert!(message.contains("mpirun -n 2"), "the remedy: {message}");
        assert!(!out.path().join("runs").exists(), "nothing was begun: {message}");
    }
}

#[test]
fn a_target_of_one_process_is_refused_under_mpirun() {
    let out = tempfile::tempdir().expect("a folder");
    let output = program(&out, 2, "sim:h200-llama3-8b-fp8", &[]).output().expect("runs");
    let message = words(&output.stderr);
    assert_eq!(message.matches("start it without mpirun").count(), 1, "{message}");
    assert!(!output.status.success());
}

#[test]
fn an_orchestrators_workers_hold_the_engine() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, "explicit,base_us=300", 2);
    let root = std::env::var("TRTLLM_ROOT").expect("tests/features.sh sets TRTLLM_ROOT");
    let worker = format!("{root}/bin/executorWorker");
    let more = ["--concurrency", "2", "--requests", "10", "--worker", &worker];
    finished(&program(&out, 0, &target, &more).output().expect("runs"));
    assert_eq!(manifest(&out)["state"], "complete");
}

#[test]
fn an_orchestrator_s_workers_hold_an_engine_over_two_gpus_and_the_one_that_drafts_for_it() {
    let out = tempfile::tempdir().expect("a folder");
    let large = stand_in::engine(&out, "large", "explicit,base_us=300", 2, 4);
    let small = stand_in::engine(&out, "small", "explicit,base_us=50,agreement=0.7", 1, 0);
    let target = format!("trtllm:{}", large.display());
    let root = std::env::var("TRTLLM_ROOT").expect("set by tests/features.sh");
    let worker = format!("{root}/bin/executorWorker");
    let draft = small.display().to_string();
    let more = ["--concurrency", "2", "--requests", "8", "--worker", &worker];
    let more =
        [&more[..], &["--kv-reuse", "--draft-engine", &draft, "--draft-tokens", "3"]].concat();
    let output = program(&out, 0, &target, &more).output().expect("runs");
    finished(&output);
    let printed = words(&output.stdout);
    assert!(printed.contains("draft tokens accepted"), "{printed}");
    assert_eq!(manifest(&out)["target"]["gpus"], 2);
}

#[test]
fn a_worker_that_is_not_there_is_refused_by_name() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, "explicit,base_us=300", 2);
    let output = program(&out, 0, &target, &["--worker", "no/such/worker"]).output().expect("runs");
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("no/such/worker"), "{message}");
}

/// Kills one rank as soon as it has told its process id and requests are under way.
fn kill_the_follower(mut job: std::process::Child, out: &TempDir) -> (bool, String) {
    let mut lines = BufReader::new(job.stderr.take().expect("piped"));
    let mut message = String::new();
    let process = loop {
        let from = message.len();
        assert!(lines.read_line(&mut message).expect("text") > 0, "rank 1 said nothing: {message}");
        if let Some((_, rest)) = message[from..].split_once("rank 1 of 2 (process ") {
            break rest.split(')').next().expect("a number").to_owned();
        }
    };
    // Rows are written as requests end; some must have, so that there is something to keep.
    let journal = || {
        let mut runs = fs::read_dir(out.path().join("runs")).ok()?;
        let folder = runs.find_map(Result::ok)?.path();
        let rows = fs::read_to_string(folder.join("requests.partial.csv")).ok()?;
        (rows.lines().count() > 5).then_some(())
    };
    while journal().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-KILL", &process]).status().expect("kill runs");
    assert!(killed.success());
    lines.read_to_string(&mut message).expect("text");
    (job.wait().expect("ends").success(), message)
}

#[test]
fn a_rank_that_dies_ends_the_job_and_the_records_so_far_are_kept() {
    let out = tempfile::tempdir().expect("a folder");
    let target = stand_in::target(&out, "explicit,base_us=1000", 2);
    let more = ["--concurrency", "2", "--requests", "20000"];
    let mut command = program(&out, 2, &target, &more);
    // Seconds for the leader to write in; mpirun waits for all of them, whenever a rank has failed.
    command.env("OMPI_MCA_odls_base_sigkill_timeout", "20");
    let job = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("`mpirun` is needed for this test");
    let (succeeded, message) = kill_the_follower(job, &out);
    assert!(!succeeded, "{message}");
    assert!(message.contains("another rank has died"), "{message}");
    assert!(message.contains("rank 1"), "mpirun says which: {message}");
    let manifest = manifest(&out);
    assert_eq!(manifest["state"], "failed", "{message}");
    assert!(manifest["faults"].to_string().contains("another rank has died"), "{manifest}");
    let rows = fs::read_to_string(directory(&out).join("requests.csv")).expect("rows");
    assert!(rows.matches(",completed,").count() >= 5, "what had finished is kept");
}
