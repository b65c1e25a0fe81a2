//! `bareflight run --launch`: servers started, measured and stopped in turn, and their results side by side.

use std::fmt::Write;
use std::path::Path;
use std::slice;

use anyhow::Context;
use serde_json::Value;

use crate::cli::engine_log::{self, Destination};
use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::{Origin, Origins, as_map};
use crate::cli::report;
use crate::cli::resolve::{SettingsError, resolve, split_launches};
use crate::cli::run::{Screen, play, prepare, print};
use crate::cli::typed::Settings;
use crate::clock::Nanos;
use crate::console;
use crate::experiment::launch::places::Places;
use crate::experiment::launch::preset::{self, LaunchPlan};
use crate::experiment::launch::server::{LaunchError, LaunchedServer};
use crate::experiment::sweep::Watch;
use crate::experiment::{interrupt, launches};
use crate::issue::phase::Stage;
use crate::issue::stop::Stop;
use crate::metrics::Summary;
use crate::settings::Resolved;
use crate::settings::launch::LaunchSettings;
use crate::settings::masking;
use crate::store::manifest::PointEntry;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::RunDirectory;
use crate::targets::TargetInfo;

/// Where nothing listens: settings are resolved against it before a server is started.
const NOWHERE: u16 = 9;
/// What resolves before the preset has said what is measured.
const ANY_SERVER: &str = "openai:http://127.0.0.1:9/v1";

/// One server to start.
struct Launch {
    settings: Settings,
    launch: LaunchSettings,
    plan: LaunchPlan,
}

impl Launch {
    fn of(settings: Settings) -> anyhow::Result<Self> {
        let target = settings.target.clone().unwrap_or_else(|| ANY_SERVER.into());
        let mut launch = resolve(&Settings { target: Some(target), ..settings.clone() })?
            .launch
            .context("`--launch` is missing")?;
        launch.target.clone_from(&settings.target);
        let plan = preset::plan(&launch, settings.tokenizer.as_deref())?;
        let it = Self { settings, launch, plan };
        // Whatever is wrong with the load is said before a server is started.
        it.resolved(&Places {
            port: NOWHERE,
            http_port: NOWHERE,
            metrics_port: NOWHERE,
            folder: Path::new(".").to_owned(),
        })?;
        Ok(it)
    }

    /// Everything about its run, with its ports filled in.
    fn resolved(&self, places: &Places) -> Result<Resolved, SettingsError> {
        let target = Some(places.fill(&self.plan.target));
        let mut resolved = resolve(&Settings { target, ..self.settings.clone() })?;
        let metrics = self.plan.metrics.as_ref().and_then(|url| places.fill(url).parse().ok());
        resolved.launch = Some(LaunchSettings { metrics, ..self.launch.clone() });
        Ok(resolved)
    }
}

fn launches_of(settings: &Settings) -> Coded<Vec<Launch>> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let split = split_launches(settings).map_err(|error| usage(error.into()))?;
    let launches: Vec<Launch> =
        split.into_iter().map(Launch::of).collect::<anyhow::Result<_>>().map_err(usage)?;
    if launches.len() < 2 && settings.launch.layout.is_some() {
        let why = anyhow::anyhow!(
            "`--layout` is about several servers side by side: give `--launch` twice or more, or leave it out"
        );
        return Err(usage(why));
    }
    Ok(launches)
}

/// Starts, measures and stops each server, and compares them where there are several.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(settings: &Settings) -> Coded<Exit> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let launches = launches_of(settings)?;
    let Some(first) = launches.first() else { return Ok(Exit::Ok) };
    let mut resolved = first
        .resolved(&Places::free(Path::new(".")).map_err(|error| failure(error.into()))?)
        .map_err(|error| (Exit::Usage, error.into()))?;
    report::check_plots(&resolved.plots)?;
    engine_log::set_up(slice::from_mut(&mut resolved), Destination::RunDirectory)?;
    let stop = Stop::on_signals().context("Ctrl-C cannot be handled").map_err(failure)?;
    interrupt::announce(&stop, resolved.drain);
    if let [only] = launches.as_slice() {
        let run = measure(only, &resolved.out, &stop)?;
        return Ok(Exit::of(&run));
    }
    in_turn(settings, &launches, &resolved, &stop)
}

/// One server after the other, each in a folder of one experiment. One that fails does not keep the others from being measured.
fn in_turn(
    settings: &Settings,
    launches: &[Launch],
    resolved: &Resolved,
    stop: &Stop,
) -> Coded<Exit> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let names: Vec<&str> = launches.iter().map(|launch| launch.plan.name.as_str()).collect();
    let directory = RunDirectory::create(&resolved.out, "launches", &names.join(" "), "runs")
        .map_err(|error| failure(error.into()))?;
    let mut runs: Vec<(String, MeasuredRun)> = Vec::new();
    let mut worst: Option<(Exit, anyhow::Error)> = None;
    for launch in launches {
        match measure(launch, directory.path(), stop) {
            Ok(run) => runs.push((launch.plan.name.clone(), run)),
            Err((exit, error)) => {
                console::print_notice(format_args!("{}: {error:#}", launch.plan.name));
                worst.get_or_insert((exit, error));
            }
        }
        stop.forget_failure();
        if stop.is_asked() {
            break;
        }
    }
    let margin = launches::MARGIN;
    let text = launches::write(&directory, &runs, margin, &resolved.plots)
        .map_err(|error| failure(error.into()))?;
    print(&text).map_err(failure)?;
    if let Some(layout) = settings.launch.layout {
        let folder = launches::write_layout(&directory, &runs, layout, margin, &resolved.plots)
            .map_err(|error| failure(error.into()))?;
        print(&format!("\n{}\n", folder.display())).map_err(failure)?;
    }
    let measured: Vec<MeasuredRun> = runs.into_iter().map(|(_, run)| run).collect();
    match worst {
        Some((exit, error)) => Err((exit, error.context("not every server was measured"))),
        None => Ok(Exit::of_sides(&measured, None)),
    }
}

/// Starts a server, measures it, and stops it whatever happens.
fn measure(launch: &Launch, out: &Path, stop: &Stop) -> Coded<MeasuredRun> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let name = &launch.plan.name;
    let loading = RunDirectory::create(out, "launch", name, "loading")
        .map_err(|error| failure(error.into()))?;
    let quiet = launch.settings.quiet.unwrap_or(false);
    if !quiet {
        let command = masking::arguments(&launch.plan.argv).join(" ");
        console::print_notice(format_args!("starting {command}"));
    }
    let mut server = LaunchedServer::start(&launch.plan, &launch.launch, loading.path(), stop)
        .map_err(|error| (launch_exit(&error), error.into()))?;
    if !quiet {
        let facts = server.facts();
        let after = facts.ready_after_s.unwrap_or_default();
        let version = facts.version.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
        console::print_notice(format_args!("{name} is ready after {after:.1} s{version}"));
    }
    server.fail_at_death(stop);
    let outcome = measure_ready(launch, out, stop, &mut server);
    // Asked before it is stopped.
    let died = stop.failure();
    server.stop();
    if died.is_some() {
        console::print_notice(format_args!("{}", server.last_lines()));
    }
    match (outcome, died) {
        (Err((exit, error)), Some(words)) => Err((exit, error.context(words))),
        (outcome, _) => outcome,
    }
}

fn measure_ready(
    launch: &Launch,
    out: &Path,
    stop: &Stop,
    server: &mut LaunchedServer,
) -> Coded<MeasuredRun> {
    let mut resolved =
        launch.resolved(server.places()).map_err(|error| (Exit::Usage, error.into()))?;
    out.clone_into(&mut resolved.out);
    let mut ready = prepare(&mut resolved)?;
    ready.launched = Some(server.facts().clone());
    let mut watch = LaunchWatch { screen: Screen::new(resolved.quiet), server };
    play(&resolved, ready, stop, &mut watch)
}

/// A server that does not start is found before any load is sent.
fn launch_exit(error: &LaunchError) -> Exit {
    match error {
        LaunchError::Interrupted => Exit::Interrupted,
        LaunchError::Write(_) => Exit::Failure,
        LaunchError::NoProgram(_)
        | LaunchError::Start { .. }
        | LaunchError::Died { .. }
        | LaunchError::NotReady { .. } => Exit::Preflight,
    }
}

/// Gives the server's files to the run as soon as it has a folder.
struct LaunchWatch<'a> {
    screen: Screen,
    server: &'a mut LaunchedServer,
}

impl Watch for LaunchWatch<'_> {
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory) {
        if let Err(error) = self.server.move_into(directory) {
            console::print_notice(format_args!(
                "the log of the launched server stays where it was begun: {error}"
            ));
        }
        self.screen.begun(target, directory);
    }

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, stage: &Stage) {
        self.screen.phase(label, shots, duration, stage);
    }

    fn phase_over(&mut self) {
        self.screen.phase_over();
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        self.screen.measured(entry, summary);
    }
}

/// `bareflight plan --launch`: what would be started and measured; nothing is started, so that the plan of requests, which
/// follows from what the server says of itself, is not drawn.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn show_plan(settings: &Settings, origins: &Origins) -> Coded<Exit> {
    let mut text = String::from("settings\n");
    let shown = as_map(settings).map_err(|error| (Exit::Failure, error.into()))?;
    for (key, value) in shown {
        let origin = origins.get(&key).copied().unwrap_or(Origin::Default);
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(text, "  {key:22} {:<34} {origin}", masked(&key, &value));
    }
    for launch in launches_of(settings)? {
        let LaunchPlan { name, argv, ready, target, metrics, .. } = &launch.plan;
        let _infallible = writeln!(text, "\nlaunch {name}");
        let _infallible =
            writeln!(text, "  command            {}", quoted(&masking::arguments(argv)));
        for (name, value) in &launch.launch.env {
            let value = masking::value_of_variable(name, value);
            let _infallible = writeln!(text, "  variable           {name}={value}");
        }
        let _infallible = writeln!(text, "  ready when         {ready}");
        let _infallible = writeln!(text, "  target             {target}");
        if let Some(metrics) = metrics {
            let _infallible = writeln!(text, "  metrics            {metrics}");
        }
    }
    text.push_str("\nnothing was run\n");
    print(&text).map_err(|error| (Exit::Failure, error))?;
    Ok(Exit::Ok)
}

/// A setting as text, without secrets.
fn masked(key: &str, value: &Value) -> String {
    let each = |mask: fn(&str) -> String| {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        Value::from_iter(items.map(mask)).to_string()
    };
    match key {
        "launch.launch" => each(masking::command),
        "launch.env" => each(masking::variables),
        "header" => masking::HIDDEN.to_owned(),
        _ => value.to_string(),
    }
}

/// As it could be typed.
fn quoted(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+{}".contains(c);
    let quote = |word: &String| match word.chars().all(plain) && !word.is_empty() {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}
