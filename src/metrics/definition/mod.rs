//! Registry of metric definitions. Documents, schemas and tables are checked against it.

#[cfg(test)]
mod documented;
mod table;

use serde::{Deserialize, Serialize};

/// What one number means. Exactly one for each [`Quantity`] and each [`Rate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// The name users type and read, e.g. `ttft`.
    pub id: &'static str,
    /// The key in JSON and the column in CSV: the id and its unit, e.g. `ttft_ms`.
    pub key: &'static str,
    /// The heading in tables, e.g. `Time to first token`.
    pub label: &'static str,
    /// Unit of the value.
    pub unit: Unit,
    /// How it is computed, in the stamps of `docs/METRICS.md`.
    pub formula: &'static str,
    /// The instant it counts from.
    pub origin: Origin,
    /// What one sample is.
    pub per: Per,
    /// Which requests it is taken over.
    pub over: Over,
    /// Which direction a user wants.
    pub better: Better,
    /// Absent where output is not streamed.
    pub needs_streaming: bool,
}

/// Unit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Milliseconds.
    Ms,
    /// A number of tokens.
    Tokens,
    /// Tokens per second.
    TokensPerS,
    /// Requests per second.
    RequestsPerS,
    /// Texts or documents per second.
    DocumentsPerS,
    /// Images per second.
    ImagesPerS,
    /// A share from 0 to 1.
    Fraction,
    /// Joules.
    Joules,
    /// Tokens per joule, which is tokens per second and watt.
    TokensPerJoule,
}

impl Unit {
    /// As printed behind a number.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Ms => "ms",
            Self::Tokens => "tokens",
            Self::TokensPerS => "tokens/s",
            Self::RequestsPerS => "requests/s",
            Self::DocumentsPerS => "documents/s",
            Self::ImagesPerS => "images/s",
            Self::Fraction => "",
            Self::Joules => "J",
            Self::TokensPerJoule => "tokens/J",
        }
    }
}

/// The instant a number counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `t_submit`: the call that hands the request over.
    Submit,
    /// `t_intended`: when the schedule says that the request arrives.
    Intended,
    /// The first token.
    FirstToken,
    /// The last token.
    LastToken,
    /// The previous delivery that carried tokens.
    PreviousDelivery,
    /// The engine's own stamps.
    Engine,
    /// The instant at which the harness was allowed to send.
    Ready,
    /// The beginning of connecting.
    Connecting,
    /// The measurement window.
    Window,
    /// A count: nothing is timed.
    Count,
}

impl Origin {
    /// As printed in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Intended => "intended",
            Self::FirstToken => "first token",
            Self::LastToken => "last token",
            Self::PreviousDelivery => "previous delivery",
            Self::Engine => "engine stamps",
            Self::Ready => "ready",
            Self::Connecting => "connecting",
            Self::Window => "window",
            Self::Count => "count",
        }
    }
}

/// What one sample of a number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One value for each request.
    Request,
    /// One value for each token, pooled over all requests.
    Token,
    /// One value for each delivery, pooled over all requests.
    Delivery,
    /// One value for the run.
    Run,
}

impl Per {
    /// As printed in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Token => "token, pooled",
            Self::Delivery => "delivery, pooled",
            Self::Run => "run",
        }
    }
}

/// Which requests a number is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Requests of which all output arrived, wherever they ended.
    Completed,
    /// All requests that have the stamps, whatever became of them.
    All,
}

impl Over {
    /// As printed in documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::All => "all",
        }
    }
}

/// Which direction a user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Latencies.
    Lower,
    /// Rates.
    Higher,
    /// Sizes: neither is better.
    Neither,
}

/// A number with one value per request, token or delivery: shown as a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Quantity {
    /// Time to first token.
    #[serde(rename = "ttft_ms")]
    Ttft,
    /// Time to first token from the intended arrival.
    #[serde(rename = "ttft_intended_ms")]
    TtftIntended,
    /// Request latency.
    #[serde(rename = "e2e_ms")]
    E2e,
    /// Request latency from the intended arrival.
    #[serde(rename = "e2e_intended_ms")]
    E2eIntended,
    /// Time per output token, without the first.
    #[serde(rename = "tpot_ms")]
    Tpot,
    /// Inter-token latency.
    #[serde(rename = "itl_ms")]
    Itl,
    /// Inter-chunk latency.
    #[serde(rename = "icl_ms")]
    Icl,
    /// Largest gap of a request.
    #[serde(rename = "stall_ms")]
    Stall,
    /// Normalised latency.
    #[serde(rename = "norm_latency_ms")]
    NormLatency,
    /// What comes after the last token.
    #[serde(rename = "stream_close_ms")]
    StreamClose,
    /// Wait for a slot in the batch.
    #[serde(rename = "queue_ms")]
    Queue,
    /// Prefill time in the engine.
    #[serde(rename = "prefill_ms")]
    Prefill,
    /// Decode time in the engine.
    #[serde(rename = "decode_ms")]
    Decode,
    /// What lies between the caller and the engine.
    #[serde(rename = "overhead_ttft_ms")]
    OverheadTtft,
    /// Speed that one user sees.
    #[serde(rename = "per_user_tokens_per_s")]
    PerUser,
    /// Output length.
    #[serde(rename = "output_tokens")]
    OutputTokens,
    /// Prompt length.
    #[serde(rename = "prompt_tokens")]
    PromptTokens,
    /// How late the harness sent.
    #[serde(rename = "schedule_lag_ms")]
    ScheduleLag,
    /// How late the harness looked.
    #[serde(rename = "pull_lag_ms")]
    PullLag,
    /// How long the connection took to open.
    #[serde(rename = "connect_ms")]
    Connect,
    /// Share of the prompt's blocks that were in the KV cache.
    #[serde(rename = "kv_hit_fraction")]
    KvHit,
    /// Share of draft tokens that were accepted.
    #[serde(rename = "draft_acceptance_fraction")]
    DraftAcceptance,
}

/// A number with one value per run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rate {
    /// Output tokens per second.
    #[serde(rename = "output_throughput_tokens_per_s")]
    OutputThroughput,
    /// Prompt and output tokens per second.
    #[serde(rename = "total_throughput_tokens_per_s")]
    TotalThroughput,
    /// Prompt tokens per second.
    #[serde(rename = "input_throughput_tokens_per_s")]
    InputThroughput,
    /// Requests per second.
    #[serde(rename = "request_throughput_per_s")]
    RequestThroughput,
    /// Texts or documents per second.
    #[serde(rename = "document_throughput_per_s")]
    DocumentThroughput,
    /// Images per second.
    #[serde(rename = "image_throughput_per_s")]
    ImageThroughput,
    /// Output tokens per second and GPU.
    #[serde(rename = "per_gpu_output_tokens_per_s")]
    PerGpuOutput,
    /// Prompt and output tokens per second and GPU.
    #[serde(rename = "per_gpu_total_tokens_per_s")]
    PerGpuTotal,
    /// Requests per second that meet every SLO.
    #[serde(rename = "goodput_per_s")]
    Goodput,
    /// Share of attempted requests that meet every SLO.
    #[serde(rename = "good_fraction")]
    GoodFraction,
    /// Energy of the watched GPUs per output token.
    #[serde(rename = "energy_per_output_token_j")]
    EnergyPerOutputToken,
    /// Output tokens per joule of the watched GPUs.
    #[serde(rename = "output_tokens_per_joule")]
    OutputTokensPerJoule,
}

impl Quantity {
    /// Every quantity, in the order of files and tables.
    pub const ALL: [Self; 22] = [
        Self::Ttft,
        Self::TtftIntended,
        Self::E2e,
        Self::E2eIntended,
        Self::Tpot,
        Self::Itl,
        Self::Icl,
        Self::Stall,
        Self::NormLatency,
        Self::StreamClose,
        Self::Queue,
        Self::Prefill,
        Self::Decode,
        Self::OverheadTtft,
        Self::PerUser,
        Self::OutputTokens,
        Self::PromptTokens,
        Self::ScheduleLag,
        Self::PullLag,
        Self::Connect,
        Self::KvHit,
        Self::DraftAcceptance,
    ];

    /// What it means.
    pub const fn definition(self) -> &'static Definition {
        match self {
            Self::Ttft => &table::TTFT,
            Self::TtftIntended => &table::TTFT_INTENDED,
            Self::E2e => &table::E2E,
            Self::E2eIntended => &table::E2E_INTENDED,
            Self::Tpot => &table::TPOT,
            Self::Itl => &table::ITL,
            Self::Icl => &table::ICL,
            Self::Stall => &table::STALL,
            Self::NormLatency => &table::NORM_LATENCY,
            Self::StreamClose => &table::STREAM_CLOSE,
            Self::Queue => &table::QUEUE,
            Self::Prefill => &table::PREFILL,
            Self::Decode => &table::DECODE,
            Self::OverheadTtft => &table::OVERHEAD_TTFT,
            Self::PerUser => &table::PER_USER,
            Self::OutputTokens => &table::OUTPUT_TOKENS,
            Self::PromptTokens => &table::PROMPT_TOKENS,
            Self::ScheduleLag => &table::SCHEDULE_LAG,
            Self::PullLag => &table::PULL_LAG,
            Self::Connect => &table::CONNECT,
            Self::KvHit => &table::KV_HIT,
            Self::DraftAcceptance => &table::DRAFT_ACCEPTANCE,
        }
    }
}

impl Rate {
    /// Every rate, in the order of files and tables.
    pub const ALL: [Self; 12] = [
        Self::OutputThroughput,
        Self::TotalThroughput,
        Self::InputThroughput,
        Self::RequestThroughput,
        Self::DocumentThroughput,
        Self::ImageThroughput,
        Self::PerGpuOutput,
        Self::PerGpuTotal,
        Self::Goodput,
        Self::GoodFraction,
        Self::EnergyPerOutputToken,
        Self::OutputTokensPerJoule,
    ];

    /// What it means.
    pub const fn definition(self) -> &'static Definition {
        match self {
            Self::OutputThroughput => &table::OUTPUT_THROUGHPUT,
            Self::TotalThroughput => &table::TOTAL_THROUGHPUT,
            Self::InputThroughput => &table::INPUT_THROUGHPUT,
            Self::RequestThroughput => &table::REQUEST_THROUGHPUT,
            Self::DocumentThroughput => &table::DOCUMENT_THROUGHPUT,
            Self::ImageThroughput => &table::IMAGE_THROUGHPUT,
            Self::PerGpuOutput => &table::PER_GPU_OUTPUT,
            Self::PerGpuTotal => &table::PER_GPU_TOTAL,
            Self::Goodput => &table::GOODPUT,
            Self::GoodFraction => &table::GOOD_FRACTION,
            Self::EnergyPerOutputToken => &table::ENERGY_PER_OUTPUT_TOKEN,
            Self::OutputTokensPerJoule => &table::OUTPUT_TOKENS_PER_JOULE,
        }
    }
}
