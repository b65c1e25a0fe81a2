//! `local:MODEL`: the embedded engine, real arithmetic on this machine's CPU, in this process.

use std::str::FromStr;

use bareflight_engine as engine;

use crate::clock::{MonoNs, now_ns};
use crate::load::plan::Shot;
use crate::record::event::Ending;
use crate::record::request_record::{EngineTimes, EngineUse, FinishReason};
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, FailureKind, Limits};
use crate::settings::engine::{DEFAULT_ITERATION_STATS, EngineSettings, Quantization};
use crate::settings::served::ServedSettings;
use crate::specs::{Arithmetic, ModelFigures};
use crate::targets::deployment::{Deployment, Placement};
use crate::targets::local_statistics::LocalStatistics;
use crate::targets::named::{Named, Tokens};
use crate::targets::registry::{Abilities, Kind, TargetName};
use crate::targets::{Drain, EngineStatistics, Session, Target, TargetError, TargetInfo};

/// `local:MODEL_DIR` or `local:dummy-…`.
pub const KIND: Kind = Kind {
    name: "local",
    help: "`local:dummy-nano` or `local:MODEL_DIR` (embedded CPU engine)",
    has_argument: true,
    describe,
    abilities: Abilities {
        in_process: true,
        engine: true,
        scheduler_settings: true,
        own_scheduler: true,
        priorities: true,
        arithmetic_threads: true,
        model_folder: true,
        tells_answers: true,
        ..Abilities::NONE
    },
};

fn describe(
    name: &TargetName,
    settings: &EngineSettings,
    _: &ServedSettings,
) -> Result<Named, TargetError> {
    let target = LocalTarget::new(name.argument, settings)?;
    let special_ids = target.end_ids().to_vec();
    let tokens = Tokens::OfModel(target.tokenizer_reader());
    let deployment = Some(target.deployment());
    Ok(Named::new(target, special_ids, tokens).deployed(deployment))
}

/// The embedded engine on one model.
#[derive(Debug)]
pub struct LocalTarget {
    source: engine::ModelSource,
    config: engine::EngineConfig,
    end_ids: Vec<u32>,
    info: TargetInfo,
    deployment: Deployment,
}

impl LocalTarget {
    /// Reads the model's configuration; no weights are loaded or made.
    ///
    /// # Errors
    /// When this engine cannot load the model; the message says why.
    pub fn new(model: &str, settings: &EngineSettings) -> Result<Self, TargetError> {
        let name = format!("local:{model}");
        let unusable = |error: engine::OpenError| TargetError::Unusable {
            name: name.clone(),
            reason: error.to_string(),
        };
        let source = engine::ModelSource::from_str(model).map_err(unusable)?;
        if let engine::ModelSource::Directory(folder) = &source
            && !folder.join("config.json").exists()
        {
            let reason = "there is no `config.json`: name a model directory as Hugging Face has it, or a model that needs \
                          no file, `local:dummy-nano`";
            return Err(TargetError::Unusable { name: name.clone(), reason: reason.into() });
        }
        let config = config_of(settings);
        let model = engine::inspect(&source, &config).map_err(unusable)?;
        let info = info_of(name.clone(), &model);
        let deployment = deployment_of(&model);
        Ok(Self { source, config, end_ids: model.eos_token_ids, info, deployment })
    }

    /// Fills in this engine's defaults, as far as they are the same for every model.
    pub fn fill_in_defaults(settings: &mut EngineSettings) {
        let default = engine::EngineConfig::new(now_ns);
        settings.max_batch_size.get_or_insert(default.max_batch_size as u32);
        settings.max_num_tokens.get_or_insert(default.max_num_tokens as u32);
        settings.max_queue_size.get_or_insert(default.max_queue_size as u32);
        settings.iteration_stats.get_or_insert(DEFAULT_ITERATION_STATS);
    }

    /// The tokens that end an output.
    pub fn end_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// The model on this host.
    pub fn deployment(&self) -> Deployment {
        self.deployment.clone()
    }

    /// Reads the model's tokenizer, only when called: token ids need none.
    pub fn tokenizer_reader(
        &self,
    ) -> Box<dyn FnOnce() -> Result<engine::tokenizers::Tokenizer, TargetError>> {
        let (source, name) = (self.source.clone(), self.info.name.clone());
        Box::new(move || {
            engine::load_tokenizer(&source)
                .map_err(|error| TargetError::Unusable { name, reason: error.to_string() })
        })
    }
}

fn config_of(settings: &EngineSettings) -> engine::EngineConfig {
    let default = engine::EngineConfig::new(now_ns);
    let count = |asked: Option<u32>, default: usize| asked.map_or(default, |n| n as usize);
    engine::EngineConfig {
        max_batch_size: count(settings.max_batch_size, default.max_batch_size),
        max_num_tokens: count(settings.max_num_tokens, default.max_num_tokens),
        max_queue_size: count(settings.max_queue_size, default.max_queue_size),
        kv_tokens: settings.kv_tokens.map(|n| n as usize),
        block_reuse: settings.kv_reuse,
        threads: settings.threads.map(|n| n as usize),
        quantization: match settings.quantization {
            Quantization::Q8_0 => engine::Quantization::Q8_0,
            Quantization::F32 => engine::Quantization::F32,
        },
        iteration_stats: settings.iteration_stats.unwrap_or(DEFAULT_ITERATION_STATS) as usize,
        ..default
    }
}

/// The engine keeps every matrix in one type, and keys and values as 32-bit floats.
fn deployment_of(model: &engine::ModelInfo) -> Deployment {
    let size = |count: usize| count as f64;
    let (layers, hidden) = (size(model.layers), size(model.hidden_size));
    let keys = layers * size(model.kv_heads * model.head_dim);
    let queries = layers * size(model.heads * model.head_dim);
    let feed_forward = 3.0 * layers * hidden * size(model.intermediate_size);
    let multiplied =
        2.0 * hidden * (queries + keys) + feed_forward + hidden * size(model.vocab_size);
    // A block of Q8_0: 32 values of a byte and a 16-bit scale.
    let (bytes, arithmetic) = match model.quantization {
        engine::Quantization::Q8_0 => (34.0 / 32.0, Arithmetic::Int8),
        engine::Quantization::F32 => (4.0, Arithmetic::Float32),
    };
    Deployment {
        model: ModelFigures {
            parameters: model.parameters as f64,
            active_parameters: multiplied,
            weight_bytes: multiplied * bytes,
            experts: None,
            kv_bytes_per_token: 2.0 * keys * 4.0,
            attention_width: queries,
            arithmetic,
        },
        placement: Placement::Host,
        tensor_parallel: 1,
        pipeline_parallel: 1,
    }
}

fn info_of(name: String, model: &engine::ModelInfo) -> TargetInfo {
    let dummy = model.weights == engine::Weights::Dummy;
    let weights = if dummy { ", random weights" } else { "" };
    let quantization = match model.quantization {
        engine::Quantization::Q8_0 => Quantization::Q8_0,
        engine::Quantization::F32 => Quantization::F32,
    };
    let total = model.max_total_tokens() as u32;
    TargetInfo {
        title: format!(
            "embedded CPU engine, {} {:.1} M parameters, {quantization}{weights}, {} thread{}",
            model.architecture,
            model.parameters as f64 / 1e6,
            model.threads,
            if model.threads == 1 { "" } else { "s" },
        ),
        name,
        kind: "local".into(),
        simulated: false,
        dummy_weights: dummy,
        gpus: 0,
        limits: Limits {
            max_prompt_tokens: Some(total.saturating_sub(1)),
            max_sequence_tokens: Some(total),
            vocab_size: Some(model.vocab_size as u32),
            max_batch_size: Some(model.max_batch_size as u32),
            max_queue_size: Some(model.max_queue_size as u32),
        },
        details: serde_json::to_value(model)
            .unwrap_or_else(|error| serde_json::json!({ "unreadable": error.to_string() })),
    }
}

impl Target for LocalTarget {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        let Self { source, config, info, .. } = *self;
        let engine =
            engine::Engine::open(&source, config, Box::new(EngineSink(sink))).map_err(|error| {
                TargetError::Unusable { name: info.name.clone(), reason: error.to_string() }
            })?;
        Ok(Box::new(LocalSession { engine }))
    }
}

/// The engine's deliveries become events on the engine's own thread.
struct EngineSink(Sink);

impl engine::Sink for EngineSink {
    fn deliver(&mut self, delivery: engine::Delivery<'_>) {
        let Self(sink) = self;
        let id = RequestId(delivery.id as u32);
        let at = MonoNs(delivery.at_ns);
        if !delivery.tokens.is_empty() {
            sink.output(id, at, delivery.tokens.iter().copied());
        }
        let Some(end) = delivery.end else { return };
        sink.engine_times(id, times_of(&end.stamps));
        sink.engine_use(id, use_of(&end.kv));
        match end.reason {
            engine::FinishReason::Length => {
                sink.end(id, at, Ending::Completed(FinishReason::Length));
            }
            engine::FinishReason::EndToken => {
                sink.end(id, at, Ending::Completed(FinishReason::EndToken));
            }
            engine::FinishReason::Cancelled => sink.end(id, at, Ending::Cancelled),
            engine::FinishReason::Error => {
                let message = end.error.unwrap_or("the engine gave no reason");
                sink.fail(id, at, Failure::new(FailureKind::Engine, message));
            }
        }
    }
}

fn times_of(stamps: &engine::Stamps) -> EngineTimes {
    EngineTimes {
        arrival: Some(MonoNs(stamps.arrival_ns)),
        first_scheduled: stamps.first_scheduled_ns.map(MonoNs),
        first_token: stamps.first_token_ns.map(MonoNs),
        last_token: stamps.last_token_ns.map(MonoNs),
    }
}

fn use_of(kv: &engine::KvUse) -> EngineUse {
    EngineUse {
        kv_total_blocks: kv.total_blocks as u32,
        kv_new_blocks: kv.new_blocks as u32,
        kv_reused_blocks: kv.reused_blocks as u32,
        // Without reuse there are no look-ups, and both counts stay at 0.
        kv_missed_blocks: (kv.reused_blocks + kv.missed_blocks > 0)
            .then_some(kv.missed_blocks as u32),
        draft_tokens: 0,
        accepted_draft_tokens: 0,
    }
}

struct LocalSession {
    engine: engine::Engine,
}

impl Session for LocalSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        self.engine.submit(request_of(shot)).map_err(|error| {
            let kind = match error {
                engine::SubmitError::QueueFull { .. } => FailureKind::QueueFull,
                engine::SubmitError::ShutDown => FailureKind::ShutDown,
                engine::SubmitError::Failed { .. } => FailureKind::Engine,
                _ => FailureKind::Refused,
            };
            Failure::new(kind, error.to_string())
        })
    }

    fn cancel(&mut self, id: RequestId) {
        self.engine.cancel(u64::from(id.0));
    }

    fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        Some(Box::new(LocalStatistics::new(self.engine.statistics())))
    }

    fn finish(self: Box<Self>, _by: MonoNs) -> Drain {
        self.engine.shutdown();
        Drain::Clean
    }
}

fn request_of(shot: &Shot) -> engine::Request {
    let request = &shot.request;
    let sampling = request.sampling;
    engine::Request {
        id: u64::from(shot.id.0),
        prompt: request.prompt.ids.clone(),
        max_tokens: request.output.max_tokens as usize,
        min_tokens: request.output.min_tokens as usize,
        ignore_eos: request.output.ignore_eos,
        priority: request.priority,
        sampling: match sampling.temperature {
            None => engine::Sampling::Greedy,
            Some(temperature) => engine::Sampling::TopKTopP {
                temperature,
                top_k: sampling.top_k.unwrap_or(0) as usize,
                top_p: sampling.top_p.unwrap_or(1.0),
                seed: sampling.seed,
            },
        },
    }
}
