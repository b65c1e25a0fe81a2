//! Normalisation of a server's metrics: what vLLM, SGLang, TensorRT-LLM, Triton, llama.cpp and our own server call the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::observe::server_metrics::exposition::{Series, parse};

/// What a server says of itself at one instant; `None` is what it does not tell. Counters count from its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// Requests that are computed.
    pub running: Option<f64>,
    /// Requests that wait.
    pub waiting: Option<f64>,
    /// Share of the KV cache that is held, 0 to 1.
    pub kv_used: Option<f64>,
    /// Share of prompt tokens found in the prefix cache, 0 to 1, as the server itself averages it.
    pub prefix_hit_rate: Option<f64>,
    /// Counter: what was looked up in the prefix cache, in tokens or blocks.
    pub prefix_queries: Option<f64>,
    /// Counter: what of it was found.
    pub prefix_hits: Option<f64>,
    /// Counter: requests that were interrupted for want of memory.
    pub preemptions: Option<f64>,
    /// Counter: seconds that requests have waited before they were computed.
    pub queue_s: Option<f64>,
    /// Counter: requests whose wait is in it.
    pub queued: Option<f64>,
}

/// One answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Which server's names it has.
    pub server: &'static str,
    /// Normalised.
    pub levels: Levels,
    /// As the server named them, without buckets of histograms.
    pub raw: BTreeMap<String, f64>,
}

/// How several series of one name make one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// Engines add up.
    Sum,
    /// Shares are averaged.
    Mean,
    /// Steps of one request, each of which counts it.
    Max,
}

/// A series that means something; the name with `:` as `_`, and a label that it must have.
type Rule = (&'static str, Option<(&'static str, &'static str)>, Over);

/// What one server calls things: for each number, rules of which the first that finds something counts.
struct Dialect {
    server: &'static str,
    prefix: &'static str,
    running: &'static [Rule],
    waiting: &'static [Rule],
    kv_used: &'static [Rule],
    prefix_hit_rate: &'static [Rule],
    prefix_queries: &'static [Rule],
    prefix_hits: &'static [Rule],
    preemptions: &'static [Rule],
    queue: &'static [Rule],
    /// Of the unit of `queue`, how many make a second.
    queue_units_per_s: f64,
    queued: &'static [Rule],
}

const NONE: &[Rule] = &[];
const LABELLED: &str = "nv_trt_llm_request_metrics";
const BLOCKS: &str = "nv_trt_llm_kv_cache_block_metrics";

/// Counters of what was found in a prefix cache and of what was not, for servers that count no look-ups.
const FOUND_AND_MISSED: [(&str, &str); 2] = [
    ("trtllm_kv_cache_reused_blocks_total", "trtllm_kv_cache_missed_blocks_total"),
    ("llamacpp_prompt_tokens_cached_total", "llamacpp_prompt_tokens_total"),
];

const DIALECTS: [Dialect; 6] = [
    Dialect {
        server: "vLLM",
        prefix: "vllm_",
        running: &[("vllm_num_requests_running", None, Over::Sum)],
        waiting: &[("vllm_num_requests_waiting", None, Over::Sum)],
        kv_used: &[
            ("vllm_kv_cache_usage_perc", None, Over::Mean),
            ("vllm_gpu_cache_usage_perc", None, Over::Mean),
        ],
        prefix_hit_rate: &[("vllm_gpu_prefix_cache_hit_rate", None, Over::Mean)],
        prefix_queries: &[
            ("vllm_prefix_cache_queries_total", None, Over::Sum),
            ("vllm_gpu_prefix_cache_queries_total", None, Over::Sum),
        ],
        prefix_hits: &[
            ("vllm_prefix_cache_hits_total", None, Over::Sum),
            ("vllm_gpu_prefix_cache_hits_total", None, Over::Sum),
        ],
        preemptions: &[("vllm_num_preemptions_total", None, Over::Sum)],
        queue: &[("vllm_request_queue_time_seconds_sum", None, Over::Sum)],
        queue_units_per_s: 1.0,
        queued: &[("vllm_request_queue_time_seconds_count", None, Over::Sum)],
    },
    Dialect {
        server: "SGLang",
        prefix: "sglang_",
        running: &[("sglang_num_running_reqs", None, Over::Sum)],
        waiting: &[("sglang_num_queue_reqs", None, Over::Sum)],
        kv_used: &[("sglang_token_usage", None, Over::Mean)],
        prefix_hit_rate: &[("sglang_cache_hit_rate", None, Over::Mean)],
        prefix_queries: &[("sglang_prompt_tokens_total", None, Over::Sum)],
        prefix_hits: &[("sglang_cached_tokens_total", None, Over::Sum)],
        preemptions: &[("sglang_num_retracted_requests_total", None, Over::Sum)],
        queue: &[("sglang_queue_time_seconds_sum", None, Over::Sum)],
        queue_units_per_s: 1.0,
        queued: &[("sglang_queue_time_seconds_count", None, Over::Sum)],
    },
    Dialect {
        server: "TensorRT-LLM",
        prefix: "trtllm_",
        running: &[("trtllm_num_requests_running", None, Over::Sum)],
        waiting: &[("trtllm_num_requests_waiting", None, Over::Sum)],
        kv_used: &[("trtllm_kv_cache_utilization", None, Over::Mean)],
        prefix_hit_rate: &[("trtllm_kv_cache_hit_rate", None, Over::Mean)],
        prefix_queries: NONE,
        prefix_hits: NONE,
        preemptions: NONE,
        queue: &[("trtllm_request_queue_time_seconds_sum", None, Over::Sum)],
        queue_units_per_s: 1.0,
        queued: &[("trtllm_request_queue_time_seconds_count", None, Over::Sum)],
    },
    Dialect {
        server: "Triton",
        prefix: "nv_",
        running: &[(LABELLED, Some(("request_type", "scheduled")), Over::Sum)],
        waiting: &[
            (LABELLED, Some(("request_type", "waiting")), Over::Sum),
            ("nv_inference_pending_request_count", None, Over::Max),
        ],
        kv_used: &[(BLOCKS, Some(("kv_cache_block_type", "fraction")), Over::Mean)],
        prefix_hit_rate: NONE,
        prefix_queries: NONE,
        prefix_hits: NONE,
        preemptions: NONE,
        queue: &[("nv_inference_queue_duration_us", None, Over::Sum)],
        queue_units_per_s: 1e6,
        queued: &[("nv_inference_request_success", None, Over::Max)],
    },
    Dialect {
        server: "llama.cpp",
        prefix: "llamacpp_",
        running: &[("llamacpp_requests_processing", None, Over::Sum)],
        waiting: &[("llamacpp_requests_deferred", None, Over::Sum)],
        kv_used: &[("llamacpp_kv_cache_usage_ratio", None, Over::Mean)],
        prefix_hit_rate: NONE,
        prefix_queries: NONE,
        prefix_hits: NONE,
        preemptions: NONE,
        queue: NONE,
        queue_units_per_s: 1.0,
        queued: NONE,
    },
    Dialect {
        server: "bareflight",
        prefix: "bareflight_",
        running: &[("bareflight_num_requests_running", None, Over::Sum)],
        waiting: &[("bareflight_num_requests_waiting", None, Over::Sum)],
        kv_used: NONE,
        prefix_hit_rate: NONE,
        prefix_queries: NONE,
        prefix_hits: NONE,
        preemptions: NONE,
        queue: NONE,
        queue_units_per_s: 1.0,
        queued: NONE,
    },
];

/// Reads an answer; `None` where it has no metric of a server that is known.
pub fn read(text: &str) -> Option<Reading> {
    let named: Vec<(String, Series<'_>)> =
        parse(text).map(|series| (series.name.replace(':', "_"), series)).collect();
    let has = |dialect: &&Dialect| named.iter().any(|(name, _)| name.starts_with(dialect.prefix));
    let dialect = DIALECTS.iter().find(has)?;
    let of = |rules: &[Rule]| rules.iter().find_map(|rule| found(&named, *rule));
    let mut levels = Levels {
        running: of(dialect.running),
        waiting: of(dialect.waiting),
        kv_used: of(dialect.kv_used),
        prefix_hit_rate: of(dialect.prefix_hit_rate),
        prefix_queries: of(dialect.prefix_queries),
        prefix_hits: of(dialect.prefix_hits),
        preemptions: of(dialect.preemptions),
        queue_s: of(dialect.queue).map(|units| units / dialect.queue_units_per_s),
        queued: of(dialect.queued),
    };
    derive(&mut levels, &named);
    let raw = named
        .iter()
        .filter(|(name, _)| name.starts_with(dialect.prefix) && !name.ends_with("_bucket"))
        .map(|(_, series)| (series.key(), series.value))
        .collect();
    Some(Reading { server: dialect.server, levels, raw })
}

/// What older versions tell in parts only.
fn derive(levels: &mut Levels, named: &[(String, Series<'_>)]) {
    let blocks = |kind| found(named, (BLOCKS, Some(("kv_cache_block_type", kind)), Over::Sum));
    if let (None, Some(used), Some(most)) = (levels.kv_used, blocks("used"), blocks("max")) {
        levels.kv_used = (most > 0.0).then_some(used / most);
    }
    let counter = |name| found(named, (name, None, Over::Sum));
    for (found, missed) in FOUND_AND_MISSED {
        if let (Some(hits), Some(missed)) = (counter(found), counter(missed)) {
            levels.prefix_hits = Some(hits);
            levels.prefix_queries = Some(hits + missed);
        }
    }
    // One of the two alone says nothing.
    if levels.prefix_hits.is_none() || levels.prefix_queries.is_none() {
        (levels.prefix_hits, levels.prefix_queries) = (None, None);
    }
}

fn found(named: &[(String, Series<'_>)], (name, label, over): Rule) -> Option<f64> {
    let values = named
        .iter()
        .filter(|(its_name, _)| its_name == name)
        .filter(|(_, series)| label.is_none_or(|(key, value)| series.label(key) == Some(value)))
        .map(|(_, series)| series.value);
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        return None;
    }
    let sum: f64 = values.iter().sum();
    Some(match over {
        Over::Sum => sum,
        Over::Mean => sum / values.len() as f64,
        Over::Max => values.iter().copied().fold(f64::MIN, f64::max),
    })
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
