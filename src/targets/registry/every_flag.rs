//! Every flag at every kind of target: it reaches the wire or the engine, or is refused by its name.

use clap::{Args, Command};

use crate::cli::resolve::resolve;
use crate::cli::typed::Settings;
use crate::targets::abilities::{self, tests::target};
use crate::targets::registry::KINDS;

const IN_PROCESS: &[&str] = &["local", "sim", "trtllm", "py", "vllm", "trtllm-torch"];
const IN_PYTHON: &[&str] = &["py", "vllm", "trtllm-torch"];
const EXECUTORS: &[&str] = &["sim", "trtllm"];
const SERVERS: &[&str] = &["openai", "triton"];
const OPENAI: &[&str] = &["openai"];

/// Flags that belong to some kinds: as in a file, and which kinds use them.
const OF_TARGETS: &[(&str, &[&str])] = &[
    ("max_batch_size = 4", IN_PROCESS),
    ("max_num_tokens = 4", IN_PROCESS),
    ("max_queue_size = 4", IN_PROCESS),
    ("kv_reuse = true", IN_PROCESS),
    ("kv_tokens = 64", IN_PROCESS),
    ("capacity_policy = 'max_utilization'", EXECUTORS),
    ("chunking_policy = 'equal_progress'", EXECUTORS),
    ("no_chunked_context = true", &["sim", "trtllm", "py", "vllm", "trtllm-torch"]),
    (
        "no_engine_stamps = true",
        &["sim", "trtllm", "openai", "triton", "triton-c", "py", "vllm", "trtllm-torch"],
    ),
    ("[engine]\nengine_log = 'info'", EXECUTORS),
    ("[engine]\nengine_arg = ['a=b']", IN_PYTHON),
    ("[engine]\npython = 'x'", IN_PYTHON),
    ("[engine]\ncuda_graphs = true", &["sim", "trtllm", "py", "vllm", "trtllm-torch"]),
    ("worker = 'x'", &["trtllm"]),
    ("threads = 1", &["local"]),
    ("quantization = 'f32'", &["local"]),
    ("model = 'm'", OPENAI),
    ("endpoint = 'completions'", OPENAI),
    ("output_token_field = 'max_completion_tokens'", OPENAI),
    ("omit = ['seed']", OPENAI),
    ("fresh_connections = true", OPENAI),
    ("http2 = true", OPENAI),
    ("api_key_env = 'K'", SERVERS),
    ("api_key_file = 'K'", SERVERS),
    ("header = ['a: b']", SERVERS),
    ("ca_file = 'x'", SERVERS),
    ("insecure = true", SERVERS),
    ("no_proxy = true", SERVERS),
    ("server_metrics = 'off'", SERVERS),
    ("connect_timeout = '1s'", &["openai", "triton", "triton-c"]),
    ("first_token_timeout = '1s'", &["openai", "triton", "triton-c"]),
    ("idle_timeout = '1s'", &["openai", "triton", "triton-c"]),
    ("client_threads = 2", SERVERS),
    ("triton_streams = 1", &["triton"]),
    ("triton_connections = 1", &["triton"]),
    ("extra_inputs = '{}'", &["openai", "triton", "triton-c"]),
    (
        "tokenizer = 'x'",
        &[
            "local",
            "sim",
            "trtllm",
            "openai",
            "triton",
            "triton-c",
            "text",
            "py",
            "vllm",
            "trtllm-torch",
        ],
    ),
    ("vocab_size = 9", &["openai", "triton", "triton-c", "text", "null"]),
];

/// Tables of the executor's and the requests' own flags, whose refusals have tests of their own.
const TABLES: &[&str] = &["engine", "request", "workload", "launch"];

/// Flags of the load, the workload, the files and the machine: they mean the same at every kind.
const OF_RUNS: &[&str] = &[
    "target",
    "concurrency",
    "rate",
    "batch",
    "arrivals",
    "burstiness",
    "max_in_flight",
    "stages",
    "measurement_interval",
    "stability_percentage",
    "stop_when_saturated",
    "workers",
    "repeat",
    "stages_of",
    "requests",
    "duration",
    "warmup",
    "warmup_until",
    "timeout",
    "drain",
    "ramp",
    "spawn_rate",
    "cool_down",
    "between",
    "window",
    "scenario",
    "prompts",
    "prefix_tokens",
    "prefix_groups",
    "prefix_shares",
    "stop_at_eos",
    "min_tokens",
    "temperature",
    "top_p",
    "top_k",
    "no_streaming",
    "seed",
    "slo",
    "gpu",
    "gpu_hour_price",
    "memory_bandwidth_gbps",
    "gpu_telemetry",
    "nvml_library",
    "profile_window",
    "nvtx",
    "cuda_library",
    "out",
    "cells",
    "no_deliveries",
    "export",
    "plots",
    "prometheus",
    "otlp",
    "upload",
    "time_unit",
    "server_engine",
    "server_version",
    "server_gpu_type",
    "server_gpu_count",
    "note",
    "deny",
    "allow",
    "ui",
    "quiet",
    // Places of libraries, which the environment may name for all runs.
    "triton_library",
    "triton_backends",
];

/// Flags of the table `[workload]`: entries become prompts and lengths, which every kind takes alike.
const OF_WORKLOADS: &[&str] = &[
    "workload",
    "workload_order",
    "prompt_column",
    "output_tokens_column",
    "output_tokens",
    "skip_bad_lines",
    "max_isl",
    "max_osl",
    "replay",
    "time_scale",
    "trace_window",
    "num_prompts",
    // Refused by a test of their own where a target has no such task.
    "batch_size",
    "image_folder",
    "image_url",
    "image_column",
    "images_per_request",
    "history",
    "think_time",
    "sessions",
    "input_tokens_mean",
    "input_tokens_stddev",
    "output_tokens_mean",
    "output_tokens_stddev",
];

fn key_of(line: &str) -> &str {
    let key = line.rsplit('\n').next().unwrap_or_default();
    key.split(' ').next().unwrap_or_default()
}

#[test]
fn a_flag_that_a_target_does_not_use_is_refused_by_its_name_and_every_other_is_taken() {
    for (line, kinds) in OF_TARGETS {
        let flag = format!("`--{}`", key_of(line).replace('_', "-"));
        for kind in KINDS.iter().map(|kind| kind.name).filter(|name| *name != "made-up") {
            let settings = format!("target = '{kind}:x'\n{line}");
            let typed: Settings = toml::from_str(&settings).expect(line);
            let resolved = resolve(&typed).expect(line);
            let info = target(kind);
            let said = abilities::check(&info, &resolved.engine, &resolved.workload)
                .and_then(|()| abilities::check_served(&info, &resolved.served))
                .err()
                .map(|error| error.to_string());
            // What stands before a tokenizer is the target behind it.
            let uses = kinds.contains(&kind);
            match said {
                None => assert!(uses || kind == "text", "{kind} takes {line} and does not use it"),
                Some(said) if kind != "text" => {
                    assert!(!uses && said.contains(&flag), "{kind}, {line}: {said}");
                }
                Some(_) => {}
            }
        }
    }
}

#[test]
fn every_flag_has_a_place_here() {
    let tables = |name: &str| TABLES.contains(&name);
    let command = Settings::augment_args(Command::new(""));
    let engine = crate::cli::typed::ExecutorFlags::augment_args(Command::new(""));
    let request = crate::cli::typed::RequestFlags::augment_args(Command::new(""));
    let launch = crate::cli::typed::LaunchFlags::augment_args(Command::new(""));
    let own = |name: &str| {
        let has = |of: &Command| of.get_arguments().any(|it| it.get_id() == name);
        has(&engine) || has(&request) || has(&launch) || OF_WORKLOADS.contains(&name)
    };
    for argument in command.get_arguments() {
        let name = argument.get_id().as_str();
        let placed = OF_RUNS.contains(&name)
            || OF_TARGETS.iter().any(|(line, _)| key_of(line) == name)
            || tables(name)
            || own(name);
        assert!(placed, "`{name}` is new: say which targets use it");
    }
}
