//! `bareflight report`: reports of a run directory made again, and files for other tools.

use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::console;
use crate::experiment::artefacts;
use crate::report::table;
use crate::settings::Resolved;
use crate::settings::export::{ExportFormat, PlotFormat};
use crate::store::measured_run::MeasuredRun;
use crate::store::read_back::read_back;

/// What is made again.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A run directory, as named by `run`
    pub directory: PathBuf,
    /// Write results in the shapes of other tools too (folder `exports`; see docs/exports.md)
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',')]
    pub export: Vec<ExportFormat>,
    /// Write the page's plots as pictures too (folder `plots`)
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',')]
    pub plots: Vec<PlotFormat>,
}

/// Makes reports again.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(arguments: &ReportArgs) -> Coded<Exit> {
    let run = read_back(&arguments.directory)
        .map_err(|error| (Exit::Usage, anyhow::Error::new(error)))?;
    write_extra(&run, &arguments.export, &arguments.plots)?;
    let shown = artefacts::write_reports(&run).map_err(failure)?;
    print(&table::render(&shown)).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::of(&run))
}

/// Writes what was asked for beside our own reports, and says what a format has no place for.
///
/// # Errors
/// When records cannot be read, or a file cannot be written.
pub fn write_extra(run: &MeasuredRun, export: &[ExportFormat], plots: &[PlotFormat]) -> Coded<()> {
    let _later = plots;
    for words in artefacts::write_exports(run, export).map_err(failure)? {
        console::print_notice(format_args!("left out of {words}"));
    }
    Ok(())
}

/// For an experiment of several sides, whose files are not written by one run.
///
/// # Errors
/// Where files of one run are asked for.
pub fn refuse_extra(sides: &[Resolved]) -> anyhow::Result<()> {
    let flag = if sides.iter().any(|side| !side.export.is_empty()) {
        "export"
    } else if sides.iter().any(|side| !side.plots.is_empty()) {
        "plots"
    } else {
        return Ok(());
    };
    Err(anyhow::anyhow!(
        "`--{flag}` is about one run: leave it out, and give it to `bareflight report` with the folder of a side"
    ))
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}
