//! Parser of a Hugging Face config.json: the shape of a model, or a refusal that names what cannot be run.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::shape::{Architecture, ModelShape, Rope, RopeScaling};
use crate::error::OpenError;

/// Reads `config.json`, and the end tokens of `generation_config.json` where there is one.
pub(crate) fn read_shape(directory: &Path) -> Result<ModelShape, OpenError> {
    let config = Config::read(directory.join("config.json"))?;
    let architecture = config.architecture()?;
    config.refuse_what_is_not_computed(architecture)?;

    let (hidden, heads) = (config.size("hidden_size")?, config.size("num_attention_heads")?);
    let shape = ModelShape {
        name: name_of(directory),
        architecture,
        vocab: config.size("vocab_size")?,
        hidden,
        intermediate: config.size("intermediate_size")?,
        layers: config.size("num_hidden_layers")?,
        heads,
        kv_heads: config.size_or("num_key_value_heads", heads)?,
        head_dim: config.size_or("head_dim", hidden / heads)?,
        max_seq_len: config.size("max_position_embeddings")?,
        norm_eps: config.number("rms_norm_eps")? as f32,
        rope: config.rope()?,
        tied: config.flag("tie_word_embeddings"),
        eos: config.end_tokens(directory)?,
    };
    if !shape.heads.is_multiple_of(shape.kv_heads) || !shape.head_dim.is_multiple_of(2) {
        return Err(config.unsupported(format!(
            "{} heads of {} elements over {} key/value heads do not divide evenly",
            shape.heads, shape.head_dim, shape.kv_heads
        )));
    }
    if let Some(&outside) = shape.eos.iter().find(|&&id| id as usize >= shape.vocab) {
        return Err(config
            .malformed(format!("eos_token_id {outside} lies outside vocab_size {}", shape.vocab)));
    }
    Ok(shape)
}

fn name_of(directory: &Path) -> String {
    let resolved = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    match resolved.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => directory.display().to_string(),
    }
}

struct Config {
    path: PathBuf,
    values: Map<String, Value>,
}

impl Config {
    fn read(path: PathBuf) -> Result<Config, OpenError> {
        let text = std::fs::read(&path)
            .map_err(|source| OpenError::Read { path: path.clone(), source })?;
        match serde_json::from_slice(&text) {
            Ok(values) => Ok(Config { path, values }),
            Err(error) => Err(OpenError::Malformed { path, reason: error.to_string() }),
        }
    }

    fn architecture(&self) -> Result<Architecture, OpenError> {
        let named = self.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
        let Some(named) = named else {
            return Err(self.malformed("it names no architecture ('architectures')".to_string()));
        };
        Architecture::ALL
            .into_iter()
            .find(|architecture| architecture.hugging_face_name() == named)
            .ok_or_else(|| {
                let known = Architecture::ALL.map(Architecture::hugging_face_name).join(", ");
                self.unsupported(format!("its architecture is {named}; known: {known}"))
            })
    }

    fn refuse_what_is_not_computed(&self, architecture: Architecture) -> Result<(), OpenError> {
        if let Some(quantised) = self.get("quantization_config") {
            let method = quantised.get("quant_method").and_then(Value::as_str).unwrap_or("unnamed");
            return Err(self.unsupported(format!(
                "it is a quantised checkpoint ({method}); use the unquantised one, the engine quantises by itself"
            )));
        }
        for key in ["num_local_experts", "num_experts"] {
            if self.get(key).is_some() {
                return Err(self.unsupported(format!("it is a mixture of experts ('{key}')")));
            }
        }
        for key in ["attention_bias", "mlp_bias"] {
            if self.flag(key) {
                return Err(
                    self.unsupported(format!("'{key}' is true, and no bias is computed there"))
                );
            }
        }
        if let Some(activation) =
            self.get("hidden_act").and_then(Value::as_str).filter(|name| *name != "silu")
        {
            return Err(self.unsupported(format!(
                "its activation is '{activation}', and only silu is computed"
            )));
        }
        if self.get("partial_rotary_factor").and_then(Value::as_f64).is_some_and(|part| part != 1.0)
        {
            return Err(self.unsupported(
                "it rotates a part of each head only ('partial_rotary_factor')".to_string(),
            ));
        }
        let windowed = match architecture {
            Architecture::Qwen2 | Architecture::Qwen3 => self.flag("use_sliding_window"),
            Architecture::Llama | Architecture::Mistral => true,
        };
        let window = self.get("sliding_window").and_then(Value::as_u64).filter(|_| windowed);
        let context = self.size("max_position_embeddings")? as u64;
        match window {
            Some(window) if window < context => Err(self.unsupported(format!(
                "it attends within a sliding window of {window} tokens ('sliding_window'), which is not computed"
            ))),
            _ => Ok(()),
        }
    }

    /// The older keys `rope_theta` and `rope_scaling`, or the newer `rope_parameters`, which holds both.
    fn rope(&self) -> Result<Rope, OpenError> {
        let parameters = self.get("rope_parameters");
        let theta = parameters.and_then(|both| both.get("rope_theta")).or(self.get("rope_theta"));
        let theta = theta.map_or(Some(10_000.0), Value::as_f64);
        let theta =
            theta.ok_or_else(|| self.malformed("'rope_theta' is not a number".to_string()))? as f32;
        let scaling = match parameters.or(self.get("rope_scaling")) {
            None => RopeScaling::None,
            Some(scaling) => self.rope_scaling(scaling)?,
        };
        Ok(Rope { theta, scaling })
    }

    fn rope_scaling(&self, scaling: &Value) -> Result<RopeScaling, OpenError> {
        let number = |key: &str| {
            let value = scaling.get(key).and_then(Value::as_f64);
            value
                .map(|value| value as f32)
                .ok_or_else(|| self.malformed(format!("rope scaling lacks '{key}'")))
        };
        let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Value::as_str);
        match kind.unwrap_or("default") {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: number("factor")? }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor: number("factor")?,
                low_freq_factor: number("low_freq_factor")?,
                high_freq_factor: number("high_freq_factor")?,
                original_max_seq_len: number("original_max_position_embeddings")?,
            }),
            other => Err(self.unsupported(format!(
                "its rope scaling is '{other}'; known: default, linear, llama3"
            ))),
        }
    }

    /// `generation_config.json` knows the end tokens of chat models better than `config.json`.
    fn end_tokens(&self, directory: &Path) -> Result<Vec<u32>, OpenError> {
        let generation = directory.join("generation_config.json");
        let generation = if generation.exists() { Some(Config::read(generation)?) } else { None };
        let configs = generation.iter().chain([self]);
        let Some((config, value)) =
            configs.filter_map(|config| Some((config, config.get("eos_token_id")?))).next()
        else {
            return Ok(Vec::new());
        };
        let ids = match value {
            Value::Array(ids) => ids.as_slice(),
            one => std::slice::from_ref(one),
        };
        ids.iter()
            .map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| config.malformed("'eos_token_id' is not a token id".to_string()))
    }

    /// A key that is there and not null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn number(&self, key: &str) -> Result<f64, OpenError> {
        let value = self.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| self.malformed(format!("'{key}' is missing or not a number")))
    }

    fn size(&self, key: &str) -> Result<usize, OpenError> {
        let value = self.get(key).and_then(Value::as_u64).filter(|&size| size > 0);
        let value = value.ok_or_else(|| {
            self.malformed(format!("'{key}' is missing or not a positive integer"))
        })?;
        Ok(value as usize)
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize, OpenError> {
        if self.get(key).is_some() { self.size(key) } else { Ok(default) }
    }

    fn malformed(&self, reason: String) -> OpenError {
        OpenError::Malformed { path: self.path.clone(), reason }
    }

    fn unsupported(&self, reason: String) -> OpenError {
        OpenError::Unsupported { path: self.path.clone(), reason }
    }
}
