//! Do the engines of a target take what is going to be asked of them? Their directories against settings, plans and GPUs.

use crate::cli::resolve::Resolved;
use crate::experiment::preflight::PreflightError;
use crate::load::plan::Plan;
use crate::observe::gpu::known::{GpuMemory, KnownGpus};
use crate::target::by_name::Named;
use crate::target::engine_directory::memory::KvOutlook;
use crate::target::engine_directory::{Asked, EngineDirectory, Finding, Severity};
use crate::target::settings::Drafting;

/// What an engine refuses ends the run here; the rest is handed on, with what is known of the target's KV cache.
///
/// # Errors
/// What was refused, all of it.
pub(super) fn check_engines(
    named: &Named,
    resolved: &Resolved,
    plans: &[Plan],
    gpus: Option<&KnownGpus>,
) -> Result<(Vec<Finding>, Option<KvOutlook>), PreflightError> {
    let mut findings = of_rounds(resolved);
    let mut kv = None;
    let memory = |directory: &EngineDirectory| {
        gpus.and_then(|gpus| gpus.memory_for(directory.config.mapping.world_size()))
    };
    if let (Some(drafting), Some(directory)) = (&resolved.engine.drafting, named.draft_directory())
    {
        findings.extend(of_draft(drafting, directory, named, resolved, memory(directory)));
    }
    if let Some(directory) = named.engine_directory() {
        let asked = Asked {
            plans,
            streaming: resolved.workload.streaming,
            ranks: named.loader().ranks,
            library_version: named.loader().library_version.as_deref(),
            memory: memory(directory).map(|memory| beside_draft(memory, named, resolved)),
            common_prefix: resolved.workload.prefix_tokens,
            ..Asked::settings(&resolved.engine)
        };
        findings.extend(directory.check(&asked));
        kv = directory.kv_outlook(&asked);
    }
    let (refused, warnings): (Vec<Finding>, Vec<Finding>) =
        findings.into_iter().partition(|finding| finding.severity == Severity::Refuse);
    if refused.is_empty() {
        Ok((warnings, kv))
    } else {
        Err(PreflightError::Engine { target: resolved.target.clone(), refused })
    }
}

/// Every round asks both engines for what follows all of the context.
fn of_rounds(resolved: &Resolved) -> Vec<Finding> {
    let engine = &resolved.engine;
    let computes_again = engine.drafting.is_some() && !engine.kv_reuse;
    let finding = || {
        Finding {
        severity: Severity::Warn,
        about: "kv_reuse".to_owned(),
        sentence: "without reuse of KV-cache blocks each round computes the whole context again, in both engines"
            .to_owned(),
        remedy: "give `--kv-reuse`, with engines that were built with `--use_paged_context_fmha enable`"
            .to_owned(),
    }
    };
    computes_again.then(finding).into_iter().collect()
}

/// What the draft engine's directory says; plans are the target's affair. Where it has GPUs of its own, their memory is not
/// known here.
fn of_draft(
    drafting: &Drafting,
    directory: &EngineDirectory,
    named: &Named,
    resolved: &Resolved,
    memory: Option<GpuMemory>,
) -> Vec<Finding> {
    let settings = resolved.engine.of_draft(drafting);
    let asked = Asked {
        ranks: named.loader().ranks,
        library_version: named.loader().library_version.as_deref(),
        memory: memory.filter(|_| shares_gpus(resolved, drafting)),
        ..Asked::settings(&settings)
    };
    let mut findings = directory.check(&asked);
    for finding in &mut findings {
        finding.about = format!("draft engine: {}", finding.about);
        finding.sentence = format!("of the draft engine: {}", finding.sentence);
    }
    findings
}

fn shares_gpus(resolved: &Resolved, drafting: &Drafting) -> bool {
    drafting.device_ids == resolved.engine.device_ids
}

/// What is left once the draft engine is loaded and has its cache.
fn beside_draft(memory: GpuMemory, named: &Named, resolved: &Resolved) -> GpuMemory {
    let (Some(drafting), Some(directory)) = (&resolved.engine.drafting, named.draft_directory())
    else {
        return memory;
    };
    if !shares_gpus(resolved, drafting) {
        return memory;
    }
    let settings = resolved.engine.of_draft(drafting);
    let weights = directory.weight_bytes(&settings).unwrap_or(0);
    let left = memory.free_bytes.saturating_sub(weights);
    let share = f64::from(drafting.kv_fraction.unwrap_or(0.0));
    GpuMemory { free_bytes: (left as f64 * (1.0 - share)) as u64, ..memory }
}
