//! Parameters and bytes per step of an engine, computed from its shape.

use crate::engine_directory::EngineDirectory;
use crate::engine_directory::config::{DataType, EngineConfig, Layout, Model};
use crate::specs::{Arithmetic, ExpertFigures, ModelFigures};

/// Decoders whose layers are attention and a gated feed-forward network of three matrices, and nothing else of weight.
const GATED_DECODERS: [&str; 8] = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "QWenForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen2MoeForCausalLM",
    "GemmaForCausalLM",
];
/// Four bits, and one byte of scale for sixteen values.
const NVFP4_BYTES: f64 = 0.5 + 1.0 / 16.0;

/// How a number of an algorithm is stored, and what it is multiplied in.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Storage {
    bytes: f64,
    arithmetic: Arithmetic,
}

impl EngineDirectory {
    /// The model in figures; `None` where its architecture or quantisation is not known well enough to count.
    pub fn figures(&self) -> Option<ModelFigures> {
        figures(&self.config)
    }
}

/// Whether the layers are what the counts here take them for.
pub(super) fn has_known_shape(config: &EngineConfig) -> bool {
    let is_known = GATED_DECODERS.contains(&config.model.architecture.as_str());
    config.layout == Layout::Current && is_known
}

fn figures(config: &EngineConfig) -> Option<ModelFigures> {
    let model = &config.model;
    if !has_known_shape(config) {
        return None;
    }
    let linear = storage(config.quantization.weights.as_deref(), model.dtype)?;
    let cached = cache_bytes(config.quantization.kv_cache.as_deref(), model.dtype)?;
    let counts = Counts::of(model)?;
    let head_bytes = if head_is_quantised(config) { linear.bytes } else { model.dtype.bytes() };
    let experts = model.experts.map(|experts| ExpertFigures {
        count: f64::from(experts.count),
        chosen: f64::from(experts.chosen),
        bytes_each: counts.expert * linear.bytes,
    });
    let all_experts = experts.map_or(0.0, |experts| experts.count * counts.expert);
    let chosen_experts = experts.map_or(0.0, |experts| experts.chosen * counts.expert);
    Some(ModelFigures {
        parameters: counts.linear + counts.other + 2.0 * counts.table + all_experts,
        active_parameters: counts.linear + counts.table + chosen_experts,
        weight_bytes: counts.linear * linear.bytes
            + counts.other * model.dtype.bytes()
            + counts.table * head_bytes,
        experts,
        kv_bytes_per_token: 2.0 * each_layer(model, model.kv_heads) * cached,
        attention_width: each_layer(model, model.heads),
        arithmetic: linear.arithmetic,
    })
}

/// Elements of so many heads, over all layers.
fn each_layer(model: &Model, heads: u32) -> f64 {
    f64::from(model.layers) * f64::from(heads) * f64::from(model.head_size)
}

/// Weights by kind, over all layers.
struct Counts {
    /// Matrices that every token is multiplied with, without the head.
    linear: f64,
    /// Norms and routers.
    other: f64,
    /// The input embedding, and again the head.
    table: f64,
    /// One expert.
    expert: f64,
}

impl Counts {
    fn of(model: &Model) -> Option<Self> {
        let (hidden, layers) = (f64::from(model.hidden_size), f64::from(model.layers));
        let heads = each_layer(model, model.heads) + each_layer(model, model.kv_heads);
        let attention = 2.0 * hidden * heads;
        let gated = |width: u32| 3.0 * layers * hidden * f64::from(width);
        let norms = 2.0 * hidden * layers + hidden;
        let table = f64::from(model.vocab_size) * hidden;
        let Some(experts) = model.experts else {
            let linear = attention + gated(model.intermediate_size?);
            return Some(Self { linear, other: norms, table, expert: 0.0 });
        };
        let shared = experts.shared_intermediate_size.map_or(0.0, gated);
        let router = layers * hidden * f64::from(experts.count);
        let width = experts.intermediate_size.or(model.intermediate_size)?;
        let (linear, other) = (attention + shared, norms + router);
        Some(Self { linear, other, table, expert: gated(width) })
    }
}

/// By the names of TensorRT-LLM's `QuantAlgo`.
fn storage(algorithm: Option<&str>, dtype: DataType) -> Option<Storage> {
    let plain = match dtype {
        DataType::Float32 => Arithmetic::Float32,
        DataType::Float16 | DataType::Bfloat16 => Arithmetic::Float16,
    };
    let (bytes, arithmetic) = match algorithm {
        None => (dtype.bytes(), plain),
        Some("FP8" | "FP8_PER_CHANNEL_PER_TOKEN" | "FP8_BLOCK_SCALES") => (1.0, Arithmetic::Float8),
        Some("W8A16") => (1.0, plain),
        Some("W4A16" | "W4A16_AWQ" | "W4A16_GPTQ") => (0.5, plain),
        Some("W4A8_AWQ") => (0.5, Arithmetic::Float8),
        Some("W4A8_QSERVE_PER_GROUP" | "W4A8_QSERVE_PER_CHANNEL") => (0.5, Arithmetic::Int8),
        Some("NVFP4") => (NVFP4_BYTES, Arithmetic::Float4),
        Some(smooth) if smooth.starts_with("W8A8_SQ") => (1.0, Arithmetic::Int8),
        Some(_) => return None,
    };
    Some(Storage { bytes, arithmetic })
}

/// Bytes of a value in the KV cache.
pub(super) fn cache_bytes(algorithm: Option<&str>, dtype: DataType) -> Option<f64> {
    match algorithm {
        None => Some(dtype.bytes()),
        Some("FP8" | "INT8") => Some(1.0),
        Some("NVFP4") => Some(NVFP4_BYTES),
        Some(_) => None,
    }
}

/// Quantisation leaves the head as it is unless a list of what it leaves does not name it.
fn head_is_quantised(config: &EngineConfig) -> bool {
    let excluded = config.quantization.excluded.as_ref();
    let named = |modules: &Vec<String>| modules.iter().any(|module| module.contains("lm_head"));
    config.quantization.weights.is_some() && excluded.is_some_and(|modules| !named(modules))
}
