//! `sim:PROFILE`: the simulated executor, through the same bridge as the real one.

use serde::Deserialize;

use crate::ffi::engine::{
    CapacityPolicy as WireCapacity, ChunkingPolicy as WireChunking, DecodingKind, Engine,
    EngineConfig, Sequences, describe_simulated,
};
use crate::record::sink::Sink;
use crate::request::Limits;
use crate::settings::engine::{
    CapacityPolicy, ChunkingPolicy, DEFAULT_ITERATION_STATS, Decoding, EngineSettings,
};
use crate::settings::served::ServedSettings;
use crate::specs::{Arithmetic, MachineFigures, ModelFigures, PeakFlops};
use crate::targets::deployment::{Deployment, Placement};
use crate::targets::executor::{
    Engines, NO_DRAFTS, PerRequest, Verifier, combined_limits, sequences,
};
use crate::targets::mpi_job::JobEnd;
use crate::targets::named::{Named, Tokens, engine_directory};
use crate::targets::registry::{Abilities, Kind, TargetName};
use crate::targets::{Session, Target, TargetError, TargetInfo};

/// `sim:PROFILE`.
pub const KIND: Kind = Kind {
    name: "sim",
    help: "`sim:PROFILE` (simulated executor, e.g. `sim:h200-llama3-8b-fp8`)",
    has_argument: true,
    describe,
    abilities: Abilities {
        in_process: true,
        engine: true,
        simulated: true,
        scheduler_settings: true,
        executor_settings: true,
        writes_log: true,
        engine_stamps: true,
        priorities: true,
        tells_answers: true,
        ..Abilities::NONE
    },
};

fn describe(
    name: &TargetName,
    settings: &EngineSettings,
    served: &ServedSettings,
) -> Result<Named, TargetError> {
    let directory = engine_directory(name.whole, name.argument)?;
    let target = SimTarget::new(name.argument, settings.clone())?;
    let deployment = target.deployment();
    let tokens = Tokens::named(name.whole, served, directory.as_ref());
    let named = Named::new(target, vec![SimTarget::END_ID], tokens).deployed(deployment);
    let named = match directory {
        Some(directory) => named.from_engine_directory(directory),
        None => named,
    };
    Ok(match &settings.drafting {
        Some(drafting) => named.drafted_by(engine_directory(name.whole, &drafting.engine)?),
        None => named,
    })
}

/// The simulated executor on one profile.
#[derive(Debug)]
pub struct SimTarget {
    profile: String,
    settings: EngineSettings,
    info: TargetInfo,
}

/// Description of a profile, from the C++ side.
#[derive(Debug, Deserialize)]
struct Description {
    kind: String,
    limits: DescribedLimits,
    behaviour: DescribedBehaviour,
    #[serde(default)]
    gpus: u32,
}

impl Description {
    /// Reads the description; also returns the whole JSON.
    fn read(profile: &str) -> Result<(Self, serde_json::Value), String> {
        let json = describe_simulated(profile).map_err(|error| error.to_string())?;
        let details: serde_json::Value =
            serde_json::from_str(&json).map_err(|error| error.to_string())?;
        let description = Self::deserialize(&details).map_err(|error| error.to_string())?;
        Ok((description, details))
    }

    /// Limits of such an engine.
    fn limits(&self, settings: &EngineSettings) -> Limits {
        let built = self.limits.max_batch_size;
        Limits {
            max_prompt_tokens: Some(self.limits.max_input_len),
            max_sequence_tokens: Some(self.limits.max_seq_len),
            vocab_size: Some(self.limits.vocab_size),
            max_batch_size: Some(settings.max_batch_size.map_or(built, |asked| asked.min(built))),
            max_queue_size: settings.max_queue_size,
        }
    }
}

#[derive(Debug, Deserialize)]
struct DescribedBehaviour {
    external_drafts: u32,
}

#[derive(Debug, Deserialize)]
struct DescribedLimits {
    max_batch_size: u32,
    max_input_len: u32,
    max_seq_len: u32,
    vocab_size: u32,
}

/// One figure of a profile's cost model.
#[derive(Debug, Deserialize)]
struct Figure {
    name: String,
    value: f64,
}

impl SimTarget {
    /// The token that ends an output where a profile makes it end (`eos_after`).
    pub const END_ID: u32 = 2;

    /// Parses the profile; nothing is started.
    ///
    /// # Errors
    /// When there is no such profile; the message lists the known ones.
    pub fn new(profile: &str, mut settings: EngineSettings) -> Result<Self, TargetError> {
        let name = format!("sim:{profile}");
        let unusable = |reason: String| TargetError::Unusable { name: name.clone(), reason };
        let (description, mut details) = Description::read(profile).map_err(unusable)?;
        // Iterations without a cost come by the million and explain nothing.
        let ring = if description.kind == "null" { 0 } else { DEFAULT_ITERATION_STATS };
        settings.iteration_stats.get_or_insert(ring);
        details["settings"] = settings.to_json().map_err(|error| unusable(error.to_string()))?;
        let mut limits = description.limits(&settings);
        let mut title = format!("SIMULATED executor, {} cost model `{profile}`", description.kind);
        if settings.drafting.is_none() && description.behaviour.external_drafts > 0 {
            return Err(unusable(NO_DRAFTS.into()));
        }
        if let Some(drafting) = &settings.drafting {
            let (draft, draft_details) = Description::read(&drafting.engine)
                .map_err(|message| unusable(format!("its draft engine: {message}")))?;
            let verifier = Verifier {
                limits,
                most_drafts: description.behaviour.external_drafts,
                remedy: "give the profile `external_drafts=N`",
            };
            let of_draft = draft.limits(&settings.of_draft(drafting));
            limits = combined_limits(drafting, &verifier, &of_draft).map_err(unusable)?;
            title += &drafting.description();
            details["draft"] = draft_details;
        }
        let info = TargetInfo {
            title,
            name: name.clone(),
            kind: "sim".into(),
            simulated: true,
            dummy_weights: false,
            gpus: description.gpus,
            limits,
            details,
        };
        Ok(Self { profile: profile.to_owned(), settings, info })
    }

    /// The model and the GPUs that the profile stands for, where it stands for some: what its own cost model rests on.
    pub fn deployment(&self) -> Option<Deployment> {
        let figures = Vec::<Figure>::deserialize(self.info.details.get("figures")?).ok()?;
        let figure = |name: &str| figures.iter().find(|it| it.name == name).map(|it| it.value);
        let parameters = figure("model_parameters")?;
        let weight_bytes = figure("weight_bytes")?;
        // The profile names no arithmetic; weights of one byte are multiplied in eight bits.
        let arithmetic =
            if weight_bytes > parameters { Arithmetic::Float16 } else { Arithmetic::Float8 };
        let model = ModelFigures {
            parameters,
            active_parameters: parameters,
            weight_bytes,
            experts: None,
            kv_bytes_per_token: figure("kv_bytes_per_token")?,
            attention_width: figure("model_layers")? * figure("model_hidden_size")?,
            arithmetic,
        };
        let machine = MachineFigures {
            name: "the profile's GPU".to_owned(),
            bandwidth_bytes_per_s: figure("gpu_bandwidth")?,
            peak: PeakFlops::only(arithmetic, figure("gpu_flops")?),
            source: "figures of the simulated profile".to_owned(),
        };
        Some(Deployment {
            model,
            placement: Placement::Gpus(Some(machine)),
            tensor_parallel: figure("tensor_parallel")? as u32,
            pipeline_parallel: 1,
        })
    }
}

/// Converts settings for the bridge; 0 leaves a value to the engine.
#[doc(hidden)] // The benchmark opens the executor by hand with the same settings.
pub fn wire_config(model: &str, settings: &EngineSettings) -> EngineConfig {
    let count = |value: Option<u32>| value.map_or(0, |n| n as i32);
    EngineConfig {
        model: model.to_owned(),
        max_batch_size: count(settings.max_batch_size),
        max_num_tokens: count(settings.max_num_tokens),
        max_queue_size: count(settings.max_queue_size),
        max_beam_width: settings.max_beam_width as i32,
        capacity_policy: match settings.capacity_policy {
            CapacityPolicy::GuaranteedNoEvict => WireCapacity::GuaranteedNoEvict,
            CapacityPolicy::MaxUtilization => WireCapacity::MaxUtilization,
        },
        chunking_policy: match settings.chunking_policy {
            ChunkingPolicy::FirstComeFirstServed => WireChunking::FirstComeFirstServed,
            ChunkingPolicy::EqualProgress => WireChunking::EqualProgress,
        },
        enable_chunked_context: settings.chunked_context,
        kv_block_reuse: settings.kv_reuse,
        kv_partial_reuse: settings.kv_reuse && settings.kv_partial_reuse,
        kv_max_tokens: count(settings.kv_tokens),
        kv_free_gpu_fraction: settings.kv_fraction.unwrap_or(0.0),
        kv_host_cache_bytes: settings.kv_host_cache_bytes.unwrap_or(0),
        kv_attention_windows: settings.attention_windows.iter().map(|n| *n as i32).collect(),
        kv_sink_tokens: count(settings.sink_tokens),
        kv_event_buffer: u64::from(settings.kv_events.unwrap_or(0)),
        iteration_stats_ring: settings.iteration_stats.unwrap_or(DEFAULT_ITERATION_STATS) as i32,
        cuda_graphs: settings.cuda_graphs,
        cuda_graph_cache_size: count(settings.cuda_graph_cache),
        multi_block_mode: settings.multi_block,
        gpu_weights_fraction: settings.weights_percent / 100.0,
        device_ids: settings.device_ids.iter().map(|id| *id as i32).collect(),
        decoding: settings.decoding.map_or(DecodingKind::Unset, decoding_kind),
        lookahead_window: count(settings.lookahead.map(|sizes| sizes.window)),
        lookahead_ngram: count(settings.lookahead.map(|sizes| sizes.ngram)),
        lookahead_verification: count(settings.lookahead.map(|sizes| sizes.verification)),
        draft_choices: settings.draft_choices.as_ref().map_or_else(Sequences::default, sequences),
        lora_host_cache_bytes: settings.lora_host_cache_bytes.unwrap_or(0),
        lora_device_cache_fraction: settings.lora_fraction.unwrap_or(0.0),
        lora_max_rank: count(settings.lora_max_rank),
        lora_prefetch_dir: settings
            .lora_dir
            .as_ref()
            .map_or_else(String::new, |folder| folder.display().to_string()),
        orchestrator_worker: settings
            .worker
            .as_ref()
            .map_or_else(String::new, |worker| worker.display().to_string()),
    }
}

fn decoding_kind(decoding: Decoding) -> DecodingKind {
    match decoding {
        Decoding::Auto => DecodingKind::Auto,
        Decoding::TopK => DecodingKind::TopK,
        Decoding::TopP => DecodingKind::TopP,
        Decoding::TopKTopP => DecodingKind::TopKTopP,
        Decoding::Beam => DecodingKind::BeamSearch,
        Decoding::Medusa => DecodingKind::Medusa,
        Decoding::Lookahead => DecodingKind::Lookahead,
        Decoding::Eagle => DecodingKind::Eagle,
    }
}

impl Target for SimTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let unusable =
            |reason: String| TargetError::Unusable { name: self.info.name.clone(), reason };
        let open = |model: &str, settings: &EngineSettings| {
            Engine::open_simulated(&wire_config(model, settings)).map_err(|error| error.to_string())
        };
        let engines = Engines::open(&self.profile, &self.settings, open).map_err(unusable)?;
        let per_request =
            PerRequest { perf_metrics: self.settings.perf_metrics, end_id: Self::END_ID as i32 };
        engines.drive(&self.settings, per_request, JobEnd::default(), sink).map_err(unusable)
    }
}
