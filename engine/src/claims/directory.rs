//! Small model directories of every family for tests, written together with their reference.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::harness::{PICO, alone, config, prompt};
use super::reference::{Reference, Tensors};
use crate::ModelSource;
use crate::model::dummy;

/// A model on disk, and what it should compute.
pub(crate) struct OnDisk {
    pub directory: TempDir,
    pub reference: Reference,
}

impl OnDisk {
    pub(crate) fn source(&self) -> ModelSource {
        ModelSource::Directory(self.directory.path().to_path_buf())
    }
}

/// The shape that all directories of the claims share. `head_dim` is not `hidden / heads` on purpose.
fn shape(tied: bool) -> Reference {
    let mut reference = Reference {
        hidden: 64,
        intermediate: 96,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
        vocab: 320,
        eps: 1e-6,
        theta: 10_000.0,
        stretch: |frequency| frequency,
        tensors: Tensors::new(),
    };
    let (h, f, q, kv) = (64, 96, 128, 64);
    add(&mut reference, "model.embed_tokens.weight", &[320, h]);
    if tied {
        // A large tied embedding finds itself again in the head: the output would repeat the last token.
        let embedding = reference.tensors.get_mut("model.embed_tokens.weight").unwrap();
        embedding.iter_mut().for_each(|value| *value *= 1.0 / 32.0);
    } else {
        add(&mut reference, "lm_head.weight", &[320, h]);
    }
    add(&mut reference, "model.norm.weight", &[h]);
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", vec![h]),
            ("post_attention_layernorm", vec![h]),
            ("self_attn.q_proj", vec![q, h]),
            ("self_attn.k_proj", vec![kv, h]),
            ("self_attn.v_proj", vec![kv, h]),
            ("self_attn.o_proj", vec![h, q]),
            ("mlp.gate_proj", vec![f, h]),
            ("mlp.up_proj", vec![f, h]),
            ("mlp.down_proj", vec![h, f]),
        ] {
            add(&mut reference, &format!("model.layers.{layer}.{name}.weight"), &shape);
        }
    }
    reference
}

/// Adds a tensor: a matrix of random numbers, or a vector of random numbers around 1.
fn add(reference: &mut Reference, name: &str, shape: &[usize]) {
    let numbers = match shape {
        [rows, columns] => dummy::matrix(name, 11, *rows, *columns),
        [length] => dummy::matrix(name, 11, 1, *length).iter().map(|x| 1.0 + 0.3 * x).collect(),
        _ => unreachable!("tensors have one or two dimensions"),
    };
    // Rounded to bf16, which is what the files hold.
    let rounded = |x: &f32| f32::from_bits(x.to_bits() & 0xffff_0000);
    reference.tensors.insert(name.to_string(), numbers.iter().map(rounded).collect());
}

pub(crate) fn config_json(architecture: &str, extra: Value) -> Value {
    let mut config = json!({
        "architectures": [architecture], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 320,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": false, "eos_token_id": 2, "rope_scaling": null,
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    config
}

/// Writes `reference` as bf16 under `config`.
pub(crate) fn write(reference: Reference, config: &Value) -> OnDisk {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    let tensors = reference.tensors.iter().map(|(name, values)| {
        let length = values.len();
        let columns = if is_vector(name) { length } else { columns(name, &reference) };
        let shape = if is_vector(name) { vec![length] } else { vec![length / columns, columns] };
        let tensor = Tensor::from_vec(values.clone(), shape, &Device::Cpu)
            .unwrap()
            .to_dtype(DType::BF16)
            .unwrap();
        (name.clone(), tensor)
    });
    let tensors: HashMap<String, Tensor> = tensors.collect();
    candle_core::safetensors::save(&tensors, directory.path().join("model.safetensors")).unwrap();
    OnDisk { directory, reference }
}

fn is_vector(name: &str) -> bool {
    name.contains("norm") || name.ends_with("bias")
}

fn columns(name: &str, reference: &Reference) -> usize {
    match name {
        name if name.contains("o_proj") => reference.heads * reference.head_dim,
        name if name.contains("down_proj") => reference.intermediate,
        _ => reference.hidden,
    }
}

pub(crate) fn llama() -> OnDisk {
    write(shape(false), &config_json("LlamaForCausalLM", json!({})))
}

pub(crate) fn llama_with(extra: Value) -> OnDisk {
    write(shape(false), &config_json("LlamaForCausalLM", extra))
}

/// One model of each kind that the engine claims to run.
pub(crate) fn families() -> Vec<(&'static str, OnDisk)> {
    let llama3 = json!({ "tie_word_embeddings": true, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64 }});
    let mut llama3_reference = shape(true);
    llama3_reference.stretch = |frequency| {
        let wavelength = 2.0 * std::f32::consts::PI / frequency;
        if wavelength < 64.0 / 4.0 {
            frequency
        } else if wavelength > 64.0 / 1.0 {
            frequency / 8.0
        } else {
            let smooth = (64.0 / wavelength - 1.0) / (4.0 - 1.0);
            (1.0 - smooth) * frequency / 8.0 + smooth * frequency
        }
    };
    let mut linear_reference = shape(false);
    linear_reference.stretch = |frequency| frequency / 4.0;
    linear_reference.theta = 500.0;
    let linear = json!({ "rope_scaling": null,
        "rope_parameters": { "rope_type": "linear", "factor": 4.0, "rope_theta": 500.0 }});

    let (mut qwen2, mut qwen3) = (shape(false), shape(true));
    for layer in 0..2 {
        for (which, width) in [("q", 128), ("k", 64), ("v", 64)] {
            add(&mut qwen2, &format!("model.layers.{layer}.self_attn.{which}_proj.bias"), &[width]);
        }
        for which in ["q", "k"] {
            add(&mut qwen3, &format!("model.layers.{layer}.self_attn.{which}_norm.weight"), &[32]);
        }
    }
    vec![
        ("llama", llama()),
        (
            "llama, tied, rope llama3",
            write(llama3_reference, &config_json("LlamaForCausalLM", llama3)),
        ),
        (
            "mistral, rope linear",
            write(linear_reference, &config_json("MistralForCausalLM", linear)),
        ),
        ("qwen2", write(qwen2, &config_json("Qwen2ForCausalLM", json!({ "sliding_window": 16 })))),
        (
            "qwen3",
            write(qwen3, &config_json("Qwen3ForCausalLM", json!({ "tie_word_embeddings": true }))),
        ),
    ]
}

/// Splits `model.safetensors` into two shards and an index.
pub(crate) fn shard(directory: &Path) {
    let whole = directory.join("model.safetensors");
    let tensors = candle_core::safetensors::load(&whole, &Device::Cpu).unwrap();
    let mut shards = [HashMap::new(), HashMap::new()];
    let mut weight_map = serde_json::Map::new();
    for (index, (name, tensor)) in tensors.into_iter().enumerate() {
        weight_map.insert(name.clone(), format!("part-{}.safetensors", index % 2).into());
        shards[index % 2].insert(name, tensor);
    }
    for (index, shard) in shards.iter().enumerate() {
        candle_core::safetensors::save(shard, directory.join(format!("part-{index}.safetensors")))
            .unwrap();
    }
    std::fs::write(
        directory.join("model.safetensors.index.json"),
        json!({ "weight_map": weight_map }).to_string(),
    )
    .unwrap();
    std::fs::remove_file(whole).unwrap();
}

#[test]
fn a_directory_gives_the_tokens_of_the_weights_it_was_written_from() {
    let shape = dummy::shape(crate::DummySize::Pico);
    let mut tensors = HashMap::new();
    let mut put = |name: &str, rows: usize, columns: usize| {
        let numbers = match rows {
            1 => vec![1.0; columns],
            _ => dummy::matrix(name, 0, rows, columns),
        };
        let dims: &[usize] = if rows == 1 { &[columns] } else { &[rows, columns] };
        tensors.insert(name.to_string(), Tensor::from_vec(numbers, dims, &Device::Cpu).unwrap());
    };
    put("model.embed_tokens.weight", shape.vocab, shape.hidden);
    put("lm_head.weight", shape.vocab, shape.hidden);
    put("model.norm.weight", 1, shape.hidden);
    for layer in 0..shape.layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        put(&name("input_layernorm"), 1, shape.hidden);
        put(&name("post_attention_layernorm"), 1, shape.hidden);
        put(&name("self_attn.q_proj"), shape.q_width(), shape.hidden);
        put(&name("self_attn.k_proj"), shape.kv_width(), shape.hidden);
        put(&name("self_attn.v_proj"), shape.kv_width(), shape.hidden);
        put(&name("self_attn.o_proj"), shape.hidden, shape.q_width());
        put(&name("mlp.gate_proj"), shape.intermediate, shape.hidden);
        put(&name("mlp.up_proj"), shape.intermediate, shape.hidden);
        put(&name("mlp.down_proj"), shape.hidden, shape.intermediate);
    }
    let directory = tempfile::tempdir().unwrap();
    candle_core::safetensors::save(&tensors, directory.path().join("model.safetensors")).unwrap();
    let config_json = json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": shape.hidden, "vocab_size": shape.vocab,
        "intermediate_size": shape.intermediate, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "max_position_embeddings": shape.max_seq_len, "rms_norm_eps": 1e-5,
    });
    std::fs::write(directory.path().join("config.json"), config_json.to_string()).unwrap();
    let source = ModelSource::Directory(directory.path().to_path_buf());
    for quantization in [crate::Quantization::F32, crate::Quantization::Q8_0] {
        let mut config = config();
        config.quantization = quantization;
        let expected = alone(&PICO, config.clone(), &prompt(1, 20), 16);
        assert_eq!(alone(&source, config, &prompt(1, 20), 16), expected, "{quantization:?}");
    }
}
