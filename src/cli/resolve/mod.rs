//! Resolution of typed settings: defaults filled in, contradictions refused, nothing opened.

mod conversation;
mod echo;
mod endings;
mod error;
mod executor;
mod launch;
mod loads;
mod stages;
mod tasks;
mod terms;
mod workload;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::engine_threads::is_embedded;
pub use crate::cli::resolve::error::SettingsError;
pub use crate::cli::resolve::launch::split as split_launches;
use crate::cli::typed::{PromptFormat, Settings};
use crate::clock::Nanos;
use crate::experiment::launch::preset;
use crate::load::Load;
use crate::settings::declared::{Declared, KeyValue, ServerFacts};
use crate::settings::engine::EngineSettings;
use crate::settings::load_rules::RequestCount;
use crate::settings::otlp_address::OtlpAddress;
use crate::settings::seed_choice::SeedChoice;
use crate::settings::served::{BodyField, SameInAll, ServedSettings};
use crate::settings::slo::Slos;
use crate::settings::{DEFAULT_DRAIN, DEFAULT_SEED, DEFAULT_TARGET, DEFAULT_TIMEOUT, Resolved};
use crate::specs::MachineFigures;
use crate::targets::local::LocalTarget;
use crate::targets::registry;
use crate::warning::Code;
use crate::workload::{OutputPolicy, PromptKind, SamplingPolicy, Workload};

/// Fills in defaults and refuses contradictions.
///
/// # Errors
/// One sentence that names the setting and the remedy.
pub fn resolve(typed: &Settings) -> Result<Resolved, SettingsError> {
    let Some(launch) = launch::launch(typed)? else { return resolve_all(typed) };
    // Its placeholders are filled in when the server has ports.
    let target = Some(preset::plan(&launch, typed.tokenizer.as_deref())?.target);
    let resolved = resolve_all(&Settings { target, ..typed.clone() })?;
    Ok(Resolved { launch: Some(launch), ..resolved })
}

fn resolve_all(typed: &Settings) -> Result<Resolved, SettingsError> {
    let followed = workload::follow_configurations(typed)?;
    let typed = followed.as_ref().unwrap_or(typed);
    refuse_zeros(typed)?;
    if typed.quiet == Some(true) && typed.ui.is_some() {
        return Err(SettingsError::Apart("--quiet", "`--ui`", "nothing is shown then"));
    }
    if typed.model.as_deref().is_some_and(|name| name.trim().is_empty()) {
        return Err(SettingsError::EmptyName("--model"));
    }
    let slos: Slos = typed.slo.as_deref().unwrap_or_default().parse()?;
    let target = typed.target.clone().unwrap_or_else(|| DEFAULT_TARGET.into());
    let mut engine = engine_settings(typed)?;
    if is_embedded(&target) {
        LocalTarget::fill_in_defaults(&mut engine);
    }
    let asked = workload::asked(typed)?;
    let mut resolved = Resolved {
        target,
        engine,
        gpu: gpu(typed)?,
        gpu_hour_price: gpu_hour_price(typed)?,
        memory_bandwidth_gbps: memory_bandwidth(typed)?,
        served: served_settings(typed),
        launch: None,
        workload: workload(typed, &asked)?,
        scenarios: asked.scenarios,
        cells: typed.cells.unwrap_or(false),
        loads: loads::loads(typed)?,
        batch_sizes: typed.workload.batch_size.clone().unwrap_or_default(),
        requests: typed.fixed_requests(),
        requests_per_slot: typed.requests.and_then(RequestCount::per_slot),
        duration: typed.duration.map(|span| span.0),
        warmup: typed.warmup,
        warmup_until: endings::warmup_until(typed)?,
        ramp: typed.ramp.map(|span| span.0),
        spawn_rate: spawn_rate(typed)?,
        stages: stages::stages(typed)?,
        repeat: typed.repeat.unwrap_or(1),
        windows: endings::windows(typed)?,
        stop_when_saturated: endings::stop_when_saturated(typed)?,
        cool_down: typed.cool_down.map(|span| span.0),
        between: typed.between.clone(),
        window: typed.window.unwrap_or_default(),
        timeout: typed.timeout.map_or(DEFAULT_TIMEOUT, |span| span.0),
        drain: typed.drain.map_or(DEFAULT_DRAIN, |span| span.0),
        slos,
        gpu_telemetry: typed.gpu_telemetry.clone().unwrap_or_default(),
        nvml_library: typed.nvml_library.clone(),
        profile_window: typed.profile_window,
        nvtx: typed.nvtx.unwrap_or(false),
        cuda_library: typed.cuda_library.clone(),
        workers: typed.workers,
        out: typed.out.clone().unwrap_or_else(|| PathBuf::from("runs")),
        keep_deliveries: !typed.no_deliveries.unwrap_or(false),
        export: typed.export.clone().unwrap_or_default(),
        plots: typed.plots.clone().unwrap_or_default(),
        prometheus: typed.prometheus,
        otlp: otlp(typed)?,
        upload: typed.upload.clone(),
        declared: declared(typed)?,
        time_unit: typed.time_unit.unwrap_or_default(),
        deny: denied(typed)?,
        allow: typed.allow.clone().unwrap_or_default(),
        ui: typed.ui.unwrap_or_default(),
        quiet: typed.quiet.unwrap_or(false),
        slo_text: typed.slo.clone(),
    };
    conversation::settle(typed, &mut resolved)?;
    resolved.fill_in_sizes();
    fill_in_client_threads(&mut resolved);
    Ok(resolved)
}

/// Requests in flight that one client thread serves: at a token each 10 ms about a third of a core (docs/CLIENT.md).
const IN_FLIGHT_PER_CLIENT_THREAD: u32 = 512;

/// The threads of a server's client, where nothing was typed.
fn fill_in_client_threads(resolved: &mut Resolved) {
    if registry::abilities_of(&resolved.target).server.is_none() {
        return;
    }
    let in_flight = resolved.loads.iter().map(|load| match *load {
        Load::Closed { concurrency } => concurrency,
        Load::Open { max_in_flight: Some(cap), .. } => cap,
        // Those of a second.
        Load::Open { rate, .. } => rate.ceil() as u32,
        Load::Batch => resolved.requests.unwrap_or(1),
    });
    let wanted = in_flight.max().unwrap_or(1).div_ceil(IN_FLIGHT_PER_CLIENT_THREAD);
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let threads = wanted.clamp(1, (cores / 2).max(1));
    resolved.served.client_threads.get_or_insert(threads as u16);
}

fn refuse_zeros(typed: &Settings) -> Result<(), SettingsError> {
    let zero = |value: Option<u32>| value == Some(0);
    if zero(typed.fixed_requests()) {
        return Err(SettingsError::Zero("--requests", "a run of no request measures nothing"));
    }
    if typed.duration.is_some_and(|span| span.0 == Nanos::ZERO) {
        return Err(SettingsError::Zero("--duration", "give for example `60s`"));
    }
    if typed.timeout.is_some_and(|span| span.0 == Nanos::ZERO) {
        return Err(SettingsError::Zero("--timeout", "every request would time out at once"));
    }
    for (name, span) in [
        ("--connect-timeout", typed.connect_timeout),
        ("--first-token-timeout", typed.first_token_timeout),
        ("--idle-timeout", typed.idle_timeout),
    ] {
        if span.is_some_and(|span| span.0 == Nanos::ZERO) {
            return Err(SettingsError::Zero(name, "every request would fail at once"));
        }
    }
    refuse_omitted(typed)?;
    for (name, value) in [
        ("--repeat", typed.repeat),
        ("--workers", typed.workers),
        ("--num-prompts", typed.workload.num_prompts),
        ("--max-in-flight", typed.max_in_flight),
        ("--max-batch-size", typed.max_batch_size),
        ("--max-num-tokens", typed.max_num_tokens),
        ("--max-queue-size", typed.max_queue_size),
        ("--kv-tokens", typed.kv_tokens),
        ("--threads", typed.threads),
        ("--client-threads", typed.client_threads.map(u32::from)),
        ("--triton-streams", typed.triton_streams.map(u32::from)),
        ("--triton-connections", typed.triton_connections.map(u32::from)),
    ] {
        if zero(value) {
            return Err(SettingsError::Zero(name, "give at least 1, or leave it out"));
        }
    }
    Ok(())
}

/// What is typed and left out at once.
fn refuse_omitted(typed: &Settings) -> Result<(), SettingsError> {
    let omitted = |field| typed.omit.iter().flatten().any(|it| *it == field);
    let streams = "its name is then sent to nobody";
    for (flag, given, field, reason) in [
        ("--temperature", typed.temperature.is_some(), BodyField::Temperature, "it is asked for"),
        ("--top-p", typed.top_p.is_some(), BodyField::TopP, "it is asked for"),
        ("--top-k", typed.top_k.is_some(), BodyField::TopK, "it is asked for"),
        (
            "--min-tokens",
            typed.min_tokens.is_some_and(|tokens| tokens > 0),
            BodyField::MinTokens,
            "it is asked for",
        ),
        ("--model", typed.model.is_some(), BodyField::Model, streams),
    ] {
        if given && omitted(field) {
            return Err(SettingsError::Apart(flag, "the same field in `--omit`", reason));
        }
    }
    Ok(())
}

fn workload(typed: &Settings, asked: &workload::Asked) -> Result<Workload, SettingsError> {
    let workload::Asked { scenarios, file, mixture } = asked;
    Ok(Workload {
        scenario: scenarios[0],
        file: file.clone(),
        mixture: mixture.clone(),
        distinct_prompts: typed.workload.num_prompts,
        documents: tasks::documents(typed)?,
        images: tasks::images(typed)?,
        prompts: prompt_kind(typed),
        prefix_tokens: typed.prefix_tokens.unwrap_or(0),
        prefix_groups: workload::prefix_groups(typed)?,
        output: OutputPolicy {
            ignore_eos: !typed.stop_at_eos.unwrap_or(false),
            min_tokens: typed.min_tokens.unwrap_or(0),
        },
        sampling: sampling(typed),
        streaming: !typed.no_streaming.unwrap_or(false),
        terms: terms::terms(&typed.request)?,
        stop_texts: terms::stop_texts(&typed.request)?,
        adapters: typed.request.lora.clone(),
        priorities: typed.request.priority.clone(),
        seed: typed.seed.map_or(DEFAULT_SEED, SeedChoice::number),
    })
}

fn sampling(typed: &Settings) -> SamplingPolicy {
    let Settings { temperature, top_p, top_k, .. } = typed;
    SamplingPolicy { temperature: *temperature, top_p: *top_p, top_k: *top_k }
}

fn engine_settings(typed: &Settings) -> Result<EngineSettings, SettingsError> {
    let default = executor::executor_settings(&typed.engine, &typed.request)?;
    if default.kv_events.is_some() && !typed.kv_reuse.unwrap_or(default.kv_reuse) {
        let needed = "`--kv-reuse`, without which an executor tells nothing of its blocks";
        return Err(SettingsError::Needs("--kv-events", needed));
    }
    if default.drafting.is_some() && !typed.kv_reuse.unwrap_or(default.kv_reuse) {
        let needed = "`--kv-reuse` (an executor does not load an engine that verifies drafts otherwise; both engines are to \
                      be built with `--use_paged_context_fmha enable`)";
        return Err(SettingsError::Needs("--draft-engine", needed));
    }
    Ok(EngineSettings {
        max_batch_size: typed.max_batch_size,
        max_num_tokens: typed.max_num_tokens,
        max_queue_size: typed.max_queue_size,
        capacity_policy: typed.capacity_policy.unwrap_or(default.capacity_policy),
        chunking_policy: typed.chunking_policy.unwrap_or(default.chunking_policy),
        chunked_context: !typed.no_chunked_context.unwrap_or(false),
        kv_reuse: typed.kv_reuse.unwrap_or(default.kv_reuse),
        kv_tokens: typed.kv_tokens,
        perf_metrics: !typed.no_engine_stamps.unwrap_or(false),
        worker: typed.worker.clone(),
        threads: typed.threads,
        quantization: typed.quantization.unwrap_or(default.quantization),
        ..default
    })
}

/// Slots that a closed loop starts each second.
fn spawn_rate(typed: &Settings) -> Result<Option<f64>, SettingsError> {
    let Some(given) = typed.spawn_rate else { return Ok(None) };
    if !(given > 0.0 && given.is_finite()) {
        let range = "slots per second above 0";
        return Err(SettingsError::Range { flag: "--spawn-rate", given: given.to_string(), range });
    }
    if typed.ramp.is_some() {
        let why = "both say how fast slots start";
        return Err(SettingsError::Apart("--spawn-rate", "`--ramp`", why));
    }
    if typed.rate.is_some() || typed.batch == Some(true) {
        let needed = "a closed loop, whose slots it starts (`--concurrency`)";
        return Err(SettingsError::Needs("--spawn-rate", needed));
    }
    Ok(Some(given))
}

/// The collector that metrics go to.
fn otlp(typed: &Settings) -> Result<Option<OtlpAddress>, SettingsError> {
    let Some(choice) = &typed.otlp else { return Ok(None) };
    match choice.resolve(|name| std::env::var(name).ok())? {
        Some(address) => Ok(Some(address)),
        None => Err(SettingsError::Needs(
            "--otlp",
            "the address of a collector: `--otlp http://HOST:4318`, or `OTEL_EXPORTER_OTLP_ENDPOINT` in the environment",
        )),
    }
}

/// What is said of server and run.
fn declared(typed: &Settings) -> Result<Declared, SettingsError> {
    if typed.server_gpu_count == Some(0) {
        return Err(SettingsError::Zero("--server-gpu-count", "leave it out for a server without"));
    }
    let mut notes = BTreeMap::new();
    for KeyValue { key, value } in typed.note.iter().flatten() {
        if notes.insert(key.clone(), value.clone()).is_some() {
            return Err(SettingsError::NoteTwice(key.clone()));
        }
    }
    let server = ServerFacts {
        engine: typed.server_engine.clone(),
        version: typed.server_version.clone(),
        gpu_type: typed.server_gpu_type.clone(),
        gpu_count: typed.server_gpu_count,
    };
    Ok(Declared { server, notes })
}

/// Codes that must not come up. A code is denied or allowed, and not both.
fn denied(typed: &Settings) -> Result<Vec<Code>, SettingsError> {
    let (deny, allow) = (typed.deny.as_deref(), typed.allow.as_deref().unwrap_or_default());
    let denied = deny.unwrap_or_default();
    match denied.iter().find(|code| allow.contains(code)) {
        Some(code) => Err(SettingsError::DeniedAndAllowed(*code)),
        None => Ok(denied.to_vec()),
    }
}

fn gpu_hour_price(typed: &Settings) -> Result<Option<f64>, SettingsError> {
    match typed.gpu_hour_price {
        Some(given) if !(given > 0.0 && given.is_finite()) => {
            let range = "a price above 0, in any currency";
            Err(SettingsError::Range { flag: "--gpu-hour-price", given: given.to_string(), range })
        }
        given => Ok(given),
    }
}

fn gpu(typed: &Settings) -> Result<Option<MachineFigures>, SettingsError> {
    let known = |name: &String| {
        MachineFigures::gpu(name)
            .ok_or_else(|| SettingsError::UnknownGpu(name.clone(), MachineFigures::gpu_names()))
    };
    typed.gpu.as_ref().map(known).transpose()
}

fn memory_bandwidth(typed: &Settings) -> Result<Option<f64>, SettingsError> {
    match typed.memory_bandwidth_gbps {
        Some(given) if !(given > 0.0 && given.is_finite()) => Err(SettingsError::Bandwidth(given)),
        given => Ok(given),
    }
}

fn served_settings(typed: &Settings) -> ServedSettings {
    ServedSettings {
        model: typed.model.clone(),
        endpoint: tasks::endpoint(typed),
        api_key_env: typed.api_key_env.clone(),
        api_key_file: typed.api_key_file.clone(),
        headers: typed.header.clone().unwrap_or_default(),
        extra_inputs: typed.extra_inputs.clone(),
        tokenizer: typed.tokenizer.clone(),
        fresh_connections: typed.fresh_connections.unwrap_or(false),
        http2: typed.http2.unwrap_or(false),
        ca_file: typed.ca_file.clone(),
        insecure: typed.insecure.unwrap_or(false),
        triton_library: typed.triton_library.clone(),
        triton_backends: typed.triton_backends.clone(),
        output_token_field: typed.output_token_field.unwrap_or_default(),
        omit: typed.omit.clone().unwrap_or_default(),
        vocab_size: typed.vocab_size,
        no_proxy: typed.no_proxy.unwrap_or(false),
        server_metrics: typed.server_metrics.clone().unwrap_or_default(),
        connect_timeout: typed.connect_timeout.map(|span| span.0),
        first_token_timeout: typed.first_token_timeout.map(|span| span.0),
        idle_timeout: typed.idle_timeout.map(|span| span.0),
        client_threads: typed.client_threads,
        triton_streams: typed.triton_streams,
        triton_connections: typed.triton_connections,
        ids_by_default: typed.prompts.is_none() && prompts_are_ids_of_a_server(typed),
        prompts: Some(prompt_kind(typed)),
        ignore_eos: !typed.stop_at_eos.unwrap_or(false),
        same_in_all: SameInAll {
            streaming: !typed.no_streaming.unwrap_or(false),
            sampling: sampling(typed),
            min_tokens: typed.min_tokens.unwrap_or(0),
        },
    }
}

/// Whether ids are drawn for a target that does not know its vocabulary of itself.
fn prompts_are_ids_of_a_server(typed: &Settings) -> bool {
    let can = registry::abilities_of(typed.target.as_deref().unwrap_or(DEFAULT_TARGET));
    (can.server.is_some() || can.loads_triton) && prompt_kind(typed) == PromptKind::Ids
}

/// A chat server takes text and nothing else, and so does a target behind its tokenizer; everything else takes ids.
fn prompt_kind(typed: &Settings) -> PromptKind {
    let target = typed.target.as_deref().unwrap_or(DEFAULT_TARGET);
    let takes_text = registry::abilities_of(target).prompts_are_text(tasks::endpoint(typed));
    match typed.prompts {
        Some(PromptFormat::Text) => PromptKind::Text,
        Some(PromptFormat::Ids) => PromptKind::Ids,
        None if takes_text => PromptKind::Text,
        None => PromptKind::Ids,
    }
}

#[cfg(test)]
mod tests;
