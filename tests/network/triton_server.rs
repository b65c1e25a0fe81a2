//! Against a real Triton: counts are exact, and timings are asserted from one side only, since the machine is shared.

use std::num::NonZeroU16;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::support::watch::{Watch, shot};
use crate::triton::RealTriton;
use bareflight::clock::{Nanos, sleep};
use bareflight::record::event::{Ending, TokenHash};
use bareflight::record::request_record::{FinishReason, TokenSource};
use bareflight::request::FailureKind;
use bareflight::request::RequestId;
use bareflight::targets::triton::TritonTarget;
use bareflight::targets::triton::options::{StreamUse, TritonOptions};
use bareflight::targets::{Drain, Target};
use serde_json::json;

tests! {
    every_token_of_every_kind_of_model_is_counted_over_grpc,
    every_token_is_counted_on_shared_streams_and_several_threads,
    every_token_is_counted_over_http,
    a_model_that_is_not_decoupled_gives_all_tokens_at_once_without_the_echoed_prompt,
    several_tokens_in_one_response_are_several_tokens,
    the_engines_stamps_arrive_and_lie_within_the_request,
    an_output_that_ends_early_is_not_called_full_length,
    a_model_that_fails_midway_fails_the_request_with_its_own_words,
    a_request_that_triton_itself_refuses_is_refused,
    a_wrong_model_a_wrong_port_and_a_wrong_kind_of_model_are_named_before_anything_is_sent,
    a_cancel_ends_the_request_here_and_at_the_server,
    a_session_that_is_finished_early_ends_what_is_open,
    a_model_that_falls_silent_is_idle_and_one_that_never_speaks_is_silent,
    the_server_has_counted_what_was_asked,
}

const TTFT_MS: u32 = 40;
const ITL_MS: u32 = 10;

fn server() -> &'static RealTriton {
    static SERVER: OnceLock<RealTriton> = OnceLock::new();
    SERVER.get_or_init(|| RealTriton::start(TTFT_MS, ITL_MS))
}

fn grpc(server: &RealTriton, model: &str) -> TritonOptions {
    TritonOptions::new(format!("{}/{model}", server.grpc).parse().unwrap())
}

fn http(server: &RealTriton, model: &str) -> TritonOptions {
    TritonOptions::new(format!("http://{}/{model}", server.http).parse().unwrap())
}

fn open(options: TritonOptions) -> Watch {
    Watch::open(TritonTarget::new(options).expect("the model can be spoken to"))
}

/// The ids that the model answers the shot's prompt with.
fn expected_hash(prompt: &[u32], tokens: u32) -> TokenHash {
    let sum: u32 = prompt.iter().sum();
    TokenHash::of((0..tokens).map(|k| (sum + k) % 1000 + 3))
}

/// With a tokenizer: the model's tokens are words.
fn counting(mut options: TritonOptions) -> TritonOptions {
    options.asking.count_tokens =
        Some(Arc::new(|text: &str| text.split_whitespace().count() as u32));
    options
}

/// Fires `requests` shots of different lengths and checks every count, and every time from below.
fn all_tokens_come(options: TritonOptions, requests: u32, source: TokenSource) {
    let name = options.address.to_string();
    let ids = source == TokenSource::Ids;
    let mut watch = open(options);
    let shots: Vec<_> = (0..requests).map(|id| shot(id, 3 + id % 7)).collect();
    for shot in &shots {
        watch.fire(shot);
    }
    watch.wait(120.0);
    let (seen, drain) = watch.finish(5.0);
    assert_eq!(drain, Drain::Clean, "{name}");
    for shot in &shots {
        let (seen, tokens) = (&seen[&shot.id.0], shot.request.output.max_tokens);
        assert_eq!(seen.ending(), Ending::Completed(FinishReason::Length), "{name}: {seen:?}");
        assert_eq!(seen.tokens(), tokens, "{name}: {seen:?}");
        assert_eq!(seen.deliveries.len(), tokens as usize, "{name}: {seen:?}");
        assert_eq!(seen.count.map_or(source, |(_, source)| source), source, "{name}: {seen:?}");
        assert!(seen.ttft() >= Nanos::from_millis(TTFT_MS.into()), "{name}: {seen:?}");
        let whole = TTFT_MS + ITL_MS * (tokens - 1);
        assert!(seen.e2e() >= Nanos::from_millis(whole.into()), "{name}: {seen:?}");
        assert!(seen.deliveries.windows(2).all(|pair| pair[0].0 <= pair[1].0), "{name}: {seen:?}");
        if ids {
            assert_eq!(seen.hash, Some(expected_hash(&shot.request.prompt.ids, tokens)), "{name}");
        }
    }
}

fn every_token_of_every_kind_of_model_is_counted_over_grpc() {
    let server = server();
    for model in ["tensorrt_llm", "tensorrt_llm_0x"] {
        all_tokens_come(grpc(server, model), 32, TokenSource::Ids);
    }
    all_tokens_come(grpc(server, "vllm_model"), 16, TokenSource::Usage);
    for model in ["ensemble", "tensorrt_llm_bls", "bls_accumulating", "llm_api", "llm_api_echo"] {
        all_tokens_come(grpc(server, model), 12, TokenSource::Chunks);
        let retokenized = counting(grpc(server, model));
        all_tokens_come(retokenized, 12, TokenSource::Retokenized);
    }
}

fn every_token_is_counted_on_shared_streams_and_several_threads() {
    let server = server();
    for (streams, threads) in [(1, 1), (3, 2)] {
        let options = TritonOptions {
            streams: StreamUse::Shared(NonZeroU16::new(streams).unwrap()),
            io_threads: NonZeroU16::new(threads).unwrap(),
            channels: NonZeroU16::new(2).unwrap(),
            ..grpc(server, "tensorrt_llm")
        };
        all_tokens_come(options, 24, TokenSource::Ids);
    }
}

fn every_token_is_counted_over_http() {
    let server = server();
    all_tokens_come(http(server, "tensorrt_llm"), 12, TokenSource::Ids);
    all_tokens_come(http(server, "vllm_model"), 12, TokenSource::Usage);
    for model in ["ensemble", "tensorrt_llm_bls", "llm_api"] {
        all_tokens_come(http(server, model), 8, TokenSource::Chunks);
    }
}

fn a_model_that_is_not_decoupled_gives_all_tokens_at_once_without_the_echoed_prompt() {
    let server = server();
    for options in [grpc(server, "unary"), http(server, "unary")] {
        let target = TritonTarget::new(options).unwrap();
        assert!(
            target.describe().title.contains("all tokens at once"),
            "{}",
            target.describe().title
        );
        let mut watch = Watch::open(target);
        watch.fire(&shot(0, 5));
        watch.wait(60.0);
        let (seen, _) = watch.finish(5.0);
        assert_eq!((seen[&0].tokens(), seen[&0].deliveries.len()), (5, 1), "{:?}", seen[&0]);
        assert_eq!(seen[&0].hash, Some(expected_hash(&[100, 7, 8, 9], 5)));
    }
}

fn several_tokens_in_one_response_are_several_tokens() {
    let server = server();
    let mut options = grpc(server, "tensorrt_llm");
    options.asking.extra_parameters.insert("tokens_per_response".into(), json!(4));
    let mut watch = open(options);
    watch.fire(&shot(0, 10));
    watch.wait(60.0);
    let (seen, _) = watch.finish(5.0);
    let tokens: Vec<_> = seen[&0].deliveries.iter().map(|(_, tokens)| *tokens).collect();
    assert_eq!(tokens, [4, 4, 2]);
}

fn the_engines_stamps_arrive_and_lie_within_the_request() {
    let server = server();
    let mut watch = open(grpc(server, "tensorrt_llm"));
    watch.fire(&shot(0, 3));
    watch.wait(60.0);
    assert!(watch.seen()[&0].has_times);
    let mut without = grpc(server, "tensorrt_llm");
    without.asking.engine_stamps = false;
    let mut watch = open(without);
    watch.fire(&shot(0, 3));
    watch.wait(60.0);
    assert!(!watch.seen()[&0].has_times);
}

fn an_output_that_ends_early_is_not_called_full_length() {
    let server = server();
    let mut options = grpc(server, "tensorrt_llm");
    options.asking.extra_parameters.insert("stop_after".into(), json!(2));
    let mut watch = open(options);
    watch.fire(&shot(0, 10));
    watch.wait(60.0);
    let seen = &watch.seen()[&0];
    assert_eq!((seen.tokens(), seen.ending()), (2, Ending::Completed(FinishReason::Unknown)));
}

fn a_model_that_fails_midway_fails_the_request_with_its_own_words() {
    let server = server();
    for mut options in [
        grpc(server, "tensorrt_llm"),
        TritonOptions {
            streams: StreamUse::Shared(NonZeroU16::MIN),
            ..grpc(server, "tensorrt_llm")
        },
        http(server, "tensorrt_llm"),
    ] {
        options.asking.extra_parameters.insert("fail_after".into(), json!(2));
        let mut watch = open(options);
        watch.fire(&shot(0, 10));
        watch.wait(60.0);
        let seen = &watch.seen()[&0];
        assert_eq!((seen.failure(), seen.tokens()), (FailureKind::ErrorInStream, 2));
        assert!(
            seen.message.as_ref().unwrap().contains("the model failed after 2 tokens"),
            "{seen:?}"
        );
    }
}

fn a_request_that_triton_itself_refuses_is_refused() {
    let server = server();
    for streams in [StreamUse::PerRequest, StreamUse::Shared(NonZeroU16::MIN)] {
        let mut options = TritonOptions { streams, ..grpc(server, "tensorrt_llm") };
        // A parameter of Triton's own, with a value it cannot take.
        options.asking.extra_parameters.insert("priority".into(), json!("high"));
        let mut watch = open(options);
        watch.fire(&shot(0, 4));
        watch.wait(60.0);
        let seen = &watch.seen()[&0];
        assert_eq!(seen.failure(), FailureKind::Refused, "{seen:?}");
        assert!(seen.message.as_ref().unwrap().contains("priority"), "{seen:?}");
    }
}

fn a_wrong_model_a_wrong_port_and_a_wrong_kind_of_model_are_named_before_anything_is_sent() {
    let server = server();
    let error = |options| TritonTarget::new(options).unwrap_err().to_string();
    for options in [grpc(server, "nonsense"), http(server, "nonsense")] {
        let error = error(options);
        assert!(error.contains("nonsense") && error.contains("name a model"), "{error}");
    }
    let kind = error(grpc(server, "not_a_language_model"));
    assert!(
        kind.contains("gives neither `output_ids` nor `text_output`; it gives `CLASS`"),
        "{kind}"
    );
    let nobody = error(TritonOptions::new("127.0.0.1:1/m".parse().unwrap()));
    assert!(nobody.contains("is Triton running there"), "{nobody}");
    let swapped = error(TritonOptions::new(format!("{}/ensemble", server.http).parse().unwrap()));
    assert!(swapped.contains("triton:http://"), "{swapped}");
}

fn a_cancel_ends_the_request_here_and_at_the_server() {
    let server = server();
    let mut watch = open(grpc(server, "tensorrt_llm"));
    let id = 4321;
    watch.fire(&shot(id, 2_000));
    watch.wait_for_tokens(id, 3);
    watch.session.cancel(RequestId(id));
    watch.session.cancel(RequestId(id));
    watch.session.cancel(RequestId(77));
    watch.wait(20.0);
    assert_eq!(watch.seen()[&id].ending(), Ending::Cancelled);
    let noticed =
        || std::fs::read_to_string(&server.cancelled).is_ok_and(|ids| ids.contains("4321"));
    let patience = (0..500).any(|_| {
        sleep(Nanos::from_millis(20));
        noticed()
    });
    assert!(patience, "the model never saw the cancellation");
    assert_eq!(watch.finish(5.0).1, Drain::Clean);
}

fn a_session_that_is_finished_early_ends_what_is_open() {
    let server = server();
    for options in [
        grpc(server, "tensorrt_llm"),
        TritonOptions { streams: StreamUse::Shared(NonZeroU16::MIN), ..grpc(server, "ensemble") },
        http(server, "tensorrt_llm"),
    ] {
        let mut watch = open(options);
        for id in 0..5 {
            watch.fire(&shot(id, 1_000));
        }
        let (seen, drain) = watch.finish(0.1);
        assert_eq!(drain, Drain::Forced("5 requests were still open and were cancelled".into()));
        assert!((0..5).all(|id| seen[&id].ending() == Ending::Cancelled));
    }
}

fn a_model_that_falls_silent_is_idle_and_one_that_never_speaks_is_silent() {
    let server = server();
    let slow = |ttft: u32, itl: u32| {
        let mut options = grpc(server, "tensorrt_llm");
        options.asking.extra_parameters.insert("ttft_ms".into(), json!(ttft));
        options.asking.extra_parameters.insert("itl_ms".into(), json!(itl));
        options.timeouts.idle = Duration::from_millis(300);
        options.timeouts.first_response = Duration::from_millis(600);
        let mut watch = open(options);
        watch.fire(&shot(0, 3));
        watch.wait(30.0);
        watch.seen()[&0].failure()
    };
    assert_eq!(slow(1, 20_000), FailureKind::Idle);
    assert_eq!(slow(20_000, 1), FailureKind::Silent);
}

fn the_server_has_counted_what_was_asked() {
    let server = server();
    for options in [grpc(server, "tensorrt_llm_0x"), http(server, "tensorrt_llm_0x")] {
        let target = TritonTarget::new(options).unwrap();
        let reader = target.statistics_reader();
        let before = reader.read().unwrap();
        let mut watch = Watch::open(target);
        for id in 0..3 {
            watch.fire(&shot(id, 2));
        }
        watch.wait(60.0);
        let grown = reader.read().unwrap().since(&before);
        let model = grown.models().iter().find(|model| model.name == "tensorrt_llm_0x").unwrap();
        assert!(model.inference_count >= 3, "{model:?}");
        assert!(model.inference_stats.unwrap().queue.unwrap().count >= 3, "{model:?}");
    }
}
