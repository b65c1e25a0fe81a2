//! Preflight: everything that can be checked before load is sent.

use std::sync::Arc;

use crate::engine_directory::EngineProblem;
use crate::engine_directory::check::warn;
use crate::engine_directory::memory::KvEstimate;
use crate::experiment::engines::check_engines;
use crate::experiment::open_files::{self, TooFewOpenFiles};
use crate::experiment::point_runner::Opening;
use crate::experiment::preflight::prompts::{prompt_source, tokenise_words};
use crate::experiment::{gpu_watch, machine, workload_file};
use crate::ffi::cuda::CudaError;
use crate::load::plan::{Plan, PlanError, PlanStart};
use crate::observe::gpu::library::NvmlUnavailable;
use crate::request::RequestId;
use crate::request::spec::{Beside, Prompt, RequestSpec};
use crate::settings::Resolved;
use crate::settings::served::ServedEndpoint;
use crate::specs::RooflineFacts;
use crate::store::launch_file::LaunchFacts;
use crate::targets::registry::DefaultPrompts;
use crate::targets::{Target, TargetError, TargetInfo, abilities, registry};
use crate::workload::dataset::DatasetError;
use crate::workload::images::{ImageError, ImageUrls};
use crate::workload::prompts::{PromptError, PromptSource};
use crate::workload::stop_texts::StopTextError;

pub mod prompts;

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
    /// The file of a workload.
    #[error(transparent)]
    Workload(#[from] DatasetError),
    /// Images that were named.
    #[error(transparent)]
    Images(#[from] ImageError),
    /// Text without a tokenizer.
    #[error(
        "`{targets}` has no tokenizer that text prompts could be counted with: name one with `--tokenizer FILE`{}",
        with_ids(.targets, *.endpoint)
    )]
    NoTokenizer {
        /// Which targets.
        targets: String,
        /// What is asked of the first one that is a server.
        endpoint: ServedEndpoint,
    },
    /// Random ids without a vocabulary.
    #[error(
        "nothing says how many tokens `{0}` knows, and random ids may not exist there: name its tokenizer with `--tokenizer \
         FILE`, or give `--vocab-size N`; with a tokenizer, `--prompts text` asks in words"
    )]
    NoVocabulary(String),
    /// Words as text without a tokenizer.
    #[error(
        "`{flag}` is text, and `{target}` has no tokenizer that could tell its token ids: name one with `--tokenizer FILE`, \
         or give the ids with `--stop-words` and `--bad-words`"
    )]
    NoTokenizerOfWords {
        /// What was typed.
        flag: &'static str,
        /// Which target.
        target: String,
    },
    /// Words as text that the tokenizer has no ids for.
    #[error(transparent)]
    Words(#[from] StopTextError),
    /// GPUs or a library that were named are not there.
    #[error(transparent)]
    Gpu(#[from] NvmlUnavailable),
    /// CUDA's library was named, and does not say which GPUs there are.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// More connections than the system allows files.
    #[error(transparent)]
    OpenFiles(#[from] TooFewOpenFiles),
    /// The engine's configuration does not go with what is asked of it.
    #[error("target `{target}` does not take this run: {}", refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Engine {
        /// Which target.
        target: String,
        /// What it was refused for.
        refused: Vec<EngineProblem>,
    },
}

/// What a message adds where one of the targets takes ids, perhaps at another endpoint.
fn with_ids(targets: &str, endpoint: ServedEndpoint) -> &'static str {
    let mut names = targets.split("`, `");
    let by_endpoint =
        names.any(|name| registry::abilities_of(name).prompts == DefaultPrompts::ByEndpoint);
    match endpoint {
        ServedEndpoint::Rerank => ", which text to rerank needs",
        ServedEndpoint::Chat if by_endpoint => ", or draw `--endpoint completions --prompts ids`",
        ServedEndpoint::Chat | ServedEndpoint::Completions | ServedEndpoint::Embeddings => {
            ", or draw `--prompts ids`"
        }
    }
}

/// A described target and the plans of all points, checked against it.
pub struct Ready {
    /// What answers, not yet opened.
    pub opening: Opening,
    /// One plan for each cell: each load, of each scenario.
    pub plans: Vec<Plan>,
    /// What should be known of the engine before its numbers are read.
    pub warnings: Vec<EngineProblem>,
    /// The model on its machine, where both are known.
    pub roofline: Option<RooflineFacts>,
    /// What the KV cache of an engine directory holds, and what the largest load takes of it.
    pub kv: Option<KvEstimate>,
    /// What prompts are drawn from, for plans that follow from what earlier ones have shown.
    pub source: PromptSource,
    /// The server that was started for it.
    pub launched: Option<LaunchFacts>,
}

/// Describes the target, draws every plan, and holds the plans against the target's limits. Words that were given as text
/// get their token ids in `resolved`, which so says what is asked.
///
/// # Errors
/// The first thing that is in the way, with its remedy.
pub fn prepare(resolved: &mut Resolved) -> Result<Ready, PreflightError> {
    workload_file::send_text_where_nothing_counts(resolved)?;
    let mut named = [registry::describe(&resolved.target, &resolved.engine, &resolved.served)?];
    let info = named[0].target.describe();
    abilities::check(info, &resolved.engine, &resolved.workload)?;
    abilities::check_served(info, &resolved.served)?;
    let kind = resolved.workload.prompts;
    let chosen = workload_file::choose_entries(resolved, kind, &mut named, 1)?;
    let entries = chosen.as_ref().map(|it| it.entries.clone());
    let images = resolved.workload.images.as_ref().map(ImageUrls::read).transpose()?;
    let source = prompt_source(kind, &mut named, &mut [&mut resolved.served], entries)?;
    let mut source = source.with_images(images);
    tokenise_words(&mut resolved.workload, &mut named)?;
    let resolved = &*resolved;
    let [named] = named;
    let limits = named.target.describe().limits;
    let cells = resolved.grid();
    let mut plans: Vec<Plan> = Vec::with_capacity(cells.len());
    for (point, cell) in cells.iter().enumerate() {
        let first_id = plans.last().map_or(RequestId(0), Plan::next_id);
        let start = PlanStart { point: point as u32, first_id };
        let load = &cell.load;
        let plan = Plan::draw(&cell.workload(resolved), load, resolved.size(load), start, &source)?;
        plan.check(&limits)?;
        if let Some(directory) = named.engine_directory() {
            plan.check(&directory.limits(&resolved.engine))?;
        }
        source = source.behind(&plan);
        plans.push(plan);
    }
    open_files::raise(named.target.describe(), &plans)?;
    let telemetry = gpu_watch::find(resolved, named.target.describe().abilities())?;
    let gpus = machine::gpus(&named, resolved, telemetry.as_ref())?;
    let (mut warnings, kv) = check_engines(&named, resolved, &plans, gpus.as_ref())?;
    let (roofline, lacking) = machine::roofline(named.deployment(), resolved, gpus.as_ref());
    warnings.extend(lacking);
    warnings.extend(gpus_said_otherwise(named.target.describe(), resolved));
    warnings.extend(chosen.iter().flat_map(|it| workload_file::notices(it, &plans)));
    let opening = Opening::of(named, telemetry);
    Ok(Ready { opening, plans, warnings, roofline, kv, source, launched: None })
}

/// That the target knows its GPUs, and others were said.
fn gpus_said_otherwise(info: &TargetInfo, resolved: &Resolved) -> Option<EngineProblem> {
    let said = resolved.declared.server.gpu_count.filter(|said| *said != info.gpus)?;
    (info.gpus > 0).then(|| {
        warn(
            "gpus",
            format!("`--server-gpu-count {said}` is kept as said, and the target itself runs on {} GPUs", info.gpus),
            "rates per GPU are over those of the target",
        )
    })
}

/// Describes the target once more, for a session behind one that has ended. What is asked of it was checked before.
///
/// # Errors
/// When the target is not there any more, or its GPUs cannot be watched.
pub fn describe_again(resolved: &Resolved) -> Result<Opening, PreflightError> {
    let named = registry::describe(&resolved.target, &resolved.engine, &resolved.served)?;
    let telemetry = gpu_watch::find(resolved, named.target.describe().abilities())?;
    Ok(Opening::of(named, telemetry))
}

/// Sends a short request or two to a target that can only be known by asking it; they are no part of the load.
///
/// # Errors
/// When the target would refuse the load, with its words and the remedy; or the request cannot be drawn.
pub fn probe(target: &mut dyn Target, plans: &[Plan]) -> Result<(), PreflightError> {
    let Some(plan) = plans.first() else { return Ok(()) };
    let list = if plan.warmup().is_empty() { plan.shots() } else { plan.warmup() };
    if list.is_empty() {
        return Ok(());
    }
    let whole = list.shot(0)?;
    let planned = whole.request.output.max_tokens;
    let mut shot = whole.clone();
    shorten(&mut shot.request);
    match target.probe(&shot) {
        // What is too short for a server says nothing of the load.
        Err(TargetError::Refused { reason, .. })
            if is_about_output_length(&reason) && shot.request.output.max_tokens < planned =>
        {
            shot.request.output.max_tokens = planned;
            Ok(target.probe(&shot)?)
        }
        // A model whose input has a fixed length takes no shorter one.
        Err(TargetError::Refused { reason, .. }) if reason.contains("shape") => {
            Ok(target.probe(&whole)?)
        }
        probed => Ok(probed?),
    }
}

/// Whether a refusal names the member that bounds the output.
fn is_about_output_length(reason: &str) -> bool {
    reason.contains("max_tokens") || reason.contains("max_completion_tokens")
}

/// Tokens of a probe's prompt: too few for a block of any cache.
const PROBE_PROMPT: usize = 8;
/// Tokens of its output.
const PROBE_OUTPUT: u32 = 4;

fn shorten(request: &mut RequestSpec) {
    request.prompt = few(&request.prompt);
    if let Beside::Texts(texts) = &request.beside {
        request.beside = Beside::Texts(texts.iter().map(few).collect());
    }
    let least = request.output.min_tokens.max(PROBE_OUTPUT);
    request.output.max_tokens = request.output.max_tokens.min(least);
}

/// The end of a prompt, so that no prompt of the load begins alike.
fn few(Prompt { ids, text }: &Prompt) -> Prompt {
    let few = |text: &Arc<str>| {
        let words: Vec<&str> = text.split_whitespace().rev().take(PROBE_PROMPT).collect();
        Arc::from(words.join(" "))
    };
    Prompt {
        ids: ids.iter().rev().copied().take(PROBE_PROMPT).collect(),
        text: text.as_ref().map(few),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_server_without_a_tokenizer_is_offered_what_it_takes() {
        let targets = "openai:http://host".to_owned();
        let error = PreflightError::NoTokenizer { targets, endpoint: ServedEndpoint::Chat };
        let error = error.to_string();
        for remedy in ["--tokenizer FILE", "`--endpoint completions --prompts ids`"] {
            assert!(error.contains(remedy), "{error}");
        }
    }
}
