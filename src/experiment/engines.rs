//! Engine checks of the preflight: engine directories against settings, plans and GPUs.

use crate::engine_directory::memory::{CommonPrefix, KvEstimate};
use crate::engine_directory::{EngineDirectory, EngineProblem, PlannedUse, Severity};
use crate::experiment::machine::absent_device_ids;
use crate::experiment::preflight::PreflightError;
use crate::load::plan::Plan;
use crate::observe::gpu::known::KnownGpus;
use crate::settings::Resolved;
use crate::settings::engine::{Drafting, EngineSettings};
use crate::specs::GpuMemory;
use crate::targets::named::Named;
use crate::workload::Workload;
use crate::workload::prefixes::PrefixGroups;

/// What an engine refuses ends the run here; the rest is handed on, with what is known of the target's KV cache.
///
/// # Errors
/// What was refused, all of it.
pub(super) fn check_engines(
    named: &Named,
    resolved: &Resolved,
    plans: &[Plan],
    gpus: Option<&KnownGpus>,
) -> Result<(Vec<EngineProblem>, Option<KvEstimate>), PreflightError> {
    let mut findings: Vec<EngineProblem> = Vec::new();
    let mut kv = None;
    let memory = |directory: &EngineDirectory| {
        gpus.and_then(|gpus| gpus.memory_for(directory.config.mapping.world_size()))
    };
    if let (Some(drafting), Some(directory)) = (&resolved.engine.drafting, named.draft_directory())
    {
        let settings = resolved.engine.of_draft(drafting);
        let planned = PlannedUse {
            // Rounds are asked for as a whole.
            streaming: false,
            // Where it has GPUs of its own, their memory is not known here.
            memory: memory(directory).filter(|_| shares_gpus(drafting, directory, resolved)),
            ..planned(&settings, named, resolved, plans)
        };
        findings.extend(of_draft(directory, &planned));
    }
    if let Some(directory) = named.engine_directory() {
        let planned = PlannedUse {
            memory: memory(directory).map(|memory| beside_draft(memory, named, resolved)),
            ..planned(&resolved.engine, named, resolved, plans)
        };
        findings.extend(directory.check(&planned));
        findings.extend(absent_device_ids(named, resolved));
        kv = directory.kv_estimate(&planned);
    }
    let (refused, warnings): (Vec<EngineProblem>, Vec<EngineProblem>) =
        findings.into_iter().partition(|finding| finding.severity == Severity::Refuse);
    if refused.is_empty() {
        Ok((warnings, kv))
    } else {
        Err(PreflightError::Engine { target: resolved.target.clone(), refused })
    }
}

/// What is going to be asked of any of the engines.
fn planned<'a>(
    settings: &'a EngineSettings,
    named: &'a Named,
    resolved: &Resolved,
    plans: &'a [Plan],
) -> PlannedUse<'a> {
    PlannedUse {
        plans,
        streaming: resolved.workload.streaming,
        ranks: named.loader().ranks,
        library_version: named.loader().library_version.as_deref(),
        common_prefix: common_prefix(&resolved.workload),
        ..PlannedUse::settings(settings)
    }
}

/// What all prompts begin with; nothing is counted on where some come from a file.
fn common_prefix(workload: &Workload) -> CommonPrefix {
    let tokens = if workload.mixture.is_some() { 0 } else { workload.prefix_tokens };
    let different = workload.prefix_groups.as_ref().map_or(1, PrefixGroups::count);
    CommonPrefix { tokens, different }
}

/// What the draft engine's directory says, in the words of its own flags.
fn of_draft(directory: &EngineDirectory, planned: &PlannedUse<'_>) -> Vec<EngineProblem> {
    let of_draft = |words: &str| {
        words
            .replace("--kv-tokens", "--draft-kv-tokens")
            .replace("--kv-fraction", "--draft-kv-fraction")
            .replace("--device-ids", "--draft-device-ids")
    };
    let mut findings = directory.check(planned);
    for finding in &mut findings {
        finding.about = format!("draft engine: {}", finding.about);
        finding.sentence = format!("of the draft engine: {}", of_draft(&finding.sentence));
        finding.remedy = of_draft(&finding.remedy);
    }
    findings
}

/// Whether some of its GPUs are the target's, too.
fn shares_gpus(drafting: &Drafting, directory: &EngineDirectory, resolved: &Resolved) -> bool {
    let own = directory.config.mapping.world_size();
    let target = &resolved.engine.device_ids;
    // Of a target without ids the first GPU is known to be taken.
    drafting.gpus_beside(own, target, target.len().max(1) as u32) < own
}

/// What is left once the draft engine is loaded and has its cache, as far as its directory tells.
fn beside_draft(memory: GpuMemory, named: &Named, resolved: &Resolved) -> GpuMemory {
    let (Some(drafting), Some(directory)) = (&resolved.engine.drafting, named.draft_directory())
    else {
        return memory;
    };
    if !shares_gpus(drafting, directory, resolved) {
        return memory;
    }
    let settings = resolved.engine.of_draft(drafting);
    let weights = directory.weight_bytes(&settings).unwrap_or(0);
    let cache = directory
        .kv_capacity(&settings, Some(memory))
        .zip(directory.kv_bytes_per_token())
        .map_or(0, |(room, bytes)| (room.tokens as f64 * bytes) as u64);
    GpuMemory { free_bytes: memory.free_bytes.saturating_sub(weights + cache), ..memory }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;

    fn planned(settings: &str) -> Resolved {
        let typed: Settings = toml::from_str(settings).expect(settings);
        resolve(&typed).expect(settings)
    }

    #[test]
    fn two_engines_share_a_gpu_unless_each_has_its_own() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/engine_directories/llama3-8b-fp8-tp1");
        let directory = EngineDirectory::read(&folder).expect("a fixture");
        for (ids, shared) in [
            ("", true),
            ("draft_device_ids = [0]", true),
            ("device_ids = [0, 1]\ndraft_device_ids = [1]", true),
            ("draft_device_ids = [1]", false),
            ("device_ids = [2]\ndraft_device_ids = [0]", false),
        ] {
            let resolved =
                planned(&format!("kv_reuse = true\n[engine]\ndraft_engine = 'small'\n{ids}"));
            let drafting = resolved.engine.drafting.as_ref().expect("a draft engine");
            assert_eq!(shares_gpus(drafting, &directory, &resolved), shared, "{ids}");
        }
    }
}
