//! Against a server that breaks on purpose: every fault has a kind, and every request ends exactly once.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::OnceLock;
use std::time::Duration;

use crate::support::fault_server::{FaultServer, Next, Out, generate_endpoint};
use crate::support::triton_fault_server;
use crate::support::watch::{Seen, Watch, shot};
use bareflight::record::event::Ending;
use bareflight::record::oddity::Oddity;
use bareflight::record::request_record::FinishReason;
use bareflight::request::FailureKind;
use bareflight::request::RequestId;
use bareflight::settings::served::ServedSettings;
use bareflight::targets::Drain;
use bareflight::targets::triton::TritonTarget;
use bareflight::targets::triton::options::{StreamUse, TritonOptions};

fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(triton_fault_server::start)
}

fn options(model: &str) -> TritonOptions {
    let mut options = TritonOptions::new(format!("{}/{model}", server()).parse().unwrap());
    options.channels = NonZeroU16::MIN;
    options
}

/// Only what is to be told by silence has a short time-out: whatever else is to be seen, a busy machine may be late with.
fn impatient(mut options: TritonOptions, kind: FailureKind) -> TritonOptions {
    match kind {
        FailureKind::Silent => options.timeouts.first_response = Duration::from_millis(800),
        FailureKind::Idle => options.timeouts.idle = Duration::from_millis(400),
        _ => {}
    }
    options
}

const SHARED: StreamUse = StreamUse::Shared(NonZeroU16::MIN);

/// What becomes of one shot for three tokens.
fn one(options: TritonOptions) -> Seen {
    let mut watch = Watch::open(TritonTarget::new(options).unwrap());
    watch.fire(&shot(0, 3));
    watch.wait(20.0);
    let (seen, drain) = watch.finish(1.0);
    assert_eq!(drain, Drain::Clean);
    seen[&0].clone()
}

#[track_caller]
fn fails(options: TritonOptions, kind: FailureKind, words: &str) {
    let seen = one(impatient(options, kind));
    assert_eq!(seen.failure(), kind, "{seen:?}");
    assert!(seen.message.as_ref().is_some_and(|message| message.contains(words)), "{seen:?}");
}

#[test]
fn every_fault_of_a_stream_has_a_kind_and_the_servers_words() {
    for (model, kind, words) in [
        ("unavailable", FailureKind::GrpcUnavailable, "UNAVAILABLE: the queue is full"),
        ("deadline", FailureKind::GrpcDeadline, "DEADLINE_EXCEEDED: took too long"),
        ("error_midway", FailureKind::ErrorInStream, "out of blocks"),
        ("refused_without_id", FailureKind::Refused, "unexpected input"),
        ("no_final", FailureKind::Truncated, "after 1 of 3 tokens"),
        ("nothing", FailureKind::Empty, "held no token"),
        ("cut_short_tensor", FailureKind::Malformed, "`output_ids` is shorter"),
        ("garbage", FailureKind::Malformed, ""),
        ("reset", FailureKind::Disconnected, ""),
        ("connection_lost", FailureKind::Disconnected, ""),
        ("silent", FailureKind::Silent, "no response within 800ms"),
        ("stalls", FailureKind::Idle, "after 1 tokens"),
    ] {
        println!("{model}");
        fails(options(model), kind, words);
        println!("{model}, shared");
        // A shared stream stays open for the next request, so that a missing marker is only noticed by silence.
        let (kind, words) = match kind {
            FailureKind::Truncated => (FailureKind::Idle, "after 1 tokens"),
            kind => (kind, words),
        };
        fails(TritonOptions { streams: SHARED, ..options(model) }, kind, words);
    }
}

#[test]
fn every_fault_of_a_unary_call_has_a_kind_and_the_servers_words() {
    fails(
        options("unary_unavailable"),
        FailureKind::GrpcUnavailable,
        "UNAVAILABLE: no instance is ready",
    );
    fails(options("unary_unauthorized"), FailureKind::Unauthorized, "who are you");
    fails(options("unary_limited"), FailureKind::RateLimited, "come back later");
    assert_eq!(one(options("unary")).tokens(), 3);
}

/// A generate endpoint that answers every request like this.
fn generate(answer: impl Fn(&mut Out<'_>) -> Next + Send + Sync + 'static) -> Seen {
    generate_until(FailureKind::Empty, answer)
}

/// The same, of which this failure is awaited.
fn generate_until(
    kind: FailureKind,
    answer: impl Fn(&mut Out<'_>) -> Next + Send + Sync + 'static,
) -> Seen {
    let server = generate_endpoint(move |_, out| answer(out));
    let options = TritonOptions::new(server.url().replace("/v1", "/m").parse().unwrap());
    one(impatient(options, kind))
}

#[test]
fn every_fault_of_a_generate_endpoint_has_a_kind_and_the_servers_words() {
    const ONE: &str = r#"{"output_ids":[7]}"#;
    let fails = |kind, words: &str, answer: fn(&mut Out<'_>) -> Next| {
        let seen = generate_until(kind, answer);
        assert_eq!(seen.failure(), kind, "{seen:?}");
        assert!(seen.message().contains(words), "{seen:?}");
    };
    fails(FailureKind::Unauthorized, "who are you", |out| {
        out.json(401, r#"{"error":"who are you"}"#)
    });
    fails(FailureKind::NotFound, "no model", |out| out.json(404, r#"{"error":"no model"}"#));
    fails(FailureKind::RateLimited, "Retry-After 7", |out| {
        out.whole(429, "retry-after: 7\r\n", "slow down")
    });
    fails(FailureKind::HttpServer, "out of memory", |out| {
        out.json(500, r#"{"error":"out of memory"}"#)
    });
    fails(FailureKind::Malformed, "no JSON object", |out| {
        out.stream_head();
        out.event("half a {");
        out.end()
    });
    fails(FailureKind::ErrorInStream, "out of blocks", |out| {
        out.stream_head();
        out.event(ONE);
        out.event(r#"{"error":"out of blocks"}"#);
        out.end()
    });
    fails(FailureKind::ErrorInStream, "boomwords", |out| {
        out.stream_head();
        out.event(ONE);
        out.chunk("event: error\ndata: {\"message\":\"boomwords\"}\n\n");
        out.end()
    });
    fails(FailureKind::Disconnected, "unexpected EOF", |out| {
        out.stream_head();
        out.event(ONE);
        Next::Close
    });
    fails(FailureKind::Idle, "after 1 tokens", |out| {
        out.stream_head();
        out.event(ONE);
        out.silence()
    });
    #[allow(clippy::redundant_closure_for_method_calls)]
    // The method alone has one lifetime too few.
    fails(FailureKind::Silent, "no response within", |out| out.silence());
    fails(FailureKind::Empty, "the body of the answer is empty", |out| {
        out.stream_head();
        out.end()
    });
    fails(FailureKind::Empty, "held no token", |out| {
        out.stream_head();
        out.event(r#"{"output_ids":[]}"#);
        out.end()
    });
}

#[test]
fn a_generate_endpoint_is_read_by_what_it_sends_and_not_by_what_its_head_says() {
    const THREE: &str = r#"{"output_ids":[7,8,9]}"#;
    let tokens = |answer: fn(&mut Out<'_>) -> Next| generate(answer).tokens();
    for count in [
        tokens(|out| {
            out.raw("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
            out.event(": ping");
            out.event("null");
            out.event(THREE);
            out.event("[DONE]");
            out.end()
        }),
        tokens(|out| out.whole(200, "content-type: text/event-stream\r\n", THREE)),
        tokens(|out| out.whole(200, "", THREE)),
    ] {
        assert_eq!(count, 3);
    }
    let whole = generate(|out| out.whole(200, "", THREE));
    assert!(whole.oddities.has(Oddity::NotStreamed), "{whole:?}");
    let garbage = generate(|out| out.whole(200, "content-type: text/plain\r\n", "boomwords"));
    assert_eq!(garbage.failure(), FailureKind::Malformed);
    assert!(garbage.message().contains("boomwords"), "{garbage:?}");
}

#[test]
fn every_proper_end_is_an_end() {
    for model in
        ["whole", "several_per_response", "empty_final", "twice_final", "final_after_half_close"]
    {
        let seen = one(options(model));
        assert_eq!(seen.ending(), Ending::Completed(FinishReason::Length), "{model}: {seen:?}");
        assert_eq!(seen.tokens(), 3, "{model}: {seen:?}");
        assert!(seen.deliveries.iter().all(|(_, tokens)| *tokens > 0), "{model}: {seen:?}");
    }
}

#[test]
fn impossible_settings_are_reported_before_anything_is_sent() {
    let error = |model| TritonTarget::new(options(model)).unwrap_err().to_string();
    assert!(error("not_loaded").contains("'not_loaded' is not found"));
    assert!(error("missing_tensor").contains("no input for the number of tokens to generate"));
}

/// Options of a Triton server with a key and a header, as they are typed.
fn with_key(place: &str, header: &str) -> TritonOptions {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "sesame").unwrap();
    let served = ServedSettings {
        api_key_file: Some(key),
        headers: vec![header.to_owned()],
        no_proxy: true,
        ..ServedSettings::default()
    };
    served.triton(place).unwrap()
}

#[test]
fn key_and_headers_reach_every_call_over_grpc() {
    for call in ["ServerReady", "ModelMetadata", "ModelConfig"] {
        let options = with_key(&format!("{}/whole", server()), &format!("x-refuse: {call}"));
        assert!(!format!("{options:?}").contains("sesame"), "a key is never shown");
        let error = TritonTarget::new(options).unwrap_err().to_string();
        assert!(error.contains("who is Bearer sesame?"), "{call}: {error}");
    }
    for (model, call) in [("whole", "ModelStreamInfer"), ("unary", "ModelInfer")] {
        let options = with_key(&format!("{}/{model}", server()), &format!("x-refuse: {call}"));
        fails(options, FailureKind::Unauthorized, "who is Bearer sesame?");
    }
}

#[test]
fn key_and_headers_reach_every_call_over_http() {
    let server = FaultServer::start(|_, out| out.json(403, r#"{"error":"no"}"#));
    let place = format!("http://{}/m", server.address);
    let error = TritonTarget::new(with_key(&place, "x-tenant: me")).unwrap_err().to_string();
    assert!(error.contains("403"), "{error}");
    let asked = &server.requests()[0];
    assert_eq!(asked.header("authorization"), Some("Bearer sesame"));
    assert_eq!(asked.header("x-tenant"), Some("me"));
}

#[test]
fn a_shared_stream_that_breaks_fails_all_its_requests_and_the_next_one_opens_another() {
    let mut watch = Watch::open(
        TritonTarget::new(TritonOptions { streams: SHARED, ..options("unavailable") }).unwrap(),
    );
    for round in 0..3 {
        for id in 0..4 {
            watch.fire(&shot(round * 4 + id, 3));
        }
        watch.wait(20.0);
    }
    let (seen, _) = watch.finish(1.0);
    assert_eq!(seen.len(), 12);
    for seen in seen.values() {
        assert_eq!(seen.failure(), FailureKind::GrpcUnavailable, "{seen:?}");
    }
}

#[test]
fn after_a_lost_connection_the_next_request_finds_another() {
    let mut watch = Watch::open(TritonTarget::new(options("connection_lost")).unwrap());
    for id in 0..3 {
        watch.fire(&shot(id, 3));
        watch.wait(20.0);
        let failure = watch.seen()[&id].failure();
        assert_eq!(failure, FailureKind::Disconnected);
    }
}

#[test]
fn a_cancelled_request_on_a_shared_stream_ends_here_while_the_stream_goes_on() {
    let mut options = TritonOptions { streams: SHARED, ..options("stalls") };
    // Long enough for the cancel to come before it, whatever else the machine does.
    options.timeouts.idle = Duration::from_secs(3);
    let mut watch = Watch::open(TritonTarget::new(options).unwrap());
    watch.fire(&shot(0, 3));
    watch.fire(&shot(1, 3));
    watch.wait_for_tokens(1, 1);
    watch.session.cancel(RequestId(0));
    watch.wait(20.0);
    let (seen, _) = watch.finish(1.0);
    assert_eq!((seen[&0].ending(), seen[&1].failure()), (Ending::Cancelled, FailureKind::Idle));
}

#[test]
fn many_requests_at_once_all_end_exactly_once() {
    for streams in [StreamUse::PerRequest, SHARED] {
        let mut options = TritonOptions { streams, ..options("whole") };
        options.io_threads = NonZeroU16::new(2).unwrap();
        let mut watch = Watch::open(TritonTarget::new(options).unwrap());
        for id in 0..300 {
            watch.fire(&shot(id, 3));
        }
        watch.wait(60.0);
        let (seen, drain) = watch.finish(1.0);
        assert_eq!(drain, Drain::Clean);
        assert!(seen.values().all(|seen| seen.is_completed() && seen.tokens() == 3));
    }
}
