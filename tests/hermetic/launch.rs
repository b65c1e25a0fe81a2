//! `run --launch`: servers that are started, measured and stopped; after each, however it ended, no process of it is left.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::launches::{
    LOAD, PROGRAM, assert_gone, is_gone, is_there, launch_file_of_a_running, output, pid_of, run,
    script, serving, wait_for,
};
use crate::support::left_behind::{directory, in_one_line, read, words};

#[test]
fn a_server_is_started_measured_and_stopped_and_the_run_says_how() {
    let out = TempDir::new().expect("a folder");
    let command = serving("");
    let env = "MY_API_KEY=sk-secret,PLAIN=1";
    let output = output(&out, &["--launch", &command, "--env", env, "--plots", "svg"]);
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}{}", words(&output.stdout));
    assert!(message.contains("is ready after"), "{message}");
    let folder = directory(&out);
    let launch = assert_gone(&folder);
    assert_eq!(launch["stopped_by"], "SIGINT", "{launch}");
    assert_eq!(launch["env"]["PLAIN"], "1");
    assert_eq!(launch["env"]["MY_API_KEY"], "(hidden)");
    assert!(launch["version"].as_str().expect("it tells it").contains("bareflight"), "{launch}");
    assert!(folder.join("server.log").exists());
    for name in ["launch.json", "manifest.json", "resolved.toml", "report.html", "server.log"] {
        assert!(!read(&folder, name).contains("sk-secret"), "{name} holds a secret");
    }
    let manifest: Value = serde_json::from_str(&read(&folder, "manifest.json")).expect("JSON");
    assert_eq!(manifest["launch"]["pid"], launch["pid"]);
    let resolved = read(&folder, "resolved.toml");
    assert!(resolved.contains("[launch]") && resolved.contains("{port}"), "{resolved}");
    assert!(!resolved.contains("target ="), "the port is another one each time: {resolved}");
}

#[test]
fn the_settings_of_a_launched_run_run_again() {
    let out = TempDir::new().expect("a folder");
    let first = output(&out, &["--launch", "bareflight", "--launch-model", "sim:null"]);
    assert!(matches!(first.status.code(), Some(0 | 4)), "{}", words(&first.stderr));
    let settings = directory(&out).join("resolved.toml");
    let again = TempDir::new().expect("a folder");
    let second = Command::new(PROGRAM)
        .args(["run", "--config"])
        .arg(settings)
        .args(["--out", "runs"])
        .current_dir(again.path())
        .output()
        .expect("the binary runs");
    assert!(matches!(second.status.code(), Some(0 | 4)), "{}", words(&second.stderr));
    assert_gone(&directory(&again));
}

#[test]
fn a_server_that_dies_while_loading_ends_the_run_with_the_end_of_its_log() {
    let out = TempDir::new().expect("a folder");
    let command = script("echo loading weights; echo out of memory >&2; exit 7; # {port}");
    let output = output(&out, &["--launch", &command]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    for part in ["exit code 7", "| loading weights", "| out of memory", "server.log"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let launch = assert_gone(&directory(&out));
    assert_eq!(launch["ended"], "exit code 7");
    assert_eq!(launch["ready_after_s"], Value::Null);
}

#[test]
fn a_server_that_is_never_ready_is_stopped_and_the_limit_is_named() {
    let out = TempDir::new().expect("a folder");
    let command = script("echo loading; sleep 600; # {port}");
    let output =
        output(&out, &["--launch", &command, "--ready-timeout", "1s", "--stop-timeout", "5s"]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    for part in ["--ready-timeout", "within 1s", "is open", "| loading", "--ready-path"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_gone(&directory(&out));
}

#[test]
fn a_program_that_is_not_there_is_named_before_anything_is_started() {
    let out = TempDir::new().expect("a folder");
    let output = output(&out, &["--launch", "no-such-server --port {port}"]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("`no-such-server`") && message.contains("PATH"), "{message}");
}

#[test]
fn a_file_that_cannot_be_run_and_a_port_that_is_taken_are_named_before_anything_is_started() {
    let out = TempDir::new().expect("a folder");
    fs::write(out.path().join("server"), "no program").expect("written");
    let refused = output(&out, &["--launch", "./server --port {port}"]);
    let message = words(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{message}");
    assert!(message.contains("`./server` is there") && message.contains("chmod"), "{message}");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("bound").port().to_string();
    let fixed = serving("").replace("{port}", &port);
    let target = format!("openai:http://127.0.0.1:{port}/v1");
    let refused = output(&out, &["--launch", &fixed, "--target", &target]);
    let message = words(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{message}");
    assert!(message.contains(&port) && message.contains("write `{port}`"), "{message}");
    assert!(!message.contains("is ready"), "{message}");
}

#[test]
fn a_server_that_dies_in_the_middle_fails_the_run_and_its_end_is_named() {
    let out = TempDir::new().expect("a folder");
    let mut child = Command::new(PROGRAM)
        .args([
            "run",
            "--launch",
            &serving(""),
            "--endpoint",
            "completions",
            "--scenario",
            "D(4,4)",
        ])
        .args(["--concurrency", "2", "--duration", "10m", "--warmup", "1"])
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    let mut errors = errors.lines().map_while(Result::ok);
    errors.find(|line| line.contains("writing to")).expect("the run begins");
    let (folder, launch) = launch_file_of_a_running(&out);
    wait_for("a request", || {
        fs::metadata(folder.join("requests.partial.csv")).ok().filter(|it| it.len() > 1_000)
    });
    kill_process(pid_of(&launch), Signal::KILL).expect("it runs");
    let message: String = errors.map(|line| line + "\n").collect();
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{message}");
    assert!(message.contains("ended during the run with signal SIGKILL"), "{message}");
    assert_gone(&folder);
    let manifest: Value = serde_json::from_str(&read(&folder, "manifest.json")).expect("JSON");
    assert_eq!(manifest["state"], "failed", "{manifest}");
    assert!(manifest["faults"].to_string().contains("SIGKILL"), "{manifest}");
}

#[test]
fn a_server_that_ignores_sigint_and_sigterm_is_killed_with_its_children() {
    let out = TempDir::new().expect("a folder");
    let text = format!("trap \"\" INT TERM; {} & while :; do sleep 1; done", serving(""));
    let output = output(&out, &["--launch", &script(&text), "--stop-timeout", "500ms"]);
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    let launch = assert_gone(&directory(&out));
    assert_eq!(launch["stopped_by"], "SIGKILL", "{launch}");
    assert!(message.contains("was killed"), "{message}");
}

/// A server in a session of its own, whose launcher has ended.
fn daemon(pid_file: &Path) -> String {
    let pid_file = pid_file.display();
    script(&format!("setsid sh -c \"echo \\$\\$ > {pid_file}; exec {}\" & exit 0", serving("")))
}

fn pid_in(file: &Path) -> Pid {
    let text = wait_for("a process id", || {
        fs::read_to_string(file).ok().filter(|text| text.ends_with('\n'))
    });
    Pid::from_raw(text.trim().parse().expect("a number")).expect("not 0")
}

#[test]
fn a_server_that_forks_into_a_session_of_its_own_is_measured_and_ended_too() {
    let out = TempDir::new().expect("a folder");
    let pid_file = out.path().join("pid");
    let output = output(&out, &["--launch", &daemon(&pid_file)]);
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    let launch = assert_gone(&directory(&out));
    assert_eq!(launch["ended"], "exit code 0", "its launcher: {launch}");
    assert!(!is_there(pid_in(&pid_file)), "{launch}");
}

#[test]
fn what_a_server_leaves_behind_in_another_session_is_asked_as_soon_as_the_server_has_ended() {
    let out = TempDir::new().expect("a folder");
    let leaving = script(&format!("setsid -f sleep 600; exec {}", serving("")));
    let output = output(&out, &["--launch", &leaving]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let launch = assert_gone(&directory(&out));
    // SIGTERM would come after all of `--stop-timeout`.
    assert_eq!(launch["stopped_by"], "SIGINT", "{launch}");
}

/// A run that goes on until it is ended, with a server that has forked away, once both are at work.
fn endless(out: &TempDir) -> (Child, Pid, Value) {
    let pid_file = out.path().join("pid");
    let child = Command::new(PROGRAM)
        .args(["run", "--launch", &daemon(&pid_file), "--endpoint", "completions"])
        .args(["--scenario", "D(4,4)", "--concurrency", "2", "--duration", "10m", "--warmup", "1"])
        .args(["--quiet", "--stop-timeout", "5s"])
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let server = pid_in(&pid_file);
    let launch = wait_for("a run", || {
        let (folder, launch) = launch_file_of_a_running(out);
        let records = fs::metadata(folder.join("requests.partial.csv")).ok()?;
        (records.len() > 1_000).then_some(launch)
    });
    (child, server, launch)
}

#[test]
fn ctrl_c_ends_the_run_and_then_the_server() {
    let out = TempDir::new().expect("a folder");
    let (mut child, server, _) = endless(&out);
    kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(!is_there(server));
    assert_gone(&directory(&out));
}

#[test]
fn a_run_that_is_killed_leaves_no_server_behind() {
    let out = TempDir::new().expect("a folder");
    let (mut child, server, launch) = endless(&out);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    wait_for("the end of the server", || (!is_there(server) && is_gone(&launch)).then_some(()));
}

#[test]
fn a_killed_guard_takes_the_server_with_it() {
    let out = TempDir::new().expect("a folder");
    let mut child = run(&out, &["--launch", &serving(""), "--duration", "10m"])
        .args(["--quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let (_, launch) = launch_file_of_a_running(&out);
    let guard = wait_for("the guard", || parent_of(pid_of(&launch)));
    kill_process(guard, Signal::KILL).expect("it runs");
    wait_for("the end of the server", || is_gone(&launch).then_some(()));
    child.wait().expect("it ends");
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    Pid::from_raw(parent)
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_the_server_all_the_same() {
    let out = TempDir::new().expect("a folder");
    let command = script("echo loading; sleep 600; # {port}");
    let mut child = run(&out, &["--launch", &command, "--stop-timeout", "1s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let (_, launch) = launch_file_of_a_running(&out);
    for _ in 0..2 {
        kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    wait_for("the end of the server", || is_gone(&launch).then_some(()));
}

#[test]
fn two_servers_are_measured_in_turn_and_held_against_each_other() {
    let out = TempDir::new().expect("a folder");
    let slower = serving("").replace("sim:null", "sim:explicit,base_us=3000");
    let output = output(
        &out,
        &["--launch", "bareflight", "--launch-model", "sim:null", "--launch", &slower],
    );
    // A model belongs to a preset.
    assert_eq!(output.status.code(), Some(2), "{}", words(&output.stderr));
    let output = run(&out, &["--launch", &serving(""), "--launch", &slower])
        .args(["--layout", "bench_results"])
        .output()
        .expect("the binary runs");
    let (printed, message) = (words(&output.stdout), words(&output.stderr));
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}{printed}");
    let folder = directory(&out);
    let mut sides: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    sides.sort();
    assert_eq!(sides.len(), 2, "{sides:?}");
    for side in &sides {
        assert_gone(side);
    }
    for text in ["concurrency 2", "TTFT mean, ms", "A  bareflight, D(4,4)", "B  bareflight, D(4,4)"]
    {
        assert!(printed.contains(text), "{text} in {printed}");
    }
    assert!(read(&folder, "benchmark_comparison.svg").starts_with("<svg"));
    assert!(read(&folder, "benchmark_comparison.html").contains("TTFT, mean"));
    let results = folder.join("bench_results");
    assert!(read(&results, "benchmark_summary.txt").contains("BENCHMARK SUMMARY"));
    for own in ["bareflight", "bareflight_2"] {
        let text = read(&results.join(own), "concurrency_2.json");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["max_concurrency"], 2, "{own}");
        assert_eq!(json["completed"], 4, "{own}");
        let model = json["model_id"].as_str().expect("a name");
        assert!(!model.is_empty() && !model.contains("http"), "{model}");
    }
    // Read in again, another server of the same model is another side.
    let (of_one, third) = (results.join("bareflight_2"), results.join("third"));
    fs::create_dir(&third).expect("made");
    fs::copy(of_one.join("concurrency_2.json"), third.join("concurrency_2.json")).expect("copied");
    let imported = Command::new(PROGRAM).arg("import").arg(&results).output().expect("it runs");
    let said = in_one_line(&words(&imported.stdout));
    for side in [&of_one, &third] {
        let named = format!("in {}", side.display());
        assert!(said.contains(&named), "{named}: {said}{}", words(&imported.stderr));
    }
    assert!(!said.contains("8 of 8"), "{said}");
}

/// Signals that a process ignores and blocks, as its own `/proc/self/status` says.
fn signals_in(log: &str) -> [u64; 2] {
    ["SigIgn:", "SigBlk:"].map(|name| {
        let mask = log.lines().find_map(|line| line.strip_prefix(name)).expect("it told them");
        let mask = u64::from_str_radix(mask.trim(), 16).expect("a mask");
        // What is above belongs to the C library.
        mask & ((1 << 31) - 1)
    })
}

#[test]
fn a_server_begins_with_the_signals_of_a_program_at_a_terminal() {
    let out = TempDir::new().expect("a folder");
    let command = script(&format!("grep Sig /proc/self/status; exec {}", serving("")));
    // As a script starts what it puts into the background, and as one does that blocks signals.
    let output = Command::new("env")
        .args([
            "--ignore-signal=INT,QUIT,TERM,CHLD,HUP",
            "--block-signal=TERM,USR1",
            PROGRAM,
            "run",
        ])
        .args(["--launch", &command])
        .args(LOAD)
        .current_dir(out.path())
        .output()
        .expect("`env` of coreutils is there");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    let folder = directory(&out);
    assert_eq!(signals_in(&read(&folder, "server.log")), [0, 0]);
    let launch = assert_gone(&folder);
    assert_eq!(
        (&launch["stopped_by"], &launch["ended"]),
        (&"SIGINT".into(), &"exit code 0".into())
    );
}
