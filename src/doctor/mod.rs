//! IS THIS MACHINE FIT to measure? Facts are gathered in one place and judged in another, so that every judgement can be
//! tested with facts that were made up. Nothing is ever changed: a remedy is a command for the user to run.

mod cuda;
mod elf;
mod engine;
mod exchange;
pub mod finding;
mod gpu;
mod host;
mod host_facts;
mod libraries;
mod loader;
mod mpi;
mod network;
pub mod show;

use std::path::PathBuf;

use crate::doctor::cuda::CudaFacts;
use crate::doctor::engine::EngineFacts;
pub use crate::doctor::engine::PlannedLoad;
use crate::doctor::exchange::{NetworkFacts, NoPlace, Place};
use crate::doctor::finding::{Finding, Status};
use crate::doctor::gpu::GpuFacts;
use crate::doctor::host_facts::HostFacts;
use crate::doctor::libraries::LibraryFacts;
use crate::doctor::loader::SearchPaths;
use crate::doctor::mpi::MpiFacts;
use crate::observe::gpu::known::{AskedOfCuda, KnownGpus};
use crate::observe::gpu::library;
use crate::observe::gpu::over_window::Watched;
use crate::observe::gpu::state::Machine;
use crate::targets::registry::{self, ServerProtocol};

/// For what the machine should be fit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
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
    /// The GPUs that an engine is told to take, by CUDA's numbers; empty for any.
    pub device_ids: Vec<u32>,
    /// What is going to be asked of the engine.
    pub load: Option<PlannedLoad>,
}

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One line each, in the order of the areas.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of all.
    pub fn status(&self) -> Status {
        self.findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Pass)
    }
}

/// Looks at everything that `asked` needs; takes about a second, and some more where a server does not answer.
///
/// # Errors
/// When a server is named in a way that cannot be meant.
pub fn examine(asked: &Asked) -> Result<Report, NoPlace> {
    let place = place(asked)?;
    let named = asked.target.as_deref().and_then(registry::kind_of);
    let of_target = named.filter(|(kind, _)| kind.abilities.engine_directory);
    let of_target = of_target.map(|(_, name)| name.argument);
    let engine = asked.engine.clone().or_else(|| of_target.map(PathBuf::from));
    let wants_executor = of_target.is_some();
    let paths = SearchPaths::of_this_process();
    let libraries = LibraryFacts::gather(&paths, wants_executor);
    let host = HostFacts::gather();
    let gpu = GpuFacts {
        machine: library::load(asked.nvml_library.as_deref())
            .and_then(|(nvml, driver)| Machine::read(&nvml, driver)),
        wanted: wants_executor,
        runtime_cuda_major: libraries.cuda_major(),
        own_numa_nodes: host.numa_nodes_spanned.clone(),
        own_pid: std::process::id(),
    };
    let known_to_nvml = gpu.machine.as_ref().map_or(0, |machine| machine.gpus.len());
    let cuda = CudaFacts::gather(asked.cuda_library.as_deref(), known_to_nvml, wants_executor);
    let mut findings = host::findings(&host);
    findings.extend(gpu::findings(&gpu));
    findings.push(cuda::finding(&cuda));
    findings.extend(libraries::findings(&libraries));
    let version = libraries.installation.and_then(|installation| installation.version);
    let mut mpi = MpiFacts::gather(&paths, wants_executor);
    let gpus = engine.is_some().then(|| known_gpus(&gpu, &cuda, asked)).flatten();
    let engine = engine.map(|path| EngineFacts::gather(&path, version, mpi.ranks, gpus, asked));
    mpi.engine_ranks = engine.as_ref().and_then(EngineFacts::built_ranks);
    findings.extend(mpi::findings(&mpi));
    findings.extend(engine.iter().flat_map(engine::findings));
    if let Some(place) = place {
        findings.extend(network::findings(&NetworkFacts::gather(&place)));
    }
    Ok(Report { findings })
}

/// The GPUs of this machine that an engine may run on: all of them, or those that are named where CUDA tells of them.
fn known_gpus(gpu: &GpuFacts, cuda: &CudaFacts, asked: &Asked) -> Option<KnownGpus> {
    let machine = gpu.machine.as_ref().ok();
    let all: Vec<Watched> = machine
        .iter()
        .flat_map(|machine| machine.gpus.iter().map(|state| state.gpu.clone()))
        .collect();
    let shown = cuda.devices.as_ref().map_or(0, Vec::len) as u32;
    let library = asked.cuda_library.as_deref();
    let of_cuda = AskedOfCuda { library, ranks: shown, device_ids: &asked.device_ids };
    let nvml = machine.map(|machine| (machine, all.as_slice()));
    // What CUDA fails at has a line of its own.
    KnownGpus::find(nvml, (shown > 0).then_some(&of_cuda)).ok().flatten()
}

fn place(asked: &Asked) -> Result<Option<Place>, NoPlace> {
    if let Some(url) = &asked.url {
        return Place::http(url).map(Some);
    }
    let Some((kind, name)) = asked.target.as_deref().and_then(registry::kind_of) else {
        return Ok(None);
    };
    match kind.abilities.server {
        Some(ServerProtocol::Http) => Place::http(name.argument).map(Some),
        Some(ServerProtocol::Grpc) => Place::triton(name.argument).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_as_good_as_its_worst_line() {
        let look = finding::Look { area: finding::Area::Host, id: "x", why: "" };
        let mut report = Report { findings: vec![look.skip("not here"), look.pass("good")] };
        assert_eq!(report.status(), Status::Pass);
        report.findings.push(look.fail("bad", "mend it"));
        report.findings.push(look.warn("so so", "mend it"));
        assert_eq!(report.status(), Status::Fail);
    }

    #[test]
    fn a_served_target_names_the_server_that_is_asked() {
        let shown = |target: &str| {
            let asked = Asked { target: Some(target.into()), ..Asked::default() };
            place(&asked).expect("it can be meant").map(|place| place.shown)
        };
        assert_eq!(shown("openai:http://h:8000").as_deref(), Some("http://h:8000/v1/models"));
        assert_eq!(shown("triton:h:8001/m").as_deref(), Some("http://h:8001"));
        assert_eq!(shown("local:dummy-nano"), None);
    }
}
