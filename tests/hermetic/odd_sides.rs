//! Comparisons with a side whose answers are odd: what tells nothing of the engine decides nothing.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::fault_server::{FaultServer, Next, Out, pause};
use crate::support::left_behind::{directory, document, in_one_line, words};
use crate::support::served_run::{chunk_of, done, good, token, tokens};

struct Compared {
    code: Option<i32>,
    console: String,
    document: Value,
}

impl Compared {
    fn row(&self, metric: &str) -> &Value {
        let rows = self.document["pairs"][0]["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["metric"] == metric).expect(metric)
    }

    fn answer(&self, metric: &str) -> &str {
        self.row(metric)["ratio"]["answer"].as_str().expect("an answer")
    }
}

/// Five blocks of a server that answers well, and of one that does not.
fn against_good(odd: fn(&mut Out<'_>) -> Next, more: &[&str]) -> Compared {
    let (good, odd) =
        (FaultServer::start(|_, out| good(out)), FaultServer::start(move |_, out| odd(out)));
    let out = TempDir::new().expect("a folder");
    let ended = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["compare", "--blocks", "5", "--endpoint", "completions", "--model", "m"])
        .args(["--target", &format!("openai:{}", good.url())])
        .args(["--target", &format!("openai:{}", odd.url())])
        .args(["--scenario", "D(4,8)", "--concurrency", "1", "--requests", "4", "--warmup", "0"])
        .args(more)
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let document = document(&directory(&out), "comparison");
    Compared { code: ended.status.code(), console: words(&ended.stdout), document }
}

#[test]
fn tokens_that_are_spread_over_chunks_decide_nothing_and_hold_no_bound() {
    // Two tokens in each chunk, and no word of how many each holds but at the end.
    let compared = against_good(
        |out| {
            out.stream_head();
            for index in 0..4 {
                let finish = if index == 3 { "\"length\"" } else { "null" };
                out.raw(chunk_of(&token(" a b", finish)));
                pause(12);
            }
            out.raw(done(8));
            Next::KeepAlive
        },
        &["--fail-if", "itl_p50>50%"],
    );
    let text = &compared.console;
    let row = text.lines().find(|line| line.trim_start().starts_with("ITL p50")).expect(text);
    assert_eq!(row.matches('≈').count(), 1, "{text}");
    assert!(compared.row("itl_p50")["ratio"]["low"].as_f64().unwrap() > 1.2, "{text}");
    for metric in ["itl_p50", "tpot_p50"] {
        assert_eq!(compared.answer(metric), "undecided", "{text}");
        assert_eq!(compared.row(metric)["withheld"], "spread", "{text}");
    }
    assert_eq!(compared.row("e2e_p50")["withheld"], Value::Null, "{text}");
    assert_eq!(compared.answer("e2e_p50"), "slower", "{text}");
    assert_eq!(compared.code, Some(4), "{text}");
    assert!(in_one_line(text).contains("what `≈` marks spreads tokens"), "{text}");
    assert!(in_one_line(text).contains("NOT HELD: on a side it tells nothing"), "{text}");
}

#[test]
fn a_burst_is_no_faster_engine() {
    let compared = against_good(
        |out| {
            pause(300);
            out.stream_head();
            out.raw(tokens(8).concat());
            pause(1);
            out.raw(done(8));
            Next::KeepAlive
        },
        &[],
    );
    let text = &compared.console;
    let rows = compared.document["pairs"][0]["rows"].as_array().expect("rows");
    let between = rows.iter().filter(|row| {
        let metric = row["metric"].as_str().unwrap();
        ["tpot", "itl", "per_user"].iter().any(|name| metric.starts_with(name))
    });
    for row in between {
        assert_eq!(row["withheld"], "burst", "{text}");
        assert_eq!(row["ratio"]["answer"], "undecided", "{text}");
    }
    assert_eq!(compared.answer("ttft_p50"), "slower", "{text}");
    assert!(in_one_line(text).contains("B: 20 of 20 requests are `burst`"), "{text}");
}

#[test]
fn a_side_that_does_not_stream_is_named_where_its_rows_are_missing() {
    let compared = against_good(
        |out| {
            pause(20);
            out.json(
                200,
                r#"{"choices":[{"index":0,"text":" a a a a a a a a","finish_reason":"length"}],"usage":{"prompt_tokens":4,"completion_tokens":8}}"#,
            )
        },
        &[],
    );
    let text = &compared.console;
    assert!(!text.lines().any(|line| line.trim_start().starts_with("TTFT p50")), "{text}");
    assert!(in_one_line(text).contains("B: 20 of 20 requests are `not_streamed`"), "{text}");
}

#[test]
fn an_invalid_side_decides_nothing() {
    // Every other request fails, so that each block has latencies.
    let compared = against_good(
        |out| {
            use std::sync::atomic::{AtomicUsize, Ordering};
            static ASKED: AtomicUsize = AtomicUsize::new(0);
            if ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                return out.whole(500, "", "no");
            }
            pause(60);
            good(out)
        },
        &[],
    );
    let text = &compared.console;
    assert_eq!(compared.row("e2e_p50")["withheld"], "invalid", "{text}");
    assert_eq!(compared.answer("e2e_p50"), "undecided", "{text}");
    assert!(
        in_one_line(text)
            .contains("nothing is decided, since the measurement of a side is invalid"),
        "{text}"
    );
}
