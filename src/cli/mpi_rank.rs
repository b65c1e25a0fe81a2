//! Part of this process in an MPI job: rank 0 drives the run, other ranks run their part of the engine, or are workers that send
//! load to a server.

use anyhow::anyhow;

use crate::cli::engine_log::{self, Destination};
use crate::cli::exit::{Coded, Exit};
use crate::console;
use crate::experiment::workers::calls::Listening;
use crate::settings::Resolved;
#[cfg(feature = "mpi")]
use crate::targets::mpi_job::JobEnd;
use crate::targets::mpi_job::MpiJob;
use crate::targets::registry;

/// What this process has to do.
pub enum Part {
    /// It drives the run; the other ranks call it, where they send load with it.
    Drives(Option<Listening>),
    /// It has done its part.
    Ended(Exit),
}

/// Runs the part of a rank that does not drive the run to its end.
///
/// # Errors
/// When the target is none for several processes, or this rank cannot do its part.
pub fn part_of(resolved: &mut Resolved, check: impl Fn(&Resolved) -> Coded<()>) -> Coded<Part> {
    let Some(job) = MpiJob::of_this_process() else { return Ok(Part::Drives(None)) };
    let found = registry::kind_of(&resolved.target);
    let Some((_, name)) = found.filter(|(kind, _)| kind.abilities.several_ranks) else {
        return part_of_load(job, resolved, check);
    };
    if job.rank == 0 {
        return Ok(Part::Drives(None));
    }
    console::be_silent(false);
    // What mpirun collects of standard output belongs to rank 0's results.
    let mut own = resolved.clone();
    engine_log::set_up(std::slice::from_mut(&mut own), Destination::StandardError)?;
    if resolved.engine.drafting.is_some() {
        // Rank 0 reports that two engines cannot be loaded by several ranks.
        return Ok(Part::Ended(Exit::Preflight));
    }
    run_engine_part(job, name.argument, resolved).map(Part::Ended)
}

/// The part of a rank where each is a worker.
fn part_of_load(
    job: MpiJob,
    resolved: &mut Resolved,
    check: impl Fn(&Resolved) -> Coded<()>,
) -> Coded<Part> {
    let usage = |error| (Exit::Usage, error);
    let can = registry::abilities_of(&resolved.target);
    if can.server.is_none() && !can.replies_at_once {
        return Err(usage(anyhow!(
            "mpirun started {} processes, and `{}` is a target of one: start it without mpirun, or serve it with `bareflight \
             serve` and measure the server",
            job.size,
            resolved.target
        )));
    }
    if let Some(workers) = resolved.workers.filter(|workers| *workers != job.size) {
        return Err(usage(anyhow!(
            "mpirun started {} processes, each of which is a worker: leave out `--workers {workers}`",
            job.size
        )));
    }
    resolved.workers = Some(job.size);
    check(resolved)?;
    meet(job, resolved)
}

#[cfg(not(feature = "mpi"))]
fn meet(job: MpiJob, _resolved: &Resolved) -> Coded<Part> {
    Err((
        Exit::Usage,
        anyhow!(
            "mpirun started {} processes, and this build cannot divide a load among them: build it with `--features mpi`, give \
             `--workers {}` without mpirun, or start workers on other hosts with `--workers-listen` and `--worker-of`",
            job.size,
            job.size
        ),
    ))
}

#[cfg(feature = "mpi")]
fn meet(job: MpiJob, resolved: &Resolved) -> Coded<Part> {
    use crate::cli::workers::work_over;
    use crate::experiment::workers::mpi::{self, Role};

    let preflight = |error: anyhow::Error| (Exit::Preflight, error);
    // When a rank dies, mpirun asks all others to end: rank 0 then sees to it that its workers do.
    let job_end = JobEnd::watch(Some(job)).map_err(|error| preflight(error.into()))?;
    match mpi::meet(job.size).map_err(|error| preflight(error.into()))? {
        Role::Leads(calls) => {
            if !resolved.quiet && is_bound_to_one_core() {
                console::print_notice(format_args!(
                    "mpirun binds each rank to one core, which rank 0 shares with the worker that it starts: give `mpirun \
                     --bind-to none`"
                ));
            }
            Ok(Part::Drives(Some(calls)))
        }
        Role::Works(caller) => {
            let said = caller.link().map_err(anyhow::Error::new).map_err(preflight);
            let exit = said.and_then(|link| work_over(link, resolved));
            // Rank 0 says what has happened, with its own code.
            match exit {
                Err(_) if job_end.has_come() => Ok(Part::Ended(Exit::Ok)),
                other => other.map(Part::Ended),
            }
        }
    }
}

/// Whether this process may use one core of several.
#[cfg(feature = "mpi")]
fn is_bound_to_one_core() -> bool {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = std::fs::read_to_string("/proc/cpuinfo")
        .map_or(1, |text| text.lines().filter(|line| line.starts_with("processor")).count());
    usable == 1 && cores > 1
}

#[cfg(feature = "trtllm")]
fn run_engine_part(job: MpiJob, directory: &str, resolved: &Resolved) -> Coded<Exit> {
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
    Ok(Exit::Ok)
}

/// Rank 0 reports what is missing.
#[cfg(not(feature = "trtllm"))]
#[allow(clippy::unnecessary_wraps)] // As with the feature.
fn run_engine_part(_job: MpiJob, _directory: &str, _resolved: &Resolved) -> Coded<Exit> {
    Ok(Exit::Preflight)
}
