//! Twin of an engine as a side: the settings with which its own server is started and asked.

use anyhow::{Context, anyhow};
use serde_json::{Map, Value};

use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::{as_map, as_tables};
use crate::cli::resolve::resolve;
use crate::cli::run::preflight_exit;
use crate::cli::typed::{LaunchFlags, Settings};
use crate::console::shell_word::quoted;
use crate::experiment::preflight::PreflightError;
use crate::settings::Resolved;
use crate::settings::engine::EngineSettings;
use crate::settings::launch::TwinSettings;
use crate::targets::python::twin;
use crate::targets::registry;

/// What the twin calls its model, where its server lets us choose.
const MODEL: &str = "twin";
/// Where it listens.
const TARGET: &str = "openai:http://127.0.0.1:{port}/v1";
/// Where it says that it is well.
const HEALTH: &str = "/health";

/// Settings for the engine itself, where those of its server are typed beside them.
#[must_use]
pub fn without_server(said: &Settings) -> Settings {
    Settings { launch: LaunchFlags::default(), ..said.clone() }
}

/// The side that asks the twin of `engine`: it asks the same, and its server is started with the settings of `engine`. `changes` are
/// settings of this side alone.
///
/// # Errors
/// When the engine has no twin, or its settings cannot be used, with the exit code.
pub fn side(said: &Settings, engine: &Resolved, changes: Map<String, Value>) -> Coded<Resolved> {
    let usage = |error: anyhow::Error| (Exit::Usage, error);
    if said.launch.launch.is_some() {
        return Err(usage(anyhow!(
            "`--serve-twin` starts a server, and so does `--launch`: leave one of them out"
        )));
    }
    let twin = twin::of(&engine.target, &engine.engine, MODEL)
        .map_err(PreflightError::from)
        .map_err(|error| (preflight_exit(&error), error.into()))?;
    let launch = LaunchFlags {
        launch: Some(vec![command_line(&twin.argv)]),
        ready_path: Some(said.launch.ready_path.clone().unwrap_or_else(|| HEALTH.into()))
            .filter(|_| said.launch.ready_log.is_none()),
        ..said.launch.clone()
    };
    let own = Settings { target: Some(TARGET.into()), launch, ..said.clone() };
    let mut map = as_map(&own).map_err(|error| usage(error.into()))?;
    map.extend(twin.ask);
    map.extend(changes);
    let settings: Settings = serde_json::from_value(as_tables(map))
        .context("how the adapter's `served` wants its server to be asked cannot be used")
        .map_err(usage)?;
    let mut resolved = resolve(&settings).map_err(|error| usage(error.into()))?;
    // The server has them; its client has none.
    resolved.engine =
        EngineSettings { perf_metrics: resolved.engine.perf_metrics, ..EngineSettings::default() };
    if let Some(launch) = &mut resolved.launch {
        // What was typed counts more.
        launch.env = twin.env.into_iter().chain(std::mem::take(&mut launch.env)).collect();
        launch.twin =
            Some(TwinSettings { name: name_of(engine), files: twin.files.into_iter().collect() });
    }
    Ok(resolved)
}

/// `vllm-twin`.
fn name_of(engine: &Resolved) -> String {
    let kind = registry::kind_of(&engine.target).map_or("engine", |(kind, _)| kind.name);
    format!("{kind}-twin")
}

/// As `--launch` would take it.
fn command_line(argv: &[String]) -> String {
    argv.iter().map(|word| quoted(word, "{}")).collect::<Vec<_>>().join(" ")
}
