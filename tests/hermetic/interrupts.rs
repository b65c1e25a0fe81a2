//! Interrupts of a run whose server answers nothing: what is said at the first, and what is left after the second.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::fault_server::FaultServer;
use crate::support::left_behind::{directory, read};
use crate::support::serve_process::PATIENCE;
use crate::support::served_run::{done, tokens};

/// A server that answers the probe and then nothing: each request that waits is told of.
fn stalling() -> (FaultServer, Receiver<()>) {
    let (waiting, told) = channel();
    let server = FaultServer::start(move |request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        let is_probe = request.json()["max_tokens"].as_u64() < Some(8);
        out.stream_head();
        if is_probe {
            out.raw(format!("{}{}", tokens(4).concat(), done(4)));
            return crate::support::fault_server::Next::KeepAlive;
        }
        let _test_is_over = waiting.send(());
        thread::park();
        crate::support::fault_server::Next::Close
    });
    (server, told)
}

/// Hears hang-ups, even where the tests themselves run under `nohup`.
fn start(out: &TempDir, arguments: &[&str]) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = Command::new("env")
        .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_bareflight")])
        .args(arguments)
        .args(["--endpoint", "completions", "--model", "m", "--scenario", "D(4,8)"])
        .args(["--concurrency", "1", "--requests", "4", "--warmup", "0", "--drain", "1h"])
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    (child, errors.lines().map_while(Result::ok))
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("it runs");
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_leaves_the_manifest_interrupted() {
    let (server, waiting) = stalling();
    let out = TempDir::new().expect("a folder");
    let target = format!("openai:{}", server.url());
    let (mut child, mut errors) = start(&out, &["run", "--target", &target]);
    waiting.recv_timeout(PATIENCE).expect("a request waits");
    interrupt(&child);
    let said = errors.find(|line| line.contains("interrupted")).expect("it says what it does");
    assert!(said.contains("`--drain`") && said.contains("1h"), "{said}");
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let folder = directory(&out);
    let manifest: Value = serde_json::from_str(&read(&folder, "manifest.json")).expect("JSON");
    assert_eq!(manifest["state"], "interrupted");
    assert!(manifest["ended"].is_string(), "{manifest}");
    assert_eq!(manifest["unfinished"].as_array().map(Vec::len), Some(1), "its records are named");
}

#[test]
fn a_run_in_the_background_of_a_script_hears_sigint_all_the_same() {
    let (server, waiting) = stalling();
    let out = TempDir::new().expect("a folder");
    let program = env!("CARGO_BIN_EXE_bareflight");
    let run = format!(
        "{program} run --target openai:{} --endpoint completions --model m --scenario 'D(4,8)' --concurrency 1 \
         --requests 4 --warmup 0 --drain 0s",
        server.url()
    );
    // A shell without a terminal starts it with SIGINT ignored.
    let mut shell = Command::new("sh")
        .args(["-c", &format!("{run} & echo $!; wait $!; exit $?")])
        .current_dir(out.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let mut said = BufReader::new(shell.stdout.take().expect("piped")).lines();
    let pid = said.next().expect("a line").expect("text").parse().expect("a process id");
    waiting.recv_timeout(PATIENCE).expect("a request waits");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    kill_process(Pid::from_raw(pid).expect("not 0"), Signal::INT).expect("it runs");
    assert_eq!(shell.wait().expect("it ends").code(), Some(130), "{status}");
    let manifest: Value =
        serde_json::from_str(&read(&directory(&out), "manifest.json")).expect("JSON");
    assert_eq!(manifest["state"], "interrupted");
}

#[test]
fn a_terminal_that_closes_ends_a_run_as_ctrl_c_does_however_often_it_is_told() {
    let (server, waiting) = stalling();
    let out = TempDir::new().expect("a folder");
    let target = format!("openai:{}", server.url());
    let (mut child, mut errors) = start(&out, &["run", "--target", &target]);
    waiting.recv_timeout(PATIENCE).expect("a request waits");
    let hang_up = || kill_process(Pid::from_child(&child), Signal::HUP).expect("it runs");
    hang_up();
    errors.find(|line| line.contains("interrupted")).expect("it says what it does");
    // Kernel and shell both tell of it, and that is no second wish: only Ctrl-C is.
    hang_up();
    assert!(child.try_wait().expect("our child").is_none(), "it waits for its answers");
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let manifest: Value =
        serde_json::from_str(&read(&directory(&out), "manifest.json")).expect("JSON");
    assert_eq!(manifest["state"], "interrupted");
}

#[test]
fn a_run_whose_terminal_has_gone_is_interrupted_although_nobody_can_read_its_results() {
    let out = TempDir::new().expect("a folder");
    let program = env!("CARGO_BIN_EXE_bareflight");
    let run = format!("{program} run --target null: --rate 5 --duration 1h --warmup 0 --drain 0s");
    // The shell outlives its terminal and tells the run, as one that a person sits at does.
    let line = format!(
        "env --default-signal=HUP {run} & child=$!; trap 'kill -HUP $child' HUP; \
         wait $child; wait $child; echo $? > code"
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--command", &line, "/dev/null"])
        .current_dir(out.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("`script` of util-linux is there");
    let screen = BufReader::new(terminal.stdout.take().expect("piped"));
    let begun = screen.lines().map_while(Result::ok).find(|line| line.contains("writing to"));
    begun.expect("it begins");
    terminal.kill().expect("it runs");
    terminal.wait().expect("it ends");
    let code = out.path().join("code");
    let given_up = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&code).is_ok_and(|it| it.ends_with('\n')) {
        assert!(Instant::now() < given_up, "the run never ended");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(read(out.path(), "code").trim(), "130");
    let manifest: Value =
        serde_json::from_str(&read(&directory(&out), "manifest.json")).expect("JSON");
    assert_eq!(manifest["state"], "interrupted");
}

#[test]
fn a_run_under_nohup_does_not_hear_that_the_terminal_has_closed() {
    let out = TempDir::new().expect("a folder");
    let (asked, told) = channel();
    let server = FaultServer::start(move |request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        let _test_is_over = asked.send(());
        let is_probe = request.json()["max_tokens"].as_u64() < Some(8);
        out.stream_head();
        out.raw(if is_probe { tokens(4).concat() } else { tokens(8).concat() });
        out.raw(done(if is_probe { 4 } else { 8 }));
        crate::support::fault_server::Next::KeepAlive
    });
    let target = format!("openai:{}", server.url());
    let script = "trap '' HUP; exec \"$0\" \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_bareflight"), "run", "--target", &target])
        .args(["--endpoint", "completions", "--model", "m", "--scenario", "D(4,8)"])
        .args(["--concurrency", "1", "--requests", "200", "--warmup", "0", "-q"])
        .current_dir(out.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    for _ in 0..5 {
        told.recv_timeout(PATIENCE).expect("requests come");
    }
    kill_process(Pid::from_child(&child), Signal::HUP).expect("it runs");
    assert!(matches!(child.wait().expect("it ends").code(), Some(0 | 4)));
    let manifest: Value =
        serde_json::from_str(&read(&directory(&out), "manifest.json")).expect("JSON");
    assert_eq!(manifest["state"], "complete");
}

#[test]
fn a_second_ctrl_c_leaves_every_manifest_of_a_comparison_interrupted() {
    let ((a, a_waits), (b, _)) = (stalling(), stalling());
    let out = TempDir::new().expect("a folder");
    let targets = [a, b].map(|server| format!("openai:{}", server.url()));
    let (mut child, mut errors) =
        start(&out, &["compare", "--target", &targets[0], "--target", &targets[1]]);
    a_waits.recv_timeout(PATIENCE).expect("a request waits");
    interrupt(&child);
    errors.find(|line| line.contains("interrupted")).expect("it says what it does");
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let folder = directory(&out);
    let sides = std::fs::read_dir(&folder).expect("a folder").flatten().map(|it| it.path());
    let folders: Vec<_> = sides.filter(|it| it.is_dir()).chain([folder.clone()]).collect();
    assert_eq!(folders.len(), 3, "two sides and the whole");
    for folder in folders {
        let manifest: Value = serde_json::from_str(&read(&folder, "manifest.json")).expect("JSON");
        assert_eq!(manifest["state"], "interrupted", "{}", folder.display());
    }
}
