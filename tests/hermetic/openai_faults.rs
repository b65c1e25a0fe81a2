//! Faults of an OpenAI server: each has its own failure kind and keeps the server's message.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::NOBODY;
use crate::support::fault_server;
use crate::support::fault_server::harness::{Story, options, play, play_one, shot};
use crate::support::fault_server::{FaultServer, LENGTH, Next, Out, Request, TOKEN, pause, usage};
use crate::support::serve_process::PATIENCE;
use bareflight::clock::{Nanos, now};
use bareflight::network::secret::ApiKey;
use bareflight::record::event::Ending;
use bareflight::record::request_record::{FinishReason, TokenSource};
use bareflight::request::{Failure, FailureKind};
use bareflight::targets::openai::{ConnectionPolicy, Endpoint, OpenAiTarget, PromptAs};

/// One shot at a server that answers so.
fn answered(answer: impl Fn(&mut Out<'_>) -> Next + Send + Sync + 'static) -> Story {
    let server = FaultServer::start(move |_, out| answer(out));
    play_one(options(&server.url()))
}

#[test]
fn a_refused_connection_is_connect() {
    let story = play_one(options(&format!("http://{NOBODY}")));
    assert_eq!(story.failure(), FailureKind::Connect);
    assert!(story.message().contains("refused"), "{}", story.message());
}

#[test]
fn a_host_without_an_address_is_reported_before_anything_is_sent() {
    let error = OpenAiTarget::new(options("http://no-such-host.invalid")).unwrap_err().to_string();
    assert!(error.contains("no-such-host.invalid"), "{error}");
}

#[test]
fn each_http_status_has_its_kind_and_the_servers_words() {
    for (status, kind) in [
        (400, FailureKind::HttpClient),
        (401, FailureKind::Unauthorized),
        (404, FailureKind::NotFound),
        (422, FailureKind::HttpClient),
        (500, FailureKind::HttpServer),
        (503, FailureKind::HttpServer),
    ] {
        let body = format!(r#"{{"error":{{"message":"words of {status}"}}}}"#);
        let story = answered(move |out| out.json(status, &body));
        assert_eq!(story.failure(), kind);
        assert!(story.message().contains(&format!("words of {status}")), "{}", story.message());
    }
}

#[test]
fn a_rate_limit_says_when_to_come_back() {
    let story = answered(|out| out.whole(429, "retry-after: 7\r\n", "slow down"));
    assert_eq!(story.failure(), FailureKind::RateLimited);
    assert!(story.message().contains("Retry-After 7") && story.message().contains("slow down"));
}

#[test]
fn words_are_bounded_and_never_hold_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "sk-secret").unwrap();
    let server = FaultServer::start(|request, out| {
        let key = request.header("authorization").unwrap_or_default().to_owned();
        out.json(401, &format!(r#"{{"detail":"bad {key} {}"}}"#, "x".repeat(5_000)))
    });
    let mut options = options(&server.url());
    options.api_key = Some(ApiKey::from_file(&path).unwrap());
    let story = play_one(options);
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer sk-secret"));
    assert!(!story.message().contains("sk-secret"), "{}", story.message());
    assert!(story.message().len() <= Failure::MAX_MESSAGE);
}

#[test]
fn what_is_no_json_no_http_or_a_web_page_is_malformed() {
    let stories = [
        answered(|out| {
            out.stream_head();
            out.event("{\"choices\": [");
            out.end()
        }),
        answered(|out| {
            out.raw("SSH-2.0-OpenSSH_9.2\r\n");
            Next::Close
        }),
        answered(|out| out.whole(200, "content-type: text/html\r\n", "<html>welcome</html>")),
        answered(|out| out.json(200, "{\"choices\":")),
        answered(|out| {
            out.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
            Next::Close
        }),
    ];
    for story in stories {
        assert_eq!(story.failure(), FailureKind::Malformed, "{story:?}");
    }
}

#[test]
fn a_compressed_answer_is_refused_loudly() {
    let server = FaultServer::start(|_, out| {
        out.raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n\u{1f}");
        Next::Close
    });
    let story = play_one(options(&server.url()));
    assert_eq!(server.requests()[0].header("accept-encoding"), Some("identity"));
    assert_eq!(story.failure(), FailureKind::Malformed);
    assert!(story.message().contains("gzip"), "{}", story.message());
}

#[test]
fn an_error_object_inside_http_200_is_a_failure() {
    let error = r#"{"error":{"message":"out of memory","code":500}}"#;
    let in_stream = answered(move |out| {
        out.stream_head();
        out.event(TOKEN);
        out.event(error);
        out.event("[DONE]");
        out.end()
    });
    let named = answered(|out| {
        out.stream_head();
        out.chunk("event: error\ndata: out of memory\n\n");
        out.end()
    });
    let at_once = answered(move |out| out.json(200, error));
    for story in [in_stream, named, at_once] {
        assert_eq!(story.failure(), FailureKind::ErrorInStream);
        assert!(story.message().contains("out of memory"), "{}", story.message());
    }
}

#[test]
fn a_stream_that_is_cut_is_disconnected_or_truncated() {
    let inside_a_chunk = answered(|out| {
        out.stream_head();
        out.event(TOKEN);
        out.raw("40\r\ndata: {\"cho");
        Next::Close
    });
    let reset = answered(|out| {
        out.stream_head();
        out.event(TOKEN);
        pause(50);
        Next::Reset
    });
    for story in [inside_a_chunk, reset] {
        assert_eq!(story.failure(), FailureKind::Disconnected, "{story:?}");
        assert_eq!(story.tokens(), 1);
    }
    let properly_and_too_early = answered(|out| {
        out.stream_head();
        out.event(TOKEN);
        out.end()
    });
    let done_without_a_reason = answered(|out| {
        out.stream_head();
        out.event(TOKEN);
        out.event("[DONE]");
        out.end()
    });
    for story in [properly_and_too_early, done_without_a_reason] {
        assert_eq!(story.failure(), FailureKind::Truncated, "{story:?}");
    }
}

#[test]
fn a_connection_that_closes_before_any_answer_is_disconnected() {
    assert_eq!(answered(|_| Next::Close).failure(), FailureKind::Disconnected);
    assert_eq!(answered(|_| Next::Reset).failure(), FailureKind::Disconnected);
    let inside_the_head = answered(|out| {
        out.raw("HTTP/1.1 200 OK\r\ncontent-");
        Next::Close
    });
    assert_eq!(inside_the_head.failure(), FailureKind::Disconnected);
}

#[test]
fn an_answer_without_a_token_is_empty() {
    let no_token = answered(|out| {
        out.stream_head();
        out.event(fault_server::ROLE);
        out.event(LENGTH);
        out.event("[DONE]");
        out.end()
    });
    let no_body = answered(|out| out.whole(200, "content-type: text/event-stream\r\n", ""));
    for story in [no_token, no_body] {
        assert_eq!(story.failure(), FailureKind::Empty);
    }
}

/// One shot with this time-out to its first token and this one between tokens.
fn timed(
    first_token: Duration,
    idle: Duration,
    answer: impl Fn(&mut Out<'_>) -> Next + Send + Sync + 'static,
) -> (Story, Nanos) {
    let server = FaultServer::start(move |_, out| answer(out));
    let mut options = options(&server.url());
    options.timeouts.first_token = first_token;
    options.timeouts.idle = idle;
    let story = play_one(options);
    let took = story.end() - story.sent.unwrap();
    (story, took)
}

/// One that waits for a first token, with a time-out short enough for a test.
fn tokenless(answer: impl Fn(&mut Out<'_>) -> Next + Send + Sync + 'static) -> (Story, Nanos) {
    timed(Duration::from_millis(150), PATIENCE, answer)
}

fn answered_by_silence(out: &mut Out<'_>) -> Next {
    out.silence()
}

#[test]
fn a_silent_server_and_a_head_that_trickles_are_silent() {
    let (silent, took) = tokenless(answered_by_silence);
    assert_eq!(silent.failure(), FailureKind::Silent);
    assert!(took >= Nanos::from_millis(150), "{took}");
    let (trickling, _) = tokenless(|out| {
        let mut bytes = "HTTP/1.1 200 OK\r\nx-padding: ".bytes().chain(std::iter::repeat(b'x'));
        while out.raw([bytes.next().unwrap()]) {
            pause(20);
        }
        Next::Close
    });
    assert_eq!(trickling.failure(), FailureKind::Silent);
}

#[test]
fn a_stream_that_stalls_trickles_or_only_comments_is_idle() {
    // Its first token has all the time that a busy machine needs.
    let (stalled, took) = timed(PATIENCE, Duration::from_millis(250), |out| {
        out.stream_head();
        out.event(TOKEN);
        out.silence()
    });
    let (trickling, _) = tokenless(|out| {
        out.stream_head();
        out.chunk("data: ");
        while out.chunk("{") {
            pause(20);
        }
        Next::Close
    });
    let (commenting, _) = tokenless(|out| {
        out.stream_head();
        while out.chunk(": ping\n\n") {
            pause(20);
        }
        Next::Close
    });
    assert!(took >= Nanos::from_millis(250), "{took}");
    assert_eq!(stalled.failure(), FailureKind::Idle, "{stalled:?}");
    assert!(stalled.message().contains("--idle-timeout"), "{}", stalled.message());
    for story in [trickling, commenting] {
        assert_eq!(story.failure(), FailureKind::Silent, "no token had come: {story:?}");
        assert!(story.message().contains("--first-token-timeout"), "{}", story.message());
    }
}

#[test]
fn a_wait_for_the_first_token_behind_the_head_is_not_idleness() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        pause(300);
        // In one write: between two of them a busy machine may be idle for longer than is allowed.
        out.chunk(&format!("data: {TOKEN}\n\ndata: [DONE]\n\n"));
        out.end()
    });
    let mut options = options(&server.url());
    options.timeouts.idle = Duration::from_millis(100);
    assert_eq!(play_one(options).tokens(), 1);
}

#[test]
fn a_request_that_outlives_the_total_timeout_is_timed_out() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        while out.event(TOKEN) {
            pause(10);
        }
        Next::Close
    });
    let mut options = options(&server.url());
    options.timeouts.total = Some(Duration::from_secs(1));
    let story = play_one(options);
    assert!(story.timed_out && story.was_cancelled(), "{story:?}");
    assert!(story.tokens() > 0);
}

#[test]
fn a_host_that_swallows_connections_is_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // TCP connects, and nobody ever answers the TLS handshake.
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut options = options(&url);
    options.tls.insecure = true;
    options.timeouts.connect = Duration::from_millis(150);
    let story = play_one(options);
    assert_eq!(story.failure(), FailureKind::Connect);
    assert!(story.message().contains("150ms"), "{}", story.message());
}

#[test]
fn a_missing_done_and_a_stream_left_open_after_done_are_no_failures() {
    let no_done = answered(|out| {
        out.stream_head();
        out.event(TOKEN);
        out.event(LENGTH);
        out.end()
    });
    let left_open = answered(|out| {
        out.stream_head();
        out.event(TOKEN);
        out.event(LENGTH);
        out.event("[DONE]");
        out.silence()
    });
    for story in [&no_done, &left_open] {
        assert_eq!(story.finish(), FinishReason::Length);
        assert_eq!(story.count, Some((1, TokenSource::Chunks)));
    }
    let waited = left_open.end() - left_open.deliveries[0].0;
    // The server keeps it open for ten seconds.
    assert!(waited < Nanos::from_secs_f64(8.0), "the end is when [DONE] came: {waited}");
}

/// Sends requests one after another.
fn in_turn(server: &FaultServer, requests: u32) -> Vec<Story> {
    let target = OpenAiTarget::new(options(&server.url())).unwrap();
    let mut range = fault_server::harness::Range::open(target, requests as usize);
    for id in 0..requests {
        range.fire(&shot(id, 4));
        range.wait();
    }
    range.finish(now()).1
}

#[test]
fn every_request_that_reached_the_server_is_one_that_was_sent_or_counted_as_sent_again() {
    let server = FaultServer::start(|request: &Request, out| match request.number % 3 {
        // It comes over a connection that was used before, and is dropped at once.
        1 => Next::Close,
        _ => out.good(4),
    });
    let stories = in_turn(&server, 12);
    let resent: u32 = stories.iter().map(|story| story.connection.resent).sum();
    assert_eq!(server.requests().len(), 12 + resent as usize);
    for story in stories {
        // Whoever was seen closing too late for an idle connection has failed its request.
        let is_whole = story.tokens() == 4;
        assert!(is_whole || story.failure() == FailureKind::Disconnected, "{story:?}");
    }
}

#[test]
fn a_request_that_the_server_may_have_worked_on_is_never_sent_again() {
    let server = FaultServer::start(|request: &Request, out| match request.number % 3 {
        1 => {
            pause(60);
            if request.number.is_multiple_of(2) { Next::Close } else { Next::Reset }
        }
        _ => out.good(4),
    });
    let stories = in_turn(&server, 9);
    assert_eq!(server.requests().len(), 9, "no request is sent twice");
    let failed = stories.iter().filter(|story| story.tokens() == 0);
    let failures: Vec<_> = failed.map(|story| (story.failure(), story.connection.resent)).collect();
    assert_eq!(failures, [(FailureKind::Disconnected, 0); 3]);
    let words = stories.iter().find_map(|story| story.message.as_deref()).unwrap();
    assert!(words.contains("not sent again"), "{words}");
}

#[test]
fn the_run_goes_on_after_any_fault() {
    let server = FaultServer::start(|request, out| match request.number % 4 {
        0 => Next::Reset,
        1 => out.json(500, "{}"),
        2 => {
            out.stream_head();
            out.event("nonsense");
            out.end()
        }
        _ => out.good(4),
    });
    let shots: Vec<_> = (0..64).map(|id| shot(id, 4)).collect();
    let stories = play(options(&server.url()), &shots);
    let completed =
        stories.iter().filter(|story| matches!(story.endings[0].1, Ending::Completed(_)));
    // One that was reset over a connection that had been used may have come again: then there are more.
    let asked = server.requests();
    let good = asked.iter().filter(|request| request.number % 4 == 3).count();
    assert!(completed.count() == good && good >= 16, "{good}");
}

#[test]
fn a_shot_that_cannot_be_asked_is_refused_on_the_spot() {
    let server = FaultServer::start(|_, out| out.good(1));
    let mut without_text = shot(0, 4);
    without_text.request.prompt.text = None;
    let story = play(options(&server.url()), &[without_text]).remove(0);
    assert_eq!(story.refused.unwrap().kind, FailureKind::Refused);
    let mut ids_to_chat = options(&server.url());
    ids_to_chat.prompt_as = PromptAs::Ids;
    assert!(OpenAiTarget::new(ids_to_chat).is_err());
}

#[test]
fn an_embedding_endpoint_that_sends_none_is_empty() {
    let server = FaultServer::start(|_, out| out.json(200, r#"{"data":[]}"#));
    let mut options = options(&server.url());
    options.endpoint = Endpoint::Embeddings;
    options.connection = ConnectionPolicy::Fresh;
    assert_eq!(play_one(options).failure(), FailureKind::Empty);
}

#[test]
fn a_usage_that_differs_from_our_count_is_noted_and_not_replaced() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        out.event(TOKEN);
        out.event(TOKEN);
        out.event(LENGTH);
        out.event(&usage(3));
        out.event("[DONE]");
        out.end()
    });
    let mut options = options(&server.url());
    options.tokenizer = Some(std::sync::Arc::new(|text| text.split_whitespace().count()));
    let story = play_one(options);
    assert_eq!((story.count, story.mismatch), (Some((3, TokenSource::Usage)), Some((3, 2))));
}
