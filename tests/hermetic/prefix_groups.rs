//! Groups of prompts with prefixes of their own: planned by share, and found again in an engine's cache.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::left_behind::{rows, words};
use bareflight_engine::dummy_tokenizer;
use tempfile::TempDir;

struct Bench(TempDir);

fn call(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(arguments).env("CI", "1").output().expect("the binary runs")
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        dummy_tokenizer(4_096).save(folder.path().join("tokenizer.json"), false).expect("a file");
        Self(folder)
    }

    fn run(&self, target: &str, arguments: &[&str]) -> Output {
        let out = self.0.path().join(target.replace(':', "-"));
        let tokenizer = self.0.path().join("tokenizer.json");
        let fixed = ["run", "--warmup", "0", "--window", "whole", "--quiet", "--target", target];
        let out = ["--out", out.to_str().expect("text")];
        let counted = ["--tokenizer", tokenizer.to_str().expect("text")];
        let counted = if target.starts_with("sim") { &counted[..] } else { &[] };
        call(&[&fixed[..], arguments, &out[..], counted].concat())
    }

    /// Columns of a table of the one run at a target.
    fn rows(&self, target: &str, file: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let runs = fs::read_dir(self.0.path().join(target.replace(':', "-"))).expect("runs");
        let runs: Vec<PathBuf> = runs.map(|run| run.expect("a folder").path()).collect();
        let [run] = &runs[..] else { panic!("one run: {runs:?}") };
        rows(run, file, columns)
    }

    /// Tokens of prompts that begin as an earlier one does, by block size, as `inspect` computes them.
    fn computed(arguments: &[&str]) -> HashMap<u64, u64> {
        let output = call(&[&["workload", "inspect"], arguments].concat());
        is_ok(&output);
        let shown = words(&output.stdout);
        let number = |text: &str| text.trim().parse().expect("a number");
        let blocks = shown.lines().filter_map(|line| {
            let line = line.trim().strip_prefix("blocks of ")?;
            let (block, rest) = line.split_once(' ')?;
            let tokens = rest.split_once('(')?.1.split_once(')')?.0;
            Some((number(block), number(tokens)))
        });
        blocks.collect()
    }

    /// Tokens that the engine found in its cache, and the size of its blocks.
    fn found(&self, target: &str) -> (u64, u64) {
        let names = ["prompt_tokens", "kv_reused_blocks", "kv_missed_blocks"];
        let rows = self.rows(target, "requests.csv", &names);
        let number = |text: &String| text.parse::<u64>().expect("a number");
        // Blocks of a prompt that is looked for as a whole tell how many tokens one holds.
        let looked_for = number(&rows[0][1]) + number(&rows[0][2]);
        let block = number(&rows[0][0]).div_ceil(looked_for);
        let found: u64 = rows.iter().map(|row| number(&row[1])).sum();
        (found * block, block)
    }
}

fn is_ok(output: &Output) {
    // What was asked is the claim, and not whether this machine was quiet enough for numbers.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
}

const LOAD: [&str; 5] = ["--kv-reuse", "--concurrency", "1", "--requests", "24"];

#[test]
fn what_inspect_computes_of_prefix_groups_is_what_engines_find_in_their_caches() {
    let bench = Bench::new();
    for (target, prefix) in [
        ("local:dummy-pico", &["--prefix-tokens", "64", "--prefix-groups", "4"][..]),
        ("sim:null", &["--prefix-tokens", "128", "--prefix-shares", "6,3,1"]),
    ] {
        let scenario = ["--scenario", "D(192,2)"];
        is_ok(&bench.run(target, &[&scenario[..], prefix, &LOAD].concat()));
        let computed = Bench::computed(&[&["synthetic:D(192,2)", "-n", "24"], prefix].concat());
        let (found, block) = bench.found(target);
        assert!(found > 0, "{target}");
        assert_eq!(found, computed[&block], "{target}, blocks of {block}: {computed:?}");
    }
}

#[test]
fn the_random_part_of_a_mixture_has_its_prefix_groups_and_reuse_is_as_computed() {
    let bench = Bench::new();
    let texts = bench.0.path().join("ids.jsonl");
    let line = |n: u32| format!("{{\"prompt\": {:?}, \"output_tokens\": 2}}\n", [n + 5; 64]);
    fs::write(&texts, (0..30).map(line).collect::<String>()).expect("a file");
    let file = format!("0.4:jsonl:{}", texts.display());
    let prefix = ["--prefix-tokens", "64", "--prefix-groups", "2"];
    let parts = ["--workload", &file, "--workload", "0.6:synthetic:D(128,2)"];
    let columns = ["--prompt-column", "prompt", "--output-tokens-column", "output_tokens"];
    let target = "local:dummy-pico";
    is_ok(&bench.run(target, &[&parts[..], &prefix, &columns, &LOAD].concat()));
    let asked = [&file, "0.6:synthetic:D(128,2)", "-n", "24"];
    let computed = Bench::computed(&[&asked[..], &prefix, &columns].concat());
    let (found, block) = bench.found(target);
    assert!(found > 0);
    assert_eq!(found, computed[&block], "blocks of {block}: {computed:?}");
    let planned = bench.rows(target, "plan.csv", &["workload", "prefix_group"]);
    assert!(planned.iter().all(|row| (row[0] == "1") != row[1].is_empty()), "{planned:?}");
}

#[test]
fn each_prompt_says_its_group_and_one_group_is_the_prefix_as_it_always_was() {
    let bench = Bench::new();
    let asked = ["--scenario", "D(32,1)", "--prefix-tokens", "16", "--concurrency", "1"];
    let asked = [&asked[..], &["--requests", "60"]].concat();
    is_ok(&bench.run("null:", &[&asked[..], &["--prefix-shares", "2,1"]].concat()));
    let groups = bench.rows("null:", "plan.csv", &["prefix_group"]).concat();
    let first = groups.iter().filter(|group| *group == "0").count();
    assert!((28..=52).contains(&first) && groups.iter().all(|group| group != "2"), "{first}");
    let one_group = ["--prefix-groups", "1"];
    let planned = [&one_group[..], &[]].map(|more| {
        let bench = Bench::new();
        is_ok(&bench.run("sim:null", &[&asked[..], more].concat()));
        bench.rows("sim:null", "plan.csv", &["prompt_sha", "prefix_group"])
    });
    assert_eq!(planned[0], planned[1]);
    assert!(planned[0].iter().all(|row| row[1].is_empty()));
}

#[test]
fn groups_without_a_prefix_and_shares_of_other_groups_are_refused() {
    let bench = Bench::new();
    for (asked, said) in [
        (&["--prefix-groups", "4"][..], "`--prefix-tokens N`"),
        (&["--prefix-tokens", "8", "--prefix-groups", "0"], "--prefix-groups"),
        (&["--prefix-tokens", "8", "--prefix-shares", "1,0"], "above 0"),
        (&["--prefix-tokens", "8", "--prefix-groups", "3", "--prefix-shares", "1,2"], "different"),
    ] {
        let output = bench.run("null:", asked);
        let message = words(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains(said), "{said}: {message}");
    }
}
