//! Can this be measured at all? Everything that can be found out before load is sent.

use std::sync::Arc;

use bareflight_engine::tokenizers::Tokenizer;

use crate::cli::resolve::Resolved;
use crate::experiment::rig::Opening;
use crate::experiment::{gpu_watch, machine};
use crate::ffi::cuda::CudaError;
use crate::load::plan::{Plan, PlanError, PlanStart, RequestId};
use crate::metrics::roofline::RooflineFacts;
use crate::observe::gpu::known::KnownGpus;
use crate::observe::gpu::library::NoGpu;
use crate::target::by_name::Named;
use crate::target::engine_directory::memory::KvOutlook;
use crate::target::engine_directory::{Asked, Finding, Severity};
use crate::target::{TargetError, abilities, by_name};
use crate::workload::PromptKind;
use crate::workload::prompts::{PromptError, PromptSource};
use crate::workload::tokenize::{Tokenize, TokenizeError};
use crate::workload::vocabulary::Vocabulary;

/// What stands in the way of a run.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The plan, as such or against the target's limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The prompts.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Text without a tokenizer.
    #[error(
        "`{0}` has no tokenizer that text prompts could be counted with: name one with `--tokenizer FILE`, or draw \
         `--prompts ids`"
    )]
    NoTokenizer(String),
    /// GPUs or a library that were named are not there.
    #[error(transparent)]
    Gpu(#[from] NoGpu),
    /// CUDA's library was named, and does not say which GPUs there are.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// The engine's configuration does not go with what is asked of it.
    #[error("target `{target}` does not take this run: {}", refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Engine {
        /// Which target.
        target: String,
        /// What it was refused for.
        refused: Vec<Finding>,
    },
}

/// A described target and the plans of all points, checked against it.
pub struct Ready {
    /// What answers, not yet opened.
    pub opening: Opening,
    /// One plan for each load.
    pub plans: Vec<Plan>,
    /// What should be known of the engine before its numbers are read.
    pub warnings: Vec<Finding>,
    /// The model on its machine, where both are known.
    pub roofline: Option<RooflineFacts>,
    /// What the KV cache of an engine directory holds, and what the largest load takes of it.
    pub kv: Option<KvOutlook>,
}

/// Ids below this are drawn where a target does not tell its vocabulary.
const FALLBACK_VOCABULARY: u32 = 32_000;

/// Describes the target, draws every plan, and holds the plans against the target's limits.
///
/// # Errors
/// The first thing that is in the way, with its remedy.
pub fn prepare(resolved: &Resolved) -> Result<Ready, PreflightError> {
    let mut named = [by_name::resolve(&resolved.target, &resolved.engine, &resolved.served)?];
    abilities::check(named[0].target.describe(), &resolved.engine, &resolved.workload)?;
    let source = prompt_source(resolved.workload.prompts, &mut named)?;
    let [named] = named;
    let limits = named.target.describe().limits;
    let mut plans: Vec<Plan> = Vec::with_capacity(resolved.loads.len());
    for (point, load) in resolved.loads.iter().enumerate() {
        let first_id = plans.last().map_or(RequestId(0), Plan::next_id);
        let start = PlanStart { point: point as u32, first_id };
        let plan = Plan::draw(&resolved.workload, load, resolved.size(load), start, &source)?;
        plan.check(&limits)?;
        if let Some(directory) = named.engine_directory() {
            plan.check(&directory.limits(&resolved.engine))?;
        }
        plans.push(plan);
    }
    let telemetry = gpu_watch::find(resolved, &named.target.describe().kind)?;
    let gpus = machine::gpus(&named, resolved, telemetry.as_ref())?;
    let (mut warnings, kv) = check_engine(&named, resolved, &plans, gpus.as_ref())?;
    let (roofline, lacking) = machine::roofline(named.deployment(), resolved, gpus.as_ref());
    warnings.extend(lacking);
    let opening = Opening { target: named.target, telemetry };
    Ok(Ready { opening, plans, warnings, roofline, kv })
}

/// Holds an engine directory against settings, plans and GPUs: what it refuses ends the run here, the rest is handed on, with
/// what is known of its KV cache.
pub(super) fn check_engine(
    named: &Named,
    resolved: &Resolved,
    plans: &[Plan],
    gpus: Option<&KnownGpus>,
) -> Result<(Vec<Finding>, Option<KvOutlook>), PreflightError> {
    let Some(directory) = named.engine_directory() else { return Ok((Vec::new(), None)) };
    let ranks = directory.config.mapping.world_size();
    let asked = Asked {
        plans,
        streaming: resolved.workload.streaming,
        ranks: named.loader().ranks,
        library_version: named.loader().library_version.as_deref(),
        memory: gpus.and_then(|gpus| gpus.memory_for(ranks)),
        common_prefix: resolved.workload.prefix_tokens,
        ..Asked::settings(&resolved.engine)
    };
    let (refused, warnings): (Vec<Finding>, Vec<Finding>) = directory
        .check(&asked)
        .into_iter()
        .partition(|finding| finding.severity == Severity::Refuse);
    if refused.is_empty() {
        Ok((warnings, directory.kv_outlook(&asked)))
    } else {
        Err(PreflightError::Engine { target: resolved.target.clone(), refused })
    }
}

/// Prompts that every one of these targets takes: ids below the smallest vocabulary and special to none of them, or text
/// of the first tokenizer that there is.
pub(super) fn prompt_source(
    kind: PromptKind,
    targets: &mut [Named],
) -> Result<PromptSource, PreflightError> {
    match kind {
        PromptKind::Ids => {
            let sizes = targets.iter().filter_map(|it| it.target.describe().limits.vocab_size);
            let size = sizes.min().unwrap_or(FALLBACK_VOCABULARY);
            let special: Vec<u32> = targets.iter().flat_map(Named::special_ids).collect();
            Ok(PromptSource::ids(Vocabulary::new(size, special)?))
        }
        PromptKind::Text => {
            for named in targets.iter_mut() {
                if let Some(tokenizer) = named.tokenizer()? {
                    return Ok(PromptSource::text(Arc::new(HfTokenizer(tokenizer)))?);
                }
            }
            let names: Vec<String> =
                targets.iter().map(|it| it.target.describe().name.clone()).collect();
            Err(PreflightError::NoTokenizer(names.join("`, `")))
        }
    }
}

/// A tokenizer in Hugging Face's format.
struct HfTokenizer(Tokenizer);

impl Tokenize for HfTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let encoding =
            self.0.encode(text, false).map_err(|error| TokenizeError(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        self.0.decode(ids, true).map_err(|error| TokenizeError(error.to_string()))
    }

    fn vocab_size(&self) -> u32 {
        self.0.get_vocab_size(true) as u32
    }

    fn special_ids(&self) -> Vec<u32> {
        let added = self.0.get_added_tokens_decoder();
        added.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect()
    }
}
