//! `run --launch`: servers that are started, measured and stopped; after each, however it ended, no process of it is left.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::left_behind::{directory, in_one_line, read, words};
use crate::support::serve_process::PATIENCE;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bareflight");
const LOAD: [&str; 10] = [
    "--endpoint",
    "completions",
    "--scenario",
    "D(4,4)",
    "--concurrency",
    "2",
    "--requests",
    "4",
    "--warmup",
    "1",
];

fn run(out: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("run").args(arguments).args(LOAD).current_dir(out.path()).env("CI", "1");
    command
}

fn output(out: &TempDir, arguments: &[&str]) -> Output {
    run(out, arguments).output().expect("the binary runs")
}

/// A server that is this program, as a command line.
fn serving(more: &str) -> String {
    format!(
        "{PROGRAM} serve --target sim:null --host 127.0.0.1 --port {{port}} --grpc-port 0 {more}"
    )
}

/// A shell script as a command line.
fn script(text: &str) -> String {
    format!("sh -c '{text}'")
}

fn launch_file(folder: &Path) -> Value {
    serde_json::from_str(&read(folder, "launch.json")).expect("JSON")
}

/// The same as soon as it is there.
fn launch_file_of_a_running(out: &TempDir) -> (PathBuf, Value) {
    wait_for("launch.json", || {
        let folders = fs::read_dir(out.path().join("runs")).ok()?;
        folders.flatten().find_map(|folder| {
            let text = fs::read_to_string(folder.path().join("launch.json")).ok()?;
            Some((folder.path(), serde_json::from_str(&text).ok()?))
        })
    })
}

fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn pid_of(launch: &Value) -> Pid {
    let pid = launch["pid"].as_i64().expect("a process id");
    Pid::from_raw(i32::try_from(pid).expect("small")).expect("not 0")
}

fn is_there(pid: Pid) -> bool {
    // A zombie is waiting for its parent alone and runs no more.
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

/// Neither the server's process nor anything of its group.
fn is_gone(launch: &Value) -> bool {
    let pid = pid_of(launch);
    !is_there(pid) && rustix::process::test_kill_process_group(pid).is_err()
}

fn assert_gone(folder: &Path) -> Value {
    let launch = launch_file(folder);
    assert!(is_gone(&launch), "it is still there: {launch}");
    assert_eq!(launch.get("left_behind"), None, "{launch}");
    launch
}

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

/// Cells of the load and of one scenario more.
const OF_CELLS: [&str; 2] = ["isl_8_osl_2_conc_2", "isl_4_osl_4_conc_2"];

#[test]
fn one_server_answers_all_cells_of_a_launch_and_another_one_what_is_missing() {
    let out = TempDir::new().expect("a folder");
    let first = output(&out, &["--launch", &serving(""), "--scenario", "D(8,2)"]);
    assert!(matches!(first.status.code(), Some(0 | 4)), "{}", words(&first.stderr));
    let folder = directory(&out);
    let began = assert_gone(&folder);
    let pid_of_cell = |cell: &str| {
        let manifest: Value =
            serde_json::from_str(&read(&folder.join(cell), "manifest.json")).expect("JSON");
        manifest["launch"]["pid"].clone()
    };
    for cell in OF_CELLS {
        assert_eq!(pid_of_cell(cell), began["pid"], "{cell}");
    }
    assert!(folder.join("server.log").is_file());
    fs::remove_dir_all(folder.join(OF_CELLS[1])).expect("it is there");
    let again = Command::new(PROGRAM)
        .args(["run", "--resume"])
        .arg(&folder)
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    assert!(matches!(again.status.code(), Some(0 | 4)), "{}", words(&again.stderr));
    let other = assert_gone(&folder);
    assert_eq!(pid_of_cell(OF_CELLS[0]), began["pid"]);
    assert_eq!(pid_of_cell(OF_CELLS[1]), other["pid"]);
    let earlier: Value =
        serde_json::from_str(&read(&folder, "launch.attempt-1.json")).expect("JSON");
    assert_eq!(earlier["pid"], began["pid"], "the first server's file is kept");
}

#[test]
fn cells_of_several_launches_are_held_against_each_other_scenario_by_scenario() {
    let out = TempDir::new().expect("a folder");
    let slower = serving("").replace("sim:null", "sim:explicit,base_us=3000");
    let both = ["--launch", &serving(""), "--launch", &slower, "--scenario", "D(8,2)"];
    let ran = output(&out, &both);
    let (printed, message) = (words(&ran.stdout), words(&ran.stderr));
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{message}{printed}");
    let folder = directory(&out);
    for scenario in ["D(8,2)", "D(4,4)"] {
        assert!(printed.contains(&format!("\n{scenario}\n")), "{scenario} in {printed}");
        assert!(read(&folder, "benchmark_summary.txt").contains(&format!("{scenario}\n")));
    }
    for picture in ["benchmark_comparison_D_8_2.svg", "benchmark_comparison_D_4_4.svg"] {
        assert!(read(&folder, picture).starts_with("<svg"));
    }
    let refused = output(&out, &[&both[..], &["--layout", "bench_results"]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused.stderr));
    assert!(words(&refused.stderr).contains("--layout"), "{}", words(&refused.stderr));
}

#[test]
fn a_server_that_dies_leaves_later_cells_missing_and_the_run_failed() {
    let out = TempDir::new().expect("a folder");
    let mut child = run(&out, &["--launch", &serving(""), "--scenario", "D(8,2)", "--quiet"])
        .args(["--repeat", "500"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let (folder, launch) = launch_file_of_a_running(&out);
    wait_for("a measured cell", || {
        let folders = fs::read_dir(out.path().join("runs")).ok()?;
        let indexed = folders.flatten().find(|it| it.path().join("index.json").is_file())?;
        let text = fs::read_to_string(indexed.path().join("index.json")).ok()?;
        text.contains("\"complete\"").then_some(())
    });
    kill_process(pid_of(&launch), Signal::KILL).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(1), "{}", folder.display());
    assert!(read(&directory(&out), "index.json").contains("\"missing\""));
}

#[test]
fn one_server_that_does_not_start_keeps_the_other_from_nothing() {
    let out = TempDir::new().expect("a folder");
    let broken = script("exit 3; # {port}");
    let output = output(&out, &["--launch", &broken, "--launch", &serving("")]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("exit code 3"), "{message}");
    let printed = words(&output.stdout);
    assert!(printed.contains("A  bareflight, "), "the other was measured: {printed}");
}

#[test]
fn a_plan_shows_the_command_line_and_starts_nothing() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["plan", "--launch", "vllm", "--launch-model", "org/m", "--world-size", "2"])
        .args(["--env", "HF_TOKEN=hf-secret"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let printed = words(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output.stderr));
    let command = "vllm serve org/m --host 127.0.0.1 --port {port} --tensor-parallel-size 2";
    assert!(printed.contains(command), "{printed}");
    assert!(printed.contains("HF_TOKEN=(hidden)") && !printed.contains("hf-secret"), "{printed}");
    assert!(printed.contains("nothing was run"), "{printed}");
}

#[test]
fn a_flag_of_a_launch_without_one_is_refused() {
    let out = TempDir::new().expect("a folder");
    for (flag, value) in
        [("--world-size", "2"), ("--ready-log", "x"), ("--env", "A=1"), ("--launch-model", "m")]
    {
        let output = output(&out, &[flag, value, "--target", "null:"]);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag}: {message}");
        assert!(message.contains(flag) && message.contains("`--launch`"), "{message}");
    }
    assert!(!out.path().join("runs").exists(), "nothing was begun");
}

/// Where `--upload` brings copies.
fn lab(out: &TempDir) -> String {
    format!("file://{}/lab", out.path().display())
}

/// What the server wrote last, and how it ended, are in the copy too.
fn assert_uploaded_after_the_end(out: &TempDir, folder: &Path) {
    let copy = out.path().join("lab").join(folder.file_name().expect("a name"));
    for name in ["launch.json", "server.log"] {
        assert_eq!(read(&copy, name), read(folder, name), "{name}");
    }
    assert_eq!(launch_file(&copy)["stopped_by"], "SIGINT");
}

#[test]
fn a_comparison_starts_the_server_that_one_of_its_sides_asks() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["compare", "--launch", &serving(""), "--blocks", "2", "--target", "sim:null"])
        .args(["--target", "openai:http://127.0.0.1:{port}/v1", "--set", "B:endpoint=completions"])
        .args(&LOAD[2..])
        .args(["--upload", &lab(&out)])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    let folder = directory(&out);
    assert_gone(&folder);
    assert!(folder.join("comparison.json").exists());
    assert_uploaded_after_the_end(&out, &folder);
    let output = Command::new(PROGRAM)
        .args(["compare", "--launch", &serving(""), "--target", "sim:null", "--target", "null:"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("no side asks"), "{message}");
}

#[test]
fn a_search_starts_its_server_and_stops_it() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["search", "--launch", &serving(""), "--slo", "e2e.p50<5s", "--max-probes", "3"])
        .args(["--search", "concurrency", "--flood", "2", "--requests", "20", "--warmup", "1"])
        .args(["--endpoint", "completions", "--scenario", "D(4,4)"])
        .args(["--upload", &lab(&out)])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1 | 4 | 5)), "{message}");
    let folder = directory(&out);
    assert!(folder.join("search.json").exists(), "{message}");
    assert_gone(&folder);
    assert_uploaded_after_the_end(&out, &folder);
}

#[test]
fn a_ladder_serves_its_engine_itself() {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(PROGRAM)
        .args(["ladder", "--target", "sim:null", "--launch", &serving("")])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--launch") && message.contains("compare"), "{message}");
}

#[test]
fn a_server_that_nobody_would_ask_is_not_started() {
    let out = TempDir::new().expect("a folder");
    for target in ["sim:null", "openai:http://127.0.0.1:8000/v1"] {
        let output = output(&out, &["--launch", &serving(""), "--target", target]);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(target) && message.contains("{port}"), "{message}");
    }
    assert!(!out.path().join("runs").exists(), "nothing was begun");
}
