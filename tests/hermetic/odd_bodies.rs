//! Bodies that are not what their head says, and counts that are not what they seem, through whole runs.

use serde_json::Value;

use crate::support::fault_server::{FaultServer, Next, Out, Request, pause};
use crate::support::left_behind::in_one_line;
use crate::support::served_run::{Run, chunk_of, done, good, token, tokens, usage};

const DOCUMENT: &str =
    r#"{"choices":[{"text":" a b","finish_reason":"length"}],"usage":{"completion_tokens":8}}"#;

fn head(out: &mut Out<'_>, content_type: &str) {
    out.raw(format!("HTTP/1.1 200 OK\r\n{content_type}transfer-encoding: chunked\r\n\r\n"));
}

#[test]
fn a_stream_is_known_by_its_events_whatever_its_head_calls_it() {
    for content_type in ["", "content-type: application/json\r\n", "content-type: text/plain\r\n"] {
        let server = FaultServer::start(move |_, out| {
            head(out, content_type);
            for token in tokens(8) {
                out.raw(token);
                pause(2);
            }
            out.raw(done(8));
            Next::KeepAlive
        });
        let run = Run::of(&server, 4, &[]);
        let point = run.point();
        assert_eq!(point["counts"]["completed"], 4, "{content_type:?}: {}", run.console);
        assert_eq!(point["distributions"]["ttft_ms"]["count"], 4, "{content_type:?}");
    }
}

#[test]
fn a_document_is_known_by_its_first_byte_whatever_its_head_calls_it() {
    for content_type in ["", "content-type: text/event-stream\r\n", "content-type: text/plain\r\n"]
    {
        let server = FaultServer::start(move |_, out| out.whole(200, content_type, DOCUMENT));
        let run = Run::of(&server, 4, &[]);
        assert_eq!(
            run.column("oddities"),
            ["not_streamed"; 4],
            "{content_type:?}: {}",
            run.console
        );
        assert_eq!(run.point()["distributions"]["ttft_ms"], Value::Null);
    }
}

#[test]
fn a_stream_that_comes_unasked_is_marked_counted_and_noted() {
    let server = FaultServer::start(|_, out| good(out));
    let run = Run::of(&server, 4, &["--no-streaming"]);
    assert_eq!(run.column("oddities"), ["streamed_unasked"; 4], "{}", run.console);
    let point = run.point();
    assert_eq!(point["counts"]["completed"], 4);
    assert_eq!(point["counts"]["oddities"]["streamed_unasked"]["requests"], 4);
    assert_eq!(point["distributions"]["ttft_ms"], Value::Null);
    let flat = in_one_line(&run.console);
    assert!(flat.contains("4 of 4 requests were streamed although that was not asked"), "{flat}");
    assert_eq!(Run::of(&server, 4, &[]).column("oddities"), [""; 4]);
}

#[test]
fn a_complaint_in_an_answer_of_200_is_told_in_the_servers_words() {
    for body in [
        r#"{"detail":"boomwords"}"#,
        r#"{"code":1302,"msg":"boomwords"}"#,
        r#"{"message":"boomwords"}"#,
    ] {
        let server = FaultServer::start(move |_, out| out.whole(200, "", body));
        let run = Run::of(&server, 3, &[]);
        assert_eq!(run.point()["counts"]["failed"], 3, "{body}");
        assert!(run.console.contains("boomwords"), "{body}: {}", run.console);
    }
}

/// Eight tokens, each in a chunk with this count beside it.
fn counted(out: &mut Out<'_>, count: impl Fn(usize) -> Option<usize>, tail: &str) -> Next {
    out.stream_head();
    for index in 0..8 {
        let event = token(" a", if index == 7 { "\"length\"" } else { "null" });
        out.raw(chunk_of(&match count(index) {
            Some(count) => {
                let whole = &event[..event.len() - 1];
                format!(r#"{whole},"usage":{{"completion_tokens":{count}}}}}"#)
            }
            None => event,
        }));
        pause(20);
    }
    out.raw(format!("{tail}{}0\r\n\r\n", chunk_of("[DONE]")));
    Next::KeepAlive
}

#[test]
fn counts_that_do_not_run_along_leave_each_chunk_its_token() {
    type CountOf = fn(usize) -> Option<usize>;
    let kinds: [(&str, CountOf, String); 4] = [
        ("the total in each", |_| Some(8), usage(8)),
        ("the total in the first", |index| (index == 0).then_some(8), String::new()),
        ("one in each, and the total at the end", |_| Some(1), usage(8)),
        ("one in each", |_| Some(1), String::new()),
    ];
    for (name, count, tail) in kinds {
        let server = FaultServer::start(move |_, out| counted(out, count, &tail));
        let run = Run::of(&server, 4, &[]);
        // A client that has no core finds several chunks in one read, and never all of them.
        for first in run.column("first_tokens") {
            assert!((1..8).contains(&first.parse().unwrap()), "{name}: {first}");
        }
        assert_eq!(run.column("output_tokens"), ["8"; 4], "{name}");
        let point = run.point();
        assert_eq!(point["approximate"], false, "{name}");
        assert_eq!(point["counts"]["without_tpot"], 0, "{name}");
    }
}

#[test]
fn a_count_in_an_event_of_its_own_is_of_the_chunk_before_it() {
    let server = FaultServer::start(|request, out| {
        let most = request.json()["max_tokens"].as_u64().unwrap_or(8) as usize;
        let counted = |text: &str, count: usize| {
            let finish = if count == most { "\"length\"" } else { "null" };
            let events = format!("data: {}\n\ndata: {}\n\n", token(text, finish), total(count));
            format!("{:x}\r\n{events}\r\n", events.len())
        };
        out.stream_head();
        let first = most / 2;
        out.raw(counted(&" a".repeat(first), first));
        for count in first + 1..=most {
            pause(4);
            out.raw(counted(" a", count));
        }
        out.raw(format!("{}0\r\n\r\n", chunk_of("[DONE]")));
        Next::KeepAlive
    });
    let run = Run::of(&server, 4, &[]);
    // A client that has no core finds several chunks in one read, and never all of them.
    let first = run.column("first_tokens");
    let is_of_some = |it: &String| (4..8).contains(&it.parse().unwrap());
    assert!(first.iter().any(|it| it == "4") && first.iter().all(is_of_some), "{first:?}");
    assert_eq!(run.column("output_tokens"), ["8"; 4]);
    assert_eq!(run.point()["approximate"], false);
}

/// Four tokens in one chunk and four more, each chunk and its count in a write of its own.
fn counts_apart(request: &Request, out: &mut Out<'_>, counts_first: bool) -> Next {
    let most = request.json()["max_tokens"].as_u64().unwrap_or(8) as usize;
    out.stream_head();
    for count in most / 2..=most {
        let text = if count == most / 2 { " a".repeat(count) } else { " a".to_owned() };
        let finish = if count == most { "\"length\"" } else { "null" };
        let mut pair = [chunk_of(&token(&text, finish)), chunk_of(&total(count))];
        if counts_first {
            pair.reverse();
        }
        for event in pair {
            out.raw(event);
            pause(15);
        }
    }
    out.raw(format!("{}0\r\n\r\n", chunk_of("[DONE]")));
    Next::KeepAlive
}

#[test]
fn a_count_in_a_write_of_its_own_is_of_its_chunk_whichever_comes_first() {
    for counts_first in [false, true] {
        let server =
            FaultServer::start(move |request, out| counts_apart(request, out, counts_first));
        let run = Run::of(&server, 4, &[]);
        assert_eq!(run.column("first_tokens"), ["4"; 4], "{counts_first}: {}", run.console);
        assert_eq!(run.column("output_tokens"), ["8"; 4], "{counts_first}");
        let point = run.point();
        assert_eq!(point["approximate"], false, "{counts_first}");
        assert_eq!(point["counts"]["token_count_differs"], 0, "{counts_first}");
    }
}

/// A count of all tokens so far, alone.
fn total(tokens: usize) -> String {
    format!(r#"{{"choices":[],"usage":{{"prompt_tokens":4,"completion_tokens":{tokens}}}}}"#)
}

#[test]
fn an_error_object_without_words_is_none() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        for index in 0..8 {
            let event = token(" a", if index == 7 { "\"length\"" } else { "null" });
            let whole = &event[..event.len() - 1];
            out.raw(chunk_of(&format!(r#"{whole},"error":{{"code":null,"message":""}}}}"#)));
            pause(1);
        }
        out.raw(done(8));
        Next::KeepAlive
    });
    assert_eq!(Run::of(&server, 4, &[]).point()["counts"]["completed"], 4);
}

#[test]
fn what_a_server_found_in_its_cache_is_seen_wherever_it_says_so() {
    for (usage, timings) in [
        (r#","prompt_cache_hit_tokens":3"#, ""),
        (r#","cached_tokens":3"#, ""),
        (r#","prompt_tokens_details":{"cached_tokens":3}"#, ""),
        ("", r#","timings":{"cache_n":3}"#),
    ] {
        let last = format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":4,"completion_tokens":8{usage}}}{timings}}}"#
        );
        let server = FaultServer::start(move |_, out| {
            out.stream_head();
            out.raw(tokens(8).concat());
            out.raw(format!("{}{}0\r\n\r\n", chunk_of(&last), chunk_of("[DONE]")));
            Next::KeepAlive
        });
        let run = Run::of(&server, 4, &[]);
        assert_eq!(run.column("cached_tokens"), ["3"; 4], "{usage}{timings}: {}", run.console);
        assert_eq!(run.check("repeats")["status"], "warn", "{usage}{timings}");
    }
}

#[test]
fn a_text_in_one_piece_that_nobody_counted_is_in_no_rate_of_tokens_and_is_not_one_token() {
    const UNCOUNTED: &str = r#"{"choices":[{"text":" a b","finish_reason":"length"}]}"#;
    for streaming in [&[][..], &["--no-streaming", "--stop-at-eos"]] {
        let server = FaultServer::start(|_, out| {
            pause(2);
            out.json(200, UNCOUNTED)
        });
        let run = Run::of(&server, 4, streaming);
        assert!(run.column("oddities").iter().all(|marks| marks.ends_with("uncounted")));
        let point = run.point();
        assert_eq!(point["distributions"]["output_tokens"], Value::Null);
        assert_eq!(point["rates"]["output_throughput_tokens_per_s"], Value::Null);
        assert!(point["distributions"]["e2e_ms"]["min"].as_f64().unwrap() >= 2.0);
        let flat = in_one_line(&run.console);
        assert!(flat.contains("4 of 4 requests brought their text in one piece"), "{flat}");
        assert!(!flat.contains("counted as chunks"), "{flat}");
    }
}

#[test]
fn what_is_no_compression_and_what_keeps_a_connection_alive_harm_nothing() {
    for odd in [
        "content-encoding: none\r\n",
        "content-encoding:\r\n",
        "transfer-encoding : chunked\r\n",
        "content-encoding: utf-8\r\n",
    ] {
        let server = FaultServer::start(move |_, out| {
            let chunked = if odd.starts_with('t') { "" } else { "transfer-encoding: chunked\r\n" };
            out.raw(format!("HTTP/1.1 200 OK\r\n{odd}{chunked}\r\n"));
            for token in tokens(8) {
                out.raw(chunk_of("null"));
                out.raw(chunk_of(" "));
                out.raw(token);
                pause(2);
            }
            out.raw(done(8));
            Next::KeepAlive
        });
        let run = Run::of(&server, 4, &[]);
        assert_eq!(run.column("output_tokens"), ["8"; 4], "{odd}: {}", run.console);
        assert_eq!(run.point()["counts"]["completed"], 4, "{odd}");
    }
}

#[test]
fn a_redirect_names_the_address_and_stops_the_run() {
    let server =
        FaultServer::start(|_, out| out.whole(308, "location: /elsewhere/v1/completions\r\n", ""));
    let out = tempfile::TempDir::new().unwrap();
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", &format!("openai:{}", server.url()), "--model", "m"])
        .args(["--endpoint", "completions", "--scenario", "D(4,8)", "--concurrency", "1"])
        .args(["--requests", "4"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success());
    assert!(said.contains("/elsewhere/v1/completions"), "{said}");
    assert!(said.contains("name that address as the target"), "{said}");
}
