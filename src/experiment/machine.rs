//! Machine of a roofline: named by the user, else by the target, else by the driver.

use std::path::Path;

use crate::engine_directory::EngineProblem;
use crate::engine_directory::check::{refuse, warn};
use crate::experiment::preflight::PreflightError;
use crate::ffi::cuda::visible_devices;
use crate::observe::gpu::known::{CudaQuery, KnownGpus, MemorySource};
use crate::observe::gpu::sampler::Telemetry;
use crate::settings::Resolved;
use crate::specs::{MachineFigures, MachineOrigin, MeasuredGpu, RooflineFacts};
use crate::store::measured_gpus;
use crate::targets::deployment::{Deployment, Placement};
use crate::targets::named::Named;

/// The GPUs that an engine from a directory may run on, as far as anybody can tell: NVML of those that are watched, else CUDA
/// of those that it shows, for an engine in this process or where its library is named. `None` where nobody does.
///
/// # Errors
/// When a library that was named tells nothing.
pub(super) fn gpus(
    named: &Named,
    resolved: &Resolved,
    telemetry: Option<&Telemetry>,
) -> Result<Option<KnownGpus>, PreflightError> {
    let Some(ranks) = ranks(named) else { return Ok(None) };
    let machine = telemetry.map(Telemetry::machine).transpose()?;
    let nvml = machine.as_ref().zip(telemetry).map(|(it, by)| (it, by.watched.as_slice()));
    let cuda = CudaQuery {
        library: resolved.cuda_library.as_deref(),
        ranks,
        device_ids: &resolved.engine.device_ids,
    };
    let may_ask = cuda.library.is_some() || named.target.describe().abilities().local_gpus;
    Ok(KnownGpus::find(nvml, may_ask.then_some(&cuda))?)
}

/// GPUs that an engine takes whose type it does not say itself; `None` where it has none of these.
fn ranks(named: &Named) -> Option<u32> {
    if let Some(directory) = named.engine_directory() {
        return Some(directory.config.mapping.world_size());
    }
    let deployment = named.deployment()?;
    let is_unknown = deployment.placement == Placement::Gpus(None);
    is_unknown.then_some(deployment.tensor_parallel * deployment.pipeline_parallel)
}

/// Device ids, of the engine or the one that drafts for it, that CUDA does not show to this process; `None` too where CUDA says
/// nothing.
pub(super) fn absent_device_ids(named: &Named, resolved: &Resolved) -> Option<EngineProblem> {
    let library = resolved.cuda_library.as_deref();
    let drafting = resolved.engine.drafting.iter().flat_map(|it| &it.device_ids);
    let asked: Vec<u32> = resolved.engine.device_ids.iter().chain(drafting).copied().collect();
    let may_ask = library.is_some() || named.target.describe().abilities().local_gpus;
    if asked.is_empty() || !may_ask {
        return None;
    }
    let shown = visible_devices(library).ok()?.len() as u32;
    let absent = asked.into_iter().find(|id| *id >= shown)?;
    let sentence = format!(
        "device id {absent} is asked for, and CUDA shows {shown} GPU{} to this process",
        if shown == 1 { "" } else { "s" }
    );
    let last = shown
        .checked_sub(1)
        .map_or_else(String::new, |last| format!("name ids from 0 to {last}, or "));
    Some(refuse("device_ids", sentence, format!("{last}let CUDA_VISIBLE_DEVICES show more")))
}

/// The model on its machine, with what its GPUs were measured to do where they were, and what is to be known where one of both is
/// not there although somebody could expect it.
pub(super) fn roofline(
    deployment: Option<&Deployment>,
    resolved: &Resolved,
    gpus: Option<&KnownGpus>,
) -> (Option<RooflineFacts>, Option<EngineProblem>) {
    let (found, lacking) = of_datasheet(deployment, resolved, gpus);
    // A user without a place for a cache has measured nothing that was kept.
    let (Some(facts), Some(gpus), Ok(cache)) = (&found, gpus, measured_gpus::path()) else {
        return (found, lacking);
    };
    let (facts, unread) = with_measured(facts.clone(), gpus, &cache);
    (Some(facts), lacking.or(unread))
}

/// Adds the least that these GPUs were measured to do, if the machine is theirs and each was measured.
fn with_measured(
    facts: RooflineFacts,
    gpus: &KnownGpus,
    cache: &Path,
) -> (RooflineFacts, Option<EngineProblem>) {
    match facts.machine_from {
        Some(MachineOrigin::Nvml | MachineOrigin::Cuda) => {}
        Some(MachineOrigin::User | MachineOrigin::Target) | None => return (facts, None),
    }
    let uuids: Vec<&str> = gpus.gpus.iter().map(|gpu| gpu.uuid.as_str()).collect();
    match measured_gpus::of(cache, &uuids) {
        Ok(known) => {
            let measured = known.and_then(|all| MeasuredGpu::least(&all));
            (RooflineFacts { measured, ..facts }, None)
        }
        Err(error) => {
            let why = "the roofline does not show what the GPU was measured to do".to_owned();
            (facts, Some(warn("roofline", why, error.to_string())))
        }
    }
}

/// The model on its machine by a datasheet.
fn of_datasheet(
    deployment: Option<&Deployment>,
    resolved: &Resolved,
    gpus: Option<&KnownGpus>,
) -> (Option<RooflineFacts>, Option<EngineProblem>) {
    let (chosen_gpu, bandwidth) = (resolved.gpu.as_ref(), resolved.memory_bandwidth_gbps);
    let asks_the_driver =
        chosen_gpu.is_none() && deployment.is_some_and(|it| it.placement == Placement::Gpus(None));
    let (seen, lacking) = match gpus.filter(|_| asks_the_driver).map(seen).transpose() {
        Ok(seen) => (seen, None),
        Err(finding) => (None, Some(finding)),
    };
    let found = deployment.and_then(|it| it.clone().on(chosen_gpu, bandwidth, seen));
    let named_in_vain = found.is_none() && (chosen_gpu.is_some() || bandwidth.is_some());
    (found, lacking.or_else(|| named_in_vain.then(named_but_unused)))
}

/// The figures of these GPUs, if they are of one type that a datasheet is known of.
fn seen(known: &KnownGpus) -> Result<(MachineFigures, MachineOrigin), EngineProblem> {
    let from = match known.teller {
        MemorySource::Nvml => MachineOrigin::Nvml,
        MemorySource::Cuda => MachineOrigin::Cuda,
    };
    let mut names: Vec<&str> = known.gpus.iter().map(|gpu| gpu.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let named = format!(
        "name with `--gpu` the one that the engine runs on, of {}",
        MachineFigures::gpu_names()
    );
    match names[..] {
        [name] => MachineFigures::gpu(name).map(|figures| (figures, from)).ok_or_else(|| {
            no_roofline(
                format!("no datasheet of a GPU `{name}` is known to this program"),
                format!("compare with the datasheet by hand, or {named}"),
            )
        }),
        _ => Err(no_roofline(
            format!("GPUs of several types are here ({})", names.join(", ")),
            format!("watch one type with `--gpu-telemetry UUID,…`, or {named}"),
        )),
    }
}

fn named_but_unused() -> EngineProblem {
    no_roofline(
        "the shape of the model behind this target, or the machine that it runs on, is not known"
            .to_owned(),
        "`--gpu` goes with an engine on GPUs, `--memory-bandwidth-gbps` with one on the CPU; of an engine in Python a note says \
         what is not known of its model"
            .to_owned(),
    )
}

fn no_roofline(why: String, remedy: String) -> EngineProblem {
    warn("roofline", format!("there is no roofline: {why}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;
    use crate::observe::gpu::known::KnownGpu;
    use crate::specs::{Arithmetic, ModelFigures, PeakFlops};

    fn engine() -> Deployment {
        Deployment {
            model: ModelFigures {
                parameters: 8e9,
                active_parameters: 8e9,
                weight_bytes: 8e9,
                experts: None,
                kv_bytes_per_token: 65_536.0,
                attention_width: 131_072.0,
                arithmetic: Arithmetic::Float8,
            },
            placement: Placement::Gpus(None),
            tensor_parallel: 1,
            pipeline_parallel: 1,
        }
    }

    /// The name of the machine and who said it, and the note.
    fn machine_of(
        deployment: Option<&Deployment>,
        chosen_gpu: Option<&str>,
        gpus: &[&str],
    ) -> (Option<(String, Option<MachineOrigin>)>, Option<String>) {
        let settings = Settings { gpu: chosen_gpu.map(str::to_owned), ..Settings::default() };
        let resolved = resolve(&settings).expect("settings");
        let gpu = |name: &&str| KnownGpu {
            uuid: "GPU-made-up".to_owned(),
            name: (*name).to_owned(),
            memory: None,
        };
        let gpus = KnownGpus { teller: MemorySource::Nvml, gpus: gpus.iter().map(gpu).collect() };
        let seen = (!gpus.gpus.is_empty()).then_some(&gpus);
        let (facts, note) = of_datasheet(deployment, &resolved, seen);
        (facts.map(|it| (it.machine.name, it.machine_from)), note.map(|it| it.to_string()))
    }

    #[test]
    fn a_gpu_that_no_datasheet_is_known_of_is_noted_by_name_and_is_no_error() {
        let (none, note) = machine_of(Some(&engine()), None, &["NVIDIA GeForce 9000"]);
        let note = note.expect("a note");
        assert_eq!(none, None);
        assert!(note.contains("`NVIDIA GeForce 9000`") && note.contains("--gpu"), "{note}");
    }

    #[test]
    fn gpus_of_several_types_are_no_machine() {
        let (none, note) = machine_of(Some(&engine()), None, &["NVIDIA H200", "NVIDIA L40S"]);
        let note = note.expect("a note");
        assert_eq!(none, None);
        assert!(note.contains("NVIDIA H200, NVIDIA L40S"), "{note}");
    }

    #[test]
    fn what_the_user_says_goes_before_what_the_driver_says() {
        let seen = ["NVIDIA H200", "NVIDIA H200"];
        let driver = Some(("H200 SXM".to_owned(), Some(MachineOrigin::Nvml)));
        assert_eq!(machine_of(Some(&engine()), None, &seen), (driver, None));
        let user = Some(("B200".to_owned(), Some(MachineOrigin::User)));
        assert_eq!(machine_of(Some(&engine()), Some("b200"), &seen), (user.clone(), None));
        assert_eq!(
            machine_of(Some(&engine()), Some("b200"), &["a GPU of next year"]),
            (user, None)
        );
    }

    #[test]
    fn what_the_target_knows_goes_before_the_gpu_beside_it() {
        let machine = MachineFigures {
            name: "the profile's GPU".into(),
            bandwidth_bytes_per_s: 1e12,
            peak: PeakFlops::default(),
            source: "made up".into(),
        };
        let simulated = Deployment { placement: Placement::Gpus(Some(machine)), ..engine() };
        let target = Some(("the profile's GPU".to_owned(), Some(MachineOrigin::Target)));
        assert_eq!(machine_of(Some(&simulated), None, &["a GPU of next year"]), (target, None));
    }

    #[test]
    fn measured_figures_belong_to_the_gpus_that_the_driver_names_and_to_no_other_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("measured-gpus.json");
        let measured = MeasuredGpu {
            uuid: "GPU-made-up".into(),
            read_bytes_per_s: Some(4e12),
            ..MeasuredGpu::default()
        };
        measured_gpus::keep(&cache, &[measured]).expect("kept");
        let found = |chosen: Option<&str>, uuids: &[&str]| {
            let settings = Settings { gpu: chosen.map(str::to_owned), ..Settings::default() };
            let resolved = resolve(&settings).expect("settings");
            let gpu = |uuid: &&str| KnownGpu {
                uuid: (*uuid).to_owned(),
                name: "NVIDIA H200".into(),
                memory: None,
            };
            let gpus =
                KnownGpus { teller: MemorySource::Cuda, gpus: uuids.iter().map(gpu).collect() };
            let (facts, _) = of_datasheet(Some(&engine()), &resolved, Some(&gpus));
            let (facts, unread) = with_measured(facts.expect("a machine"), &gpus, &cache);
            (facts.measured.map(|it| it.bandwidth_bytes_per_s), unread.map(|it| it.to_string()))
        };
        assert_eq!(found(None, &["GPU-made-up"]), (Some(4e12), None));
        assert_eq!(found(Some("h200"), &["GPU-made-up"]), (None, None));
        // Nobody knows what the second one does.
        assert_eq!(found(None, &["GPU-made-up", "GPU-other"]), (None, None));
        std::fs::write(&cache, "no JSON").expect("written");
        let (none, unread) = found(None, &["GPU-made-up"]);
        assert_eq!(none, None);
        assert!(unread.expect("a warning").contains("measured-gpus.json"));
    }

    #[test]
    fn a_name_that_helps_nobody_is_noted_and_silence_is_not() {
        let (none, note) = machine_of(None, Some("h200"), &[]);
        assert_eq!(none, None);
        assert!(note.expect("a note").contains("an engine on GPUs"));
        assert_eq!(machine_of(None, None, &["NVIDIA H200"]), (None, None));
        assert_eq!(machine_of(Some(&engine()), None, &[]), (None, None));
    }
}
