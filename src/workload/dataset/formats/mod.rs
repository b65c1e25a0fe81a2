//! Published formats of workloads, one file each.

pub(super) mod azure_llm;
pub(super) mod burstgpt;
pub(super) mod cnn_dailymail;
pub(super) mod conversation;
pub(super) mod csv;
pub(super) mod genai_perf;
pub(super) mod gpt_manager;
pub(super) mod histogram;
pub(super) mod json;
pub(super) mod lengths;
pub(super) mod mooncake;
pub(super) mod openorca;
pub(super) mod parquet;
pub(super) mod plan;
pub(super) mod sharegpt;
pub(super) mod text;
pub(super) mod trtllm_bench;
