//! NVTX ranges: one for each phase and each request, and nothing without a profiler. The profiler is a library that writes
//! down what it is told (`fake_nvtx/injection.c`).

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

use crate::support::left_behind;
use crate::support::left_behind::words;
use crate::support::made_up;
use tempfile::TempDir;

/// A folder with the library in it, a run of 12 requests there after 2 of warm-up, and what came of it.
fn run(script: &[(&str, &str)], more: &[&str]) -> (TempDir, Output) {
    let folder = tempfile::tempdir().expect("a folder");
    made_up::library(&folder, "fake_nvtx/injection.c", "nvtx.so");
    let listens = [("NVTX_INJECTION64_PATH", "./nvtx.so"), ("FAKE_NVTX_LOG", "heard")];
    let load = ["--concurrency", "3", "--requests", "12", "--warmup", "2"];
    let arguments = [&made_up::RUN[..], &load, more].concat();
    // What a test says of a variable goes before.
    let output = made_up::bareflight(&folder, &[&listens, script].concat(), &arguments);
    (folder, output)
}

/// One line of what the profiler heard.
#[derive(Debug)]
struct Heard {
    at: i64,
    what: String,
    domain: String,
    number: u64,
    /// Category, payload and words.
    message: Option<(u32, i64, String)>,
}

fn heard(folder: &TempDir) -> Vec<Heard> {
    let text = fs::read_to_string(folder.path().join("heard")).expect("something was heard");
    let parse = |line: &str| {
        let mut parts = line.splitn(7, ' ');
        let mut next = || parts.next().map(str::to_owned);
        let (at, what, domain, number) = (next(), next(), next(), next());
        let message = next().zip(next()).zip(next());
        Heard {
            at: at.expect("an instant").parse().expect("nanoseconds"),
            what: what.expect("a call"),
            domain: domain.expect("a domain"),
            number: number.expect("a number").parse().expect("a number"),
            message: message.map(|((category, payload), words)| {
                (category.parse().expect("a number"), payload.parse().expect("a number"), words)
            }),
        }
    };
    text.lines().map(parse).collect()
}

#[test]
fn each_request_is_a_range_from_its_sending_to_its_end() {
    let (folder, output) = run(&[], &["--nvtx"]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let all = heard(&folder);
    assert!(all.iter().all(|call| call.domain == "bareflight"), "{all:?}");
    let mut ranges: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    let mut payloads = BTreeMap::new();
    for call in &all {
        match &*call.what {
            "start" => {
                assert!(ranges.insert(call.number, (call.at, 0)).is_none(), "{call:?}");
                let (category, payload, words) = call.message.clone().expect("attributes");
                assert_eq!((category, &*words), (2, "request"), "{call:?}");
                payloads.insert(payload, call.number);
            }
            "end" => {
                let range = ranges.get_mut(&call.number).expect("it began");
                assert_eq!(range.1, 0, "it ended twice: {call:?}");
                range.1 = call.at;
            }
            _ => {}
        }
    }
    // Two of warm-up and twelve that were measured, by their ids.
    assert_eq!(payloads.keys().copied().collect::<Vec<_>>(), (0..14).collect::<Vec<_>>());
    assert!(ranges.values().all(|(begin, end)| begin < end), "{ranges:?}");

    let directory = left_behind::directory(&folder);
    let rows = csv::Reader::from_path(directory.join("requests.csv")).expect("rows");
    let mut rows = rows.into_deserialize::<BTreeMap<String, String>>();
    let mut compared = 0;
    while let Some(row) = rows.next().transpose().expect("a row") {
        let stamp = |name: &str| row[name].parse::<i64>().expect(name);
        let (begin, end) = ranges[&payloads[&stamp("request_id")]];
        assert!(begin <= stamp("submit_ns") && stamp("end_ns") <= end, "{row:?}");
        compared += 1;
    }
    assert_eq!(compared, 12);
}

#[test]
fn phases_are_nested_and_each_ends() {
    let (folder, _) = run(&[], &["--nvtx"]);
    let mut open: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for call in heard(&folder) {
        match &*call.what {
            "push" => {
                let (category, payload, words) = call.message.expect("attributes");
                assert_eq!((category, payload), (1, -1));
                open.push(words);
                seen.push(open.join(" > "));
            }
            "pop" => assert!(open.pop().is_some(), "more ends than beginnings"),
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let expected = [
        "load",
        "concurrency 3, warm-up",
        "concurrency 3, warm-up > drain",
        "concurrency 3",
        "concurrency 3 > drain",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_run_with_ranges_is_marked_and_cannot_be_compared() {
    let (folder, output) = run(&[], &["--nvtx"]);
    let summary = left_behind::document(&left_behind::directory(&folder), "summary");
    let marks = summary["marks"].as_array().expect("marks");
    assert!(marks.contains(&"profiled".into()), "{marks:?}");
    assert!(words(&output.stdout).contains("PROFILED"), "{}", words(&output.stdout));
    let compare = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["compare", "--target", "null:", "--target", "null:", "--nvtx"])
        .current_dir(folder.path())
        .output()
        .expect("the binary runs");
    let message = words(&compare.stderr);
    assert!(
        compare.status.code() == Some(2) && message.contains("leave out `--nvtx`"),
        "{message}"
    );
}

#[test]
fn nobody_hears_anything_unless_asked() {
    let (folder, output) = run(&[], &[]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    assert!(!folder.path().join("heard").exists());
}

#[test]
fn a_tool_with_few_functions_gets_the_ranges_that_it_supports() {
    let (folder, output) = run(&[("FAKE_NVTX_POOR", "1")], &["--nvtx"]);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    let all = heard(&folder);
    assert_eq!(all.len(), 2 * 14, "{all:?}");
    let message = all.iter().filter_map(|call| call.message.as_ref());
    assert!(message.clone().all(|(_, _, words)| words == "request"), "{all:?}");
    assert_eq!(message.count(), 14);
}

#[test]
fn without_somebody_who_listens_the_run_is_refused_before_any_load() {
    let refused = |script: &[(&str, &str)], words_of_it: &str| {
        let (_, output) = run(script, &["--nvtx"]);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{message}");
        assert!(message.contains(words_of_it) && message.contains("nsys"), "{message}");
    };
    refused(&[("FAKE_NVTX_DEAF", "1")], "listens to no ranges");
    refused(&[("NVTX_INJECTION64_PATH", "/nowhere/libtool.so")], "/nowhere/libtool.so");
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--target", "null:", "--requests", "1", "--nvtx"])
        .current_dir(tempfile::tempdir().expect("a folder").path())
        .env_remove("NVTX_INJECTION64_PATH")
        .output()
        .expect("the binary runs");
    let message = words(&output.stderr);
    assert!(
        output.status.code() == Some(3) && message.contains("no profiler listens"),
        "{message}"
    );
}
