//! `vllm bench serve`, `benchmark_serving.py` before it, and TensorRT-LLM's copy of that.

use super::asked;
use super::draft::{Draft, FileKind, Service};
use super::genai_perf::{
    batch_size, endpoint, input_mean, model, output_mean, rate, tokenizer, url,
};
use super::reader::Means::{
    Always, ItsOwn, ItsOwnSwitch, Nothing, NothingOfSwitch, Put, Same, Switch, Value,
};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[
        &["vllm", "bench", "serve"],
        &["vllm.entrypoints.cli.main", "bench", "serve"],
        &["benchmark_serving.py"],
        &["tensorrt_llm.serve.scripts.benchmark_serving"],
    ],
    service: Service::OpenAi,
    streams: true,
    flags: &[
        flag(&["--backend", "--endpoint-type"], Put(backend)),
        flag(&["--base-url"], Put(url)),
        flag(&["--host"], Put(host)),
        flag(&["--port"], Put(port)),
        flag(&["--endpoint"], Value(endpoint)),
        flag(&["--model", "-m"], Put(model)),
        flag(&["--served-model-name"], Put(served_as)),
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
        flag(&["--random-input-len", "--random-input", "--input-len"], Put(input_mean)),
        flag(&["--random-output-len", "--random-output", "--output-len"], Put(output_mean)),
        flag(&["--random-prefix-len"], Same("--prefix-tokens")),
        flag(&["--prefix-repetition-prefix-len"], Put(repeated_prefix)),
        flag(&["--prefix-repetition-suffix-len"], Put(add_to_input)),
        flag(&["--prefix-repetition-num-prefixes"], Same("--prefix-groups")),
        flag(&["--prefix-repetition-output-len"], Put(output_mean)),
        flag(&["--random-range-ratio"], Value(range)),
        flag(&["--non-streaming"], Switch(whole)),
        flag(&["--extra-body"], Value(Draft::add_extra)),
        flag(&["--header"], Put(header)),
        flag(&["--random-batch-size"], Put(batch_size)),
        flag(
            &["--min-p", "--frequency-penalty", "--presence-penalty", "--repetition-penalty"],
            Nothing("put it into `--extra-inputs`"),
        ),
        flag(&["--lora-modules"], Nothing("one model is asked: `--model`")),
        flag(
            &["--ramp-up-strategy", "--ramp-up-start-rps", "--ramp-up-end-rps"],
            Nothing("rates that change are `--stages` of an open loop"),
        ),
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
                "--ready-check-timeout-sec",
                "--request-id-prefix",
                "--timeline-itl-thresholds",
            ],
            ItsOwn,
        ),
        flag(
            &[
                "--append-result",
                "--trust-remote-code",
                "--disable-tqdm",
                "--no-stream",
                "--no-oversample",
                "--disable-shuffle",
                "--skip-chat-template",
                "--random-ids",
                "--tokenize-on-client",
                "--no-test-input",
            ],
            ItsOwnSwitch,
        ),
        flag(&["--plot-timeline", "--plot-dataset-stats"], Switch(asked::plots)),
        flag(
            &["--profile"],
            NothingOfSwitch("start the server under a profiler: `--launch … --profile nsys`"),
        ),
        flag(&["--insecure"], Switch(insecure)),
        flag(&["--save-result", "--save-detailed"], Switch(save)),
        flag(
            &["--logprobs", "--best-of", "--use-beam-search"],
            Nothing("put it into `--extra-inputs`"),
        ),
    ],
    finish,
};

/// Prompts of 1 024 tokens and outputs of 128 where no file is named (256 where one of its own shape is), a thousand requests, all
/// at once.
fn finish(draft: &mut Draft) {
    draft.endpoint.get_or_insert_with(|| "completions".into());
    if draft.file_kind == FileKind::NoFile {
        draft.file = None;
    }
    if draft.file.is_none() {
        draft.input.mean.get_or_insert_with(|| "1024".into());
        draft.output.mean.get_or_insert_with(|| "128".into());
    }
    if draft.file_kind == FileKind::Of("jsonl") {
        draft.output.mean.get_or_insert_with(|| "256".into());
    }
    if let Some((input, output)) = draft.ratios.take() {
        spread(draft, input, output);
    }
    all_at_once(draft);
}

/// Since version 0.9 the ratio is how far lengths may lie from their mean. Before, it was that of the shortest to the longest, and 1
/// was its default, which has no other meaning.
fn spread(draft: &mut Draft, input: f64, output: f64) {
    let mut before = (draft.input.clone(), draft.output.clone());
    for (length, before, ratio) in
        [(&mut draft.input, &mut before.0, input), (&mut draft.output, &mut before.1, output)]
    {
        if ratio < 1.0 {
            length.spread(1.0 - ratio, 1.0 + ratio);
            before.spread(ratio, 1.0);
        }
    }
    let is_open = |ratio: f64| ratio > 0.0 && ratio < 1.0;
    if (is_open(input) || is_open(output))
        && let (Some(input), Some(output)) = (before.0.limits(), before.1.limits())
    {
        draft.tell(&format!(
            "--random-range-ratio is read as vLLM 0.9 and later read it: up to that share below and above the mean; what versions \
             before 0.9 made of it is `--scenario 'U{input}/{output}'`"
        ));
    }
}

/// The name under which a server has a model, wherever it stands beside the model's own.
pub fn served_as(draft: &mut Draft, value: &str) {
    draft.served_as = Some(value.to_owned());
}

/// A thousand requests, which are sent at once where neither a rate nor a limit is given.
pub fn all_at_once(draft: &mut Draft) {
    if !draft.has("--requests") {
        draft.add("--requests", "1000");
    }
    draft.at_once = true;
}

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

pub fn host(draft: &mut Draft, value: &str) {
    draft.host = Some(value.to_owned());
}

pub fn port(draft: &mut Draft, value: &str) {
    draft.port = Some(value.to_owned());
}

/// Tokens that a group of prompts shares, before what each has of its own.
pub fn repeated_prefix(draft: &mut Draft, value: &str) {
    draft.add("--prefix-tokens", value);
    add_to_input(draft, value);
}

/// Prefix and suffix together are a prompt.
pub fn add_to_input(draft: &mut Draft, value: &str) {
    draft.input.add(value);
}

/// The whole answer at once.
pub fn whole(draft: &mut Draft) {
    draft.streaming = false;
}

fn insecure(draft: &mut Draft) {
    draft.add("--insecure", "");
}

/// `NAME=VALUE`.
fn header(draft: &mut Draft, value: &str) {
    asked::header(draft, &value.replacen('=', ": ", 1));
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

/// Of prompts and outputs, or of each in a JSON object.
fn range(draft: &mut Draft, value: &str) -> Result<(), String> {
    #[derive(serde::Deserialize)]
    struct Both {
        input: f64,
        output: f64,
    }
    let one = value.parse().map(|ratio| (ratio, ratio));
    let both = || serde_json::from_str::<Both>(value).map(|it| (it.input, it.output));
    let ratios = one.or_else(|_| both()).map_err(|_| "a number is expected")?;
    draft.ratios = Some(ratios);
    Ok(())
}

/// `inf`, the default, sends everything at once.
pub fn rate_or_batch(draft: &mut Draft, value: &str) {
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
pub fn cap(draft: &mut Draft, value: &str) {
    draft.concurrencies = vec![value.to_owned()];
    draft.cap = Some(value.to_owned());
}
