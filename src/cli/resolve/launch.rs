//! Resolution of the server that a run starts: one launch, its flags checked.

use crate::cli::resolve::error::SettingsError;
use crate::cli::typed::{LaunchFlags, Settings};
use crate::clock::Nanos;
use crate::settings::human_duration::HumanDuration;
use crate::settings::launch::{
    DEFAULT_READY_TIMEOUT, DEFAULT_STOP_TIMEOUT, LaunchSettings, ReadySign, parse_env,
};
use crate::settings::masking;

/// How long a profiler may take to write its report.
const PROFILED_STOP_TIMEOUT: Nanos = Nanos::from_millis(120_000);

/// The launch of these settings, where there is one.
///
/// # Errors
/// When a flag is out of range, has nothing to act on, or there are several launches: those are split first.
pub(super) fn launch(typed: &Settings) -> Result<Option<LaunchSettings>, SettingsError> {
    let flags = &typed.launch;
    let Some(launches) = &flags.launch else { return refuse_without(flags) };
    let [launch] = launches.as_slice() else {
        let why = "several servers are launched in turn by `bareflight run` alone";
        return Err(SettingsError::Apart("--launch", "another `--launch` here", why));
    };
    if launch.trim().is_empty() {
        return Err(SettingsError::Needs("--launch", "a command line, or a preset such as `vllm`"));
    }
    let zero = |span: Option<HumanDuration>| span.is_some_and(|span| span.0 == Nanos::ZERO);
    if zero(flags.ready_timeout) {
        return Err(SettingsError::Zero("--ready-timeout", "no server is ready at once"));
    }
    if flags.world_size == Some(0) {
        return Err(SettingsError::Zero("--world-size", "give at least 1, or leave it out"));
    }
    let mut env = Vec::new();
    for text in flags.env.iter().flatten() {
        env.extend(parse_env(text)?);
    }
    let ready = match (&flags.ready_path, &flags.ready_log) {
        (Some(path), _) if !path.starts_with('/') => {
            return Err(SettingsError::Needs("--ready-path", "a path such as `/health`"));
        }
        (Some(path), _) => Some(ReadySign::Path(path.clone())),
        (None, Some(text)) if text.is_empty() => {
            return Err(SettingsError::Needs("--ready-log", "a text that the log will hold"));
        }
        (None, Some(text)) => Some(ReadySign::Log(text.clone())),
        (None, None) => None,
    };
    let stop_timeout = match (flags.stop_timeout, flags.profile) {
        (Some(span), _) => span.0,
        (None, Some(_)) => PROFILED_STOP_TIMEOUT,
        (None, None) => DEFAULT_STOP_TIMEOUT,
    };
    Ok(Some(LaunchSettings {
        launch: launch.clone(),
        model: flags.launch_model.iter().flatten().next().cloned(),
        world_size: flags.world_size,
        extra_options: flags.extra_options.iter().flatten().next().cloned(),
        env,
        profile: flags.profile,
        log_server: flags.log_server.unwrap_or(false),
        ready,
        ready_timeout: flags.ready_timeout.map_or(DEFAULT_READY_TIMEOUT, |span| span.0),
        stop_timeout,
        target: typed.target.clone(),
        metrics: None,
        twin: None,
    }))
}

fn refuse_without(flags: &LaunchFlags) -> Result<Option<LaunchSettings>, SettingsError> {
    let given = [
        ("--launch-model", flags.launch_model.is_some()),
        ("--world-size", flags.world_size.is_some()),
        ("--extra-options", flags.extra_options.is_some()),
        ("--env", flags.env.is_some()),
        ("--profile", flags.profile.is_some()),
        ("--log-server", flags.log_server.is_some()),
        ("--ready-path", flags.ready_path.is_some()),
        ("--ready-log", flags.ready_log.is_some()),
        ("--ready-timeout", flags.ready_timeout.is_some()),
        ("--stop-timeout", flags.stop_timeout.is_some()),
        ("--layout", flags.layout.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(None),
        Some((flag, _)) => {
            Err(SettingsError::Needs(flag, "`--launch`, which says what server is started"))
        }
    }
}

/// One launch after the other, each with the model and the options that are its own.
///
/// # Errors
/// When there are neither one nor as many models or options as launches.
pub fn split(settings: &Settings) -> Result<Vec<Settings>, SettingsError> {
    let flags = &settings.launch;
    let launches = flags.launch.clone().unwrap_or_default();
    let models = shared_out("--launch-model", flags.launch_model.as_deref(), launches.len())?;
    let options = shared_out("--extra-options", flags.extra_options.as_deref(), launches.len())?;
    let each = launches.into_iter().zip(models.into_iter().zip(options));
    Ok(each
        .map(|(launch, (model, options))| {
            let launch = LaunchFlags {
                launch: Some(vec![launch]),
                launch_model: model.map(|it| vec![it]),
                extra_options: options.map(|it| vec![it]),
                ..flags.clone()
            };
            Settings { launch, ..settings.clone() }
        })
        .collect())
}

fn shared_out<T: Clone>(
    flag: &'static str,
    given: Option<&[T]>,
    launches: usize,
) -> Result<Vec<Option<T>>, SettingsError> {
    match given.unwrap_or_default() {
        [] => Ok(vec![None; launches]),
        [one] => Ok(vec![Some(one.clone()); launches]),
        several if several.len() == launches => Ok(several.iter().cloned().map(Some).collect()),
        _ => Err(SettingsError::Needs(
            flag,
            "one value for all launches, or one for each `--launch`",
        )),
    }
}

/// As it would have to be typed, without the values of variables that are secrets.
pub(super) fn to_flags(launch: Option<&LaunchSettings>) -> LaunchFlags {
    let Some(launch) = launch else { return LaunchFlags::default() };
    let (ready_path, ready_log) = match launch.ready.clone() {
        Some(ReadySign::Path(path)) => (Some(path), None),
        Some(ReadySign::Log(text)) => (None, Some(text)),
        None => (None, None),
    };
    let open = launch.env.iter().filter(|(name, _)| !masking::is_secret_variable(name));
    let env: Vec<String> = open.map(|(name, value)| format!("{name}={value}")).collect();
    LaunchFlags {
        launch: Some(vec![masking::command(&launch.launch)]),
        launch_model: launch.model.clone().map(|model| vec![model]),
        world_size: launch.world_size,
        extra_options: launch.extra_options.clone().map(|file| vec![file]),
        env: (!env.is_empty()).then_some(env),
        profile: launch.profile,
        log_server: launch.log_server.then_some(true),
        ready_path,
        ready_log,
        ready_timeout: Some(HumanDuration(launch.ready_timeout)),
        stop_timeout: Some(HumanDuration(launch.stop_timeout)),
        layout: None,
    }
}
