//! `aiperf profile`.

use super::asked;
use super::draft::{Draft, FileKind, Service};
use super::genai_perf::{
    batch_size, concurrency, endpoint, endpoint_type, input_mean, input_stddev, model, output_mean,
    output_stddev, rate, streaming, tokenizer, url, usual_lengths,
};
use super::reader::Means::{ItsOwn, ItsOwnSwitch, Nothing, Put, Same, Switch, Value};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["aiperf", "profile"]],
    service: Service::OpenAi,
    streams: false,
    flags: &[
        flag(&["-m", "--model", "--model-names"], Put(model)),
        flag(&["-u", "--url"], Put(url)),
        flag(&["--endpoint-type"], Value(endpoint_type)),
        flag(&["--endpoint", "--custom-endpoint"], Value(endpoint)),
        flag(&["--streaming"], Switch(streaming)),
        flag(&["--concurrency"], Put(concurrency)),
        flag(&["--request-rate"], Put(rate)),
        flag(&["--request-rate-mode", "--arrival-pattern"], Same("--arrivals")),
        flag(&["--arrival-smoothness", "--vllm-burstiness", "--burstiness"], Same("--burstiness")),
        flag(&["--request-count", "--num-requests"], Same("--requests")),
        flag(&["--warmup-request-count", "--num-warmup-requests"], Same("--warmup")),
        flag(&["--benchmark-duration"], Put(seconds)),
        flag(&["--benchmark-grace-period"], Put(grace)),
        flag(&["--request-timeout-seconds"], Put(timeout)),
        flag(&["--concurrency-ramp-duration"], Put(ramp)),
        flag(
            &["--isl", "--prompt-input-tokens-mean", "--synthetic-input-tokens-mean"],
            Put(input_mean),
        ),
        flag(
            &["--isl-stddev", "--prompt-input-tokens-stddev", "--synthetic-input-tokens-stddev"],
            Put(input_stddev),
        ),
        flag(&["--osl", "--prompt-output-tokens-mean", "--output-tokens-mean"], Put(output_mean)),
        flag(
            &["--osl-stddev", "--prompt-output-tokens-stddev", "--output-tokens-stddev"],
            Put(output_stddev),
        ),
        flag(
            &["--prefix-prompt-length", "--prompt-prefix-length", "--shared-system-prompt-length"],
            Same("--prefix-tokens"),
        ),
        flag(
            &["--num-prefix-prompts", "--prompt-prefix-pool-size", "--prefix-prompt-pool-size"],
            Same("--prefix-groups"),
        ),
        flag(&["--random-seed"], Same("--seed")),
        flag(&["--tokenizer"], Put(tokenizer)),
        flag(&["--extra-inputs"], Value(Draft::add_extra)),
        flag(&["-H", "--header"], Put(asked::header)),
        flag(&["--api-key"], Put(asked::api_key)),
        flag(&["--goodput"], Value(asked::goodput)),
        flag(&["--input-file"], Put(asked::genai_perf_file)),
        flag(&["--custom-dataset-type"], Put(dataset_type)),
        flag(&["--fixed-schedule"], Switch(replay)),
        flag(
            &["--public-dataset"],
            Nothing("nothing is downloaded here: `--workload sharegpt:FILE` reads a copy"),
        ),
        flag(&["--num-prompts", "--num-dataset-entries"], Same("--num-prompts")),
        flag(
            &[
                "--num-conversations",
                "--num-sessions",
                "--conversation-num",
                "--conversation-turn-mean",
            ],
            Nothing("conversations come from a file: `--workload conversation:FILE --sessions N`"),
        ),
        flag(&["-b", "--batch-size", "--batch-size-text", "--prompt-batch-size"], Put(batch_size)),
        flag(&["--artifact-dir", "--output-artifact-dir"], Same("--out")),
        flag(&["--profile-export-file", "--profile-export-prefix"], Put(export)),
        flag(
            &[
                "--ui",
                "--ui-type",
                "--export-level",
                "--log-level",
                "--workers-max",
                "--max-workers",
                "--record-processors",
                "--tokenizer-revision",
                "--connection-reuse-strategy",
                "--gpu-telemetry",
                "--server-metrics",
            ],
            ItsOwn,
        ),
        flag(
            &[
                "--tokenizer-trust-remote-code",
                "--verbose",
                "-v",
                "--no-server-metrics",
                "--no-gpu-telemetry",
                "--use-server-token-count",
                "--no-sweep-table",
            ],
            ItsOwnSwitch,
        ),
    ],
    finish: usual_lengths,
};

/// The shape of the file.
fn dataset_type(draft: &mut Draft, value: &str) {
    draft.file_kind = match value {
        "single_turn" => FileKind::Of("genai-perf"),
        // Its instants are kept, as aiperf keeps them.
        "mooncake_trace" => {
            replay(draft);
            FileKind::Of("mooncake")
        }
        other => {
            let what = format!("--custom-dataset-type {other}");
            draft.leave_out(&what, "docs/workloads.md lists the shapes that are read");
            FileKind::NoFile
        }
    };
}

fn replay(draft: &mut Draft) {
    draft.add("--replay", "");
}

/// How long requests are sent.
pub fn seconds(draft: &mut Draft, value: &str) {
    draft.add("--duration", format!("{value}s"));
}

/// It writes its files anyway, under other names.
fn export(draft: &mut Draft, _name: &str) {
    draft.add("--export", "aiperf");
}

fn grace(draft: &mut Draft, value: &str) {
    draft.add("--drain", format!("{value}s"));
}

fn timeout(draft: &mut Draft, value: &str) {
    draft.add("--timeout", format!("{value}s"));
}

fn ramp(draft: &mut Draft, value: &str) {
    draft.add("--ramp", format!("{value}s"));
}
