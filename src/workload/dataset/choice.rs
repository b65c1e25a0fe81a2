//! File workload as it is asked for: kind, path, order, columns and bounds.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::format::Format;
use super::formats;
use crate::clock::Nanos;

/// A published format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// ShareGPT's conversations.
    Sharegpt,
    /// OpenOrca's questions and answers.
    Openorca,
    /// CNN/DailyMail's articles and highlights.
    CnnDailymail,
    /// JSON values with a prompt column, one a line or in one array.
    Jsonl,
    /// The same by its other name.
    Json,
    /// A table with a prompt column.
    Csv,
    /// A prompt on each line.
    Text,
    /// `trtllm-bench --dataset`.
    TrtllmBench,
    /// `gptManagerBenchmark --dataset`.
    GptManager,
    /// GenAI-Perf's and aiperf's `--input-data`.
    GenaiPerf,
    /// A dataset configuration of genai-bench, which names a file of another kind.
    GenaiBench,
    /// Mooncake's trace.
    Mooncake,
    /// BurstGPT's trace.
    Burstgpt,
    /// Azure's traces of LLM inference.
    AzureLlm,
    /// Conversations of several turns.
    Conversation,
    /// Our own `plan.csv`.
    Plan,
    /// Pairs of lengths.
    Lengths,
    /// Bins of lengths with their counts.
    Histogram,
    /// Parquet with a prompt column.
    Parquet,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Sharegpt,
        Self::Openorca,
        Self::CnnDailymail,
        Self::Jsonl,
        Self::Json,
        Self::Csv,
        Self::Text,
        Self::TrtllmBench,
        Self::GptManager,
        Self::GenaiPerf,
        Self::GenaiBench,
        Self::Mooncake,
        Self::Burstgpt,
        Self::AzureLlm,
        Self::Conversation,
        Self::Plan,
        Self::Lengths,
        Self::Histogram,
        Self::Parquet,
    ];

    /// As it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sharegpt => "sharegpt",
            Self::Openorca => "openorca",
            Self::CnnDailymail => "cnn-dailymail",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Text => "text",
            Self::TrtllmBench => "trtllm-bench",
            Self::GptManager => "gpt-manager",
            Self::GenaiPerf => "genai-perf",
            Self::GenaiBench => "genai-bench",
            Self::Mooncake => "mooncake",
            Self::Burstgpt => "burstgpt",
            Self::AzureLlm => "azure-llm",
            Self::Conversation => "conversation",
            Self::Plan => "plan",
            Self::Lengths => "lengths",
            Self::Histogram => "histogram",
            Self::Parquet => "parquet",
        }
    }

    pub(super) fn format(self) -> &'static dyn Format {
        match self {
            Self::Sharegpt => &formats::sharegpt::ShareGpt,
            Self::Openorca => &formats::openorca::OpenOrca,
            Self::CnnDailymail => &formats::cnn_dailymail::CnnDailyMail,
            // The configuration is followed where settings are resolved, and its file is read.
            Self::Jsonl | Self::Json | Self::GenaiBench => &formats::json::Json,
            Self::Csv => &formats::csv::Csv,
            Self::Text => &formats::text::Text,
            Self::TrtllmBench => &formats::trtllm_bench::TrtllmBench,
            Self::GptManager => &formats::gpt_manager::GptManager,
            Self::GenaiPerf => &formats::genai_perf::GenaiPerf,
            Self::Mooncake => &formats::mooncake::Mooncake,
            Self::Burstgpt => &formats::burstgpt::BurstGpt,
            Self::AzureLlm => &formats::azure_llm::AzureLlm,
            Self::Conversation => &formats::conversation::Conversation,
            Self::Plan => &formats::plan::Plan,
            Self::Lengths => &formats::lengths::Lengths,
            Self::Histogram => &formats::histogram::Histogram,
            Self::Parquet => &formats::parquet::Parquet,
        }
    }

    /// Whether its entries have instants of arrival.
    pub fn has_instants(self) -> bool {
        matches!(self, Self::Mooncake | Self::Burstgpt | Self::AzureLlm | Self::Plan)
    }

    /// Whether its entries are lengths and nothing else, so that their prompts are random as a whole.
    pub fn has_lengths_alone(self) -> bool {
        matches!(self, Self::Burstgpt | Self::AzureLlm | Self::Lengths | Self::Histogram)
    }

    /// Whether its requests are drawn, and are no entries with an order of their own.
    pub fn is_drawn(self) -> bool {
        self == Self::Histogram
    }

    /// Whether its columns can be named.
    pub fn has_columns(self) -> bool {
        matches!(self, Self::Jsonl | Self::Json | Self::Csv | Self::Parquet)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that names no kind and file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No colon, or nothing on one side of it.
    #[error("`{0}` is no workload: write a kind and a file, for example `sharegpt:sharegpt.json`")]
    Form(String),
    /// A kind that is not known.
    #[error("there is no kind of workload `{kind}`: give one of {known}")]
    Kind {
        /// What was typed.
        kind: String,
        /// What could be typed.
        known: String,
    },
}

/// A file and what it is: `KIND:FILE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileSource {
    /// Which format.
    pub kind: FileKind,
    /// Where it lies.
    pub path: PathBuf,
}

impl FromStr for FileSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || SourceError::Form(text.to_owned());
        let (kind, path) = text.split_once(':').ok_or_else(form)?;
        if path.is_empty() {
            return Err(form());
        }
        let known = FileKind::ALL.into_iter().find(|it| it.name() == kind);
        let kind = known.ok_or_else(|| SourceError::Kind {
            kind: kind.to_owned(),
            known: format!("{}, synthetic", FileKind::ALL.map(FileKind::name).join(", ")),
        })?;
        Ok(Self { kind, path: path.into() })
    }
}

impl fmt::Display for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.path.display())
    }
}

impl TryFrom<String> for FileSource {
    type Error = SourceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FileSource> for String {
    fn from(source: FileSource) -> Self {
        source.to_string()
    }
}

/// Order in which entries are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum FileOrder {
    /// Shuffled with the seed.
    #[default]
    Shuffled,
    /// As they stand in the file.
    File,
}

/// Part of a trace, in its own time: `START..END`, with units or in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceWindow {
    /// Seconds from the first entry.
    pub start: f64,
    /// Seconds from the first entry, not itself in the window.
    pub end: f64,
}

/// Text that is no window of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no window of a trace: write seconds from its first entry, `600..1200`")]
pub struct WindowError(String);

impl FromStr for TraceWindow {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = |part: &str| part.trim().trim_end_matches('s').parse::<f64>().ok();
        text.split_once("..")
            .and_then(|(start, end)| Some(Self { start: seconds(start)?, end: seconds(end)? }))
            .filter(|it| it.start >= 0.0 && it.end > it.start && it.end.is_finite())
            .ok_or_else(|| WindowError(text.to_owned()))
    }
}

impl fmt::Display for TraceWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl TryFrom<String> for TraceWindow {
    type Error = WindowError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TraceWindow> for String {
    fn from(window: TraceWindow) -> Self {
        window.to_string()
    }
}

/// A workload from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileWorkload {
    /// Which file.
    pub source: FileSource,
    /// In which order its entries are asked.
    pub order: FileOrder,
    /// Column of the prompt, where it can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_column: Option<String>,
    /// Column of the output's length, where it can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_column: Option<String>,
    /// Column of an image or of several, where it can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_column: Option<String>,
    /// Length of every output, whatever the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u32>,
    /// Bad lines are counted and left out, instead of refused.
    pub skip_bad_lines: bool,
    /// Entries with longer prompts are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_input: Option<u32>,
    /// Entries with longer outputs are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u32>,
    /// Arrivals are the file's.
    pub replay: bool,
    /// The trace's time goes so many times faster.
    pub time_scale: f64,
    /// Which part of the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<TraceWindow>,
    /// How conversations are played, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationRules>,
}

/// How conversations are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationRules {
    /// Which answers later prompts repeat.
    pub history: History,
    /// How long a user thinks before each later turn, where the file does not say it.
    pub think: Nanos,
    /// So many of them at each point; `None` is as many as the requests take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u32>,
    /// What was said before goes as messages, and not as one text.
    pub as_messages: bool,
}

/// Which answers later prompts of a conversation repeat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Those that the model gave in this run.
    #[default]
    Model,
    /// Those of the file.
    Recorded,
}

impl FileWorkload {
    /// All entries of a file, shuffled, as they are.
    pub fn new(source: FileSource) -> Self {
        Self {
            source,
            order: FileOrder::default(),
            prompt_column: None,
            output_column: None,
            image_column: None,
            output_tokens: None,
            skip_bad_lines: false,
            max_input: None,
            max_output: None,
            replay: false,
            time_scale: 1.0,
            window: None,
            conversation: None,
        }
    }
}
