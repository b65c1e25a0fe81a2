//! Flags of the executor: table `[engine]` of a configuration file.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::request::terms::TokenSequences;
use crate::settings::engine::{DEFAULT_KV_EVENTS, Decoding, LogLevel, Lookahead};
use crate::settings::engine_arg::EngineArg;

/// Over these flags in the help.
pub const EXECUTOR_HEADING: &str = "Executor (`sim:` and TensorRT-LLM); table [engine] of a file";

/// Settings of a TensorRT-LLM executor, in the order of its own configuration; absent means not given.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
#[command(next_help_heading = EXECUTOR_HEADING)]
pub struct ExecutorFlags {
    /// Share of the GPU memory left after loading that the KV cache may take, above 0 and below 1
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_fraction: Option<f32>,
    /// Host memory for KV-cache blocks that the GPU has no room for
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_host_cache_bytes: Option<u64>,
    /// With `--kv-reuse`: reuse whole blocks only
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_kv_partial_reuse: Option<bool>,
    /// Longest attention window in tokens, one for each layer, repeated over the layers
    #[arg(long, value_name = "N,N,…", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_windows: Option<Vec<u32>>,
    /// First tokens that stay in a bounded attention window
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink_tokens: Option<u32>,
    /// With `--kv-reuse`: follow what happens to blocks of the KV cache; so many events wait to be read, every 20 ms
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = DEFAULT_KV_EVENTS)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_events: Option<u32>,
    /// Run the model through CUDA graphs
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_graphs: Option<bool>,
    /// CUDA graphs that are kept
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cuda_graph_cache: Option<u32>,
    /// Switch multi-block attention off
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_multi_block: Option<bool>,
    /// Weights that stay on the GPU, from 0 to 100; the rest is streamed from the host
    #[arg(long, value_name = "PERCENT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_percent: Option<f32>,
    /// How tokens are chosen, and whether drafts are tried
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding: Option<Decoding>,
    /// With `--decoding lookahead`: window, n-gram and verification set
    #[arg(long, value_name = "W,N,V")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookahead: Option<Lookahead>,
    /// With `--decoding medusa` or `eagle`: the tree of drafts as paths of choices, e.g. `0;0,0;1`
    #[arg(long, value_name = "PATHS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft_choices: Option<TokenSequences>,
    /// An engine that drafts for this one: a directory, or a profile for `sim:`. The target must be built to verify drafts
    /// (`draft_tokens_external`)
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft_engine: Option<String>,
    /// With `--draft-engine`: tokens that it proposes in each round [default: 4]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft_tokens: Option<u32>,
    /// With `--draft-engine`: share of the GPU memory left after loading it, which comes first, that its KV cache may take
    /// [default: 0.1, unless `--draft-kv-tokens` is given]
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft_kv_fraction: Option<f32>,
    /// With `--draft-engine`: capacity of its KV cache
    #[arg(long, value_name = "TOKENS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft_kv_tokens: Option<u32>,
    /// With `--draft-engine`: GPUs for it
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draft_device_ids: Option<Vec<u32>>,
    /// GPUs to use
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_ids: Option<Vec<u32>>,
    /// Folder of LoRA adapters, one folder per task id, that the executor loads by itself
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_dir: Option<PathBuf>,
    /// Largest rank of a LoRA adapter
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_max_rank: Option<u32>,
    /// Share of the GPU memory left after loading that LoRA adapters may take
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_fraction: Option<f32>,
    /// Host memory for LoRA adapters
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora_host_cache_bytes: Option<u64>,
    /// Iterations whose statistics the engine keeps until they are read, every 20 ms; 0 switches them off
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iteration_stats: Option<u32>,
    /// Lines of the executor's own log that are kept in `engine.log` [default: TLLM_LOG_LEVEL, else warning]
    #[arg(long, value_enum, value_name = "LEVEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_log: Option<LogLevel>,
    /// With `vllm:`, `trtllm-torch:` and `py:`: an argument of the engine's own, passed on as it is; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_arg: Option<Vec<EngineArg>>,
    /// With `vllm:`, `trtllm-torch:` and `py:`: the Python whose environment has the engine, and bareflight beside it. In a comparison it belongs to the `--target` before it, or to all of these kinds where it comes first
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
}
