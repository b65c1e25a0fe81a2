//! `bareflight compare`: targets compared in interleaved blocks of one plan, with ratios and their intervals.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, anyhow};
use clap::{ArgMatches, Args};
use serde_json::{Map, Value};

use crate::cli::configuration::{read_settings, settings_of as settings_of_text};
use crate::cli::engine_log::{self, Destination};
use crate::cli::engine_threads;
use crate::cli::exit::{Coded, Exit};
use crate::cli::launched;
use crate::cli::origin::{as_map, as_tables};
use crate::cli::other_python;
use crate::cli::report::{check_plots, refuse_export, refuse_extra};
use crate::cli::resolve::resolve;
use crate::cli::run::{
    Screen, experiment_exit, preflight_exit, print, publish, tell_denied, tell_denied_notes,
};
use crate::cli::setting_key;
use crate::cli::twin;
use crate::cli::typed::{RunArgs, Settings};
use crate::cli::upload::{self, Written};
use crate::cli::workers;
use crate::console;
use crate::experiment::comparison_files::{Manifest, write_comparison, write_sides};
use crate::experiment::interleave::LEAD_IN;
use crate::experiment::launch::server::LaunchedServer;
use crate::experiment::{artefacts, blocks, interleave, interrupt, preflight, stored, turns};
use crate::issue::stop::Stop;
use crate::metrics::compare::BLOCKS_FOR_A_VERDICT;
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

/// A setting of one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    side: usize,
    key: String,
    value: Value,
}

impl FromStr for Change {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, anyhow::Error> {
        let wrong =
            || anyhow!("`{text}` is no change of a side: write for example `B:max_batch_size=4`");
        let (side, change) = text.split_once(':').ok_or_else(wrong)?;
        let (key, value) = change.split_once('=').ok_or_else(wrong)?;
        let side = match side.trim().as_bytes() {
            [letter @ b'A'..=b'Z'] => usize::from(letter - b'A'),
            _ => return Err(wrong()),
        };
        // A bare word is text; numbers, booleans and lists are written as in JSON.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        Ok(Self { side, key: key.trim().to_owned(), value })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}={}", letter(self.side), self.key, self.value)
    }
}

/// `A`, `B`, …
pub fn letter(side: usize) -> String {
    char::from(b'A' + (side % 26) as u8).to_string()
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
    let mut sides = sides(arguments, matches, &said, python.as_deref()).map_err(usage)?;
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

/// Settings that let a profiler look, or do something between points, are refused where targets are held against each other.
///
/// # Errors
/// The one that was given.
pub(super) fn refuse_profiled(sides: &[Resolved]) -> anyhow::Result<()> {
    let flags = [
        ("--profile-window", sides.iter().any(|side| side.profile_window.is_some())),
        ("--nvtx", sides.iter().any(|side| side.nvtx)),
    ];
    let pauses = [
        ("--cool-down", sides.iter().any(|side| side.cool_down.is_some())),
        ("--between", sides.iter().any(|side| side.between.is_some())),
        ("--gpu-hour-price", sides.iter().any(|side| side.gpu_hour_price.is_some())),
    ];
    if let Some((flag, _)) = pauses.into_iter().find(|(_, given)| *given) {
        return Err(anyhow!(
            "sides take turns without a pause, and have no cost of their own: leave out `{flag}` in a comparison"
        ));
    }
    match flags.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(anyhow!(
            "a profiled run is slowed by what watches it: leave out `{flag}` in a comparison"
        )),
    }
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

/// The settings of every side, resolved. They ask the same; only the target and how it is set up may differ.
fn sides(
    arguments: &CompareArgs,
    matches: &ArgMatches,
    said: &Settings,
    python: Option<&Path>,
) -> anyhow::Result<Vec<Resolved>> {
    let typed = matches.get_many::<String>("target");
    let targets: Vec<&String> = typed.map_or_else(Vec::new, Iterator::collect);
    let count = targets.len() + usize::from(arguments.serve_twin);
    if !(2..=26).contains(&count) {
        return Err(anyhow!(
            "a comparison needs two targets or more: give `--target` once for each side, the baseline first"
        ));
    }
    if !arguments.fail_if.is_empty() && (arguments.blocks as usize) < BLOCKS_FOR_A_VERDICT {
        return Err(anyhow!(
            "`--fail-if` needs {BLOCKS_FOR_A_VERDICT} blocks or more to decide anything: raise `--blocks`"
        ));
    }
    if let Some(change) = arguments.set.iter().find(|change| change.side >= count) {
        let side = letter(change.side);
        return Err(anyhow!("there is no side {side}: `--set` names one of the {count} sides"));
    }
    let own = arguments.serve_twin.then(|| twin::without_server(said));
    let said = own.as_ref().unwrap_or(said);
    let pythons = other_python::of_sides(matches, &targets, python)?;
    let sides: Vec<Resolved> = targets
        .into_iter()
        .zip(pythons)
        .enumerate()
        .map(|(side, (target, python))| {
            changes_of(&arguments.set, side)
                .and_then(|changes| one_side(said, target, python, changes))
                .with_context(|| format!("side {} cannot be set up", letter(side)))
        })
        .collect::<Result<_, _>>()?;
    sides.iter().try_for_each(other_python::check_side)?;
    same_question(&sides)?;
    Ok(sides)
}

/// Settings of one side alone.
fn changes_of(changes: &[Change], side: usize) -> anyhow::Result<Map<String, Value>> {
    let own = changes.iter().filter(|change| change.side == side);
    own.map(|change| {
        setting_key::check([change.key.as_str()]).with_context(|| format!("`--set {change}`"))?;
        Ok((change.key.clone(), change.value.clone()))
    })
    .collect()
}

fn one_side(
    said: &Settings,
    target: &str,
    python: Option<PathBuf>,
    changes: Map<String, Value>,
) -> anyhow::Result<Resolved> {
    let mut settings = Settings { target: Some(target.to_owned()), ..said.clone() }
        .or_concurrency(DEFAULT_CONCURRENCY);
    settings.engine.python = python;
    let mut map = as_map(&settings)?;
    map.extend(changes);
    let settings: Settings =
        serde_json::from_value(as_tables(map)).context("its `--set` cannot be used")?;
    let resolved = resolve(&settings)?;
    workers::refuse(&resolved, "compare")?;
    Ok(resolved)
}

fn same_question(sides: &[Resolved]) -> anyhow::Result<()> {
    refuse_extra(sides)?;
    let first = &sides[0];
    if first.loads.len() > 1 {
        return Err(anyhow!(
            "a comparison plays one load: give one number of {} and not several",
            first.loads.len()
        ));
    }
    if first.batch_sizes.len() > 1 {
        return Err(anyhow!(
            "a comparison plays one batch size: give one number of `--batch-size`"
        ));
    }
    let asked = |side: &Resolved| {
        let mut workload = side.workload.clone();
        workload.prompts = first.workload.prompts;
        (
            workload,
            side.loads.clone(),
            side.requests,
            side.requests_per_slot,
            side.duration,
            side.warmup,
        )
    };
    if sides.iter().any(|side| asked(side) != asked(first)) {
        return Err(anyhow!(
            "`--set` may change how a side is set up, and not what is asked: the same load and requests go to all sides"
        ));
    }
    let embedded = || sides.iter().filter(|side| engine_threads::is_embedded(&side.target));
    if embedded()
        .any(|side| Some(side.engine.threads) != embedded().next().map(|it| it.engine.threads))
    {
        return Err(anyhow!(
            "embedded engines of one process share their threads: give `--threads` for all sides"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_its_side_by_letter() {
        for text in ["max_batch_size=4", "B:max_batch_size", "b:x=1", "AB:x=1", ":x=1"] {
            let error = text.parse::<Change>().unwrap_err().to_string();
            assert!(error.contains("B:max_batch_size=4"), "{text}: {error}");
        }
        let change: Change = "B:max_batch_size=4".parse().unwrap();
        assert_eq!(
            (change.side, change.key.as_str(), change.value),
            (1, "max_batch_size", 4.into())
        );
        let change: Change = "A:quantization=f32".parse().unwrap();
        assert_eq!(change.value, "f32");
    }
    #[test]
    fn a_change_reaches_its_setting_in_a_table_and_a_misspelt_one_names_its_side() {
        let said = Settings::default();
        let side = |change: &str| {
            let change: Change = change.parse().unwrap();
            changes_of(&[change], 1).and_then(|changes| one_side(&said, "sim:null", None, changes))
        };
        let resolved = side("B:engine.kv_fraction=0.5").unwrap();
        assert_eq!(resolved.engine.kv_fraction, Some(0.5));
        let error = format!("{:#}", side("B:max_batchsize=4").unwrap_err());
        assert!(error.contains("--set B:max_batchsize=4") && error.contains("`max_batch_size`"));
        assert!(!error.contains("sim:null"), "{error}");
    }
}
