//! Settings of an in-process engine, recorded as resolved in the manifest.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::request::terms::TokenSequences;
use crate::settings::engine_arg::EngineArg;

/// Settings of an engine in this process; `None` leaves a value to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// Requests in one batch, at most.
    pub max_batch_size: Option<u32>,
    /// Tokens in one iteration, at most: prompt chunks and one per running request.
    pub max_num_tokens: Option<u32>,
    /// Requests that may wait; more are refused.
    pub max_queue_size: Option<u32>,
    /// Who may run when KV-cache memory is short.
    pub capacity_policy: CapacityPolicy,
    /// How prompts share the budget of one iteration.
    pub chunking_policy: ChunkingPolicy,
    /// Split long prompts over several iterations.
    pub chunked_context: bool,
    /// Reuse KV-cache blocks of equal prefixes. Off, so that a benchmark starts cold unless asked otherwise.
    pub kv_reuse: bool,
    /// KV-cache capacity in tokens.
    pub kv_tokens: Option<u32>,
    /// Share of the GPU memory left after loading that the KV cache may take.
    pub kv_fraction: Option<f32>,
    /// Host memory in bytes for KV-cache blocks that the GPU has no room for.
    pub kv_host_cache_bytes: Option<u64>,
    /// With reuse: take over the equal part of a block too. Always set, since the library's default changed.
    pub kv_partial_reuse: bool,
    /// Longest attention window of each layer in tokens, repeated over the layers.
    pub attention_windows: Vec<u32>,
    /// First tokens that stay in a bounded attention window.
    pub sink_tokens: Option<u32>,
    /// With reuse: events of the KV cache that wait to be read, at most; `None` asks for none.
    pub kv_events: Option<u32>,
    /// Run the model through CUDA graphs.
    pub cuda_graphs: bool,
    /// CUDA graphs that are kept.
    pub cuda_graph_cache: Option<u32>,
    /// Multi-block attention. Always set, since the library's default changed.
    pub multi_block: bool,
    /// Weights that stay on the GPU, in percent.
    pub weights_percent: f32,
    /// Beams that the executor is opened for.
    pub max_beam_width: u32,
    /// How tokens are chosen, and whether drafts are tried; `None` leaves it to the engine.
    pub decoding: Option<Decoding>,
    /// Sizes of lookahead decoding.
    pub lookahead: Option<Lookahead>,
    /// The tree of drafts of Medusa or Eagle, as paths of choices.
    pub draft_choices: Option<TokenSequences>,
    /// A second engine that proposes tokens, which this one verifies.
    pub drafting: Option<Drafting>,
    /// GPUs to use; empty leaves it to the engine.
    pub device_ids: Vec<u32>,
    /// Folder of LoRA adapters, one folder per task id.
    pub lora_dir: Option<PathBuf>,
    /// Largest rank of a LoRA adapter.
    pub lora_max_rank: Option<u32>,
    /// Share of the GPU memory left after loading that LoRA adapters may take.
    pub lora_fraction: Option<f32>,
    /// Host memory in bytes for LoRA adapters.
    pub lora_host_cache_bytes: Option<u64>,
    /// Ask the engine for its own stamps of each request.
    pub perf_metrics: bool,
    /// Iterations whose statistics are kept until they are read; 0 switches them off, and `None` leaves the number to
    /// the target: [`DEFAULT_ITERATION_STATS`], but none where iterations take no time.
    pub iteration_stats: Option<u32>,
    /// Lines that the executor writes; `None` leaves it to the environment.
    pub log_level: Option<LogLevel>,
    /// Arguments of the engine's own, passed on as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub engine_args: Vec<EngineArg>,
    /// Interpreter of the environment whose engine it is, in a process of its own; `None` is this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// Program whose processes hold the engine (orchestrator mode); `None` holds it in this process and the ranks
    /// that `mpirun` started.
    pub worker: Option<PathBuf>,
    /// Threads of the embedded engine.
    pub threads: Option<u32>,
    /// Weights of the embedded engine.
    pub quantization: Quantization,
}

/// As many as the executor keeps by itself. They are read every 20 ms, so that up to 50 000 iterations a second are seen.
pub const DEFAULT_ITERATION_STATS: u32 = 1_000;

/// Events of the KV cache that wait to be read where no number is given: at most so many between two looks, 20 ms apart.
pub const DEFAULT_KV_EVENTS: &str = "65536";

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            max_batch_size: None,
            max_num_tokens: None,
            max_queue_size: None,
            capacity_policy: CapacityPolicy::default(),
            chunking_policy: ChunkingPolicy::default(),
            chunked_context: true,
            kv_reuse: false,
            kv_tokens: None,
            kv_fraction: None,
            kv_host_cache_bytes: None,
            kv_partial_reuse: true,
            attention_windows: Vec::new(),
            sink_tokens: None,
            kv_events: None,
            cuda_graphs: false,
            cuda_graph_cache: None,
            multi_block: true,
            weights_percent: 100.0,
            max_beam_width: 1,
            decoding: None,
            lookahead: None,
            draft_choices: None,
            drafting: None,
            device_ids: Vec::new(),
            lora_dir: None,
            lora_max_rank: None,
            lora_fraction: None,
            lora_host_cache_bytes: None,
            perf_metrics: true,
            iteration_stats: None,
            log_level: None,
            engine_args: Vec::new(),
            python: None,
            worker: None,
            threads: None,
            quantization: Quantization::default(),
        }
    }
}

impl EngineSettings {
    /// For a manifest, each number as it is typed: through text, since a value of JSON holds 64 bits and makes 0.1 of 32 bits
    /// 0.100000001….
    ///
    /// # Errors
    /// When they cannot be written as JSON.
    pub fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_str(&serde_json::to_string(self)?)
    }

    /// Those of the engine that drafts: its own memory and GPUs, and otherwise the target's ways, but for what belongs to the
    /// target's model.
    #[must_use]
    pub fn of_draft(&self, drafting: &Drafting) -> Self {
        Self {
            kv_fraction: drafting.kv_fraction,
            kv_tokens: drafting.kv_tokens,
            device_ids: drafting.device_ids.clone(),
            // Every request comes here first, so this is where it is refused; see `of_target`.
            max_queue_size: self.max_queue_size,
            capacity_policy: self.capacity_policy,
            chunking_policy: self.chunking_policy,
            chunked_context: self.chunked_context,
            kv_reuse: self.kv_reuse,
            kv_partial_reuse: self.kv_partial_reuse,
            cuda_graphs: self.cuda_graphs,
            cuda_graph_cache: self.cuda_graph_cache,
            multi_block: self.multi_block,
            perf_metrics: self.perf_metrics,
            // One file can hold the statistics of one engine only.
            iteration_stats: Some(0),
            worker: self.worker.clone(),
            ..Self::default()
        }
    }
}

impl EngineSettings {
    /// Those of an engine that another one drafts for: a request that was let in is not refused between two of its rounds.
    #[must_use]
    pub fn of_target(&self) -> Self {
        Self { max_queue_size: None, ..self.clone() }
    }
}

/// An engine that drafts for another one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drafting {
    /// Its directory, or a profile of the simulated executor.
    pub engine: String,
    /// Tokens that it proposes in each round, at most.
    pub tokens: u32,
    /// Share of the GPU memory left after loading it that its KV cache may take. It is loaded first.
    pub kv_fraction: Option<f32>,
    /// Capacity of its KV cache in tokens.
    pub kv_tokens: Option<u32>,
    /// GPUs for it; empty leaves them to the engine.
    pub device_ids: Vec<u32>,
}

impl Drafting {
    /// For a heading, after the name of the target.
    pub fn description(&self) -> String {
        format!(", {} tokens at a time drafted by `{}`", self.tokens, self.engine)
    }

    /// GPUs that it has to itself, out of `own`, beside those of a target that has `count` of them: those named, else the
    /// first.
    pub fn gpus_beside(&self, own: u32, target: &[u32], count: u32) -> u32 {
        let shared = |id: &u32| if target.is_empty() { *id < count } else { target.contains(id) };
        if self.device_ids.is_empty() {
            return own.saturating_sub(count);
        }
        self.device_ids.iter().filter(|id| !shared(id)).count() as u32
    }
}

/// Tokens that are drafted where no number is given.
pub const DEFAULT_DRAFT_TOKENS: u32 = 4;

/// Share of the memory that a draft engine's cache takes by default: the rest is the target's.
pub const DEFAULT_DRAFT_KV_FRACTION: f32 = 0.1;

/// Which requests may run when KV-cache memory is short (`CapacitySchedulerPolicy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum CapacityPolicy {
    /// A request starts only when its longest output has room.
    #[default]
    GuaranteedNoEvict,
    /// Requests start early and are paused and recomputed when room runs out.
    MaxUtilization,
}

/// How prompts share the budget of one iteration (`ContextChunkingPolicy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ChunkingPolicy {
    /// The oldest prompt takes what it needs.
    #[default]
    FirstComeFirstServed,
    /// All prompts advance by the same amount.
    EqualProgress,
}

/// How an executor chooses tokens, and whether it tries drafts (`DecodingMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Decoding {
    /// What fits the requests.
    Auto,
    /// From the most probable tokens.
    TopK,
    /// From the tokens that make up a probability.
    TopP,
    /// Both.
    TopKTopP,
    /// Beam search.
    Beam,
    /// Draft heads that were trained with the model.
    Medusa,
    /// Drafts from the output's own n-grams.
    Lookahead,
    /// A draft model over the features of the large one.
    Eagle,
}

/// Sizes of lookahead decoding: `W,N,V`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lookahead {
    /// Positions looked ahead.
    pub window: u32,
    /// Length of the n-grams.
    pub ngram: u32,
    /// N-grams that are verified at a time.
    pub verification: u32,
}

/// Text that names no sizes of lookahead decoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no window, n-gram and verification set: write for example `4,3,4`")]
pub struct LookaheadError(String);

impl FromStr for Lookahead {
    type Err = LookaheadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Option<Vec<u32>> =
            text.split(',').map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[window, ngram, verification]) if window > 0 && ngram > 0 => {
                Ok(Self { window, ngram, verification })
            }
            _ => Err(LookaheadError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Lookahead {
    type Error = LookaheadError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Lookahead> for String {
    fn from(Lookahead { window, ngram, verification }: Lookahead) -> Self {
        format!("{window},{ngram},{verification}")
    }
}

/// Lines of an executor's log that are written: of this level and above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What a developer of the engine looks at.
    Debug,
    /// What the engine has found and taken.
    Info,
    /// What may be wrong.
    Warning,
    /// What is wrong.
    Error,
}

impl LogLevel {
    const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warning, Self::Error];

    /// As TensorRT-LLM reads it from `TLLM_LOG_LEVEL`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }

    /// The level of that word, where there is one.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word().to_ascii_lowercase())
    }
}

/// How the embedded engine keeps its weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Quantization {
    /// 8 bits per weight in blocks of 32.
    #[default]
    Q8_0,
    /// 32-bit floats.
    F32,
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Q8_0 => "Q8_0",
            Self::F32 => "F32",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_engine_counts_the_gpus_that_its_target_does_not_use() {
        let on = |ids: &[u32]| Drafting { device_ids: ids.to_vec(), ..Drafting::default() };
        assert_eq!(on(&[]).gpus_beside(1, &[], 1), 0, "on the target's");
        assert_eq!(on(&[]).gpus_beside(3, &[], 2), 1, "and beside them");
        assert_eq!(on(&[0]).gpus_beside(1, &[], 2), 0);
        assert_eq!(on(&[2]).gpus_beside(1, &[], 2), 1);
        assert_eq!(on(&[0, 3]).gpus_beside(2, &[2, 3], 2), 1);
    }

    #[test]
    fn numbers_in_json_are_as_they_were_typed() {
        let settings = EngineSettings { kv_fraction: Some(0.1), ..EngineSettings::default() };
        assert_eq!(settings.to_json().expect("JSON")["kv_fraction"].to_string(), "0.1");
    }

    #[test]
    fn a_draft_engine_takes_over_its_target_s_ways_and_not_its_memory() {
        let drafting = Drafting { kv_fraction: Some(0.1), ..Drafting::default() };
        let target = EngineSettings {
            kv_reuse: true,
            kv_fraction: Some(0.8),
            max_batch_size: Some(7),
            kv_events: Some(10),
            drafting: Some(drafting.clone()),
            ..EngineSettings::default()
        };
        let draft = target.of_draft(&drafting);
        assert_eq!((draft.kv_reuse, draft.kv_fraction), (true, Some(0.1)));
        assert_eq!((draft.max_batch_size, draft.kv_events, draft.drafting), (None, None, None));
    }
}
