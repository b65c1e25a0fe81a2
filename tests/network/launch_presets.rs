//! Presets of `--launch` with the real programs, where this machine has them: `vllm` and `llama-server`.
//!
//! They are too large to be fetched for a test. `BAREFLIGHT_VLLM_BIN` and `BAREFLIGHT_LLAMA_SERVER_BIN` name the folders that hold the
//! programs, `BAREFLIGHT_VLLM_MODEL` a small model's folder in Hugging Face's form (`vllm.sh` makes the first); without them these
//! tests are ignored by name.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

tests! {
    vllm_is_started_measured_and_stopped,
    vllm_leaves_no_process_where_the_run_is_killed_half_way,
    llama_server_is_started_measured_and_stopped,
    llama_server_leaves_no_process_where_the_run_is_killed_half_way,
}

const VLLM: &str = "BAREFLIGHT_VLLM_BIN";
const VLLM_MODEL: &str = "BAREFLIGHT_VLLM_MODEL";
const LLAMA_SERVER: &str = "BAREFLIGHT_LLAMA_SERVER_BIN";
/// A variable of the launched server, by which everything that it has started is found.
const MARK: &str = "BAREFLIGHT_TEST_MARK";
/// Longest time that a server may take to be ready, or to be gone.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether this machine has what a test of this module needs.
pub fn is_possible(test: &str) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if test.contains("::vllm_") {
        is_set(VLLM) && is_set(VLLM_MODEL)
    } else if test.contains("::llama_server_") {
        is_set(LLAMA_SERVER)
    } else {
        true
    }
}

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name).expect("the suite has looked").into()
}

/// A preset with what it needs here.
struct Preset {
    folder: TempDir,
    mark: String,
    programs: PathBuf,
    arguments: Vec<OsString>,
}

impl Preset {
    fn of(name: &str, programs: PathBuf, model: &Path, variables: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mark = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
        let mut arguments: Vec<OsString> =
            ["run", "--launch", name, "--launch-model"].map(Into::into).into();
        arguments.push(model.into());
        let variables = format!("{variables}{MARK}={mark}");
        let rest = ["--env", &variables, "--endpoint", "completions", "--scenario", "D(16,16)"];
        arguments.extend(rest.map(Into::into));
        Self { folder, mark, programs, arguments }
    }

    fn vllm() -> Self {
        let variables = "VLLM_CPU_KVCACHE_SPACE=1,OMP_NUM_THREADS=1,HF_HUB_OFFLINE=1,";
        let mut preset = Self::of("vllm", variable(VLLM), &variable(VLLM_MODEL), variables);
        let options = preset.folder.path().join("options.yaml");
        fs::write(&options, "enforce-eager: true\nmax-model-len: 2048\n").expect("written");
        preset.arguments.extend(["--extra-options".into(), options.into_os_string()]);
        preset
    }

    fn llama_server() -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network/llamacpp_python");
        let model = TempDir::new().expect("a folder").keep().join("tiny.gguf");
        let write = "import pathlib, sys, tiny_model; tiny_model.write(pathlib.Path(sys.argv[1]))";
        let made = Command::new("python3")
            .args(["-c", write])
            .arg(&model)
            .env("PYTHONPATH", scripts)
            .status()
            .expect("Python runs");
        assert!(made.success());
        Self::of("llama-server", variable(LLAMA_SERVER), &model, "")
    }

    fn command(&self, more: &[&str]) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.programs.clone()).chain(std::env::split_paths(&path));
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command
            .args(&self.arguments)
            .args(more)
            .env("PATH", std::env::join_paths(folders).expect("folders"))
            .current_dir(self.folder.path());
        command
    }

    fn run_folder(&self) -> Option<PathBuf> {
        let runs = fs::read_dir(self.folder.path().join("runs")).ok()?;
        runs.flatten().map(|entry| entry.path()).next()
    }

    /// Processes that have the mark, which whatever the server starts inherits.
    fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.mark);
        let processes = fs::read_dir("/proc").expect("a list of processes").flatten();
        let has_mark = |pid: &i32| {
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        processes.filter_map(|it| it.file_name().to_str()?.parse().ok()).filter(has_mark).collect()
    }

    fn is_started_measured_and_stopped(&self) {
        let Output { status, stderr, .. } = self
            .command(&["--concurrency", "1,2", "--requests", "20", "--warmup", "2"])
            .output()
            .expect("the program runs");
        let message = String::from_utf8_lossy(&stderr).into_owned();
        assert!(matches!(status.code(), Some(0 | 4)), "{message}");
        let folder = self.run_folder().expect("a run");
        let launch = json(&folder.join("launch.json"));
        assert!(launch["version"].as_str().is_some_and(|it| !it.is_empty()), "{launch}");
        let summary = json(&folder.join("summary.json"));
        for point in summary["points"].as_array().expect("points") {
            assert_eq!(point["counts"]["completed"], 20, "{point}");
        }
        let log = fs::read_to_string(folder.join("server.log")).expect("its log");
        assert!(!log.is_empty());
        assert_eq!(self.processes(), [0; 0], "{launch}");
    }

    fn leaves_no_process_where_the_run_is_killed_half_way(&self) {
        for signal in [Signal::KILL, Signal::INT] {
            let mut run = self
                .command(&["--rate", "2", "--duration", "1h", "--warmup", "0", "--out", "runs"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program runs");
            self.wait_until_it_is_measured(&mut run);
            assert!(!self.processes().is_empty());
            kill_process(Pid::from_child(&run), signal).expect("it runs");
            run.wait().expect("it was ours");
            let begin = Instant::now();
            while !self.processes().is_empty() {
                assert!(begin.elapsed() < PATIENCE, "{signal:?}: {:?}", self.processes());
                sleep(Duration::from_millis(200));
            }
            fs::remove_dir_all(self.folder.path().join("runs")).expect("removed");
        }
    }

    /// Half-way: requests have been answered.
    fn wait_until_it_is_measured(&self, run: &mut Child) {
        let begin = Instant::now();
        let has_answers = |folder: PathBuf| {
            let rows = fs::read_to_string(folder.join("requests.partial.csv")).unwrap_or_default();
            rows.lines().count() > 2
        };
        while !self.run_folder().is_some_and(has_answers) {
            assert_eq!(run.try_wait().expect("it was ours"), None, "it has ended");
            assert!(begin.elapsed() < PATIENCE, "nothing was measured");
            sleep(Duration::from_millis(200));
        }
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

fn vllm_is_started_measured_and_stopped() {
    Preset::vllm().is_started_measured_and_stopped();
}

fn vllm_leaves_no_process_where_the_run_is_killed_half_way() {
    Preset::vllm().leaves_no_process_where_the_run_is_killed_half_way();
}

fn llama_server_is_started_measured_and_stopped() {
    Preset::llama_server().is_started_measured_and_stopped();
}

fn llama_server_leaves_no_process_where_the_run_is_killed_half_way() {
    Preset::llama_server().leaves_no_process_where_the_run_is_killed_half_way();
}
