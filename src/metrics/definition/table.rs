//! Metric definitions: the text that users read, one constant per metric.

use super::{Better, Definition, Origin, Over, Per, Unit};

pub(super) const TTFT: Definition = Definition {
    id: "ttft",
    key: "ttft_ms",
    label: "Time to first token",
    unit: Unit::Ms,
    formula: "t_first − t_submit",
    origin: Origin::Submit,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const TTFT_INTENDED: Definition = Definition {
    id: "ttft_intended",
    key: "ttft_intended_ms",
    label: "Time to first token, from the intended arrival",
    unit: Unit::Ms,
    formula: "t_first − t_intended",
    origin: Origin::Intended,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const E2E: Definition = Definition {
    id: "e2e",
    key: "e2e_ms",
    label: "Request latency",
    unit: Unit::Ms,
    formula: "t_last − t_submit; t_end − t_submit where nothing was streamed",
    origin: Origin::Submit,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const E2E_INTENDED: Definition = Definition {
    id: "e2e_intended",
    key: "e2e_intended_ms",
    label: "Request latency, from the intended arrival",
    unit: Unit::Ms,
    formula: "the same end − t_intended",
    origin: Origin::Intended,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const TPOT: Definition = Definition {
    id: "tpot",
    key: "tpot_ms",
    label: "Time per output token",
    unit: Unit::Ms,
    formula: "(t_last − t_first) / (n − n_first)",
    origin: Origin::FirstToken,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const ITL: Definition = Definition {
    id: "itl",
    key: "itl_ms",
    label: "Inter-token latency",
    unit: Unit::Ms,
    formula: "(t_k − t_prev) / n_k, weighted by n_k",
    origin: Origin::PreviousDelivery,
    per: Per::Token,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const ICL: Definition = Definition {
    id: "icl",
    key: "icl_ms",
    label: "Inter-chunk latency",
    unit: Unit::Ms,
    formula: "t_k − t_prev",
    origin: Origin::PreviousDelivery,
    per: Per::Delivery,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const STALL: Definition = Definition {
    id: "stall",
    key: "stall_ms",
    label: "Largest gap",
    unit: Unit::Ms,
    formula: "max over k of (t_k − t_prev)",
    origin: Origin::PreviousDelivery,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const NORM_LATENCY: Definition = Definition {
    id: "norm_latency",
    key: "norm_latency_ms",
    label: "Normalised latency",
    unit: Unit::Ms,
    formula: "e2e_intended / n",
    origin: Origin::Intended,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const STREAM_CLOSE: Definition = Definition {
    id: "stream_close",
    key: "stream_close_ms",
    label: "Close of the stream",
    unit: Unit::Ms,
    formula: "t_end − t_last",
    origin: Origin::LastToken,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const QUEUE: Definition = Definition {
    id: "queue",
    key: "queue_ms",
    label: "Queue time",
    unit: Unit::Ms,
    formula: "first_scheduled − arrival",
    origin: Origin::Engine,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const PREFILL: Definition = Definition {
    id: "prefill",
    key: "prefill_ms",
    label: "Prefill time",
    unit: Unit::Ms,
    formula: "first_token − first_scheduled",
    origin: Origin::Engine,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const DECODE: Definition = Definition {
    id: "decode",
    key: "decode_ms",
    label: "Decode time",
    unit: Unit::Ms,
    formula: "last_token − first_token",
    origin: Origin::Engine,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const OVERHEAD_TTFT: Definition = Definition {
    id: "overhead_ttft",
    key: "overhead_ttft_ms",
    label: "Overhead in time to first token",
    unit: Unit::Ms,
    formula: "(t_first − t_submit) − (first_token − arrival)",
    origin: Origin::Submit,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Lower,
    needs_streaming: true,
};

pub(super) const PER_USER: Definition = Definition {
    id: "per_user",
    key: "per_user_tokens_per_s",
    label: "Output speed per user",
    unit: Unit::TokensPerS,
    formula: "1 / tpot",
    origin: Origin::FirstToken,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Higher,
    needs_streaming: true,
};

pub(super) const OUTPUT_TOKENS: Definition = Definition {
    id: "output_tokens",
    key: "output_tokens",
    label: "Output length",
    unit: Unit::Tokens,
    formula: "n",
    origin: Origin::Count,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Neither,
    needs_streaming: false,
};

pub(super) const PROMPT_TOKENS: Definition = Definition {
    id: "prompt_tokens",
    key: "prompt_tokens",
    label: "Prompt length",
    unit: Unit::Tokens,
    formula: "tokens of the prompt as planned; as the server counts them where only its text was known",
    origin: Origin::Count,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Neither,
    needs_streaming: false,
};

pub(super) const SCHEDULE_LAG: Definition = Definition {
    id: "schedule_lag",
    key: "schedule_lag_ms",
    label: "Schedule lag",
    unit: Unit::Ms,
    formula: "t_submit − t_ready",
    origin: Origin::Ready,
    per: Per::Request,
    over: Over::All,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const PULL_LAG: Definition = Definition {
    id: "pull_lag",
    key: "pull_lag_ms",
    label: "Pull lag",
    unit: Unit::Ms,
    formula: "engine: largest of t_first − first_token and t_last − last_token; kernel: largest of read − t_k",
    origin: Origin::Engine,
    per: Per::Request,
    over: Over::All,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const CONNECT: Definition = Definition {
    id: "connect",
    key: "connect_ms",
    label: "Connection set-up",
    unit: Unit::Ms,
    formula: "name, TCP and TLS of the connection that was opened for the request, or that it was the first to use",
    origin: Origin::Connecting,
    per: Per::Request,
    over: Over::All,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const KV_HIT: Definition = Definition {
    id: "kv_hit",
    key: "kv_hit_fraction",
    label: "Prompt found in the KV cache",
    unit: Unit::Fraction,
    formula: "reused ÷ (reused + missed) blocks; of a server, cached ÷ prompt tokens",
    origin: Origin::Count,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const DRAFT_ACCEPTANCE: Definition = Definition {
    id: "draft_acceptance",
    key: "draft_acceptance_fraction",
    label: "Draft tokens accepted",
    unit: Unit::Fraction,
    formula: "accepted ÷ proposed draft tokens",
    origin: Origin::Count,
    per: Per::Request,
    over: Over::Completed,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const OUTPUT_THROUGHPUT: Definition = Definition {
    id: "output_throughput",
    key: "output_throughput_tokens_per_s",
    label: "Output throughput",
    unit: Unit::TokensPerS,
    formula: "Σ n_k with t_k in the window ÷ window",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::All,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const TOTAL_THROUGHPUT: Definition = Definition {
    id: "total_throughput",
    key: "total_throughput_tokens_per_s",
    label: "Total throughput",
    unit: Unit::TokensPerS,
    formula: "output_throughput + input_throughput",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::All,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const INPUT_THROUGHPUT: Definition = Definition {
    id: "input_throughput",
    key: "input_throughput_tokens_per_s",
    label: "Input throughput",
    unit: Unit::TokensPerS,
    formula: "prompt tokens of requests with t_first in the window, or t_end where completed without any output, ÷ window",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::All,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const REQUEST_THROUGHPUT: Definition = Definition {
    id: "request_throughput",
    key: "request_throughput_per_s",
    label: "Request throughput",
    unit: Unit::RequestsPerS,
    formula: "completed requests with t_end in the window ÷ window",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::Completed,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const DOCUMENT_THROUGHPUT: Definition = Definition {
    id: "document_throughput",
    key: "document_throughput_per_s",
    label: "Document throughput",
    unit: Unit::DocumentsPerS,
    formula: "request_throughput × texts or documents of a request",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::Completed,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const IMAGE_THROUGHPUT: Definition = Definition {
    id: "image_throughput",
    key: "image_throughput_per_s",
    label: "Image throughput",
    unit: Unit::ImagesPerS,
    formula: "request_throughput × images of a request",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::Completed,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const PER_GPU_OUTPUT: Definition = Definition {
    id: "per_gpu_output",
    key: "per_gpu_output_tokens_per_s",
    label: "Output throughput per GPU",
    unit: Unit::TokensPerS,
    formula: "output_throughput ÷ GPUs",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::All,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const PER_GPU_TOTAL: Definition = Definition {
    id: "per_gpu_total",
    key: "per_gpu_total_tokens_per_s",
    label: "Total throughput per GPU",
    unit: Unit::TokensPerS,
    formula: "total_throughput ÷ GPUs",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::All,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const GOODPUT: Definition = Definition {
    id: "goodput",
    key: "goodput_per_s",
    label: "Goodput",
    unit: Unit::RequestsPerS,
    formula: "requests that meet every SLO with t_end in the window ÷ window",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::Completed,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const GOOD_FRACTION: Definition = Definition {
    id: "good_fraction",
    key: "good_fraction",
    label: "Good fraction",
    unit: Unit::Fraction,
    formula: "requests that meet every SLO ÷ attempted requests",
    origin: Origin::Count,
    per: Per::Run,
    over: Over::All,
    better: Better::Higher,
    needs_streaming: false,
};

pub(super) const ENERGY_PER_OUTPUT_TOKEN: Definition = Definition {
    id: "energy_per_output_token",
    key: "energy_per_output_token_j",
    label: "Energy per output token",
    unit: Unit::Joules,
    formula: "energy of the watched GPUs over the window ÷ Σ n_k with t_k in the window",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::All,
    better: Better::Lower,
    needs_streaming: false,
};

pub(super) const OUTPUT_TOKENS_PER_JOULE: Definition = Definition {
    id: "output_tokens_per_joule",
    key: "output_tokens_per_joule",
    label: "Output tokens per joule",
    unit: Unit::TokensPerJoule,
    formula: "Σ n_k with t_k in the window ÷ energy of the watched GPUs over the window",
    origin: Origin::Window,
    per: Per::Run,
    over: Over::All,
    better: Better::Higher,
    needs_streaming: false,
};
