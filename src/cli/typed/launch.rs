//! Flags of the server that a run starts itself: table `[launch]` of a configuration file.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use serde::{Deserialize, Serialize};

use crate::cli::typed::list_or_one;
use crate::settings::human_duration::HumanDuration;
use crate::settings::launch::{FolderLayout, LaunchProfiler};

/// Which server is started, and how; absent means not given.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
#[command(
    next_help_heading = "Server that is started for the run (docs/commands/launch.md); table [launch] of a file"
)]
pub struct LaunchFlags {
    /// Start this server, measure it and stop it: a command line with `{port}`, or `vllm`, `sglang`, `trtllm-serve:pytorch|engine|autodeploy`, `triton`, `llama-server`, `bareflight`; several in turn
    #[arg(long, value_name = "COMMAND|PRESET", action = ArgAction::Append)]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub launch: Option<Vec<String>>,
    /// Presets: what is served (a model's name or folder, an engine directory, a GGUF file, a model repository); one for all launches or one for each
    #[arg(long, value_name = "MODEL", action = ArgAction::Append)]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub launch_model: Option<Vec<String>>,
    /// Presets: GPUs that the model is spread over (tensor parallelism)
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world_size: Option<u32>,
    /// Presets: configuration file of the server; one for all launches or one for each
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub extra_options: Option<Vec<PathBuf>>,
    /// Environment variables of the server: `NAME=VALUE,NAME=VALUE`
    #[arg(long, value_name = "NAME=VALUE,…", action = ArgAction::Append)]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub env: Option<Vec<String>>,
    /// Run the server under this profiler
    #[arg(long, value_name = "PROFILER", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<LaunchProfiler>,
    /// Show the server's log on standard error too
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_server: Option<bool>,
    /// It is ready when a GET of this path is answered with success (default: the preset's; else an open port)
    #[arg(long, value_name = "PATH", conflicts_with = "ready_log")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_path: Option<String>,
    /// It is ready when its log holds this text, e.g. `Application startup complete.`
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_log: Option<String>,
    /// Longest time until it is ready [default: 600s]
    #[arg(long, value_name = "SPAN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_timeout: Option<HumanDuration>,
    /// Longest wait after SIGINT, and again after SIGTERM, before everything left of it is killed [default: 15s; 120s under a profiler]
    #[arg(long, value_name = "SPAN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<HumanDuration>,
    /// Several launches: write their results as this folder too
    #[arg(long, value_name = "LAYOUT", value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<FolderLayout>,
}
