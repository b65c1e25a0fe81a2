//! Target `openai:` against servers that do what they should, in every way that servers do it.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crate::support::fault_server::harness::{Range, Story, options, play, play_one, shot};
use crate::support::fault_server::{
    FaultServer, LENGTH, Next, ROLE, TOKEN, http2, pause, tls, usage,
};
use bareflight::clock::{Nanos, now, sleep};
use bareflight::record::event::{Ending, TokenHash};
use bareflight::record::request_record::{FinishReason, StampSource, TokenSource};
use bareflight::request::FailureKind;
use bareflight::targets::openai::{
    ConnectionPolicy, Endpoint, HttpVersion, OpenAiTarget, PromptAs,
};
use bareflight::targets::{Drain, Target};

#[test]
fn a_chat_stream_is_counted_stamped_and_ended() {
    let server = FaultServer::start(|_, out| out.good(4));
    let story = play_one(options(&server.url()));
    assert_eq!((story.tokens(), story.count), (4, Some((4, TokenSource::Usage))));
    assert_eq!(story.finish(), FinishReason::Length);
    let sent = server.requests()[0].clone();
    assert_eq!((sent.method.as_str(), sent.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(sent.json()["messages"][0]["content"], "one two three");
}

#[test]
fn any_cut_of_the_bytes_on_the_wire_gives_the_same_counts() {
    for cut in [1, 7, 40] {
        let server = FaultServer::start(move |_, out| {
            let events = [ROLE, TOKEN, TOKEN, TOKEN, LENGTH, &usage(3), "[DONE]"];
            let body = events.map(|event| format!("data:{event}\r\n\r\n")).concat();
            let parts: Vec<_> = body
                .as_bytes()
                .chunks(23)
                .map(|part| format!("{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part)))
                .collect();
            let chunks = parts.concat();
            out.stream_head();
            for (number, part) in format!("{chunks}0\r\n\r\n").as_bytes().chunks(cut).enumerate() {
                out.raw(part);
                if number % 16 == 0 {
                    pause(1);
                }
            }
            Next::KeepAlive
        });
        let story = play_one(options(&server.url()));
        assert_eq!((story.tokens(), story.count), (3, Some((3, TokenSource::Usage))), "{cut}");
    }
}

#[test]
fn an_answer_at_once_is_one_delivery_at_its_end() {
    let server = FaultServer::start(|request, out| {
        assert_eq!(request.json()["stream"], false);
        out.json(200, r#"{"choices":[{"message":{"content":"a b"},"finish_reason":"stop"}],"usage":{"completion_tokens":4}}"#)
    });
    let mut whole = shot(0, 4);
    whole.request.streaming = false;
    let story = play(options(&server.url()), &[whole]).remove(0);
    assert_eq!((story.deliveries.len(), story.tokens()), (1, 4));
    assert_eq!((story.deliveries[0].0, story.finish()), (story.end(), FinishReason::EndToken));
}

#[test]
fn a_server_that_ignores_streaming_is_still_understood() {
    let server = FaultServer::start(|_, out| {
        out.json(200, r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}"#)
    });
    assert_eq!(play_one(options(&server.url())).tokens(), 1);
}

#[test]
fn completions_take_ids_and_returned_ids_are_hashed() {
    let server = FaultServer::start(|request, out| {
        assert_eq!(request.json()["prompt"], serde_json::json!([1, 2, 3]));
        out.stream_head();
        out.event(r#"{"choices":[{"text":" a","token_ids":[5]}]}"#);
        out.event(r#"{"choices":[{"text":" b c","token_ids":[6,7],"finish_reason":"length"}]}"#);
        out.end()
    });
    let mut options = options(&server.url());
    (options.endpoint, options.prompt_as) = (Endpoint::Completions, PromptAs::Ids);
    let story = play_one(options);
    assert_eq!(story.count, Some((3, TokenSource::Ids)));
    let hash = story.deliveries.iter().fold(TokenHash::EMPTY, |all, d| all.then(d.2, d.1));
    assert_eq!(hash, TokenHash::of([5, 6, 7].into_iter()));
}

#[test]
fn embeddings_complete_without_a_token() {
    let server = FaultServer::start(|request, out| {
        assert_eq!(request.path, "/v1/embeddings");
        out.json(200, r#"{"data":[{"embedding":[0.1,0.2]}],"usage":{"prompt_tokens":3}}"#)
    });
    let mut options = options(&server.url());
    options.endpoint = Endpoint::Embeddings;
    let story = play_one(options);
    assert_eq!((story.tokens(), story.finish()), (0, FinishReason::Unknown));
}

#[test]
fn the_model_is_discovered_with_its_limit_and_a_named_one_is_not_asked_for() {
    let server = FaultServer::start(|request, out| match request.path.as_str() {
        "/v1/models" => out.json(200, r#"{"data":[{"id":"found","max_model_len":64}]}"#),
        _ => out.good(1),
    });
    let mut unnamed = options(&server.url());
    unnamed.model = None;
    let target = OpenAiTarget::new(unnamed.clone()).unwrap();
    assert_eq!(target.describe().limits.max_sequence_tokens, Some(64));
    assert_eq!(target.describe().details["model"], "found");
    assert_eq!(server.requests()[0].method, "GET");
    play_one(unnamed);
    assert_eq!(server.requests()[2].json()["model"], "found");
    play_one(options(&server.url()));
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn usage_in_each_chunk_is_asked_of_a_server_that_says_it_is_one_that_can() {
    for (owner, asked) in [("vllm", true), ("someone", false)] {
        let server = FaultServer::start(move |request, out| match request.path.as_str() {
            "/v1/models" => {
                out.json(200, &format!(r#"{{"data":[{{"id":"m","owned_by":"{owner}"}}]}}"#))
            }
            _ => out.good(1),
        });
        let mut unnamed = options(&server.url());
        unnamed.model = None;
        play_one(unnamed);
        let sent = server.requests()[1].json();
        assert_eq!(sent["stream_options"]["continuous_usage_stats"] == true, asked, "{owner}");
    }
}

#[test]
fn a_server_without_a_model_name_is_an_error_with_a_remedy() {
    let server = FaultServer::start(|_, out| out.json(404, r#"{"detail":"Not Found"}"#));
    let mut unnamed = options(&server.url());
    unnamed.model = None;
    let error = OpenAiTarget::new(unnamed).unwrap_err().to_string();
    assert!(error.contains("Not Found") && error.contains("`--model NAME`"), "{error}");
}

#[test]
fn a_pool_uses_one_connection_again_and_fresh_never_does() {
    for (policy, connections) in [(ConnectionPolicy::Pool, 1), (ConnectionPolicy::Fresh, 5)] {
        let server = FaultServer::start(|_, out| out.good(2));
        let mut options = options(&server.url());
        options.connection = policy;
        let mut range = Range::open(OpenAiTarget::new(options).unwrap(), 5);
        for id in 0..5 {
            range.fire(&shot(id, 2));
            range.wait();
        }
        range.finish(now());
        assert_eq!(server.connections(), connections, "{policy:?}");
    }
}

#[test]
fn headers_and_extra_inputs_reach_the_server() {
    let server = FaultServer::start(|_, out| out.good(1));
    let mut options = options(&server.url());
    options.headers.push(("x-tenant".to_owned(), "blue".to_owned()));
    options.extra_inputs.insert("logit_bias".to_owned(), serde_json::json!({"2": 100}));
    play_one(options);
    let sent = server.requests()[0].clone();
    assert_eq!(sent.header("x-tenant"), Some("blue"));
    assert_eq!(sent.json()["logit_bias"]["2"], 100);
}

/// TTFT 40 ms, then a token every 10 ms, for as long as the client stays.
fn endless() -> FaultServer {
    FaultServer::start(|_, out| {
        out.stream_head();
        pause(40);
        while out.event(TOKEN) {
            pause(10);
        }
        Next::Close
    })
}

#[test]
fn a_cancel_ends_a_request_once_and_unknown_ids_are_ignored() {
    let server = endless();
    let mut range = Range::open(OpenAiTarget::new(options(&server.url())).unwrap(), 2);
    range.fire(&shot(0, 1_000));
    range.wait_for_a_token(0);
    for id in [0, 0, 1, 77] {
        range.cancel(id);
    }
    range.wait();
    let (drain, stories) = range.finish(now());
    assert!(stories[0].was_cancelled() && stories[0].tokens() > 0, "{stories:?}");
    assert_eq!(drain, Drain::Clean);
}

#[test]
fn finish_waits_until_its_deadline_and_cancels_what_is_left() {
    let server = endless();
    let mut range = Range::open(OpenAiTarget::new(options(&server.url())).unwrap(), 3);
    (0..3).for_each(|id| range.fire(&shot(id, 1_000)));
    let by = now() + Nanos::from_millis(200);
    let (drain, stories) = range.finish(by);
    assert!(now() >= by);
    assert!(matches!(drain, Drain::Forced(words) if words.starts_with("3 requests")));
    assert!(stories.iter().all(Story::was_cancelled));
    assert_eq!(range.in_flight(), 0);
}

#[test]
fn a_session_dropped_without_finish_ends_its_requests() {
    let server = endless();
    let mut range = Range::open(OpenAiTarget::new(options(&server.url())).unwrap(), 1);
    range.fire(&shot(0, 1_000));
    sleep(Nanos::from_millis(50));
    range.session = None;
    range.wait();
}

/// Against a known schedule only one side can be claimed: nothing arrives before it was sent.
#[test]
fn a_known_schedule_is_never_reported_faster_than_it_was() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        pause(50);
        for _ in 0..8 {
            out.event(TOKEN);
            pause(10);
        }
        out.event(LENGTH);
        out.end()
    });
    let shots: Vec<_> = (0..16).map(|id| shot(id, 8)).collect();
    for story in play(options(&server.url()), &shots) {
        assert_eq!(story.tokens(), 8);
        let first = story.deliveries[0].0;
        assert!(first - story.sent.unwrap() >= Nanos::from_millis(50), "{story:?}");
        assert!(story.end() - first >= Nanos::from_millis(80), "{story:?}");
    }
}

#[test]
fn stamps_are_the_kernels_where_it_gives_them() {
    let server = FaultServer::start(|_, out| out.good(4));
    let mut range = Range::open(OpenAiTarget::new(options(&server.url())).unwrap(), 1);
    range.fire(&shot(0, 4));
    range.wait();
    let (_, stories) = range.finish(now());
    let source = range.session_stamps.expect("a session says who takes its stamps");
    if source == StampSource::Kernel {
        assert_eq!(stories[0].stamps, None, "no read was without the kernel's stamp");
        assert!(stories[0].deliveries.iter().any(|delivery| delivery.3 > 0), "{stories:?}");
    } else {
        assert!(stories[0].deliveries.iter().all(|delivery| delivery.3 == 0));
    }
}

#[test]
fn several_threads_share_the_requests_and_lose_none() {
    let server = FaultServer::start(|_, out| out.good(16));
    let mut options = options(&server.url());
    options.threads = NonZeroU16::new(3).unwrap();
    let shots: Vec<_> = (0..96).map(|id| shot(id, 16)).collect();
    let stories = play(options, &shots);
    assert!(stories.iter().all(|story| story.tokens() == 16));
}

#[test]
fn engine_stamps_of_a_server_on_this_host_are_taken() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        out.event(TOKEN);
        out.event(LENGTH);
        out.event(r#"{"choices":[],"x-bareflight-timing":{"arrival":5,"first_token":9}}"#);
        out.end()
    });
    let times = play_one(options(&server.url())).times.unwrap();
    assert_eq!(times.arrival.map(|at| at.0), Some(5));
    assert_eq!(times.first_scheduled, None);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let config = tls::server_config("localhost", &ca_file, &[]);
    let server = tls::start(config, |_, out| out.good(4));
    let mut options = options(&format!("https://localhost:{}", server.address.port()));
    options.tls.ca_file = Some(ca_file.clone());
    assert_eq!(play_one(options.clone()).tokens(), 4, "trusted with its CA");

    let other = folder.path().join("other.pem");
    tls::server_config("localhost", &other, &[]);
    options.tls.ca_file = Some(other);
    let refused = play_one(options.clone());
    assert_eq!(refused.failure(), FailureKind::Tls);
    assert!(refused.message().contains("certificate"), "{}", refused.message());

    options.tls.insecure = true;
    assert_eq!(play_one(options.clone()).tokens(), 4, "anybody is trusted if asked for");

    options.tls = bareflight::network::tls::TlsOptions::default();
    match OpenAiTarget::new(options.clone()) {
        Ok(_) => assert_eq!(play_one(options).failure(), FailureKind::Tls),
        // A machine without any trusted certificate says so before it sends anything.
        Err(error) => assert!(error.to_string().contains("trusted certificates"), "{error}"),
    }
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let server = tls::start(tls::server_config("elsewhere", &ca_file, &[]), |_, out| out.good(4));
    let mut options = options(&format!("https://localhost:{}", server.address.port()));
    options.tls.ca_file = Some(ca_file);
    assert_eq!(play_one(options).failure(), FailureKind::Tls);
}

fn events() -> Vec<String> {
    [ROLE, TOKEN, TOKEN, TOKEN, LENGTH, &usage(3), "[DONE]"].map(str::to_owned).to_vec()
}

#[test]
fn http2_carries_many_answers_on_few_connections() {
    let server = http2::start(None, events(), Duration::from_millis(5), false);
    let mut options = options(&format!("http://{}", server.address));
    options.http = HttpVersion::Http2;
    let shots: Vec<_> = (0..100).map(|id| shot(id, 3)).collect();
    let stories = play(options, &shots);
    for story in &stories {
        assert_eq!((story.tokens(), story.count), (3, Some((3, TokenSource::Usage))), "{story:?}");
        let schedule = story.end() - story.sent.unwrap();
        assert!(schedule >= Nanos::from_millis(30), "{schedule}");
    }
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[test]
fn a_request_whose_http2_connection_goes_away_as_it_comes_is_sent_again_and_counted() {
    let server = http2::start_that_drops(events(), 2);
    let mut options = options(&format!("http://{}", server.address));
    options.http = HttpVersion::Http2;
    let mut range = Range::open(OpenAiTarget::new(options).unwrap(), 40);
    for id in 0..40 {
        range.fire(&shot(id, 3));
        range.wait();
    }
    let stories = range.finish(now()).1;
    assert_eq!((stories[0].connection.resent, stories[1].connection.resent), (0, 0));
    // Each connection answers two and drops the next, which is sent again, unless a busy machine saw that late: a server that
    // had it for longer may have worked on it.
    let mut dropped = Vec::new();
    let mut answered = 0;
    for story in &stories {
        let is_dropped = answered == 2;
        if is_dropped {
            dropped.push(story.connection.resent);
        }
        if let Ending::Completed(_) = story.endings[0].1 {
            assert_eq!(story.tokens(), 3, "{story:?}");
            assert_eq!(story.connection.resent, u32::from(is_dropped), "{story:?}");
            answered = if is_dropped { 1 } else { answered + 1 };
        } else {
            assert_eq!(story.failure(), FailureKind::Disconnected, "{story:?}");
            assert!(is_dropped && story.connection.resent == 0, "{story:?}");
            assert!(story.end() - story.sent.unwrap() > Nanos::from_millis(10), "{story:?}");
            answered = 0;
        }
    }
    assert!(dropped.contains(&1), "{dropped:?}");
    let reopened = dropped.len() - usize::from(answered == 0);
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1 + reopened);
}

#[test]
fn http2_is_chosen_where_a_tls_server_offers_it() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    let config = tls::server_config("localhost", &ca_file, &[b"h2"]);
    let server = http2::start(Some(Arc::clone(&config)), events(), Duration::from_millis(1), false);
    let mut options = options(&format!("https://localhost:{}", server.address.port()));
    options.tls.ca_file = Some(ca_file);
    let shots: Vec<_> = (0..8).map(|id| shot(id, 3)).collect();
    assert!(play(options, &shots).iter().all(|story| story.tokens() == 3));
    assert_eq!(server.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn an_http2_stream_that_breaks_is_disconnected_and_a_server_without_http2_is_a_failure() {
    let cut = vec![TOKEN.to_owned()];
    let server = http2::start(None, cut, Duration::from_millis(1), true);
    let mut broken = options(&format!("http://{}", server.address));
    broken.http = HttpVersion::Http2;
    assert_eq!(play_one(broken).failure(), FailureKind::Disconnected);

    let http1 = FaultServer::start(|_, out| out.json(400, "{}"));
    let mut wrong = options(&http1.url());
    wrong.http = HttpVersion::Http2;
    let kind = play_one(wrong).failure();
    assert!(matches!(kind, FailureKind::Disconnected | FailureKind::Connect), "{kind}");
}
