//! Capability checks: what a target cannot do is refused by name before load.

use crate::settings::engine::{CapacityPolicy, ChunkingPolicy, EngineSettings};
use crate::settings::served::{OutputTokenField, ServedEndpoint, ServedSettings};
use crate::settings::server_metrics::ServerMetricsChoice;
use crate::targets::registry::{Abilities, ServerProtocol};
use crate::targets::{TargetError, TargetInfo};
use crate::workload::Workload;

/// The first thing that was asked for and that a target of this family does not have.
///
/// # Errors
/// It names the flag and the remedy.
pub fn check(
    info: &TargetInfo,
    engine: &EngineSettings,
    workload: &Workload,
) -> Result<(), TargetError> {
    let can = info.abilities();
    refuse(info, set_of_engine(engine, can))?;
    if can.executor_settings {
        return find_adapters(engine, workload);
    }
    let of_requests = asked_of_requests(workload)
        .into_iter()
        .filter(|(flag, _)| !can.priorities || *flag != "--priority")
        .map(|(flag, is)| (flag, is, can.extra_inputs));
    // An adapter refuses by itself what it does not honour.
    let left_to_adapter = ["--cuda-graphs", "--no-chunked-context", "--kv-events"];
    let is_left_to_adapter = |flag| can.in_python.is_some() && left_to_adapter.contains(&flag);
    let of_engine = set_of_executor(engine)
        .into_iter()
        .chain(set_of_scheduler(engine))
        .filter(|(flag, _)| !is_left_to_adapter(*flag))
        .map(|(flag, is)| (flag, is, false));
    match of_requests.chain(of_engine).find(|(_, is_set, _)| *is_set) {
        None => Ok(()),
        Some((flag, _, of_server)) => Err(TargetError::Impossible {
            name: info.name.clone(),
            flag,
            remedy: if of_server {
                "put what the server calls it into `--extra-inputs`, or leave it out"
            } else {
                "leave it out, or measure a `sim:` or `trtllm:` target"
            },
        }),
    }
}

/// The first setting of a server that was given and that a target of this family does not use.
///
/// # Errors
/// It names the flag and the remedy.
pub fn check_served(info: &TargetInfo, served: &ServedSettings) -> Result<(), TargetError> {
    refuse(info, set_of_server(served, info.abilities()))
}

/// A flag, whether it was given, whether the target uses it, and what to do where it does not.
type Given = (&'static str, bool, bool, &'static str);

fn refuse(info: &TargetInfo, given: impl IntoIterator<Item = Given>) -> Result<(), TargetError> {
    match given.into_iter().find(|(_, is_set, is_used, _)| *is_set && !*is_used) {
        None => Ok(()),
        Some((flag, _, _, remedy)) => {
            Err(TargetError::Impossible { name: info.name.clone(), flag, remedy })
        }
    }
}

const IN_PROCESS: &str = "leave it out, or measure an engine in this process, such as `local:`, `sim:` or `trtllm:` (in a \
     comparison, give it to one side: `--set A:KEY=VALUE`)";
const EMBEDDED: &str =
    "leave it out, or measure `local:` (in a comparison, give it to one side: `--set A:KEY=VALUE`)";
const IN_PYTHON: &str = "leave it out, or measure `vllm:`, `trtllm-torch:` or `py:` (in a comparison, give it to one side: \
     `--set A:KEY=VALUE`)";
const SERVER: &str = "leave it out, or measure a server with `openai:` or `triton:` (in a comparison, give it to one side: \
     `--set A:KEY=VALUE`)";
const HTTP: &str = "leave it out, or measure `openai:` (in a comparison, give it to one side: `--set A:KEY=VALUE`)";
const GRPC: &str = "leave it out, or measure `triton:` (in a comparison, give it to one side: `--set A:KEY=VALUE`)";

fn set_of_engine(engine: &EngineSettings, can: Abilities) -> [Given; 12] {
    let default = EngineSettings::default();
    let (own, stamps) = (can.scheduler_settings, can.engine_stamps);
    [
        ("--max-batch-size", engine.max_batch_size.is_some(), own, IN_PROCESS),
        ("--max-num-tokens", engine.max_num_tokens.is_some(), own, IN_PROCESS),
        ("--max-queue-size", engine.max_queue_size.is_some(), own, IN_PROCESS),
        ("--kv-reuse", engine.kv_reuse != default.kv_reuse, own, IN_PROCESS),
        ("--kv-tokens", engine.kv_tokens.is_some(), own, IN_PROCESS),
        ("--iteration-stats", engine.iteration_stats.is_some_and(|kept| kept > 0), own, IN_PROCESS),
        ("--threads", engine.threads.is_some(), can.arithmetic_threads, EMBEDDED),
        (
            "--quantization",
            engine.quantization != default.quantization,
            can.arithmetic_threads,
            EMBEDDED,
        ),
        ("--engine-arg", !engine.engine_args.is_empty(), can.in_python.is_some(), IN_PYTHON),
        ("--python", engine.python.is_some(), can.in_python.is_some(), IN_PYTHON),
        ("--no-engine-stamps", !engine.perf_metrics, stamps, "leave it out: it gives none"),
        (
            "--worker",
            engine.worker.is_some(),
            can.several_ranks,
            "leave it out, or measure `trtllm:`",
        ),
    ]
}

fn set_of_server(served: &ServedSettings, can: Abilities) -> [Given; 22] {
    let server = can.server.is_some();
    let http = can.server == Some(ServerProtocol::Http);
    let grpc = can.server == Some(ServerProtocol::Grpc);
    let waits = server || can.loads_triton;
    let field = served.output_token_field != OutputTokenField::default();
    [
        ("--model", served.model.is_some(), http, HTTP),
        ("--endpoint", served.endpoint != ServedEndpoint::default(), http, HTTP),
        ("--output-token-field", field, http, HTTP),
        ("--omit", !served.omit.is_empty(), http, HTTP),
        ("--fresh-connections", served.fresh_connections, http, HTTP),
        ("--http2", served.http2, http, HTTP),
        ("--api-key-env", served.api_key_env.is_some(), server, SERVER),
        ("--api-key-file", served.api_key_file.is_some(), server, SERVER),
        ("--header", !served.headers.is_empty(), server, SERVER),
        ("--ca-file", served.ca_file.is_some(), server, SERVER),
        ("--insecure", served.insecure, server, SERVER),
        ("--no-proxy", served.no_proxy, server, SERVER),
        ("--server-metrics", served.server_metrics != ServerMetricsChoice::Auto, server, SERVER),
        ("--connect-timeout", served.connect_timeout.is_some(), waits, SERVER),
        ("--first-token-timeout", served.first_token_timeout.is_some(), waits, SERVER),
        ("--idle-timeout", served.idle_timeout.is_some(), waits, SERVER),
        ("--client-threads", served.client_threads.is_some(), server, SERVER),
        ("--triton-streams", served.triton_streams.is_some(), grpc, GRPC),
        ("--triton-connections", served.triton_connections.is_some(), grpc, GRPC),
        ("--extra-inputs", served.extra_inputs.is_some(), can.extra_inputs, SERVER),
        (
            "--tokenizer",
            served.tokenizer.is_some(),
            !can.replies_at_once,
            "leave it out: it reads no prompt",
        ),
        (
            "--vocab-size",
            served.vocab_size.is_some(),
            !can.scheduler_settings,
            "leave it out: it knows its own",
        ),
    ]
}

/// The executor looks for `TASK/model.lora_weights.npy` and `TASK/model.lora_config.npy`, as TensorRT-LLM's
/// `hf_lora_convert.py` writes them, and would fail every request of a task without them.
fn find_adapters(engine: &EngineSettings, workload: &Workload) -> Result<(), TargetError> {
    let (Some(folder), Some(mix)) = (&engine.lora_dir, &workload.adapters) else { return Ok(()) };
    for task in mix.tasks() {
        for file in ["model.lora_weights.npy", "model.lora_config.npy"] {
            let path = folder.join(task.to_string()).join(file);
            if !path.is_file() {
                let missing = path.display().to_string();
                return Err(TargetError::Adapter { task, missing });
            }
        }
    }
    Ok(())
}

fn asked_of_requests(workload: &Workload) -> [(&'static str, bool); 13] {
    let terms = &workload.terms;
    [
        ("--beam-width", terms.beam_width.is_some()),
        ("--min-p", terms.min_p.is_some()),
        ("--repetition-penalty", terms.repetition_penalty.is_some()),
        ("--presence-penalty", terms.presence_penalty.is_some()),
        ("--frequency-penalty", terms.frequency_penalty.is_some()),
        ("--length-penalty", terms.length_penalty.is_some()),
        // Before the ids that they become.
        ("--stop-text", !workload.stop_texts.stop.is_empty()),
        ("--bad-text", !workload.stop_texts.bad.is_empty()),
        ("--stop-words", terms.stop_words.is_some()),
        ("--bad-words", terms.bad_words.is_some()),
        ("--priority", workload.priorities.is_some()),
        ("--allotted-time", terms.allotted.is_some()),
        ("--lora", workload.adapters.is_some()),
    ]
}

fn set_of_executor(engine: &EngineSettings) -> [(&'static str, bool); 20] {
    let default = EngineSettings::default();
    [
        ("--kv-fraction", engine.kv_fraction.is_some()),
        ("--kv-host-cache-bytes", engine.kv_host_cache_bytes.is_some()),
        ("--no-kv-partial-reuse", engine.kv_partial_reuse != default.kv_partial_reuse),
        ("--attention-windows", !engine.attention_windows.is_empty()),
        ("--sink-tokens", engine.sink_tokens.is_some()),
        ("--kv-events", engine.kv_events.is_some()),
        ("--cuda-graphs", engine.cuda_graphs != default.cuda_graphs),
        ("--no-multi-block", engine.multi_block != default.multi_block),
        (
            "--weights-percent",
            engine.weights_percent.to_bits() != default.weights_percent.to_bits(),
        ),
        ("--decoding", engine.decoding.is_some()),
        ("--lookahead", engine.lookahead.is_some()),
        ("--draft-choices", engine.draft_choices.is_some()),
        ("--draft-engine", engine.drafting.is_some()),
        ("--device-ids", !engine.device_ids.is_empty()),
        ("--lora-dir", engine.lora_dir.is_some()),
        ("--lora-max-rank", engine.lora_max_rank.is_some()),
        ("--lora-fraction", engine.lora_fraction.is_some()),
        ("--lora-host-cache-bytes", engine.lora_host_cache_bytes.is_some()),
        ("--cuda-graph-cache", engine.cuda_graph_cache.is_some()),
        ("--engine-log", engine.log_level.is_some()),
    ]
}

/// What the embedded engine always does in its own way; a server is set up by who runs it.
fn set_of_scheduler(engine: &EngineSettings) -> [(&'static str, bool); 3] {
    [
        ("--capacity-policy", engine.capacity_policy != CapacityPolicy::GuaranteedNoEvict),
        ("--chunking-policy", engine.chunking_policy != ChunkingPolicy::FirstComeFirstServed),
        ("--no-chunked-context", !engine.chunked_context),
    ]
}

#[cfg(test)]
pub(in crate::targets) mod tests {
    use super::*;
    use crate::request::Limits;

    /// A target of this kind, of which nothing else is known.
    pub(in crate::targets) fn target(kind: &str) -> TargetInfo {
        TargetInfo {
            name: format!("{kind}:x"),
            kind: kind.into(),
            title: String::new(),
            simulated: false,
            dummy_weights: false,
            gpus: 0,
            limits: Limits::default(),
            details: serde_json::Value::Null,
        }
    }

    fn workload() -> Workload {
        Workload::synthetic("D(1,1)".parse().expect("a scenario"), 1)
    }

    #[test]
    fn what_a_target_does_not_have_is_refused_by_flag() {
        let mut beams = workload();
        beams.terms.beam_width = Some(4);
        let mut worded = workload();
        worded.stop_texts.stop = vec!["END".into()];
        let windows = EngineSettings { attention_windows: vec![128], ..EngineSettings::default() };
        let evicting = EngineSettings {
            capacity_policy: CapacityPolicy::MaxUtilization,
            ..EngineSettings::default()
        };
        let plain = EngineSettings::default();
        for (kind, engine, asked, flag) in [
            ("local", &plain, &beams, "--beam-width"),
            ("null", &windows, &workload(), "--attention-windows"),
            ("local", &evicting, &workload(), "--capacity-policy"),
            ("openai", &plain, &beams, "--extra-inputs"),
            ("openai", &evicting, &workload(), "--capacity-policy"),
            ("local", &plain, &worded, "--stop-text"),
        ] {
            let error = check(&target(kind), engine, asked).expect_err(flag).to_string();
            assert!(error.contains(flag) && error.contains(&format!("{kind}:x")), "{error}");
        }
        check(&target("sim"), &windows, &beams).expect("an executor has all of it");
    }

    #[test]
    fn an_adapter_that_is_not_there_is_missed_before_load() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let one = folder.path().join("1");
        std::fs::create_dir(&one).expect("a folder");
        for file in ["model.lora_weights.npy", "model.lora_config.npy"] {
            std::fs::write(one.join(file), b"").expect("a file");
        }
        let engine =
            EngineSettings { lora_dir: Some(folder.path().into()), ..EngineSettings::default() };
        let mut asked = workload();
        asked.adapters = Some("1:1,0:1".parse().expect("a mix"));
        check(&target("sim"), &engine, &asked).expect("task 1 is there, and 0 needs nothing");
        asked.adapters = Some("1:1,2:1".parse().expect("a mix"));
        let error = check(&target("sim"), &engine, &asked).expect_err("no task 2").to_string();
        assert!(error.contains("task 2") && error.contains("model.lora_weights.npy"), "{error}");
    }

    #[test]
    fn nothing_in_particular_is_possible_everywhere() {
        for kind in ["local", "null", "sim", "trtllm", "openai", "triton"] {
            check(&target(kind), &EngineSettings::default(), &workload()).expect(kind);
        }
        let mut urgent = workload();
        urgent.priorities = Some(0.9.into());
        check(&target("local"), &EngineSettings::default(), &urgent).expect("it knows priorities");
    }
}
