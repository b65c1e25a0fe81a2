//! `genai-bench benchmark`.

use std::ffi::OsStr;
use std::path::Path;

use super::asked;
use super::draft::{Draft, FileKind, Service};
use super::genai_perf::{batch_size, concurrency, model, rate, tokenizer, url};
use super::reader::Means::{ItsOwn, Nothing, NothingOfSwitch, Put, Same, Value};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["genai-bench", "benchmark"]],
    service: Service::OpenAi,
    streams: true,
    flags: &[
        flag(&["--api-backend"], Put(backend)),
        flag(&["--api-base"], Put(url)),
        flag(&["--api-key", "--model-api-key"], Put(asked::api_key)),
        flag(&["--api-model-name"], Put(model)),
        flag(&["--model"], ItsOwn),
        flag(&["--model-tokenizer"], Put(tokenizer)),
        flag(&["--task"], Value(task)),
        flag(&["--traffic-scenario"], Put(scenario)),
        flag(&["--num-concurrency"], Put(concurrency)),
        flag(&["--iteration-type", "--execution-engine", "--config-file"], ItsOwn),
        flag(&["--qps-level"], Put(rate)),
        flag(&["--distribution"], Put(distribution)),
        flag(&["--batch-size"], Put(batch_size)),
        flag(&["--max-time-per-run"], Put(minutes)),
        flag(&["--max-requests-per-run"], Same("--requests")),
        flag(&["--prefix-len"], Same("--prefix-tokens")),
        flag(&["--prefix-ratio"], Nothing("say how many tokens: `--prefix-tokens N`")),
        flag(&["--additional-request-params"], Value(Draft::add_extra)),
        flag(&["--dataset-path"], Put(dataset)),
        flag(&["--dataset-prompt-column"], Same("--prompt-column")),
        flag(&["--dataset-image-column"], Same("--image-column")),
        flag(&["--dataset-config"], Put(dataset_config)),
        flag(&["--spawn-rate"], Same("--spawn-rate")),
        flag(&["--num-workers"], Value(workers)),
        flag(&["--master-port"], ItsOwn),
        flag(&["--experiment-base-dir"], Same("--out")),
        flag(&["--experiment-folder-name", "--log-dir", "--metrics-refresh-interval"], ItsOwn),
        flag(&["--server-engine"], Same("--server-engine")),
        flag(&["--server-version"], Same("--server-version")),
        flag(&["--server-gpu-type"], Same("--server-gpu-type")),
        flag(&["--server-gpu-count"], Same("--server-gpu-count")),
        flag(&["--metrics-time-unit", "--time-unit"], Same("--time-unit")),
        flag(
            &["--warmup-ratio", "--cooldown-ratio"],
            Nothing("ramp and tail are sent beside what is measured, and are not counted"),
        ),
        flag(
            &["--upload-results"],
            NothingOfSwitch(
                "name the place: `--upload s3://BUCKET/PREFIX` (or `gs://`, `az://`, `oci://`)",
            ),
        ),
        flag(
            &["--storage-provider", "--storage-bucket", "--storage-prefix", "--storage-auth-type"],
            Nothing(
                "the address of `--upload` says it; credentials are found as the cloud's own tools find them",
            ),
        ),
    ],
    finish,
};

/// What it runs where nothing is said: nine concurrencies of five scenarios, or batches of each kind of document.
fn finish(draft: &mut Draft) {
    const CHAT: [&str; 5] =
        ["N(480,240)/(300,150)", "D(100,100)", "D(100,1000)", "D(2000,200)", "D(7800,200)"];
    const EMBEDDINGS: [&str; 5] = ["E(64)", "E(128)", "E(256)", "E(512)", "E(1024)"];
    const RERANK: [&str; 7] = [
        "R(64,100)",
        "R(128,100)",
        "R(256,100)",
        "R(512,100)",
        "R(1024,100)",
        "R(2048,100)",
        "R(4096,100)",
    ];
    let (scenarios, in_batches) = match draft.endpoint.as_deref() {
        Some("embeddings") => (&EMBEDDINGS[..], true),
        Some("rerank") => (&RERANK[..], true),
        _ => (&CHAT[..], false),
    };
    if draft.scenarios.is_empty() && draft.file.is_none() {
        draft.scenarios = scenarios.iter().map(|it| (*it).to_owned()).collect();
    }
    if in_batches && draft.batch_sizes.is_empty() {
        draft.batch_sizes.push("1,2,4,8,24,48,96".to_owned());
    }
    if draft.concurrencies.is_empty() && draft.rates.is_empty() {
        let usual = if in_batches { "1" } else { "1,2,4,8,16,32,64,128,256" };
        draft.concurrencies.push(usual.to_owned());
    }
}

fn backend(draft: &mut Draft, value: &str) {
    const OPENAI: [&str; 4] = ["openai", "sglang", "vllm", "baseten"];
    if OPENAI.contains(&value) {
        return;
    }
    draft.leave_out(
        &format!("--api-backend {value}"),
        "only OpenAI's protocol is spoken: name such an endpoint",
    );
}

fn task(draft: &mut Draft, value: &str) -> Result<(), String> {
    draft.endpoint = match value {
        "text-to-text" | "image-text-to-text" => Some("chat".to_owned()),
        "text-to-rerank" => Some("rerank".to_owned()),
        "text-to-embeddings" => Some("embeddings".to_owned()),
        other => return Err(format!("there is no task `{other}` here")),
    };
    Ok(())
}

fn scenario(draft: &mut Draft, value: &str) {
    // Prompts as a dataset has them.
    if value != "dataset" {
        draft.scenarios.push(value.to_owned());
    }
}

/// How requests of an open loop are spaced.
fn distribution(draft: &mut Draft, value: &str) {
    match value {
        "exponential" => draft.add("--arrivals", "poisson"),
        "constant" => draft.add("--arrivals", "constant"),
        _ => draft.leave_out(
            &format!("--distribution {value}"),
            "`--arrivals gamma --burstiness 3` varies as much",
        ),
    }
}

/// A file, whose name says its shape.
fn dataset(draft: &mut Draft, value: &str) {
    let shape = Path::new(value).extension().and_then(OsStr::to_str);
    draft.file_kind = match shape {
        Some("csv") => FileKind::Of("csv"),
        Some("json") => FileKind::Of("json"),
        Some("jsonl") => FileKind::Of("jsonl"),
        Some("txt") => FileKind::Of("text"),
        _ => FileKind::Unsaid,
    };
    asked::path(draft, value);
}

/// A configuration, which names the file and its columns.
fn dataset_config(draft: &mut Draft, value: &str) {
    draft.file_kind = FileKind::Of("genai-bench");
    asked::path(draft, value);
}

/// Locust's first process sends nothing; with no worker it sends all.
fn workers(draft: &mut Draft, value: &str) -> Result<(), String> {
    match value.parse() {
        Ok(0) => {}
        Ok(1..=u32::MAX) => draft.add("--workers", value.to_owned()),
        Err(_) => return Err(format!("`{value}` is no number of workers")),
    }
    Ok(())
}

fn minutes(draft: &mut Draft, value: &str) {
    draft.add("--duration", format!("{value}m"));
}
