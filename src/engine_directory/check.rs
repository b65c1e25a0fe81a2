//! Checks of an engine against its planned use: everything that would fail or be changed silently.
//!
//! Prompts and outputs that are too long are refused by the plan itself, against [`EngineDirectory::limits`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine_directory::EngineDirectory;
use crate::engine_directory::config::Layout;
use crate::engine_directory::memory::CommonPrefix;
use crate::load::Load;
use crate::load::plan::Plan;
use crate::settings::engine::{CapacityPolicy, EngineSettings};
use crate::specs::GpuMemory;
use crate::warning::Code;

/// Planned use of an engine.
#[derive(Debug, Clone, Copy)]
pub struct PlannedUse<'a> {
    /// How the engine is set up.
    pub settings: &'a EngineSettings,
    /// What is played; empty where nothing is planned.
    pub plans: &'a [Plan],
    /// Output is delivered token by token.
    pub streaming: bool,
    /// Processes of this job that load the engine; `None` where the library starts them, or nothing is loaded.
    pub ranks: Option<u32>,
    /// Version of the library that loads it, where it is known.
    pub library_version: Option<&'a str>,
    /// Memory that each rank finds on its GPU, where that is known.
    pub memory: Option<GpuMemory>,
    /// What prompts begin with alike.
    pub common_prefix: CommonPrefix,
}

impl<'a> PlannedUse<'a> {
    /// Settings alone: no plan, no ranks, no library, no GPU.
    pub const fn settings(settings: &'a EngineSettings) -> Self {
        Self {
            settings,
            plans: &[],
            streaming: true,
            ranks: None,
            library_version: None,
            memory: None,
            common_prefix: CommonPrefix { tokens: 0, different: 1 },
        }
    }
}

/// Severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The run measures something else than it may seem.
    Warn,
    /// The run would fail, or not be what was asked for.
    Refuse,
}

/// A mismatch between an engine and its planned use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineProblem {
    /// Its code, which is listed in `docs/WARNINGS.md`.
    #[serde(default = "no_code_of_its_own")]
    pub code: Code,
    /// How grave it is.
    pub severity: Severity,
    /// The key or file that it is about.
    pub about: String,
    /// What was found, and what follows from it.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for EngineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sentence, self.remedy)
    }
}

const fn no_code_of_its_own() -> Code {
    Code::EngineFit
}

/// The code of what is about a key or a file.
fn code_of(about: &str) -> Code {
    match about {
        "kv_cache" => Code::KvCache,
        "max_batch_size" => Code::BatchSize,
        "max_num_tokens" => Code::ChunkSize,
        "use_paged_context_fmha" => Code::ChunkedContext,
        "architecture" => Code::RecurrentReuse,
        "roofline" => Code::NoRoofline,
        "workload" => Code::WorkloadFile,
        _ => no_code_of_its_own(),
    }
}

/// In the way of a run.
pub(crate) fn refuse(about: &str, sentence: String, remedy: impl Into<String>) -> EngineProblem {
    EngineProblem {
        code: code_of(about),
        severity: Severity::Refuse,
        about: about.to_owned(),
        sentence,
        remedy: remedy.into(),
    }
}

/// To be known.
pub(crate) fn warn(about: &str, sentence: String, remedy: impl Into<String>) -> EngineProblem {
    EngineProblem {
        code: code_of(about),
        severity: Severity::Warn,
        about: about.to_owned(),
        sentence,
        remedy: remedy.into(),
    }
}

impl EngineDirectory {
    /// Everything that does not go together, the gravest first; empty where the engine takes it all.
    pub fn check(&self, planned: &PlannedUse<'_>) -> Vec<EngineProblem> {
        let mut problems: Vec<EngineProblem> = [
            self.missing_ranks(),
            self.world_size(planned.ranks),
            self.device_ids(planned),
            self.version(planned.library_version),
            self.batching(),
            self.batch_size(planned.settings),
            self.iteration_size(planned.settings),
            self.reuse(planned.settings),
            self.reuse_with_context_logits(planned.settings),
            self.reuse_of_recurrent(planned.settings),
            self.chunking(planned.settings),
            self.chunk_size(planned.settings),
            self.streamed_max_utilization(planned),
            self.concurrency(planned),
            self.weights_fit(planned),
            self.longest_request_fits(planned),
            self.load_fits(planned),
        ]
        .into_iter()
        .flatten()
        .collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        problems
    }

    fn missing_ranks(&self) -> Option<EngineProblem> {
        let missing = self.files.missing();
        // The simulated executor reads the configuration alone.
        if missing.is_empty() || self.config.simulated_profile.is_some() {
            return None;
        }
        let of = self.config.mapping.world_size();
        let sentence = format!(
            "the engine was built for {of} rank{}, of which there is no {}",
            if of == 1 { "" } else { "s" },
            missing.join(", ")
        );
        Some(refuse("rank files", sentence, "copy the whole output directory of `trtllm-build`"))
    }

    fn world_size(&self, ranks: Option<u32>) -> Option<EngineProblem> {
        let mapping = &self.config.mapping;
        let built = mapping.world_size();
        let ranks = ranks.filter(|ranks| *ranks != built)?;
        let sentence = format!(
            "the engine was built for {built} ranks (tensor {} × pipeline {} × context {}) and {ranks} were started",
            mapping.tensor, mapping.pipeline, mapping.context
        );
        Some(refuse("mapping.world_size", sentence, format!("start it with `mpirun -n {built}`")))
    }

    /// The executor wants an id for each rank; with fewer, it takes them for those of one machine of several.
    fn device_ids(&self, planned: &PlannedUse<'_>) -> Option<EngineProblem> {
        let (ids, built) = (&planned.settings.device_ids, self.config.mapping.world_size());
        let count = ids.len() as u32;
        let fits = match planned.ranks {
            Some(_) if count > 0 => built % count == 0,
            _ => count == built,
        };
        let named = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let is_twice = ids.iter().enumerate().any(|(at, id)| ids[..at].contains(id));
        if ids.is_empty() || fits && !is_twice {
            return None;
        }
        let each = if is_twice { ", each another" } else { "" };
        let sentence = format!(
            "`--device-ids {named}` does not go with the engine, which was built for {built} rank{}",
            if built == 1 { "" } else { "s" }
        );
        Some(refuse("device_ids", sentence, format!("name {built} of this machine's GPUs{each}")))
    }

    /// A suffix such as `+cu130` names a build of the same release.
    fn version(&self, library: Option<&str>) -> Option<EngineProblem> {
        const REMEDY: &str = "build the engine again with the version that loads it";
        match (self.config.layout, &self.config.version, library) {
            (Layout::Legacy, ..) => Some(refuse(
                "version",
                "the engine was built before `trtllm-build` (TensorRT-LLM 0.7 or older), which no version with this \
                 executor loads"
                    .into(),
                REMEDY,
            )),
            (Layout::Current, Some(built), Some(library)) if release(built) != release(library) => Some(refuse(
                "version",
                format!("the engine was built with TensorRT-LLM {built} and the library is {library}"),
                REMEDY,
            )),
            (Layout::Current, ..) => None,
        }
    }

    /// In-flight batching needs all three.
    fn batching(&self) -> Option<EngineProblem> {
        let plugins = &self.config.plugins;
        let lacking: Vec<&str> = [
            (plugins.gpt_attention.is_none(), "gpt_attention_plugin"),
            (!plugins.remove_input_padding, "remove_input_padding"),
            (!plugins.paged_kv_cache, "paged_kv_cache"),
        ]
        .into_iter()
        .filter_map(|(lacks, name)| lacks.then_some(name))
        .collect();
        let about = lacking.first()?;
        let sentence = format!(
            "in-flight batching is not possible: the engine was built without {}",
            lacking.join(", ")
        );
        Some(refuse(about, sentence, "build it with them, as `trtllm-build` does by default"))
    }

    fn batch_size(&self, settings: &EngineSettings) -> Option<EngineProblem> {
        let built = self.config.limits.max_batch_size;
        let planned = settings.max_batch_size.filter(|planned| *planned > built)?;
        let sentence = format!(
            "a batch of {planned} requests is asked for and the engine was built for {built}"
        );
        Some(refuse(
            "max_batch_size",
            sentence,
            format!(
                "give `--max-batch-size {built}` or less, or build the engine with `--max_batch_size {planned}`"
            ),
        ))
    }

    fn iteration_size(&self, settings: &EngineSettings) -> Option<EngineProblem> {
        let built = self.config.limits.max_num_tokens?;
        let planned = settings.max_num_tokens.filter(|planned| *planned > built)?;
        let sentence = format!(
            "{planned} tokens in an iteration are asked for and the engine was built for {built}"
        );
        Some(refuse(
            "max_num_tokens",
            sentence,
            format!(
                "give `--max-num-tokens {built}` or less, or build the engine with `--max_num_tokens {planned}`"
            ),
        ))
    }

    /// Asked for by name, so that numbers without it would carry a wrong label.
    fn reuse(&self, settings: &EngineSettings) -> Option<EngineProblem> {
        if self.config.plugins.paged_context_fmha || !settings.kv_reuse {
            return None;
        }
        let sentence = "KV-cache reuse is asked for and the engine was built without paged-context attention, so that \
                        nothing would be reused";
        Some(refuse(
            "use_paged_context_fmha",
            sentence.into(),
            "leave out `--kv-reuse`, or build the engine with `--use_paged_context_fmha enable`",
        ))
    }

    /// The executor switches reuse off for such an engine, with a warning in its log.
    fn reuse_with_context_logits(&self, settings: &EngineSettings) -> Option<EngineProblem> {
        if !self.config.plugins.context_logits || !settings.kv_reuse {
            return None;
        }
        let sentence = "KV-cache reuse is asked for and the engine was built to return the logits of its prompts, which \
                        reused blocks do not have, so that nothing would be reused";
        Some(refuse(
            "gather_context_logits",
            sentence.into(),
            "leave out `--kv-reuse` and `--kv-events`, or build the engine without `--gather_context_logits`",
        ))
    }

    fn reuse_of_recurrent(&self, settings: &EngineSettings) -> Option<EngineProblem> {
        let architecture = &self.config.model.architecture;
        let is_recurrent = ["Mamba", "Recurrent"].iter().any(|word| architecture.contains(word));
        if !is_recurrent || !settings.kv_reuse {
            return None;
        }
        let sentence = format!(
            "KV-cache reuse is asked for and {architecture} is recurrent: its state is not kept in blocks of the cache"
        );
        Some(warn("architecture", sentence, "leave out `--kv-reuse`"))
    }

    fn chunking(&self, settings: &EngineSettings) -> Option<EngineProblem> {
        if self.config.plugins.paged_context_fmha || !settings.chunked_context {
            return None;
        }
        let sentence = "the engine was built without paged-context attention, so that prompts are never split over \
                        several iterations";
        Some(warn(
            "use_paged_context_fmha",
            sentence.into(),
            "say so with `--no-chunked-context`, or build the engine with `--use_paged_context_fmha enable`",
        ))
    }

    fn chunk_size(&self, settings: &EngineSettings) -> Option<EngineProblem> {
        let plugins = &self.config.plugins;
        let tokens = settings.max_num_tokens.or(self.config.limits.max_num_tokens)?;
        let block = plugins.tokens_per_block.filter(|block| *block > 0)?;
        if !plugins.paged_context_fmha || !settings.chunked_context || tokens % block == 0 {
            return None;
        }
        let sentence = format!(
            "{tokens} tokens in an iteration are no multiple of the {block} tokens of a KV-cache block, so that split \
             prompts do not fill it"
        );
        let rounded = (tokens / block * block).max(block);
        Some(warn("max_num_tokens", sentence, format!("give `--max-num-tokens {rounded}`")))
    }

    /// A paused request is computed again with its output so far as a prompt, which must then fit.
    fn streamed_max_utilization(&self, planned: &PlannedUse<'_>) -> Option<EngineProblem> {
        let splits = planned.settings.chunked_context && self.config.plugins.paged_context_fmha;
        if splits
            || !planned.streaming
            || planned.settings.capacity_policy != CapacityPolicy::MaxUtilization
        {
            return None;
        }
        let shots = planned.plans.iter().flat_map(|plan| plan.shots().facts());
        let longest = shots
            .map(|shot| shot.prompt_tokens.saturating_add(shot.output_tokens))
            .max()?
            .saturating_sub(1);
        let limit = self.config.limits.max_input_len;
        if longest <= limit {
            return None;
        }
        let sentence = format!(
            "with `max_utilization`, streaming and no split prompts a request may reach {limit} tokens, and the longest \
             one here reaches {longest}"
        );
        Some(refuse(
            "max_input_len",
            sentence,
            "shorten prompts or outputs, use `--capacity-policy guaranteed_no_evict`, or build the engine with \
             `--use_paged_context_fmha enable`",
        ))
    }

    fn concurrency(&self, planned: &PlannedUse<'_>) -> Option<EngineProblem> {
        let batch = self.limits(planned.settings).max_batch_size?;
        let loads = planned.plans.iter().map(Plan::load);
        let most = loads
            .filter_map(|load| match load {
                Load::Closed { concurrency } => Some(concurrency),
                Load::Open { .. } | Load::Batch => None,
            })
            .max()
            .filter(|most| *most > batch)?;
        let sentence = format!(
            "a concurrency of {most} is above the batch of {batch}, so that requests wait in the engine's queue and TTFT \
             counts it"
        );
        Some(warn(
            "max_batch_size",
            sentence,
            format!("measure up to concurrency {batch}, or build the engine for a larger batch"),
        ))
    }
}

/// A version without the suffix of a certain build.
fn release(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}
