//! Role of this process in an MPI job: rank 0 drives the run, other ranks run their part of the engine.

use anyhow::anyhow;

use crate::cli::engine_log::{self, Destination};
use crate::cli::exit::{Coded, Exit};
use crate::settings::Resolved;
use crate::targets::mpi_job::MpiJob;
use crate::targets::registry;

/// Runs a worker rank to its end; `None` on the rank that drives the run.
///
/// # Errors
/// When the target is none that several processes load together, or this rank cannot load its part.
pub fn run_worker_rank(resolved: &Resolved) -> Coded<Option<Exit>> {
    let Some(job) = MpiJob::of_this_process() else { return Ok(None) };
    let found = registry::kind_of(&resolved.target);
    let Some((_, name)) = found.filter(|(kind, _)| kind.abilities.several_ranks) else {
        // One rank reports the error.
        if job.rank > 0 {
            return Ok(Some(Exit::Usage));
        }
        let error = anyhow!(
            "mpirun started {} processes, and `{}` is a target of one: start it without mpirun",
            job.size,
            resolved.target
        );
        return Err((Exit::Usage, error));
    };
    if job.rank == 0 {
        return Ok(None);
    }
    // What mpirun collects of standard output belongs to rank 0's results.
    let mut own = resolved.clone();
    engine_log::set_up(std::slice::from_mut(&mut own), Destination::StandardError)?;
    if resolved.engine.drafting.is_some() {
        // Rank 0 reports that two engines cannot be loaded by several ranks.
        return Ok(Some(Exit::Preflight));
    }
    run_engine_part(job, name.argument, resolved)
}

#[cfg(feature = "trtllm")]
fn run_engine_part(job: MpiJob, directory: &str, resolved: &Resolved) -> Coded<Option<Exit>> {
    use crate::console;
    use crate::ffi::engine::run_worker_rank_trtllm;
    use crate::targets::sim::wire_config;

    if !resolved.quiet {
        console::print_notice(format_args!(
            "rank {} of {} (process {}) holds its part of {directory}",
            job.rank,
            job.size,
            std::process::id()
        ));
    }
    run_worker_rank_trtllm(&wire_config(directory, &resolved.engine))
        .map_err(|error| (Exit::Preflight, anyhow!("rank {}: {error}", job.rank)))?;
    Ok(Some(Exit::Ok))
}

/// Rank 0 reports what is missing.
#[cfg(not(feature = "trtllm"))]
#[allow(clippy::unnecessary_wraps)] // As with the feature.
fn run_engine_part(_job: MpiJob, _directory: &str, _resolved: &Resolved) -> Coded<Option<Exit>> {
    Ok(Some(Exit::Preflight))
}
