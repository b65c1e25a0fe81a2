//! Usage that runs along with the chunks: found out by the probe, of any server, and asked for where it comes.

use crate::support::fault_server::{FaultServer, Next, Out, Request, pause};
use crate::support::served_run::{Run, chunk_of, done, token};

/// Whether a request asks for it; probes ask for fewer tokens than the load does.
fn asks(request: &Request) -> bool {
    request.json()["stream_options"]["continuous_usage_stats"] == true
}

fn is_probe(request: &Request) -> bool {
    request.method == "POST" && request.json()["max_tokens"].as_u64() < Some(8)
}

/// Five tokens in the first chunk and three more, each with the usage so far where `with_usage`.
fn bundles(out: &mut Out<'_>, with_usage: bool) -> Next {
    out.stream_head();
    for (text, so_far, finish) in
        [(" a b c d e", 5, "null"), (" f", 6, "null"), (" g", 7, "null"), (" h", 8, "\"length\"")]
    {
        let mut event = token(text, finish);
        if with_usage {
            event.truncate(event.len() - 1);
            let usage = format!(r#","usage":{{"prompt_tokens":4,"completion_tokens":{so_far}}}}}"#);
            event.push_str(&usage);
        }
        out.raw(chunk_of(&event));
        pause(2);
    }
    out.raw(done(8));
    Next::KeepAlive
}

/// Who asked for it in a run: the probes, and whether all of the load did.
fn seen(server: &FaultServer) -> (Vec<bool>, bool, bool) {
    let posts: Vec<Request> =
        server.requests().into_iter().filter(|it| it.method == "POST").collect();
    let probes = posts.iter().filter(|it| is_probe(it)).map(asks).collect();
    let load = || posts.iter().filter(|it| !is_probe(it));
    (probes, load().all(asks), load().any(asks))
}

#[test]
fn a_server_that_gives_it_is_asked_for_it_whatever_it_calls_itself() {
    let server = FaultServer::start(|request, out| match request.method.as_str() {
        "GET" => out.json(200, r#"{"data":[{"id":"m","owned_by":"nobody"}]}"#),
        _ => bundles(out, asks(request)),
    });
    let run = Run::of(&server, 6, &[]);
    assert_eq!(seen(&server), (vec![true], true, true), "{}", run.console);
    // On a busy machine the next chunks may come in the same read.
    let first = run.column("first_tokens");
    let is_of_whole_chunks = |it: &String| matches!(it.as_str(), "5" | "6" | "7" | "8");
    assert!(first.len() == 6 && first.iter().all(is_of_whole_chunks), "{first:?}");
    assert!(first.iter().any(|it| it == "5"), "{first:?}");
    assert_eq!(run.point()["approximate"], false);
    assert_eq!(run.manifest()["target"]["details"]["continuous_usage_stats"], true);
}

#[test]
fn a_server_that_passes_over_the_question_is_asked_once() {
    let server = FaultServer::start(|_, out| bundles(out, false));
    let run = Run::of(&server, 6, &[]);
    assert_eq!(seen(&server), (vec![true], false, false), "{}", run.console);
    assert_eq!(run.point()["approximate"], true);
}

#[test]
fn a_server_that_refuses_the_question_is_asked_in_the_probe_alone_and_no_request_fails() {
    for owner in ["someone", "vllm"] {
        let server = FaultServer::start(move |request, out| match request.method.as_str() {
            "GET" => out.json(200, &format!(r#"{{"data":[{{"id":"m","owned_by":"{owner}"}}]}}"#)),
            _ if asks(request) => out.json(
                400,
                r#"{"error":{"message":"stream_options.continuous_usage_stats: extra"}}"#,
            ),
            _ => bundles(out, false),
        });
        let run = Run::of(&server, 6, &[]);
        assert_eq!(seen(&server), (vec![true, false], false, false), "{}", run.console);
        assert_eq!(run.point()["counts"]["completed"], 6, "{owner}: {}", run.console);
    }
}

#[test]
fn who_leaves_stream_options_out_asks_nothing() {
    let server = FaultServer::start(|_, out| bundles(out, true));
    let run = Run::of(&server, 3, &["--omit", "stream_options"]);
    assert_eq!(seen(&server), (vec![false], false, false), "{}", run.console);
}
