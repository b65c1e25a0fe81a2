//! `bareflight ladder`: latency that each layer between a request and the engine adds, rungs interleaved on one plan.

use std::fs;

use anyhow::{Context, anyhow};
use clap::{ArgMatches, Args};

use crate::cli::compare::sides::refuse_profiled;
use crate::cli::compare::{load_records, measured};
use crate::cli::engine_log::{self, Destination};
use crate::cli::engine_threads;
use crate::cli::exit::{Coded, Exit};
use crate::cli::launched;
use crate::cli::other_python::read_settings;
use crate::cli::report::{check_plots, refuse_extra};
use crate::cli::resolve::resolve;
use crate::cli::run::{
    Screen, experiment_exit, preflight_exit, print, publish, tell_denied, tell_denied_notes,
};
use crate::cli::twin;
use crate::cli::typed::{RunArgs, Settings};
use crate::cli::upload::{self, Written};
use crate::cli::workers;
use crate::clock::{self, Nanos};
use crate::experiment::comparison_files::{Manifest, write_ladder, write_sides};
use crate::experiment::interleave::LEAD_IN;
use crate::experiment::launch::server::LaunchedServer;
use crate::experiment::preflight::PreflightError;
use crate::experiment::served_child::{Ready, Server, ServerError};
use crate::experiment::sweep::Watch;
use crate::experiment::{artefacts, blocks, interleave, interrupt, preflight};
use crate::issue::live_phase::LivePhase;
use crate::issue::stop::Stop;
use crate::metrics::Summary;
use crate::metrics::comparison::{self, Question};
use crate::metrics::ladder;
use crate::metrics::ladder::{BlockCpu, Ladder, Level, Planned};
use crate::metrics::sides::Terms;
use crate::metrics::threshold::Percent;
use crate::observe::process;
use crate::report::ladder::{notes, page, table};
use crate::report::{FileNote, table as console};
use crate::settings::Resolved;
use crate::settings::export::PlotFormat;
use crate::settings::served::ServedEndpoint;
use crate::settings::server_metrics::ServerMetricsChoice;
use crate::store::manifest::PointEntry;
use crate::store::run_directory::{RunDirectory, file};
use crate::targets::{TargetInfo, abilities, registry};

/// Concurrency where no load is given: one request at a time, so that nothing waits for another.
const DEFAULT_CONCURRENCY: u32 = 1;
/// The executor bridge with nothing behind it.
const NO_COST: &str = "sim:null";

/// Everything about a ladder.
#[derive(Debug, Args)]
pub struct LadderArgs {
    /// Times that every rung plays; at least 5 for a verdict
    #[arg(long, value_name = "N", default_value_t = 6, help_heading = "Ladder",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub blocks: u32,
    /// Differences within this share count as none
    #[arg(long, value_name = "PERCENT", default_value = "2%", help_heading = "Ladder")]
    pub margin: Percent,
    /// Leave out the rungs that need a server
    #[arg(long, help_heading = "Ladder")]
    pub in_process: bool,
    /// Add the rung of the engine's own server (`vllm:`, `trtllm-torch:`, `py:`), started with the same settings
    #[arg(long, help_heading = "Ladder", conflicts_with = "in_process")]
    pub serve_twin: bool,
    /// All that a run takes.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What a rung that applies is measured with.
struct Rung {
    level: Level,
    resolved: Resolved,
}

/// Runs the ladder, prints it, and returns the exit code.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn run(arguments: &LadderArgs, matches: &ArgMatches) -> Coded<Exit> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let (settings, _) = read_settings(&arguments.run, matches)?;
    let own = arguments.serve_twin.then(|| twin::without_server(&settings));
    let mut engine = engine(own.as_ref().unwrap_or(&settings)).map_err(usage)?;
    refuse_profiled(std::slice::from_ref(&engine)).map_err(usage)?;
    refuse_extra(std::slice::from_ref(&engine)).map_err(usage)?;
    check_plots(&engine.plots)?;
    upload::check([&engine])?;
    engine_threads::ensure(std::slice::from_mut(&mut engine))?;
    engine_log::set_up(std::slice::from_mut(&mut engine), Destination::RunDirectory)?;

    // Named wrongly, nothing is begun.
    let mut twin = arguments.serve_twin.then(|| twin_rung(&settings, &engine)).transpose()?;
    registry::describe(&engine.target, &engine.engine, &engine.served)
        .and_then(|named| {
            abilities::check(named.target.describe(), &engine.engine, &engine.workload)
        })
        .map_err(PreflightError::from)
        .map_err(|error| (preflight_exit(&error), error.into()))?;
    let stop = Stop::on_signals().context("Ctrl-C cannot be handled").map_err(failure)?;
    let mut server = match &mut twin {
        Some(twin) => launched::start(twin, &stop)?,
        None => None,
    };
    let served = twin.as_ref().zip(server.as_mut());
    let outcome = climb(arguments, &own.unwrap_or(settings), engine, served, &stop);
    let written = match server {
        Some(server) => launched::end(server, &stop, outcome),
        None => outcome,
    }?;
    Ok(written.upload(&stop))
}

/// Measures every rung, with the engine's own server where it is there.
fn climb(
    arguments: &LadderArgs,
    settings: &Settings,
    engine: Resolved,
    mut twin: Option<(&Resolved, &mut LaunchedServer)>,
    stop: &Stop,
) -> Coded<Written> {
    let failure = |error: anyhow::Error| (Exit::Failure, error);
    let load = engine.loads[0].to_string();
    let directory =
        RunDirectory::create(&engine.out, "ladder", &format!("{} {load}", engine.target), "rungs")
            .map_err(|error| failure(error.into()))?;
    let server = if arguments.in_process {
        Err("left out with `--in-process`".to_owned())
    } else {
        Ok(start_server(&directory, &engine, stop)?)
    };
    let ready = server.as_ref().map(|server| server.ready().clone()).map_err(Clone::clone);
    if let Some((_, server)) = &mut twin {
        server.move_into(&directory).map_err(|error| failure(error.into()))?;
    }
    let twin = twin.as_ref().map(|(twin, _)| *twin);
    let (planned, rungs) = plan(settings, &engine, &ready, twin).map_err(failure)?;
    let (mut resolved, levels): (Vec<Resolved>, Vec<Level>) =
        rungs.into_iter().map(|rung| (rung.resolved, rung.level)).unzip();
    let mut blocks = blocks::prepare(&mut resolved, arguments.blocks)
        .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    if let Some(at) = levels.iter().position(|level| *level == Level::Twin) {
        preflight::probe(&mut *blocks.openings[at].target, &blocks.plans)
            .map_err(|error| (preflight_exit(&error), anyhow::Error::new(error)))?;
    }

    let title = format!("ladder of {}, {}, {load}", engine.target, engine.workload.asked());
    let sides = levels.iter().zip(&resolved);
    let named = sides.map(|(level, it)| (level.name().to_owned(), it.target.clone())).collect();
    let mut manifest = Manifest::begin("ladder", &title, named);
    manifest.write(&directory).map_err(|error| failure(error.into()))?;
    interrupt::announce(stop, engine.drain);
    interrupt::keep_manifest(stop, &directory);
    let openings = blocks.openings.into_iter().zip(blocks.rooflines);
    let opened = levels.iter().zip(&resolved).zip(openings).map(|((level, resolved), opening)| {
        let (opening, roofline) = opening;
        Ok(interleave::Side {
            name: format!("{} {}", level.name(), resolved.target),
            resolved,
            settings: resolved.to_toml()?,
            opening,
            roofline,
        })
    });
    let opened = opened.collect::<Result<_, toml::ser::Error>>();
    let opened = opened.context("settings cannot be written as TOML").map_err(failure)?;
    let mut watch = CpuWatch::new(
        Screen::without_tables(engine.quiet).with_wishes(&engine)?,
        server.as_ref().ok(),
    );
    let mut runs = interleave::play(opened, &blocks.plans, &directory, stop, &mut watch)
        .map_err(|error| (experiment_exit(&error), error.into()))?;
    let cpu = watch.by_side(&levels, arguments.blocks as usize);
    drop(server);

    publish(&engine, &runs)?;
    write_sides(&mut runs).map_err(|error| failure(error.into()))?;
    tell_denied(&runs);
    manifest.end(interleave::state(&runs));
    manifest.write(&directory).map_err(|error| failure(error.into()))?;
    let question = Question {
        title,
        interleaved: true,
        planned_blocks: arguments.blocks.into(),
        order: (0..arguments.blocks as usize)
            .map(|block| interleave::order(block, levels.len()))
            .collect(),
        terms: Terms { margin: arguments.margin.share(), seed: engine.workload.seed },
        thresholds: &[],
        remedy: interleave::more_blocks(),
        pairs: ladder::steps(&planned),
    };
    let names = levels.iter().map(|level| level.name().to_owned()).collect();
    let records = load_records(&runs).map_err(|error| failure(error.into()))?;
    let measured = measured(names, &resolved, &runs, &records).map_err(failure)?;
    let comparison = comparison::conclude(&question, &measured);
    let ladder = ladder::conclude(comparison, &planned, &measured, &cpu);
    show(&directory, &ladder, &engine.plots).map_err(failure)?;
    let denied = tell_denied_notes(notes(&ladder), &engine.deny);
    let exit = Exit::of_sides(&runs, denied);
    let directory = directory.path().to_owned();
    Ok(Written { resolved: engine, directory, exit })
}

/// The rung of the engine itself, which all others are made from.
fn engine(settings: &Settings) -> anyhow::Result<Resolved> {
    if settings.launch.launch.is_some() {
        return Err(anyhow!(
            "a ladder serves its engine itself: leave out `--launch`, and hold another server against it with `bareflight compare`"
        ));
    }
    let resolved = resolve(&settings.clone().or_concurrency(DEFAULT_CONCURRENCY))?;
    workers::refuse(&resolved, "ladder")?;
    if resolved.loads.len() > 1 {
        return Err(anyhow!("a ladder plays one load: give one number and not several"));
    }
    if !registry::abilities_of(&resolved.target).engine {
        return Err(anyhow!(
            "`{}` is no engine in this process: a ladder starts from one, such as `local:dummy-nano` or `sim:PROFILE`",
            resolved.target
        ));
    }
    Ok(resolved)
}

/// The rung of the engine's own server: the ladder's load, and no look at its metrics unless it is wanted.
fn twin_rung(settings: &Settings, engine: &Resolved) -> Coded<Resolved> {
    let own = Settings {
        concurrency: engine.to_settings().concurrency,
        prompts: None,
        server_metrics: settings.server_metrics.clone().or(Some(ServerMetricsChoice::Off)),
        ..settings.clone()
    };
    twin::side(&own, engine, serde_json::Map::new())
}

fn start_server(directory: &RunDirectory, engine: &Resolved, stop: &Stop) -> Coded<Server> {
    let settings = directory.file(file::SERVED);
    let written = engine.to_toml().context("settings cannot be written as TOML").and_then(|text| {
        fs::write(&settings, text).context("settings of the server cannot be written")
    });
    written.map_err(|error| (Exit::Failure, error))?;
    Server::start(&settings, &directory.file(file::SERVED_LOG), stop).map_err(|error| {
        let exit = match &error {
            ServerError::Interrupted => Exit::Interrupted,
            ServerError::Start(_) | ServerError::NotReady { .. } => Exit::Preflight,
        };
        (exit, error.into())
    })
}

/// Which rungs there are, and why others are not.
fn plan(
    settings: &Settings,
    engine: &Resolved,
    server: &Result<Ready, String>,
    twin: Option<&Resolved>,
) -> anyhow::Result<(Vec<Planned>, Vec<Rung>)> {
    let (mut planned, mut rungs) = (Vec::new(), Vec::new());
    // Few engines have a server of their own: its rung is there where it was asked for.
    let there = Level::ALL.into_iter().filter(|level| *level != Level::Twin || twin.is_some());
    for level in there {
        let resolved = match (level, twin) {
            (Level::Twin, Some(twin)) => Ok(twin.clone()),
            (level, _) => match rung(level, settings, engine, server) {
                Ok(settings) => Ok(resolve(&settings)?),
                Err(why) => Err(why),
            },
        };
        let side = resolved.map(|resolved| {
            rungs.push(Rung { level, resolved });
            rungs.len() - 1
        });
        planned.push(Planned { level, side });
    }
    Ok((planned, rungs))
}

/// The settings of a rung, or why it does not apply.
fn rung(
    level: Level,
    settings: &Settings,
    engine: &Resolved,
    server: &Result<Ready, String>,
) -> Result<Settings, String> {
    let is_simulated = registry::abilities_of(&engine.target).simulated;
    let own = Settings {
        concurrency: engine.to_settings().concurrency,
        threads: engine.engine.threads,
        prompts: None,
        ..settings.clone()
    };
    // Microseconds are told apart here: nothing else asks the server, unless it is wanted.
    let scraped = settings.server_metrics.clone().or(Some(ServerMetricsChoice::Off));
    let own = Settings { server_metrics: None, ..own };
    let with = |target: String| Settings { target: Some(target), ..own.clone() };
    match level {
        Level::Harness => Ok(with("null:".into())),
        Level::Simulated if is_simulated => Ok(with(engine.target.clone())),
        Level::Simulated => Ok(with(NO_COST.into())),
        Level::Engine if is_simulated => Err("a simulated executor is no engine; it is L1".into()),
        Level::Engine => Ok(with(engine.target.clone())),
        Level::Text => Ok(with(format!("text:{}", engine.target))),
        Level::ServedIds | Level::ServedText => {
            let server = server.as_ref().map_err(Clone::clone)?;
            let endpoint = match level {
                Level::ServedIds => ServedEndpoint::Completions,
                _ => ServedEndpoint::Chat,
            };
            Ok(Settings {
                // Asked for, since the list of models also says whether the engine is simulated.
                model: None,
                endpoint: Some(endpoint),
                server_metrics: scraped.clone(),
                ..with(format!("openai:{}", server.openai))
            })
        }
        Level::Twin => Err("it is made from the engine's adapter".into()),
        Level::Grpc => {
            let server = server.as_ref().map_err(Clone::clone)?;
            let grpc = with(format!("triton:{}/tensorrt_llm", server.grpc));
            Ok(Settings { server_metrics: scraped, ..grpc })
        }
    }
}

/// Notes CPU time around each measured phase, and shows the rest to a person.
struct CpuWatch {
    screen: Screen,
    server: Option<u32>,
    before: (Nanos, Option<Nanos>),
    last: BlockCpu,
    /// In the order of play.
    seen: Vec<BlockCpu>,
}

impl CpuWatch {
    fn new(screen: Screen, server: Option<&Server>) -> Self {
        let server = server.map(|server| server.ready().pid);
        let before = (Nanos::ZERO, None);
        Self { screen, server, before, last: BlockCpu::default(), seen: Vec::new() }
    }

    fn read(&self) -> (Nanos, Option<Nanos>) {
        (clock::process_cpu(), self.server.and_then(process::cpu_of))
    }

    /// What was seen, by side and block, without the lead-in. The server's time counts for the rungs that ask it.
    fn by_side(&self, levels: &[Level], blocks: usize) -> Vec<Vec<BlockCpu>> {
        let mut sides: Vec<Vec<BlockCpu>> = levels.iter().map(|_| Vec::new()).collect();
        let lead_in = std::iter::repeat_n(0, LEAD_IN);
        let turns =
            lead_in.chain(0..blocks).flat_map(|block| interleave::order(block, levels.len()));
        for (side, cpu) in turns.zip(&self.seen) {
            let server_ns = cpu.server_ns.filter(|_| levels[side].is_served());
            sides[side].push(BlockCpu { server_ns, ..*cpu });
        }
        for blocks in &mut sides {
            blocks.drain(..LEAD_IN.min(blocks.len()));
        }
        sides
    }
}

impl Watch for CpuWatch {
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory) {
        self.screen.begun(target, directory);
    }

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, live: &LivePhase) {
        self.screen.phase(label, shots, duration, live);
        self.before = self.read();
    }

    fn phase_over(&mut self) {
        let (here, server) = self.read();
        self.last = BlockCpu {
            here_ns: here.0 - self.before.0.0,
            server_ns: server.zip(self.before.1).map(|(now, then)| (now.0 - then.0).max(0)),
        };
        self.screen.phase_over();
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        // The phase before this call was the measured one.
        self.seen.push(self.last);
        self.screen.measured(entry, summary);
    }
}

fn show(directory: &RunDirectory, ladder: &Ladder, plots: &[PlotFormat]) -> anyhow::Result<()> {
    let mut files = write_ladder(directory, ladder)?;
    let picture = [("ladder".to_owned(), page::svg(ladder))];
    files.extend(artefacts::write_pictures(directory, &picture, plots)?);
    files.extend(ladder.comparison.sides.iter().map(|side| FileNote {
        name: format!("{}/", side.folder),
        holds: "everything of this rung, as a run of its own; a block is a point, after the lead-in".into(),
    }));
    let folder = directory.path().display().to_string();
    print(&format!("{}{}", table::render(ladder), console::files(&folder, &files)))
}
