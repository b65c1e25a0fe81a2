//! Engine configuration `config.json`: known keys as types, unknown keys ignored.
//!
//! Two layouts exist: that of `trtllm-build` (`pretrained_config` and `build_config`), and that of the scripts before it,
//! which write no `version` (`builder_config` and `plugin_config`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine_directory::section::{KeyError, Section};

/// What was built, for whom and how large.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineConfig {
    /// Which builder wrote the file.
    pub layout: Layout,
    /// Version of TensorRT-LLM that built the engine, where the file has it.
    pub version: Option<String>,
    /// Profile of the simulated executor that stands in for the engine.
    pub simulated_profile: Option<String>,
    /// The network.
    pub model: Model,
    /// How its weights and its cache are stored.
    pub quantization: Quantization,
    /// Over how many GPUs it is spread.
    pub mapping: Mapping,
    /// What was fixed when it was built.
    pub limits: BuildLimits,
    /// What it was built with.
    pub plugins: Plugins,
}

/// Which builder wrote the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `trtllm-build`: `pretrained_config` and `build_config`.
    Current,
    /// The scripts before it, up to 0.7: `builder_config` and `plugin_config`.
    Legacy,
}

/// Type of weights that are not quantised, and of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// 32 bits.
    Float32,
    /// 16 bits.
    Float16,
    /// 16 bits.
    Bfloat16,
}

impl DataType {
    /// Bytes of one value.
    pub const fn bytes(self) -> f64 {
        match self {
            Self::Float32 => 4.0,
            Self::Float16 | Self::Bfloat16 => 2.0,
        }
    }

    /// As written in the file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
        }
    }
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Hugging Face's name, e.g. `LlamaForCausalLM`; in the legacy layout the builder's own, e.g. `llama`.
    pub architecture: String,
    /// Type of what is not quantised.
    pub dtype: DataType,
    /// Token ids are below this.
    pub vocab_size: u32,
    /// Width of a hidden state.
    pub hidden_size: u32,
    /// Width inside a feed-forward layer.
    pub intermediate_size: Option<u32>,
    /// Transformer layers.
    pub layers: u32,
    /// Query heads.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_size: u32,
    /// Positions that the model was made for.
    pub max_positions: Option<u32>,
    /// Only in a mixture of experts.
    pub experts: Option<Experts>,
}

/// The experts of each layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Experts {
    /// How many there are.
    pub count: u32,
    /// How many each token uses.
    pub chosen: u32,
    /// Width inside one of them, where it is not that of the layer.
    pub intermediate_size: Option<u32>,
    /// Width inside the expert that every token uses, where there is one.
    pub shared_intermediate_size: Option<u32>,
}

/// How weights and cache are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Quantization {
    /// `quant_algo`, e.g. `FP8`; `None` is not quantised.
    pub weights: Option<String>,
    /// `kv_cache_quant_algo`; `None` keeps the cache in the model's type.
    pub kv_cache: Option<String>,
    /// Modules that are left as they were; `None` where the file does not say.
    pub excluded: Option<Vec<String>>,
}

/// Over how many GPUs an engine is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// Tensor parallelism.
    pub tensor: u32,
    /// Pipeline parallelism.
    pub pipeline: u32,
    /// Context parallelism.
    pub context: u32,
}

impl Mapping {
    /// Ranks, and GPUs: one for each.
    pub const fn world_size(&self) -> u32 {
        self.tensor * self.pipeline * self.context
    }
}

/// What was fixed when the engine was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildLimits {
    /// Requests in one batch.
    pub max_batch_size: u32,
    /// Tokens of a prompt, where prompts are not split.
    pub max_input_len: u32,
    /// Prompt and output together.
    pub max_seq_len: u32,
    /// Tokens in one iteration.
    pub max_num_tokens: Option<u32>,
    /// Beams of one request.
    pub max_beam_width: u32,
    /// Draft tokens of one step; 0 without speculative decoding.
    pub max_draft_len: u32,
    /// How it tries drafts, as `SpeculativeDecodingMode` of TensorRT-LLM's Python numbers it; `None` where the file does not
    /// say.
    pub speculative_decoding_mode: Option<u32>,
}

/// `SpeculativeDecodingMode.DRAFT_TOKENS_EXTERNAL`.
const DRAFT_TOKENS_EXTERNAL: u32 = 2;

/// What the engine was built with, as far as it decides what can be asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plugins {
    /// Type of the attention plugin; `None` was built without.
    pub gpt_attention: Option<String>,
    /// Type of the GEMM plugin; `None` was built without.
    pub gemm: Option<String>,
    /// Type of the LoRA plugin; `None` was built without.
    pub lora: Option<String>,
    /// Requests of a batch are packed without padding.
    pub remove_input_padding: bool,
    /// The KV cache is kept in blocks.
    pub paged_kv_cache: bool,
    /// Tokens in one block.
    pub tokens_per_block: Option<u32>,
    /// Prompts use fused attention.
    pub context_fmha: bool,
    /// Prompts can attend to blocks of the cache: reuse and chunked prompts need it.
    pub paged_context_fmha: bool,
    /// Prompts use fused attention in 8 bits.
    pub fp8_context_fmha: bool,
    /// It returns the logits of every prompt token, which those of reused blocks do not have.
    pub context_logits: bool,
}

impl EngineConfig {
    /// Drafts from outside that one step verifies; 0 where it was built for none, or for another way of drafting.
    pub fn external_drafts(&self) -> u32 {
        let external = self.limits.speculative_decoding_mode == Some(DRAFT_TOKENS_EXTERNAL);
        if external { self.limits.max_draft_len } else { 0 }
    }

    /// From the contents of the file.
    ///
    /// # Errors
    /// The first key that is missing or of the wrong kind.
    pub(super) fn of(file: &Value) -> Result<Self, KeyError> {
        let top =
            Section::top(file).ok_or_else(|| KeyError::Missing("pretrained_config".into()))?;
        if top.has("builder_config") && !top.has("pretrained_config") {
            return legacy(&top);
        }
        current(&top)
    }
}

fn current(top: &Section<'_>) -> Result<EngineConfig, KeyError> {
    let pretrained = top.section("pretrained_config")?;
    let build = top.section("build_config")?;
    let mapping = pretrained.section("mapping")?;
    let plugins = build.section("plugin_config")?;
    Ok(EngineConfig {
        layout: Layout::Current,
        version: top.maybe("version")?,
        simulated_profile: top.maybe("simulated_profile")?,
        model: model(&pretrained)?,
        quantization: match pretrained.maybe_section("quantization")? {
            Some(quantization) => quantization_of(&quantization)?,
            None => Quantization::default(),
        },
        mapping: Mapping {
            tensor: mapping.need("tp_size")?,
            pipeline: mapping.maybe("pp_size")?.unwrap_or(1),
            context: mapping.maybe("cp_size")?.unwrap_or(1),
        },
        limits: limits(&build)?,
        plugins: plugins_of(
            &plugins,
            build.maybe::<String>("kv_cache_type")?.as_deref(),
            build.maybe("gather_context_logits")?.unwrap_or(false),
        )?,
    })
}

fn model(pretrained: &Section<'_>) -> Result<Model, KeyError> {
    let heads: u32 = pretrained.need("num_attention_heads")?;
    let hidden_size: u32 = pretrained.need("hidden_size")?;
    Ok(Model {
        architecture: pretrained.need("architecture")?,
        dtype: pretrained.need("dtype")?,
        vocab_size: pretrained.need("vocab_size")?,
        hidden_size,
        intermediate_size: pretrained.maybe("intermediate_size")?,
        layers: pretrained.need("num_hidden_layers")?,
        heads,
        kv_heads: pretrained.maybe("num_key_value_heads")?.unwrap_or(heads),
        head_size: pretrained.maybe("head_size")?.unwrap_or(hidden_size / heads.max(1)),
        max_positions: pretrained.maybe("max_position_embeddings")?,
        experts: experts(pretrained)?,
    })
}

/// Newer builds keep them in an object of their own, older ones beside the rest.
fn experts(pretrained: &Section<'_>) -> Result<Option<Experts>, KeyError> {
    let (count, chosen) = match pretrained.maybe_section("moe")? {
        Some(moe) => (moe.maybe("num_experts")?, moe.maybe("top_k")?),
        None => (pretrained.maybe("moe_num_experts")?, pretrained.maybe("moe_top_k")?),
    };
    let width = |name| pretrained.maybe::<u32>(name).map(|width| width.filter(|width| *width > 0));
    let intermediate_size = width("moe_intermediate_size")?;
    let shared_intermediate_size = width("moe_shared_expert_intermediate_size")?;
    Ok(match (count, chosen) {
        (Some(count), Some(chosen)) if count > 1 => {
            Some(Experts { count, chosen, intermediate_size, shared_intermediate_size })
        }
        _ => None,
    })
}

fn quantization_of(section: &Section<'_>) -> Result<Quantization, KeyError> {
    Ok(Quantization {
        weights: section.maybe("quant_algo")?,
        kv_cache: section.maybe("kv_cache_quant_algo")?,
        excluded: section.maybe("exclude_modules")?,
    })
}

/// Until 0.11 builds fixed the longest output and not the longest sequence.
fn limits(build: &Section<'_>) -> Result<BuildLimits, KeyError> {
    let max_input_len: u32 = build.need("max_input_len")?;
    let max_seq_len = match build.maybe("max_seq_len")? {
        Some(length) => length,
        None => match build.maybe::<u32>("max_output_len")? {
            Some(output) => max_input_len.saturating_add(output),
            None => build.need("max_seq_len")?,
        },
    };
    Ok(BuildLimits {
        max_batch_size: build.need("max_batch_size")?,
        max_input_len,
        max_seq_len,
        max_num_tokens: build.maybe("max_num_tokens")?,
        max_beam_width: build.maybe("max_beam_width")?.unwrap_or(1),
        max_draft_len: build.maybe("max_draft_len")?.unwrap_or(0),
        speculative_decoding_mode: build.maybe("speculative_decoding_mode")?,
    })
}

fn plugins_of(
    section: &Section<'_>,
    kv_cache_type: Option<&str>,
    context_logits: bool,
) -> Result<Plugins, KeyError> {
    let flag = |name| section.maybe::<bool>(name).map(|flag| flag.unwrap_or(false));
    let paged_kv_cache = match kv_cache_type {
        Some(kind) => kind.eq_ignore_ascii_case("paged"),
        None => flag("paged_kv_cache")?,
    };
    Ok(Plugins {
        gpt_attention: plugin(section, "gpt_attention_plugin")?,
        gemm: plugin(section, "gemm_plugin")?,
        lora: plugin(section, "lora_plugin")?,
        remove_input_padding: flag("remove_input_padding")?,
        paged_kv_cache,
        tokens_per_block: section.maybe("tokens_per_block")?,
        context_fmha: flag("context_fmha")?,
        paged_context_fmha: flag("use_paged_context_fmha")?,
        fp8_context_fmha: flag("use_fp8_context_fmha")?,
        context_logits,
    })
}

/// The plugin's type, or its absence: `null`, or `false` in older files.
fn plugin(section: &Section<'_>, name: &str) -> Result<Option<String>, KeyError> {
    Ok(section.maybe::<Value>(name)?.and_then(|value| match value {
        Value::String(kind) => Some(kind),
        Value::Bool(true) => Some("on".to_owned()),
        _ => None,
    }))
}

/// Up to 0.7. What could not be built then is absent: reuse and chunked prompts.
fn legacy(top: &Section<'_>) -> Result<EngineConfig, KeyError> {
    let builder = top.section("builder_config")?;
    let plugins = top.section("plugin_config")?;
    let heads: u32 = builder.need("num_heads")?;
    let hidden_size: u32 = builder.need("hidden_size")?;
    Ok(EngineConfig {
        layout: Layout::Legacy,
        version: None,
        simulated_profile: top.maybe("simulated_profile")?,
        model: Model {
            architecture: builder.need("name")?,
            dtype: builder.need("precision")?,
            vocab_size: builder.need("vocab_size")?,
            hidden_size,
            intermediate_size: builder.maybe("mlp_hidden_size")?,
            layers: builder.need("num_layers")?,
            heads,
            kv_heads: builder.maybe("num_kv_heads")?.unwrap_or(heads),
            head_size: builder.maybe("head_size")?.unwrap_or(hidden_size / heads.max(1)),
            max_positions: builder.maybe("max_position_embeddings")?,
            experts: None,
        },
        // A bit mask without a public meaning of its bits: what it stands for is not guessed.
        quantization: match builder.maybe::<u32>("quant_mode")? {
            None | Some(0) => Quantization::default(),
            Some(mode) => Quantization {
                weights: Some(format!("quant_mode {mode}")),
                ..Quantization::default()
            },
        },
        mapping: Mapping {
            tensor: builder.need("tensor_parallel")?,
            pipeline: builder.maybe("pipeline_parallel")?.unwrap_or(1),
            context: 1,
        },
        limits: limits(&builder)?,
        plugins: plugins_of(&plugins, None, false)?,
    })
}
