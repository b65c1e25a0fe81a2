//! `bareflight search`: the limit of a simulated engine that is known by hand, every probe in the files, and a search that goes on.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::fault_server::FaultServer;
use crate::support::left_behind::{directory, document, words};

fn search(out: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.arg("search").args(arguments).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

/// An engine that takes one request at a time, ten tokens of 2 ms each: 20 ms, so 50 requests a second.
const ONE_AT_A_TIME: [&str; 14] = [
    "--target",
    "sim:explicit,base_us=2000",
    "--max-batch-size",
    "1",
    "--scenario",
    "D(4,10)",
    "--arrivals",
    "constant",
    "--slo",
    "ttft.p90<60ms",
    "--warmup",
    "2",
    "--flood",
    "16",
];
const LIMIT: f64 = 50.0;

fn probes(document: &Value) -> &Vec<Value> {
    document["probes"].as_array().expect("probes")
}

fn files_are_there(folder: &Path) {
    for name in ["search.csv", "search.html", "manifest.json", "resolved.toml"] {
        assert!(folder.join(name).metadata().expect(name).len() > 0, "{name} is empty");
    }
}

#[test]
fn the_limit_of_an_engine_that_is_known_by_hand_is_found() {
    let out = tempfile::tempdir().expect("a folder");
    let output = search(&out, &[&ONE_AT_A_TIME[..], &["--max-probes", "12"]].concat());
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}{message}");
    let folder = directory(&out);
    files_are_there(&folder);
    let document = document(&folder, "search");
    let limit = document["outcome"]["limit"].as_f64().expect("a limit");
    // A busy machine makes the engine slower than its profile says, and never much faster.
    assert!((0.7 * LIMIT..1.05 * LIMIT).contains(&limit), "{limit}: {printed}");
    let roles: Vec<&str> =
        probes(&document).iter().map(|probe| probe["role"].as_str().expect("a role")).collect();
    assert_eq!(&roles[..3], ["sequential", "flood", "between"], "{printed}");
    assert!(printed.contains("limit") && printed.contains("[SIMULATED]"), "{printed}");
    let rows = std::fs::read_to_string(folder.join("search.csv")).expect("rows");
    assert_eq!(rows.lines().count(), roles.len() + 1);
}

#[test]
fn a_search_goes_on_without_repeating_a_finished_probe() {
    let out = tempfile::tempdir().expect("a folder");
    let few = [&ONE_AT_A_TIME[..], &["--max-probes", "3", "--requests", "60"]].concat();
    let output = search(&out, &few);
    assert!(words(&output.stdout).contains("--max-probes"), "{}", words(&output.stdout));
    let folder = directory(&out);
    let before = document(&folder, "search");
    assert_eq!(probes(&before).len(), 3);
    // As if it had been ended there, with more probes allowed.
    let path = folder.join("search.json");
    let text = std::fs::read_to_string(&path).expect("a document");
    let more = text.replace("\"most_probes\": 3", "\"most_probes\": 5");
    assert_ne!(text, more);
    std::fs::write(&path, more).expect("written");
    let name = folder.display().to_string();
    let output = search(&out, &["--resume", &name]);
    let message = words(&output.stderr);
    let after = document(&folder, "search");
    assert_eq!(probes(&after)[..3], probes(&before)[..], "{message}");
    assert!(probes(&after).len() > 3, "{message}");
    assert_eq!(probes(&after)[3]["folder"], "probes-2");
    assert!(folder.join("probes-2").join("requests.csv").is_file());
    let refused = search(&out, &["--resume", &name, "--seed", "3"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(words(&refused.stderr).contains("`--seed`"), "{}", words(&refused.stderr));
}

#[test]
fn a_concurrency_is_searched_too_and_an_objective_that_no_load_meets_is_told() {
    let out = tempfile::tempdir().expect("a folder");
    let mut arguments = ONE_AT_A_TIME.to_vec();
    arguments.extend(["--search", "concurrency", "--requests", "60", "--slo", "ttft.p90<1us"]);
    let slo = arguments.iter().position(|it| *it == "--slo").expect("objectives");
    arguments.drain(slo..slo + 2);
    let arrivals = arguments.iter().position(|it| *it == "--arrivals").expect("arrivals");
    arguments.drain(arrivals..arrivals + 2);
    let output = search(&out, &arguments);
    let printed = words(&output.stdout);
    assert_eq!(output.status.code(), Some(5), "{printed}{}", words(&output.stderr));
    assert!(printed.contains("no load that was tried meets"), "{printed}");
    assert_eq!(probes(&document(&directory(&out), "search")).len(), 1);
}

#[test]
fn a_flood_that_the_limit_of_open_files_cannot_carry_is_refused_before_any_probe() {
    let out = tempfile::tempdir().expect("a folder");
    let server = FaultServer::start(|request, out| match request.method.as_str() {
        "POST" => out.good(4),
        _ => out.json(404, "{}"),
    });
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 256; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_bareflight"),
            "search",
        ])
        .args(["--target", &format!("openai:{}", server.url()), "--endpoint", "completions"])
        .args(["--model", "m", "--scenario", "D(4,4)", "--slo", "ttft.p90<60s", "--flood", "300"])
        .current_dir(out.path())
        .output()
        .expect("sh runs");
    let told = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("needs 428 open files") && told.contains("ulimit -Hn 428"), "{told}");
    assert_eq!(std::fs::read_dir(out.path()).expect("the folder").count(), 0, "nothing was begun");
}
