//! `bareflight serve`: an in-process engine behind OpenAI and KServe endpoints.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Context, anyhow};
use clap::{ArgMatches, Args, Command};
use serde_json::json;

use crate::cli::configuration::resolve_run;
use crate::cli::engine_log::{self, Destination};
use crate::cli::engine_threads;
use crate::cli::exit::{Coded, Exit};
use crate::cli::origin::{Origin, Origins};
use crate::cli::typed::{EXECUTOR_HEADING, RunArgs};
use crate::clock::Nanos;
use crate::console;
use crate::console::streams;
use crate::engine_directory::EngineDirectory;
use crate::experiment::served_child;
use crate::issue::stop::Stop;
use crate::network::secret::ApiKey;
use crate::report::{marks_of, table};
use crate::serve::chat::ChatTemplate;
use crate::serve::dispatch::ServeOutcome;
use crate::serve::{ReadyServer, ServeError, ServeOptions, check_kind};
use crate::settings::Resolved;
use crate::settings::human_duration::HumanDuration;
use crate::targets::named::Named;
use crate::targets::{Drain, TargetError, abilities, registry};

/// The subcommand's name.
pub const NAME: &str = "serve";
/// Settings of a run that mean something here, beside those of the engine.
const SHARED: [&str; 5] = ["config", "target", "api_key_env", "api_key_file", "tokenizer"];
/// Instead of a file: messages are put together without a template.
const PLAIN: &str = "plain";
const ENGINE_HEADING: &str = "Engine in this process";
const DEFAULT_GRACE: Nanos = Nanos::from_millis(10_000);

/// How to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on; anything but loopback lets others in
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", help_heading = "Serving")]
    pub host: String,
    /// Port for OpenAI's protocol; 0 for any
    #[arg(long, value_name = "PORT", default_value_t = 8000, help_heading = "Serving")]
    pub port: u16,
    /// Port for Triton's protocol (KServe v2 over gRPC); 0 for any
    #[arg(long, value_name = "PORT", default_value_t = 8001, help_heading = "Serving")]
    pub grpc_port: u16,
    /// The model's name over OpenAI's protocol (default: the target's)
    #[arg(long, value_name = "NAME", help_heading = "Serving")]
    pub model_name: Option<String>,
    /// Jinja file that makes a chat's messages one prompt, or `plain` to join them by line breaks (default: the template
    /// beside the tokenizer, else plain)
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub chat_template: Option<PathBuf>,
    /// Folder to write `tokenizer.json` and `tokenizer_config.json` of the served tokenizer to, for clients that load one
    #[arg(long, value_name = "DIR", help_heading = "Serving")]
    pub write_tokenizer: Option<PathBuf>,
    /// Requests that may wait beside those in the batch; more get 429 (default: the engine's queue, else 1024)
    #[arg(long, value_name = "N", help_heading = "Serving")]
    pub max_queue: Option<u32>,
    /// After SIGTERM or Ctrl-C, how long running requests may go on (default: 10s)
    #[arg(long, value_name = "SPAN", help_heading = "Serving")]
    pub grace: Option<HumanDuration>,
    /// File to write the line to that says where it listens, for a parent process; may be `/dev/fd/N` (default: standard
    /// output)
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub ready_file: Option<PathBuf>,
    /// File for the engine's own log (default: standard error)
    #[arg(long, value_name = "FILE", help_heading = "Serving")]
    pub engine_log_file: Option<PathBuf>,
    /// Engine settings, as for a run.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Hides flags that have no effect on a server.
#[must_use]
pub fn hide_run_flags(program: Command) -> Command {
    program.mut_subcommand(NAME, |serve| {
        serve.mut_args(|flag| {
            let is_foreign = flag.get_help_heading().is_some_and(|heading| {
                heading != ENGINE_HEADING
                    && heading != EXECUTOR_HEADING
                    && heading != "Serving"
                    && !SHARED.contains(&flag.get_id().as_str())
            });
            flag.hide(is_foreign)
        })
    })
}

/// Refuses typed flags that have no effect on a server.
fn refuse_run_flags(program: &Command, origins: &Origins) -> Coded<()> {
    let serve = program.find_subcommand(NAME);
    let is_hidden = |name: &str| {
        serve.is_some_and(|serve| {
            serve.get_arguments().any(|flag| flag.get_id() == name && flag.is_hide_set())
        })
    };
    let typed = origins.iter().filter(|(_, origin)| **origin == Origin::Flag);
    // A key of a table is `table.flag`.
    let mut names = typed.map(|(name, _)| name.rsplit('.').next().unwrap_or(name));
    match names.find(|name| is_hidden(name)) {
        None => Ok(()),
        Some(name) => {
            let flag = name.replace('_', "-");
            let error =
                anyhow!("`--{flag}` is about a run and means nothing to a server: leave it out");
            Err((Exit::Usage, error))
        }
    }
}

/// Serves until a signal asks it to stop.
///
/// # Errors
/// What stood in the way, with the exit code that it deserves.
pub fn serve(arguments: &ServeArgs, program: &Command, matches: &ArgMatches) -> Coded<Exit> {
    served_child::end_with_parent().map_err(|error| (Exit::Failure, error.into()))?;
    let (mut resolved, origins) = resolve_run(&arguments.run, matches)?;
    refuse_run_flags(program, &origins)?;
    check_kind(&resolved.target).map_err(usage)?;
    engine_threads::ensure(slice::from_mut(&mut resolved))?;
    let log = match &arguments.engine_log_file {
        Some(file) => Destination::File(file),
        None => Destination::StandardError,
    };
    engine_log::set_up(slice::from_mut(&mut resolved), log)?;
    let announcement = announcement(arguments.ready_file.as_deref())?;
    let mut engine = resolved.engine.clone();
    // Statistics and events have no reader here.
    engine.iteration_stats = Some(0);
    engine.kv_events = None;
    let mut named = registry::describe(&resolved.target, &engine, &resolved.served)
        .and_then(|named| {
            abilities::check(named.target.describe(), &engine, &resolved.workload)?;
            Ok(named)
        })
        .map_err(|error| (target_exit(&error), anyhow::Error::new(error)))?;
    let options = options(arguments, &resolved, &mut named)?;
    let stop = Stop::on_signals()
        .context("Ctrl-C cannot be handled")
        .map_err(|error| (Exit::Failure, error))?;
    warn_if_open(&options);
    let target = named.target.describe();
    let marks = table::marks(marks_of(target));
    let serving = format!("serving {} ({}){marks}", target.name, target.title);
    let ready = |ready: &ReadyServer| {
        console::print_notice(format_args!("{serving}"));
        announce(ready, announcement);
    };
    let served = crate::serve::serve(named, options, stop, ready).map_err(|error| {
        let exit = match &error {
            ServeError::Target(error) => target_exit(error),
            ServeError::NotInProcess(_) => Exit::Usage,
            ServeError::Port { .. }
            | ServeError::Host { .. }
            | ServeError::NoVocabulary(_)
            | ServeError::Tokenizer(_)
            | ServeError::Runtime(_) => Exit::Preflight,
        };
        (exit, anyhow::Error::new(error))
    })?;
    match served {
        ServeOutcome::Stopped(Drain::Clean) => Ok(Exit::Ok),
        ServeOutcome::Stopped(Drain::Forced(words)) | ServeOutcome::EngineBroke(words) => {
            Err((Exit::Failure, anyhow!("the engine did not end well: {words}")))
        }
    }
}

fn target_exit(error: &TargetError) -> Exit {
    match error {
        TargetError::Unknown { .. }
        | TargetError::Incomplete { .. }
        | TargetError::Elsewhere { .. } => Exit::Usage,
        TargetError::Unusable { .. }
        | TargetError::Impossible { .. }
        | TargetError::Refused { .. }
        | TargetError::Adapter { .. } => Exit::Preflight,
    }
}

fn usage(error: impl Into<anyhow::Error>) -> (Exit, anyhow::Error) {
    (Exit::Usage, error.into())
}

fn options(arguments: &ServeArgs, resolved: &Resolved, named: &mut Named) -> Coded<ServeOptions> {
    let served = &resolved.served;
    let api_key = match (&served.api_key_env, &served.api_key_file) {
        (Some(variable), _) => Some(ApiKey::from_variable(variable)),
        (None, Some(path)) => Some(ApiKey::from_file(path)),
        (None, None) => None,
    };
    Ok(ServeOptions {
        host: arguments.host.clone(),
        port: arguments.port,
        grpc_port: arguments.grpc_port,
        model: arguments.model_name.clone(),
        tokenizer: named
            .tokenizer_to_serve_with(served)
            .map_err(|error| (target_exit(&error), error.into()))?,
        template: template(arguments, resolved, named.engine_directory())?,
        api_key: api_key.transpose().map_err(usage)?,
        write_tokenizer: arguments.write_tokenizer.clone(),
        max_queue: arguments.max_queue,
        grace: arguments.grace.map_or(DEFAULT_GRACE, |span| span.0),
    })
}

/// The folder of the model that a target is named after, where it is named after one.
fn model_folder(target: &str) -> Option<PathBuf> {
    let (kind, name) = registry::kind_of(target)?;
    let (folder, _options) = match kind.abilities.in_python {
        Some(_) => name.argument.split_once(',').unwrap_or((name.argument, "")),
        None => (name.argument, ""),
    };
    kind.abilities.model_folder.then(|| PathBuf::from(folder))
}

/// The given template, or else the one beside the tokenizer.
fn template(
    arguments: &ServeArgs,
    resolved: &Resolved,
    engine: Option<&EngineDirectory>,
) -> Coded<ChatTemplate> {
    let beside = || {
        let local = || model_folder(&resolved.target);
        let built = || engine.and_then(|directory| directory.files.tokenizer.clone());
        let tokenizer = resolved.served.tokenizer.clone().or_else(local).or_else(built)?;
        let folder = if tokenizer.is_file() { tokenizer.parent()?.to_owned() } else { tokenizer };
        folder.is_dir().then_some(folder)
    };
    let read = match &arguments.chat_template {
        Some(said) if said.as_os_str() == PLAIN => Ok(ChatTemplate::Plain),
        Some(file) => ChatTemplate::of_file(file, beside().as_deref()),
        None => beside().map_or(Ok(ChatTemplate::Plain), |folder| ChatTemplate::of_folder(&folder)),
    };
    read.map_err(usage)
}

fn warn_if_open(options: &ServeOptions) {
    let is_loopback = options.host == "localhost"
        || options.host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if !is_loopback {
        let key = if options.api_key.is_some() {
            "the API key goes over the wire unencrypted"
        } else {
            "and without an API key (`--api-key-file`) anyone there may ask"
        };
        console::print_notice(format_args!(
            "warning: `--host {}` can be reached from other machines, {key}",
            options.host
        ));
    }
}

/// Where the parent process looks for the line.
fn announcement(file: Option<&Path>) -> Coded<Box<dyn Write>> {
    let Some(path) = file else { return Ok(streams::results()) };
    let file = File::create(path)
        .with_context(|| format!("`--ready-file {}` cannot be written", path.display()))
        .map_err(usage)?;
    Ok(Box::new(file))
}

/// One line of JSON for the parent process.
fn announce(ready: &ReadyServer, mut to: Box<dyn Write>) {
    let line = json!({
        "ready": true,
        "openai": format!("http://{}", ready.openai),
        "grpc": ready.grpc.to_string(),
        "model": ready.model,
        "pid": std::process::id(),
    });
    // A parent that does not read it does not need it.
    let _unread = to.write_all(format!("{line}\n").as_bytes()).and_then(|()| to.flush());
}
