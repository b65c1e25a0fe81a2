//! Counts that are none, and texts that come twice: no number rests on them, or it says that it is approximate.

use serde_json::Value;

use crate::support::fault_server::{FaultServer, Next, Out};
use crate::support::served_run::{Run, chunk_of, tokens, usage};

/// A run of four requests whose eight chunks have these further members, with `end` behind them.
fn run(member: impl Fn(usize) -> String + Send + Sync + 'static, end: &'static [&str]) -> Run {
    let server = FaultServer::start(move |_, out: &mut Out<'_>| {
        out.stream_head();
        for index in 0..8 {
            let finish = if index == 7 { "\"length\"" } else { "null" };
            let choice =
                member(index).replace("TEXT", &format!(r#""text":" a","finish_reason":{finish}"#));
            out.raw(chunk_of(&choice));
        }
        for event in end {
            out.raw(chunk_of(event));
        }
        out.raw(chunk_of("[DONE]"));
        out.end()
    });
    Run::of(&server, 4, &[])
}

/// Tokens of each answer, the source of that count, and whether what depends on chunks is approximate.
fn counted(run: &Run) -> (Vec<String>, Value, bool) {
    let point = run.point();
    assert_eq!(point["counts"]["completed"], 4, "{}", run.console);
    let sources = point["counts"]["token_sources"].clone();
    (run.column("output_tokens"), sources, point["approximate"].as_bool().unwrap())
}

fn eight() -> Vec<String> {
    vec!["8".to_owned(); 4]
}

#[test]
fn usage_that_ran_along_and_fell_is_no_count() {
    for so_far in [[1, 2, 3, 4, 5, 6, 1, 2], [1, 2, 3, 4, 1, 2, 3, 4]] {
        let member = move |index: usize| {
            let told = so_far[index];
            format!(r#"{{"choices":[{{TEXT}}],"usage":{{"completion_tokens":{told}}}}}"#)
        };
        let (tokens, sources, is_approximate) = counted(&run(member, &[]));
        assert_eq!(tokens, eight(), "{so_far:?}");
        assert_eq!((sources, is_approximate), (serde_json::json!({"chunks": 4}), true));
    }
}

#[test]
fn ids_that_half_of_the_chunks_lack_are_no_count() {
    const TOTAL: &[&str] = &[r#"{"choices":[],"usage":{"completion_tokens":8}}"#];
    let member = |index: usize| {
        let ids = if index.is_multiple_of(2) { "[5]" } else { "[]" };
        format!(r#"{{"choices":[{{TEXT,"token_ids":{ids}}}]}}"#)
    };
    let (tokens, sources, _) = counted(&run(member, TOTAL));
    assert_eq!((tokens, sources), (eight(), serde_json::json!({"usage": 4})));
}

#[test]
fn usage_of_prompt_and_total_alone_tells_the_output() {
    const TOTAL: &[&str] = &[r#"{"choices":[],"usage":{"prompt_tokens":4,"total_tokens":12}}"#];
    let (tokens, sources, is_approximate) =
        counted(&run(|_| r#"{"choices":[{TEXT}]}"#.to_owned(), TOTAL));
    assert_eq!((tokens, is_approximate), (eight(), false));
    assert_eq!(sources, serde_json::json!({"usage": 4}));
}

#[test]
fn the_whole_text_again_at_the_end_is_no_delivery() {
    const AGAIN: &[&str] = &[
        r#"{"choices":[{"delta":{},"message":{"content":" a a a a a a a a"}}],"usage":{"completion_tokens":8}}"#,
    ];
    let run = run(|_| r#"{"choices":[{TEXT}]}"#.to_owned(), AGAIN);
    let (tokens, _, is_approximate) = counted(&run);
    assert_eq!((tokens, is_approximate), (eight(), false));
    assert_eq!(run.point()["counts"]["tokens_per_chunk"], 1.0);
}

#[test]
fn events_without_their_empty_line_are_tokens_as_they_come() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        for chunk in tokens(8).into_iter().chain([usage(8), chunk_of("[DONE]")]) {
            // The size of each chunk is one less without the second line end.
            let data = chunk.split("\r\n").nth(1).unwrap().trim_end().to_owned();
            out.chunk(&format!("{data}\n"));
        }
        out.end();
        Next::KeepAlive
    });
    let run = Run::of(&server, 4, &[]);
    assert_eq!(counted(&run).0, eight());
}
