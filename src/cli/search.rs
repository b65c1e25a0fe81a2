//! `bareflight search`: the highest rate or concurrency that meets objectives, with its interval and every probe.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{ArgMatches, Args};

use crate::cli::cells::TAKEN_AGAIN;
use crate::cli::configuration::settings_of;
use crate::cli::engine_log::{self, Destination};
use crate::cli::engine_threads;
use crate::cli::exit::{Coded, Exit};
use crate::cli::launched;
use crate::cli::origin::Origin;
use crate::cli::other_python::read_settings;
use crate::cli::report::{check_plots, refuse_export};
use crate::cli::resolve::resolve;
use crate::cli::run::{
    Screen, experiment_exit, preflight_exit, print, publish, tell_denied, tell_denied_notes,
};
use crate::cli::typed::{RunArgs, Settings};
use crate::cli::upload::{self, Written};
use crate::cli::workers;
use crate::clock::Nanos;
use crate::console;
use crate::experiment::comparison_files::{Manifest, write_search};
use crate::experiment::launch::server::LaunchedServer;
use crate::experiment::search::{self, Terms};
use crate::experiment::{artefacts, open_files, preflight};
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::metrics::early_stopping::least_within;
use crate::metrics::search::{Axis, Outcome, Question, Search};
use crate::metrics::summary::SCHEMA_VERSION;
use crate::metrics::threshold::Percent;
use crate::report::search::{notes, page, table};
use crate::report::{FileNote, table as report_table};
use crate::settings::Resolved;
use crate::settings::export::PlotFormat;
use crate::settings::human_duration::HumanDuration;
use crate::settings::objective::Objectives;
use crate::settings::time_unit::TimeUnit;
use crate::store::manifest::State;
use crate::store::run_directory::{RunDirectory, file};
use crate::store::write::write_whole;

/// Longest time that a probe sends, where none is given.
const DEFAULT_DURATION: Nanos = Nanos::from_millis(60_000);
/// A probe has so many times the requests that the rule needs at least.
const REQUESTS_OVER_LEAST: u64 = 4;
/// Fewer requests say little of a queue.
const FEWEST_REQUESTS: u64 = 200;
/// A queue that grows slowly passes a bound late: so many times the requests, where latencies rise.
const LONGER: u32 = 8;

/// Everything about a search.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// What is searched over
    #[arg(long = "search", value_enum, default_value_t, help_heading = "Search")]
    pub axis: Axis,
    /// The lowest load that missed is so close to the highest that met
    #[arg(long, value_name = "PERCENT", default_value = "2%", help_heading = "Search")]
    pub precision: Percent,
    /// Requests in flight of the flood, which brackets the limit from above
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Search",
          value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub flood: u32,
    /// Probes at most
    #[arg(long, value_name = "N", default_value_t = 20, help_heading = "Search",
          value_parser = clap::value_parser!(u32).range(3..=1_000))]
    pub max_probes: u32,
    /// Go on with a search that was ended: its folder. No finished probe is repeated, and its settings are used
    #[arg(long, value_name = "DIR", help_heading = "Search",
          conflicts_with_all = ["axis", "precision", "flood", "max_probes"])]
    pub resume: Option<PathBuf>,
    /// All that a run takes; `--requests` and `--duration` limit each probe.
    #[command(flatten)]
    pub run: RunArgs,
}

/// A search about to go on, or to begin.
struct Begun {
    resolved: Resolved,
    search: Search,
    directory: Option<RunDirectory>,
}

/// Runs the search, prints it, and returns the exit code.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(arguments: &SearchArgs, matches: &ArgMatches) -> Coded<Exit> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let mut begun = if let Some(folder) = &arguments.resume {
        let typed = taken_again(arguments, matches)?;
        resumed(folder, typed).map_err(|error| (Exit::Usage, error))?
    } else {
        let (said, _) = read_settings(&arguments.run, matches)?;
        begun(arguments, &said).map_err(|error| (Exit::Usage, error))?
    };
    engine_threads::ensure(std::slice::from_mut(&mut begun.resolved))?;
    engine_log::set_up(std::slice::from_mut(&mut begun.resolved), Destination::RunDirectory)?;
    upload::check([&begun.resolved])?;
    check_plots(&begun.resolved.plots)?;
    refuse_export(&begun.resolved).map_err(|error| (Exit::Usage, error))?;
    let stop = Stop::on_signals().context("Ctrl-C cannot be handled").map_err(failure)?;
    let written = match launched::start(&mut begun.resolved, &stop)? {
        None => search_on(begun, &stop, None),
        Some(mut server) => {
            let outcome = search_on(begun, &stop, Some(&mut server));
            launched::end(server, &stop, outcome)
        }
    }?;
    Ok(written.upload(&stop))
}

/// Searches on a target that is there.
fn search_on(mut begun: Begun, stop: &Stop, server: Option<&mut LaunchedServer>) -> Coded<Written> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let mut ready = preflight::prepare(&mut begun.resolved)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    for warning in &ready.warnings {
        console::print_notice(format_args!(
            "{} warning[{}]: {warning}",
            warning.code, warning.about
        ));
    }
    preflight::probe(&mut *ready.opening.target, &ready.plans)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    let Begun { resolved, mut search, directory } = begun;
    let target = ready.opening.target.describe();
    open_files::raise_for(target, search.question.flood)
        .map_err(|error| (Exit::Preflight, error.into()))?;
    (search.simulated, search.dummy_weights) = (target.simulated, target.dummy_weights);
    let settings =
        resolved.to_toml().context("settings cannot be written as TOML").map_err(failure)?;
    let directory = if let Some(directory) = directory {
        directory
    } else {
        let name = &ready.opening.target.describe().name;
        let hash = ready.plans.first().map_or("", |plan| plan.hash());
        RunDirectory::create(&resolved.out, name, "search", hash)
            .map_err(|error| failure(error.into()))?
    };
    if let Some(server) = server {
        ready.launched = Some(server.facts().clone());
        server.move_into(&directory).map_err(|error| failure(error.into()))?;
    }
    let mut manifest =
        Manifest::begin("search", &search.title, vec![(search.target.clone(), "probes".into())]);
    manifest.write(&directory).map_err(|error| failure(error.into()))?;
    write_whole(&directory.file(file::RESOLVED), settings.as_bytes())
        .map_err(|error| failure(error.into()))?;
    write_search(&directory, &search).map_err(|error| failure(error.into()))?;
    let terms = Terms {
        resolved: &resolved,
        settings: &settings,
        duration: Nanos::from_secs_f64(search.seconds),
        directory: &directory,
    };
    let mut screen = Screen::without_tables(resolved.quiet).with_wishes(&resolved)?;
    let mut save = |search: &Search| write_search(&directory, search).map(|_| ());
    let mut run = search::play(&mut search, &terms, ready, stop, &mut screen, &mut save)
        .map_err(|error| (experiment_exit(&error), anyhow::Error::new(error)))?;
    drop(screen);
    publish(&resolved, std::slice::from_ref(&run))?;
    artefacts::note_codes(&mut run).map_err(|error| failure(error.into()))?;
    artefacts::write_reports(&run).map_err(|error| failure(error.into()))?;
    manifest.end(run.manifest.state);
    manifest.write(&directory).map_err(|error| failure(error.into()))?;
    show(&directory, &search, &resolved.plots).map_err(failure)?;
    for fault in &run.manifest.faults {
        console::print_notice(format_args!("{fault}"));
    }
    tell_denied(std::slice::from_ref(&run));
    let exit = exit(run.manifest.state, &search);
    // What is graver stays; a denied warning is graver than a missed objective.
    let of_search = tell_denied_notes(notes(&search), &resolved.deny).is_some();
    let is_denied = of_search || !artefacts::denied(&run).is_empty();
    let is_less = matches!(exit, Exit::Ok | Exit::SloMissed);
    let exit = if is_denied && is_less { Exit::Invalid } else { exit };
    let directory = directory.path().to_owned();
    Ok(Written { resolved, directory, exit })
}

/// Loads that miss are part of every search; only one that no load meets has missed.
fn exit(state: State, search: &Search) -> Exit {
    match state {
        State::Interrupted | State::Running => Exit::Interrupted,
        State::Failed | State::Incomplete => Exit::Failure,
        State::Complete if search.outcome.limit.is_none() => Exit::SloMissed,
        State::Complete => Exit::Ok,
    }
}

/// A search goes on with its own settings, but for those that no file keeps.
fn taken_again(arguments: &SearchArgs, matches: &ArgMatches) -> Coded<Settings> {
    let (typed, origins) = read_settings(&arguments.run, matches)?;
    let given = origins
        .iter()
        .find(|(name, origin)| **origin == Origin::Flag && !TAKEN_AGAIN.contains(&name.as_str()));
    match given {
        None => Ok(typed),
        Some((name, _)) => Err((
            Exit::Usage,
            anyhow!(
                "a search goes on with the settings that it began with: leave out `--{}`",
                name.rsplit('.').next().unwrap_or(name).replace('_', "-")
            ),
        )),
    }
}

fn begun(arguments: &SearchArgs, said: &Settings) -> anyhow::Result<Begun> {
    for (flag, given) in [
        ("--rate", said.rate.is_some()),
        ("--concurrency", said.concurrency.is_some()),
        ("--batch", said.batch == Some(true)),
        ("--stages", said.stages.is_some()),
        ("--repeat", said.repeat.is_some()),
        ("--warmup-until", said.warmup_until.is_some()),
        ("--measurement-interval", said.measurement_interval.is_some()),
        ("--stop-when-saturated", said.stop_when_saturated == Some(true)),
    ] {
        if given {
            return Err(anyhow!(
                "a search chooses its loads itself: leave out `{flag}`; `--search concurrency` searches over requests in flight"
            ));
        }
    }
    if said.time_unit.is_some_and(|unit| unit != TimeUnit::default()) {
        return Err(anyhow!(
            "`--time-unit` is about tables of one run: leave it out, and give it to `bareflight report` with the folder of the probes"
        ));
    }
    if said.cells == Some(true) || said.scenario.as_ref().is_some_and(|it| it.len() > 1) {
        return Err(anyhow!(
            "a search has one scenario and one folder: give one `--scenario` and leave out `--cells`"
        ));
    }
    if said.requests.is_some() && said.fixed_requests().is_none() {
        return Err(anyhow!(
            "`--requests` limits every probe of a search alike: give a number and no multiple"
        ));
    }
    let objectives: Objectives = said.slo.as_deref().unwrap_or_default().parse()?;
    let highest = objectives.0.iter().map(|it| it.share).fold(0.5, f64::max);
    let least = (REQUESTS_OVER_LEAST * least_within(0, highest)).max(FEWEST_REQUESTS);
    let question = Question {
        axis: arguments.axis,
        precision: arguments.precision.share(),
        flood: arguments.flood,
        most_probes: arguments.max_probes,
        objectives,
    };
    if question.precision <= 0.0 {
        return Err(anyhow!("`--precision 0%` is never reached: give for example `2%`"));
    }
    let requests =
        said.fixed_requests().unwrap_or_else(|| u32::try_from(least).unwrap_or(u32::MAX));
    let duration = said.duration.unwrap_or(HumanDuration(DEFAULT_DURATION));
    let (resolved, open_loop) = resolved(said, &question, requests, duration)?;
    let over = match question.axis {
        Axis::Rate => "rate",
        Axis::Concurrency => "concurrency",
    };
    let search = Search {
        schema_version: SCHEMA_VERSION,
        title: format!(
            "highest {over} of {}, {}, that meets {}",
            resolved.target,
            resolved.workload.asked(),
            question.objectives
        ),
        target: resolved.target.clone(),
        simulated: false,
        dummy_weights: false,
        requests,
        longest: if said.requests.is_some() { requests } else { requests.saturating_mul(LONGER) },
        seconds: duration.0.as_secs_f64(),
        open_loop,
        question,
        probes: Vec::new(),
        outcome: Outcome::default(),
    };
    Ok(Begun { resolved, search, directory: None })
}

/// The settings of all probes, and a load of the open loop whose rate each probe replaces.
fn resolved(
    said: &Settings,
    question: &Question,
    requests: u32,
    duration: HumanDuration,
) -> anyhow::Result<(Resolved, Load)> {
    let bounds = question.objectives.bounds().to_string();
    // As many as the flood has in flight, for what is set up by the load.
    let flood = question.flood;
    let settings = Settings {
        slo: Some(bounds),
        requests: None,
        duration: None,
        concurrency: (question.axis == Axis::Concurrency).then(|| vec![flood.into()]),
        rate: (question.axis == Axis::Rate).then(|| vec![f64::from(flood)]),
        ..said.clone()
    };
    let mut resolved = resolve(&settings)?;
    workers::refuse(&resolved, "search")?;
    if resolved.batch_sizes.len() > 1 {
        return Err(anyhow!("a search asks one batch size: give one number of `--batch-size`"));
    }
    let arrivals = resolved.loads.first().copied().unwrap_or(Load::Batch);
    resolved.loads = vec![Load::Closed { concurrency: 1 }];
    resolved.requests = Some(requests);
    resolved.duration = Some(duration.0);
    // Where none is given it differs between the loads.
    resolved.warmup = said.warmup;
    Ok((resolved, arrivals))
}

/// A search from its folder.
fn resumed(folder: &Path, typed: Settings) -> anyhow::Result<Begun> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| {
            format!("`{}` cannot be read: name the folder of a search", path.display())
        })
    };
    let search: Search = serde_json::from_str(&read(file::SEARCH_JSON)?)
        .with_context(|| format!("`{}` holds no search of this version", folder.display()))?;
    if search.schema_version != SCHEMA_VERSION {
        return Err(anyhow!(
            "the search in `{}` was written by another version: begin a new one",
            folder.display()
        ));
    }
    let mut said = settings_of(&read(file::RESOLVED)?)
        .with_context(|| format!("`{}` holds no settings of this version", folder.display()))?;
    let requests = search.requests;
    let duration = HumanDuration(Nanos::from_secs_f64(search.seconds));
    said.concurrency = None;
    said.header = typed.header;
    said.quiet = typed.quiet.or(said.quiet);
    let (resolved, _) = resolved(&said, &search.question, requests, duration)?;
    let directory = Some(RunDirectory::existing(folder));
    Ok(Begun { resolved, search, directory })
}

fn show(directory: &RunDirectory, search: &Search, plots: &[PlotFormat]) -> anyhow::Result<()> {
    let mut files = write_search(directory, search)?;
    let picture = page::svg(search).map(|svg| ("search".to_owned(), svg));
    files.extend(artefacts::write_pictures(directory, picture.as_slice(), plots)?);
    let mut folders: Vec<&str> = search.probes.iter().map(|probe| &*probe.folder).collect();
    folders.dedup();
    files.extend(folders.into_iter().map(|folder| FileNote {
        name: format!("{folder}/"),
        holds: "everything of the probes, as a run of its own in which a probe is a point".into(),
    }));
    let folder = directory.path().display().to_string();
    print(&format!("{}{}", table::render(search), report_table::files(&folder, &files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Result<Begun, String> {
        use clap::FromArgMatches;

        use crate::cli::typed::{Cli, Command};
        let all = [&["bareflight", "search", "--target", "null:"], arguments].concat();
        let matches = Cli::clap_command().try_get_matches_from(all).map_err(|it| it.to_string())?;
        let cli = Cli::from_arg_matches(&matches).map_err(|it| it.to_string())?;
        let Command::Search(arguments) = cli.command else { panic!("not a search") };
        let said = arguments.run.settings.clone();
        begun(&arguments, &said).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_probe_has_enough_requests_for_its_highest_percentile() {
        let requests = |slo: &str| asked(&["--slo", slo]).expect(slo).search.requests;
        assert_eq!(requests("ttft.p50<1s"), 200);
        assert_eq!(requests("ttft.p99<1s"), 4 * 459);
        assert_eq!(requests("mlperf:llama2-70b"), 4 * 459);
    }

    #[test]
    fn a_search_chooses_its_loads_itself_and_needs_objectives() {
        for (arguments, named) in [
            (vec!["--slo", "ttft<1s", "--rate", "3"], "--rate"),
            (vec!["--slo", "ttft<1s", "--concurrency", "3"], "--search concurrency"),
            (vec![], "--slo"),
            (vec!["--slo", "ttft<1s", "--precision", "0%"], "--precision"),
        ] {
            let error = asked(&arguments).err().expect("refused");
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn arrivals_are_those_that_were_asked_for() {
        let begun = asked(&["--slo", "ttft<1s", "--arrivals", "constant", "--max-in-flight", "9"])
            .expect("a search");
        let Load::Open { arrivals, max_in_flight, .. } = begun.search.open_loop else { panic!() };
        assert_eq!((arrivals.to_string().as_str(), max_in_flight), ("constant", Some(9)));
        assert_eq!(begun.resolved.slos.to_string(), "ttft<1s");
    }
}
