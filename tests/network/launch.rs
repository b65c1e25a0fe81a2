//! `run --launch` with real servers: llama.cpp, and Triton in a session of its own; their own metrics; nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::python::environment;
use crate::triton::{SCRIPT as TRITON, python_with_triton};

tests! {
    llama_cpp_is_started_measured_and_stopped_and_tells_what_it_runs,
    triton_is_started_measured_and_stopped_with_its_stubs_and_tells_its_queue,
}

/// The script of a server, which runs until its input is closed.
fn script(python: &Path, path: &str, arguments: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    format!("sh -c 'sleep 100000 | {} {} {arguments}'", python.display(), script.display())
}

/// The folder of a run that has launched a server, which is gone.
fn measured(launch: &str, more: &[&str]) -> (TempDir, PathBuf) {
    let out = TempDir::new().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--launch", launch, "--ready-log", "READY ", "--concurrency", "2"])
        .args(["--warmup", "2", "--duration", "2s"])
        .args(more)
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 4)), "{message}");
    let runs = fs::read_dir(out.path().join("runs")).expect("runs").flatten();
    let folders: Vec<PathBuf> = runs.map(|entry| entry.path()).collect();
    let [folder] = folders.as_slice() else { panic!("{folders:?}") };
    let launch = json(&folder.join("launch.json"));
    let pid = i32::try_from(launch["pid"].as_i64().expect("a process id")).expect("small");
    let group = rustix::process::Pid::from_raw(pid).expect("not 0");
    assert!(rustix::process::test_kill_process_group(group).is_err(), "{launch}");
    assert_eq!(launch.get("left_behind"), None, "{launch}");
    (out, folder.clone())
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn answers(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("server_metrics.jsonl")).expect("metrics");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn llama_cpp_is_started_measured_and_stopped_and_tells_what_it_runs() {
    let script =
        script(&environment("llamacpp"), "tests/network/llamacpp_python/serve.py", "--port {port}");
    let (_out, folder) = measured(
        &script,
        &["--endpoint", "completions", "--model", "tiny", "--scenario", "D(8,16)"],
    );
    let answers = answers(&folder);
    assert!(answers.iter().all(|it| it["server"] == "llama.cpp"), "{answers:?}");
    assert!(answers.iter().any(|it| it["running"].is_number()), "{answers:?}");
}

fn triton_is_started_measured_and_stopped_with_its_stubs_and_tells_its_queue() {
    let arguments = "--ttft-ms 20 --itl-ms 5 --ports {port} {http_port} {metrics_port}";
    let script = script(&python_with_triton(), TRITON, arguments);
    let target = "triton:127.0.0.1:{port}/tensorrt_llm";
    let (_out, folder) = measured(&script, &["--target", target, "--scenario", "D(8,16)"]);
    let answers = answers(&folder);
    assert!(answers.iter().all(|it| it["server"] == "Triton"), "{answers:?}");
    let queued = |it: &Value| it["queued"].as_f64();
    let (first, last) = (answers.first().and_then(queued), answers.last().and_then(queued));
    assert!(last > first, "{answers:?}");
}
