//! `bareflight doctor`: checks of this machine before a measurement.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::cli::spelling;
use crate::doctor::check_result::Status;
use crate::doctor::{DoctorOptions, PlannedLoad, Probe, examine, render};
use crate::observe::gpu::peaks;
use crate::targets::registry;
use crate::workload::scenario::Scenario;

/// What the machine should be fit for.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A server, to look at the way to it (connections, keep-alive, delays of 40 ms), or a target
    #[arg(value_name = "URL|TARGET")]
    pub url: Option<String>,
    /// A target as `run` takes it: what it needs and this machine lacks is then a failure
    #[arg(long, value_name = "KIND:NAME", conflicts_with = "url", env = "BAREFLIGHT_TARGET")]
    pub target: Option<String>,
    /// An engine directory: its version, ranks and size against what is here
    #[arg(long, value_name = "DIR")]
    pub engine: Option<PathBuf>,
    /// NVIDIA's management library, where it is not the system's `libnvidia-ml.so.1`
    #[arg(long, value_name = "PATH", env = "BAREFLIGHT_NVML_LIBRARY")]
    pub nvml_library: Option<PathBuf>,
    /// NVIDIA's driver library, where it is not the system's `libcuda.so.1`
    #[arg(long, value_name = "PATH", env = "BAREFLIGHT_CUDA_LIBRARY")]
    pub cuda_library: Option<PathBuf>,
    /// With an engine: lengths as `run` takes them; is there room in the KV cache for `--concurrency` of them?
    #[arg(long, short = 's', value_name = "SCENARIO", requires = "concurrency")]
    pub scenario: Option<Scenario>,
    /// With an engine: requests in flight of `--scenario`
    #[arg(long, value_name = "N", requires = "scenario", value_parser = clap::value_parser!(u32).range(1..))]
    pub concurrency: Option<u32>,
    /// With an engine: share of the memory left after loading that the KV cache may take, as `run` takes it
    #[arg(long, value_name = "SHARE")]
    pub kv_fraction: Option<f32>,
    /// With an engine: KV-cache capacity in tokens, as `run` takes it
    #[arg(long, value_name = "N")]
    pub kv_tokens: Option<u32>,
    /// With an engine: the GPUs that it may use, as `run` takes them; CUDA device numbers where CUDA reports the memory
    #[arg(long, value_name = "ID,ID,…", value_delimiter = ',')]
    pub device_ids: Vec<u32>,
    /// Measure what each GPU reaches, in less than 10 s: memory, BF16 and FP8 products, copies, launches; rooflines of later
    /// runs show their share of it (builds with the feature `cuda`)
    #[arg(long)]
    pub probe_gpu: bool,
    /// Print JSON for scripts
    #[arg(long)]
    pub json: bool,
}

/// Looks, prints, and ends with 3 where something is in the way.
///
/// # Errors
/// When what was typed cannot be meant, or the report cannot be printed.
pub fn run(arguments: &DoctorArgs) -> Coded<Exit> {
    if let Some(share) = arguments.kv_fraction.filter(|share| !(*share > 0.0 && *share < 1.0)) {
        let sentence =
            format!("`--kv-fraction {share}` is out of range: give a share above 0 and below 1");
        return Err((Exit::Usage, anyhow!(sentence)));
    }
    if arguments.probe_gpu {
        peaks::check().map_err(|error| (Exit::Preflight, error.into()))?;
        if let Some(library) = &arguments.cuda_library {
            let sentence = format!(
                "`--probe-gpu` finds CUDA by name and cannot be kept to `--cuda-library {0}`: leave that out, and put its \
                 folder into `LD_LIBRARY_PATH` if it is not the system's",
                library.display()
            );
            return Err((Exit::Usage, anyhow!(sentence)));
        }
    }
    let (target, url) = asked(arguments)?;
    let options = DoctorOptions {
        target,
        engine: arguments.engine.clone(),
        url,
        nvml_library: arguments.nvml_library.clone(),
        cuda_library: arguments.cuda_library.clone(),
        kv_fraction: arguments.kv_fraction,
        kv_tokens: arguments.kv_tokens,
        device_ids: arguments.device_ids.clone(),
        load: arguments
            .scenario
            .zip(arguments.concurrency)
            .map(|(scenario, concurrency)| PlannedLoad { scenario, concurrency }),
        probe: if arguments.probe_gpu { Probe::Yes } else { Probe::No },
    };
    let report = examine(&options).map_err(|error| (Exit::Usage, error.into()))?;
    let text = if arguments.json { render::json(&report) } else { render::text(&report) };
    print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(if report.status() == Status::Fail { Exit::Preflight } else { Exit::Ok })
}

/// The target and the address that are looked at: a word alone may be either, and an address is a target as for `run`.
fn asked(arguments: &DoctorArgs) -> Coded<(Option<String>, Option<String>)> {
    let url = arguments.url.clone();
    let target = arguments.target.as_deref().map(spelling::with_kind);
    let Some(target) = target.or_else(|| url.clone().filter(|url| spelling::has_kind(url))) else {
        return Ok((None, url));
    };
    registry::named(&target).map_err(|error| (Exit::Usage, error.into()))?;
    Ok((Some(target), None))
}
