//! `mpirun`: ranks of a job send one plan, rank 0 leaves the files and the numbers of one process, and it alone prints.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::left_behind::{DETERMINED, columns, directory, json, read, words};

/// The program as so many ranks, of Open MPI as tests need it: more ranks than cores, and as root. None is it alone.
fn program(out: &TempDir, ranks: Option<u32>, more: &[&str], arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_bareflight");
    let mut command = match ranks {
        None => Command::new(binary),
        Some(ranks) => {
            let mut command = Command::new("mpirun");
            command.args(["-n", &ranks.to_string(), "--bind-to", "none"]).args(more).arg(binary);
            command
        }
    };
    output(out, command.arg("run").args(arguments))
}

/// What becomes of a command that may be `mpirun`.
fn output(out: &TempDir, command: &mut Command) -> Output {
    command
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("CI", "1")
        .current_dir(out.path())
        .output()
        .expect("`mpirun` is needed for this test")
}

const LOAD: [&str; 10] = [
    "--target",
    "null:",
    "-s",
    "D(8,4)",
    "--concurrency",
    "4,7",
    "--requests",
    "61",
    "--window",
    "whole",
];

fn played(ranks: Option<u32>) -> (TempDir, PathBuf, String) {
    let out = tempfile::tempdir().expect("a folder");
    let output = program(&out, ranks, &[], &LOAD);
    let printed = words(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{}", words(&output.stderr));
    let folder = directory(&out);
    (out, folder, printed)
}

#[test]
fn ranks_leave_the_files_and_numbers_of_one_process_and_rank_0_alone_prints() {
    let (_one, one, _) = played(None);
    let (_three, three, printed) = played(Some(3));
    assert_eq!(read(&one, "plan.csv"), read(&three, "plan.csv"));
    let rows = [&one, &three].map(|it| columns(&read(it, "requests.csv"), &DETERMINED));
    assert_eq!(rows[0], rows[1]);
    let counts = [&one, &three].map(|folder| {
        let points = json(folder, "summary.json")["points"].clone();
        [0, 1].map(|point| points[point]["counts"]["completed"].clone())
    });
    assert_eq!(counts[0], counts[1]);
    assert!(printed.contains("sent by 3 workers"), "{printed}");
    assert_eq!(
        printed.matches("sent by 3 workers, whose clocks").count(),
        2,
        "once a load: {printed}"
    );
    assert_eq!(json(&three, "manifest.json")["workers"].as_array().expect("workers").len(), 3);
}

#[test]
fn a_rank_that_dies_is_named_and_what_it_did_not_send_is_counted() {
    let out = tempfile::tempdir().expect("a folder");
    // It ends itself as soon as it has sent a part of its load.
    let binary = env!("CARGO_BIN_EXE_bareflight");
    let script = out.path().join("rank.sh");
    let text = format!(
        "if [ \"$OMPI_COMM_WORLD_RANK\" = 1 ]; then\n\
         {binary} \"$@\" & own=$!\n\
         until grep -qs , runs/*/requests.partial.csv && [ \"$(wc -l < runs/*/requests.partial.csv)\" -gt 3 ]; do sleep 0.05; done\n\
         kill -9 $own; wait\nexit 0\nfi\nexec {binary} \"$@\"\n"
    );
    fs::write(&script, text).expect("a file");
    let mut command = Command::new("mpirun");
    command
        .args(["-n", "2", "--bind-to", "none", "bash"])
        .arg(&script)
        .args(["run", "--target", "null:", "-s", "D(8,4)", "--rate", "100", "--requests", "400"])
        .args(["--warmup", "0", "--window", "whole", "-q"]);
    let output = output(&out, &mut command);
    let said = words(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let folder = directory(&out);
    let manifest = json(&folder, "manifest.json");
    assert!(manifest["workers"][1]["lost"].is_string(), "{manifest} {said}");
    assert!(said.contains("worker 2 of 2") && said.contains("was lost"), "{said}");
    let counts = &json(&folder, "summary.json")["points"][0]["counts"];
    let of = |name: &str| counts[name].as_u64().expect(name);
    assert_eq!(of("completed") + of("worker_lost"), 400, "{counts}");
    assert!(of("worker_lost") > 0, "{counts}");
}

#[test]
fn what_ranks_cannot_divide_is_said_once() {
    let out = tempfile::tempdir().expect("a folder");
    for (arguments, named) in [
        (&["--target", "null:", "--concurrency", "2"][..], "fewer `--workers`"),
        (&["--target", "null:", "--concurrency", "6", "--workers", "2"], "leave out `--workers 2`"),
        (
            &[
                "--target",
                "null:",
                "--rate",
                "9",
                "--workers",
                "3",
                "--workers-listen",
                "127.0.0.1:0",
            ],
            "leave out `--workers-listen",
        ),
        (&["--target", "null:", "--no-such-flag"], "unexpected argument"),
    ] {
        let output = program(&out, Some(3), &[], arguments);
        let said = words(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert_eq!(said.matches(named).count(), 1, "{said}");
    }
    assert!(!out.path().join("runs").exists());
}
