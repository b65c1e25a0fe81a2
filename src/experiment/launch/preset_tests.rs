//! Tests of presets: the command line of each, and what each refuses.

use std::path::PathBuf;

use super::*;
use crate::settings::launch::{DEFAULT_READY_TIMEOUT, DEFAULT_STOP_TIMEOUT};

fn settings(launch: &str) -> LaunchSettings {
    LaunchSettings {
        launch: launch.into(),
        model: None,
        world_size: None,
        extra_options: None,
        env: Vec::new(),
        profile: None,
        log_server: false,
        ready: None,
        ready_timeout: DEFAULT_READY_TIMEOUT,
        stop_timeout: DEFAULT_STOP_TIMEOUT,
        target: None,
        metrics: None,
        twin: None,
    }
}

fn of(launch: &str, model: &str) -> LaunchSettings {
    LaunchSettings { model: Some(model.into()), ..settings(launch) }
}

fn full(launch: &str, model: &str) -> LaunchSettings {
    let extra_options = Some(PathBuf::from("more.yaml"));
    LaunchSettings { world_size: Some(2), extra_options, ..of(launch, model) }
}

fn line(settings: &LaunchSettings) -> String {
    plan(settings, Some(Path::new("/hf/tokenizer.json"))).expect(&settings.launch).argv.join(" ")
}

#[test]
fn trtllm_serve_names_its_backend_and_an_engine_its_tokenizer() {
    assert_eq!(
        line(&full("trtllm-serve:pytorch", "org/m")),
        "trtllm-serve org/m --backend pytorch --host 127.0.0.1 --port {port} --tp_size 2 --extra_llm_api_options more.yaml"
    );
    assert_eq!(line(&of("trtllm-serve", "m")), line(&of("trtllm-serve:pytorch", "m")));
    assert_eq!(
        line(&of("trtllm-serve:engine", "/engine")),
        "trtllm-serve /engine --backend tensorrt --host 127.0.0.1 --port {port} --tokenizer /hf"
    );
    assert!(line(&of("trtllm-serve:autodeploy", "m")).contains("--backend _autodeploy"));
    let error = plan(&of("trtllm-serve:onnx", "m"), None).expect_err("no backend").to_string();
    assert!(error.contains("`onnx`") && error.contains(":engine"), "{error}");
}

#[test]
fn vllm_and_sglang_serve_on_loopback_with_their_own_flags() {
    assert_eq!(
        line(&full("vllm", "org/m")),
        "vllm serve org/m --host 127.0.0.1 --port {port} --tensor-parallel-size 2 --config more.yaml"
    );
    assert_eq!(
        line(&full("sglang", "org/m")),
        "python3 -m sglang.launch_server --model-path org/m --host 127.0.0.1 --port {port} --enable-metrics --tp-size 2 \
         --config more.yaml"
    );
}

#[test]
fn llama_server_takes_a_file_and_neither_ranks_nor_options() {
    assert_eq!(
        line(&of("llama-server", "m.gguf")),
        "llama-server --model m.gguf --host 127.0.0.1 --port {port} --metrics"
    );
    let error = plan(&full("llama-server", "m.gguf"), None).expect_err("no place").to_string();
    assert!(error.contains("--world-size"), "{error}");
}

#[test]
fn triton_listens_on_three_ports_and_starts_a_process_for_each_rank() {
    let one = plan(&of("triton", "/repo"), None).expect("a plan");
    let text = one.argv.join(" ");
    assert!(text.starts_with("tritonserver --model-repository /repo --grpc-address"), "{text}");
    for part in ["--grpc-port {port}", "--http-port {http_port}", "--metrics-port {metrics_port}"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(one.target, "triton:127.0.0.1:{port}/ensemble");
    assert_eq!(
        one.ready,
        ReadyWhen::Answers { port: "{http_port}".into(), path: "/v2/health/ready".into() }
    );
    let two = LaunchSettings { world_size: Some(2), ..of("triton", "/repo") };
    let text = line(&two);
    assert!(text.starts_with("mpirun --allow-run-as-root -n 1 tritonserver"), "{text}");
    assert_eq!(text.matches("tritonserver").count(), 2, "{text}");
    assert!(text.contains(" : -n 1 tritonserver"), "{text}");
    assert_eq!(text.matches("--http-port").count(), 1, "one rank serves: {text}");
    assert!(text.contains("prefix0_") && text.contains("prefix1_"), "{text}");
}

#[test]
fn bareflight_serves_with_this_very_program() {
    let text = line(&of("bareflight", "sim:null"));
    assert!(
        text.ends_with(
            "serve --target sim:null --host 127.0.0.1 --port {port} --grpc-port {http_port}"
        ),
        "{text}"
    );
}

#[test]
fn every_preset_needs_what_it_serves() {
    for preset in ["vllm", "sglang", "triton", "llama-server", "bareflight", "trtllm-serve:engine"]
    {
        let error = plan(&settings(preset), None).expect_err(preset).to_string();
        assert!(error.contains("--launch-model") && error.contains(preset), "{error}");
    }
}

#[test]
fn a_command_line_is_taken_as_it_is_and_says_where_it_listens() {
    let own = plan(&settings("/opt/serve --port {port} 'a b'"), None).expect("a plan");
    assert_eq!(own.argv, ["/opt/serve", "--port", "{port}", "a b"]);
    assert_eq!((own.name.as_str(), own.target.as_str()), ("serve", OPENAI));
    assert_eq!(own.ready, ReadyWhen::Listens("{port}".into()));
    let error = plan(&settings("serve"), None).expect_err("no port").to_string();
    assert!(error.contains("{port}") && error.contains("--target"), "{error}");
    let fixed = LaunchSettings {
        target: Some("openai:http://127.0.0.1:8123/v1".into()),
        ..settings("serve")
    };
    assert_eq!(plan(&fixed, None).expect("a plan").ready, ReadyWhen::Listens("8123".into()));
    let error = plan(&of("serve --port {port}", "m"), None).expect_err("no preset").to_string();
    assert!(error.contains("--launch-model"), "{error}");
}

#[test]
fn what_is_typed_wins_over_the_preset() {
    let typed = LaunchSettings {
        ready: Some(ReadySign::Log("startup complete".into())),
        target: Some("openai:http://127.0.0.1:{port}/v2".into()),
        ..of("vllm", "m")
    };
    let plan_typed = plan(&typed, None).expect("a plan");
    assert_eq!(plan_typed.ready, ReadyWhen::Says("startup complete".into()));
    assert_eq!(plan_typed.target, "openai:http://127.0.0.1:{port}/v2");
    let path = LaunchSettings { ready: Some(ReadySign::Path("/up".into())), ..of("triton", "r") };
    let at = plan(&path, None).expect("a plan").ready;
    assert_eq!(at, ReadyWhen::Answers { port: "{http_port}".into(), path: "/up".into() });
}

#[test]
fn a_profiler_stands_before_the_server_and_writes_beside_its_log() {
    let profiled = LaunchSettings { profile: Some(LaunchProfiler::Nsys), ..of("vllm", "m") };
    let profiled = plan(&profiled, None).expect("a plan");
    let text = profiled.argv.join(" ");
    assert!(text.starts_with("nsys profile --output {folder}/server"), "{text}");
    assert!(text.ends_with("vllm serve m --host 127.0.0.1 --port {port}"), "{text}");
    assert_eq!((profiled.program.as_str(), profiled.name.as_str()), ("vllm", "vllm"));
}

#[test]
fn an_interpreter_is_called_by_what_it_runs() {
    for (launch, name) in [
        (
            "python3 -m vllm.entrypoints.openai.api_server --port {port}",
            "vllm.entrypoints.openai.api_server",
        ),
        ("/venv/bin/python -u /opt/my_server.py --port {port}", "my_server"),
        ("/opt/run.sh {port}", "run.sh"),
        ("sh -c 'x {port}'", "sh"),
    ] {
        assert_eq!(plan(&settings(launch), None).expect(launch).name, name);
    }
    let plan = plan(&settings("x {port} --metrics {metrics_port}"), None).expect("a plan");
    assert_eq!(plan.metrics.as_deref(), Some("http://127.0.0.1:{metrics_port}/metrics"));
}
