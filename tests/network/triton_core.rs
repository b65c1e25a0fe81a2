//! Against a real Triton core in this process. Each claim runs in a process of its own, since what the backends' libraries
//! need must be on the loader's path before a process starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::contract;
use crate::support::contract::Subject;
use crate::support::watch::{Watch, shot};
use crate::triton;
use bareflight::clock::Nanos;
use bareflight::record::event::{Ending, TokenHash};
use bareflight::record::request_record::FinishReason;
use bareflight::request::FailureKind;
use bareflight::request::RequestId;
use bareflight::settings::served::ServedSettings;
use bareflight::targets::Drain;
use bareflight::targets::triton_c::{TritonCOptions, TritonCTarget};
use serde_json::json;

tests! {
    every_token_comes_through_the_c_api,
    faults_and_cancels_end_each_request_once_through_the_c_api,
    the_contract_of_all_targets_holds_for_a_core_in_this_process,
    what_cannot_be_opened_is_explained_in_the_cores_words,
    a_session_ends_what_is_open_however_it_ends,
}

/// How often a claim is tried when the core ends its process.
const TRIES: u32 = 3;
/// What `timeout` says of a process that it had to end.
const TIMED_OUT: i32 = 124;
/// Where the child process finds what the parent laid out.
const PLACE: &str = "BAREFLIGHT_TEST_TRITON_C";
/// Names the test that a process was started for.
pub const IN_CHILD: &str = "BAREFLIGHT_TEST_TRITON_C_CHILD";
/// Printed by such a process once its test has passed.
const PASSED: &str = "1 passed";
const MODELS: [&str; 4] = ["tensorrt_llm", "unary", "llm_api", "not_a_language_model"];

/// Runs the claim of the same name in a child process that has a repository, backends, and the environment for both.
fn in_a_process_of_its_own(claim: &str) {
    let python = triton::python_with_triton();
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(triton::SCRIPT);
    let laid = Command::new(&python)
        .arg(script)
        .args(["--ttft-ms", "30", "--itl-ms", "5", "--lay-out"])
        .arg(folder.path())
        .arg("--only")
        .args(MODELS)
        .output()
        .unwrap();
    assert!(laid.status.success(), "{}", String::from_utf8_lossy(&laid.stderr));
    let environment = String::from_utf8(laid.stdout).unwrap();
    let run = || -> Output {
        Command::new("timeout")
            .args(["--kill-after", "5", "120"])
            .arg(std::env::current_exe().unwrap())
            .envs(environment.lines().filter_map(|line| line.split_once('=')))
            .env(PLACE, folder.path())
            .env(IN_CHILD, claim)
            .output()
            .expect("`timeout` of coreutils is needed for this test")
    };
    // Triton's core is not ours: neither its hangs nor its crashes are the claim's. What a claim finds wrong is a panic, and
    // that is never tried again.
    let mut child = run();
    for again in 1..TRIES {
        if !ended_by_the_core(&child) {
            break;
        }
        let (status, words) = (child.status, words_of(&child));
        eprintln!("`{claim}` was ended by Triton's core, {status}, {again} of {TRIES}:\n{words}");
        child = run();
    }
    let words = words_of(&child);
    assert!(child.status.success() && words.contains(PASSED), "{}: {words}", child.status);
}

/// Whether a process hung, or a signal ended it (`timeout` says 128 and its number).
fn ended_by_the_core(child: &Output) -> bool {
    let by_signal = |code| code > 128;
    let ended = child.status.code().is_none_or(|code| code == TIMED_OUT || by_signal(code));
    ended && !words_of(child).contains("panicked at")
}

fn words_of(child: &Output) -> String {
    String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr)
}

fn every_token_comes_through_the_c_api() {
    in_a_process_of_its_own("every_token_comes_through_the_c_api");
}

fn faults_and_cancels_end_each_request_once_through_the_c_api() {
    in_a_process_of_its_own("faults_and_cancels_end_each_request_once_through_the_c_api");
}

fn the_contract_of_all_targets_holds_for_a_core_in_this_process() {
    in_a_process_of_its_own("the_contract_of_all_targets_holds_for_a_core_in_this_process");
}

fn what_cannot_be_opened_is_explained_in_the_cores_words() {
    in_a_process_of_its_own("what_cannot_be_opened_is_explained_in_the_cores_words");
}

fn a_session_ends_what_is_open_however_it_ends() {
    in_a_process_of_its_own("a_session_ends_what_is_open_however_it_ends");
}

/// What runs in processes of its own.
pub mod child {
    #[allow(clippy::wildcard_imports, reason = "the other half of this file")]
    use super::*;

    /// Runs one test, by name; a panic ends this process.
    pub fn run(name: &str) {
        match name {
            "every_token_comes_through_the_c_api" => every_token_comes_through_the_c_api(),
            "faults_and_cancels_end_each_request_once_through_the_c_api" => {
                faults_and_cancels_end_each_request_once_through_the_c_api();
            }
            "the_contract_of_all_targets_holds_for_a_core_in_this_process" => {
                the_contract_of_all_targets_holds_for_a_core_in_this_process();
            }
            "what_cannot_be_opened_is_explained_in_the_cores_words" => {
                what_cannot_be_opened_is_explained_in_the_cores_words();
            }
            "a_session_ends_what_is_open_however_it_ends" => {
                a_session_ends_what_is_open_however_it_ends();
            }
            unknown => panic!("no test `{unknown}`"),
        }
        println!("{PASSED}");
    }

    fn place() -> PathBuf {
        std::env::var_os(PLACE).expect("run by the claim of the same name").into()
    }

    fn library() -> PathBuf {
        std::env::var_os("TRITON_LIBRARY").expect("the script says where it lies").into()
    }

    fn repository() -> PathBuf {
        place().join("repository")
    }

    fn options(model: &str) -> TritonCOptions {
        let mut options =
            TritonCOptions::new(&format!("{}/{model}", repository().display())).unwrap();
        options.backends = Some(place().join("backends"));
        options.library = Some(library());
        options
    }

    fn open(options: TritonCOptions) -> Watch {
        Watch::open(TritonCTarget::new(options).expect("the library is found"))
    }

    fn subject(model: &str) -> Subject {
        let served = ServedSettings {
            triton_library: Some(library()),
            triton_backends: Some(place().join("backends")),
            ..ServedSettings::default()
        };
        let name = format!("triton-c:{}/{model}", repository().display());
        Subject { served, ..Subject::named(&name) }
    }

    /// A copy of a model under another name, its configuration changed.
    fn copy_of(model: &str, name: &str, change: impl Fn(String) -> String) {
        let (from, to) = (repository().join(model), repository().join(name));
        std::fs::create_dir_all(to.join("1")).unwrap();
        std::fs::copy(from.join("1/model.py"), to.join("1/model.py")).unwrap();
        let config = std::fs::read_to_string(from.join("config.pbtxt")).unwrap();
        let renamed = config.replacen(&format!("\"{model}\""), &format!("\"{name}\""), 1);
        std::fs::write(to.join("config.pbtxt"), change(renamed)).unwrap();
    }

    fn every_token_comes_through_the_c_api() {
        let mut watch = open(options("tensorrt_llm"));
        for id in 0..24 {
            watch.fire(&shot(id, 3 + id % 5));
        }
        watch.wait(60.0);
        let (seen, drain) = watch.finish(5.0);
        for (id, seen) in &seen {
            let tokens = 3 + id % 5;
            assert_eq!(seen.ending(), Ending::Completed(FinishReason::Length), "{seen:?}");
            assert_eq!(
                (seen.tokens(), seen.deliveries.len()),
                (tokens, tokens as usize),
                "{seen:?}"
            );
            let sum = 100 + id + 7 + 8 + 9;
            assert_eq!(seen.hash, Some(TokenHash::of((0..tokens).map(|k| (sum + k) % 1000 + 3))));
            assert!(seen.ends[0].0 - seen.submitted.unwrap() >= Nanos::from_millis(30), "{seen:?}");
            assert!(seen.has_times, "the engine's stamps are on our clock: {seen:?}");
        }
        assert_eq!(drain, Drain::Clean);
        // The next core of the same process gives text, all of it in every response.
        let mut watch = open(options("llm_api"));
        watch.fire(&shot(0, 6));
        watch.wait(60.0);
        let (seen, drain) = watch.finish(5.0);
        assert_eq!((seen[&0].tokens(), drain), (6, Drain::Clean), "{seen:?}");
    }

    fn faults_and_cancels_end_each_request_once_through_the_c_api() {
        let mut options = options("tensorrt_llm");
        options.asking.extra_parameters.insert("fail_after".into(), json!(2));
        options.asking.extra_parameters.insert("itl_ms".into(), json!(1));
        let mut watch = open(options);
        watch.fire(&shot(0, 10));
        watch.wait(60.0);
        let seen = &watch.seen()[&0];
        assert_eq!((seen.failure(), seen.tokens()), (FailureKind::Engine, 2), "{seen:?}");
        let words = seen.message.clone().unwrap();
        assert!(words.contains("the model failed after 2 tokens"), "{words}");
        for id in 1..4 {
            watch.fire(&shot(id, 2));
        }
        watch.session.cancel(RequestId(2));
        watch.session.cancel(RequestId(2));
        watch.session.cancel(RequestId(77));
        watch.wait(60.0);
        assert_eq!(watch.seen()[&2].ending(), Ending::Cancelled);
        assert!(watch.seen()[&1].is_completed() && watch.seen()[&3].is_completed());
        assert_eq!(watch.finish(5.0).1, Drain::Clean);
    }

    fn a_session_ends_what_is_open_however_it_ends() {
        let mut watch = open(options("tensorrt_llm"));
        for id in 0..5 {
            watch.fire(&shot(id, 1_000));
        }
        watch.wait_for_tokens(0, 1);
        let (seen, drain) = watch.finish(0.1);
        assert_eq!(drain, Drain::Forced("5 requests were still open and were cancelled".into()));
        assert!((0..5).all(|id| seen[&id].ending() == Ending::Cancelled));

        let mut silent = options("tensorrt_llm");
        silent.asking.extra_parameters.insert("itl_ms".into(), json!(3_000));
        silent.timeouts.idle = Duration::from_millis(300);
        let mut watch = open(silent);
        watch.fire(&shot(0, 3));
        watch.wait(30.0);
        assert_eq!(watch.seen()[&0].failure(), FailureKind::Idle);
        watch.fire(&shot(1, 500));
        watch.wait_for_tokens(1, 1);
        // Not finished, only dropped, as after a panic.
        watch.drop_session();
        assert_eq!(watch.seen()[&1].ending(), Ending::Cancelled);
    }

    fn the_contract_of_all_targets_holds_for_a_core_in_this_process() {
        let engine = subject("tensorrt_llm");
        contract::every_shot_ends_exactly_once_with_as_many_tokens_as_were_asked_for(&engine);
        contract::stamps_are_monotone_from_the_intended_instant_to_the_end(&engine);
        contract::the_engine_s_own_stamps_lie_between_submission_and_delivery(&engine);
        contract::what_is_cancelled_ends_as_cancelled_and_keeps_what_had_arrived(
            &engine,
            Nanos::from_millis(1_500),
        );
        contract::two_phases_on_one_session_do_not_see_each_other_s_requests(&engine);
        copy_of("tensorrt_llm", "strict", |config| {
            let (any, two) = ("\"input_ids\" data_type: TYPE_INT32 dims: [ -1 ]", "dims: [ 2 ]");
            config.replace(any, &any.replace("dims: [ -1 ]", two))
        });
        contract::what_a_target_refuses_has_a_kind_and_the_target_s_words(&subject("strict"));
        copy_of("unary", "narrow", |config| {
            let one = config.replace("max_batch_size: 64", "max_batch_size: 1");
            one + "dynamic_batching { default_queue_policy { max_queue_size: 2 } }\n"
        });
        contract::a_full_queue_refuses_and_the_rest_goes_on(&subject("narrow"));
    }

    fn what_cannot_be_opened_is_explained_in_the_cores_words() {
        let refusal = |model: &str| {
            let target = TritonCTarget::new(options(model)).unwrap();
            Watch::try_open(target).err().expect("it cannot be opened").to_string()
        };
        let image = refusal("not_a_language_model");
        assert!(image.contains("gives neither `output_ids` nor `text_output`"), "{image}");
        copy_of("unary", "broken", |config| {
            config.replace("backend: \"python\"", "backend: \"no_such_backend\"")
        });
        let broken = refusal("broken");
        assert!(broken.contains("model `broken` is not ready"), "{broken}");
        assert!(broken.contains("no_such_backend"), "{broken}");
        std::fs::write(repository().join("broken/1/model.py"), "raise ValueError('no weights')\n")
            .unwrap();
        let path = repository().join("broken/config.pbtxt");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, config.replace("no_such_backend", "python")).unwrap();
        let raised = refusal("broken");
        assert!(raised.contains("no weights"), "{raised}");
        let unread = repository().join("unread");
        std::fs::create_dir_all(&unread).unwrap();
        std::fs::write(unread.join("config.pbtxt"), "no configuration {").unwrap();
        let polled = refusal("unread");
        assert!(polled.contains("failed to poll from model repository"), "{polled}");
        // A model that does not load keeps none of the others from being used.
        let mut watch = open(options("unary"));
        watch.fire(&shot(0, 3));
        watch.wait(60.0);
        assert_eq!(watch.finish(5.0).1, Drain::Clean);
    }
}
