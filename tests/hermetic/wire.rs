//! What goes over the wire: refusals found before any load, base paths, proxies, connections opened ahead.

use std::process::{Command, Output};

use crate::support::NOBODY;
use crate::support::fault_server::{FaultServer, Next, Out, Request};
use crate::support::left_behind::{directory, read, words};
use serde_json::Value;
use tempfile::TempDir;

/// A good streamed answer of `/v1/completions`.
fn good(out: &mut Out<'_>) -> Next {
    out.stream_head();
    for _ in 0..4 {
        out.event(r#"{"choices":[{"index":0,"text":" word","finish_reason":null}]}"#);
    }
    out.event(r#"{"choices":[{"index":0,"text":"","finish_reason":"length"}]}"#);
    out.event(
        r#"{"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}}"#,
    );
    out.event("[DONE]");
    out.end()
}

/// A run of 24 requests, eight at a time, at a server with this URL.
fn run_with(out: &TempDir, url: &str, more: &[&str], environment: &[(&str, &str)]) -> Output {
    let target = format!("openai:{url}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--target", &target, "--endpoint", "completions", "--model", "m"]);
    command.args(["--concurrency", "8", "--requests", "24", "--window", "whole"]);
    if !more.contains(&"--scenario") {
        command.args(["--scenario", "D(8,4)"]);
    }
    if !more.contains(&"--warmup") {
        command.args(["--warmup", "0"]);
    }
    command.args(more);
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    for name in ["no_proxy", "NO_PROXY"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).current_dir(out.path()).env("CI", "1");
    command.output().expect("the binary runs")
}

fn run(out: &TempDir, url: &str, more: &[&str]) -> Output {
    run_with(out, url, more, &[])
}

fn posts(server: &FaultServer) -> Vec<Request> {
    server.requests().into_iter().filter(|request| request.method == "POST").collect()
}

/// Refuses a request that has this member, as strict servers do.
fn strict(field: &'static str, words: &'static str) -> FaultServer {
    FaultServer::start(move |request, out| match request.method.as_str() {
        "POST" if request.json().get(field).is_some() => {
            out.json(400, &format!(r#"{{"error":{{"message":"{words}"}}}}"#))
        }
        "POST" => good(out),
        _ => out.json(404, "{}"),
    })
}

#[test]
fn a_strict_server_stops_the_run_before_any_load_and_names_the_flag_that_mends_it() {
    for (field, said, remedy) in [
        ("ignore_eos", "extra field: ignore_eos", &["--omit", "ignore_eos"][..]),
        ("stream_options", "Unknown parameter: 'stream_options'", &["--omit", "stream_options"]),
        ("temperature", "temperature must be 1", &["--omit", "temperature"]),
        (
            "max_tokens",
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            &["--output-token-field", "max_completion_tokens"],
        ),
    ] {
        let out = tempfile::tempdir().expect("a folder");
        let server = strict(field, said);
        let refused = run(&out, &server.url(), &[]);
        let errors = words(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{errors}");
        assert!(errors.contains(&remedy.join(" ")) && errors.contains(said), "{errors}");
        // Where it may be for the usage in each chunk alone, it is asked without.
        let probes = if field == "stream_options" { 2 } else { 1 };
        assert_eq!(posts(&server).len(), probes, "a probe, and no load");
        let mended = run(&out, &server.url(), remedy);
        assert!(matches!(mended.status.code(), Some(0 | 4)), "{}", words(&mended.stderr));
        let sent = posts(&server);
        assert_eq!(sent.len(), probes + 1 + 24);
        assert!(sent[probes..].iter().all(|request| request.json().get(field).is_none()));
    }
}

#[test]
fn extra_inputs_that_say_what_the_run_sends_anyway_are_sent_once() {
    let out = tempfile::tempdir().expect("a folder");
    let server = strict("no such member", "no");
    let same = r#"{"ignore_eos":true,"stream":true,"temperature":0,"n":1}"#;
    let ran = run(&out, &server.url(), &["--extra-inputs", same]);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    for request in posts(&server) {
        let body = words(&request.body);
        for member in ["\"ignore_eos\":true", "\"stream\":true", "\"temperature\":0", "\"n\":1"] {
            assert_eq!(body.matches(member).count(), 1, "{member}: {body}");
        }
    }
    let other = run(&out, &server.url(), &["--extra-inputs", r#"{"ignore_eos":false}"#]);
    assert!(words(&other.stderr).contains("--stop-at-eos"), "{}", words(&other.stderr));
}

#[test]
fn requested_tokens_are_what_was_asked_on_the_wire() {
    let out = tempfile::tempdir().expect("a folder");
    let server = strict("max_tokens", "no");
    let more = ["--output-token-field", "max_completion_tokens", "--scenario", "U(4,8)/(2,64)"];
    let ran = run(&out, &server.url(), &more);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    let sent = posts(&server);
    let asked = sent[1..].iter().map(|it| it.json()["max_completion_tokens"].to_string());
    let mut asked: Vec<String> = asked.collect();
    let mut recorded = column(&out, "requested_tokens");
    asked.sort();
    recorded.sort();
    assert_eq!(asked, recorded);
}

#[test]
fn a_wrong_base_path_is_named_with_the_right_one_and_nothing_is_measured() {
    let server = FaultServer::start(|request, out| match request.path.as_str() {
        "/v1/completions" => good(out),
        "/v1/models" => out.json(200, r#"{"data":[{"id":"m"}]}"#),
        _ => out.json(404, r#"{"detail":"Not Found"}"#),
    });
    for wrong in ["/v1", "/health"] {
        let out = tempfile::tempdir().expect("a folder");
        let base = if wrong == "/v1" { server.url() } else { format!("http://{}", server.address) };
        let refused = run(&out, &format!("{base}{wrong}"), &[]);
        let errors = words(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{errors}");
        assert!(errors.contains(&format!("`openai:{}`", server.url())), "{errors}");
    }
    assert_eq!(posts(&server).len(), 2);
    // Also where the server is first asked which model it has.
    for wrong in ["/v1/v1", "/health"] {
        let out = tempfile::tempdir().expect("a folder");
        let url = format!("openai:http://{}{wrong}", server.address);
        let refused = Command::new(env!("CARGO_BIN_EXE_bareflight"))
            .args(["run", "--target", &url, "--no-proxy", "--out"])
            .arg(out.path())
            .output()
            .expect("the binary runs");
        let errors = words(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{errors}");
        assert!(errors.contains(&format!("`openai:{}`", server.url())), "{errors}");
    }
}

#[test]
fn a_base_path_behind_a_gateway_is_found_and_one_that_is_nowhere_is_not_made_up() {
    let server = FaultServer::start(|request, out| match request.path.as_str() {
        "/api/v1/models" => out.json(200, r#"{"data":[{"id":"m"}]}"#),
        _ => out.json(404, "{}"),
    });
    let origin = format!("http://{}", server.address);
    let out = tempfile::tempdir().expect("a folder");
    let told = |base: &str| words(&run(&out, &format!("{origin}{base}"), &[]).stderr);
    let wrong = told("/v1");
    assert!(wrong.contains(&format!("the server answers at `openai:{origin}/api/v1`")), "{wrong}");
    let model = told("/api/v1");
    assert!(model.contains("--model") && !model.contains("base path"), "{model}");
    let nowhere = FaultServer::start(|_, out| out.json(404, "{}"));
    let lost = words(&run(&out, &format!("http://{}/v1", nowhere.address), &[]).stderr);
    assert!(lost.contains("/v1/models either") && lost.contains("--model"), "{lost}");
}

#[test]
fn a_server_that_is_not_there_is_told_as_that() {
    let out = tempfile::tempdir().expect("a folder");
    let refused = run(&out, &format!("http://{NOBODY}/v1"), &[]);
    let errors = words(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{errors}");
    assert!(errors.contains("refused") && errors.contains("is the server up"), "{errors}");
}

#[test]
fn a_server_that_wants_longer_outputs_than_a_probe_s_is_measured() {
    let server = FaultServer::start(|request, out| match request.method.as_str() {
        "POST" if request.json()["max_tokens"].as_u64() < Some(8) => {
            out.json(400, r#"{"error":{"message":"max_tokens must be at least 8"}}"#)
        }
        "POST" => good(out),
        _ => out.json(404, "{}"),
    });
    let out = tempfile::tempdir().expect("a folder");
    let ran = run(&out, &server.url(), &["--scenario", "D(8,8)"]);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    assert_eq!(posts(&server).len(), 2 + 24);
    let short = run(&out, &server.url(), &[]);
    let errors = words(&short.stderr);
    assert_eq!(short.status.code(), Some(3), "{errors}");
    assert!(errors.contains("--scenario") && !errors.contains("--output-token-field"), "{errors}");
}

#[test]
fn a_member_that_only_the_field_param_names_has_its_remedy() {
    let server = FaultServer::start(|request, out| {
        match request.method.as_str() {
        "POST" if request.json().get("temperature").is_some() => out.json(
            400,
            r#"{"error":{"message":"Unsupported parameter","param":"temperature","code":"unsupported"}}"#,
        ),
        "POST" if request.json()["stream"] == true => {
            out.json(400, r#"{"error":"streaming is not supported"}"#)
        }
        "POST" => out.json(
            200,
            r#"{"choices":[{"text":" a b","finish_reason":"length"}],"usage":{"completion_tokens":4}}"#,
        ),
        _ => out.json(404, "{}"),
    }
    });
    let out = tempfile::tempdir().expect("a folder");
    let errors = words(&run(&out, &server.url(), &[]).stderr);
    assert!(errors.contains("--omit temperature"), "{errors}");
    let errors = words(&run(&out, &server.url(), &["--omit", "temperature"]).stderr);
    assert!(errors.contains("--no-streaming"), "{errors}");
    let ran = run(&out, &server.url(), &["--omit", "temperature", "--no-streaming"]);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
}

#[test]
fn a_missing_key_is_told_with_the_flag_that_gives_it() {
    let server = FaultServer::start(|_, out| out.json(401, r#"{"error":"no key"}"#));
    let out = tempfile::tempdir().expect("a folder");
    let errors = words(&run(&out, &server.url(), &[]).stderr);
    assert!(errors.contains("--api-key-env"), "{errors}");
}

#[test]
fn why_no_request_completed_goes_to_standard_error_even_if_quiet() {
    // The probe is taken, and nothing after it.
    let server = FaultServer::start(|request, out| {
        if request.number <= 1 { good(out) } else { out.json(500, r#"{"error":"broken"}"#) }
    });
    let out = tempfile::tempdir().expect("a folder");
    let ran = run(&out, &server.url(), &["-q"]);
    let errors = words(&ran.stderr);
    assert_ne!(ran.status.code(), Some(0));
    assert!(errors.contains("no request completed") && errors.contains("broken"), "{errors}");
}

/// A column of `requests.csv`.
fn column(out: &TempDir, name: &str) -> Vec<String> {
    let rows = read(&directory(out), "requests.csv");
    let mut rows = csv::Reader::from_reader(rows.as_bytes());
    let headers = rows.headers().expect("a header").clone();
    let place = headers.iter().position(|header| header == name).expect(name);
    rows.records().map(|row| row.expect("a row")[place].to_owned()).collect()
}

#[test]
fn connections_are_opened_before_the_load_and_are_no_latency() {
    let out = tempfile::tempdir().expect("a folder");
    let server = strict("nothing", "");
    // The warm-up has used them before.
    let ran = run(&out, &server.url(), &["--warmup", "16"]);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    let places = column(&out, "connect_at");
    assert_eq!(places.len(), 24);
    assert!(!places.iter().any(|place| place == "inside"), "{places:?}");
    let ahead = places.iter().filter(|place| *place == "ahead").count();
    assert!((1..=8).contains(&ahead), "{places:?}");
    assert!(column(&out, "resent").iter().all(|count| count == "0"));
}

#[test]
fn with_fresh_connections_each_request_tells_what_its_own_took() {
    let out = tempfile::tempdir().expect("a folder");
    let server = strict("nothing", "");
    let ran = run(&out, &server.url(), &["--fresh-connections"]);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    assert_eq!(column(&out, "connect_at"), ["inside"; 24]);
    assert!(column(&out, "connect_ms").iter().all(|ms| ms.parse::<f64>().expect(ms) > 0.0));
    assert!(words(&ran.stdout).contains("opened a connection of their own"));
}

#[test]
fn a_proxy_that_the_environment_names_is_used_as_curl_does_and_is_told() {
    let proxy = strict("nothing", "");
    let place = format!("http://{}", proxy.address);
    let out = tempfile::tempdir().expect("a folder");
    let ran = run_with(&out, "http://model.invalid/v1", &[], &[("http_proxy", &place)]);
    assert!(matches!(ran.status.code(), Some(0 | 4)), "{}", words(&ran.stderr));
    let sent = posts(&proxy);
    assert_eq!(sent.len(), 1 + 24);
    assert!(sent.iter().all(|it| it.path == "http://model.invalid/v1/completions"), "{sent:?}");
    assert!(words(&ran.stdout).contains("went through the proxy"), "{}", words(&ran.stdout));
    assert!(read(&directory(&out), "manifest.json").contains(&place));
    for (more, environment) in [
        (&["--no-proxy"][..], &[("http_proxy", &*place)][..]),
        (&[], &[("http_proxy", &*place), ("no_proxy", ".invalid")]),
    ] {
        let out = tempfile::tempdir().expect("a folder");
        let direct = run_with(&out, "http://model.invalid/v1", more, environment);
        assert_eq!(direct.status.code(), Some(3), "there is no such host");
    }
    assert_eq!(posts(&proxy).len(), 1 + 24);
}

/// What the manifest says of the client's calibration, and what the check says of it.
fn client_rate(out: &TempDir) -> (Value, Value, String) {
    let run = directory(out);
    let json = |name| serde_json::from_str::<Value>(&read(&run, name)).expect("JSON");
    let (manifest, summary) = (json("manifest.json"), json("summary.json"));
    let checks = summary["points"][0]["checks"].as_array().expect("checks").clone();
    let headroom = checks.into_iter().find(|check| check["id"] == "headroom").expect("a check");
    let sentence = headroom["sentence"].as_str().expect("a sentence").to_owned();
    (manifest["client_rate"].clone(), manifest["faults"].clone(), sentence)
}

#[test]
fn the_headroom_of_a_server_was_measured_on_its_client_s_own_path_with_the_threads_that_were_asked_for()
 {
    let ways: [(&[&str], u64); 3] =
        [(&[], 1), (&["--client-threads", "2"], 2), (&["--no-streaming"], 1)];
    for (flags, threads) in ways {
        let out = tempfile::tempdir().expect("a folder");
        let server = strict("nothing", "");
        // What no server answers is calibrated all the same: the stub is our own.
        let _ended = run(&out, &server.url(), flags);
        let (rate, faults, sentence) = client_rate(&out);
        assert_eq!(faults, serde_json::json!([]), "{flags:?}");
        assert_eq!(rate["threads"], threads, "{flags:?}: {rate}");
        for name in ["requests_per_s", "tokens_per_s"] {
            // A client whose time was not counted would read without end.
            let is_possible = |rate| (100.0..1e8).contains(&rate);
            assert!(rate[name].as_f64().is_some_and(is_possible), "{flags:?}: {rate}");
        }
        let named = if threads == 1 { "one client thread" } else { "2 client threads" };
        assert!(sentence.contains("stub on loopback") && sentence.contains(named), "{sentence}");
    }
}

#[test]
fn nothing_of_the_stub_is_printed() {
    let out = tempfile::tempdir().expect("a folder");
    let server = strict("nothing", "");
    let environment = [("TLLM_LOG_LEVEL", "TRACE")];
    let ran = run_with(&out, &server.url(), &[], &environment);
    for stream in [&ran.stdout, &ran.stderr] {
        assert!(!words(stream).contains("[TensorRT-LLM]"), "{}", words(stream));
    }
    assert!(words(&ran.stdout).contains("TTFT"));
}
