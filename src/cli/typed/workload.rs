//! Flags of a workload from a file and of its lengths: table `[workload]` of a configuration file.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::typed::list_or_one;
use crate::settings::human_duration::HumanDuration;
use crate::workload::dataset::{FileOrder, History, TraceWindow};
use crate::workload::mixture::SourceText;

/// What is asked; absent means not given.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
#[command(
    next_help_heading = "Workload from a file (docs/workloads.md); table [workload] of a file"
)]
pub struct WorkloadFlags {
    /// Prompts of a file, or lengths and instants of a trace: `sharegpt:FILE`, `mooncake:FILE`, …; several, or
    /// `synthetic:SCENARIO`, with weights: `--workload 0.7:sharegpt:FILE --workload 0.3:synthetic:D(128,64)`
    #[arg(long, value_name = "[WEIGHT:]KIND:FILE", env = "BAREFLIGHT_WORKLOAD")]
    #[serde(with = "list_or_one", skip_serializing_if = "Option::is_none")]
    pub workload: Option<Vec<SourceText>>,
    /// Order of the file's entries (default: shuffled with the seed; a trace in its own)
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_order: Option<FileOrder>,
    /// JSON and CSV: column of the prompt, a text or a list of token ids
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_column: Option<String>,
    /// JSON and CSV: column of the number of output tokens
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_column: Option<String>,
    /// Length of every output, whatever the file says
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
    /// Count lines that are none of the format and leave them out, instead of refusing the file
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_bad_lines: Option<bool>,
    /// Leave out entries with longer prompts
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_isl: Option<u32>,
    /// Leave out entries with longer outputs
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_osl: Option<u32>,
    /// Send each request at the trace's own instant (an open loop)
    #[arg(long, num_args = 0, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<bool>,
    /// Replay so many times faster than the trace
    #[arg(long, value_name = "X")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_scale: Option<f64>,
    /// Part of a trace in its own time, in seconds from its first entry, e.g. `600..1200`
    #[arg(long, value_name = "START..END")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_window: Option<TraceWindow>,
    /// Different prompts of each run, which come again and again (default: as many as requests)
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_prompts: Option<u32>,
    /// Embeddings and rerank: texts or documents of each request; several for a sweep, e.g. `1,8` (default: 1)
    #[arg(long, value_name = "N", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub batch_size: Option<Vec<u32>>,
    /// Chat: each request carries an image of this folder, by name and in turns
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_folder: Option<PathBuf>,
    /// Chat: each request carries this image, which the server fetches; several are taken in turns
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "list_or_one::read")]
    pub image_url: Option<Vec<String>>,
    /// JSON and CSV: column of an image, or of a list: an address, a file beside the workload, or data
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// Images of each request, with `--image-folder` or `--image-url` (default: 1)
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_request: Option<u32>,
    /// Conversations: what later prompts repeat, the model's own answers or the recorded ones (default: model)
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Conversations: how long a user thinks before each later turn, where the file does not say it (default: 0s)
    #[arg(long, value_name = "SPAN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub think_time: Option<HumanDuration>,
    /// Conversations of each run, instead of requests
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// Mean prompt length: with `--osl`, another spelling of a scenario
    #[arg(long, value_name = "N", visible_alias = "isl", alias = "synthetic-input-tokens-mean")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens_mean: Option<f64>,
    /// Standard deviation of prompt lengths (default: 0)
    #[arg(
        long,
        value_name = "N",
        visible_alias = "isl-stddev",
        alias = "synthetic-input-tokens-stddev"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens_stddev: Option<f64>,
    /// Mean output length
    #[arg(long, value_name = "N", visible_alias = "osl")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_mean: Option<f64>,
    /// Standard deviation of output lengths (default: 0)
    #[arg(long, value_name = "N", visible_alias = "osl-stddev")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens_stddev: Option<f64>,
}
