//! `genai-perf profile`.

use super::asked;
use super::draft::{Draft, Service};
use super::reader::Means::{Always, ItsOwn, ItsOwnSwitch, Nothing, Put, Same, Switch, Value};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["genai-perf", "profile"], &["genai-perf"]],
    service: Service::Triton,
    streams: false,
    flags: &[
        flag(&["-m", "--model"], Put(model)),
        flag(&["-u", "--url"], Put(url)),
        flag(&["--service-kind"], Value(service)),
        flag(&["--backend"], Put(backend)),
        flag(&["--endpoint-type"], Value(endpoint_type)),
        flag(&["--endpoint", "--custom-endpoint"], Value(endpoint)),
        flag(&["--concurrency"], Put(concurrency)),
        flag(&["--request-rate"], Put(rate)),
        flag(&["--request-count", "--num-requests"], Same("--requests")),
        flag(&["--warmup-request-count", "--num-warmup-requests"], Same("--warmup")),
        flag(&["--measurement-interval", "-p"], Put(interval)),
        flag(&["--stability-percentage", "-s"], Put(asked::stability)),
        flag(&["--synthetic-input-tokens-mean", "--isl"], Put(input_mean)),
        flag(&["--synthetic-input-tokens-stddev"], Put(input_stddev)),
        flag(&["--output-tokens-mean", "--osl"], Put(output_mean)),
        flag(&["--output-tokens-stddev"], Put(output_stddev)),
        flag(&["--output-tokens-mean-deterministic"], Always),
        flag(&["--random-seed"], Same("--seed")),
        flag(&["--tokenizer"], Put(tokenizer)),
        flag(&["--tokenizer-trust-remote-code", "--tokenizer-revision"], ItsOwn),
        flag(&["--num-prompts", "--num-dataset-entries"], Same("--num-prompts")),
        flag(
            &["--prompt-source", "--input-dataset"],
            Nothing("prompts are synthetic, of the lengths of `--scenario`"),
        ),
        flag(&["--input-file", "-f"], Put(asked::genai_perf_file)),
        flag(&["--extra-inputs"], Value(Draft::add_extra)),
        flag(&["--header", "-H"], Put(asked::header)),
        flag(&["--goodput"], Value(asked::goodput)),
        flag(&["--streaming"], Switch(streaming)),
        flag(&["--batch-size-text", "--batch-size", "-b"], Put(batch_size)),
        flag(&["--artifact-dir"], Same("--out")),
        flag(&["--profile-export-file"], Put(asked::genai_perf_export)),
        flag(&["--server-metrics-url", "--server-metrics-urls"], Same("--server-metrics")),
        flag(&["--generate-plots"], Switch(asked::plots)),
        flag(&["-v", "--verbose"], ItsOwnSwitch),
        flag(&["--num-prefix-prompts"], Same("--prefix-groups")),
        flag(&["--prefix-prompt-length"], Same("--prefix-tokens")),
    ],
    finish: usual_lengths,
};

/// Prompts of 550 tokens, outputs that end by themselves, and one request after the other.
pub fn usual_lengths(draft: &mut Draft) {
    if draft.file.is_none() && draft.service != Service::TrtLlm {
        draft.input.mean.get_or_insert_with(|| "550".into());
    }
    one_after_the_other(draft);
}

/// A closed loop of one slot where no load is named.
pub fn one_after_the_other(draft: &mut Draft) {
    if draft.concurrencies.is_empty() && draft.rates.is_empty() && !draft.has("--replay") {
        draft.concurrencies.push("1".to_owned());
    }
}

/// Name of the model.
pub fn model(draft: &mut Draft, value: &str) {
    draft.model = Some(value.to_owned());
}

/// Of a server that is asked.
pub fn url(draft: &mut Draft, value: &str) {
    draft.url = Some(value.to_owned());
}

fn service(draft: &mut Draft, value: &str) -> Result<(), String> {
    match value {
        "openai" => draft.service = Service::OpenAi,
        "triton" => draft.service = Service::Triton,
        other => return Err(format!("there is no target for the service `{other}`")),
    }
    Ok(())
}

fn backend(draft: &mut Draft, value: &str) {
    draft.leave_out(&format!("--backend {value}"), "tensors are found in the model's metadata");
}

/// `chat`, `completions`, `embeddings`.
pub fn endpoint_type(draft: &mut Draft, value: &str) -> Result<(), String> {
    draft.service = Service::OpenAi;
    match value {
        "chat" | "completions" | "embeddings" => draft.endpoint = Some(value.to_owned()),
        other => return Err(format!("there is no endpoint `{other}` here")),
    }
    Ok(())
}

/// The path of an endpoint.
pub fn endpoint(draft: &mut Draft, value: &str) -> Result<(), String> {
    let path = value.trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    endpoint_type(draft, if path.ends_with("chat/completions") { "chat" } else { last })
}

/// One or several, separated by commas.
pub fn concurrency(draft: &mut Draft, value: &str) {
    draft.concurrencies.push(value.to_owned());
}

/// Requests per second.
pub fn rate(draft: &mut Draft, value: &str) {
    draft.rates.push(value.to_owned());
}

/// Texts in one request.
pub fn batch_size(draft: &mut Draft, value: &str) {
    draft.batch_sizes.push(value.to_owned());
}

/// In milliseconds.
pub fn interval(draft: &mut Draft, value: &str) {
    draft.add("--measurement-interval", format!("{value}ms"));
}

/// Mean length of prompts.
pub fn input_mean(draft: &mut Draft, value: &str) {
    draft.input.mean = Some(value.to_owned());
}

/// Its standard deviation.
pub fn input_stddev(draft: &mut Draft, value: &str) {
    draft.input.stddev = Some(value.to_owned());
}

/// Mean length of outputs.
pub fn output_mean(draft: &mut Draft, value: &str) {
    draft.output.mean = Some(value.to_owned());
}

/// Its standard deviation.
pub fn output_stddev(draft: &mut Draft, value: &str) {
    draft.output.stddev = Some(value.to_owned());
}

/// Tokens come as they are made.
pub fn streaming(draft: &mut Draft) {
    draft.streaming = true;
}

/// A folder, or a name on a hub that has to be fetched first.
pub fn tokenizer(draft: &mut Draft, value: &str) {
    draft.add("--tokenizer", value);
    let is_path = value.starts_with(['/', '.']) || std::path::Path::new(value).exists();
    if !is_path {
        let remedy = "nothing is downloaded here: name a folder with its `tokenizer.json`";
        draft.leave_out(&format!("the hub behind {value}"), remedy);
    }
}
