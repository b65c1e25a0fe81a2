//! The full view on a terminal that `script` makes: what it takes is given back, and everything that was printed follows.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";

/// A run on a terminal of its own.
fn on_a_terminal(out: &TempDir, arguments: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_bareflight");
    on_a_terminal_of(out, &format!("exec {program} run {arguments} --ui full"))
}

/// A shell on a terminal of its own.
fn on_a_terminal_of(out: &TempDir, line: &str) -> Child {
    let line = format!("stty cols 80 rows 24; {line}");
    Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"])
        .env_remove("CI")
        .env("TERM", "xterm")
        .current_dir(out.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("`script` of util-linux is there")
}

/// Reads until these words have come.
fn read_until(child: &mut Child, words: &str) -> String {
    let screen = child.stdout.as_mut().expect("piped");
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains(words) {
        let count = screen.read(&mut piece).expect("a terminal");
        assert!(count > 0, "`{words}` never came: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    text
}

fn rest(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned())
}

#[test]
fn the_terminal_is_given_back_and_tables_and_notices_follow() {
    let out = TempDir::new().expect("a folder");
    let quick = "--target null: --concurrency 1,2 --requests 50 --warmup 2";
    let (code, seen) = rest(on_a_terminal(&out, quick));
    // A short run on a busy machine may be measured as late; that it ended is what counts here.
    assert!(matches!(code, Some(0 | 4)), "{code:?}: {seen}");
    let (before, seen) = seen.split_once(TAKEN).expect("taken");
    assert!(before.contains("writing to"), "{before}");
    let (view, after) = seen.split_once(GIVEN_BACK).expect("given back");
    assert!(view.contains("in flight") && view.contains("lateness"), "{view}");
    assert!(after.contains("concurrency 1") && after.contains("concurrency 2"), "{after}");
    assert!(!after.contains(TAKEN), "{after}");
}

/// A run that would take an hour.
const LONG: &str = "--target null: --rate 5 --duration 1h --warmup 0";

fn type_q(keys: &mut ChildStdin) {
    keys.write_all(b"q").expect("it runs");
    keys.flush().expect("it runs");
}

#[test]
fn q_stops_as_ctrl_c_does() {
    let out = TempDir::new().expect("a folder");
    let mut child = on_a_terminal(&out, LONG);
    let mut keys = child.stdin.take().expect("piped");
    read_until(&mut child, "poisson 5/s");
    type_q(&mut keys);
    let (code, seen) = rest(child);
    assert_eq!(code, Some(130), "{seen}");
    let (_, after) = seen.split_once(GIVEN_BACK).expect("given back");
    assert!(after.contains("interrupted: no more requests are sent"), "{after}");
}

#[test]
fn ctrl_c_is_a_signal_of_the_terminal_as_everywhere_else() {
    let out = TempDir::new().expect("a folder");
    let mut child = on_a_terminal(&out, LONG);
    let mut keys = child.stdin.take().expect("piped");
    read_until(&mut child, "poisson 5/s");
    keys.write_all(b"\x03").expect("it runs");
    keys.flush().expect("it runs");
    let (code, seen) = rest(child);
    assert_eq!(code, Some(130), "{seen}");
    assert!(seen.contains(GIVEN_BACK), "{seen}");
}

/// What the terminal of a killed run shows from the kill on, and its modes once they are those of before, or 20 s have passed.
fn after_a_kill_by(signal: Signal) -> String {
    let out = TempDir::new().expect("a folder");
    let program = env!("CARGO_BIN_EXE_bareflight");
    let run = format!("sh -c 'echo $$ >pid; exec {program} run {LONG} --ui full'");
    let modes = "n=0; while [ $n -lt 400 ] && stty -a | grep -q -e -icanon; do sleep 0.05; n=$((n+1)); done; stty -a";
    let mut child = on_a_terminal_of(&out, &format!("ulimit -c 0; {run}; {modes}"));
    read_until(&mut child, "poisson 5/s");
    let pid = std::fs::read_to_string(out.path().join("pid")).expect("a process id");
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("not 0");
    kill_process(pid, signal).expect("it runs");
    rest(child).1
}

#[test]
fn a_run_that_is_killed_or_crashes_leaves_the_terminal_as_it_was() {
    for signal in [Signal::KILL, Signal::ABORT] {
        let seen = after_a_kill_by(signal);
        let (_, after) =
            seen.split_once(GIVEN_BACK).unwrap_or_else(|| panic!("{signal:?}: {seen}"));
        for mode in ["icanon", "echo", "susp = ^Z", "quit = ^\\"] {
            let is_on = |word: &str| word == mode;
            let found =
                after.contains(mode) && (mode.contains(' ') || after.split_whitespace().any(is_on));
            assert!(found, "{signal:?}: {mode}: {after}");
        }
        assert!(seen.contains("\x1b[?25h"), "the cursor: {seen}");
    }
}

#[test]
fn where_there_is_no_terminal_lines_follow_and_it_is_said_once() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", "null:", "--concurrency", "1,2", "--requests", "50"])
        .args(["--warmup", "2", "--ui", "full"])
        .current_dir(out.path())
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.matches("`--ui full` needs a terminal").count(), 1, "{errors}");
    let ended = |line: &str| line.starts_with("concurrency 2: ") && line.contains("50/50 requests");
    assert!(errors.lines().any(ended), "{errors}");
    assert!(!errors.contains('\x1b'), "{errors}");
}

#[test]
fn silence_and_a_view_are_refused_together() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", "null:", "--quiet", "--ui", "plain"])
        .current_dir(out.path())
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("`--quiet` does not go with `--ui`"), "{errors}");
}
