//! Embeddings through whole runs: what is shown of answers that have no output tokens.

use serde_json::Value;

use crate::support::fault_server::FaultServer;
use crate::support::left_behind::in_one_line;
use crate::support::served_run::Run;

/// Answers with an embedding, and counts two tokens more than were sent.
fn embedder() -> FaultServer {
    FaultServer::start(|request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        out.json(
            200,
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,0.25]}],"usage":{"prompt_tokens":6,"total_tokens":6}}"#,
        )
    })
}

#[test]
fn embeddings_are_told_in_input_tokens_and_requests_and_nothing_that_cannot_apply() {
    let run = Run::of_endpoint(
        &embedder(),
        "embeddings",
        20,
        &["--prompts", "ids", "--vocab-size", "500"],
    );
    let (point, console) = (run.point(), &run.console);
    assert_eq!(point["counts"]["completed"], 20, "{console}");
    assert_eq!(point["rates"]["output_throughput_tokens_per_s"], Value::Null);
    assert_eq!(
        point["rates"]["input_throughput_tokens_per_s"],
        point["rates"]["total_throughput_tokens_per_s"]
    );
    let (input, requests) = (
        &point["rates"]["input_throughput_tokens_per_s"],
        &point["rates"]["request_throughput_per_s"],
    );
    let each = input.as_f64().unwrap() / requests.as_f64().unwrap();
    assert!((each - 6.0).abs() < 1e-9, "the server's own count: {each}");
    assert!(console.contains("input tokens/s"), "{console}");
    for absent in ["output", "TTFT", "ITL", "TPOT", "first token"] {
        assert!(!console.contains(absent), "{absent} in\n{console}");
    }
    let words = in_one_line(console);
    assert!(
        words.contains("the server counts 2 prompt tokens more than planned in every request"),
        "{console}"
    );
    let page = run.text("report.html");
    let results = page.split("<details").next().unwrap();
    assert!(results.contains("Input throughput"), "{results}");
    for absent in ["Output throughput", "Time to first token", "Inter-token"] {
        assert!(!results.contains(absent), "{absent} in\n{results}");
    }
}

#[test]
fn an_export_for_aiperf_has_what_aiperf_has_of_embeddings() {
    let load = ["--prompts", "ids", "--vocab-size", "500", "--export", "aiperf"];
    let run = Run::of_endpoint(&embedder(), "embeddings", 20, &load);
    let folder = run.folder.join("exports/aiperf/concurrency1");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
    let document: Value = serde_json::from_str(&read("profile_export_aiperf.json")).expect("JSON");
    assert_eq!(document["input_config"]["endpoint"]["type"], "embeddings");
    let lines = read("profile_export.jsonl");
    let line: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    for tag in ["request_latency", "input_sequence_length"] {
        assert!(document[tag].is_object() && line["metrics"][tag].is_object(), "{tag}");
    }
    for tag in ["output_token_throughput", "total_osl", "usage_prompt_tokens", "output_token_count"]
    {
        assert!(document[tag].is_null() && line["metrics"][tag].is_null(), "{tag}");
    }
}
