//! Figures of a model from its folder's `config.json`, for the roofline of an engine in Python.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::specs::{Arithmetic, ExpertFigures, ModelFigures};

/// What is read of `config.json`. Models have many more keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    architectures: Vec<String>,
    hidden_size: f64,
    intermediate_size: f64,
    moe_intermediate_size: Option<f64>,
    num_hidden_layers: f64,
    num_attention_heads: f64,
    num_key_value_heads: Option<f64>,
    head_dim: Option<f64>,
    vocab_size: f64,
    tie_word_embeddings: bool,
    attention_bias: bool,
    sliding_window: Option<f64>,
    use_sliding_window: Option<bool>,
    num_local_experts: Option<f64>,
    num_experts: Option<f64>,
    num_experts_per_tok: Option<f64>,
    decoder_sparse_step: Option<u32>,
    mlp_only_layers: Vec<f64>,
    torch_dtype: Option<String>,
    dtype: Option<String>,
    #[serde(rename = "quantization_config")]
    quantization: Option<Quantization>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Quantization {
    quant_method: String,
    bits: Option<u32>,
}

/// Decoders whose feed-forward part has a gate, with full attention in every layer, by how their experts are named.
const DENSE: [&str; 5] = [
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Phi3ForCausalLM",
];
const OF_EXPERTS: [&str; 2] = ["MixtralForCausalLM", "Qwen3MoeForCausalLM"];

/// How numbers are kept and multiplied.
#[derive(Debug, Clone, Copy)]
struct Kept {
    bytes: f64,
    arithmetic: Arithmetic,
}

const FLOAT16: Kept = Kept { bytes: 2.0, arithmetic: Arithmetic::Float16 };

/// The figures of the model in a folder, as an engine with these options loads it.
///
/// # Errors
/// Why they are not known, for the user.
pub(super) fn of(folder: &Path, options: &BTreeMap<&str, &str>) -> Result<ModelFigures, String> {
    let path = folder.join("config.json");
    let text =
        fs::read_to_string(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let config: Config =
        serde_json::from_str(&text).map_err(|error| format!("`{}`: {error}", path.display()))?;
    figures(&config, folder.join("hf_quant_config.json").is_file(), options)
}

fn figures(
    config: &Config,
    has_own_quantization: bool,
    options: &BTreeMap<&str, &str>,
) -> Result<ModelFigures, String> {
    let architecture = config.architectures.first().map_or("", String::as_str);
    let is_mixture = OF_EXPERTS.contains(&architecture);
    if !DENSE.contains(&architecture) && !is_mixture {
        return Err(format!("the shape of `{architecture}` is not known to this program"));
    }
    if config.sliding_window.is_some() && config.use_sliding_window != Some(false) {
        return Err("some of its layers look at a window of the sequence".into());
    }
    let float = float_of(config, options)?;
    let linear = linear_of(config, has_own_quantization, float, options)?;
    let cache = match options.get("kv_cache_dtype") {
        None | Some(&"auto") => float.bytes,
        Some(word) if word.starts_with("fp8") => 1.0,
        Some(word) => return Err(format!("bytes of `kv_cache_dtype` `{word}` are not known")),
    };
    let (layers, hidden) = (config.num_hidden_layers, config.hidden_size);
    let heads = config.num_attention_heads;
    let kv_heads = config.num_key_value_heads.unwrap_or(heads);
    let head = config.head_dim.unwrap_or(hidden / heads.max(1.0));
    if [layers, hidden, heads, config.vocab_size].contains(&0.0) {
        return Err("its `config.json` lacks layers, heads or sizes".into());
    }
    let attention = 2.0 * hidden * head * (heads + kv_heads);
    let has_bias = config.attention_bias || architecture == "Qwen2ForCausalLM";
    let bias = if has_bias { head * (heads + 2.0 * kv_heads) } else { 0.0 };
    let experts = if is_mixture { Some(experts_of(config, linear)?) } else { None };
    let dense = if is_mixture { 0.0 } else { 3.0 * hidden * config.intermediate_size };
    let router = experts.map_or(0.0, |it| hidden * it.count);
    let matrices = layers * (attention + dense);
    let others = layers * (2.0 * hidden + bias + router) + hidden;
    let table = hidden * config.vocab_size;
    let tables = if config.tie_word_embeddings { 1.0 } else { 2.0 };
    let each = experts.map_or(0.0, |it| it.bytes_each / linear.bytes);
    let weights_of = |count: fn(ExpertFigures) -> f64| experts.map_or(0.0, |it| count(it) * each);
    Ok(ModelFigures {
        parameters: matrices + others + tables * table + weights_of(|it| it.count),
        active_parameters: matrices + table + weights_of(|it| it.chosen),
        // The head is not quantised.
        weight_bytes: matrices * linear.bytes + (others + table) * float.bytes,
        experts,
        kv_bytes_per_token: 2.0 * layers * kv_heads * head * cache,
        attention_width: layers * heads * head,
        arithmetic: linear.arithmetic,
    })
}

fn experts_of(config: &Config, linear: Kept) -> Result<ExpertFigures, String> {
    if !config.mlp_only_layers.is_empty() || config.decoder_sparse_step.is_some_and(|it| it != 1) {
        return Err("some of its layers have no experts".into());
    }
    let count = config.num_local_experts.or(config.num_experts);
    let (Some(count), Some(chosen)) = (count, config.num_experts_per_tok) else {
        return Err("its `config.json` does not say how many experts there are".into());
    };
    let wide = config.moe_intermediate_size.unwrap_or(config.intermediate_size);
    let bytes_each = config.num_hidden_layers * 3.0 * config.hidden_size * wide * linear.bytes;
    Ok(ExpertFigures { count, chosen, bytes_each })
}

/// What is not quantised.
fn float_of(config: &Config, options: &BTreeMap<&str, &str>) -> Result<Kept, String> {
    let asked = options.get("dtype").copied().filter(|word| *word != "auto");
    let own = config.dtype.as_deref().or(config.torch_dtype.as_deref());
    match (asked, own) {
        (Some("bfloat16" | "float16" | "half"), _) | (None, Some("bfloat16" | "float16")) => {
            Ok(FLOAT16)
        }
        (Some("float32" | "float"), _) => Ok(Kept { bytes: 4.0, arithmetic: Arithmetic::Float32 }),
        (Some(word), _) => Err(format!("bytes of `dtype` `{word}` are not known")),
        (None, own) => Err(format!(
            "its weights are `{}`, and what the engine makes of them is not known: give `--engine-arg dtype=…`",
            own.unwrap_or("of no type that is said")
        )),
    }
}

/// The matrices of the layers.
fn linear_of(
    config: &Config,
    has_own_quantization: bool,
    float: Kept,
    options: &BTreeMap<&str, &str>,
) -> Result<Kept, String> {
    let own = config.quantization.as_ref();
    let method = options.get("quantization").copied().or(own.map(|it| it.quant_method.as_str()));
    match (method, own.and_then(|it| it.bits)) {
        (None, _) if has_own_quantization => {
            Err("the quantisation of `hf_quant_config.json` is not read".into())
        }
        (None, _) => Ok(float),
        (Some("fp8"), _) => Ok(Kept { bytes: 1.0, arithmetic: Arithmetic::Float8 }),
        // Only stored in 4 bits.
        (Some("awq" | "gptq" | "awq_marlin" | "gptq_marlin"), Some(4)) => {
            Ok(Kept { bytes: 0.5, ..FLOAT16 })
        }
        (Some(word), _) => Err(format!("bytes of its quantisation `{word}` are not known")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA_8B: &str = r#"{"architectures":["LlamaForCausalLM"],"hidden_size":4096,"intermediate_size":14336,
        "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,"torch_dtype":"bfloat16",
        "rope_theta":500000.0}"#;

    fn read(text: &str, options: &[(&str, &str)]) -> Result<ModelFigures, String> {
        let config: Config = serde_json::from_str(text).expect("JSON");
        figures(&config, false, &options.iter().copied().collect())
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "whole numbers of this size are exact")]
    fn a_dense_model_has_the_parameters_that_its_makers_count() {
        let model = read(LLAMA_8B, &[]).expect("figures");
        assert_eq!(model.parameters, 8_030_261_248.0);
        assert_eq!(model.kv_bytes_per_token, 131_072.0);
        assert_eq!(model.weight_bytes, 2.0 * (8_030_261_248.0 - 4096.0 * 128_256.0));
        let cached = read(LLAMA_8B, &[("kv_cache_dtype", "fp8")]).expect("figures");
        assert_eq!(cached.kv_bytes_per_token, 65_536.0);
        let quantised = read(LLAMA_8B, &[("quantization", "fp8")]).expect("figures");
        assert_eq!(quantised.arithmetic, Arithmetic::Float8);
        assert!(quantised.weight_bytes < 0.6 * model.weight_bytes);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "whole numbers of this size are exact")]
    fn a_mixture_uses_the_experts_that_a_token_chooses() {
        let text = r#"{"architectures":["MixtralForCausalLM"],"hidden_size":4096,"intermediate_size":14336,
            "num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":32000,
            "num_local_experts":8,"num_experts_per_tok":2,"torch_dtype":"bfloat16","sliding_window":null}"#;
        let model = read(text, &[]).expect("figures");
        assert_eq!(model.parameters, 46_702_792_704.0);
        let experts = model.experts.expect("experts");
        assert_eq!((experts.count, experts.chosen), (8.0, 2.0));
        assert!(model.active_parameters > 12.5e9 && model.active_parameters < 13.0e9);
    }

    #[test]
    fn what_is_not_known_is_said_and_not_made_up() {
        for (text, options, words) in [
            (r#"{"architectures":["MambaForCausalLM"]}"#, &[][..], "`MambaForCausalLM`"),
            (r#"{"architectures":["LlamaForCausalLM"],"torch_dtype":"float32"}"#, &[], "`float32`"),
            (r#"{"architectures":["LlamaForCausalLM"],"torch_dtype":"float16"}"#, &[], "lacks"),
            (LLAMA_8B, &[("quantization", "bitsandbytes")], "`bitsandbytes`"),
            (LLAMA_8B, &[("dtype", "int4")], "`int4`"),
        ] {
            let error = read(text, options).expect_err(text);
            assert!(error.contains(words), "{error}");
        }
    }
}
