//! `genai-bench benchmark`.

use super::aiperf::api_key;
use super::draft::{Draft, Service};
use super::genai_perf::{concurrency, model, tokenizer, url};
use super::reader::Means::{ItsOwn, Nothing, NothingOfSwitch, Put, Same, Value};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["genai-bench", "benchmark"]],
    service: Service::OpenAi,
    streams: true,
    flags: &[
        flag(&["--api-backend"], Put(backend)),
        flag(&["--api-base"], Put(url)),
        flag(&["--api-key", "--model-api-key"], Put(api_key)),
        flag(&["--api-model-name"], Put(model)),
        flag(&["--model"], ItsOwn),
        flag(&["--model-tokenizer"], Put(tokenizer)),
        flag(&["--task"], Value(task)),
        flag(&["--traffic-scenario"], Put(scenario)),
        flag(&["--num-concurrency"], Put(concurrency)),
        flag(&["--iteration-type"], ItsOwn),
        flag(&["--batch-size"], Nothing("requests have one input")),
        flag(&["--max-time-per-run"], Put(minutes)),
        flag(&["--max-requests-per-run"], Same("--requests")),
        flag(&["--prefix-len"], Same("--prefix-tokens")),
        flag(&["--prefix-ratio"], Nothing("say how many tokens: `--prefix-tokens N`")),
        flag(&["--additional-request-params"], Value(Draft::add_extra)),
        flag(
            &[
                "--dataset-path",
                "--dataset-config",
                "--dataset-prompt-column",
                "--dataset-image-column",
            ],
            Nothing("prompts are synthetic, of the lengths of `--scenario`"),
        ),
        flag(&["--spawn-rate"], Value(spawn_rate)),
        flag(
            &["--num-workers", "--master-port"],
            Nothing("one process sends all, on `--client-threads N`"),
        ),
        flag(&["--experiment-base-dir"], Same("--out")),
        flag(
            &[
                "--experiment-folder-name",
                "--log-dir",
                "--metrics-time-unit",
                "--metrics-refresh-interval",
            ],
            ItsOwn,
        ),
        flag(
            &["--server-engine", "--server-version", "--server-gpu-type", "--server-gpu-count"],
            Nothing("note it beside the run: the folder keeps what the server says of itself"),
        ),
        flag(
            &["--warmup-ratio", "--cooldown-ratio"],
            Nothing("ramp and tail are sent beside what is measured, and are not counted"),
        ),
        flag(&["--upload-results"], NothingOfSwitch("copy the run's folder")),
    ],
};

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
        "text-to-text" => Some("chat".to_owned()),
        "text-to-embeddings" => Some("embeddings".to_owned()),
        other => return Err(format!("there is no task `{other}` here")),
    };
    Ok(())
}

fn scenario(draft: &mut Draft, value: &str) {
    draft.scenarios.push(value.to_owned());
}

fn minutes(draft: &mut Draft, value: &str) {
    draft.add("--duration", format!("{value}m"));
}

/// Users per second.
fn spawn_rate(draft: &mut Draft, value: &str) -> Result<(), String> {
    let rate: f64 = value.parse().map_err(|_| "a number is expected")?;
    let most = draft.concurrencies.iter().filter_map(|it| it.parse::<f64>().ok());
    let most = most.fold(1.0, f64::max);
    draft.add("--ramp", format!("{}s", most / rate));
    Ok(())
}
