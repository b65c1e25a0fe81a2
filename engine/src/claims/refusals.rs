//! Tests of refusals: models, configurations and requests that cannot run, and the messages that name why.

use std::path::Path;

use serde_json::{Value, json};

use super::directory::{config_json, llama, llama_with};
use super::harness::{PICO, config, open};
use crate::{
    EngineConfig, ModelSource, OpenError, Quantization, Request, Sampling, SubmitError, inspect,
};

fn refusal(source: &ModelSource, config: EngineConfig) -> OpenError {
    match crate::Engine::open(source, config, Box::new(|_: crate::Delivery<'_>| {})) {
        Ok(_) => panic!("{source} was opened"),
        Err(error) => error,
    }
}

fn assert_names(error: &OpenError, parts: &[&str]) {
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "'{text}' does not name {parts:?}");
}

#[test]
fn what_the_engine_does_not_compute_is_refused_by_name() {
    let cases: [(Value, &[&str]); 11] = [
        (json!({ "architectures": ["GPT2LMHeadModel"] }), &["GPT2LMHeadModel", "LlamaForCausalLM"]),
        (json!({ "architectures": null }), &["architectures"]),
        (
            json!({ "quantization_config": { "quant_method": "awq" } }),
            &["quantised checkpoint", "awq"],
        ),
        (json!({ "num_local_experts": 8 }), &["mixture of experts", "num_local_experts"]),
        (json!({ "sliding_window": 128 }), &["sliding window of 128"]),
        (json!({ "rope_scaling": { "type": "yarn", "factor": 4.0 } }), &["yarn", "llama3"]),
        (json!({ "rope_scaling": { "rope_type": "llama3", "factor": 4.0 } }), &["low_freq_factor"]),
        (json!({ "attention_bias": true }), &["attention_bias"]),
        (json!({ "hidden_act": "gelu" }), &["gelu"]),
        (json!({ "vocab_size": "many" }), &["vocab_size"]),
        (json!({ "num_key_value_heads": 3 }), &["4 heads", "3 key/value heads"]),
    ];
    for (extra, parts) in cases {
        let model = llama_with(extra);
        assert_names(&inspect(&model.source(), &config()).unwrap_err(), parts);
    }
}

fn with_files(change: impl Fn(&Path)) -> OpenError {
    let model = llama();
    change(model.directory.path());
    refusal(&model.source(), config())
}

#[test]
fn missing_and_damaged_files_are_refused_by_name() {
    let weights = "model.safetensors";
    assert_names(
        &refusal(&ModelSource::Directory("nowhere".into()), config()),
        &["nowhere/config.json"],
    );
    assert_names(
        &with_files(|d| std::fs::write(d.join("config.json"), "{").unwrap()),
        &["config.json", "malformed"],
    );
    assert_names(
        &with_files(|d| std::fs::remove_file(d.join(weights)).unwrap()),
        &["no *.safetensors"],
    );
    assert_names(
        &with_files(|d| std::fs::write(d.join(weights), "12345678901").unwrap()),
        &[weights, "header"],
    );
    let truncated = with_files(|d| {
        let bytes = std::fs::read(d.join(weights)).unwrap();
        std::fs::write(d.join(weights), &bytes[..bytes.len() - 100]).unwrap();
    });
    assert_names(&truncated, &[weights, "truncated"]);
}

#[test]
fn missing_and_misshapen_tensors_are_refused_by_name_and_file() {
    let untied_qwen = config_json("Qwen2ForCausalLM", json!({}));
    let missing =
        with_files(|d| std::fs::write(d.join("config.json"), untied_qwen.to_string()).unwrap());
    assert_names(&missing, &["model.layers.0.self_attn.q_proj.bias", "model.safetensors"]);
    let wider = config_json("LlamaForCausalLM", json!({ "intermediate_size": 128 }));
    let mismatch =
        with_files(|d| std::fs::write(d.join("config.json"), wider.to_string()).unwrap());
    assert_names(&mismatch, &["model.layers.0.mlp.gate_proj.weight", "[96, 64]", "[128, 64]"]);
}

#[test]
fn a_tensor_of_a_quantised_dtype_is_refused() {
    let error = with_files(|directory| {
        let tensor = candle_core::Tensor::zeros(
            (320, 64),
            candle_core::DType::U8,
            &candle_core::Device::Cpu,
        )
        .unwrap();
        tensor
            .save_safetensors("model.embed_tokens.weight", directory.join("model.safetensors"))
            .unwrap();
    });
    assert_names(&error, &["model.embed_tokens.weight", "U8", "BF16"]);
}

#[test]
fn impossible_configurations_are_refused() {
    let refused = |change: fn(&mut EngineConfig), parts: &[&str]| {
        let mut config = config();
        change(&mut config);
        assert_names(&refusal(&PICO, config), parts);
    };
    refused(|c| c.max_queue_size = 0, &["max_queue_size"]);
    refused(|c| c.max_num_tokens = 3, &["max_num_tokens", "max_batch_size"]);
    refused(|c| c.kv_tokens = Some(7), &["kv_tokens is 7", "block of 8"]);
    refused(|c| c.threads = Some(4097), &["4097", "CANDLE_NUM_THREADS=4097"]);

    let mut config = config();
    config.quantization = Quantization::Q8_0;
    let odd = llama_with(json!({ "intermediate_size": 100 }));
    assert_names(&refusal(&odd.source(), config), &["intermediate_size = 100", "F32"]);
}

#[test]
fn impossible_requests_are_refused_at_once() {
    let (engine, _recorder) = open(&PICO, config());
    let refused = |request: Request| engine.submit(request).unwrap_err();
    assert_eq!(refused(Request::greedy(1, [], 1)), SubmitError::EmptyPrompt);
    assert_eq!(refused(Request::greedy(1, [1], 0)), SubmitError::ZeroMaxTokens);
    assert_eq!(
        refused(Request::greedy(1, [1, 512], 1)),
        SubmitError::TokenOutOfVocabulary { index: 1, token: 512, vocab_size: 512 }
    );
    assert_eq!(
        refused(Request::greedy(1, vec![1; 1024], 1)),
        SubmitError::PromptTooLong { tokens: 1024, limit: 1023 }
    );
    for (temperature, top_p) in [(f32::NAN, 1.0), (-1.0, 1.0), (1.0, 0.0), (1.0, 1.5)] {
        let mut request = Request::greedy(1, [1], 1);
        request.sampling = Sampling::TopKTopP { temperature, top_k: 0, top_p, seed: 0 };
        assert!(matches!(refused(request), SubmitError::InvalidSampling { .. }));
    }
}

#[test]
fn a_directory_without_a_tokenizer_runs_on_ids_and_says_so_when_asked_for_text() {
    let model = llama();
    let error = crate::load_tokenizer(&model.source()).unwrap_err();
    assert_names(&error, &["tokenizer.json"]);
}
