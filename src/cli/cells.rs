//! `bareflight run` of cells: several scenarios, `--cells`, `--resume`.

use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::ArgMatches;

use crate::cli::configuration::read_settings;
use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::Origin;
use crate::cli::report;
use crate::cli::run::{
    Screen, experiment_exit, print, publish, settings_file, tell_denied, tell_estimate,
};
use crate::cli::typed::{MeasureArgs, Settings};
use crate::cli::upload;
use crate::console;
use crate::experiment::artefacts;
use crate::experiment::cells::{self, CellsStart, MeasuredCells};
use crate::experiment::preflight::Ready;
use crate::experiment::sweep::Watch;
use crate::issue::stop::Stop;
use crate::report::table;
use crate::settings::Resolved;
use crate::store::cells_index::CellState;
use crate::store::run_directory::file;
use crate::warning::Code;

/// Flags that a resumed run takes, since no file keeps them.
pub const TAKEN_AGAIN: [&str; 2] = ["header", "quiet"];

/// The settings of a run that was ended, from its folder.
///
/// # Errors
/// With the exit code for usage, when it holds none, or other settings were typed.
pub fn resumed(folder: &Path, arguments: &MeasureArgs, matches: &ArgMatches) -> Coded<Settings> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let (typed, origins) = read_settings(&arguments.run, matches)?;
    let given = origins
        .iter()
        .find(|(name, origin)| **origin == Origin::Flag && !TAKEN_AGAIN.contains(&name.as_str()));
    if let Some((name, _)) = given {
        let flag = name.rsplit('.').next().unwrap_or(name).replace('_', "-");
        return Err(usage(anyhow!(
            "a run goes on with the settings that it began with: leave out `--{flag}`"
        )));
    }
    let path = folder.join(file::RESOLVED);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("`{}` cannot be read: name the folder of a run", path.display()))
        .map_err(usage)?;
    let said: Settings = toml::from_str(&text)
        .with_context(|| format!("`{}` holds no settings of this version", path.display()))
        .map_err(usage)?;
    let said = Settings { header: typed.header, quiet: typed.quiet.or(said.quiet), ..said };
    if !folder.join(file::INDEX_JSON).is_file() {
        return Err(usage(anyhow!(
            "`{}` is one run without cells, which cannot go on: give `--cells` or several `--scenario` from the start",
            folder.display()
        )));
    }
    Ok(said)
}

/// Measures the cells, prints them, and returns the exit code.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub(super) fn run(
    resolved: &Resolved,
    ready: Ready,
    resume: Option<&Path>,
    stop: &Stop,
) -> Coded<Exit> {
    let mut screen = Screen::new(resolved.quiet).with_wishes(resolved)?;
    let (measured, exit) = measure(resolved, ready, resume, stop, &mut screen)?;
    Ok(upload::after(resolved, measured.directory.path(), stop, exit))
}

/// Measures the cells and prints them: what was measured, and the exit code that it deserves.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub(super) fn measure(
    resolved: &Resolved,
    ready: Ready,
    resume: Option<&Path>,
    stop: &Stop,
    watch: &mut dyn Watch,
) -> Coded<(MeasuredCells, Exit)> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let settings = settings_file(resolved)?;
    tell_estimate(resolved, &ready);
    let start = match resume {
        None => CellsStart::new(),
        Some(folder) => CellsStart::resume(folder, resolved, &ready.plans)
            .map_err(|error| (Exit::Usage, error.into()))?,
    };
    let measured = cells::run(resolved, &settings, ready, start, stop, watch);
    watch.ended();
    let mut measured = measured.map_err(|error| (experiment_exit(&error), error.into()))?;
    let noted = measured.runs.iter_mut().try_for_each(|(_, run)| artefacts::note_codes(run));
    let extra = report::write_extra_of_cells(&measured, &resolved.export, &resolved.plots);
    let written = cells::write_reports(&measured);
    let shown = written.as_ref().map_or_else(|_| cells::as_report(&measured), Clone::clone);
    print(&table::cells::render(&shown)).map_err(failure)?;
    for text in faults(&measured) {
        console::print_notice(format_args!("{} {text}", Code::Fault));
    }
    let runs = || measured.runs.iter().map(|(_, run)| run);
    tell_denied(runs());
    noted.map_err(|error| failure(error.into()))?;
    written.map_err(|error| failure(error.into()))?;
    publish(resolved, runs())?;
    extra?;
    let exit = exit(&measured, stop);
    Ok((measured, exit))
}

fn faults(measured: &MeasuredCells) -> Vec<String> {
    let of_cells = measured.runs.iter().flat_map(|(place, run)| {
        let name = &measured.index.cells[*place].name;
        run.manifest.faults.iter().map(move |fault| format!("cell {name}: {fault}"))
    });
    of_cells.chain(measured.index.faults.iter().cloned()).collect()
}

/// As bad as the worst cell; a cell without a folder has failed as well.
fn exit(measured: &MeasuredCells, stop: &Stop) -> Exit {
    if stop.failure().is_some() {
        return Exit::Failure;
    }
    if stop.is_asked() {
        return Exit::Interrupted;
    }
    let failed = measured.index.cells.iter().any(|cell| cell.state == CellState::Failed);
    let of_runs = measured.runs.iter().map(|(_, run)| Exit::of(run));
    Exit::gravest(of_runs.chain(failed.then_some(Exit::Failure)))
}
