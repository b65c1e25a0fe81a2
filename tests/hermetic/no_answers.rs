//! Answers of 200 that are none: the request before the load finds them, and a server that is busy or cut short stays measured.

use std::process::{Command, Output};

use crate::support::fault_server::{FaultServer, Next, Out, Request, generate_endpoint, pause};
use crate::support::left_behind::words;
use crate::support::served_run::{Run, chunk_of, good, token};
use crate::support::triton_fault_server;

/// A run of four requests that may end before any load.
fn run(server: &FaultServer, more: &[&str]) -> Output {
    run_at(&format!("openai:{}", server.url()), &[&["--model", "m"], more].concat())
}

/// The same at any target.
fn run_at(target: &str, more: &[&str]) -> Output {
    let out = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", target])
        .args(["--scenario", "D(4,8)", "--concurrency", "1", "--requests", "4", "--warmup", "0"])
        .args(["--window", "whole"])
        .args(more)
        .current_dir(out.path())
        .env("CI", "1")
        .output()
        .expect("the binary runs")
}

fn posts(server: &FaultServer) -> usize {
    server.requests().iter().filter(|request| request.method == "POST").count()
}

const COMPLETIONS: [&str; 2] = ["--endpoint", "completions"];

fn is_refused(server: &FaultServer, more: &[&str], named: &str) {
    let refused = run(server, more);
    let said = words(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{named}: {said}");
    assert!(said.contains(named) && said.contains("no load was sent"), "{named}: {said}");
    assert!((1..=2).contains(&posts(server)), "it is asked once more, and nothing is measured");
}

/// A body without any word of what it is.
fn bytes(out: &mut Out<'_>, body: &[u8]) -> Next {
    let length = body.len();
    out.raw(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ));
    out.raw(body);
    Next::KeepAlive
}

#[test]
fn a_body_that_cannot_be_an_answer_stops_the_run_before_any_load() {
    const LINES: &[u8] =
        b"{\"response\":\" a\",\"done\":false}\n{\"response\":\" b\",\"done\":true}\n";
    let bodies: [(&[u8], &str); 11] = [
        (LINES, "several JSON objects in a row"),
        (b"<!doctype html><title>Sign in</title>", "a web page (\"Sign in\")"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV", "compressed (gzip)"),
        (b"", "the body of the answer is empty"),
        (b"[{\"generated_text\":\" a b\"}]", "a JSON list"),
        (b"OK\n", "neither a JSON object nor server-sent events"),
        (b"{\"object\":\"health\",\"state\":\"up\"}", "has no `choices`"),
        (b"data: {\"token\":{\"id\":1,\"text\":\" a\"}}\n\n", "has no `choices`"),
        (b"{\"content\":[{\"text\":\"a\"}],\"usage\":{\"output_tokens\":2}}", "has no `choices`"),
        (b": ping\n\n", "neither a JSON object nor server-sent events"),
        (b"\xff\xfe{\x00}\x00", "UTF-16"),
    ];
    for (body, named) in bodies {
        for streaming in [&[][..], &["--no-streaming"]] {
            let server = FaultServer::start(move |_, out| bytes(out, body));
            is_refused(&server, &[&COMPLETIONS, streaming].concat(), named);
        }
    }
}

#[test]
fn an_answer_of_204_and_one_in_lines_that_goes_on_are_refused_too() {
    let nothing = FaultServer::start(|_, out| {
        out.raw("HTTP/1.1 204 No Content\r\n\r\n");
        Next::KeepAlive
    });
    is_refused(&nothing, &COMPLETIONS, "the body of the answer is empty");
    let endless = FaultServer::start(|_, out| {
        out.raw(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        while out.chunk("{\"response\":\" a\",\"done\":false}\n") {
            pause(50);
        }
        Next::Close
    });
    is_refused(&endless, &COMPLETIONS, "several JSON objects in a row");
}

#[test]
fn what_speaks_no_http_at_all_is_refused_with_what_it_speaks() {
    for (said, named) in [
        ("SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
        ("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\u{7f}", "--http2"),
        ("\x15\x03\x01\0\x02\x02\x46", "https://"),
    ] {
        let server = FaultServer::start(move |_, out| {
            out.raw(said);
            Next::Close
        });
        is_refused(&server, &COMPLETIONS, named);
    }
}

#[test]
fn vectors_and_scores_that_are_missing_stop_the_run() {
    let ids = ["--endpoint", "embeddings", "--prompts", "ids", "--vocab-size", "256"];
    for body in [b"{\"data\":[]}".as_slice(), b"{\"data\":[{\"embedding\":[]}]}"] {
        let server = FaultServer::start(move |_, out| bytes(out, body));
        is_refused(&server, &ids, "0 vectors or scores for 1 texts");
    }
}

#[test]
fn a_refusal_in_an_answer_of_200_has_its_remedy() {
    let server = FaultServer::start(|request: &Request, out| {
        let asks = request.method == "POST" && request.json().get("ignore_eos").is_some();
        match request.method.as_str() {
            "POST" if asks => bytes(
                out,
                b"{\"error\":{\"message\":\"unsupported parameter: ignore_eos\",\"code\":400}}",
            ),
            "POST" => good(out),
            _ => out.json(404, "{}"),
        }
    });
    is_refused(&server, &COMPLETIONS, "--omit ignore_eos");
    let mended = run(&server, &[&COMPLETIONS[..], &["--omit", "ignore_eos"]].concat());
    assert!(matches!(mended.status.code(), Some(0 | 4)), "{}", words(&mended.stderr));
}

/// A run at Triton's HTTP endpoint, over ids.
fn generate(server: &FaultServer) -> Output {
    let target = format!("triton:http://{}/m", server.address);
    run_at(&target, &["--prompts", "ids", "--vocab-size", "256"])
}

#[test]
fn what_cannot_be_an_answer_of_triton_stops_the_run_before_any_load() {
    const LINES: &[u8] = b"{\"output_ids\":[7]}\n{\"output_ids\":[8]}\n";
    let bodies: [(&[u8], &str); 11] = [
        (LINES, "several JSON objects in a row"),
        (b"<!doctype html><title>Sign in</title>", "a web page (\"Sign in\")"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV", "compressed (gzip)"),
        (b"", "the body of the answer is empty"),
        (b"[{\"generated_text\":\" a b\"}]", "a JSON list"),
        (b"OK\n", "neither a JSON object nor server-sent events"),
        (b"{\"object\":\"health\",\"state\":\"up\"}", "none of the outputs"),
        (b"data: {\"choices\":[{\"text\":\" a\"}]}\n\ndata: [DONE]\n\n", "none of the outputs"),
        (b"data: {\"model_name\":\"m\",\"OUTPUT0\":[1,2]}\n\n", "none of the outputs"),
        (b": ping\n\n", "neither a JSON object nor server-sent events"),
        (b"data: half a {\n\n", "no JSON object"),
    ];
    for (body, named) in bodies {
        let server = generate_endpoint(move |_, out| bytes(out, body));
        let refused = generate(&server);
        let said = words(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{named}: {said}");
        assert!(said.contains(named) && said.contains("no load was sent"), "{named}: {said}");
        assert_eq!(posts(&server), 2, "it is asked once more, and nothing is measured");
    }
    let denied = generate_endpoint(|_, out| out.json(401, "{\"error\":\"who are you\"}"));
    assert_eq!(generate(&denied).status.code(), Some(3));
    assert_eq!(posts(&denied), 1);
}

#[test]
fn a_triton_that_is_busy_or_slipped_once_is_measured() {
    let firsts: [fn(&mut Out<'_>) -> Next; 6] = [
        |out| out.json(429, "{\"error\":\"slow down\"}"),
        |out| out.json(503, "{\"error\":\"loading\"}"),
        |out| bytes(out, b"data: {\"error\":\"overloaded\"}\n\n"),
        |out| bytes(out, b"{\"message\":\"the model is loading\"}"),
        |out| bytes(out, b"<html>please wait</html>"),
        |out| bytes(out, b"data: {\"output_ids\":[]}\n\n"),
    ];
    for first in firsts {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let server = generate_endpoint(move |_, out| {
            if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                return first(out);
            }
            out.stream_head();
            (1..=8).for_each(|id| _ = out.event(&format!("{{\"output_ids\":[{id}]}}")));
            out.end()
        });
        let ended = generate(&server);
        let said = words(&ended.stderr);
        assert!(posts(&server) >= 5, "{said}");
        assert!(words(&ended.stdout).contains("4 requests"), "{}", words(&ended.stdout));
    }
}

#[test]
fn what_triton_would_refuse_of_each_request_over_grpc_stops_the_run_and_a_full_queue_does_not() {
    let address = triton_fault_server::start();
    let run_of = |model: &str| {
        run_at(&format!("triton:{address}/{model}"), &["--prompts", "ids", "--vocab-size", "256"])
    };
    for (model, named) in [
        ("refused_without_id", "unexpected input"),
        ("cut_short_tensor", "`output_ids` is shorter"),
    ] {
        let refused = run_of(model);
        let said = words(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{model}: {said}");
        assert!(said.contains(named) && said.contains("no load was sent"), "{model}: {said}");
    }
    let busy = run_of("unavailable");
    assert_ne!(busy.status.code(), Some(3), "{}", words(&busy.stderr));
}

/// Whether a run went on although its first request was answered so.
fn goes_on(first: impl Fn(&mut Out<'_>) -> Next + Send + Sync + 'static) {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = FaultServer::start(move |request, out| match request.method.as_str() {
        "POST" if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => first(out),
        "POST" => good(out),
        _ => out.json(404, "{}"),
    });
    let run = Run::of(&server, 4, &[]);
    assert_eq!(run.point()["counts"]["completed"], 4, "{}", run.console);
}

#[test]
fn a_server_that_is_busy_or_slipped_once_is_measured() {
    goes_on(|out| out.json(429, "{\"error\":\"slow down\"}"));
    goes_on(|out| out.json(503, "loading"));
    goes_on(|out| bytes(out, b"{\"error\":{\"message\":\"overloaded\"}}"));
    goes_on(|out| bytes(out, b"{\"message\":\"the model is loading\"}"));
    goes_on(|out| bytes(out, b"<html>please wait</html>"));
    goes_on(|out| bytes(out, b""));
    goes_on(|_| Next::Reset);
}

#[test]
fn an_answer_that_is_short_of_a_token_in_the_few_that_are_asked_for_is_one() {
    // A parser of tool calls holds the few tokens of the probe back.
    goes_on(|out| {
        out.stream_head();
        out.raw(chunk_of(r#"{"choices":[{"index":0,"text":"","finish_reason":null}]}"#));
        out.raw(chunk_of(&token("", "\"length\"")));
        out.raw(format!("{}0\r\n\r\n", chunk_of("[DONE]")));
        Next::KeepAlive
    });
}
