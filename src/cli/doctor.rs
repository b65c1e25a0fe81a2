//! `bareflight doctor`: is this machine fit to measure what is asked for?

use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::doctor::finding::Status;
use crate::doctor::{Asked, examine, show};

/// What the machine should be fit for.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// A server, to look at the way to it: connections, keep-alive, delays of 40 ms
    #[arg(value_name = "URL")]
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
    /// Print JSON for scripts
    #[arg(long)]
    pub json: bool,
}

/// Looks, prints, and ends with 3 where something is in the way.
///
/// # Errors
/// When what was typed cannot be meant, or the report cannot be printed.
pub fn run(arguments: &DoctorArgs) -> Coded<Exit> {
    let asked = Asked {
        target: arguments.target.clone(),
        engine: arguments.engine.clone(),
        url: arguments.url.clone(),
        nvml_library: arguments.nvml_library.clone(),
    };
    let report = examine(&asked).map_err(|error| (Exit::Usage, error.into()))?;
    let text = if arguments.json { show::json(&report) } else { show::text(&report) };
    print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(if report.status() == Status::Fail { Exit::Preflight } else { Exit::Ok })
}
