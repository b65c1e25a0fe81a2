//! `guidellm benchmark`, and `guidellm run` as it is called since 0.7, whose options are `kind=…,key=value,…` or JSON.

use std::ffi::OsStr;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::aiperf::seconds;
use super::asked;
use super::draft::{Draft, FileKind, Service};
use super::genai_perf::{endpoint_type, model, rate, tokenizer, url};
use super::lengths::Length;
use super::reader::Means::{
    ItsOwn, ItsOwnSwitch, Nothing, NothingOfSwitch, Put, Same, Switch, Value,
};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[
        &["guidellm", "benchmark", "run"],
        &["guidellm", "benchmark"],
        &["guidellm", "run"],
    ],
    service: Service::OpenAi,
    streams: true,
    flags: &[
        flag(&["--target"], Put(url)),
        flag(&["--model"], Put(model)),
        flag(&["--backend", "--backend-type"], Value(backend)),
        flag(&["--backend-kwargs", "--backend-args"], Value(backend)),
        flag(&["--profile", "--rate-type"], Value(profile)),
        flag(&["--rate"], Put(rate)),
        flag(&["--data"], Value(data)),
        flag(&["--data-column-mapper"], Value(columns)),
        flag(&["--request-type"], Value(request_type)),
        flag(&["run-embeddings"], Switch(embeddings)),
        flag(&["--processor", "--tokenizer"], Value(processor)),
        flag(&["--max-seconds"], Put(seconds)),
        flag(&["--max-requests"], Same("--requests")),
        flag(&["--constraint"], Value(constraint)),
        flag(&["--rampup"], Put(ramp)),
        flag(&["--random-seed", "--seed"], Value(seed)),
        flag(&["--output-dir"], Same("--out")),
        flag(
            &["--warmup", "--warmup-percent", "--cooldown", "--cooldown-percent"],
            Nothing("ramp and tail are sent beside what is measured, and are not counted"),
        ),
        flag(
            &["--max-errors", "--max-error-rate", "--max-global-error-rate"],
            Nothing("a run of which more than 1 % fail is invalid, and ends as planned"),
        ),
        flag(
            &["--over-saturation", "--per-constraints", "--override"],
            Nothing("list the loads: `--concurrency 10,20` or `--rate 5,10`"),
        ),
        flag(
            &["--detect-saturation", "--default-over-saturation"],
            NothingOfSwitch("a rate that the target does not follow is told by itself"),
        ),
        flag(
            &["--images-per-request"],
            Nothing("images come from a file: `--workload csv:FILE --image-column NAME`"),
        ),
        flag(&["--scenario", "--config", "-c"], Nothing("write what it says as flags")),
        flag(
            &["--request-formatter-kwargs"],
            Nothing("members of every request are `--extra-inputs`"),
        ),
        flag(
            &[
                "--processor-args",
                "--data-args",
                "--data-samples",
                "--data-sampler",
                "--data-num-workers",
                "--data-loader",
                "--dataloader-kwargs",
                "--data-preprocessor",
                "--data-preprocessors",
                "--data-finalizer",
                "--outputs",
                "--output",
                "--output-path",
                "--output-extras",
                "--sample-requests",
                "--output-sampling",
            ],
            ItsOwn,
        ),
        flag(
            &[
                "--disable-console",
                "--disable-console-outputs",
                "--disable-console-interactive",
                "--disable-progress",
                "--display-scheduler-stats",
            ],
            ItsOwnSwitch,
        ),
    ],
    finish,
};

/// `NAME=VALUE,…` or a JSON object.
fn members(text: &str) -> Result<Map<String, Json>, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').ok_or("NAME=VALUE,… is expected")?;
        Ok((name.trim().to_owned(), Json::from(value.trim())))
    };
    text.split(',').map(pair).collect()
}

/// A value as it would be typed; a list with commas.
fn typed(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(values) => values.iter().map(typed).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// The members of an option with a `kind`, or a plain word, which is the kind.
fn of_kind(text: &str) -> Result<(String, Map<String, Json>), String> {
    let is_plain = !text.contains(['=', '{']);
    let mut members = if is_plain { Map::new() } else { members(text)? };
    let kind = members.remove("kind").map_or_else(String::new, |kind| typed(&kind));
    Ok((if is_plain { text.to_owned() } else { kind }, members))
}

fn leave_out_rest(draft: &mut Draft, flag: &str, rest: &Map<String, Json>) {
    for (name, value) in rest {
        draft.leave_out(&format!("{flag} {name}={}", typed(value)), "it is not known here");
    }
}

fn backend(draft: &mut Draft, value: &str) -> Result<(), String> {
    let (kind, mut rest) = of_kind(value)?;
    if kind.starts_with("vllm") {
        draft.leave_out(
            &format!("--backend {kind}"),
            "vLLM in this process is `--target vllm:MODEL`",
        );
    }
    for (name, value) in std::mem::take(&mut rest) {
        match name.as_str() {
            "target" => url(draft, &typed(&value)),
            "model" => model(draft, &typed(&value)),
            "api_key" => asked::api_key(draft, ""),
            "timeout" => draft.add("--timeout", format!("{}s", typed(&value))),
            "verify" if value == false || value == "false" => draft.add("--insecure", ""),
            "verify" => {}
            "request_format" | "request_type" => request_type(draft, &typed(&value))?,
            "stream" => draft.streaming = value != false && value != "false",
            _ => drop(rest.insert(name, value)),
        }
    }
    leave_out_rest(draft, "--backend", &rest);
    Ok(())
}

/// What the numbers of `--rate` mean.
fn profile(draft: &mut Draft, value: &str) -> Result<(), String> {
    let (kind, mut rest) = of_kind(value)?;
    for (name, value) in std::mem::take(&mut rest) {
        match name.as_str() {
            "rate" | "streams" | "sweep_size" => draft.rates.push(typed(&value)),
            "max_concurrency" if kind == "throughput" => draft.rates.push(typed(&value)),
            "max_concurrency" => draft.cap = Some(typed(&value)),
            "rampup_duration" => ramp(draft, &typed(&value)),
            "time_scale" => draft.add("--time-scale", (1.0 / number(&typed(&value))?).to_string()),
            _ => drop(rest.insert(name, value)),
        }
    }
    leave_out_rest(draft, "--profile", &rest);
    draft.profile = Some(kind);
    Ok(())
}

/// Lengths, a file, or a name on a hub.
fn data(draft: &mut Draft, value: &str) -> Result<(), String> {
    if !value.contains('=') && !value.trim_start().starts_with('{') {
        file(draft, value);
        return Ok(());
    }
    let (kind, mut rest) = of_kind(value)?;
    let mut bounds = [(None, None), (None, None)];
    for (name, value) in std::mem::take(&mut rest) {
        let text = typed(&value);
        match name.as_str() {
            "prompt_tokens" => draft.input.add(&text),
            "prompt_tokens_stdev" => draft.input.stddev = Some(text),
            "prompt_tokens_min" => bounds[0].0 = Some(text),
            "prompt_tokens_max" => bounds[0].1 = Some(text),
            "output_tokens" => draft.output.mean = Some(text),
            "output_tokens_stdev" => draft.output.stddev = Some(text),
            "output_tokens_min" => bounds[1].0 = Some(text),
            "output_tokens_max" => bounds[1].1 = Some(text),
            "prefix_tokens" => {
                draft.input.add(&text);
                draft.add("--prefix-tokens", text);
            }
            "prefix_count" => draft.add("--prefix-groups", text),
            "path" if matches!(kind.as_str(), "trace_synthetic" | "mooncake") => {
                draft.file_kind = FileKind::Of("mooncake");
                asked::path(draft, &text);
            }
            "path" => file(draft, &text),
            "source" if kind.starts_with("synthetic") || kind.is_empty() => {}
            "source" => file(draft, &text),
            "samples" => {}
            _ => drop(rest.insert(name, value)),
        }
    }
    let [input, output] = bounds;
    bound(&mut draft.input, input);
    bound(&mut draft.output, output);
    leave_out_rest(draft, "--data", &rest);
    Ok(())
}

/// Lengths are uniform between two bounds, unless they have a deviation.
fn bound(length: &mut Length, bounds: (Option<String>, Option<String>)) {
    if let (Some(least), Some(most)) = bounds {
        length.bounds = Some((least, most));
    }
}

fn file(draft: &mut Draft, path: &str) {
    let shape = Path::new(path).extension().and_then(OsStr::to_str);
    draft.file_kind = match shape {
        Some("csv") => FileKind::Of("csv"),
        Some("json") => FileKind::Of("json"),
        Some("jsonl") => FileKind::Of("jsonl"),
        Some("txt") => FileKind::Of("text"),
        Some("parquet") => FileKind::Of("parquet"),
        _ => {
            let remedy = "nothing is downloaded here: `--workload KIND:FILE` reads a copy";
            return draft.leave_out(&format!("the prompts of {path}"), remedy);
        }
    };
    asked::path(draft, path);
}

/// Which column holds the prompt.
fn columns(draft: &mut Draft, value: &str) -> Result<(), String> {
    let (_, mut rest) = of_kind(value)?;
    if let Some(Json::Object(nested)) = rest.remove("column_mappings") {
        rest = nested;
    }
    for name in ["text_column", "prompt_column"] {
        if let Some(column) = rest.remove(name) {
            draft.add("--prompt-column", typed(&column));
        }
    }
    leave_out_rest(draft, "--data-column-mapper", &rest);
    Ok(())
}

fn request_type(draft: &mut Draft, value: &str) -> Result<(), String> {
    let last = value.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match value {
        "chat_completions" | "/v1/chat/completions" => endpoint_type(draft, "chat"),
        "text_completions" => endpoint_type(draft, "completions"),
        _ => endpoint_type(draft, last),
    }
}

fn embeddings(draft: &mut Draft) {
    draft.endpoint = Some("embeddings".into());
}

fn processor(draft: &mut Draft, value: &str) -> Result<(), String> {
    let (kind, rest) = of_kind(value)?;
    tokenizer(draft, &rest.get("model").map_or(kind, typed));
    Ok(())
}

fn constraint(draft: &mut Draft, value: &str) -> Result<(), String> {
    let (kind, rest) = of_kind(value)?;
    let number = |name: &str| rest.get(name).map(typed).ok_or(format!("`{name}` is missing"));
    match kind.as_str() {
        "max_duration" => seconds(draft, &number("seconds")?),
        "max_requests" | "min_requests" => draft.add("--requests", number("count")?),
        _ => draft.leave_out(
            &format!("--constraint {value}"),
            "a run ends after `--requests` or `--duration`, and is invalid where more than 1 % fail",
        ),
    }
    Ok(())
}

fn ramp(draft: &mut Draft, value: &str) {
    draft.add("--ramp", format!("{value}s"));
}

fn seed(draft: &mut Draft, value: &str) -> Result<(), String> {
    let (kind, rest) = of_kind(value)?;
    draft.add("--seed", rest.get("value").map_or(kind, typed));
    Ok(())
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// A sweep where no profile is named, of chats.
fn finish(draft: &mut Draft) {
    draft.endpoint.get_or_insert_with(|| "chat".into());
    let profile = draft.profile.take().unwrap_or_else(|| "sweep".into());
    let levels = std::mem::take(&mut draft.rates);
    match profile.as_str() {
        "synchronous" => draft.concurrencies = vec!["1".into()],
        "concurrent" => draft.concurrencies = levels,
        "throughput" if levels.is_empty() => draft.at_once = true,
        "throughput" => draft.concurrencies = levels,
        "constant" | "async" | "poisson" => {
            let arrivals = if profile == "poisson" { "poisson" } else { "constant" };
            draft.add("--arrivals", arrivals);
            draft.rates = levels;
        }
        "replay" => draft.add("--replay", ""),
        other => draft.leave_out(
            &format!("the profile {other}"),
            "list the loads (`--concurrency 1,4,16` or `--rate 5,10`); `bareflight search` finds the highest that meets `--slo`",
        ),
    }
}
