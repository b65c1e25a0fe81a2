//! Claims about what a typed word is read as.

use std::ffi::OsString;

use super::*;
use crate::cli::typed::Cli;

fn read(line: &str) -> Result<Respelled, SpellingError> {
    respell(line.split(' ').map(OsString::from), &Cli::clap_command())
}

fn ours(line: &str) -> String {
    let read = read(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let words = read.words.iter().map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_flag_of_another_benchmark_is_read_as_ours_and_told() {
    for (typed, meant) in [
        ("--request-rate 4", "--rate 4"),
        ("--request-rate=4", "--rate 4"),
        ("--num-concurrency 1 --num-concurrency 2", "--concurrency 1 --concurrency 2"),
        ("--max_requests 9", "--requests 9"),
        ("--max-requests 9", "--requests 9"),
        ("--traffic-scenario D(1,2)", "--scenario D(1,2)"),
        ("--random-seed 7", "--seed 7"),
        ("--artifact-dir a", "--out a"),
        ("--output_dir a", "--out a"),
        ("--tokenizer_dir t", "--tokenizer t"),
        ("--streaming", "--no-streaming=false"),
        ("--ignore-eos", "--stop-at-eos=false"),
        ("-u localhost:80", "--target openai:localhost:80"),
        ("--url http://h/v1", "--target openai:http://h/v1"),
        ("--api-base http://h/v1", "--target openai:http://h/v1"),
        ("--url triton:h:1/m", "--target triton:h:1/m"),
        ("--endpoint-type openai-chat", "--endpoint chat"),
        ("--endpoint-type v1/completions", "--endpoint completions"),
        ("--max-concurrency 4", "--concurrency 4"),
        ("--request-rate 2 --max-concurrency 4", "--rate 2 --max-in-flight 4"),
        ("--request-rate inf --max-concurrency 4", "--concurrency 4"),
        ("--request-rate inf", "--batch"),
        ("--max-time-per-run 10", "--duration 10m"),
        ("--max-time-per-run 10s", "--duration 10s"),
        ("--max_batch_size 4", "--max-batch-size 4"),
        ("--max_batch_size=4", "--max-batch-size=4"),
    ] {
        assert_eq!(ours(&format!("bareflight run {typed}")), format!("bareflight run {meant}"));
        let told = read(&format!("bareflight run {typed}")).expect(typed).told;
        assert!(!told.is_empty(), "{typed} is changed and not told");
    }
}

#[test]
fn what_is_ours_already_is_left_as_it_is_and_not_told() {
    for line in [
        "bareflight run --rate 4 -n 5 --isl 4 --osl 3 -m x",
        "bareflight run --target sim:null --between --q",
        "bareflight translate -- genai-perf -u h:1 --request-rate 4",
        "bareflight run -- --request-rate 4",
        "bareflight",
    ] {
        assert_eq!(ours(line), line);
        assert_eq!(read(line).expect(line).told, Vec::<String>::new());
    }
}

#[test]
fn a_list_may_have_spaces_or_commas_or_both() {
    for typed in ["--concurrency 1 2 4", "--concurrency 1,2,4", "--concurrency 1,2 4"] {
        let line = ours(&format!("bareflight run {typed} -q"));
        assert_eq!(line, "bareflight run --concurrency 1,2,4 -q");
    }
    for line in ["bareflight run --rate 1 -2", "bareflight run --concurrency --rate 2"] {
        assert_eq!(ours(line), line);
    }
    assert_eq!(
        ours("bareflight compare --concurrency 1 a b"),
        "bareflight compare --concurrency 1 a b"
    );
}

#[test]
fn one_setting_under_two_names_is_refused_even_with_one_value() {
    for typed in [
        "--request-rate 4 --rate 4",
        "--max-requests 4 --requests 4",
        "--output-dir a --out a",
        "--artifact-dir a --output-dir a",
        "--target sim:null -u localhost:80",
        "--concurrency 1 --num-concurrency 2",
        "--streaming --no-streaming",
    ] {
        let error = read(&format!("bareflight run {typed}")).expect_err(typed);
        assert!(error.to_string().contains("are the same setting"), "{typed}: {error}");
    }
    let sides = "bareflight compare --target sim:null -u localhost:80";
    assert!(read(sides).is_ok(), "sides of a comparison are targets of their own");
}

#[test]
fn an_address_alone_is_an_openai_server_and_a_kind_stays() {
    for (typed, meant) in [
        ("http://h", "openai:http://h"),
        ("https://h:1/v1", "openai:https://h:1/v1"),
        ("localhost:8000", "openai:localhost:8000"),
        ("10.0.0.1:80/v1", "openai:10.0.0.1:80/v1"),
        ("[::1]:80", "openai:[::1]:80"),
        ("sim:9", "sim:9"),
        ("null:", "null:"),
        ("warp:x", "warp:x"),
        ("warp:9", "warp:9"),
        ("node7:8000", "openai:node7:8000"),
        ("ftp://h", "ftp://h"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(with_kind(typed), meant);
    }
}

#[test]
fn a_target_may_stand_without_its_flag_and_without_a_command() {
    for (typed, meant) in [
        ("run http://h:1/v1 -q", "run --target openai:http://h:1/v1 -q"),
        ("run -q local:dummy-nano", "run -q --target local:dummy-nano"),
        ("run --concurrency 1 2 h:8000", "run --concurrency 1,2 --target openai:h:8000"),
        ("run --requests 9 null: --batch", "run --requests 9 --target null: --batch"),
        ("search --slo ttft<1s sim:x", "search --slo ttft<1s --target sim:x"),
        ("compare http://a http://b", "compare --target openai:http://a --target openai:http://b"),
        ("http://h:1 --concurrency 4", "run --target openai:http://h:1 --concurrency 4"),
        ("local:dummy-nano", "run --target local:dummy-nano"),
    ] {
        assert_eq!(ours(&format!("bareflight {typed}")), format!("bareflight {meant}"));
        let told = read(&format!("bareflight {typed}")).expect(typed).told.concat();
        assert!(told.contains("as `--target "), "{typed}: {told}");
    }
}

#[test]
fn the_value_of_a_flag_and_the_words_of_other_commands_are_no_targets() {
    for line in [
        "bareflight run --model http://h",
        "bareflight run -m http://h",
        "bareflight run --upload file://x --server-metrics http://h:1/metrics",
        "bareflight run gpt2 runs/a",
        "bareflight compare a b",
        "bareflight doctor http://h",
        "bareflight upload a file:///b",
        "bareflight report local:x",
        "bareflight run -- http://h",
        "bareflight gpt2",
    ] {
        assert_eq!(ours(line), line);
    }
}

#[test]
fn two_targets_without_a_flag_are_refused_with_the_command_that_measures_both() {
    let error = read("bareflight run http://a null:").expect_err("two").to_string();
    assert!(error.contains("`bareflight compare http://a null:` measures them"), "{error}");
    let error = read("bareflight run --target null: http://a").expect_err("two").to_string();
    assert!(error.contains("`--target` and `http://a` are the same setting"), "{error}");
    let told = read("bareflight run http://me:secret@h").expect("read").told.concat();
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_password_in_an_address_is_not_told() {
    let told = read("bareflight run --url http://me:secret@h --target2 x").expect("read").told;
    assert!(!told.concat().contains("secret"), "{told:?}");
}

#[test]
fn every_alias_stands_for_a_flag_that_there_is() {
    let program = Cli::clap_command();
    let run = program.find_subcommand("run").expect("run");
    for alias in ALIASES {
        let (Means::Same(ours) | Means::Switch(ours)) = alias.means else { continue };
        let ours = ours.split('=').next().unwrap_or(ours);
        assert!(is_known(run, ours), "--{ours}");
    }
}
