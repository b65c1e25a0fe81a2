//! Settings of a served target: endpoint, model, keys, headers, connections, TLS, tokenizer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::settings::server_metrics::ServerMetricsChoice;
use crate::workload::scenario::Task;
use crate::workload::{PromptKind, SamplingPolicy};

/// Settings of a server; secrets are named by variable or file and never held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServedSettings {
    /// The model's name, where the server has several.
    pub model: Option<String>,
    /// Which endpoint of an OpenAI-compatible server.
    pub endpoint: ServedEndpoint,
    /// The environment variable that holds the key.
    pub api_key_env: Option<String>,
    /// The file that holds the key.
    pub api_key_file: Option<PathBuf>,
    /// Further headers, `Name: value`.
    pub headers: Vec<String>,
    /// Further parameters of every request, a JSON object.
    pub extra_inputs: Option<String>,
    /// `tokenizer.json`, or a folder that holds it.
    pub tokenizer: Option<PathBuf>,
    /// A new connection for each request.
    pub fresh_connections: bool,
    /// HTTP/2, without TLS by prior knowledge.
    pub http2: bool,
    /// Certificates to trust.
    pub ca_file: Option<PathBuf>,
    /// Trust any certificate.
    pub insecure: bool,
    /// `libtritonserver.so` or its folder, for a core in this process.
    pub triton_library: Option<PathBuf>,
    /// Folder of Triton backends, for a core in this process.
    pub triton_backends: Option<PathBuf>,
    /// The member of a request that bounds its output.
    pub output_token_field: OutputTokenField,
    /// Members that requests leave out.
    pub omit: Vec<BodyField>,
    /// Token ids of prompts are below this, where neither server nor tokenizer says so.
    pub vocab_size: Option<u32>,
    /// Go to the server itself, whatever proxy the environment names.
    pub no_proxy: bool,
    /// Where its own metrics are scraped.
    pub server_metrics: ServerMetricsChoice,
    /// For connecting, TLS included.
    pub connect_timeout: Option<Nanos>,
    /// From sending a request to its first token.
    pub first_token_timeout: Option<Nanos>,
    /// Between outputs of a response.
    pub idle_timeout: Option<Nanos>,
    /// Threads that send and read; one where nothing is said.
    pub client_threads: Option<u16>,
    /// Streams of Triton's gRPC protocol that all requests share; one for each request where nothing is said.
    pub triton_streams: Option<u16>,
    /// Connections of Triton's gRPC protocol.
    pub triton_connections: Option<u16>,
    /// Prompts are ids since nobody said otherwise.
    pub ids_by_default: bool,
    /// Prompts are drawn as this.
    pub prompts: Option<PromptKind>,
    /// Outputs run to their asked length.
    pub ignore_eos: bool,
    /// What every request for output says alike.
    pub same_in_all: SameInAll,
}

/// What every request for output says alike, beside the end token.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SameInAll {
    /// Tokens come as they are made.
    pub streaming: bool,
    /// How tokens are sampled.
    pub sampling: SamplingPolicy,
    /// No end token before so many.
    pub min_tokens: u32,
}

/// The member of a request to an OpenAI-compatible server that bounds its output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum OutputTokenField {
    /// What most servers know.
    #[default]
    MaxTokens,
    /// What reasoning models of OpenAI want.
    MaxCompletionTokens,
}

impl OutputTokenField {
    /// As it is called in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

/// A member of a request to an OpenAI-compatible server that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum BodyField {
    /// Outputs run on behind an end token.
    IgnoreEos,
    /// No end token before.
    MinTokens,
    /// The model's name.
    Model,
    /// Seed of sampling.
    Seed,
    /// Asks for the server's own token counts in a stream.
    StreamOptions,
    /// Sampling temperature.
    Temperature,
    /// Candidates of sampling.
    TopK,
    /// Cumulative probability of sampling.
    TopP,
}

impl BodyField {
    /// Every one, in the order of names.
    pub const ALL: [Self; 8] = [
        Self::IgnoreEos,
        Self::MinTokens,
        Self::Model,
        Self::Seed,
        Self::StreamOptions,
        Self::Temperature,
        Self::TopK,
        Self::TopP,
    ];

    /// As it is called in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IgnoreEos => "ignore_eos",
            Self::MinTokens => "min_tokens",
            Self::Model => "model",
            Self::Seed => "seed",
            Self::StreamOptions => "stream_options",
            Self::Temperature => "temperature",
            Self::TopK => "top_k",
            Self::TopP => "top_p",
        }
    }
}

/// Which endpoint of an OpenAI-compatible server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ServedEndpoint {
    /// `/v1/chat/completions`.
    #[default]
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/rerank`.
    Rerank,
}

impl ServedEndpoint {
    /// The one that a task is asked of.
    pub const fn of(task: Task) -> Self {
        match task {
            Task::Text | Task::ImageText => Self::Chat,
            Task::Embeddings => Self::Embeddings,
            Task::Rerank => Self::Rerank,
        }
    }

    /// Whether answers are text.
    pub const fn has_output(self) -> bool {
        match self {
            Self::Chat | Self::Completions => true,
            Self::Embeddings | Self::Rerank => false,
        }
    }
}
