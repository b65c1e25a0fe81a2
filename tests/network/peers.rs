//! Benchmarks of others against `bareflight serve`: aiperf, genai-bench and perf_analyzer count what was served.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::python::environment;
use crate::support::serve_process::Serving;

tests! {
    aiperf_completes_every_request_and_counts_every_token,
    genai_bench_completes_every_request_and_counts_every_token,
    perf_analyzer_completes_requests_of_text_and_of_ids,
}

/// A simulated engine that is served with a tokenizer which its clients can load.
struct Served {
    serving: Serving,
    folder: TempDir,
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let tokenizer = folder.path().join("tokenizer");
        let tokenizer = tokenizer.to_str().expect("a plain path");
        let target = "sim:explicit,base_us=2000";
        let serving = Serving::start(&["--target", target, "--write-tokenizer", tokenizer]);
        Self { serving, folder }
    }

    fn model(&self) -> &str {
        self.serving.ready["model"].as_str().expect("a name")
    }

    fn tokenizer(&self) -> PathBuf {
        self.folder.path().join("tokenizer")
    }

    /// A folder for what the benchmark writes.
    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }
}

/// A program of an environment.
fn program(environment_name: &str, name: &str) -> Command {
    let python = environment(environment_name);
    Command::new(python.parent().expect("a folder of programs").join(name))
}

/// Runs to the end; what it printed.
fn finished(command: &mut Command) -> String {
    let output = command.env("NO_COLOR", "1").output().expect("the program starts");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{out}\n{error}");
    out
}

fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

fn aiperf_completes_every_request_and_counts_every_token() {
    let served = Served::start();
    let out = served.out();
    finished(
        program("aiperf", "aiperf")
            .args(["profile", "--endpoint-type", "chat", "--streaming", "--ui", "none"])
            .args(["--isl", "64", "--osl", "16", "--concurrency", "4", "--request-count", "20"])
            .args(["--extra-inputs", "ignore_eos:true", "--model", served.model()])
            .args(["--url", &served.serving.openai])
            .arg("--tokenizer")
            .arg(served.tokenizer())
            .arg("--output-artifact-dir")
            .arg(&out),
    );
    let seen = json(&out.join("profile_export_aiperf.json"));
    assert_eq!(seen["request_count"]["avg"], 20.0);
    assert!(seen["error_request_count"].is_null(), "{}", seen["error_request_count"]);
    for (name, tokens) in [("input_sequence_length", 64.0), ("output_sequence_length", 16.0)] {
        assert_eq!(
            (&seen[name]["min"], &seen[name]["max"]),
            (&tokens.into(), &tokens.into()),
            "{name}"
        );
    }
}

fn genai_bench_completes_every_request_and_counts_every_token() {
    let served = Served::start();
    let out = served.out();
    std::fs::create_dir(&out).expect("the folder is ours");
    finished(
        program("genai-bench", "genai-bench")
            .args(["benchmark", "--api-backend", "openai", "--api-key", "none"])
            .args(["--api-base", &served.serving.openai, "--api-model-name", served.model()])
            .args(["--task", "text-to-text", "--traffic-scenario", "D(64,16)"])
            .args([
                "--num-concurrency",
                "4",
                "--max-time-per-run",
                "1",
                "--max-requests-per-run",
                "20",
            ])
            .arg("--model-tokenizer")
            .arg(served.tokenizer())
            .arg("--experiment-base-dir")
            .arg(&out)
            .current_dir(&out),
    );
    let experiment = std::fs::read_dir(&out).expect("a folder").find_map(|entry| {
        let path = entry.expect("can be listed").path();
        path.is_dir().then_some(path)
    });
    let run = experiment.expect("an experiment").read_dir().expect("a folder").find_map(|entry| {
        let path = entry.expect("can be listed").path();
        let is_run = path.file_stem()?.to_str()?.starts_with("D64_16");
        (is_run && path.extension()? == "json").then_some(path)
    });
    let seen = &json(&run.expect("results"))["aggregated_metrics"];
    assert_eq!(seen["num_error_requests"], 0);
    assert!(seen["num_completed_requests"].as_u64().is_some_and(|count| count >= 20), "{seen}");
    let tokens = &seen["stats"]["num_output_tokens"];
    assert_eq!((tokens["min"].as_f64(), tokens["max"].as_f64()), (Some(16.0), Some(16.0)));
}

/// Where the wheel of NVIDIA's CUDA runtime has its library.
fn cuda_runtime(environment_name: &str) -> PathBuf {
    let python = environment(environment_name);
    let asked = "import nvidia.cuda_runtime as it; print(list(it.__path__)[0])";
    let place = finished(Command::new(python).args(["-c", asked]));
    Path::new(place.trim()).join("lib")
}

fn perf_analyzer_completes_requests_of_text_and_of_ids() {
    let served = Served::start();
    let input = served.folder.path().join("input.json");
    let text =
        r#"{"data":[{"text_input":["w0001 w0002 w0003"],"max_tokens":[16],"stream":[true]}]}"#;
    let ids = r#"{"data":[{"input_ids":{"content":[5,6,7],"shape":[3]},"input_lengths":[3],
        "request_output_len":[16],"streaming":[true],"end_id":[-1]}]}"#;
    for (model, data) in [("ensemble", text), ("tensorrt_llm", ids)] {
        std::fs::write(&input, data).expect("the folder is ours");
        let mut command = program("perf-analyzer", "perf_analyzer");
        command.env("LD_LIBRARY_PATH", cuda_runtime("perf-analyzer"));
        command.args([
            "-m",
            model,
            "--service-kind",
            "triton",
            "-i",
            "grpc",
            "--streaming",
            "--async",
        ]);
        command.args(["-u", &served.serving.grpc, "--concurrency-range", "4"]);
        command.args(["--measurement-mode", "count_windows", "--measurement-request-count", "20"]);
        // Three windows are enough, stable or not.
        command.args(["--stability-percentage", "999", "--input-data"]).arg(&input);
        if model == "tensorrt_llm" {
            command.args(["--shape", "input_ids:3"]);
        }
        let said = finished(&mut command);
        let after = |label: &str| {
            let rest = said.split(label).nth(1)?;
            rest.split_whitespace().next()?.parse::<f64>().ok()
        };
        assert!(after("Request count: ").is_some_and(|count| count >= 60.0), "{said}");
        let (requests, responses) = (after("\n    Throughput: "), after("Response Throughput: "));
        let per_request = responses.zip(requests).map(|(all, each)| all / each);
        assert!(per_request.is_some_and(|count| (15.5..16.5).contains(&count)), "{said}");
    }
}
