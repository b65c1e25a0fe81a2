//! Settings of a run as flags, environment variables and keys of the configuration file.
//!
//! It is long and one idea: one list says what each setting is called, in what order help shows it, and how a file holds it.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::load_number;
use crate::cli::typed::list_or_one;
use crate::cli::typed::{
    ArrivalKind, ExecutorFlags, LaunchFlags, PromptFormat, RequestFlags, WorkloadFlags,
};
use crate::load::course::WindowKind;
use crate::load::stages::StagesOf;
use crate::settings::declared::KeyValue;
use crate::settings::engine::{CapacityPolicy, ChunkingPolicy, Quantization};
use crate::settings::export::{ExportFormat, PlotFormat};
use crate::settings::gpu_choice::GpuChoice;
use crate::settings::human_duration::HumanDuration;
use crate::settings::load_rules::{ConcurrencyItem, RequestCount};
use crate::settings::otlp_address::OtlpChoice;
use crate::settings::profile_window::ProfileWindow;
use crate::settings::scrape_address::ScrapeAddress;
use crate::settings::seed_choice::SeedChoice;
use crate::settings::served::{BodyField, OutputTokenField, ServedEndpoint};
use crate::settings::server_metrics::ServerMetricsChoice;
use crate::settings::stages_text::StagesText;
use crate::settings::time_unit::TimeUnit;
use crate::settings::ui::Ui;
use crate::settings::upload_place::UploadPlace;
use crate::settings::warm_up_end::WarmUpEnd;
use crate::warning::Code;
use crate::workload::scenario::Scenario;

/// The same list for flags, environment and file; absent means not given.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", default)]
pub struct Settings {
    /// What answers: `local:dummy-nano`, `local:MODEL_DIR`, `sim:PROFILE`, `trtllm:ENGINE_DIR`, `openai:URL`, `triton:HOST:PORT/MODEL`, `triton-c:REPOSITORY/MODEL`, `null:`, or `text:` before an engine in this process; may stand without its flag
    #[arg(long, value_name = "KIND:NAME", env = "BAREFLIGHT_TARGET")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,

    /// Closed loop: requests in flight, one run for each number; `quick` is 1,8,32,64, `full` a whole curve of 16 up to 384
    #[arg(
        long,
        value_name = "N,N,…",
        value_delimiter = ',',
        value_parser = load_number::concurrency,
        help_heading = "Load",
        env = "BAREFLIGHT_CONCURRENCY"
    )]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub concurrency: Option<Vec<ConcurrencyItem>>,
    /// Open loop: arrivals per second, one run for each number
    #[arg(
        long,
        value_name = "R,R,…",
        value_delimiter = ',',
        value_parser = load_number::rate,
        help_heading = "Load",
        env = "BAREFLIGHT_RATE"
    )]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub rate: Option<Vec<f64>>,
    /// All requests at once
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<bool>,
    /// Open loop: how arrivals are spaced
    #[arg(long, value_enum, help_heading = "Load", env = "BAREFLIGHT_ARRIVALS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<ArrivalKind>,
    /// Shape of gamma arrivals: 1 is Poisson, below 1 is burstier
    #[arg(long, value_name = "SHAPE", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burstiness: Option<f64>,
    /// Open loop: hold arrivals back while so many requests are in flight
    #[arg(long, value_name = "N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// A load that changes: SPAN:RATE in order, e.g. `60s:5,60s:20,30s:0`; with `--stages-of concurrency` slots of a closed loop
    #[arg(long, value_name = "SPAN:LEVEL,…", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<StagesText>,
    /// What the levels of `--stages` are (default: rate)
    #[arg(long, value_enum, help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages_of: Option<StagesOf>,
    /// Requests of each run, or `5x` for 5 times its concurrency and at least 20; with `--duration`, whichever ends first
    #[arg(
        long,
        short = 'n',
        visible_alias = "max-requests-per-run",
        value_name = "N|Nx",
        help_heading = "Load",
        env = "BAREFLIGHT_REQUESTS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<RequestCount>,
    /// How long each run sends requests, e.g. `60s`
    #[arg(
        long,
        short = 'd',
        alias = "max-time-per-run",
        value_name = "SPAN",
        help_heading = "Load",
        env = "BAREFLIGHT_DURATION"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<HumanDuration>,
    /// Measure in windows of this length and end a run when three in a row agree in throughput and latency (at most 10 windows, or `--duration`)
    #[arg(long, value_name = "SPAN", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurement_interval: Option<HumanDuration>,
    /// Three windows agree where the largest is at most so many percent above the smallest (default: 10)
    #[arg(long, value_name = "PERCENT", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability_percentage: Option<f64>,
    /// Open loop: end a run early where the rate is found to be more than the target can take
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_when_saturated: Option<bool>,
    /// Processes that send the load together: disjoint slices of one plan, from one agreed instant
    #[arg(long, value_name = "N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<u32>,
    /// Measure each load so often, one sweep after the other, and tell how far the runs differ
    #[arg(long, value_name = "N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// Requests sent before each run and not counted
    #[arg(long, value_name = "N", help_heading = "Load", env = "BAREFLIGHT_WARMUP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup: Option<u32>,
    /// Warm up for a time instead, or until three windows agree (`stable`, see `--measurement-interval`; windows of 1 s, at most 10)
    #[arg(long, value_name = "SPAN|stable", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_until: Option<WarmUpEnd>,
    /// How long each run is brought to its steady state before requests are measured; 0 for not at all (default: as needed)
    #[arg(long, value_name = "SPAN", help_heading = "Load", env = "BAREFLIGHT_RAMP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<HumanDuration>,
    /// Closed loop: slots started each second, another spelling of `--ramp` that is as fast at every concurrency
    #[arg(long, value_name = "N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spawn_rate: Option<f64>,
    /// What rates are taken over: the steady state between ramp and tail, or the whole of a run without them (default: steady)
    #[arg(long, value_enum, help_heading = "Load", env = "BAREFLIGHT_WINDOW")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowKind>,
    /// Pause before each point but the first
    #[arg(long, value_name = "SPAN", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cool_down: Option<HumanDuration>,
    /// Shell command before each point but the first; `vllm-reset` and `sglang-flush` empty the server's prefix cache (with `curl`)
    #[arg(long, value_name = "COMMAND", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<String>,
    /// Longest time of one request; it is then cancelled and counts as timed out
    #[arg(long, value_name = "SPAN", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// How long answers are awaited after the duration or Ctrl-C before what is open is cancelled
    #[arg(long, value_name = "SPAN", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<HumanDuration>,

    /// Lengths in tokens: `D(in,out)` fixed, `N(mean,std)/(mean,std)` normal, `U(min,max)/(min,max)` uniform; may be given several times: each scenario at each load is a cell with a folder of its own
    #[arg(
        long,
        short = 's',
        value_name = "SCENARIO",
        help_heading = "Workload",
        env = "BAREFLIGHT_SCENARIO"
    )]
    #[serde(skip_serializing_if = "Option::is_none", with = "list_or_one")]
    pub scenario: Option<Vec<Scenario>>,
    /// Draw prompts as random token ids, or as text that re-tokenises to the same count
    #[arg(long, value_enum, help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompts: Option<PromptFormat>,
    /// Tokens that every prompt begins with alike
    #[arg(long, value_name = "N", help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_tokens: Option<u32>,
    /// So many groups of prompts, each with a prefix of its own of `--prefix-tokens` (default: one prefix for all)
    #[arg(long, value_name = "N", help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_groups: Option<u32>,
    /// Share of the prompts of each prefix group, e.g. `5,3,2`; they need not sum to one (default: equal)
    #[arg(long, value_name = "SHARES", value_delimiter = ',', help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub prefix_shares: Option<Vec<f64>>,
    /// Let an end token end the output (by default every output has the asked length)
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Workload"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_at_eos: Option<bool>,
    /// No end token before this many
    #[arg(long, value_name = "N", help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tokens: Option<u32>,
    /// Sampling temperature (default: greedy)
    #[arg(long, value_name = "T", help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Sample from this cumulative probability
    #[arg(long, value_name = "P", help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Sample from so many candidates
    #[arg(long, value_name = "K", help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Deliver each output as a whole, at its end
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Workload"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_streaming: Option<bool>,
    /// The one seed that lengths, prompts, arrivals and sampling follow from; `random` draws one, and files say which
    #[arg(long, value_name = "N|random", help_heading = "Workload", env = "BAREFLIGHT_SEED")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<SeedChoice>,
    /// Bounds that a good request meets, e.g. `ttft<2s,itl<40ms`
    #[arg(long, value_name = "BOUNDS", help_heading = "Workload")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<String>,

    /// Requests in one batch, at most
    #[arg(long, value_name = "N", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_batch_size: Option<u32>,
    /// Tokens in one iteration, at most
    #[arg(long, value_name = "N", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_num_tokens: Option<u32>,
    /// Requests that may wait; more are refused
    #[arg(long, value_name = "N", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queue_size: Option<u32>,
    /// Who may run when KV-cache memory is short
    #[arg(long, value_enum, help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_policy: Option<CapacityPolicy>,
    /// How prompts share the budget of one iteration
    #[arg(long, value_enum, help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunking_policy: Option<ChunkingPolicy>,
    /// Never split a prompt over several iterations
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Engine in this process"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_chunked_context: Option<bool>,
    /// Reuse KV-cache blocks of equal prefixes (off, so that runs start cold)
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Engine in this process"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_reuse: Option<bool>,
    /// KV-cache capacity in tokens
    #[arg(long, value_name = "N", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_tokens: Option<u32>,
    /// Do not ask the engine for its own stamps
    #[arg(
        long,
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Engine in this process"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_engine_stamps: Option<bool>,
    /// Let processes of this program hold the engine of `trtllm:` (orchestrator mode), e.g. `…/bin/executorWorker`
    #[arg(long, value_name = "PROGRAM", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<PathBuf>,
    /// Threads of the embedded engine (default: all cores but one)
    #[arg(long, value_name = "N", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Weights of the embedded engine
    #[arg(long, value_enum, help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,

    /// GPU that the engine runs on, e.g. `h200`: its datasheet gives the roofline (default: as NVML names the watched GPUs)
    #[arg(long, value_name = "NAME", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Memory bandwidth of this host in GB/s: gives the roofline of the embedded engine
    #[arg(long, value_name = "GB/S", help_heading = "Engine in this process")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bandwidth_gbps: Option<f64>,

    /// Name of the model, where a server has several
    #[arg(long, short = 'm', value_name = "NAME", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Which endpoint of an OpenAI-compatible server
    #[arg(long, value_enum, help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<ServedEndpoint>,
    /// Environment variable that holds the API key
    #[arg(long, value_name = "VARIABLE", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// File that holds the API key
    #[arg(long, value_name = "FILE", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<PathBuf>,
    /// Further header of every request, `Name: value`; never written to a file
    #[arg(long, value_name = "HEADER", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub header: Option<Vec<String>>,
    /// Further parameters of every request, a JSON object
    #[arg(long, value_name = "JSON", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_inputs: Option<String>,
    /// `openai`: the member of a request that bounds its output
    #[arg(long, value_name = "FIELD", value_enum, help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_token_field: Option<OutputTokenField>,
    /// `openai`: members that requests leave out, where a server refuses them
    #[arg(
        long,
        value_name = "FIELD,…",
        value_enum,
        value_delimiter = ',',
        help_heading = "Served targets"
    )]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub omit: Option<Vec<BodyField>>,
    /// Prompts as ids: token ids are below this, where neither `--tokenizer` nor the server says so
    #[arg(long, value_name = "N", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<u32>,
    /// Longest time to connect, TLS included [default: 10s]
    #[arg(long, value_name = "SPAN", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<HumanDuration>,
    /// Longest wait for the first token; the request has then failed [default: 600s]
    #[arg(long, value_name = "SPAN", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_timeout: Option<HumanDuration>,
    /// Longest gap between outputs, once the first has come; the request has then failed [default: 120s]
    #[arg(long, value_name = "SPAN", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<HumanDuration>,
    /// Threads that send and read [default: 1 for each 512 requests in flight, at most half of the cores]
    #[arg(long, value_name = "N", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_threads: Option<u16>,
    /// `triton:` over gRPC: streams that all requests share, as perf_analyzer's do [default: one for each request]
    #[arg(long, value_name = "N", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triton_streams: Option<u16>,
    /// `triton:` over gRPC: connections that streams are spread over [default: 8]
    #[arg(long, value_name = "N", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triton_connections: Option<u16>,
    /// Go to the server itself, whatever `http_proxy`, `https_proxy` and `all_proxy` name
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_proxy: Option<bool>,
    /// Where the server's own metrics are scraped: `auto` (where it has them), `off`, or a URL such as `http://host:8002/metrics`
    #[arg(long, value_name = "URL|off", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_metrics: Option<ServerMetricsChoice>,
    /// `tokenizer.json` of the served model, or its folder: draws text prompts, checks the server's counts
    #[arg(long, value_name = "PATH", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// A new connection for each request
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_connections: Option<bool>,
    /// HTTP/2, without TLS by prior knowledge
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
    /// Certificates to trust (PEM), beside the system's
    #[arg(long, value_name = "FILE", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Served targets")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// `triton-c`: `libtritonserver.so` or its folder (default: NVIDIA's image, or nvidia-pytriton in the active virtual environment)
    #[arg(
        long,
        value_name = "PATH",
        help_heading = "Served targets",
        env = "BAREFLIGHT_TRITON_LIBRARY"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triton_library: Option<PathBuf>,
    /// `triton-c`: folder of backends (default: the one that belongs to the library)
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Served targets",
        env = "BAREFLIGHT_TRITON_BACKENDS"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triton_backends: Option<PathBuf>,

    /// Which GPUs are watched (power, clocks, temperature): `auto`, `all`, `none`, or UUIDs with commas
    #[arg(long, value_name = "GPUS", help_heading = "GPUs", env = "BAREFLIGHT_GPU_TELEMETRY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_telemetry: Option<GpuChoice>,
    /// NVIDIA's management library, where it is not the system's `libnvidia-ml.so.1`
    #[arg(long, value_name = "PATH", help_heading = "GPUs", env = "BAREFLIGHT_NVML_LIBRARY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvml_library: Option<PathBuf>,

    /// For `nsys profile -c cudaProfilerApi`: when the profiler looks, from the start of each measured point
    #[arg(long, value_name = "SPAN..SPAN", help_heading = "GPUs")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_window: Option<ProfileWindow>,
    /// Under Nsight Systems (`nsys profile --trace cuda,nvtx`): mark phases and requests as NVTX ranges
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "GPUs")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvtx: Option<bool>,
    /// NVIDIA's driver library, where it is not the system's `libcuda.so.1`
    #[arg(long, value_name = "PATH", help_heading = "GPUs", env = "BAREFLIGHT_CUDA_LIBRARY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_library: Option<PathBuf>,

    /// What an hour of one GPU costs, in any currency: gives the cost of a million output tokens
    #[arg(long, value_name = "PRICE", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_hour_price: Option<f64>,
    /// Where run directories are made
    #[arg(long, short = 'o', value_name = "DIR", help_heading = "Output", env = "BAREFLIGHT_OUT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<PathBuf>,
    /// A folder for each scenario and load below one run directory, which `--resume` can go on with (so it is with several scenarios)
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells: Option<bool>,
    /// Do not keep each delivery's stamp: smaller files, and reports cannot be made again
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_deliveries: Option<bool>,
    /// Write results in the shapes of other tools too (folder `exports`; see docs/exports.md)
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',', help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub export: Option<Vec<ExportFormat>>,
    /// Write the page's plots as pictures too (folder `plots`; of a comparison, a ladder or a search beside its page)
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',', help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub plots: Option<Vec<PlotFormat>>,
    /// Answer Prometheus here while it runs (`:9400` on every interface, `127.0.0.1:9400` on this machine), and leave `metrics.prom`
    #[arg(long, value_name = "ADDRESS", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<ScrapeAddress>,
    /// Send live figures and results to an OpenTelemetry collector over HTTP (OTLP), `http://HOST:4318`; without an address to that of `OTEL_EXPORTER_OTLP_ENDPOINT`
    #[arg(
        long,
        value_name = "URL",
        num_args = 0..=1,
        default_missing_value = "env",
        help_heading = "Output"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpChoice>,
    /// Upload the run directory when it is written: `s3://BUCKET/PREFIX`, `gs://…`, `az://CONTAINER/…`, `oci://BUCKET@NAMESPACE/…` (a build with `--features upload`), `file:///FOLDER`; credentials as each cloud's own tools find them
    #[arg(long, value_name = "URL", help_heading = "Output", env = "BAREFLIGHT_UPLOAD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadPlace>,
    /// Unit of latencies on the console and in Markdown; JSON, CSV and the page keep to milliseconds, which their keys name
    #[arg(
        long,
        value_enum,
        help_heading = "Output",
        hide_possible_values = true,
        value_name = "ms|s"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<TimeUnit>,
    /// What the server runs, e.g. `vLLM`: kept in every artefact
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_engine: Option<String>,
    /// The version of the server's engine: kept in every artefact
    #[arg(long, value_name = "VERSION", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// The server's GPUs, e.g. `H100`: kept in every artefact
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_gpu_type: Option<String>,
    /// How many GPUs the server has: for rates per GPU, frontier and cost, where the target does not know its own
    #[arg(long, value_name = "N", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_gpu_count: Option<u32>,
    /// Anything else that every artefact should carry, `KEY=VALUE`; may be given again and again
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub note: Option<Vec<KeyValue>>,
    /// End with exit code 4 where one of these warnings comes up (docs/WARNINGS.md, `bareflight explain`)
    #[arg(long, value_name = "CODE,…", value_delimiter = ',', help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub deny: Option<Vec<Code>>,
    /// Warnings that are known: still told, but they no longer make the verdict "with warnings"; a failed check makes it that
    #[arg(long, value_name = "CODE,…", value_delimiter = ',', help_heading = "Output")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub allow: Option<Vec<Code>>,
    /// Progress on standard error: `plain` lines, a moving `line`, or the `full` terminal; plain where there is no terminal
    #[arg(
        long,
        value_enum,
        help_heading = "Output",
        hide_possible_values = true,
        value_name = "plain|line|full"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui: Option<Ui>,
    /// Print results only, no progress
    #[arg(
        long,
        short = 'q',
        num_args = 0,
        default_missing_value = "true",
        help_heading = "Output"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<bool>,

    // Tables come last in a file, and so do their flags in the help.
    /// How an executor is set up.
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_default")]
    pub engine: ExecutorFlags,
    /// What else each request asks for.
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_default")]
    pub request: RequestFlags,
    /// Which file prompts or lengths come from.
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_default")]
    pub workload: WorkloadFlags,
    /// Which server is started.
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_default")]
    pub launch: LaunchFlags,
}

fn is_default<T: Default + PartialEq>(table: &T) -> bool {
    *table == T::default()
}
