//! Odd answers of a server, through whole runs: what is one delivery, where latency ends, and what is marked.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::fault_server::{FaultServer, Next, Out, pause};
use crate::support::left_behind::in_one_line;
use crate::support::served_run::{Run, chunk_of, done, good, token, tokens, usage};

#[test]
fn tokens_of_one_write_are_one_delivery() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        for four in tokens(8).chunks(4) {
            pause(40);
            out.raw(four.concat());
        }
        out.raw(done(8));
        Next::KeepAlive
    });
    let run = Run::of(&server, 10, &[]);
    // A client that had no core for 40 ms would have read both writes at once.
    let columns = ["first_tokens", "first_token_ns", "last_token_ns", "tpot_ms"];
    let [first_tokens, first, last, tpot] = columns.map(|name| run.column(name));
    let number = |field: &String| field.parse::<f64>().unwrap();
    let of_four: Vec<_> = (0..10).filter(|row| first_tokens[*row] == "4").collect();
    assert!(of_four.len() > 5, "{first_tokens:?}");
    for row in of_four {
        let each = (number(&last[row]) - number(&first[row])) / 4e6;
        assert!((number(&tpot[row]) - each).abs() < 1e-6, "{each} {}", tpot[row]);
    }
}

#[test]
fn what_came_at_one_instant_has_no_gaps_and_meets_no_bound_on_them() {
    let server = FaultServer::start(|_, out| {
        pause(5);
        out.raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{}{}",
            tokens(8).concat(),
            done(8)
        ));
        Next::KeepAlive
    });
    let run = Run::of(&server, 12, &["--slo", "itl<1s"]);
    let point = run.point();
    for absent in ["tpot_ms", "itl_ms", "icl_ms", "stall_ms", "per_user_tokens_per_s"] {
        assert_eq!(point["distributions"][absent], Value::Null, "{absent}");
    }
    assert_eq!(point["counts"]["without_tpot"], 12);
    assert_eq!(point["rates"]["good_fraction"], 0.0);
    assert_eq!(point["slos"][0]["unmeasured"], 12);
    assert!(run.console.contains("12 of 12 requests have no TPOT"), "{}", run.console);
}

#[test]
fn latency_ends_at_the_last_token_and_the_rest_is_the_close_of_the_stream() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        out.raw(tokens(8).concat());
        pause(50);
        out.raw(done(8));
        Next::KeepAlive
    });
    let run = Run::of(&server, 5, &[]);
    let point = run.point();
    assert!(point["distributions"]["stream_close_ms"]["min"].as_f64().unwrap() >= 50.0);
    let number = |name: &str| -> Vec<f64> {
        run.column(name).iter().map(|field| field.parse().unwrap()).collect()
    };
    let (submit, last) = (number("submit_ns"), number("last_token_ns"));
    for (latency, (submit, last)) in number("e2e_ms").iter().zip(submit.iter().zip(last)) {
        assert!((latency - (last - submit) / 1e6).abs() < 1e-6, "{latency}");
    }
    assert!(run.console.contains("Stream close"), "{}", run.console);
    assert!(run.console.contains("(`stream_close`)"), "{}", run.console);
}

#[test]
fn a_slot_is_free_at_done_however_long_the_body_stays_open() {
    let (open, overlaps) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&overlaps);
    let server = FaultServer::start(move |_, out| {
        if open.fetch_add(1, Ordering::SeqCst) > 0 {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        out.stream_head();
        out.raw(format!("{}{}{}", tokens(8).concat(), usage(8), chunk_of("[DONE]")));
        pause(400);
        open.fetch_sub(1, Ordering::SeqCst);
        out.end()
    });
    let run = Run::of(&server, 4, &[]);
    assert_eq!(run.point()["counts"]["completed"], 4);
    assert!(overlaps.load(Ordering::SeqCst) > 0, "the next request left before the body ended");
}

#[test]
fn each_oddity_is_marked_and_takes_nothing_from_other_requests() {
    let asked = AtomicUsize::new(0);
    let server = FaultServer::start(move |request, out| {
        // Lists of models and metrics are none of the requests.
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        match asked.fetch_add(1, Ordering::SeqCst) % 5 {
        // The probe before the load was number 0.
        1 => {
            out.stream_head();
            out.raw(format!("{}{}", chunk_of(&token("", "\"stop\"")), done(5)));
            Next::KeepAlive
        }
        2 => out.json(
            200,
            r#"{"choices":[{"text":" a b","finish_reason":"length"}],"usage":{"completion_tokens":8}}"#,
        ),
        3 => {
            out.stream_head();
            for token in tokens(24) {
                out.raw(token);
                pause(1);
            }
            out.raw(done(24));
            Next::KeepAlive
        }
        4 => {
            out.stream_head();
            for token in tokens(3) {
                out.raw(token);
                pause(1);
            }
            out.raw(done(3));
            Next::KeepAlive
        }
        _ => good(out),
    }
    });
    let run = Run::of(&server, 10, &[]);
    let marks =
        ["usage_without_text", "not_streamed", "longer_than_asked", "shorter_than_asked", ""];
    assert_eq!(run.column("oddities"), [marks, marks].concat());
    let point = run.point();
    assert_eq!(point["counts"]["completed"], 10);
    let odd = |name: &str| point["counts"]["oddities"][name].clone();
    let longer = serde_json::json!({"requests": 2, "output_tokens": 48, "requested_tokens": 16});
    assert_eq!(odd("longer_than_asked"), longer);
    assert_eq!(odd("not_streamed")["requests"], 2);
    // Three kinds of answers were streamed.
    assert!(point["distributions"]["itl_ms"]["count"].as_u64().unwrap() > 0);
    assert_eq!(point["distributions"]["ttft_ms"]["count"], 6);
    assert!(point["rates"]["output_throughput_tokens_per_s"].as_f64().unwrap() > 0.0);
    for note in [
        "2 of 10 requests were not streamed",
        "2 of 10 requests brought no output although the server counts 5 tokens each",
        "2 of 10 requests brought more tokens than were asked for (24 instead of 8 on average)",
        "2 of 10 requests brought fewer tokens than were asked for (3 instead of 8 on average)",
    ] {
        let flat = in_one_line(&run.console);
        assert!(flat.contains(note), "{note}: {flat}");
    }
    let again = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["report".as_ref(), run.folder.as_os_str()])
        .output()
        .expect("the binary runs");
    assert!(again.status.success(), "{again:?}");
    assert_eq!(run.point(), point, "marks are read back");
}

#[test]
fn a_burst_meets_no_bound_on_gaps_and_the_console_says_so() {
    let server = FaultServer::start(|_, out| {
        pause(200);
        out.stream_head();
        for token in tokens(8) {
            out.raw(token);
        }
        out.raw(done(8));
        Next::KeepAlive
    });
    let run = Run::of(&server, 4, &["--slo", "itl<100us,stall<100us,ttft<5s"]);
    // One whose server lost its core for 2 ms between two tokens is none, and misses both bounds.
    let marks = run.column("oddities");
    let bursts = marks.iter().filter(|mark| *mark == "burst").count();
    assert!(bursts > 0, "{marks:?}");
    let point = run.point();
    assert_eq!(point["rates"]["good_fraction"], 0.0);
    let of = |bound: usize, what: &str| point["slos"][bound][what].as_u64();
    for gaps in [0, 1] {
        let judged = (of(gaps, "met"), of(gaps, "unmeasured"));
        assert_eq!(judged, (Some(0), Some(bursts as u64)), "{point}");
    }
    assert_eq!((of(2, "met"), of(2, "unmeasured")), (Some(4), Some(0)), "TTFT was measured");
    let flat = in_one_line(&run.console);
    let said = format!("{bursts} came in a burst, whose gaps are not the engine's");
    assert!(flat.contains(&said), "{flat}");
}

#[test]
fn answers_that_come_at_the_end_of_a_wait_are_a_warning() {
    let server = FaultServer::start(|_, out| {
        pause(300);
        out.stream_head();
        out.raw(tokens(8).concat());
        out.raw(done(8));
        Next::KeepAlive
    });
    let run = Run::of(&server, 4, &[]);
    assert_eq!(run.column("oddities"), ["burst"; 4]);
    assert!(run.console.contains("warning[streaming]"), "{}", run.console);
    let untold = "ITL is not told: tokens came in bursts (W016)";
    assert!(in_one_line(&run.console).contains(untold), "{}", run.console);
    assert!(run.text("report.html").contains("tokens came in bursts (W016)"));
}

#[test]
fn tokens_spread_over_chunks_that_hold_several_are_approximate() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        out.raw(chunk_of(&token(" a a a a", "null")));
        for token in tokens(4) {
            pause(4);
            out.raw(token);
        }
        out.raw(done(8));
        Next::KeepAlive
    });
    let run = Run::of(&server, 6, &["--slo", "tpot<1s"]);
    let point = run.point();
    assert_eq!(point["approximate"], true);
    assert_eq!(point["counts"]["tokens_per_chunk"], 1.6);
    for shown in ["≈TPOT (ms)", "≈ITL (ms)", "per user ≈", "goodput ≈"] {
        assert!(run.console.contains(shown), "{shown}: {}", run.console);
    }
}

#[test]
fn usage_that_runs_along_makes_nothing_approximate() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        let with_usage = |text: &str, finish: &str, tokens: usize| {
            let usage = format!(r#","usage":{{"completion_tokens":{tokens}}}}}"#);
            let event = token(text, finish);
            chunk_of(&format!("{}{usage}", &event[..event.len() - 1]))
        };
        out.raw(with_usage(" a a a a", "null", 4));
        for so_far in 5..=8 {
            pause(4);
            out.raw(with_usage(" a", if so_far == 8 { "\"length\"" } else { "null" }, so_far));
        }
        out.raw(done(8));
        Next::KeepAlive
    });
    let run = Run::of(&server, 6, &[]);
    // A client that has no core finds several chunks in one read, and never all of them.
    let first = run.column("first_tokens");
    let is_of_some = |it: &String| (4..8).contains(&it.parse().unwrap());
    assert!(first.iter().any(|it| it == "4") && first.iter().all(is_of_some), "{first:?}");
    assert_eq!(run.point()["approximate"], false);
    assert!(!run.console.contains('≈'), "{}", run.console);
}

/// Three tokens in each chunk, and no word of how many each holds but at the end.
fn bundles(out: &mut Out<'_>) -> Next {
    out.stream_head();
    for index in 0..4 {
        let finish = if index == 3 { "\"length\"" } else { "null" };
        out.raw(chunk_of(&token(" a b", finish)));
        pause(2);
    }
    out.raw(done(8));
    Next::KeepAlive
}

#[test]
fn what_spreads_tokens_over_chunks_is_marked_in_every_headline() {
    let server = FaultServer::start(|_, out| bundles(out));
    let run = Run::of(&server, 12, &[]);
    let place =
        |text: &str, what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in\n{text}"));
    let headline = &run.console[place(&run.console, "headline")..];
    assert!(headline.contains("ITL p50 ≈"), "{headline}");
    let page = run.text("report.html");
    let tiles = &page[place(&page, "class=\"tiles\"")..];
    let tile = &tiles[place(tiles, "Inter-token latency")..place(tiles, "Request latency")];
    assert_eq!(tile.matches('≈').count(), 2, "{tile}");
    let about_sum = place(&run.console, "adds up to");
    let note = in_one_line(&run.console[about_sum..]);
    assert!(note.contains("those that `≈` is about"), "{note}");
    assert!(place(&run.console, "`≈` marks what spreads") < about_sum);
}

/// Chunks of three tokens, each with the count of what came before it, so that nothing tells what a chunk holds.
fn lags(out: &mut Out<'_>) -> Next {
    out.stream_head();
    for index in 0..4 {
        let event = token(" a b c", if index == 3 { "\"length\"" } else { "null" });
        let usage = format!(r#","usage":{{"completion_tokens":{}}}}}"#, 2 * index);
        out.raw(chunk_of(&format!("{}{usage}", &event[..event.len() - 1])));
        pause(3);
    }
    out.raw(done(8));
    Next::KeepAlive
}

#[test]
fn counts_that_lag_by_a_chunk_are_marked_in_every_artefact() {
    let server = FaultServer::start(|_, out| lags(out));
    let run = Run::of(&server, 6, &["--slo", "itl<1s"]);
    let point = run.point();
    assert_eq!(
        (&point["approximate"], &point["counts"]["token_count_differs"]),
        (&true.into(), &6.into())
    );
    for shown in ["≈TPOT (ms)", "≈ITL (ms)", "per user ≈", "goodput ≈", "ITL p50 ≈"] {
        assert!(run.console.contains(shown), "{shown}: {}", run.console);
    }
    assert!(in_one_line(&run.console).contains("TTFT is that of the first chunk"));
    let table = run.text("summary.csv");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let place = rows.headers().unwrap().iter().position(|name| name == "approximate").unwrap();
    assert!(rows.records().all(|row| &row.unwrap()[place] == "true"), "{table}");
    let page = run.text("report.html");
    for name in ["Time per output token", "Inter-token latency"] {
        assert!(page.contains(&format!("≈{name}")), "{name}");
    }
}

#[test]
fn chunks_that_are_counted_for_want_of_any_count_are_marked() {
    let server = FaultServer::start(|_, out| {
        out.stream_head();
        for token in tokens(8) {
            out.raw(token);
            pause(2);
        }
        out.raw(format!("{}0\r\n\r\n", chunk_of("[DONE]")));
        Next::KeepAlive
    });
    let run = Run::of(&server, 6, &[]);
    let point = run.point();
    assert_eq!(point["approximate"], true);
    assert_eq!(point["counts"]["token_sources"]["chunks"], 6);
    let flat = in_one_line(&run.console);
    for said in ["ITL p50 ≈", "each counted as one", "a chunk is not a token"] {
        assert!(flat.contains(said), "{said}: {flat}");
    }
}
