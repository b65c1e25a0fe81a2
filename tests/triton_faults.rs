//! Against a server that breaks on purpose: every fault has a kind, and every request ends exactly once.

#[path = "triton_server/fake.rs"]
mod fake;
mod watch;

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::OnceLock;
use std::time::Duration;

use bareflight::load::plan::RequestId;
use bareflight::record::event::Ending;
use bareflight::record::request_record::FinishReason;
use bareflight::target::triton::TritonTarget;
use bareflight::target::triton::options::{StreamUse, TritonOptions};
use bareflight::target::{Drain, FailureKind};
use watch::{Seen, Watch, shot};

fn server() -> SocketAddr {
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    *SERVER.get_or_init(fake::start)
}

fn options(model: &str) -> TritonOptions {
    let mut options = TritonOptions::new(format!("{}/{model}", server()).parse().unwrap());
    options.channels = NonZeroU16::MIN;
    options.timeouts.idle = Duration::from_millis(400);
    options.timeouts.first_response = Duration::from_millis(800);
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
    let seen = one(options);
    assert_eq!(seen.failure(), kind, "{seen:?}");
    assert!(seen.words.as_ref().is_some_and(|said| said.contains(words)), "{seen:?}");
}

#[test]
fn every_fault_of_a_stream_has_a_kind_and_the_servers_words() {
    for (model, kind, words) in [
        ("unavailable", FailureKind::Grpc, "UNAVAILABLE: the queue is full"),
        ("deadline", FailureKind::Grpc, "DEADLINE_EXCEEDED: took too long"),
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
    fails(options("unary_unavailable"), FailureKind::Grpc, "UNAVAILABLE: no instance is ready");
    fails(options("unary_unauthorized"), FailureKind::Unauthorized, "who are you");
    fails(options("unary_limited"), FailureKind::RateLimited, "come back later");
    assert_eq!(one(options("unary")).tokens(), 3);
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
fn what_cannot_work_is_said_before_anything_is_sent() {
    let error = |model| TritonTarget::new(options(model)).unwrap_err().to_string();
    assert!(error("not_loaded").contains("'not_loaded' is not found"));
    assert!(error("missing_tensor").contains("no input for the number of tokens to generate"));
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
        assert_eq!(seen.failure(), FailureKind::Grpc, "{seen:?}");
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
    let mut watch = Watch::open(
        TritonTarget::new(TritonOptions { streams: SHARED, ..options("stalls") }).unwrap(),
    );
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
