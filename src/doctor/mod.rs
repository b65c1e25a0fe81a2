//! Doctor: checks of whether this machine is fit to measure.
//!
//! Facts are gathered in one place and judged in another, so that checks can be tested with made-up facts. Nothing is
//! changed: a remedy is a command for the user to run.

pub mod check_result;
mod cuda;
mod elf;
mod engine;
mod exchange;
mod gpu;
mod host;
mod host_facts;
mod libraries;
mod loader;
mod mpi;
mod network;
mod peaks;
mod python;
pub mod render;

use std::path::PathBuf;

use crate::doctor::check_result::{CheckResult, Status};
use crate::doctor::cuda::CudaFacts;
use crate::doctor::engine::EngineFacts;
pub use crate::doctor::engine::PlannedLoad;
use crate::doctor::exchange::{NetworkFacts, ServerAddress, ServerAddressError};
use crate::doctor::gpu::GpuFacts;
use crate::doctor::host_facts::HostFacts;
use crate::doctor::libraries::LibraryFacts;
use crate::doctor::loader::SearchPaths;
use crate::doctor::mpi::MpiFacts;
use crate::observe::gpu::known::{CudaQuery, KnownGpus};
use crate::observe::gpu::library;
use crate::observe::gpu::over_window::Watched;
use crate::observe::gpu::peaks as gpu_peaks;
use crate::observe::gpu::state::Machine;
use crate::specs::MeasuredGpu;
use crate::store::measured_gpus;
use crate::targets::registry::{self, ServerProtocol};

/// What the doctor checks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DoctorOptions {
    /// A target, e.g. `trtllm:ENGINE_DIR` or `openai:URL`.
    pub target: Option<String>,
    /// An engine directory; a target `trtllm:DIR` names one too.
    pub engine: Option<PathBuf>,
    /// A URL of a server.
    pub url: Option<String>,
    /// NVIDIA's management library, where it is not the system's.
    pub nvml_library: Option<PathBuf>,
    /// NVIDIA's driver library, where it is not the system's.
    pub cuda_library: Option<PathBuf>,
    /// Share of the memory left by the weights that the KV cache may take.
    pub kv_fraction: Option<f32>,
    /// KV-cache capacity in tokens.
    pub kv_tokens: Option<u32>,
    /// Device ids of the engine, CUDA's numbers; empty for any.
    pub device_ids: Vec<u32>,
    /// What is going to be asked of the engine.
    pub load: Option<PlannedLoad>,
    /// Whether the GPUs are measured.
    pub probe: Probe,
}

/// Whether the GPUs are measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Probe {
    /// They are looked at, and left alone.
    #[default]
    No,
    /// They work for some seconds, and their figures are kept.
    Yes,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// One line each, in the order of the areas.
    pub results: Vec<CheckResult>,
    /// What each GPU was measured to do, where that was asked for.
    pub measured: Vec<MeasuredGpu>,
}

impl Report {
    /// The worst of all.
    pub fn status(&self) -> Status {
        self.results.iter().map(|result| result.status).max().unwrap_or(Status::Pass)
    }
}

/// Looks at everything that `asked` needs; takes about a second, and some more where a server does not answer.
///
/// # Errors
/// When a server is named in a way that cannot be meant.
pub fn examine(options: &DoctorOptions) -> Result<Report, ServerAddressError> {
    let place = place(options)?;
    let named = options.target.as_deref().and_then(registry::kind_of);
    let of_target = named.filter(|(kind, _)| kind.abilities.engine_directory);
    let of_target = of_target.map(|(_, name)| name.argument);
    let engine = options.engine.clone().or_else(|| of_target.map(PathBuf::from));
    let wants_executor = of_target.is_some();
    let paths = SearchPaths::of_this_process();
    let libraries = LibraryFacts::gather(&paths, wants_executor);
    let host = HostFacts::gather();
    let gpu = GpuFacts {
        machine: library::load(options.nvml_library.as_deref())
            .and_then(|(nvml, driver)| Machine::read(&nvml, driver)),
        wanted: wants_executor,
        runtime_cuda_major: libraries.cuda_major(),
        own_numa_nodes: host.numa_nodes_spanned.clone(),
        own_pid: std::process::id(),
    };
    let known_to_nvml = gpu.machine.as_ref().map_or(0, |machine| machine.gpus.len());
    let cuda = CudaFacts::gather(options.cuda_library.as_deref(), known_to_nvml, wants_executor);
    let mut results = host::check_results(&host);
    results.extend(gpu::check_results(&gpu));
    results.push(cuda::check_result(&cuda));
    let measured = probe(options, &mut results);
    results.extend(libraries::check_results(&libraries));
    let version = libraries.installation.and_then(|installation| installation.version);
    let mut mpi = MpiFacts::gather(&paths, wants_executor);
    let gpus = engine.is_some().then(|| known_gpus(&gpu, &cuda, options)).flatten();
    let engine = engine.map(|path| EngineFacts::gather(&path, version, mpi.ranks, gpus, options));
    mpi.engine_ranks = engine.as_ref().and_then(EngineFacts::built_ranks);
    results.extend(mpi::check_results(&mpi));
    results.extend(engine.iter().flat_map(engine::check_results));
    results.extend(options.target.as_deref().into_iter().flat_map(python::check_results));
    if let Some(place) = place {
        results.extend(network::check_results(&NetworkFacts::gather(&place)));
    }
    Ok(Report { results, measured })
}

/// Measures the GPUs where that was asked for, keeps the figures and adds lines about them.
fn probe(options: &DoctorOptions, results: &mut Vec<CheckResult>) -> Vec<MeasuredGpu> {
    if options.probe == Probe::No {
        return Vec::new();
    }
    let measured = gpu_peaks::measure(options.nvml_library.as_deref());
    let keep = |all: &Vec<MeasuredGpu>| measured_gpus::keep(&measured_gpus::path()?, all);
    let kept = measured.as_ref().map_or(Ok(()), keep);
    let not_kept = kept.err().map(|error| error.to_string());
    results.extend(peaks::check_results(&measured, not_kept.as_deref()));
    measured.unwrap_or_default()
}

/// The GPUs of this machine that an engine may run on: all of them, or those that are named where CUDA tells of them.
fn known_gpus(gpu: &GpuFacts, cuda: &CudaFacts, options: &DoctorOptions) -> Option<KnownGpus> {
    let machine = gpu.machine.as_ref().ok();
    let all: Vec<Watched> = machine
        .iter()
        .flat_map(|machine| machine.gpus.iter().map(|state| state.gpu.clone()))
        .collect();
    let shown = cuda.devices.as_ref().map_or(0, Vec::len) as u32;
    let library = options.cuda_library.as_deref();
    let of_cuda = CudaQuery { library, ranks: shown, device_ids: &options.device_ids };
    let nvml = machine.map(|machine| (machine, all.as_slice()));
    // What CUDA fails at has a line of its own.
    KnownGpus::find(nvml, (shown > 0).then_some(&of_cuda)).ok().flatten()
}

fn place(options: &DoctorOptions) -> Result<Option<ServerAddress>, ServerAddressError> {
    if let Some(url) = &options.url {
        return ServerAddress::http(url).map(Some);
    }
    let Some((kind, name)) = options.target.as_deref().and_then(registry::kind_of) else {
        return Ok(None);
    };
    match kind.abilities.server {
        Some(ServerProtocol::Http) => ServerAddress::http(name.argument).map(Some),
        Some(ServerProtocol::Grpc) => ServerAddress::triton(name.argument).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_as_good_as_its_worst_line() {
        let check = check_result::Check { area: check_result::Area::Host, id: "x", why: "" };
        let results = vec![check.skip("not here"), check.pass("good")];
        let mut report = Report { results, measured: Vec::new() };
        assert_eq!(report.status(), Status::Pass);
        report.results.push(check.fail("bad", "mend it"));
        report.results.push(check.warn("so so", "mend it"));
        assert_eq!(report.status(), Status::Fail);
    }

    #[test]
    fn a_served_target_names_the_server_that_is_asked() {
        let shown = |target: &str| {
            let options = DoctorOptions { target: Some(target.into()), ..DoctorOptions::default() };
            place(&options).expect("it can be meant").map(|place| place.shown)
        };
        assert_eq!(shown("openai:http://h:8000").as_deref(), Some("http://h:8000/v1/models"));
        assert_eq!(shown("triton:h:8001/m").as_deref(), Some("http://h:8001"));
        assert_eq!(shown("local:dummy-nano"), None);
    }
}
