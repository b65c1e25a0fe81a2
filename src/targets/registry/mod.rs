//! Registry of target kinds: one entry each, with its name, help, how to describe a target, and abilities.
//!
//! Nothing else in the program compares the name of a kind. A new kind is one folder with a `KIND` and one line in
//! [`KINDS`].

use crate::settings::engine::EngineSettings;
use crate::settings::served::{ServedEndpoint, ServedSettings};
use crate::targets::named::Named;
use crate::targets::{
    TargetError, TargetInfo, local, null, openai, python, sim, text, triton, triton_c, trtllm,
};

/// Every kind, in the order of help texts.
pub const KINDS: &[&Kind] = &[
    &local::KIND,
    &sim::KIND,
    &trtllm::KIND,
    &openai::KIND,
    &triton::KIND,
    &triton_c::KIND,
    &python::KIND,
    &python::VLLM_KIND,
    &python::TRTLLM_TORCH_KIND,
    &text::KIND,
    &null::KIND,
    #[cfg(test)]
    &made_up::KIND,
];

/// One kind of target.
#[derive(Debug)]
pub struct Kind {
    /// What stands before the colon of a target's name.
    pub name: &'static str,
    /// How it is written and what it is, for help texts.
    pub help: &'static str,
    /// Whether something must follow the colon, or nothing may.
    pub has_argument: bool,
    /// Describes a target of this kind; nothing is loaded and no load is sent.
    pub describe: fn(&TargetName, &EngineSettings, &ServedSettings) -> Result<Named, TargetError>,
    /// What it can do.
    pub abilities: Abilities,
}

/// The name of a target, as it was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetName<'a> {
    /// All of it, e.g. `local:dummy-nano`.
    pub whole: &'a str,
    /// What follows the first colon.
    pub argument: &'a str,
}

/// What targets of one kind can do, as far as other floors must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Its answers are token ids of something in this process, so it can be served and put behind a tokenizer.
    pub in_process: bool,
    /// It is an engine, or a simulated one, in this process: a ladder starts from one.
    pub engine: bool,
    /// Latencies come from a cost model.
    pub simulated: bool,
    /// It replies at once: what is measured is the harness itself.
    pub replies_at_once: bool,
    /// It batches requests itself: the settings of a scheduler and its KV cache apply.
    pub scheduler_settings: bool,
    /// Settings of TensorRT-LLM's executor apply.
    pub executor_settings: bool,
    /// It writes a log to the standard streams of this process.
    pub writes_log: bool,
    /// The scheduler is its own: settings that change its policy are refused.
    pub own_scheduler: bool,
    /// It honours the priority of a request.
    pub priorities: bool,
    /// It tells what it answers, as ids or text, so that later prompts can repeat it.
    pub tells_answers: bool,
    /// Further parameters of a request go into `--extra-inputs`.
    pub extra_inputs: bool,
    /// It gives stamps of its own where they are wanted.
    pub engine_stamps: bool,
    /// Its server is loaded into this process.
    pub loads_triton: bool,
    /// Its arithmetic threads are the process's own and are set once, before it starts.
    pub arithmetic_threads: bool,
    /// Its engine runs on GPUs of this machine, in this process.
    pub local_gpus: bool,
    /// Several processes under `mpirun` load one target together.
    pub several_ranks: bool,
    /// Its argument is the folder of a model.
    pub model_folder: bool,
    /// Its argument is an engine directory that TensorRT-LLM has built.
    pub engine_directory: bool,
    /// Its argument is another target.
    pub wraps_target: bool,
    /// Its argument names a server.
    pub server: Option<ServerProtocol>,
    /// It lives in Python, behind an adapter: arguments of its own apply.
    pub in_python: Option<AdapterModule>,
    /// What prompts are by default.
    pub prompts: DefaultPrompts,
}

/// Where the adapter of an engine in Python is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterModule {
    /// This module.
    Fixed(&'static str),
    /// The target's argument names it.
    Named,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProtocol {
    /// HTTP, at a URL.
    Http,
    /// gRPC, at `HOST:PORT/…`.
    Grpc,
}

/// What prompts are where the user does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultPrompts {
    /// Token ids.
    Ids,
    /// Text.
    Text,
    /// Token ids at an endpoint that takes them, else text.
    ByEndpoint,
}

impl Abilities {
    /// Of a target that can do nothing in particular.
    pub const NONE: Self = Self {
        in_process: false,
        engine: false,
        simulated: false,
        replies_at_once: false,
        scheduler_settings: false,
        executor_settings: false,
        writes_log: false,
        own_scheduler: false,
        priorities: false,
        tells_answers: false,
        extra_inputs: false,
        engine_stamps: false,
        loads_triton: false,
        arithmetic_threads: false,
        local_gpus: false,
        several_ranks: false,
        model_folder: false,
        engine_directory: false,
        wraps_target: false,
        server: None,
        in_python: None,
        prompts: DefaultPrompts::Ids,
    };

    /// Whether prompts are text by default at this endpoint.
    pub fn prompts_are_text(self, endpoint: ServedEndpoint) -> bool {
        match self.prompts {
            DefaultPrompts::Ids => false,
            DefaultPrompts::Text => true,
            DefaultPrompts::ByEndpoint => endpoint != ServedEndpoint::Completions,
        }
    }
}

/// The kind called `name`.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

/// The kind of a target, from what was typed; `None` where there is no such kind.
pub fn kind_of(target: &str) -> Option<(&'static Kind, TargetName<'_>)> {
    let (kind, argument) = target.split_once(':')?;
    Some((find(kind)?, TargetName { whole: target, argument }))
}

/// What a target can do, from what was typed; nothing where there is no such kind.
pub fn abilities_of(target: &str) -> Abilities {
    kind_of(target).map_or(Abilities::NONE, |(kind, _)| kind.abilities)
}

/// The same of the target behind a tokenizer, where there is one.
pub fn engine_abilities_of(target: &str) -> Abilities {
    match kind_of(target) {
        Some((kind, name)) if kind.abilities.wraps_target => engine_abilities_of(name.argument),
        Some((kind, _)) => kind.abilities,
        None => Abilities::NONE,
    }
}

impl TargetInfo {
    /// What a target of its kind can do; nothing in particular where this version does not know the kind.
    pub fn abilities(&self) -> Abilities {
        find(&self.kind).map_or(Abilities::NONE, |kind| kind.abilities)
    }
}

/// What can be typed after `--target`.
pub fn help() -> String {
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.help).collect();
    match kinds.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The target of that name, described but not opened.
///
/// # Errors
/// When the name means nothing, or what it names cannot be used.
pub fn describe(
    target: &str,
    settings: &EngineSettings,
    served: &ServedSettings,
) -> Result<Named, TargetError> {
    let (kind, name) = named(target)?;
    (kind.describe)(&name, settings, served)
}

/// The kind of a target, and what it names of it.
///
/// # Errors
/// When the name means nothing, or says too little or too much of its kind.
pub fn named(target: &str) -> Result<(&'static Kind, TargetName<'_>), TargetError> {
    let given = target.to_owned();
    // `sim` is as near to `sim:PROFILE` as `sim:` is.
    let kind = find(target).or_else(|| kind_of(target).map(|(kind, _)| kind));
    let Some(kind) = kind else {
        return Err(TargetError::Unknown { given, remedy: format!("use {}", help()) });
    };
    let what = if kind.has_argument { "no name" } else { "a name" };
    kind_of(target)
        .filter(|(kind, name)| kind.has_argument != name.argument.is_empty())
        .ok_or(TargetError::Incomplete { given, what, usage: kind.help })
}

#[cfg(test)]
mod every_flag;
#[cfg(test)]
pub mod made_up;
