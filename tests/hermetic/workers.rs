//! `--workers`: several processes send one plan, with the files and the numbers of one; what is lost with a worker is named.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::left_behind::{DETERMINED, columns, directory, json, read, words};
use crate::support::serve_process::Serving;

fn command(out: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.arg("run").args(arguments).current_dir(out.path()).env("CI", "1");
    command
}

fn run(out: &TempDir, arguments: &[&str]) -> Output {
    command(out, arguments).output().expect("the binary runs")
}

/// A run by one process and one by three: their folders, in this order.
fn by_one_and_by_three(load: &[&str]) -> [(TempDir, std::path::PathBuf); 2] {
    let usual = ["--target", "null:", "-s", "D(8,4)", "--warmup", "6", "--window", "whole", "-q"];
    [&[][..], &["--workers", "3"]].map(|more| {
        let out = tempfile::tempdir().expect("a folder");
        let output = run(&out, &[&usual[..], load, more].concat());
        let said = words(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}{said}", words(&output.stdout));
        let folder = directory(&out);
        (out, folder)
    })
}

#[test]
fn several_workers_leave_the_files_and_numbers_of_one_process() {
    for load in
        [["--concurrency", "4,7", "--requests", "61"], ["--rate", "300", "--requests", "61"]]
    {
        let [(_one, one), (_three, three)] = by_one_and_by_three(&load);
        assert_eq!(read(&one, "plan.csv"), read(&three, "plan.csv"), "{load:?}");
        let rows = [&one, &three].map(|it| columns(&read(it, "requests.csv"), &DETERMINED));
        assert_eq!(rows[0], rows[1], "{load:?}");
        assert!(rows[0].len() % 61 == 0 && !rows[0].is_empty());
        let counts = [&one, &three].map(|folder| {
            let summary = json(folder, "summary.json");
            let points = summary["points"].as_array().expect("points").clone();
            let counts = points.iter().map(|point| {
                let mut counts = point["counts"].clone();
                // Whether tokens come at one instant is the machine's.
                for name in ["without_tpot", "oddities"] {
                    counts[name] = Value::Null;
                }
                counts
            });
            counts.collect::<Vec<_>>()
        });
        assert_eq!(counts[0], counts[1], "{load:?}");
        let hashes =
            [&one, &three].map(|it| json(it, "manifest.json")["points"][0]["plan_hash"].clone());
        assert_eq!(hashes[0], hashes[1]);
        let mut names = [&one, &three].map(|folder| {
            let entries = fs::read_dir(folder).expect("a folder");
            let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
            entries.map(|entry| name(entry.expect("an entry"))).collect::<Vec<_>>()
        });
        for names in &mut names {
            names.sort();
        }
        assert_eq!(names[0], names[1], "the same files");
    }
}

#[test]
fn arrivals_keep_the_instants_of_the_plan_whoever_sends_them() {
    let offsets = |folder: &Path| -> Vec<i64> {
        let rows = columns(&read(folder, "requests.csv"), &["intended_ns"]);
        let instants: Vec<i64> =
            rows.iter().map(|row| row[0].parse().expect("an instant")).collect();
        instants.iter().map(|at| at - instants[0]).collect()
    };
    let [(_one, one), (_three, three)] =
        by_one_and_by_three(&["--rate", "300", "--requests", "61"]);
    let (one, three) = (offsets(&one), offsets(&three));
    // Each of them is on one clock; where clocks are corrected, by less than a microsecond here.
    assert_eq!(one, three);
}

#[test]
fn workers_and_the_bound_of_their_clocks_are_in_manifest_summary_and_console() {
    let server = Serving::start(&["--target", "sim:explicit,base_us=500"]);
    let out = tempfile::tempdir().expect("a folder");
    let target = format!("openai:{}", server.openai);
    let load = ["-s", "D(8,4)", "--concurrency", "4", "--requests", "40", "--prompts", "ids"];
    let asked = ["--target", &target, "--endpoint", "completions", "--workers", "2"];
    let output = run(&out, &[&asked[..], &load].concat());
    let (printed, said) = (words(&output.stdout), words(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{printed}{said}");
    assert!(printed.contains("sent by 2 workers, whose clocks agree within"), "{printed}");
    let folder = directory(&out);
    let manifest = json(&folder, "manifest.json");
    let workers = manifest["workers"].as_array().expect("workers");
    assert_eq!(workers.len(), 2);
    for worker in workers {
        assert_eq!(worker["clock_ahead_ns"], 0, "one host has one clock: {worker}");
        assert!(worker["clock_bound_ns"].as_i64().expect("a bound") > 0, "{worker}");
        assert!(worker["lost"].is_null(), "{worker}");
    }
    let summary = json(&folder, "summary.json");
    let point = &summary["points"][0];
    assert_eq!(point["workers"]["workers"], 2);
    assert_eq!(point["counts"]["completed"], 40);
    let before = read(&folder, "summary.json");
    let mut again = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    again.arg("report").arg(&folder).stdout(Stdio::null()).stderr(Stdio::null());
    again.status().expect("the binary runs");
    assert_eq!(read(&folder, "summary.json"), before, "reported again from its records");
}

/// Waits until something is there.
fn awaited<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The second worker of a run that sends, as its manifest names it.
fn second_worker(out: &TempDir) -> i32 {
    let folder = awaited("a folder", || {
        let runs = fs::read_dir(out.path().join("runs")).ok()?;
        runs.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.is_dir())
    });
    awaited("rows", || {
        let rows = fs::read_to_string(folder.join("requests.partial.csv")).ok()?;
        (rows.lines().count() > 3).then_some(())
    });
    let manifest = json(&folder, "manifest.json");
    manifest["workers"][1]["process"].as_i64().expect("a process") as i32
}

fn ended(mut process: Child) -> i32 {
    awaited("its end", || process.try_wait().expect("it is our child")).code().expect("a code")
}

#[test]
fn a_lost_worker_is_named_and_what_it_did_not_send_is_counted() {
    let out = tempfile::tempdir().expect("a folder");
    let load = ["-s", "D(8,4)", "--rate", "100", "--requests", "400", "--warmup", "0", "-q"];
    let asked = ["--target", "null:", "--workers", "2", "--window", "whole"];
    let process = command(&out, &[&asked[..], &load].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let pid = rustix::process::Pid::from_raw(second_worker(&out)).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    assert_ne!(ended(process), 0);
    let folder = directory(&out);
    let manifest = json(&folder, "manifest.json");
    assert_eq!(manifest["state"], "failed");
    let lost = manifest["workers"][1]["lost"].as_str().expect("words");
    assert!(lost.contains("signal: 9"), "{lost}");
    assert!(manifest["workers"][0]["lost"].is_null());
    let faults = manifest["faults"].to_string();
    assert!(faults.contains("worker 2 of 2") && faults.contains("was lost"), "{faults}");
    let counts = &json(&folder, "summary.json")["points"][0]["counts"];
    let of = |name: &str| counts[name].as_u64().expect(name);
    assert!((1..=200).contains(&of("worker_lost")), "{counts}");
    assert!(of("completed") >= 200, "the other worker goes on: {counts}");
    assert_eq!(of("completed") + of("worker_lost"), 400, "{counts}");
}

/// A variable with a key, for those that are told of it.
const KEY: (&str, &str) = ("KEY_OF_WORKERS", "0123456789abcdef");

/// A leading process that waits for two workers, and the address that it names.
fn waiting_leader(out: &TempDir, load: &[&str]) -> (Child, String) {
    let asked = ["--target", "null:", "--workers", "2", "--workers-listen", "127.0.0.1:0"];
    let mut leader = command(out, &[&asked[..], load].concat())
        .env(KEY.0, KEY.1)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut said = BufReader::new(leader.stderr.take().expect("a pipe")).lines();
    let address = said
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, rest) = line.split_once("waiting for 2 workers at ")?;
            Some(rest.split_once(": ")?.0.to_owned())
        })
        .expect("it says where it waits");
    // A pipe that nobody reads fills up, or breaks.
    std::thread::spawn(move || said.for_each(drop));
    (leader, address)
}

fn worker_of(out: &TempDir, leader: &str, load: &[&str]) -> Child {
    command(out, &[&["--target", "null:", "--worker-of", leader], load].concat())
        .env(KEY.0, KEY.1)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

#[test]
fn workers_that_call_over_tcp_leave_the_files_and_numbers_of_one_process() {
    let load = ["-s", "D(8,4)", "--concurrency", "5", "--requests", "61", "--window", "whole"];
    let [one, three] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let (leader, address) = waiting_leader(&three, &load);
    // Each is started in a folder of its own, and leaves nothing there.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let workers = [(); 2].map(|()| worker_of(&elsewhere, &address, &load));
    assert!(matches!(ended(leader), 0 | 4));
    for worker in workers {
        assert_eq!(ended(worker), 0);
    }
    assert_eq!(fs::read_dir(elsewhere.path()).expect("a folder").count(), 0);
    let output = run(&one, &[&["--target", "null:", "-q"], &load[..]].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let (one, three) = (directory(&one), directory(&three));
    let rows = [&one, &three].map(|it| columns(&read(it, "requests.csv"), &DETERMINED));
    assert_eq!(rows[0], rows[1]);
    assert_eq!(read(&one, "plan.csv"), read(&three, "plan.csv"));
    let manifest = json(&three, "manifest.json");
    assert_eq!(manifest["workers"].as_array().expect("workers").len(), 2);
    assert!(manifest["null_rate"]["requests_per_s"].as_f64().expect("calibrated") > 0.0);
}

#[test]
fn a_key_lets_in_whoever_knows_it_and_nobody_else() {
    let load = ["-s", "D(8,4)", "--concurrency", "4", "--requests", "20", "--window", "whole"];
    let keyed = [&load[..], &["--workers-key-env", KEY.0]].concat();
    let out = tempfile::tempdir().expect("a folder");
    let (leader, address) = waiting_leader(&out, &keyed);
    let stranger = worker_of(&out, &address, &load).wait_with_output().expect("it ends");
    let said = words(&stranger.stderr);
    assert_eq!(stranger.status.code(), Some(3), "{said}");
    assert!(said.contains("--workers-key-env") && !said.contains(KEY.1), "{said}");
    let workers = [(); 2].map(|()| worker_of(&out, &address, &keyed));
    assert!(matches!(ended(leader), 0 | 4));
    for worker in workers {
        assert_eq!(ended(worker), 0);
    }
    for (more, named) in [
        (&["--workers-key-env", "NO_SUCH_KEY", "--worker-of", "h:1"][..], "`NO_SUCH_KEY`"),
        (&["--workers-key-env", "NO_SUCH_KEY"], "--workers-listen"),
    ] {
        let refused = run(&out, &[&load[..], more].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", words(&refused.stderr));
        assert!(words(&refused.stderr).contains(named), "{}", words(&refused.stderr));
    }
}

#[test]
fn a_worker_on_another_host_that_is_lost_is_named() {
    let out = tempfile::tempdir().expect("a folder");
    let load = [
        "-s",
        "D(8,4)",
        "--rate",
        "100",
        "--requests",
        "400",
        "--warmup",
        "0",
        "--window",
        "whole",
    ];
    let (leader, address) = waiting_leader(&out, &load);
    let mut workers = [(); 2].map(|()| worker_of(&out, &address, &load));
    let second = second_worker(&out);
    for worker in &mut workers {
        if worker.id() as i32 == second {
            worker.kill().expect("it runs");
        }
    }
    assert_ne!(ended(leader), 0);
    workers.into_iter().for_each(ended_somehow);
    let folder = directory(&out);
    let lost = json(&folder, "manifest.json")["workers"][1]["lost"].clone();
    assert!(lost.as_str().is_some_and(|words| words.contains("link")), "{lost}");
    let counts = &json(&folder, "summary.json")["points"][0]["counts"];
    let of = |name: &str| counts[name].as_u64().expect(name);
    assert_eq!(of("completed") + of("worker_lost"), 400, "{counts}");
    assert!(of("worker_lost") > 0, "{counts}");
}

fn ended_somehow(mut process: Child) {
    awaited("its end", || process.try_wait().expect("it is our child"));
}

#[test]
fn a_worker_with_other_settings_is_refused() {
    let load = ["-s", "D(8,4)", "--concurrency", "4", "--requests", "20"];
    let other = ["-s", "D(9,4)", "--concurrency", "4", "--requests", "20"];
    let out = tempfile::tempdir().expect("a folder");
    let (leader, address) = waiting_leader(&out, &load);
    let workers = [worker_of(&out, &address, &load), worker_of(&out, &address, &other)];
    assert_eq!(ended(leader), 3);
    workers.into_iter().for_each(ended_somehow);
    let faults = json(&directory(&out), "manifest.json")["faults"].to_string();
    assert!(faults.contains("draws another plan than this process"), "{faults}");
}

#[test]
fn the_number_of_workers_is_a_setting_that_files_keep() {
    let out = tempfile::tempdir().expect("a folder");
    let text =
        "target = 'null:'\nworkers = 2\nconcurrency = [4]\nrequests = 20\nscenario = ['D(8,4)']\n";
    fs::write(out.path().join("run.toml"), text).expect("a file");
    let output = run(&out, &["--config", "run.toml", "-q"]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let folder = directory(&out);
    assert_eq!(json(&folder, "manifest.json")["workers"].as_array().expect("workers").len(), 2);
    let resolved = read(&folder, "resolved.toml");
    assert!(resolved.lines().any(|line| line == "workers = 2"), "{resolved}");
}

#[test]
fn what_cannot_be_divided_is_refused_before_anything_is_sent() {
    let out = tempfile::tempdir().expect("a folder");
    for (arguments, named) in [
        (&["--target", "sim:h200-llama3-8b-fp8"][..], "is an engine in one"),
        (&["--target", "null:", "--concurrency", "2"], "fewer `--workers`"),
        (&["--target", "null:", "-s", "D(8,4)", "-s", "D(4,4)"], "several scenarios"),
    ] {
        let output = run(&out, &[arguments, &["--workers", "3"]].concat());
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
    for (arguments, named) in [
        (&["--workers-listen", "127.0.0.1:0"][..], "`--workers N`"),
        (
            &["--workers", "2", "--concurrency", "2", "--workers-listen", "nowhere"],
            "`--workers-listen nowhere`",
        ),
        (&["--workers", "0"], "`--workers`"),
    ] {
        let output = run(&out, &[&["--target", "null:"], arguments].concat());
        let said = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(named), "{said}");
    }
    assert!(!out.path().join("runs").exists());
}
