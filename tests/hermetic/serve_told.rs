//! What `bareflight serve` tells its clients of itself, and what `openai:` and `triton:` make of it: labels in every file, and
//! what mends a refusal.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use bareflight::targets::openai::OpenAiTarget;
use bareflight::targets::triton::TritonTarget;
use bareflight::targets::triton::options::TritonOptions;
use bareflight::targets::{Target, TargetInfo};
use tempfile::TempDir;

use crate::serve::{QUICK, completions, triton};
use crate::support::left_behind::{directory, read, words};
use crate::support::serve_process::Serving;

#[test]
fn what_is_simulated_or_has_random_weights_stays_labelled_behind_a_server() {
    for (target, labels) in
        [(QUICK, (true, false)), ("null:", (true, false)), ("local:dummy-pico", (false, true))]
    {
        let serving = Serving::start(&["--target", target]);
        let of = |info: &TargetInfo| (info.simulated, info.dummy_weights);
        let openai = OpenAiTarget::new(completions(&serving)).unwrap();
        assert_eq!(of(openai.describe()), labels, "{target}");
        for model in ["tensorrt_llm", "ensemble"] {
            let triton = TritonTarget::new(triton(&serving, model)).unwrap();
            assert_eq!(of(triton.describe()), labels, "{target} {model}");
        }
    }
}

#[test]
fn a_port_without_grpc_and_a_key_that_is_missing_are_told_with_what_mends_them() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("key");
    fs::write(&file, "k").expect("written");
    let serving =
        Serving::start(&["--target", "null:", "--api-key-file", file.to_str().expect("text")]);
    let why = |address: &str| {
        let options =
            TritonOptions::new(format!("{address}/ensemble").parse().expect("an address"));
        TritonTarget::new(options).expect_err("it cannot be asked").to_string()
    };
    let keyless = why(&serving.grpc);
    assert!(keyless.contains("no key was sent") && keyless.contains("--api-key-env"), "{keyless}");
    let other = why(serving.openai.trim_start_matches("http://"));
    assert!(other.contains("for its HTTP port write triton:http://"), "{other}");
}

/// A run of the binary, and its folder.
fn measured(target: &[&str], out: &TempDir) -> (String, PathBuf) {
    let output = Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(["run", "--scenario", "D(4,4)", "--target"])
        .args(target)
        .args(["--concurrency", "2", "--requests", "4", "--warmup", "1", "--export", "aiperf"])
        .args(["--prometheus", "127.0.0.1:0"])
        .current_dir(out.path())
        .output()
        .expect("the binary runs");
    let console = words(&output.stdout) + &words(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{console}");
    (console, directory(out))
}

#[test]
fn every_file_of_a_run_says_that_the_server_has_random_weights() {
    let serving = Serving::start(&["--target", "local:dummy-pico"]);
    let openai = format!("openai:{}", serving.openai);
    let triton = format!("triton:{}/tensorrt_llm", serving.grpc);
    for target in [&[&*openai, "--endpoint", "completions"][..], &[&*triton]] {
        let out = TempDir::new().expect("a folder");
        let (console, folder) = measured(target, &out);
        assert!(console.matches("[DUMMY WEIGHTS]").count() >= 2, "banner and table: {console}");
        for (name, label) in [
            ("manifest.json", "\"dummy_weights\": true"),
            ("summary.json", "\"dummy_weights\""),
            ("summary.csv", "dummy_weights"),
            ("report.html", "dummy weights"),
            ("metrics.prom", "marks=\"dummy_weights\""),
            ("exports/aiperf/README.txt", "DUMMY WEIGHTS"),
        ] {
            assert!(read(&folder, name).contains(label), "{target:?}: {name}");
        }
    }
}
