//! Tests of engine directories, on configurations as `trtllm-build` writes them.
#![allow(clippy::float_cmp, reason = "counts of weights are whole numbers")]

use std::path::PathBuf;

use super::config::{Layout, Mapping};
use super::*;
use crate::specs::Arithmetic;

const LLAMA_8B: &str = "llama3-8b-fp8-tp1";

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/engine_directories").join(name)
}

fn read(name: &str) -> EngineDirectory {
    EngineDirectory::read(&fixture(name)).unwrap()
}

fn abouts(problems: &[EngineProblem]) -> Vec<(Severity, &str)> {
    problems.iter().map(|problem| (problem.severity, problem.about.as_str())).collect()
}

/// A directory whose configuration is that of `name`, changed.
fn changed(name: &str, change: impl Fn(&mut serde_json::Value)) -> tempfile::TempDir {
    let text = fs::read_to_string(fixture(name).join("config.json")).unwrap();
    let mut value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.json"), value.to_string()).unwrap();
    directory
}

fn error_of(directory: &tempfile::TempDir) -> String {
    EngineDirectory::read(directory.path()).unwrap_err().to_string()
}

#[test]
fn a_key_that_is_missing_is_named_with_its_file() {
    let directory = changed(LLAMA_8B, |config| {
        config["pretrained_config"]["mapping"].as_object_mut().unwrap().remove("tp_size");
    });
    let error = error_of(&directory);
    assert!(error.contains("config.json` is not the configuration of an engine"), "{error}");
    assert!(error.contains("`pretrained_config.mapping.tp_size` is missing"), "{error}");
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_and_not_taken_for_absent() {
    let directory = changed(LLAMA_8B, |config| {
        config["build_config"]["max_batch_size"] = "many".into();
    });
    assert!(error_of(&directory).contains("`build_config.max_batch_size`"));
    let directory =
        changed(LLAMA_8B, |config| config["pretrained_config"]["dtype"] = "int7".into());
    assert!(error_of(&directory).contains("`pretrained_config.dtype`"));
}

#[test]
fn keys_that_are_not_known_are_read_over() {
    let directory = changed(LLAMA_8B, |config| {
        config["build_config"]["something_of_next_year"] = serde_json::json!({"a": [1]});
        config["pretrained_config"]["mapping"].as_object_mut().unwrap().remove("cp_size");
        config["pretrained_config"].as_object_mut().unwrap().remove("quantization");
    });
    let read = EngineDirectory::read(directory.path()).unwrap();
    assert_eq!(read.config.mapping, Mapping { tensor: 1, pipeline: 1, context: 1 });
    assert_eq!(read.config.quantization.weights, None);
}

#[test]
fn a_model_a_file_and_nonsense_are_no_engine() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.json");
    assert!(error_of(&directory).contains("config.json` cannot be read"));
    fs::write(&config, r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}"#)
        .unwrap();
    assert!(error_of(&directory).contains("Hugging Face model"));
    fs::write(&config, "{}").unwrap();
    assert!(error_of(&directory).contains("`pretrained_config` is missing"));
    fs::write(&config, "[1").unwrap();
    assert!(error_of(&directory).contains("is no JSON"));
    let error = EngineDirectory::read(&config).unwrap_err().to_string();
    assert!(error.contains("is no directory"), "{error}");
}

#[test]
fn a_current_engine_is_read_whole() {
    let config = read(LLAMA_8B).config;
    assert_eq!((config.layout, config.version.as_deref()), (Layout::Current, Some("1.2.1")));
    assert_eq!((config.model.layers, config.model.heads, config.model.kv_heads), (32, 32, 8));
    assert_eq!(config.model.experts, None);
    assert_eq!(config.quantization.weights.as_deref(), Some("FP8"));
    assert_eq!((config.limits.max_input_len, config.limits.max_seq_len), (8191, 8192));
    assert!(config.plugins.paged_kv_cache && config.plugins.paged_context_fmha);
    assert_eq!(config.plugins.lora, None);
}

#[test]
fn older_layouts_are_read_too() {
    let older = read("llama2-7b-awq-0.10").config;
    assert_eq!(older.limits.max_seq_len, 2048 + 1024);
    assert!(!older.plugins.paged_context_fmha && older.plugins.paged_kv_cache);
    let legacy = read("llama-13b-legacy");
    assert_eq!((legacy.config.layout, legacy.config.version), (Layout::Legacy, None));
    assert_eq!(legacy.config.mapping.world_size(), 2);
    assert_eq!(legacy.config.plugins.lora, None);
    let names: Vec<_> = legacy.files.ranks.iter().map(|rank| rank.name.as_str()).collect();
    assert_eq!(names, ["llama_float16_tp2_rank0.engine", "llama_float16_tp2_rank1.engine"]);
}

#[test]
fn prompts_reach_the_sequence_only_where_they_can_be_split() {
    let settings = EngineSettings::default();
    assert_eq!(read(LLAMA_8B).limits(&settings).max_prompt_tokens, Some(8191));
    let older = read("llama2-7b-awq-0.10");
    assert_eq!(older.limits(&settings).max_prompt_tokens, Some(2048));
    let narrow = EngineSettings { max_num_tokens: Some(1024), ..settings.clone() };
    assert_eq!(older.limits(&narrow).max_prompt_tokens, Some(1024));
    assert_eq!(read(LLAMA_8B).limits(&narrow).max_prompt_tokens, Some(8191));
    let batch = EngineSettings { max_batch_size: Some(16), ..settings };
    assert_eq!(older.limits(&batch).max_batch_size, Some(16));
}

#[test]
fn what_is_above_the_built_limits_is_refused() {
    let directory = read(LLAMA_8B);
    let settings = EngineSettings {
        max_batch_size: Some(257),
        max_num_tokens: Some(8193),
        ..EngineSettings::default()
    };
    let problems = directory.check(&PlannedUse::settings(&settings));
    let refused: Vec<_> =
        problems.iter().filter(|problem| problem.severity == Severity::Refuse).collect();
    assert_eq!(refused.len(), 3, "{problems:#?}");
    assert!(refused.iter().any(|it| it.sentence.contains("257") && it.sentence.contains("256")));
    assert!(refused.iter().any(|it| it.remedy.contains("--max-num-tokens 8192")));
    assert!(refused.iter().any(|it| it.sentence.contains("no rank0.engine")));
}

#[test]
fn reuse_without_paged_context_attention_is_refused_and_chunking_warned_of() {
    let directory = read("llama2-7b-awq-0.10");
    let reuse = EngineSettings { kv_reuse: true, ..EngineSettings::default() };
    let problems = directory.check(&PlannedUse::settings(&reuse));
    assert_eq!(
        abouts(&problems),
        [
            (Severity::Refuse, "rank files"),
            (Severity::Refuse, "use_paged_context_fmha"),
            (Severity::Warn, "use_paged_context_fmha"),
        ]
    );
    let whole = EngineSettings { chunked_context: false, ..EngineSettings::default() };
    assert_eq!(
        abouts(&directory.check(&PlannedUse::settings(&whole))),
        [(Severity::Refuse, "rank files")]
    );
}

#[test]
fn reuse_that_an_engine_cannot_have_is_refused_or_warned_of_from_its_directory() {
    let reuse = EngineSettings { kv_reuse: true, ..EngineSettings::default() };
    let found = |change: fn(&mut serde_json::Value), settings: &EngineSettings| {
        let directory = changed(LLAMA_8B, change);
        let directory = EngineDirectory::read(directory.path()).unwrap();
        let problems = directory.check(&PlannedUse::settings(settings));
        let of_reuse = abouts(&problems).into_iter().filter(|(_, about)| *about != "rank files");
        of_reuse.map(|(severity, about)| (severity, about.to_owned())).collect::<Vec<_>>()
    };
    let logits: fn(&mut serde_json::Value) =
        |config| config["build_config"]["gather_context_logits"] = true.into();
    assert_eq!(found(logits, &reuse), [(Severity::Refuse, "gather_context_logits".to_owned())]);
    assert_eq!(found(logits, &EngineSettings::default()), []);
    let recurrent: fn(&mut serde_json::Value) = |config| {
        config["pretrained_config"]["architecture"] = "RecurrentGemmaForCausalLM".into();
    };
    assert_eq!(found(recurrent, &reuse), [(Severity::Warn, "architecture".to_owned())]);
}

#[test]
fn split_prompts_want_iterations_of_whole_blocks() {
    let settings = EngineSettings { max_num_tokens: Some(1000), ..EngineSettings::default() };
    let problems = read(LLAMA_8B).check(&PlannedUse::settings(&settings));
    let found = problems.iter().find(|problem| problem.about == "max_num_tokens").unwrap();
    assert_eq!(found.severity, Severity::Warn);
    assert!(found.remedy.contains("992"), "{found}");
}

#[test]
fn ranks_and_versions_must_be_those_of_the_build() {
    let directory = read("llama3-70b-fp8-tp2");
    let settings = EngineSettings::default();
    let planned = PlannedUse {
        ranks: Some(1),
        library_version: Some("1.1.0"),
        ..PlannedUse::settings(&settings)
    };
    let problems = directory.check(&planned);
    let about = |name: &str| problems.iter().find(|problem| problem.about == name).unwrap();
    assert!(about("mapping.world_size").remedy.contains("mpirun -n 2"));
    assert!(
        about("version").sentence.contains("1.2.1") && about("version").sentence.contains("1.1.0")
    );
    assert!(about("rank files").sentence.contains("rank0.engine, rank1.engine"));
    let right = PlannedUse { ranks: Some(2), library_version: Some("1.2.1"), ..planned };
    assert_eq!(abouts(&directory.check(&right)), [(Severity::Refuse, "rank files")]);
    let of_a_build = PlannedUse { library_version: Some("1.2.1+cu130"), ..right };
    assert_eq!(abouts(&directory.check(&of_a_build)), [(Severity::Refuse, "rank files")]);
}

#[test]
fn an_engine_that_cannot_batch_in_flight_is_refused() {
    let problems =
        read("llama-13b-legacy").check(&PlannedUse::settings(&EngineSettings::default()));
    assert!(abouts(&problems).contains(&(Severity::Refuse, "paged_kv_cache")), "{problems:#?}");
    assert!(abouts(&problems).contains(&(Severity::Refuse, "version")));
}

#[test]
fn a_complete_directory_with_default_settings_has_no_finding() {
    let directory = changed(LLAMA_8B, |_| ());
    fs::write(directory.path().join("rank0.engine"), [0; 64]).unwrap();
    fs::write(directory.path().join("tokenizer.json"), "{}").unwrap();
    let read = EngineDirectory::read(directory.path()).unwrap();
    assert_eq!(read.check(&PlannedUse::settings(&EngineSettings::default())), []);
    assert_eq!(read.files.missing(), [""; 0]);
    assert_eq!(read.files.tokenizer, Some(directory.path().join("tokenizer.json")));
}

#[test]
fn a_stand_in_of_the_simulated_executor_needs_no_rank_files() {
    let directory = changed(LLAMA_8B, |config| {
        config["simulated_profile"] = "h200-llama3-8b-fp8".into();
    });
    let read = EngineDirectory::read(directory.path()).unwrap();
    assert_eq!(read.check(&PlannedUse::settings(&EngineSettings::default())), []);
    assert_eq!(read.files.missing(), ["rank0.engine"]);
}

#[test]
fn weights_are_counted_as_the_model_cards_do() {
    let llama = read(LLAMA_8B).figures().unwrap();
    assert_eq!(llama.parameters, 8_030_261_248.0);
    // Without the input embedding and the norms, which are not matrices.
    assert_eq!(llama.active_parameters, 8_030_261_248.0 - 128_256.0 * 4_096.0 - 65.0 * 4_096.0);
    // One byte for each weight of a layer, two for norms and head.
    assert_eq!(
        llama.weight_bytes,
        32.0 * 218_103_808.0 + 2.0 * (65.0 * 4_096.0 + 128_256.0 * 4_096.0)
    );
    assert_eq!(llama.kv_bytes_per_token, 2.0 * 32.0 * 8.0 * 128.0);
    assert_eq!((llama.attention_width, llama.arithmetic), (131_072.0, Arithmetic::Float8));
    let large = read("llama3-70b-fp8-tp2").figures().unwrap();
    assert_eq!(large.parameters, 70_553_706_496.0);
}

#[test]
fn of_a_mixture_a_token_uses_the_chosen_experts_only() {
    let mixtral = read("mixtral-8x7b-bf16-tp2-pp2").figures().unwrap();
    assert_eq!(mixtral.parameters, 46_702_792_704.0);
    let experts = mixtral.experts.unwrap();
    assert_eq!((experts.count, experts.chosen), (8.0, 2.0));
    assert_eq!(experts.bytes_each, 2.0 * 3.0 * 32.0 * 4_096.0 * 14_336.0);
    // The card says 12.9 B; the embedding of 0.13 B is looked up.
    assert_eq!((mixtral.active_parameters / 1e8).round(), 127.0);
}

#[test]
fn four_bits_in_storage_are_sixteen_in_arithmetic() {
    let awq = read("llama2-7b-awq-0.10").figures().unwrap();
    assert_eq!(awq.arithmetic, Arithmetic::Float16);
    assert_eq!(awq.kv_bytes_per_token, 2.0 * 32.0 * 32.0 * 128.0 * 2.0);
    assert!(awq.weight_bytes < 0.6 * awq.parameters);
}

#[test]
fn what_is_not_known_well_enough_is_not_counted() {
    let figures = |change: &dyn Fn(&mut serde_json::Value)| {
        EngineDirectory::read(changed(LLAMA_8B, change).path()).unwrap().figures()
    };
    assert!(figures(&|_| ()).is_some());
    let other = |config: &mut serde_json::Value| {
        config["pretrained_config"]["architecture"] = "MambaForCausalLM".into();
    };
    assert_eq!(figures(&other), None);
    let algorithm = |config: &mut serde_json::Value| {
        config["pretrained_config"]["quantization"]["quant_algo"] = "FP2_OF_2031".into();
    };
    assert_eq!(figures(&algorithm), None);
    assert_eq!(read("llama-13b-legacy").figures(), None);
}
