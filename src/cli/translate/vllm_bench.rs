//! `vllm bench serve`, and `benchmark_serving.py` before it.

use super::asked;
use super::draft::{Draft, FileKind, Service};
use super::genai_perf::{endpoint, input_mean, model, output_mean, rate, tokenizer, url};
use super::reader::Means::{Always, ItsOwn, ItsOwnSwitch, Nothing, Put, Same, Switch, Value};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["vllm", "bench", "serve"], &["benchmark_serving.py"]],
    service: Service::OpenAi,
    streams: true,
    flags: &[
        flag(&["--backend", "--endpoint-type"], Put(backend)),
        flag(&["--base-url"], Put(url)),
        flag(&["--host"], Put(host)),
        flag(&["--port"], Put(port)),
        flag(&["--endpoint"], Value(endpoint)),
        flag(&["--model", "-m", "--served-model-name"], Put(model)),
        flag(&["--tokenizer"], Put(tokenizer)),
        flag(&["--dataset-name"], Put(dataset)),
        flag(
            &[
                "--sonnet-input-len",
                "--sonnet-output-len",
                "--sonnet-prefix-len",
                "--hf-split",
                "--hf-subset",
            ],
            Nothing("files that lie here are read: `--workload KIND:FILE`"),
        ),
        flag(&["--dataset-path"], Put(dataset_path)),
        flag(&["--sharegpt-output-len", "--custom-output-len"], Put(output_mean)),
        flag(&["--num-prompts"], Same("--requests")),
        flag(&["--num-warmups"], Same("--warmup")),
        flag(&["--random-input-len", "--input-len"], Put(input_mean)),
        flag(&["--random-output-len", "--output-len"], Put(output_mean)),
        flag(&["--random-prefix-len"], Same("--prefix-tokens")),
        flag(&["--prefix-repetition-prefix-len"], Put(repeated_prefix)),
        flag(&["--prefix-repetition-suffix-len"], Put(add_to_input)),
        flag(&["--prefix-repetition-num-prefixes"], Same("--prefix-groups")),
        flag(&["--prefix-repetition-output-len"], Put(output_mean)),
        flag(&["--random-range-ratio"], Value(range)),
        flag(&["--request-rate"], Put(rate_or_batch)),
        flag(&["--burstiness"], Put(burstiness)),
        flag(&["--max-concurrency"], Put(cap)),
        flag(&["--seed"], Same("--seed")),
        flag(&["--ignore-eos"], Always),
        flag(&["--temperature"], Same("--temperature")),
        flag(&["--top-p"], Same("--top-p")),
        flag(&["--top-k"], Same("--top-k")),
        flag(&["--goodput"], Value(asked::goodput)),
        flag(&["--result-dir"], Same("--out")),
        flag(
            &[
                "--result-filename",
                "--metadata",
                "--percentile-metrics",
                "--metric-percentiles",
                "--label",
                "--tokenizer-mode",
            ],
            ItsOwn,
        ),
        flag(&["--append-result", "--trust-remote-code", "--disable-tqdm"], ItsOwnSwitch),
        flag(&["--save-result", "--save-detailed"], Switch(save)),
        flag(
            &["--logprobs", "--best-of", "--use-beam-search"],
            Nothing("put it into `--extra-inputs`"),
        ),
    ],
};

fn backend(draft: &mut Draft, value: &str) {
    draft.endpoint = Some(match value {
        "openai-chat" => "chat".to_owned(),
        "openai-embeddings" => "embeddings".to_owned(),
        "openai" | "vllm" | "sglang" | "sglang-oai" | "lmdeploy" | "llama.cpp" => {
            "completions".to_owned()
        }
        other => {
            draft.leave_out(&format!("--backend {other}"), "name the server's OpenAI endpoint");
            return;
        }
    });
}

fn host(draft: &mut Draft, value: &str) {
    draft.host = Some(value.to_owned());
}

fn port(draft: &mut Draft, value: &str) {
    draft.port = Some(value.to_owned());
}

/// Tokens that a group of prompts shares, before what each has of its own.
fn repeated_prefix(draft: &mut Draft, value: &str) {
    draft.add("--prefix-tokens", value);
    add_to_input(draft, value);
}

/// Prefix and suffix together are a prompt.
fn add_to_input(draft: &mut Draft, value: &str) {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let before = draft.input.mean.as_deref().map_or(0, number);
    draft.input.mean = Some((before + number(value)).to_string());
}

fn dataset(draft: &mut Draft, value: &str) {
    draft.file_kind = match value {
        "random" | "prefix_repetition" => FileKind::NoFile,
        "sharegpt" => FileKind::Of("sharegpt"),
        "burstgpt" => FileKind::Of("burstgpt"),
        "custom" => FileKind::Of("jsonl"),
        other => {
            let remedy = "docs/workloads.md lists the shapes that are read";
            draft.leave_out(&format!("--dataset-name {other}"), remedy);
            FileKind::NoFile
        }
    };
}

/// ShareGPT's, where no other shape is said.
fn dataset_path(draft: &mut Draft, value: &str) {
    if draft.file_kind == FileKind::Unsaid {
        draft.file_kind = FileKind::Of("sharegpt");
    }
    asked::path(draft, value);
}

fn save(draft: &mut Draft) {
    draft.add("--export", "benchmark-serving");
}

/// Uniform lengths from (1 − r) to (1 + r) times the one that was given.
fn range(draft: &mut Draft, value: &str) -> Result<(), String> {
    let ratio: f64 = value.parse().map_err(|_| "a number is expected")?;
    if ratio != 0.0 {
        let what = format!("--random-range-ratio {value}");
        draft.leave_out(&what, "write the bounds: `--scenario 'U(MIN,MAX)/(MIN,MAX)'`");
    }
    Ok(())
}

/// `inf`, the default, sends everything at once.
fn rate_or_batch(draft: &mut Draft, value: &str) {
    if value != "inf" {
        rate(draft, value);
    }
}

/// It counts by the inverse of the squared coefficient of variation, as ours does; 1 is Poisson.
fn burstiness(draft: &mut Draft, value: &str) {
    if value.parse::<f64>().is_ok_and(|it| it.to_bits() == 1.0_f64.to_bits()) {
        return;
    }
    draft.add("--arrivals", "gamma");
    draft.add("--burstiness", value);
}

/// A closed loop where no rate is given, else a limit.
fn cap(draft: &mut Draft, value: &str) {
    draft.concurrencies = vec![value.to_owned()];
    draft.cap = Some(value.to_owned());
}
