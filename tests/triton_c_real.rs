//! Against a real Triton core in this process. Each claim runs in a process of its own: a core cannot be started twice
//! in one, and its libraries must be on the loader's path before the process starts.

#[path = "triton_server/real.rs"]
mod real;
#[path = "triton_server/watch.rs"]
mod watch;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bareflight::clock::Nanos;
use bareflight::ffi::triton::Library;
use bareflight::load::plan::RequestId;
use bareflight::record::event::{Ending, TokenHash};
use bareflight::record::request_record::FinishReason;
use bareflight::target::triton_c::{TritonCOptions, TritonCTarget};
use bareflight::target::{Drain, FailureKind};
use serde_json::json;
use watch::{Watch, shot};

/// Where the child process finds what the parent laid out.
const PLACE: &str = "BAREFLIGHT_TEST_TRITON_C";

/// Runs one claim in a child process that has a repository, backends and the environment for both, `without` some of it.
fn in_a_process_of_its_own(claim: &str, without: &[&str]) {
    let Some(python) = real::python_with_triton() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/triton_server/python/serve.py");
    let laid = Command::new(&python)
        .arg(script)
        .args(["--ttft-ms", "30", "--itl-ms", "5", "--lay-out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(laid.status.success(), "{}", String::from_utf8_lossy(&laid.stderr));
    let environment = String::from_utf8(laid.stdout).unwrap();
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", claim, "--ignored", "--nocapture"])
        .envs(variables.filter(|(name, _)| !without.contains(name)))
        .env(PLACE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let complained = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{complained}");
}

fn options(model: &str) -> TritonCOptions {
    let place = PathBuf::from(std::env::var(PLACE).expect("run by the claim of the same name"));
    let mut options =
        TritonCOptions::new(&format!("{}/{model}", place.join("repository").display())).unwrap();
    options.backends = Some(place.join("backends"));
    options
}

fn open(options: TritonCOptions) -> Watch {
    Watch::open(TritonCTarget::new(options).expect("the library is found"))
}

#[test]
fn the_library_of_a_wheel_loads_without_a_loaders_path() {
    in_a_process_of_its_own("child_loads_library", &["LD_LIBRARY_PATH"]);
}

#[test]
#[ignore = "run by `the_library_of_a_wheel_loads_without_a_loaders_path` in a process of its own"]
fn child_loads_library() {
    let path = Library::find(None).expect("TRITON_LIBRARY names it");
    assert!(Library::load(&path).is_ok());
}

#[test]
fn every_token_comes_through_the_c_api() {
    in_a_process_of_its_own("child_counts_tokens", &[]);
}

#[test]
#[ignore = "run by `every_token_comes_through_the_c_api` in a process of its own"]
fn child_counts_tokens() {
    let mut watch = open(options("tensorrt_llm"));
    for id in 0..24 {
        watch.fire(&shot(id, 3 + id % 5));
    }
    watch.wait(60.0);
    let (seen, drain) = watch.finish(5.0);
    for (id, seen) in &seen {
        let tokens = 3 + id % 5;
        assert_eq!(seen.ending(), Ending::Completed(FinishReason::Length), "{seen:?}");
        assert_eq!((seen.tokens(), seen.deliveries.len()), (tokens, tokens as usize), "{seen:?}");
        let sum = 100 + id + 7 + 8 + 9;
        assert_eq!(seen.hash, Some(TokenHash::of((0..tokens).map(|k| (sum + k) % 1000 + 3))));
        assert!(seen.ends[0].0 - seen.submitted.unwrap() >= Nanos::from_millis(30), "{seen:?}");
        assert!(seen.has_times, "the engine's stamps are on our clock: {seen:?}");
    }
    assert_eq!(drain, Drain::Clean);
}

#[test]
fn faults_and_cancels_end_each_request_once_through_the_c_api() {
    in_a_process_of_its_own("child_breaks_requests", &[]);
}

#[test]
#[ignore = "run by `faults_and_cancels_end_each_request_once_through_the_c_api` in a process of its own"]
fn child_breaks_requests() {
    let mut options = options("tensorrt_llm");
    options.asking.extra_parameters.insert("fail_after".into(), json!(2));
    options.asking.extra_parameters.insert("itl_ms".into(), json!(1));
    options.timeouts.first_response = Duration::from_secs(30);
    let mut watch = open(options);
    watch.fire(&shot(0, 10));
    watch.wait(60.0);
    let seen = &watch.seen()[&0];
    assert_eq!((seen.failure(), seen.tokens()), (FailureKind::Engine, 2), "{seen:?}");
    assert!(seen.words.as_ref().unwrap().contains("the model failed after 2 tokens"), "{seen:?}");
    for id in 1..4 {
        watch.fire(&shot(id, 2));
    }
    watch.session.cancel(RequestId(2));
    watch.session.cancel(RequestId(2));
    watch.wait(60.0);
    assert_eq!(watch.seen()[&2].ending(), Ending::Cancelled);
    let (_, drain) = watch.finish(5.0);
    assert_eq!(drain, Drain::Clean);
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = TritonCOptions::new(&format!("{}/nonsense", folder.path().display())).unwrap_err();
    assert!(error.to_string().contains("holds no model `nonsense`"), "{error}");
    assert!(TritonCOptions::new("nonsense").unwrap_err().to_string().contains("names no model"));
}
