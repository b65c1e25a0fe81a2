//! Against a real OpenAI-compatible engine: llama.cpp's own server from the wheel `xllamacpp`, on a tiny random model.
//! Counts are exact; times are asserted from one side only, since the machine is shared.

use std::sync::OnceLock;

use crate::python::{Script, environment};
use crate::support::watch::{Seen, Watch, shot};
use bareflight::clock::Nanos;
use bareflight::load::plan::Shot;
use bareflight::record::event::Ending;
use bareflight::record::request_record::{FinishReason, StampSource, TokenSource};
use bareflight::request::FailureKind;
use bareflight::request::RequestId;
use bareflight::targets::openai::{Endpoint, OpenAiOptions, OpenAiTarget, PromptAs};
use bareflight::targets::{Drain, Target};
use serde_json::json;

tests! {
    every_way_of_asking_gives_exactly_the_tokens_that_were_asked_for,
    eight_streams_at_once_lose_no_token,
    stamps_are_the_kernels_where_it_gives_them,
    a_prompt_of_token_ids_arrives_with_every_token_of_it,
    the_only_model_is_found_with_its_limit,
    a_wrong_path_and_an_endpoint_that_is_switched_off_fail_in_the_servers_words,
    an_output_that_ends_at_once_is_complete_and_has_no_first_token,
    a_cancelled_stream_ends_here_and_frees_its_slot,
    a_server_that_is_killed_fails_its_streams_and_the_next_request_cannot_connect,
    embeddings_complete_without_a_token,
}

/// llama.cpp's own context of one slot, in the script.
const CONTEXT: u32 = 512;
/// The first token that is a word and not a byte.
const FIRST_WORD: u32 = 260;

fn start(arguments: &[&str]) -> Script {
    Script::start(&environment("llamacpp"), "tests/network/llamacpp_python/serve.py", arguments)
}

fn server() -> &'static Script {
    static SERVER: OnceLock<Script> = OnceLock::new();
    SERVER.get_or_init(|| start(&[]))
}

fn options(server: &Script, endpoint: Endpoint) -> OpenAiOptions {
    OpenAiOptions {
        endpoint,
        model: Some("tiny".into()),
        ignore_eos: true,
        ..OpenAiOptions::new(server.field("url"))
    }
}

fn open(options: OpenAiOptions) -> Watch {
    Watch::open(OpenAiTarget::new(options).expect("the server can be spoken to"))
}

/// A shot whose prompt is so many words of the model's vocabulary, as ids and as text.
fn words(id: u32, prompt: u32, tokens: u32) -> Shot {
    let mut made = shot(id, tokens);
    let numbers = (0..prompt).map(|word| (id + 7 * word) % CONTEXT);
    made.request.prompt.ids = numbers.clone().map(|number| FIRST_WORD + number).collect();
    let text: Vec<_> = numbers.map(|number| format!("w{number}")).collect();
    made.request.prompt.text = Some(text.join(" ").into());
    made
}

/// Fires all shots at once; what became of each, by its id.
fn play(options: OpenAiOptions, shots: &[Shot]) -> Vec<Seen> {
    let mut watch = open(options);
    for shot in shots {
        watch.fire(shot);
    }
    watch.wait(120.0);
    let (seen, drain) = watch.finish(5.0);
    assert_eq!(drain, Drain::Clean);
    seen.into_values().collect()
}

/// Tokens over all deliveries.
fn delivered(seen: &Seen) -> u32 {
    seen.deliveries.iter().map(|(_, tokens)| tokens).sum()
}

fn has_all_tokens(seen: &Seen, tokens: u32) {
    assert_eq!(seen.ending(), Ending::Completed(FinishReason::Length), "{seen:?}");
    assert_eq!(seen.count, Some((tokens, TokenSource::Usage)), "{seen:?}");
}

fn every_way_of_asking_gives_exactly_the_tokens_that_were_asked_for() {
    let server = server();
    for endpoint in [Endpoint::Chat, Endpoint::Completions] {
        for (streaming, tokens) in [(true, 17), (false, 9)] {
            let mut one = words(0, 5, tokens);
            one.request.streaming = streaming;
            let seen = &play(options(server, endpoint), &[one])[0];
            has_all_tokens(seen, tokens);
            assert_eq!(delivered(seen), tokens, "{endpoint:?} {seen:?}");
            assert!(streaming || seen.deliveries.len() == 1, "{endpoint:?} {seen:?}");
            assert!(seen.ttft() > Nanos(0) && seen.e2e() >= seen.ttft(), "{seen:?}");
        }
    }
}

fn eight_streams_at_once_lose_no_token() {
    let server = server();
    let shots: Vec<_> = (0..24).map(|id| words(id, 3 + id % 5, 30 + id)).collect();
    for (seen, tokens) in play(options(server, Endpoint::Chat), &shots).iter().zip(30..) {
        has_all_tokens(seen, tokens);
        assert_eq!(delivered(seen), tokens, "{seen:?}");
        assert!(seen.deliveries.is_sorted_by_key(|(at, _)| *at), "{seen:?}");
    }
}

fn stamps_are_the_kernels_where_it_gives_them() {
    let server = server();
    let mut watch = open(options(server, Endpoint::Chat));
    watch.fire(&words(0, 4, 12));
    watch.wait(60.0);
    let source = watch.session_stamps.expect("a session says who takes its stamps");
    let seen = &watch.seen()[&0];
    if source == StampSource::Kernel {
        assert_eq!(seen.stamps, None, "no read was without the kernel's stamp");
    }
    assert_eq!(watch.finish(5.0).1, Drain::Clean);
}

fn a_prompt_of_token_ids_arrives_with_every_token_of_it() {
    let server = server();
    let mut by_ids = options(server, Endpoint::Completions);
    by_ids.prompt_as = PromptAs::Ids;
    has_all_tokens(&play(by_ids.clone(), &[words(0, 100, 8)])[0], 8);
    // The refusal says how many the server was given.
    let seen = &play(by_ids, &[words(0, 600, 8)])[0];
    assert_eq!(seen.failure(), FailureKind::HttpClient, "{seen:?}");
    assert!(seen.message().contains("600 tokens"), "{seen:?}");
}

fn the_only_model_is_found_with_its_limit() {
    let server = server();
    let mut unnamed = options(server, Endpoint::Chat);
    unnamed.model = None;
    let target = OpenAiTarget::new(unnamed).unwrap();
    assert_eq!(target.describe().details["model"], "tiny");
    assert_eq!(target.describe().limits.max_sequence_tokens, Some(CONTEXT));
}

fn a_wrong_path_and_an_endpoint_that_is_switched_off_fail_in_the_servers_words() {
    let server = server();
    let mut elsewhere = options(server, Endpoint::Chat);
    elsewhere.url = format!("{}/elsewhere/v1", server.field("url"));
    let seen = &play(elsewhere, &[words(0, 3, 4)])[0];
    assert_eq!(seen.failure(), FailureKind::NotFound, "{seen:?}");
    assert!(seen.message().contains("File Not Found"), "{seen:?}");
    let seen = &play(options(server, Endpoint::Embeddings), &[words(0, 3, 1)])[0];
    assert_eq!(seen.failure(), FailureKind::HttpServer, "{seen:?}");
    assert!(seen.message().contains("does not support embeddings"), "{seen:?}");
}

fn an_output_that_ends_at_once_is_complete_and_has_no_first_token() {
    let server = server();
    let mut ends = options(server, Endpoint::Chat);
    ends.ignore_eos = false;
    ends.extra_inputs.insert("logit_bias".into(), json!({ "2": 100 }));
    let seen = &play(ends, &[words(0, 3, 6)])[0];
    assert_eq!(seen.ending(), Ending::Completed(FinishReason::EndToken), "{seen:?}");
    assert_eq!(delivered(seen), 0, "{seen:?}");
    assert_eq!(seen.count, Some((1, TokenSource::Usage)), "the end token itself: {seen:?}");
}

fn a_cancelled_stream_ends_here_and_frees_its_slot() {
    let server = server();
    let mut watch = open(options(server, Endpoint::Chat));
    for id in 0..8 {
        watch.fire(&words(id, 3, 400));
    }
    watch.wait_for_tokens(0, 1);
    (0..8).for_each(|id| watch.session.cancel(RequestId(id)));
    watch.wait(60.0);
    watch.fire(&words(8, 3, 5));
    watch.wait(60.0);
    let (seen, drain) = watch.finish(5.0);
    has_all_tokens(&seen[&8], 5);
    assert!((0..8).all(|id| seen[&id].ends.len() == 1), "{seen:?}");
    assert_eq!(drain, Drain::Clean);
}

fn a_server_that_is_killed_fails_its_streams_and_the_next_request_cannot_connect() {
    let mut server = start(&["--context", "8000"]);
    let mut watch = open(options(&server, Endpoint::Chat));
    for id in 0..4 {
        watch.fire(&words(id, 3, 7_900));
    }
    (0..4).for_each(|id| watch.wait_for_tokens(id, 2));
    server.kill();
    watch.wait(60.0);
    for seen in watch.seen().values() {
        let kind = seen.failure();
        let broken = [FailureKind::Disconnected, FailureKind::Truncated].contains(&kind);
        assert!(broken && seen.tokens() >= 2, "{kind}: {:?}", seen.message);
    }
    watch.fire(&words(4, 3, 5));
    watch.wait(60.0);
    let (seen, drain) = watch.finish(5.0);
    assert_eq!(seen[&4].failure(), FailureKind::Connect, "{:?}", seen[&4]);
    assert_eq!(drain, Drain::Clean);
}

fn embeddings_complete_without_a_token() {
    let server = start(&["--embeddings"]);
    let shots: Vec<_> = (0..8).map(|id| words(id, 20, 1)).collect();
    for seen in play(options(&server, Endpoint::Embeddings), &shots) {
        assert!(seen.is_completed(), "{seen:?}");
        assert_eq!(seen.tokens(), 0, "{seen:?}");
    }
}
