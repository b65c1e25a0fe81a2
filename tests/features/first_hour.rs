//! `examples/h200/first-hour.sh`, to its end: every check of the page for an H200 finds the simulated installation in order, and a
//! GPU, its libraries and TensorRT-LLM's server that are made up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::left_behind::words;
use crate::support::{made_up, stand_in};
use tempfile::TempDir;

/// Checks that need a GPU's tools.
const OF_A_GPU: [&str; 3] = ["gpus", "doctor", "probe-gpu"];
const PASSED: [&str; 21] = [
    "program",
    "gpus",
    "doctor",
    "probe-gpu",
    "symbols",
    "sizes",
    "engine",
    "run",
    "versions",
    "kv-capacity",
    "deltas",
    "engine-stamps",
    "log",
    "fixed-lengths",
    "empty-final-response",
    "clamp",
    "time-out",
    "cancel",
    "iterations",
    "ladder",
    "compare",
];

/// In the place of NVIDIA's tool, for a GPU that does not exist.
const NVIDIA_SMI: &str = r#"#!/bin/sh
echo "Fake GPU (no hardware), GPU-00000000-0000-0000-0000-000000000000, 580.0-fake, 81920 MiB, 1500 MHz, 1980 MHz, Enabled"
"#;

/// In the place of TensorRT-LLM's server: ours, on the same engine, with the same arguments.
const TRTLLM_SERVE: &str = r#"#!/bin/sh
engine=$1
shift
while [ $# -gt 0 ]; do
    case $1 in
    --tokenizer) tokenizer=$2 ;;
    --host) host=$2 ;;
    --port) port=$2 ;;
    --backend) [ "$2" = tensorrt ] || exit 2 ;;
    --extra_llm_api_options)
        fraction=$(sed -n 's/^  free_gpu_memory_fraction: //p' "$2")
        grep -q '^  enable_block_reuse: false$' "$2" || exit 2
        ;;
    *) echo "unknown: $1" >&2; exit 2 ;;
    esac
    shift 2
done
exec "$BAREFLIGHT" serve --target "trtllm:$engine" --tokenizer "$tokenizer" --host "$host" --port "$port" --grpc-port 0 \
    --kv-fraction "$fraction"
"#;

/// A folder with everything that a machine with a GPU has and this one has not, all made up.
fn made_up_machine() -> TempDir {
    let machine = made_up::cuda();
    made_up::library(&machine, "fake_nvml/nvml.c", "libnvidia-ml.so.1");
    for (name, text) in [("nvidia-smi", NVIDIA_SMI), ("trtllm-serve", TRTLLM_SERVE)] {
        let path = machine.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    machine
}

/// A model's folder, of which tokenizer and end token are read.
fn model(out: &TempDir) -> PathBuf {
    let folder = out.path().join("model");
    fs::create_dir(&folder).expect("made");
    let tokenizer = bareflight_engine::dummy_tokenizer(512);
    tokenizer.save(folder.join("tokenizer.json"), false).expect("a file");
    fs::write(folder.join("generation_config.json"), r#"{"eos_token_id": 2}"#).expect("written");
    folder
}

/// The script on a machine that has what lies in `machine`, and neither a GPU's tools nor TensorRT-LLM's server otherwise.
fn first_hour(out: &Path, machine: &Path, arguments: &[&Path]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/h200/first-hour.sh");
    let machine = machine.display();
    Command::new("bash")
        .arg(script)
        .args(arguments)
        .env("BAREFLIGHT", env!("CARGO_BIN_EXE_bareflight"))
        .env("OUT", out.join("first-hour"))
        .env("PATH", format!("{machine}:/usr/local/bin:/usr/bin:/bin"))
        .env("LD_LIBRARY_PATH", format!("{machine}"))
        .env("XDG_CACHE_HOME", out.join("cache"))
        // Little memory that could be locked, and little to compare: whether it works is the question here.
        .env("FAKE_CUDA_FREE_GIB", "0.5")
        .env("FAKE_NVML_CUDA_UUIDS", "1")
        .env("COMPARE_REQUESTS", "16")
        .env("COMPARE_BLOCKS", "2")
        .current_dir(out)
        .output()
        .expect("`bash` is needed for this test")
}

fn said(printed: &str, word: &str, name: &str) -> bool {
    printed.lines().any(|line| line.starts_with(&format!("{word} {name}: ")))
}

#[test]
fn what_is_no_engine_is_a_failure_with_the_remedy_and_another_exit_code() {
    let out = tempfile::tempdir().expect("a folder");
    let checkpoint = r#"{"architecture": "LlamaForCausalLM", "num_hidden_layers": 32}"#;
    fs::write(out.path().join("config.json"), checkpoint).expect("written");
    let output = first_hour(out.path(), out.path(), &[out.path()]);
    let printed = words(&output.stdout);
    for name in OF_A_GPU {
        assert!(said(&printed, "SKIP", name), "{name}:\n{printed}");
    }
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("FAIL engine: ") && printed.contains("trtllm-build"), "{printed}");
}

#[test]
fn every_check_of_the_first_hour_is_made_and_told_in_a_line() {
    let out = tempfile::tempdir().expect("a folder");
    // A prompt costs much more than a step, and outputs end early where they may.
    let profile = "explicit,base_us=1000,prefill_us_per_token=10,eos_after=20";
    let engine = stand_in::engine(&out, "engine", profile, 1, 0);
    let (machine, model) = (made_up_machine(), model(&out));
    let output = first_hour(out.path(), machine.path(), &[&engine, &model]);
    let printed = words(&output.stdout);
    for name in PASSED {
        assert!(said(&printed, "PASS", name), "{name}:\n{printed}{}", words(&output.stderr));
    }
    // What the made-up driver does is found again, and says that it is made up.
    assert!(printed.contains("Fake GPU (no hardware)") && printed.contains("BF16 800 TFLOP/s"));
    assert_eq!(output.status.code(), Some(0), "{printed}");
    let transcript = out.path().join("first-hour/transcript.txt");
    let transcript = fs::read_to_string(transcript).expect("to send back");
    assert!(
        transcript.contains("(exit code 0)") && transcript.contains("21 passed"),
        "{transcript}"
    );
}
