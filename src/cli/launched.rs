//! `bareflight run --launch`: servers started, measured and stopped in turn, and their results side by side.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::Value;

use crate::cli::cells;
use crate::cli::engine_log::{self, Destination};
use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::{self, Origins, as_map};
use crate::cli::report;
use crate::cli::resolve::{resolve, split_launches};
use crate::cli::run::{Screen, play, prepare, print};
use crate::cli::typed::Settings;
use crate::cli::upload;
use crate::clock::Nanos;
use crate::console;
use crate::console::shell_word::quoted;
use crate::experiment::launch::places::names_a_port;
use crate::experiment::launch::preset::{self, LaunchPlan};
use crate::experiment::launch::server::{LaunchError, LaunchedServer};
use crate::experiment::launches::{Launched, Results};
use crate::experiment::sweep::Watch;
use crate::experiment::{interrupt, launches};
use crate::issue::live_phase::LivePhase;
use crate::issue::stop::Stop;
use crate::metrics::Summary;
use crate::settings::Resolved;
use crate::settings::export::PlotFormat;
use crate::settings::launch::LaunchSettings;
use crate::settings::masking;
use crate::store::manifest::PointEntry;
use crate::store::run_directory::RunDirectory;
use crate::targets::{TargetInfo, registry};

/// One server after the other, resolved but for their ports.
fn launches_of(settings: &Settings) -> Coded<Vec<Resolved>> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let split = split_launches(settings).map_err(|error| usage(error.into()))?;
    let launches: Vec<Resolved> =
        split.iter().map(resolve).collect::<Result<_, _>>().map_err(|error| usage(error.into()))?;
    for launch in &launches {
        check_target(launch)?;
    }
    if launches.iter().any(Resolved::has_cells) && settings.launch.layout.is_some() {
        return Err(usage(anyhow!(
            "`--layout` has one folder of loads for each server and no place for cells: leave it out, or give one `--scenario` and no `--cells`"
        )));
    }
    if launches.len() < 2 && settings.launch.layout.is_some() {
        return Err(usage(anyhow!(
            "`--layout` is about several servers side by side: give `--launch` twice or more, or leave it out"
        )));
    }
    Ok(launches)
}

/// Refuses to start a server that nobody would ask.
fn check_target(resolved: &Resolved) -> Coded<()> {
    let Some((_, plan)) = plan_of(resolved)? else { return Ok(()) };
    let target = &resolved.target;
    let why = if registry::abilities_of(target).server.is_none() {
        format!(
            "`{target}` asks no server, so that the one of `--launch` would be started for nothing"
        )
    } else if plan.argv.iter().any(|word| names_a_port(word)) && !names_a_port(target) {
        format!(
            "`{target}` is another server than the one of `--launch`, which listens at `{{port}}`"
        )
    } else {
        return Ok(());
    };
    Err((Exit::Usage, anyhow!("{why}: leave `--target` out, or write `{{port}}` into it")))
}

/// The command line of a launch.
fn plan_of(resolved: &Resolved) -> Coded<Option<(LaunchSettings, LaunchPlan)>> {
    let Some(launch) = resolved.launch.clone() else { return Ok(None) };
    let plan = preset::plan(&launch, resolved.served.tokenizer.as_deref());
    Ok(Some((launch, plan.map_err(|error| (Exit::Usage, error.into()))?)))
}

/// Starts, measures and stops each server, and compares them where there are several.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(settings: &Settings, resume: Option<&Path>) -> Coded<Exit> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let mut launches = launches_of(settings)?;
    let Some(first) = launches.first() else { return Ok(Exit::Ok) };
    report::check_plots(&first.plots)?;
    report::check_exports(&first.export)?;
    upload::check([first])?;
    engine_log::set_up(&mut launches, Destination::RunDirectory)?;
    let stop = Stop::on_signals().context("Ctrl-C cannot be handled").map_err(failure)?;
    interrupt::announce(&stop, launches[0].drain);
    if let [only] = launches.as_slice() {
        let (results, exit) = measure(only.clone(), resume, &stop)?;
        return Ok(upload::after(only, results.directory().path(), &stop, exit));
    }
    in_turn(settings, &launches, &stop)
}

/// One server after the other, each in a folder of one experiment. One that fails does not keep the others from being measured.
fn in_turn(settings: &Settings, launches: &[Resolved], stop: &Stop) -> Coded<Exit> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let names = launches
        .iter()
        .map(|it| Ok(plan_of(it)?.map_or_else(String::new, |(_, plan)| plan.name)))
        .collect::<Coded<Vec<String>>>()?;
    let Resolved { out, plots, .. } = &launches[0];
    let directory = RunDirectory::create(out, "launches", &names.join(" "), "runs")
        .map_err(|error| failure(error.into()))?;
    let mut runs: Vec<Launched> = Vec::new();
    let mut exits: Vec<Exit> = Vec::new();
    let mut first_error: Option<(Exit, anyhow::Error)> = None;
    for (launch, name) in launches.iter().zip(names) {
        let resolved = Resolved { out: directory.path().to_owned(), ..launch.clone() };
        match measure(resolved, None, stop) {
            Ok((results, exit)) => {
                runs.push(Launched { name, results });
                exits.push(exit);
            }
            Err((exit, error)) => {
                let said = console::in_one_line(&error);
                console::print_notice(format_args!("{name}: {said}"));
                first_error.get_or_insert((exit, error));
            }
        }
        // What failed was this server.
        stop.forget_failure();
        if stop.is_asked() {
            break;
        }
    }
    show_together(settings, &directory, &runs, plots).map_err(failure)?;
    let exit = first_error.as_ref().map_or_else(|| Exit::gravest(exits), |it| it.0);
    let exit = if runs.is_empty() {
        exit
    } else {
        upload::after(&launches[0], directory.path(), stop, exit)
    };
    match first_error {
        Some((_, error)) => Err((exit, error.context("not every server was measured"))),
        None => Ok(exit),
    }
}

fn show_together(
    settings: &Settings,
    directory: &RunDirectory,
    runs: &[Launched],
    plots: &[PlotFormat],
) -> anyhow::Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    print(&launches::write(directory, runs, launches::MARGIN, plots)?)?;
    if let Some(layout) = settings.launch.layout {
        let folder = launches::write_layout(directory, runs, layout, launches::MARGIN, plots)?;
        print(&format!("{}\n", folder.display()))?;
    }
    Ok(())
}

/// Starts a server, measures it, and stops it whatever happens.
fn measure(mut resolved: Resolved, resume: Option<&Path>, stop: &Stop) -> Coded<(Results, Exit)> {
    let Some(mut server) = start(&mut resolved, stop)? else {
        return Err((Exit::Usage, anyhow!("`--launch` is missing")));
    };
    let outcome = measure_ready(&mut resolved, resume, stop, &mut server);
    end(server, stop, outcome)
}

fn measure_ready(
    resolved: &mut Resolved,
    resume: Option<&Path>,
    stop: &Stop,
    server: &mut LaunchedServer,
) -> Coded<(Results, Exit)> {
    let mut ready = prepare(resolved)?;
    ready.launched = Some(server.facts().clone());
    let screen = Screen::new(resolved.quiet).with_wishes(resolved)?;
    let mut watch = LaunchWatch { screen, server };
    // One server answers all cells.
    if resume.is_some() || resolved.has_cells() {
        let (measured, exit) = cells::measure(resolved, ready, resume, stop, &mut watch)?;
        return Ok((Results::Cells(Box::new(measured)), exit));
    }
    let run = play(resolved, ready, stop, &mut watch)?;
    let exit = Exit::of(&run);
    Ok((Results::Run(Box::new(run)), exit))
}

/// Starts the server of these settings, waits until it is ready, and fills its ports in; `None` where none is asked for.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub(super) fn start(resolved: &mut Resolved, stop: &Stop) -> Coded<Option<LaunchedServer>> {
    let Some((launch, plan)) = plan_of(resolved)? else { return Ok(None) };
    check_target(resolved)?;
    let loading = RunDirectory::create(&resolved.out, "launch", &plan.name, "loading")
        .map_err(|error| (Exit::Failure, error.into()))?;
    let name = &plan.name;
    if !resolved.quiet {
        let command = masking::arguments(&plan.argv).join(" ");
        console::print_notice(format_args!("starting {command}"));
    }
    let server = LaunchedServer::start(&plan, &launch, loading.path(), stop)
        .map_err(|error| (launch_exit(&error), error.into()))?;
    if !resolved.quiet {
        let facts = server.facts();
        let after = facts.ready_after_s.unwrap_or_default();
        let version = facts.version.as_deref().map(|it| format!(", {it}")).unwrap_or_default();
        console::print_notice(format_args!("{name} is ready after {after:.1} s{version}"));
    }
    server.fail_at_death(stop);
    resolved.target = server.places().fill(&resolved.target);
    let metrics = plan.metrics.and_then(|url| server.places().fill(&url).parse().ok());
    resolved.launch = Some(LaunchSettings { metrics, ..launch });
    Ok(Some(server))
}

/// The same for the sides of a comparison, which share the server: those whose target names its port.
///
/// # Errors
/// As [`start`], and where no side names it.
pub(super) fn start_for_sides(
    sides: &mut [Resolved],
    stop: &Stop,
) -> Coded<Option<LaunchedServer>> {
    if sides.iter().all(|side| side.launch.is_none()) {
        return Ok(None);
    }
    let Some(asking) = sides.iter().position(|side| names_a_port(&side.target)) else {
        return Err((
            Exit::Usage,
            anyhow!(
                "no side asks the server that `--launch` starts: give one of them `--target openai:http://127.0.0.1:{{port}}/v1`"
            ),
        ));
    };
    let server = start(&mut sides[asking], stop)?;
    let metrics = sides[asking].launch.as_ref().and_then(|launch| launch.metrics.clone());
    for (_, side) in sides.iter_mut().enumerate().filter(|(place, _)| *place != asking) {
        let asks = names_a_port(&side.target);
        let own = side.launch.take().filter(|_| asks);
        side.launch = own.map(|own| LaunchSettings { metrics: metrics.clone(), ..own });
        if let Some(server) = &server {
            side.target = server.places().fill(&side.target);
        }
    }
    Ok(server)
}

/// Stops a server, and says of what was measured on it that it has died, where it has.
pub(super) fn end<T>(mut server: LaunchedServer, stop: &Stop, outcome: Coded<T>) -> Coded<T> {
    // Looked at before it is stopped.
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

/// A server that does not start is found before any load is sent.
fn launch_exit(error: &LaunchError) -> Exit {
    match error {
        LaunchError::Interrupted => Exit::Interrupted,
        LaunchError::Write(_) => Exit::Failure,
        LaunchError::NoProgram(_)
        | LaunchError::NotExecutable(_)
        | LaunchError::PortTaken(_)
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

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, live: &LivePhase) {
        self.screen.phase(label, shots, duration, live);
    }

    fn phase_over(&mut self) {
        self.screen.phase_over();
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        self.screen.measured(entry, summary);
    }

    fn ended(&mut self) {
        self.screen.ended();
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
        let origin = origin::of(origins, &key);
        // Writing to a string cannot fail, here and below.
        let _infallible = writeln!(text, "  {key:22} {:<34} {origin}", masked(&key, &value));
    }
    for resolved in launches_of(settings)? {
        let Some((launch, plan)) = plan_of(&resolved)? else { continue };
        let LaunchPlan { name, argv, ready, target, metrics, .. } = &plan;
        let _infallible = writeln!(text, "\nlaunch {name}");
        let _infallible =
            writeln!(text, "  command            {}", command_line(&masking::arguments(argv)));
        for (name, value) in &launch.env {
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
        items.map(mask).collect::<Value>().to_string()
    };
    match key {
        "launch.launch" => each(masking::command),
        "launch.env" => each(masking::variables),
        "header" => masking::HIDDEN.to_owned(),
        _ => value.to_string(),
    }
}

/// As it could be typed; placeholders stand as they are.
fn command_line(argv: &[String]) -> String {
    argv.iter().map(|word| quoted(word, "{}")).collect::<Vec<_>>().join(" ")
}
