//! `bareflight serve` seen from outside: by our own targets, and byte by byte.
#![allow(clippy::float_cmp)] // Counters are whole numbers.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use crate::support::serve_process::{Answer, Serving, command};
use crate::support::watch::{Seen, Watch, shot};
use bareflight::record::event::{Ending, TokenHash};
use bareflight::record::request_record::FinishReason;
use bareflight::request::FailureKind;
use bareflight::settings::engine::EngineSettings;
use bareflight::settings::served::BodyField;
use bareflight::targets::openai::options::OpenAiOptions;
use bareflight::targets::openai::{Endpoint, OpenAiTarget, PromptAs};
use bareflight::targets::sim::SimTarget;
use bareflight::targets::triton::TritonTarget;
use bareflight::targets::triton::options::TritonOptions;
use bareflight::targets::{Drain, Target};
use bareflight_engine::tokenizers::Tokenizer;
use serde_json::{Value, json};

/// An iteration takes a tenth of a second: slow enough for what happens in between.
const SLOW: &str = "sim:explicit,base_us=100000";
pub const QUICK: &str = "sim:explicit,base_us=200";

pub fn completions(serving: &Serving) -> OpenAiOptions {
    let mut options = OpenAiOptions::new(&serving.openai);
    options.endpoint = Endpoint::Completions;
    options.prompt_as = PromptAs::Ids;
    options.extra_inputs.insert("return_token_ids".into(), true.into());
    // The simulated engine's tokens depend on it, greedy or not.
    options.omit = vec![BodyField::Seed];
    options.extra_inputs.insert("seed".into(), 1.into());
    options
}

pub fn triton(serving: &Serving, model: &str) -> TritonOptions {
    TritonOptions::new(format!("{}/{model}", serving.grpc).parse().expect("an address"))
}

/// Plays so many shots at once, and gives what was seen of each.
fn play(target: impl Target + 'static, requests: u32, tokens: u32) -> Vec<Seen> {
    let mut watch = Watch::open(target);
    for id in 0..requests {
        watch.fire(&shot(id, tokens));
    }
    watch.wait(120.0);
    let (seen, drain) = watch.finish(5.0);
    assert_eq!(drain, Drain::Clean);
    seen.into_values().collect()
}

fn hashes(all: &[Seen]) -> Vec<Option<TokenHash>> {
    all.iter().map(|seen| seen.hash).collect()
}

#[test]
fn both_protocols_give_the_very_tokens_of_the_engine_and_its_stamps() {
    let serving = Serving::start(&["--target", QUICK]);
    let profile = QUICK.trim_start_matches("sim:");
    let engine = SimTarget::new(profile, EngineSettings::default()).unwrap();
    let vocabulary = engine.describe().limits.vocab_size;
    assert!(vocabulary.is_some());
    let inside = play(engine, 24, 17);
    let mut named = completions(&serving);
    named.model = Some(serving.ready["model"].as_str().expect("a name").to_owned());
    let unnamed = OpenAiTarget::new(completions(&serving)).unwrap();
    for target in [unnamed, OpenAiTarget::new(named).unwrap().ask_about_named_model()] {
        assert!(target.describe().simulated, "a simulation stays one behind a server");
        assert_eq!(target.describe().limits.vocab_size, vocabulary, "prompts are drawn below it");
    }
    let over_grpc = TritonTarget::new(triton(&serving, "tensorrt_llm")).unwrap();
    assert_eq!(over_grpc.describe().limits.vocab_size, vocabulary);
    let http = play(OpenAiTarget::new(completions(&serving)).unwrap(), 24, 17);
    let grpc = play(TritonTarget::new(triton(&serving, "tensorrt_llm")).unwrap(), 24, 17);
    for (name, outside) in [("http", &http), ("grpc", &grpc)] {
        assert_eq!(hashes(outside), hashes(&inside), "{name}");
        for seen in outside {
            assert_eq!((seen.tokens(), seen.has_times), (17, true), "{name}: {seen:?}");
            assert_eq!(seen.ending(), Ending::Completed(FinishReason::Length), "{name}");
        }
    }
    assert!(http[0].hash != http[1].hash, "other prompts, other tokens");
}

#[test]
fn the_text_ensemble_counts_every_token() {
    let serving = Serving::start(&["--target", "null:"]);
    let seen = play(TritonTarget::new(triton(&serving, "ensemble")).unwrap(), 8, 9);
    assert!(seen.iter().all(|seen| seen.tokens() == 9), "{seen:?}");
}

#[test]
fn a_stream_is_role_with_text_then_text_the_last_with_finish_and_stamps_then_usage() {
    let serving = Serving::start(&["--target", QUICK, "--model-name", "m"]);
    let ask = json!({
        "model": "m", "messages": [{ "role": "user", "content": "w0001 w0002 w0003" }],
        "max_tokens": 4, "temperature": 0, "ignore_eos": true, "stream": true,
        "stream_options": { "include_usage": true },
    });
    let answer = serving.post("/v1/chat/completions", &ask);
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = answer.events();
    let (with_text, rest) = events.split_at(4);
    for (at, event) in with_text.iter().enumerate() {
        let delta = &event["choices"][0]["delta"];
        assert_eq!(delta["content"].as_str().expect("text").split_whitespace().count(), 1);
        assert_eq!(delta.get("role"), (at == 0).then_some(&json!("assistant")), "{event}");
        let reason = if at == 3 { json!("length") } else { Value::Null };
        assert_eq!(event["choices"][0]["finish_reason"], reason);
    }
    let finish = &with_text[3];
    let [usage] = rest else { panic!("one more event: {events:?}") };
    let stamp = |name: &str| finish["x-bareflight-timing"][name].as_i64().expect("a stamp");
    assert!(stamp("arrival") <= stamp("first_scheduled"), "{finish}");
    assert!(stamp("first_scheduled") < stamp("first_token"), "{finish}");
    assert!(stamp("first_token") < stamp("last_token"), "{finish}");
    assert_eq!(usage["choices"], json!([]));
    let counts = json!({ "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 });
    assert_eq!(usage["usage"], counts);
    let ids: Vec<_> = events.iter().map(|event| &event["id"]).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

/// A tokenizer's folder with a chat template that writes three words around what is said.
fn with_template() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let tokenizer = bareflight_engine::dummy_tokenizer(64);
    tokenizer.save(folder.path().join("tokenizer.json"), false).expect("a file");
    let template = "{{ bos_token }}{% for message in messages %} w0002 {{ message.content }}{% endfor %} w0003";
    let config = json!({ "chat_template": template, "bos_token": "w0001" });
    std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string())
        .expect("a file");
    folder
}

#[test]
fn a_chat_goes_through_the_models_own_template() {
    let folder = with_template();
    let path = folder.path().to_str().expect("a path");
    let ask = json!({
        "messages": [{ "role": "user", "content": "w0004 w0005" }], "max_tokens": 1, "return_token_ids": true,
    });
    let asked = |more: &[&str]| {
        let serving = Serving::start(&[&["--target", QUICK, "--tokenizer", path], more].concat());
        serving.post("/v1/chat/completions", &ask).json()
    };
    let answer = asked(&[]);
    assert_eq!(answer["choices"][0]["prompt_token_ids"], json!([1, 2, 4, 5, 3]), "{answer}");
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
    let answer = asked(&["--chat-template", "plain"]);
    assert_eq!(answer["choices"][0]["prompt_token_ids"], json!([4, 5]), "{answer}");
    let other = folder.path().join("other.jinja");
    std::fs::write(&other, "{{ bos_token }} w0009").expect("a file");
    let answer = asked(&["--chat-template", other.to_str().expect("a path")]);
    assert_eq!(answer["choices"][0]["prompt_token_ids"], json!([1, 9]), "{answer}");
}

#[test]
fn a_template_that_cannot_be_read_is_refused_before_anything_is_served() {
    let refused = command(&["--target", QUICK, "--chat-template", "/nowhere.jinja"]);
    let output = { refused }.output().expect("the binary starts");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("/nowhere.jinja") && words.contains("plain"), "{words}");
}

#[test]
fn an_answer_at_once_holds_what_the_stream_holds() {
    let serving = Serving::start(&["--target", QUICK]);
    let mut ask = json!({
        "prompt": [5, 6, 7], "max_tokens": 6, "temperature": 0, "seed": 3, "return_token_ids": true,
        "ignore_eos": true,
    });
    let whole = serving.post("/v1/completions", &ask).json();
    ask["stream"] = true.into();
    let events = serving.post("/v1/completions", &ask).events();
    let choices: Vec<_> = events.iter().map(|event| &event["choices"][0]).collect();
    let text: String = choices.iter().filter_map(|choice| choice["text"].as_str()).collect();
    let ids: Vec<_> =
        choices.iter().filter_map(|choice| choice["token_ids"].as_array()).flatten().collect();
    assert_eq!(whole["choices"][0]["text"], json!(text));
    assert_eq!(whole["choices"][0]["token_ids"], json!(ids));
    assert_eq!(whole["choices"][0]["prompt_token_ids"], json!([5, 6, 7]));
    assert_eq!(whole["usage"]["completion_tokens"], 6);
    assert_eq!(ids.len(), 6);
}

#[test]
fn a_request_that_is_not_streamed_has_neither_ttft_nor_gaps_in_the_metrics() {
    let serving = Serving::start(&["--target", QUICK]);
    let ask = json!({ "prompt": [5], "max_tokens": 20, "ignore_eos": true });
    assert_eq!(serving.post("/v1/completions", &ask).json()["usage"]["completion_tokens"], 20);
    assert_eq!(serving.metric("bareflight_time_to_first_token_seconds_count"), 0.0);
    assert_eq!(serving.metric("bareflight_inter_token_latency_seconds_count"), 0.0);
    assert_eq!(serving.metric("bareflight_generation_tokens_total"), 20.0);
}

#[test]
fn the_tokenizer_that_is_served_with_is_written_for_clients() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("tokenizer").display().to_string();
    let serving = Serving::start(&["--target", QUICK, "--write-tokenizer", &place]);
    let ask =
        json!({ "prompt": [5], "max_tokens": 3, "ignore_eos": true, "return_token_ids": true });
    let choice = serving.post("/v1/completions", &ask).json()["choices"][0].clone();
    let written = folder.path().join("tokenizer").join("tokenizer.json");
    let tokenizer = Tokenizer::from_file(written).expect("a tokenizer");
    let text = choice["text"].as_str().expect("text");
    let ids = tokenizer.encode(text, false).expect("ids").get_ids().to_vec();
    assert_eq!(choice["token_ids"], json!(ids));
}

#[test]
fn a_port_that_is_taken_is_an_error_before_anything_is_announced() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["serve", "--target", QUICK, "--port", &port, "--grpc-port", "0"])
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("`--port`") && !stderr.contains("serving"), "{stderr}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
}

#[test]
fn a_request_beyond_a_limit_counts_as_rejected() {
    let serving = Serving::start(&["--target", QUICK]);
    let ask = json!({ "prompt": [5], "max_tokens": 100_000_000, "ignore_eos": true });
    assert_eq!(serving.post("/v1/completions", &ask).status, 400);
    assert_eq!(serving.metric("bareflight_requests_rejected_total"), 1.0);
}

#[test]
fn an_end_token_ends_the_output_unless_it_is_to_be_ignored() {
    let serving = Serving::start(&["--target", "sim:explicit,base_us=200,eos_after=3"]);
    let asked = |ignore_eos: bool| {
        let ask = json!({ "prompt": [5], "max_tokens": 8, "ignore_eos": ignore_eos });
        let answer = serving.post("/v1/completions", &ask).json();
        let reason = answer["choices"][0]["finish_reason"].as_str().expect("a reason").to_owned();
        (reason, answer["usage"]["completion_tokens"].as_u64().expect("a count"))
    };
    assert_eq!(asked(true), ("length".to_owned(), 8));
    let (reason, tokens) = asked(false);
    assert!(reason == "stop" && tokens < 8, "{reason} after {tokens}");
}

#[test]
fn what_cannot_be_done_is_refused_and_the_field_named() {
    let serving = Serving::start(&["--target", QUICK]);
    let longest = serving.get("/v1/models").json()["data"][0]["max_model_len"].clone();
    let refused = |path: &str, field: &str, value: Value| {
        let mut ask =
            json!({ "prompt": "w0001", "messages": [{ "role": "user", "content": "w" }] });
        ask[field] = value;
        let answer = serving.post(path, &ask);
        let error = answer.json()["error"].clone();
        assert!(!error["message"].as_str().expect("words").is_empty());
        (answer.status, error["param"].clone(), error["code"].clone())
    };
    for (field, value) in [
        ("n", json!(2)),
        ("stop", json!(["x"])),
        ("logprobs", json!(true)),
        ("tools", json!([{ "type": "function" }])),
        ("temperature", json!(7)),
        ("max_tokens", json!("many")),
        ("max_tokens", json!(0)),
        ("stream", json!("yes")),
        ("stream_options", json!({ "include_usage": true })),
        ("response_format", json!({ "type": "json_object" })),
        ("messages", json!([])),
        ("min_tokens", json!(4_000_000_000_u32)),
    ] {
        let (status, param, _) = refused("/v1/chat/completions", field, value);
        assert_eq!((status, param), (400, json!(field)));
    }
    for prompt in
        [json!(7), json!([]), json!(["a", "b"]), json!([1, "a"]), json!([4_000_000_000_u32])]
    {
        let (status, param, _) = refused("/v1/completions", "prompt", prompt.clone());
        assert_eq!((status, param), (400, json!("prompt")), "{prompt}");
    }
    let (status, param, code) = refused("/v1/completions", "max_tokens", longest);
    assert_eq!((status, param), (400, json!("max_tokens")));
    assert_eq!(code, "context_length_exceeded");
    let (status, param, code) = refused("/v1/completions", "model", json!("another"));
    assert_eq!((status, param, code), (404, json!("model"), json!("model_not_found")));
    let answer = Answer::read(serving.send("POST", "/v1/completions", "", "{"));
    assert_eq!((answer.status, answer.json()["error"]["param"].clone()), (400, Value::Null));
    assert_eq!((serving.get("/nowhere").status, serving.get("/v1/completions").status), (404, 405));
    assert_eq!(serving.metric("bareflight_requests_total"), 0.0);
}

#[test]
fn kserve_refuses_what_it_cannot_do_and_goes_on() {
    let serving = Serving::start(&["--target", QUICK]);
    let mut options = triton(&serving, "tensorrt_llm");
    options.asking.extra_inputs.insert("beam_width".into(), 4.into());
    let seen = play(TritonTarget::new(options).unwrap(), 1, 3);
    assert!(seen[0].message.as_deref().expect("words").contains("beam_width"), "{seen:?}");
    let seen = play(TritonTarget::new(triton(&serving, "tensorrt_llm")).unwrap(), 1, 100_000_000);
    assert!(seen[0].message.as_deref().expect("words").contains("at most"), "{seen:?}");
    let unknown = TritonTarget::new(triton(&serving, "resnet50")).expect_err("no such model");
    assert!(unknown.to_string().contains("resnet50"), "{unknown}");
    assert_eq!(
        play(TritonTarget::new(triton(&serving, "tensorrt_llm")).unwrap(), 1, 3)[0].tokens(),
        3
    );
}

#[test]
fn without_the_api_key_requests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "sk-house\n").unwrap();
    let key = path.to_str().unwrap();
    let serving = Serving::start(&["--target", QUICK, "--api-key-file", key]);
    let ask = json!({ "prompt": [1], "max_tokens": 2 }).to_string();
    for header in ["", "authorization: Bearer sk-hous\r\n", "authorization: sk-house\r\n"] {
        let answer = Answer::read(serving.send("POST", "/v1/completions", header, &ask));
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
        assert!(!answer.body.contains("sk-house"));
    }
    assert_eq!((serving.get("/v1/models").status, serving.get("/health").status), (401, 200));
    assert!(TritonTarget::new(triton(&serving, "tensorrt_llm")).is_err());
    let right = "authorization: Bearer sk-house\r\n";
    let answer = Answer::read(serving.send("POST", "/v1/completions", right, &ask));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(serving.metric("bareflight_requests_total"), 1.0);
}

#[test]
fn a_full_server_answers_with_retry_after() {
    let serving = Serving::start(&["--target", SLOW, "--max-batch-size", "1", "--max-queue", "1"]);
    let ask = json!({ "prompt": [1], "max_tokens": 5, "ignore_eos": true });
    let waiting = [0, 1].map(|_| serving.send("POST", "/v1/completions", "", &ask.to_string()));
    serving.wait_for("bareflight_requests_total", 2.0);
    let answer = serving.post("/v1/completions", &ask);
    assert_eq!((answer.status, &answer.headers["retry-after"][..]), (429, "1"));
    assert_eq!(answer.json()["error"]["code"], "queue_full");
    let seen = play(TritonTarget::new(triton(&serving, "tensorrt_llm")).unwrap(), 1, 3);
    assert!(seen[0].message.as_deref().expect("words").contains("no more requests"), "{seen:?}");
    for stream in waiting {
        assert_eq!(Answer::read(stream).json()["usage"]["completion_tokens"], 5);
    }
    assert_eq!(serving.metric("bareflight_requests_rejected_total"), 2.0);
    assert_eq!(serving.post("/v1/completions", &ask).status, 200);
}

/// Reads a stream's lines until one event with text has come.
fn first_event(stream: TcpStream) -> BufReader<TcpStream> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(lines.read_line(&mut line).expect("it answers") > 0, "it ended");
    }
    lines
}

#[test]
fn a_client_that_goes_away_takes_its_request_out_of_the_engine() {
    let serving = Serving::start(&["--target", SLOW, "--max-batch-size", "1"]);
    let cancelled = "bareflight_request_ends_total{reason=\"cancelled\"}";
    let mut ask = json!({ "prompt": [1], "max_tokens": 1000, "ignore_eos": true, "stream": true });
    // In the midst of its output.
    let running = first_event(serving.send("POST", "/v1/completions", "", &ask.to_string()));
    // While it waits for that one, streamed and not.
    let queued = serving.send("POST", "/v1/completions", "", &ask.to_string());
    ask["stream"] = false.into();
    let whole = serving.send("POST", "/v1/completions", "", &ask.to_string());
    serving.wait_for("bareflight_requests_total", 3.0);
    drop((queued, whole));
    serving.wait_for("bareflight_requests_abandoned_total", 2.0);
    assert_eq!(serving.metric("bareflight_num_requests_running"), 1.0);
    drop(running);
    // The simulated executor says its last word about a request that waited when its turn comes.
    serving.wait_for(cancelled, 3.0);
    let mut watch = Watch::open(TritonTarget::new(triton(&serving, "tensorrt_llm")).unwrap());
    watch.fire(&shot(0, 1000));
    watch.wait_for_tokens(0, 2);
    watch.session.cancel(bareflight::request::RequestId(0));
    serving.wait_for(cancelled, 4.0);
    watch.wait(60.0);
    assert_eq!(watch.finish(5.0).0[&0].ending(), Ending::Cancelled);
    assert_eq!(serving.metric("bareflight_num_requests_running"), 0.0);
    assert_eq!(serving.metric("bareflight_requests_abandoned_total"), 4.0);
}

#[test]
fn a_server_that_is_stopped_lets_running_requests_end_and_refuses_new_ones() {
    let mut serving = Serving::start(&["--target", SLOW]);
    let ask = json!({ "prompt": [1], "max_tokens": 8, "ignore_eos": true, "stream": true });
    let running = serving.send("POST", "/v1/completions", "", &ask.to_string());
    serving.wait_for("bareflight_requests_total", 1.0);
    serving.terminate();
    let refused = loop {
        // It looks for signals a few times a second.
        let answer = serving.post("/v1/completions", &json!({ "prompt": [1], "max_tokens": 1 }));
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("shutting_down")));
    let events = Answer::read(running).events();
    assert_eq!(events.last().expect("events")["choices"][0]["finish_reason"], "length");
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn requests_beyond_the_grace_period_are_cancelled_with_a_message() {
    let mut serving = Serving::start(&["--target", SLOW, "--grace", "0s"]);
    let ask = json!({ "prompt": [1], "max_tokens": 1000, "ignore_eos": true, "stream": true });
    let running = serving.send("POST", "/v1/completions", "", &ask.to_string());
    serving.wait_for("bareflight_num_requests_running", 1.0);
    serving.terminate();
    let events = Answer::read(running).events();
    let error = &events.last().expect("events")["error"]["message"];
    assert!(error.as_str().expect("words").contains("shut down"), "{error}");
    assert_eq!(serving.exit_code(), Some(0));
}

#[test]
fn the_ready_line_says_where_and_what() {
    let serving = Serving::start(&["--target", "null:"]);
    assert_eq!(serving.ready["ready"], true);
    assert_eq!(serving.ready["model"], "null");
    assert!(serving.ready["pid"].as_u64().is_some_and(|pid| pid > 0));
    assert_eq!(serving.get("/v1/models/null").json()["id"], "null");
    assert_eq!(serving.get("/v1/models/other").status, 404);
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_loaded() {
    for (arguments, code, named) in [
        (&["--target", "openai:http://127.0.0.1:9"][..], 2, "no engine in this process"),
        (&["--target", "sim:explicit", "--rate", "3"], 2, "--rate"),
        (&["--target", "nothing:"], 2, "nothing:"),
        (&["--target", "null:", "--api-key-file", "no/such/file"], 2, "no/such/file"),
        (&["--target", "null:", "--host", "192.0.2.1"], 3, "192.0.2.1"),
        (&["--target", "null:", "--host", "no-such-host.invalid"], 3, "no-such-host.invalid"),
    ] {
        let output = command(arguments).output().expect("the binary runs");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        assert!(words.contains(named), "{arguments:?}: {words}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_failure_of_one_kind_is_the_same_kind_to_our_own_target() {
    let serving = Serving::start(&["--target", SLOW, "--max-batch-size", "1", "--max-queue", "1"]);
    let seen = play(OpenAiTarget::new(completions(&serving)).unwrap(), 6, 3);
    let limited = seen.iter().filter(|seen| !seen.is_completed());
    let kinds: Vec<_> = limited.map(Seen::failure).collect();
    assert_eq!(kinds, vec![FailureKind::RateLimited; kinds.len()]);
    assert!((1..=4).contains(&kinds.len()), "{kinds:?}");
}
