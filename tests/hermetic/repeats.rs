//! Prompts that a server has seen before: what it says of its cache, what earlier runs say, and the remedy.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;

use crate::support::fault_server::{FaultServer, Next};
use crate::support::left_behind::{self, words};
use crate::support::serve_process::Serving;
use crate::support::served_run::{Run, chunk_of, tokens};

/// Remembers prompts, and tells by `details` what of each it knew.
fn remembering(details: fn(bool) -> &'static str) -> FaultServer {
    let known = Mutex::new(HashSet::new());
    FaultServer::start(move |request, out| {
        if request.method == "GET" {
            return out.json(404, "{}");
        }
        let prompt = request.json()["prompt"].to_string();
        let is_known = !known.lock().expect("one thread").insert(prompt);
        let usage = format!(
            r#"{{"choices":[],"usage":{{"prompt_tokens":4,"completion_tokens":8{}}}}}"#,
            details(is_known)
        );
        if request.json()["stream"] == false {
            let text = r#"{"choices":[{"text":" a b","finish_reason":"length"}],"usage":{"prompt_tokens":4,"completion_tokens":8"#;
            return out.json(200, &format!("{text}{}}}}}", details(is_known)));
        }
        out.stream_head();
        out.raw(format!(
            "{}{}{}0\r\n\r\n",
            tokens(8).concat(),
            chunk_of(&usage),
            chunk_of("[DONE]")
        ));
        Next::KeepAlive
    })
}

fn tells(is_known: bool) -> &'static str {
    if is_known {
        r#","prompt_tokens_details":{"cached_tokens":4}"#
    } else {
        r#","prompt_tokens_details":{"cached_tokens":0}"#
    }
}

#[test]
fn a_warm_cache_is_told_warned_of_and_gone_with_a_random_seed() {
    let server = remembering(tells);
    let first = Run::of(&server, 6, &[]);
    assert_eq!(first.column("cached_tokens"), ["0"; 6]);
    assert_eq!(first.check("repeats")["status"], "pass", "{}", first.console);
    assert_eq!(first.point()["distributions"]["kv_hit_fraction"]["mean"], 0.0);

    let second = first.again(&server, 6, &[]);
    assert_eq!(second.column("cached_tokens"), ["4"; 6]);
    assert_eq!(second.point()["distributions"]["kv_hit_fraction"]["mean"], 1.0);
    let check = second.check("repeats");
    assert_eq!((&check["status"], &check["measured"]), (&"warn".into(), &100.0.into()));
    assert!(second.console.contains("warning[repeats]"), "{}", second.console);
    assert!(second.console.contains("--seed random"), "{}", second.console);

    let fresh = first.again(&server, 6, &["--seed", "random"]);
    assert_eq!(fresh.check("repeats")["status"], "pass", "{}", fresh.console);
    let seed = fresh.manifest()["seed"].as_u64().expect("a number");
    assert_ne!(seed, 42);
    assert!(fresh.console.contains(&format!("`--seed random` is {seed}")), "{}", fresh.console);
    let settings = std::fs::read_to_string(fresh.folder.join("resolved.toml")).expect("settings");
    assert!(settings.contains(&format!("seed = {seed}\n")), "{settings}");
}

#[test]
fn a_seed_that_was_used_before_is_warned_of_where_the_server_does_not_tell() {
    let server = remembering(|_| r#","prompt_tokens_details":null"#);
    let first = Run::of(&server, 3, &[]);
    assert_eq!(first.column("cached_tokens"), [""; 3]);
    assert_eq!(first.check("repeats")["status"], "pass");
    let second = first.again(&server, 3, &[]);
    assert_eq!(second.check("repeats")["status"], "warn");
    let run = first.folder.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(second.check("repeats")["sentence"].as_str().expect("text").contains(&run));
    // Another seed, another prefix: other prompts.
    for other in [["--seed", "7"], ["--prefix-tokens", "1"]] {
        assert_eq!(first.again(&server, 3, &other).check("repeats")["status"], "pass");
    }
}

/// The summary of a side of the one comparison in this folder, whose folder begins with its letter.
fn side(out: &TempDir, letter: &str) -> serde_json::Value {
    let sides = std::fs::read_dir(left_behind::directory(out)).expect("a folder of sides");
    let is_meant =
        |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(&format!("{letter}-"));
    let mut found = sides.filter_map(Result::ok).filter(|entry| is_meant(&entry.file_name()));
    left_behind::document(&found.next().expect("the side").path(), "summary")
}

#[test]
fn sides_of_one_comparison_are_no_repeats_of_each_other_and_their_cache_is_still_seen() {
    let server = remembering(tells);
    let target = format!("openai:{}", server.url());
    let out = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["compare", "--target", &target, "--target", &target])
        .args(["--endpoint", "completions", "--model", "m", "--scenario", "D(4,8)"])
        .args(["--concurrency", "1", "--requests", "3", "--blocks", "2", "--warmup", "0"])
        .args(["--window", "whole"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let console = words(&output.stdout) + &words(&output.stderr);
    assert!(!console.contains("warning[repeats]"), "{console}");
    for (name, other) in [("A", "B"), ("B", "A")] {
        let points = side(&out, name)["points"].clone();
        let points = points.as_array().expect("a list");
        for point in points {
            let checks = point["checks"].as_array().expect("checks");
            let check = checks.iter().find(|check| check["id"] == "repeats").expect("the check");
            assert_eq!(check["status"], "pass", "{check}");
            let sentence = check["sentence"].as_str().expect("text");
            let named = format!("`{other} {target}` of this comparison sends the same prompts");
            assert!(sentence.contains(&named), "{sentence}");
        }
        // Whoever comes second in a block finds what the first has left.
        let hits = points.iter().map(|point| &point["distributions"]["kv_hit_fraction"]["mean"]);
        assert!(
            hits.clone().any(|hit| *hit == 1.0) && hits.clone().any(|hit| *hit == 0.0),
            "{points:?}"
        );
    }
}

#[test]
fn whole_answers_tell_of_the_cache_too() {
    let server = remembering(tells);
    let first = Run::of(&server, 3, &["--no-streaming"]);
    assert_eq!(first.column("cached_tokens"), ["0"; 3]);
    assert_eq!(first.again(&server, 3, &["--no-streaming"]).column("cached_tokens"), ["4"; 3]);
}

#[test]
fn our_own_server_tells_what_its_engine_found() {
    for target in ["local:dummy-nano", "sim:h200-llama3-8b-fp8"] {
        let serving = Serving::start(&["--target", target, "--kv-reuse"]);
        let body = serde_json::json!({
            "model": serving.ready["model"],
            "prompt": (10..110).collect::<Vec<u32>>(),
            "max_tokens": 2,
        });
        let cached = || {
            let answer: serde_json::Value =
                serde_json::from_str(&serving.post("/v1/completions", &body).body).expect("JSON");
            answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64()
        };
        assert_eq!(cached(), Some(0), "{target}");
        assert!(cached().expect("it looked") >= 32, "{target}");
    }
}
