//! `bareflight compare`: targets compared in interleaved blocks of one plan, with ratios and their intervals.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgMatches, Args};
use serde_json::{Map, Value};

use crate::cli::compare::sides::{
    Change, changes_of, letter, refuse_profiled, resolve_sides, same_question,
};
use crate::cli::configuration::{read_settings, settings_of as settings_of_text};
use crate::cli::engine_log::{self, Destination};
use crate::cli::engine_threads;
use crate::cli::exit::{Coded, Exit};
use crate::cli::launched;
use crate::cli::origin::as_map;
use crate::cli::report::{check_plots, refuse_export};
use crate::cli::resolve::resolve;
use crate::cli::run::{
    Screen, experiment_exit, preflight_exit, print, publish, tell_denied, tell_denied_notes,
};
use crate::cli::twin;
use crate::cli::typed::RunArgs;
use crate::cli::upload::{self, Written};
use crate::console;
use crate::experiment::comparison_files::{Manifest, write_comparison, write_sides};
use crate::experiment::interleave::LEAD_IN;
use crate::experiment::launch::server::LaunchedServer;
use crate::experiment::{artefacts, blocks, interleave, interrupt, preflight, stored, turns};
use crate::issue::stop::Stop;
use crate::metrics::comparison::{Comparison, Measured, Question, conclude};
use crate::metrics::point_records::RecordsError;
use crate::metrics::sides::{GateStatus, Terms};
use crate::metrics::threshold::{Percent, Threshold};
use crate::record::request_record::Records;
use crate::report::FileNote;
use crate::report::comparison::{self, page, table};
use crate::report::table as report_table;
use crate::settings::Resolved;
use crate::settings::export::PlotFormat;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::{RunDirectory, file};
use crate::targets::abilities;
use crate::warning::Code;

pub(super) mod sides;

/// Concurrency where no load is given.
const DEFAULT_CONCURRENCY: u32 = 8;

/// Everything about a comparison.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Two runs that were made before, instead of measuring now: their folders, the baseline first
    #[arg(value_name = "RUN_DIR", num_args = 2, conflicts_with_all = ["set", "blocks", "target", "serve_twin", "one_at_a_time"])]
    pub stored: Vec<PathBuf>,
    /// Change one setting of one side: `B:max_batch_size=4`, with a key as in a configuration file
    #[arg(long, value_name = "SIDE:KEY=VALUE", help_heading = "Comparison")]
    pub set: Vec<Change>,
    /// Start the own server of the first target (`vllm:`, `trtllm-torch:`, `py:`) with the same settings, and compare with it as the last side
    #[arg(long, help_heading = "Comparison", conflicts_with = "launch")]
    pub serve_twin: bool,
    /// Close a side before another one opens, for engines that do not fit side by side: slower by a start at each change of sides
    #[arg(long, help_heading = "Comparison")]
    pub one_at_a_time: bool,
    /// Times that every side plays; at least 5 for a verdict
    #[arg(long, value_name = "N", default_value_t = 6, help_heading = "Comparison",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub blocks: u32,
    /// Differences within this share count as none
    #[arg(long, value_name = "PERCENT", default_value = "2%", help_heading = "Comparison")]
    pub margin: Percent,
    /// End with code 6 if a metric gets worse by more: `ttft_p99>5%,output_throughput>3%`
    #[arg(long, value_name = "BOUND,…", value_delimiter = ',', help_heading = "Comparison")]
    pub fail_if: Vec<Threshold>,
    /// All that a run takes; `--target` once for each side, the baseline first.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Runs the comparison, prints it, and returns the exit code.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(arguments: &CompareArgs, matches: &ArgMatches) -> Coded<Exit> {
    if let [baseline, candidate] = &*arguments.stored {
        return stored(arguments, matches, baseline, candidate);
    }
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let (mut said, _) = read_settings(&arguments.run, matches)?;
    let python = said.engine.python.take();
    let mut sides = resolve_sides(arguments, matches, &said, python.as_deref()).map_err(usage)?;
    engine_threads::ensure(&mut sides)?;
    engine_log::set_up(&mut sides, Destination::RunDirectory)?;
    if arguments.serve_twin {
        let changes = changes_of(&arguments.set, sides.len()).map_err(usage)?;
        let own = said.clone().or_concurrency(DEFAULT_CONCURRENCY);
        sides.push(twin::side(&own, &sides[0], changes)?);
        same_question(&sides).map_err(usage)?;
    }
    refuse_profiled(&sides).map_err(|error| (Exit::Usage, error))?;
    upload::check(&sides)?;
    check_plots(&sides[0].plots)?;
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let stop = Stop::on_signals().context("Ctrl-C cannot be handled").map_err(failure)?;
    let written = match launched::start_for_sides(&mut sides, &stop)? {
        None => measure(arguments, sides, &stop, None),
        Some(mut server) => {
            let outcome = measure(arguments, sides, &stop, Some(&mut server));
            launched::end(server, &stop, outcome)
        }
    }?;
    Ok(written.upload(&stop))
}

/// Measures sides whose servers are there.
fn measure(
    arguments: &CompareArgs,
    mut sides: Vec<Resolved>,
    stop: &Stop,
    mut server: Option<&mut LaunchedServer>,
) -> Coded<Written> {
    let mut ready = blocks::prepare(&mut sides, arguments.blocks)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    for (side, opening) in sides.iter().zip(&mut ready.openings) {
        let info = opening.target.describe();
        abilities::check(info, &side.engine, &side.workload)
            .and_then(|()| abilities::check_served(info, &side.served))
            .map_err(|error| (Exit::Preflight, error.into()))?;
        preflight::probe(&mut *opening.target, &ready.plans)
            .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    }
    for finding in &ready.warnings {
        console::print_notice(format_args!("{} {finding}", finding.code));
    }
    let names: Vec<String> = sides.iter().map(|side| side.target.clone()).collect();
    let load = sides[0].loads[0];
    let open = if arguments.one_at_a_time { ", one side open at a time" } else { "" };
    let title = format!(
        "{} against {}, {}, {load}{open}",
        names[1..].join(" and "),
        names[0],
        sides[0].workload.asked()
    );
    let hash = ready.plans.first().map_or("", |plan| plan.hash());
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let directory = RunDirectory::create(&sides[0].out, "compare", &load.to_string(), hash)
        .map_err(|error| failure(error.into()))?;
    let lettered = names.iter().enumerate().map(|(side, name)| (letter(side), name.clone()));
    let mut manifest = Manifest::begin("comparison", &title, lettered.collect());
    manifest.write(&directory).map_err(|error| failure(error.into()))?;
    if let Some(server) = &mut server {
        server.move_into(&directory).map_err(|error| failure(error.into()))?;
    }
    interrupt::announce(stop, sides[0].drain);
    interrupt::keep_manifest(stop, &directory);
    let openings = ready.openings.into_iter().zip(ready.rooflines);
    let opened =
        sides.iter().zip(openings).enumerate().map(|(place, (resolved, (opening, roofline)))| {
            Ok(interleave::Side {
                name: format!("{} {}", letter(place), resolved.target),
                resolved,
                settings: resolved.to_toml()?,
                opening,
                roofline,
            })
        });
    let opened = opened.collect::<Result<_, toml::ser::Error>>();
    let opened = opened.context("settings cannot be written as TOML").map_err(failure)?;
    let mut screen = Screen::without_tables(sides[0].quiet).with_wishes(&sides[0])?;
    let played = if arguments.one_at_a_time {
        turns::play(opened, &ready.plans, &directory, stop, &mut screen, server)
    } else {
        interleave::play(opened, &ready.plans, &directory, stop, &mut screen)
    };
    drop(screen);
    let mut runs = played.map_err(|error| (experiment_exit(&error), error.into()))?;
    publish(&sides[0], &runs)?;
    write_sides(&mut runs).map_err(|error| failure(error.into()))?;
    tell_denied(&runs);
    manifest.end(interleave::state(&runs));
    manifest.write(&directory).map_err(|error| failure(error.into()))?;
    let question = Question {
        title,
        interleaved: true,
        planned_blocks: arguments.blocks.into(),
        order: (0..arguments.blocks as usize)
            .map(|block| interleave::order(block, sides.len()))
            .collect(),
        terms: Terms { margin: arguments.margin.share(), seed: sides[0].workload.seed },
        thresholds: &arguments.fail_if,
        remedy: interleave::more_blocks(),
        pairs: (1..sides.len()).map(|candidate| (0, candidate)).collect(),
    };
    let records = load_records(&runs).map_err(|error| failure(error.into()))?;
    let letters = (0..sides.len()).map(letter).collect();
    let measured = measured(letters, &sides, &runs, &records).map_err(failure)?;
    let comparison = conclude(&question, &measured);
    show(&directory, &comparison, &sides[0].plots).map_err(failure)?;
    let codes: Vec<Code> = sides.iter().flat_map(|side| side.deny.iter().copied()).collect();
    let denied = tell_denied_notes(comparison::notes(&comparison), &codes);
    let exit = Exit::of_sides(&runs, denied.or(gate_exit(&comparison)));
    let directory = directory.path().to_owned();
    Ok(Written { resolved: sides.swap_remove(0), directory, exit })
}

/// The records of every block of every side.
///
/// # Errors
/// When they cannot be read.
pub(super) fn load_records(runs: &[MeasuredRun]) -> Result<Vec<Vec<Records>>, RecordsError> {
    runs.iter().map(MeasuredRun::load_records).collect()
}

/// What the sides measured, each called by its name.
///
/// # Errors
/// When settings cannot be shown, which plain data always can.
pub(super) fn measured<'a>(
    names: Vec<String>,
    sides: &[Resolved],
    runs: &'a [MeasuredRun],
    records: &'a [Vec<Records>],
) -> anyhow::Result<Vec<Measured<'a>>> {
    names
        .into_iter()
        .zip(sides)
        .zip(runs.iter().zip(records))
        .map(|((name, resolved), (run, records))| {
            let all = run.measured(name, as_map(&resolved.to_settings())?, records);
            Ok(all.without_first(LEAD_IN))
        })
        .collect::<Result<_, serde_json::Error>>()
        .context("settings cannot be shown")
}

fn show(
    directory: &RunDirectory,
    comparison: &Comparison,
    plots: &[PlotFormat],
) -> anyhow::Result<()> {
    let mut files = write_comparison(directory, comparison)?;
    files.extend(artefacts::write_pictures(directory, &page::pictures(comparison), plots)?);
    let own = comparison.sides.iter().filter(|_| comparison.interleaved);
    files.extend(own.map(|side| FileNote {
        name: format!("{}/", side.folder),
        holds: format!(
            "everything of side {}, as a run of its own; a block is a point, after the lead-in",
            side.name
        ),
    }));
    let folder = directory.path().display().to_string();
    print(&format!("{}{}", table::render(comparison), report_table::files(&folder, &files)))
}

/// Compares two stored runs, marked as not interleaved.
fn stored(
    arguments: &CompareArgs,
    matches: &ArgMatches,
    baseline: &Path,
    candidate: &Path,
) -> Coded<Exit> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let (said, _) = read_settings(&arguments.run, matches)?;
    let resolved = resolve(&said).map_err(|error| usage(error.into()))?;
    upload::check([&resolved])?;
    check_plots(&resolved.plots)?;
    refuse_export(&resolved).map_err(usage)?;
    let common = stored::read(baseline, candidate).map_err(|error| usage(error.into()))?;
    let (a, b) = (settings_of(baseline).map_err(usage)?, settings_of(candidate).map_err(usage)?);
    let terms = Terms { margin: arguments.margin.share(), seed: resolved.workload.seed };
    let comparison = stored::conclude(&common, (&a, &b), terms, &arguments.fail_if)
        .map_err(|error| failure(error.into()))?;
    let directory = RunDirectory::create(&resolved.out, "compare", "stored", "runs")
        .map_err(|error| failure(error.into()))?;
    show(&directory, &comparison, &resolved.plots).map_err(failure)?;
    let runs: Vec<MeasuredRun> =
        common.into_iter().flat_map(|both| [both.baseline, both.candidate]).collect();
    let denied = tell_denied_notes(comparison::notes(&comparison), &resolved.deny);
    let exit = Exit::of_sides(&runs, denied.or(gate_exit(&comparison)));
    let stop = Stop::on_signals().context("Ctrl-C cannot be handled").map_err(failure)?;
    Ok(upload::after(&resolved, directory.path(), &stop, exit))
}

/// Every setting that a stored run was made with.
fn settings_of(folder: &Path) -> anyhow::Result<Map<String, Value>> {
    let path = folder.join(file::RESOLVED);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("`{}` cannot be read: name a run directory", path.display()))?;
    let settings = settings_of_text(&text)
        .with_context(|| format!("`{}` is no settings of this version", path.display()))?;
    Ok(as_map(&settings)?)
}

/// The exit code that `--fail-if` asks for, where something is not within what it allows or cannot be known.
fn gate_exit(comparison: &Comparison) -> Option<Exit> {
    let findings = || {
        let gate_results = comparison.pairs.iter().flat_map(|pair| &pair.gate_results);
        gate_results.map(|gate_result| gate_result.finding)
    };
    if findings().any(GateStatus::is_unknowable) {
        return Some(Exit::Invalid);
    }
    findings().any(|finding| finding == GateStatus::Regression).then_some(Exit::Regression)
}
