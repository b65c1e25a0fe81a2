//! `python -m sglang.bench_serving`.

use super::asked;
use super::draft::{Draft, FileKind, Service};
use super::genai_perf::{input_mean, model, output_mean, tokenizer, url};
use super::reader::Means::{
    ItsOwn, ItsOwnSwitch, Nothing, NothingOfSwitch, Put, Same, Switch, Value,
};
use super::reader::{Dialect, flag};
use super::vllm_bench::{
    add_to_input, all_at_once, cap, host, port, rate_or_batch, repeated_prefix, served_as, whole,
};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["sglang.bench_serving"], &["bench_serving.py"]],
    service: Service::OpenAi,
    streams: true,
    flags: &[
        flag(&["--backend"], Value(backend)),
        flag(&["--base-url"], Put(url)),
        flag(&["--host"], Put(host)),
        flag(&["--port"], Put(port)),
        flag(&["--model"], Put(model)),
        flag(&["--served-model-name"], Put(served_as)),
        flag(&["--tokenizer"], Put(tokenizer)),
        flag(&["--dataset-name"], Put(dataset)),
        flag(&["--dataset-path"], Put(asked::path)),
        flag(&["--num-prompts"], Same("--requests")),
        flag(&["--warmup-requests"], Same("--warmup")),
        flag(&["--sharegpt-output-len"], Put(output_mean)),
        flag(
            &["--sharegpt-context-len"],
            Nothing("prompts beyond the target's own limit are told before any load"),
        ),
        flag(&["--random-input-len", "--random-input"], Put(input_mean)),
        flag(&["--random-output-len", "--random-output"], Put(output_mean)),
        flag(&["--random-range-ratio"], Value(ratio)),
        flag(&["--gsp-num-groups"], Same("--prefix-groups")),
        flag(&["--gsp-system-prompt-len"], Put(repeated_prefix)),
        flag(&["--gsp-question-len"], Put(add_to_input)),
        flag(&["--gsp-output-len"], Put(output_mean)),
        flag(
            &["--gsp-prompts-per-group", "--gsp-range-ratio", "--gsp-num-turns"],
            Nothing(
                "requests are counted together (`--requests`), and a prompt is a prefix and one question",
            ),
        ),
        flag(&["--gsp-fast-prepare", "--gsp-ordered", "--gsp-send-routing-key"], ItsOwnSwitch),
        flag(
            &["--image-count", "--image-resolution", "--image-format", "--image-content"],
            Nothing("images come from a file: `--workload csv:FILE --image-column NAME`"),
        ),
        flag(&["--request-rate"], Put(rate_or_batch)),
        flag(&["--max-concurrency"], Put(cap)),
        flag(&["--mooncake-slowdown-factor"], Value(slowdown)),
        flag(&["--mooncake-workload"], ItsOwn),
        flag(
            &["--mooncake-num-rounds"],
            Nothing("conversations come from a file: `--workload conversation:FILE --sessions N`"),
        ),
        // Its documentation has a value behind it.
        flag(&["--use-trace-timestamps"], ItsOwn),
        flag(&["--seed"], Same("--seed")),
        flag(&["--extra-request-body"], Value(Draft::add_extra)),
        flag(&["--disable-stream"], Switch(whole)),
        flag(&["--disable-ignore-eos"], Switch(stop_at_eos)),
        flag(&["--tokenize-prompt"], Switch(ids)),
        flag(&["--flush-cache"], Switch(flush)),
        flag(&["--plot-throughput"], Switch(asked::plots)),
        flag(
            &["--apply-chat-template"],
            NothingOfSwitch("the server applies it, at `--endpoint chat`"),
        ),
        flag(
            &["--profile", "--profile-by-stage"],
            NothingOfSwitch("start the server under a profiler: `--launch … --profile nsys`"),
        ),
        flag(
            &[
                "--profile-activities",
                "--profile-num-steps",
                "--profile-stages",
                "--profile-output-dir",
                "--profile-prefix",
                "--profile-prefill-url",
                "--profile-decode-url",
            ],
            Nothing("start the server under a profiler: `--launch … --profile nsys`"),
        ),
        flag(
            &["--lora-name", "--lora-request-distribution", "--lora-zipf-alpha"],
            Nothing("one model is asked: `--model`"),
        ),
        flag(
            &["--prompt-suffix"],
            Nothing("prompts are as long as `--scenario` says, and nothing follows them"),
        ),
        flag(&["--return-logprob"], NothingOfSwitch("put it into `--extra-inputs`")),
        flag(&["--return-routed-experts"], NothingOfSwitch("put it into `--extra-inputs`")),
        flag(&["--output-file", "--tag"], ItsOwn),
        flag(
            &[
                "--output-details",
                "--print-requests",
                "--disable-tqdm",
                "--pd-separated",
                "--trust-remote-code",
            ],
            ItsOwnSwitch,
        ),
    ],
    finish,
};

fn backend(draft: &mut Draft, value: &str) -> Result<(), String> {
    let endpoint = match value {
        "sglang" | "sglang-native" => return Ok(()),
        "sglang-oai" | "vllm" | "lmdeploy" => "completions",
        "sglang-oai-chat" | "vllm-chat" | "lmdeploy-chat" => "chat",
        "sglang-embedding" | "vllm-embedding" => "embeddings",
        "trt" => {
            draft.service = Service::Triton;
            return Ok(());
        }
        _ => return Err("there is no target that speaks it".into()),
    };
    draft.endpoint = Some(endpoint.to_owned());
    if !value.starts_with("sglang") {
        draft.port.get_or_insert_with(|| {
            if value.starts_with("lmdeploy") { "23333" } else { "8000" }.into()
        });
    }
    Ok(())
}

fn dataset(draft: &mut Draft, value: &str) {
    draft.file_kind = match value {
        "random" | "random-ids" | "generated-shared-prefix" => FileKind::NoFile,
        "sharegpt" => FileKind::Of("sharegpt"),
        "custom" => FileKind::Of("sharegpt"),
        "mooncake" => {
            draft.add("--replay", "");
            FileKind::Of("mooncake")
        }
        other => {
            let remedy = "docs/workloads.md lists the shapes that are read";
            draft.leave_out(&format!("--dataset-name {other}"), remedy);
            FileKind::NoFile
        }
    };
}

/// The share of a length that the shortest has; the longest has all of it.
fn ratio(draft: &mut Draft, value: &str) -> Result<(), String> {
    let ratio = value.parse().map_err(|_| "a number is expected")?;
    draft.ratios = Some((ratio, ratio));
    Ok(())
}

fn slowdown(draft: &mut Draft, value: &str) -> Result<(), String> {
    let factor: f64 = value.parse().map_err(|_| "a number is expected")?;
    if !(factor > 0.0 && factor.is_finite()) {
        return Err("a number above 0 is expected".to_owned());
    }
    if (factor - 1.0).abs() > f64::EPSILON {
        draft.add("--time-scale", (1.0 / factor).to_string());
    }
    Ok(())
}

fn stop_at_eos(draft: &mut Draft) {
    draft.add("--stop-at-eos", "");
}

fn ids(draft: &mut Draft) {
    draft.add("--prompts", "ids");
}

fn flush(draft: &mut Draft) {
    draft.add("--between", "sglang-flush");
}

/// SGLang's own protocol at its own port, ShareGPT's prompts, a thousand requests at once. Random lengths go up to what is asked
/// for, from 1 where no ratio is given.
fn finish(draft: &mut Draft) {
    if draft.service == Service::OpenAi && draft.endpoint.is_none() {
        draft.endpoint = Some("completions".into());
        draft.leave_out("SGLang's own `/generate`", "its `/v1/completions` is asked");
    }
    draft.port.get_or_insert_with(|| "30000".into());
    if draft.service == Service::Triton {
        draft.model = Some("ensemble".into());
        let address = draft.url.clone().unwrap_or_else(|| draft.address());
        let http = address.trim_start_matches("http://").to_owned();
        draft.url = Some(format!("http://{http}"));
    }
    match (&draft.file_kind, &draft.file) {
        (FileKind::NoFile, _) => {
            draft.file = None;
            let shared = draft.has("--prefix-tokens");
            draft.input.mean.get_or_insert_with(|| "1024".into());
            draft.output.mean.get_or_insert_with(|| if shared { "256" } else { "1024" }.into());
            let (ratio, _) =
                draft.ratios.take().unwrap_or(if shared { (1.0, 1.0) } else { (0.0, 0.0) });
            draft.input.spread(ratio, 1.0);
            draft.output.spread(ratio, 1.0);
        }
        (FileKind::Unsaid, Some(_)) => draft.file_kind = FileKind::Of("sharegpt"),
        (FileKind::Unsaid | FileKind::Of(_), None) => draft.leave_out(
            "the prompts of ShareGPT",
            "nothing is downloaded here: `--workload sharegpt:FILE` reads a copy",
        ),
        (FileKind::Of(_), Some(_)) => {}
    }
    if !draft.has("--replay") {
        all_at_once(draft);
    }
}
