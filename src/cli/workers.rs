//! `--workers`: what cannot be divided among several processes is refused by name, and a process that was started as a worker
//! works.

use anyhow::{Context, anyhow};

use crate::cli::exit::{Coded, Exit};
use crate::experiment::workers::{Place, work};
use crate::load::Load;
use crate::load::plan::Slice;
use crate::load::stages::StagesOf;
use crate::settings::Resolved;
use crate::targets::registry;

/// Works, where this process was started as a worker.
///
/// # Errors
/// When the leading process cannot be reached.
pub fn work_as_asked(resolved: &Resolved) -> Coded<Option<Exit>> {
    let Some(place) = Place::of_this_process() else { return Ok(None) };
    work(resolved.clone(), &place)
        .context("the process that leads the load is gone")
        .map_err(|error| (Exit::Failure, error))?;
    Ok(Some(Exit::Ok))
}

/// Refuses what cannot be divided, before any process is started.
///
/// # Errors
/// The first thing that cannot, with its remedy.
pub fn check(resolved: &Resolved, resumes: bool) -> anyhow::Result<()> {
    let Some(workers) = resolved.workers else { return Ok(()) };
    if workers == 0 {
        return Err(anyhow!("`--workers 0` would send nothing: give at least 1, or leave it out"));
    }
    let can = registry::abilities_of(&resolved.target);
    if can.server.is_none() && !can.replies_at_once {
        return Err(anyhow!(
            "`--workers` sends load from several processes, and `{}` is an engine in one: leave it out, or serve the engine \
             with `bareflight serve` and measure the server",
            resolved.target
        ));
    }
    let closed_stages = resolved.stages.is_some_and(|it| it.of == StagesOf::Concurrency);
    for (given, what, why) in [
        (
            resolved.workload.is_conversation(),
            "conversations",
            "a turn waits for the one before, which another worker may have sent",
        ),
        (closed_stages, "`--stages` of a closed loop", "their slots change while they are sent"),
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
            ("target = 'null:'", 0, "--workers 0"),
            ("target = 'null:'\nnvtx = true", 2, "--nvtx"),
        ] {
            let said = refusal(settings, workers);
            assert!(said.contains(named), "{settings}: {said}");
        }
        assert_eq!(refusal(&format!("{server}concurrency = [8]"), 4), "");
        assert_eq!(refusal(&format!("{server}rate = [8]"), 4), "");
    }
}
