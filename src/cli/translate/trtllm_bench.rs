//! `trtllm-bench … throughput` and `latency`.

use super::asked;
use super::draft::{Draft, FileKind, Service};
use super::genai_perf::{concurrency, model, streaming};
use super::reader::Means::{ItsOwn, ItsOwnSwitch, Nothing, Put, Same, Switch};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["trtllm-bench"]],
    service: Service::TrtLlm,
    streams: false,
    flags: &[
        flag(&["throughput"], ItsOwnSwitch),
        flag(&["latency"], Switch(latency)),
        flag(&["-m", "--model"], Put(model)),
        flag(&["--model_path"], Put(model_path)),
        flag(&["--engine_dir"], Put(engine)),
        flag(&["--backend"], Put(backend)),
        flag(&["--dataset"], Put(dataset)),
        flag(&["--concurrency"], Put(concurrency)),
        flag(&["--num_requests"], Same("--requests")),
        flag(&["--warmup"], Same("--warmup")),
        flag(&["--max_batch_size"], Same("--max-batch-size")),
        flag(&["--max_num_tokens"], Same("--max-num-tokens")),
        flag(&["--kv_cache_free_gpu_mem_fraction"], Same("--kv-fraction")),
        flag(&["--beam_width"], Same("--beam-width")),
        flag(&["--streaming"], Switch(streaming)),
        flag(&["--target_input_len", "--target_output_len", "--eos_id", "--modality"], ItsOwn),
        flag(
            &["--tp", "--pp", "--ep"],
            Nothing("the engine was built for so many: start them with `mpirun -n N`"),
        ),
        flag(&["--medusa_choices"], Nothing("`--decoding medusa --draft-choices FILE`")),
        flag(&["--report_json"], Put(report)),
        flag(
            &["--iteration_log", "--output_json", "--request_json"],
            Nothing("`requests.csv` and `iterations.jsonl` are in every run's folder"),
        ),
        flag(&["-w", "--workspace", "--extra_llm_api_options", "--config"], ItsOwn),
    ],
    finish,
};

/// All of the dataset at once where no limit is given.
fn finish(draft: &mut Draft) {
    draft.concurrencies.retain(|it| it.parse::<i64>().is_ok_and(|it| it > 0));
    draft.at_once = true;
}

fn engine(draft: &mut Draft, value: &str) {
    draft.engine = Some(value.to_owned());
}

/// One request after the other.
fn latency(draft: &mut Draft) {
    draft.concurrencies = vec!["1".to_owned()];
}

fn backend(draft: &mut Draft, value: &str) {
    match value {
        "tensorrt" => {}
        "pytorch" => draft.service = Service::TrtLlmTorch,
        other => {
            let remedy = "start `trtllm-serve` with it (`--launch trtllm-serve:autodeploy`) and measure the server";
            draft.leave_out(&format!("--backend {other}"), remedy);
        }
    }
}

fn model_path(draft: &mut Draft, value: &str) {
    draft.model_folder = Some(value.to_owned());
}

fn dataset(draft: &mut Draft, value: &str) {
    draft.file_kind = FileKind::Of("trtllm-bench");
    asked::path(draft, value);
}

fn report(draft: &mut Draft, _path: &str) {
    draft.add("--export", "trtllm-bench");
}
