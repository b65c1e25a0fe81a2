//! Workloads from files and traces: planned, recorded and refused, on targets of this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::left_behind::{rows, words};
use bareflight_engine::dummy_tokenizer;
use tempfile::TempDir;

fn fixture(kind: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workloads").join(name);
    format!("{kind}:{}", path.display())
}

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

    fn play(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["run", "--warmup", "0", "--window", "whole", "--quiet"]);
        command.args(arguments).arg("--out").arg(self.runs()).env("CI", "1");
        command.output().expect("the binary runs")
    }

    /// On the simulated executor, which takes token ids.
    fn simulated(&self, arguments: &[&str]) -> Output {
        let target = ["--target", "sim:null", "--tokenizer", &self.tokenizer];
        self.play(&[&target[..], arguments].concat())
    }

    fn runs(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    /// Columns of a file of the one run, without its warm-up.
    fn rows(&self, file: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let mut runs = fs::read_dir(self.runs()).expect("runs");
        let run = runs.next().expect("one run").expect("a folder").path();
        assert!(runs.next().is_none(), "one run");
        rows(&run, file, columns)
    }

    /// Prompt and output tokens as planned.
    fn planned(&self) -> Vec<(u32, u32)> {
        let number = |text: &String| text.parse().expect("a number");
        let rows = self.rows("plan.csv", &["prompt_tokens", "max_tokens"]);
        rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect()
    }
}

fn is_ok(output: &Output) {
    // What was asked is the claim, and not whether this machine was quiet enough for numbers.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
}

#[test]
fn a_dataset_configuration_of_genai_bench_names_the_file_and_its_column() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    let asked = "{\"prompt\": \"w0001 w0002 w0003\", \"x\": 1}\n";
    fs::write(folder.join("asked.jsonl"), asked).expect("a file");
    let config =
        r#"{"source": {"type": "file", "path": "asked.jsonl"}, "prompt_column": "prompt"}"#;
    fs::write(folder.join("config.json"), config).expect("a file");
    let workload = format!("genai-bench:{}", folder.join("config.json").display());
    let load = ["--output-tokens", "4", "--concurrency", "1", "--requests", "2"];
    let output = bench.simulated(&[&["--workload", &workload][..], &load].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", words(&output.stderr));
    assert_eq!(bench.planned(), [(3, 4), (3, 4)]);
    let lambda = config.replace("\"prompt_column\"", "\"prompt_lambda\"");
    fs::write(folder.join("config.json"), lambda).expect("a file");
    let refused = bench.simulated(&[&["--workload", &workload][..], &load].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(words(&refused.stderr).contains("prompt_lambda"), "{}", words(&refused.stderr));
}

#[test]
fn a_dataset_s_lengths_are_those_of_the_plan_and_of_the_records() {
    let bench = Bench::new();
    let file = fixture("sharegpt", "sharegpt.json");
    let order = ["--workload-order", "file", "--concurrency", "1", "--requests", "3"];
    let output = bench.simulated(&[&["--workload", &file][..], &order].concat());
    is_ok(&output);
    assert_eq!(bench.planned(), [(3, 2), (2, 4), (5, 3)]);
    let mut recorded = bench.rows("requests.csv", &["prompt_tokens", "output_tokens"]);
    recorded.sort();
    assert_eq!(recorded, [["2", "4"], ["3", "2"], ["5", "3"]]);
    let said = words(&output.stderr);
    assert!(said.contains("1 ask nothing, 1 have an empty prompt"), "{said}");
}

#[test]
fn the_embedded_engine_counts_text_with_its_own_tokenizer() {
    let bench = Bench::new();
    let file = fixture("openorca", "openorca.jsonl");
    is_ok(&bench.play(&[
        "--target",
        "local:dummy-pico",
        "--workload",
        &file,
        "--workload-order",
        "file",
        "--concurrency",
        "1",
        "--requests",
        "2",
    ]));
    let recorded = bench.rows("requests.csv", &["prompt_tokens", "output_tokens"]);
    let planned: Vec<[String; 2]> = bench
        .planned()
        .iter()
        .map(|(input, output)| [input.to_string(), output.to_string()])
        .collect();
    assert_eq!(planned.len(), 2);
    assert_eq!(recorded, planned);
}

#[test]
fn prompts_that_come_again_are_told() {
    let bench = Bench::new();
    let file = fixture("trtllm-bench", "trtllm_bench.jsonl");
    let output = bench.simulated(&["--workload", &file, "--concurrency", "2", "--requests", "7"]);
    is_ok(&output);
    let said = words(&output.stderr);
    assert!(said.contains("7 requests are asked and the file gives 3 prompts"), "{said}");
    let mut planned = bench.planned();
    planned.sort_unstable();
    planned.dedup();
    assert_eq!(planned, [(2, 5), (3, 2), (4, 3)]);
}

#[test]
fn a_trace_is_replayed_at_its_own_instants_and_equal_blocks_are_equal_tokens() {
    let bench = Bench::new();
    let file = fixture("mooncake", "mooncake.jsonl");
    let output = bench.simulated(&["--workload", &file, "--replay", "--time-scale", "10"]);
    is_ok(&output);
    assert_eq!(bench.planned(), [(1100, 5), (1030, 4), (512, 3), (1500, 2)]);
    let instants = bench.rows("plan.csv", &["intended_ns"]);
    assert_eq!(instants, [["0"], ["10000000"], ["40000000"], ["100000000"]]);
    let outcomes = bench.rows("requests.csv", &["outcome"]);
    assert_eq!(outcomes, vec![["completed"]; 4]);

    let folder = |runs: PathBuf| {
        fs::read_dir(runs).expect("runs").next().expect("one run").expect("a folder").path()
    };
    let run = folder(bench.runs());
    let again = bench.folder.path().join("again");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    command.args(["run", "--config"]).arg(run.join("resolved.toml")).arg("--out").arg(&again);
    is_ok(&command.env("CI", "1").output().expect("the binary runs"));
    let plan = |run: &Path| fs::read_to_string(run.join("plan.csv")).expect("a plan");
    assert_eq!(plan(&run), plan(&folder(again)), "the settings that were written ask for the same");
}

#[test]
fn a_workload_that_cannot_be_asked_ends_before_any_load() {
    let bench = Bench::new();
    let orca = fixture("openorca", "openorca.jsonl");
    let prompts = fixture("jsonl", "prompts.jsonl");
    let columns = ["--prompt-column", "ask", "--output-tokens-column", "limit"];
    let nowhere = "sharegpt:/no/such/file.json";
    let cases: [(Vec<&str>, i32, &[&str]); 9] = [
        (vec!["--workload", "orca"], 2, &["KIND:FILE"]),
        (vec!["--workload", "orca:file"], 2, &["`orca`", "sharegpt"]),
        (vec!["--workload", nowhere], 3, &["/no/such/file.json"]),
        (
            [&["--workload", &prompts], &columns[..]].concat(),
            3,
            &["prompts.jsonl`, line 4", "--skip-bad-lines"],
        ),
        (vec!["--workload", &orca, "--scenario", "D(1,1)"], 2, &["--scenario"]),
        (vec!["--workload", &orca, "--prompt-column", "a"], 2, &["--prompt-column"]),
        (vec!["--workload", &orca, "--replay"], 2, &["--replay", "mooncake"]),
        (vec!["--max-isl", "9"], 2, &["--max-isl", "--workload"]),
        (vec!["--isl", "9"], 2, &["--osl"]),
    ];
    for (arguments, code, parts) in cases {
        let output = bench.simulated(&arguments);
        let message = words(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{arguments:?}: {message}");
    }
    let untokenised = bench.play(&["--target", "sim:null", "--workload", &orca]);
    let message = words(&untokenised.stderr);
    assert_eq!(untokenised.status.code(), Some(3), "{message}");
    assert!(message.contains("--tokenizer"), "{message}");
    assert!(!bench.runs().exists(), "no run was begun");
}

#[test]
fn few_distinct_prompts_come_again_and_means_are_another_spelling_of_a_scenario() {
    let bench = Bench::new();
    is_ok(&bench.simulated(&[
        "--isl",
        "20",
        "--isl-stddev",
        "5",
        "--osl",
        "4",
        "--num-prompts",
        "3",
        "--concurrency",
        "2",
        "--requests",
        "9",
    ]));
    let mut shas = bench.rows("plan.csv", &["prompt_sha"]);
    let again = shas.clone();
    assert_eq!(shas[..3], again[3..6]);
    shas.sort();
    shas.dedup();
    assert_eq!(shas.len(), 3);
    assert!(bench.planned().iter().all(|(input, output)| *input < 60 && *output == 4));
}

#[test]
fn a_workload_is_inspected_without_a_run() {
    let inspect = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["workload", "inspect"]).args(arguments).output().expect("the binary runs")
    };
    let output = inspect(&[&fixture("mooncake", "mooncake.jsonl")]);
    is_ok(&output);
    let shown = words(&output.stdout);
    // Of 4142 tokens, two blocks of the second prompt and one of the fourth have been there before.
    for part in
        ["mean 1035.5 tokens, longest 1500", "blocks of 512", "37.1 %", "(1536)", "arrivals"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let orca = fixture("openorca", "openorca.jsonl");
    let output = inspect(&[&orca]);
    let message = words(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("--tokenizer"), "{message}");
    let output = inspect(&[&orca, "--tokenizer", &Bench::new().tokenizer]);
    is_ok(&output);
    assert!(words(&output.stdout).contains("outputs: mean 1.5 tokens, longest 2"));
}

#[test]
fn what_inspect_computes_of_prefix_reuse_is_what_engines_find_in_their_caches() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trace.jsonl");
    let lines = [(700, [1, 2]), (900, [1, 3]), (612, [1, 4]), (1_000, [5, 6]), (1_020, [5, 7])];
    let line = |(length, ids): (u32, [u32; 2])| {
        format!(
            "{{\"timestamp\": 0, \"input_length\": {length}, \"output_length\": 2, \"hash_ids\": {ids:?}}}"
        )
    };
    fs::write(&path, lines.map(line).join("\n")).expect("a file");
    let file = format!("mooncake:{}", path.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    let output = command.args(["workload", "inspect", &file]).output().expect("the binary runs");
    let shown = words(&output.stdout);
    let told = shown.split("of prompt tokens (").nth(1).expect("a share of blocks");
    let computed: u64 = told.split(')').next().expect("a number").parse().expect("a number");
    assert_eq!(computed, 3 * 512);
    for target in ["local:dummy-pico", "sim:null"] {
        let bench = Bench::new();
        let asked = ["--target", target, "--workload", &file, "--kv-reuse", "--concurrency", "1"];
        let tokenizer = ["--tokenizer", &bench.tokenizer];
        let more = if target == "sim:null" { &tokenizer[..] } else { &[] };
        is_ok(&bench.play(&[&asked[..], &["--requests", "5"], more].concat()));
        let names = ["prompt_tokens", "kv_reused_blocks", "kv_total_blocks", "kv_missed_blocks"];
        let rows = bench.rows("requests.csv", &names);
        let number = |text: &String| text.parse::<u64>().expect("a number");
        // Blocks of a prompt that is looked for as a whole tell how many tokens one holds.
        let looked_for = number(&rows[0][1]) + number(&rows[0][3]);
        let block = number(&rows[0][0]).div_ceil(looked_for);
        let found: u64 = rows.iter().map(|row| number(&row[1])).sum();
        assert_eq!(found * block, computed, "{target}, blocks of {block}: {rows:?}");
    }
}

#[test]
fn a_file_is_converted_and_reads_back_with_the_same_lengths() {
    let bench = Bench::new();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
        command.args(["workload"]).args(arguments).output().expect("the binary runs")
    };
    let profile = |file: &str| {
        let output = run(&["inspect", file, "--tokenizer", &bench.tokenizer]);
        is_ok(&output);
        let shown = words(&output.stdout);
        let lengths = shown.split("\nprompts: ").nth(1).expect("lengths").to_owned();
        lengths.split("\nprefixes").next().expect("lengths").trim().to_owned()
    };
    for (from, file, to) in [
        ("sharegpt", "sharegpt.json", "jsonl"),
        ("openorca", "openorca.jsonl", "trtllm-bench"),
        ("trtllm-bench", "trtllm_bench.jsonl", "jsonl"),
        ("csv", "prompts.csv", "genai-perf"),
        ("burstgpt", "burstgpt.csv", "mooncake"),
        ("azure-llm", "azure_llm_2023.csv", "lengths"),
        ("mooncake", "mooncake.jsonl", "mooncake"),
    ] {
        let (source, out) = (fixture(from, file), bench.folder.path().join(format!("{from}.{to}")));
        let path = out.to_str().expect("text");
        let tokenizer = ["--tokenizer", &bench.tokenizer];
        let output =
            run(&[&["convert", &source, "--to", to, "--out", path], &tokenizer[..]].concat());
        is_ok(&output);
        let (before, after) = (profile(&source), profile(&format!("{to}:{path}")));
        let lengths =
            |text: &str| text.split("\narrivals").next().expect("lengths").trim().to_owned();
        assert_eq!(lengths(&before), lengths(&after), "{from} to {to}");
    }
    let trace = fixture("mooncake", "mooncake.jsonl");
    let output = run(&["convert", &trace, "--to", "jsonl", "--out", "-"]);
    let message = words(&output.stderr);
    assert!(
        output.status.code() == Some(3) && message.contains("`mooncake` or `lengths`"),
        "{message}"
    );
    let page = bench.folder.path().join("trace.html");
    is_ok(&run(&["inspect", &trace, "--html", page.to_str().expect("text")]));
    let page = fs::read_to_string(&page).expect("a page");
    assert!(page.contains("<pre>") && page.contains("blocks of 512"), "{page}");
}

#[test]
fn a_histogram_of_lengths_is_drawn_planned_and_inspected() {
    let bench = Bench::new();
    let file = fixture("histogram", "histogram.csv");
    let load = ["--concurrency", "2", "--requests", "40"];
    is_ok(&bench.simulated(&[&["--workload", &file], &load[..]].concat()));
    let planned = bench.planned();
    let is_of_a_bin =
        |(input, output): &(u32, u32)| matches!((input, output), (1..=100, 7) | (1_000..=1_999, 9));
    assert!(planned.len() == 40 && planned.iter().all(is_of_a_bin), "{planned:?}");
    let recorded = bench.rows("requests.csv", &["prompt_tokens", "output_tokens"]);
    assert_eq!(recorded.len(), 40);
    let mut command = Command::new(env!("CARGO_BIN_EXE_bareflight"));
    let shown = command.args(["workload", "inspect", &file]).output().expect("the binary runs");
    is_ok(&shown);
    assert!(words(&shown.stdout).contains("the first 1000 requests"), "{}", words(&shown.stdout));
    let ordered = bench.simulated(&["--workload", &file, "--workload-order", "file"]);
    assert!(words(&ordered.stderr).contains("--workload-order"), "{}", words(&ordered.stderr));
}
