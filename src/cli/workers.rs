//! `--workers`: what cannot be divided among several processes is refused by name, and a process that was started as a worker
//! works.

use anyhow::{Context, anyhow};

use crate::cli::exit::{Coded, Exit};
use crate::cli::typed::MeasureArgs;
use crate::console;
use crate::experiment::workers::calls::{self, Listening};
use crate::experiment::workers::key::Key;
use crate::experiment::workers::{link_of_this_process, work};
use crate::issue::workers::link::Link;
use crate::load::Load;
use crate::load::plan::Slice;
use crate::settings::Resolved;
use crate::targets::mpi_job::MpiJob;
use crate::targets::registry;

/// Works, where this process was started as a worker, or told whose worker it is.
///
/// # Errors
/// When the leading process cannot be reached.
pub fn work_as_asked(
    resolved: &Resolved,
    leader: Option<&str>,
    key: Option<&Key>,
) -> Coded<Option<Exit>> {
    let started = link_of_this_process()
        .context("the process that leads the load is gone")
        .map_err(|error| (Exit::Failure, error))?;
    let link = match (started, leader) {
        (Some(link), _) => link,
        (None, Some(leader)) => {
            call(leader, key, resolved.quiet).map_err(|error| (Exit::Preflight, error))?
        }
        (None, None) => return Ok(None),
    };
    work_over(link, resolved).map(Some)
}

/// Works until the leading process has no more to do.
///
/// # Errors
/// When that process is gone.
pub fn work_over(link: Link, resolved: &Resolved) -> Coded<Exit> {
    work(resolved.clone(), link)
        .context("the process that leads the load is gone")
        .map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

/// Calls the leading process on another host.
fn call(leader: &str, key: Option<&Key>, is_quiet: bool) -> anyhow::Result<Link> {
    let remedy = || {
        format!(
            "`--worker-of {leader}` cannot be reached: start `bareflight run … --workers N --workers-listen 0.0.0.0:PORT` \
             there first"
        )
    };
    let addresses = calls::addresses_of(leader).with_context(remedy)?;
    let stream = calls::call(&addresses).with_context(remedy)?;
    let link =
        calls::welcomed(stream, key, None).with_context(|| format!("`--worker-of {leader}`"))?;
    if !is_quiet {
        console::print_notice(format_args!("a worker of {leader}, which prints the results"));
    }
    Ok(link)
}

/// The key of calls between hosts, where one was named.
///
/// # Errors
/// When the variable holds none, or nobody calls.
pub fn key(arguments: &MeasureArgs) -> anyhow::Result<Option<Key>> {
    let Some(name) = &arguments.workers_key_env else { return Ok(None) };
    if arguments.workers_listen.is_none() && arguments.worker_of.is_none() {
        return Err(anyhow!(
            "`--workers-key-env {name}` is the key of calls between hosts: give it with `--workers-listen` or `--worker-of`, or \
             leave it out"
        ));
    }
    Ok(Some(Key::from_variable(name)?))
}

/// Where workers call that this process does not start, where it was asked for.
///
/// # Errors
/// When nobody can listen there, or nobody is awaited.
pub fn listening(
    arguments: &MeasureArgs,
    resolved: &Resolved,
    key: Option<Key>,
) -> anyhow::Result<Option<Listening>> {
    let Some(address) = &arguments.workers_listen else { return Ok(None) };
    if resolved.workers.is_none() {
        return Err(anyhow!(
            "`--workers-listen {address}` waits for nobody: say with `--workers N` how many workers will call"
        ));
    }
    if let Some(job) = MpiJob::of_this_process() {
        return Err(anyhow!(
            "mpirun started {} processes, which are the workers: leave out `--workers-listen {address}`",
            job.size
        ));
    }
    let listening = Listening::at(address, key).with_context(|| {
        format!("`--workers-listen {address}`: give an address of this host and a free port, as `0.0.0.0:7000`")
    })?;
    Ok(Some(listening))
}

/// Refuses workers where a command has no use for them.
///
/// # Errors
/// Where some are asked for.
pub fn refuse(resolved: &Resolved, command: &str) -> anyhow::Result<()> {
    match resolved.workers {
        None => Ok(()),
        Some(workers) => Err(anyhow!(
            "`--workers {workers}` divides the load of `bareflight run`, and `bareflight {command}` sends from one process: leave \
             it out"
        )),
    }
}

/// Refuses what cannot be divided, before any process is started.
///
/// # Errors
/// The first thing that cannot, with its remedy.
pub fn check(resolved: &Resolved, resumes: bool) -> anyhow::Result<()> {
    let Some(workers) = resolved.workers else { return Ok(()) };
    let can = registry::abilities_of(&resolved.target);
    if can.server.is_none() && !can.replies_at_once {
        return Err(anyhow!(
            "`--workers` sends load from several processes, and `{}` is an engine in one: leave it out, or serve the engine \
             with `bareflight serve` and measure the server",
            resolved.target
        ));
    }
    for (given, what, why) in [
        (
            resolved.workload.is_conversation(),
            "conversations",
            "a turn waits for the one before, which another worker may have sent",
        ),
        (
            resolved.has_stages_of_a_closed_loop(),
            "`--stages` of a closed loop",
            "their slots change while they are sent",
        ),
        (resolved.has_cells(), "cells and several scenarios", "give one scenario and no `--cells`"),
        (resumes, "`--resume`", "what is resumed are cells"),
        (resolved.launch.is_some(), "`--launch`", "start the server first and name its address"),
        (resolved.nvtx, "`--nvtx`", "a profiler watches one process"),
        (resolved.profile_window.is_some(), "`--profile-window`", "a profiler watches one process"),
    ] {
        if given {
            return Err(anyhow!("{what} cannot be divided among `--workers`: {why}"));
        }
    }
    for load in &resolved.loads {
        // The last worker has the least.
        let last = Slice { worker: workers - 1, workers };
        if let Err(error) = last.load(*load) {
            let remedy = match load {
                Load::Closed { .. } => "give a higher `--concurrency`, or fewer `--workers`",
                Load::Open { .. } | Load::Batch => "give a higher cap, or fewer `--workers`",
            };
            return Err(anyhow!("{error}: {remedy}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;

    fn refusal(settings: &str, workers: u32) -> String {
        let typed: Settings = toml::from_str(settings).expect(settings);
        let resolved = Resolved { workers: Some(workers), ..resolve(&typed).expect(settings) };
        check(&resolved, false).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn what_cannot_be_divided_is_refused_by_name() {
        let server = "target = 'openai:http://h:1/v1'\n";
        for (settings, workers, named) in [
            ("target = 'sim:h200-llama3-8b-fp8'", 2, "`sim:h200-llama3-8b-fp8` is an engine"),
            ("target = 'null:'\nconcurrency = [8, 3]", 4, "concurrency 3"),
            ("target = 'null:'\nrate = [8]\nmax_in_flight = 1", 2, "--max-in-flight"),
            ("target = 'null:'\nnvtx = true", 2, "--nvtx"),
        ] {
            let said = refusal(settings, workers);
            assert!(said.contains(named), "{settings}: {said}");
        }
        assert_eq!(refusal(&format!("{server}concurrency = [8]"), 4), "");
        assert_eq!(refusal(&format!("{server}rate = [8]"), 4), "");
    }
}
