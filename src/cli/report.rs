//! `bareflight report` and `import`: reports made again, several runs side by side, files for other tools.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};

use crate::cli::exit::{Coded, Exit};
use crate::cli::run::print;
use crate::console;
use crate::experiment::cells::MeasuredCells;
use crate::experiment::launches::MARGIN;
use crate::experiment::{artefacts, cells};
use crate::metrics::threshold::Percent;
use crate::report::cells::{CellsReport, Group};
use crate::report::export::markdown;
use crate::report::together::result_file::ImportError;
use crate::report::together::{
    Side, folder as together_folder, import, name_sides, page as together_page, pictures, side_of,
    table as together,
};
use crate::report::{Experiment, html, png, table};
use crate::settings::Resolved;
use crate::settings::export::{ExportFormat, PlotFormat};
use crate::settings::time_unit::TimeUnit;
use crate::store::cells_index::CellState;
use crate::store::measured_run::MeasuredRun;
use crate::store::parquet_tables;
use crate::store::read_back::read_back;
use crate::store::run_directory::file;
use crate::store::write::write_whole;

/// What is made again.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A run directory, as named by `run`; several, or results of other tools (see `import`), are shown side by side
    #[arg(value_name = "RUN_DIR|FILE", required = true)]
    pub paths: Vec<PathBuf>,
    /// Write results in the shapes of other tools too (folder `exports`; see docs/exports.md)
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',')]
    pub export: Vec<ExportFormat>,
    /// How results are shown, and pictures of them.
    #[command(flatten)]
    pub shown: ShownArgs,
}

/// What is read in.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// JSON results of `vllm bench serve`, aiperf, GenAI-Perf and genai-bench, or folders of them; run directories of ours may stand beside them
    #[arg(value_name = "FILE|RUN_DIR", required = true)]
    pub paths: Vec<PathBuf>,
    /// How results are shown, and pictures of them.
    #[command(flatten)]
    pub shown: ShownArgs,
}

/// How results are shown.
#[derive(Debug, Args)]
pub struct ShownArgs {
    /// Unit of latencies of one run (default: as it was measured with)
    #[arg(long, value_enum)]
    pub time_unit: Option<TimeUnit>,
    /// On standard output
    #[arg(long, value_enum, default_value_t)]
    pub format: TextFormat,
    /// Write plots as pictures: of one run into its folder `plots`, of several `benchmark_comparison` and `benchmark_summary.txt`
    #[arg(long, value_name = "FORMAT,…", value_delimiter = ',')]
    pub plots: Vec<PlotFormat>,
    /// Of several runs: where the page `benchmark_comparison.html` and `benchmark_summary.txt` go, and pictures (those else here)
    #[arg(long, short = 'o', value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Of several runs: differences within this share count as none (default: 2%)
    #[arg(long, value_name = "PERCENT")]
    pub margin: Option<Percent>,
}

impl ShownArgs {
    fn margin(&self) -> f64 {
        self.margin.map_or(MARGIN, Percent::share)
    }
}

/// A form of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For a terminal
    #[default]
    Text,
    /// Markdown, for pull requests
    Md,
    /// The page
    Html,
}

/// Makes reports again, or shows several runs side by side.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(arguments: &ReportArgs) -> Coded<Exit> {
    let ReportArgs { paths, export, shown } = arguments;
    check_plots(&shown.plots)?;
    check_exports(export)?;
    match paths.as_slice() {
        [directory] if !directory.is_file() => one(directory, export, shown),
        _ if !export.is_empty() => {
            let why = anyhow!("`--export` is about one run directory: give it with one alone");
            Err((Exit::Usage, why))
        }
        paths => several(paths, shown),
    }
}

/// Shows results of other tools, beside each other and beside ours.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run_import(arguments: &ImportArgs) -> Coded<Exit> {
    check_plots(&arguments.shown.plots)?;
    several(&arguments.paths, &arguments.shown)
}

fn one(directory: &Path, export: &[ExportFormat], how: &ShownArgs) -> Coded<Exit> {
    for (flag, is_given) in [("--out", how.out.is_some()), ("--margin", how.margin.is_some())] {
        if is_given {
            let why = anyhow!(
                "`{flag}` is about several runs: leave it out, since the files of one run go into its own folder"
            );
            return Err((Exit::Usage, why));
        }
    }
    if directory.join(file::INDEX_JSON).is_file() {
        return cells_again(directory, export, how);
    }
    let run = read(directory)?;
    write_extra(&run, export, &how.plots)?;
    let mut shown = artefacts::write_reports(&run).map_err(failure)?;
    shown.time_unit = how.time_unit.unwrap_or(shown.time_unit);
    let text = match how.format {
        TextFormat::Text => table::render(&shown),
        TextFormat::Md => markdown::table(&shown),
        TextFormat::Html => html::render(&shown),
    };
    print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::of(&run))
}

/// The reports of a run of cells and of each cell.
fn cells_again(directory: &Path, export: &[ExportFormat], how: &ShownArgs) -> Coded<Exit> {
    let measured =
        cells::stored(directory).map_err(|error| (Exit::Usage, anyhow::Error::new(error)))?;
    write_extra_of_cells(&measured, export, &how.plots)?;
    for (_, run) in &measured.runs {
        artefacts::write_reports(run).map_err(failure)?;
    }
    let shown = cells::write_reports(&measured).map_err(failure)?;
    let text = match how.format {
        TextFormat::Text => table::cells::render(&shown),
        TextFormat::Md => markdown::table(&shown.experiment),
        TextFormat::Html => html::cells::render(&shown),
    };
    print(&text).map_err(|error| (Exit::Failure, error))?;
    let failed = measured.index.cells.iter().any(|cell| cell.state == CellState::Failed);
    let runs: Vec<MeasuredRun> = measured.runs.into_iter().map(|(_, run)| run).collect();
    Ok(Exit::of_sides(&runs, failed.then_some(Exit::Failure)))
}

fn several(paths: &[PathBuf], how: &ShownArgs) -> Coded<Exit> {
    if how.time_unit.is_some() {
        let why =
            anyhow!("`--time-unit` is about one run directory: several are shown in milliseconds");
        return Err((Exit::Usage, why));
    }
    let mut runs = Vec::new();
    let mut sides = Vec::new();
    let mut places: Vec<&Path> = Vec::new();
    for path in paths {
        sides.extend(sides_at(path, &mut runs)?);
        places.resize(sides.len(), path);
    }
    name_sides(&mut sides);
    tell_apart(&mut sides, &places);
    let margin = how.margin();
    if how.out.is_some() || !how.plots.is_empty() {
        write_comparison(&sides, how).map_err(|error| (Exit::Failure, error))?;
    }
    let text = match how.format {
        TextFormat::Text => together::console(&sides, margin),
        TextFormat::Md => together::markdown(&sides, margin),
        TextFormat::Html => together_page::render(&sides, margin),
    };
    print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::of_sides(&runs, None))
}

/// What a path holds: one side, or one for each scenario of cells and for each tool and model of a folder.
fn sides_at(path: &Path, runs: &mut Vec<MeasuredRun>) -> Coded<Vec<Side>> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    if path.is_file() {
        return Ok(vec![imported(path).map_err(usage)?]);
    }
    if path.join(file::INDEX_JSON).is_file() {
        let measured = cells::stored(path).map_err(|error| usage(error.into()))?;
        let CellsReport { experiment, groups, .. } = cells::as_report(&measured);
        runs.extend(measured.runs.into_iter().map(|(_, run)| run));
        let of_group = |Group { scenario, points }: Group| {
            let title = format!("{}, {scenario}", measured.index.target);
            side_of(&Experiment { title, points, ..experiment.clone() })
        };
        return Ok(groups.into_iter().map(of_group).collect());
    }
    if path.join(file::MANIFEST).is_file() {
        let run = read(path)?;
        let side = side_of(&artefacts::as_experiment(&run));
        runs.push(run);
        return Ok(vec![side]);
    }
    imported_folder(path).map_err(usage)
}

/// Every result below a folder; other files may lie beside them.
fn imported_folder(folder: &Path) -> anyhow::Result<Vec<Side>> {
    let mut files = Vec::new();
    for path in json_files(folder, DEEPEST)? {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("`{name}` cannot be read"))?;
        match import::read(&name, &text) {
            Ok(side) => files.push((path, side)),
            // Something else of that tool's folder.
            Err(ImportError::Unknown(_)) => {}
            Err(damaged) => {
                console::print_notice(format_args!("left out: {damaged}"));
            }
        }
    }
    if files.is_empty() {
        return Err(anyhow!(
            "`{}` is no run directory (it has no `{}`), and no result of another tool lies in it",
            folder.display(),
            file::MANIFEST
        ));
    }
    Ok(together_folder::sides(files))
}

/// Folders below one that is imported: a tool, a run, a load.
const DEEPEST: usize = 3;

fn json_files(folder: &Path, deepest: usize) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("`{}` cannot be read", folder.display()))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() && deepest > 0 {
            files.extend(json_files(&path, deepest - 1)?);
        } else if path.extension().is_some_and(|it| it == "json") {
            files.push(path);
        }
    }
    Ok(files)
}

/// Sides of one title are told apart by where they lie.
fn tell_apart(sides: &mut [Side], places: &[&Path]) {
    let titles: Vec<String> = sides.iter().map(|side| side.title.clone()).collect();
    for (side, path) in sides.iter_mut().zip(places) {
        if titles.iter().filter(|title| **title == side.title).count() > 1 {
            side.title = format!("{}, in {}", side.title, path.display());
        }
    }
}

fn read(directory: &Path) -> Coded<MeasuredRun> {
    read_back(directory).map_err(|error| (Exit::Usage, anyhow::Error::new(error)))
}

fn imported(path: &Path) -> anyhow::Result<Side> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("`{name}` cannot be read"))?;
    Ok(import::read(&name, &text)?)
}

fn write_comparison(sides: &[Side], how: &ShownArgs) -> anyhow::Result<()> {
    let out = how.out.as_deref().unwrap_or(Path::new("."));
    let margin = how.margin();
    fs::create_dir_all(out).with_context(|| format!("`{}` cannot be made", out.display()))?;
    let mut written = Vec::new();
    let mut write = |name: String, bytes: &[u8]| {
        let path = out.join(name);
        write_whole(&path, bytes)?;
        written.push(path.display().to_string());
        anyhow::Ok(())
    };
    write("benchmark_summary.txt".into(), together::summary(sides, margin).as_bytes())?;
    let page = together_page::render(sides, margin);
    write("benchmark_comparison.html".into(), page.as_bytes())?;
    match pictures::comparison(sides) {
        Some(svg) => {
            for format in &how.plots {
                let (extension, bytes) = artefacts::as_picture(&svg, *format)?;
                write(format!("benchmark_comparison.{extension}"), &bytes)?;
            }
        }
        None if how.plots.is_empty() => {}
        None => console::print_notice(format_args!(
            "no picture: no load with a concurrency or a rate has a number to draw"
        )),
    }
    console::print_notice(format_args!("written: {}", written.join(", ")));
    Ok(())
}

/// Refuses pictures that this build or this machine cannot draw, before anything is measured.
///
/// # Errors
/// With what is missing.
pub fn check_plots(plots: &[PlotFormat]) -> Coded<()> {
    if plots.contains(&PlotFormat::Png) {
        png::check().map_err(|error| (Exit::Usage, anyhow::Error::new(error)))?;
    }
    Ok(())
}

/// Refuses files that this build cannot write, before anything is measured.
///
/// # Errors
/// With what is missing.
pub fn check_exports(export: &[ExportFormat]) -> Coded<()> {
    if export.contains(&ExportFormat::Parquet) {
        parquet_tables::check().map_err(|error| (Exit::Usage, anyhow::Error::new(error)))?;
    }
    Ok(())
}

/// Writes what was asked for beside our own reports, and says what a format has no place for.
///
/// # Errors
/// When records cannot be read, or a file cannot be written.
pub fn write_extra(run: &MeasuredRun, export: &[ExportFormat], plots: &[PlotFormat]) -> Coded<()> {
    say_left_out(&artefacts::write_exports(run, export).map_err(failure)?);
    write_plots(run, plots)
}

/// Writes the plots, and names those that have nothing to draw.
fn write_plots(run: &MeasuredRun, plots: &[PlotFormat]) -> Coded<()> {
    let empty = artefacts::write_plots(run, plots).map_err(failure)?;
    if !empty.is_empty() {
        console::print_notice(format_args!(
            "no picture of {}: no request has what it shows",
            empty.join(", ")
        ));
    }
    Ok(())
}

fn say_left_out(words: &[String]) {
    for words in words {
        console::print_notice(format_args!("left out of {words}"));
    }
}

/// Writes what other tools and viewers read of every cell, and the experiment of genai-bench that all of them make.
pub fn write_extra_of_cells(
    measured: &MeasuredCells,
    export: &[ExportFormat],
    plots: &[PlotFormat],
) -> Coded<()> {
    let mut said: Vec<String> = Vec::new();
    for (_, run) in &measured.runs {
        let words = artefacts::write_exports(run, export).map_err(failure)?;
        say_left_out(&words);
        said.extend(words);
        write_plots(run, plots)?;
    }
    if export.contains(&ExportFormat::GenaiBench) {
        let runs = measured.runs.iter().map(|(_, run)| run);
        let words = artefacts::write_genai_bench(&measured.directory, runs).map_err(failure)?;
        // What has no place in one experiment, beyond what has none in that of its own cell.
        let beyond: Vec<String> = words.into_iter().filter(|it| !said.contains(it)).collect();
        say_left_out(&beyond);
    }
    Ok(())
}

/// For an experiment of several sides, whose files are not written by one run.
///
/// # Errors
/// Where files of one run are asked for.
pub fn refuse_extra(sides: &[Resolved]) -> anyhow::Result<()> {
    if sides.iter().any(Resolved::has_cells) {
        return Err(anyhow!(
            "cells are those of one run: give one `--scenario` and leave out `--cells`, or use `bareflight run`"
        ));
    }
    for (flag, given) in [
        ("--repeat", sides.iter().any(|side| side.repeat > 1)),
        ("--measurement-interval", sides.iter().any(|side| side.windows.is_some())),
        ("--warmup-until", sides.iter().any(|side| side.warmup_until.is_some())),
        ("--stop-when-saturated", sides.iter().any(|side| side.stop_when_saturated)),
    ] {
        if given {
            return Err(anyhow!(
                "`{flag}` is about one run: leave it out here, where blocks are repeated in turns"
            ));
        }
    }
    if sides.iter().any(|side| side.stages.is_some()) {
        return Err(anyhow!(
            "`--stages` is a load of one run: leave it out, and compare at a rate or a concurrency"
        ));
    }
    sides.iter().try_for_each(refuse_export)?;
    if sides.iter().any(|side| side.time_unit != TimeUnit::default()) {
        return Err(anyhow!(
            "`--time-unit` is about tables of one run: leave it out, and give it to `bareflight report` with the folder of a side"
        ));
    }
    Ok(())
}

/// Where several runs are measured, which other tools have no file for.
///
/// # Errors
/// Where such files are asked for.
pub fn refuse_export(resolved: &Resolved) -> anyhow::Result<()> {
    if resolved.export.is_empty() {
        return Ok(());
    }
    Err(anyhow!(
        "`--export` is about one run: leave it out, and give it to `bareflight report` with the folder of a run below the one that is written"
    ))
}

fn failure(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Failure, error.into())
}
