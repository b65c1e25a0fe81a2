//! Mixtures of workloads by weight: planned, recorded, summed up by part and refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::left_behind::{rows, words};
use bareflight_engine::dummy_tokenizer;
use serde_json::Value;
use tempfile::TempDir;

const SYNTHETIC: &str = "0.5:synthetic:D(48,3)";

struct Bench {
    folder: TempDir,
    tokenizer: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokenizer.json");
        dummy_tokenizer(4_096).save(&file, false).expect("a file");
        let tokenizer = file.to_str().expect("a path of text").to_owned();
        Self { folder, tokenizer }
    }

    /// A file of this text, as a workload of this weight.
    fn part(&self, weight: f64, kind: &str, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        format!("{weight}:{kind}:{}", path.display())
    }

    fn lengths(&self) -> String {
        let rows = (1..=40).map(|n| format!("{},{}", 10 + n, 1 + n % 2));
        let lines: Vec<String> =
            std::iter::once("input_tokens,output_tokens".to_owned()).chain(rows).collect();
        self.part(1.5, "lengths", "lengths.csv", &(lines.join("\n") + "\n"))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["run", "--warmup", "0", "--window", "whole", "--quiet"]);
        command.args(arguments).arg("--out").arg(self.folder.path().join("runs"));
        command.env("CI", "1").output().expect("the binary runs")
    }

    fn on_sim(&self, arguments: &[&str]) -> Output {
        let target = ["--target", "sim:null", "--tokenizer", &self.tokenizer];
        self.run(&[&target[..], arguments].concat())
    }

    /// Folders of runs, in the order of their names.
    fn runs(&self) -> Vec<PathBuf> {
        let runs = fs::read_dir(self.folder.path().join("runs")).expect("runs");
        let mut runs: Vec<_> = runs.map(|run| run.expect("a folder").path()).collect();
        runs.sort();
        runs
    }
}

fn is_ok(output: &Output) {
    // What was asked is the claim, and not whether this machine was quiet enough for numbers.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
}

fn json(run: &Path, file: &str) -> Value {
    serde_json::from_slice(&fs::read(run.join(file)).expect("a file")).expect("JSON")
}

#[test]
fn each_request_says_its_part_and_parts_have_their_shares_at_every_engine() {
    let bench = Bench::new();
    let lengths = bench.lengths();
    let mixed = ["--workload", &lengths, "--workload", SYNTHETIC, "--concurrency", "4"];
    let asked = [&mixed[..], &["--requests", "80"]].concat();
    is_ok(&bench.on_sim(&asked));
    is_ok(&bench.run(&[&["--target", "local:dummy-pico"], &asked[..]].concat()));
    let runs = bench.runs();
    assert_eq!(runs.len(), 2);
    for run in &runs {
        let columns = ["request_id", "workload", "prompt_tokens"];
        let planned = rows(run, "plan.csv", &columns);
        let mut recorded = rows(run, "requests.csv", &columns);
        recorded.sort_by_key(|row| row[0].parse::<u32>().expect("a number"));
        assert_eq!(planned, recorded);
        let of_random = planned.iter().filter(|row| row[1] == "1");
        assert!(of_random.clone().all(|row| row[2] == "48"), "{planned:?}");
        // 20 of 80 are due, with a deviation of 4.
        let of_random = of_random.count() as u64;
        assert!((8..=32).contains(&of_random), "{of_random}");
        let of_file: Vec<&String> =
            planned.iter().filter(|row| row[1] == "0").map(|row| &row[2]).collect();
        assert_eq!(of_file.len() as u64, 80 - of_random);
        let parts = &json(run, "summary.json")["points"][0]["workloads"];
        assert_eq!(parts[0]["share"], 0.75);
        assert_eq!(parts[1]["name"], "synthetic:D(48,3)");
        assert_eq!(parts[1]["requests"], of_random);
        assert_eq!(parts[1]["completed"], of_random);
        assert_eq!(parts[1]["prompt_tokens_mean"], 48.0);
        assert!(parts[0]["e2e_p50_ms"].is_number() && parts[1]["ttft_p99_ms"].is_number());
    }
    let shown = |run: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        words(&command.arg("report").arg(run).output().expect("the binary runs").stdout)
    };
    let table = shown(&runs[0]);
    assert!(table.contains("synthetic:D(48,3)") && table.contains("75"), "{table}");
}

#[test]
fn the_plan_of_a_mixture_is_replayed_with_its_instants_and_lengths() {
    let bench = Bench::new();
    let lengths = bench.lengths();
    let mixed = ["--workload", &lengths, "--workload", SYNTHETIC, "--rate", "400"];
    is_ok(&bench.on_sim(&[&mixed[..], &["--requests", "30"]].concat()));
    let plan = format!("plan:{}", bench.runs()[0].join("plan.csv").display());
    is_ok(&bench.on_sim(&["--workload", &plan, "--replay"]));
    let both = bench.runs();
    assert_eq!(both.len(), 2);
    let planned = |run: &PathBuf| rows(run, "plan.csv", &["prompt_tokens", "max_tokens"]);
    assert_eq!(planned(&both[0]), planned(&both[1]));
    let gaps = |run: &PathBuf| -> Vec<i64> {
        let rows = rows(run, "plan.csv", &["intended_ns"]).concat();
        let instants: Vec<i64> = rows.iter().map(|it| it.parse().expect("an instant")).collect();
        instants.iter().map(|at| at - instants[0]).collect()
    };
    let (was, is) = (gaps(&both[0]), gaps(&both[1]));
    assert_eq!(was.len(), 30);
    assert!(was.iter().zip(&is).all(|(was, is)| (was - is).abs() <= 1), "{was:?} {is:?}");
}

#[test]
fn a_mixture_is_one_plan_whether_it_is_typed_or_stands_in_a_file() {
    let bench = Bench::new();
    let lengths = bench.lengths();
    let load = ["--rate", "4000", "--requests", "30"];
    is_ok(&bench.on_sim(&[&["--workload", &lengths, "--workload", SYNTHETIC], &load[..]].concat()));
    let file = bench.folder.path().join("run.toml");
    let text = format!("[workload]\nworkload = ['{lengths}', '{SYNTHETIC}']\n");
    fs::write(&file, text).expect("a file");
    is_ok(&bench.on_sim(&[&["--config", file.to_str().expect("text")], &load[..]].concat()));
    let resolved = bench.runs()[0].join("resolved.toml");
    let output = bench.run(&["--config", resolved.to_str().expect("text")]);
    is_ok(&output);
    let hashes: Vec<Value> = bench
        .runs()
        .iter()
        .map(|run| json(run, "manifest.json")["points"][0]["plan_hash"].clone())
        .collect();
    assert!(hashes[0].is_string(), "{hashes:?}");
    assert!(hashes.len() == 3 && hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn conversations_and_single_requests_go_in_one_mixture_of_sessions() {
    let bench = Bench::new();
    let two_turns = "{\"turns\": [{\"user\": [5,6,7], \"output_tokens\": 2}, {\"user\": [8,9], \"output_tokens\": 2}]}\n";
    let talks = bench.part(1.0, "conversation", "talks.jsonl", two_turns);
    let asked = ["--workload", &talks, "--workload", "synthetic:D(20,2)", "--sessions", "12"];
    let asked = [&asked[..], &["--concurrency", "2"]].concat();
    is_ok(&bench.run(&[&["--target", "local:dummy-pico"], &asked[..]].concat()));
    let planned =
        rows(&bench.runs()[0], "plan.csv", &["request_id", "session", "turn", "workload"]);
    let begun = planned.iter().filter(|row| row[2] == "0").count();
    assert_eq!(begun, 12);
    let second: Vec<_> = planned.iter().filter(|row| row[2] == "1").collect();
    assert!(!second.is_empty() && second.iter().all(|row| row[3] == "0"), "{planned:?}");
    let firsts = planned.iter().filter(|row| row[2] == "0" && row[3] == "0").count();
    assert_eq!(firsts, second.len());
}

#[test]
fn a_part_whose_prompts_come_again_is_told_by_its_name() {
    let bench = Bench::new();
    let texts = bench.part(1.0, "text", "few.txt", "one two\nthree four\n");
    let asked = ["--workload", &texts, "--workload", "synthetic:D(20,2)", "--output-tokens", "2"];
    let output = bench.on_sim(&[&asked[..], &["--requests", "20", "--concurrency", "1"]].concat());
    is_ok(&output);
    let said = words(&output.stderr);
    assert!(said.contains("few.txt") && said.contains("gives 2 prompts"), "{said}");
}

#[test]
fn what_a_mixture_does_not_have_is_refused_before_any_load() {
    let bench = Bench::new();
    let lengths = bench.lengths();
    let trace =
        "{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 2, \"hash_ids\": [1]}\n";
    let trace = bench.part(1.0, "mooncake", "trace.jsonl", trace);
    let both = ["--workload", &lengths, "--workload", SYNTHETIC];
    for (more, said) in [
        (&["--scenario", "D(8,8)"][..], "--scenario"),
        (&["--workload", &trace, "--replay"], "--replay"),
        (&["--prompt-column", "x"], "--prompt-column"),
        (&["--workload", "0:text:f"], "`0` is no weight"),
        (&["--workload", "0.2:synthetic:E(9)"], "`D`, `N`, `U` or `L`"),
        (&["--workload", "0.2:text:/nowhere/f.txt", "--output-tokens", "2"], "/nowhere/f.txt"),
    ] {
        let output = bench.on_sim(&[&both[..], more].concat());
        let message = words(&output.stderr);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{message}");
        assert!(message.contains(said), "{said}: {message}");
    }
    assert!(!bench.folder.path().join("runs").exists());
}

#[test]
fn one_synthetic_workload_is_its_scenario_by_another_name() {
    let bench = Bench::new();
    let load = ["--requests", "4", "--concurrency", "1"];
    is_ok(&bench.on_sim(&[&["--workload", "synthetic:D(16,2)"], &load[..]].concat()));
    is_ok(&bench.on_sim(&[&["--scenario", "D(16,2)"], &load[..]].concat()));
    let plans: Vec<_> =
        bench.runs().iter().map(|run| fs::read(run.join("plan.csv")).expect("a plan")).collect();
    assert_eq!(plans[0], plans[1]);
}
