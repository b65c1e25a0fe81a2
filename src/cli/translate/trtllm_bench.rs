//! `trtllm-bench … throughput` and `latency`.

use super::draft::{Draft, Service};
use super::genai_perf::{concurrency, streaming};
use super::reader::Means::{ItsOwn, ItsOwnSwitch, Nothing, Put, Same, Switch};
use super::reader::{Dialect, flag};

pub const DIALECT: Dialect = Dialect {
    programs: &[&["trtllm-bench"]],
    service: Service::TrtLlm,
    streams: false,
    flags: &[
        flag(&["throughput"], ItsOwnSwitch),
        flag(&["latency"], Switch(latency)),
        flag(&["-m", "--model"], ItsOwn),
        flag(&["--model_path"], Same("--tokenizer")),
        flag(&["--engine_dir"], Put(engine)),
        flag(&["--backend"], Put(backend)),
        flag(&["--dataset"], Nothing("prompts are synthetic, of the lengths of `--scenario`")),
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
        flag(
            &["--report_json", "--iteration_log", "--output_json", "--request_json"],
            Nothing(
                "`summary.json`, `requests.csv` and `iterations.jsonl` are in every run's folder",
            ),
        ),
        flag(&["-w", "--workspace", "--extra_llm_api_options", "--config"], ItsOwn),
    ],
};

fn engine(draft: &mut Draft, value: &str) {
    draft.engine = Some(value.to_owned());
}

/// One request after the other.
fn latency(draft: &mut Draft) {
    draft.concurrencies = vec!["1".to_owned()];
}

fn backend(draft: &mut Draft, value: &str) {
    if value != "tensorrt" {
        let remedy = "the engine of this process is TensorRT's; start `trtllm-serve --backend pytorch` and measure `openai:URL`";
        draft.leave_out(&format!("--backend {value}"), remedy);
    }
}
