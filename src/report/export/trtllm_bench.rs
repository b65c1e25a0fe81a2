//! Report of `trtllm-bench --report_json`, one file per point.

use serde_json::{Map, Value, json};

use super::answers::Answer;
use super::sample::Sample;
use super::{ExportPoint, ExportRun, Exported, by_point, json_file, per_second, provenance};
use crate::store::manifest::Manifest;

const MS: f64 = 1e3;
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0)];

pub(super) fn render(run: &ExportRun) -> Exported {
    by_point(run, |point| vec![json_file("report.json", &document(run, point), 4)])
}

fn document(run: &ExportRun, point: &ExportPoint) -> Value {
    let mut document = json!({
        "engine": engine(run.manifest),
        "world_info": world(run.manifest, point),
        "request_info": requests(point),
        "performance": performance(run.manifest, point),
    });
    if point.entry.facts.streaming {
        document["streaming_metrics"] = streaming(point);
    }
    document["dataset"] = dataset(point);
    document[provenance::KEY] = provenance::value(run, point);
    document
}

/// Settings of an engine directory; a target that has none leaves them empty.
fn engine(manifest: &Manifest) -> Value {
    let detail = |key: &str| manifest.target.details.get(key).cloned().unwrap_or(Value::Null);
    json!({
        "model": manifest.target.name,
        "model_path": null,
        "engine_dir": detail("engine_dir"),
        "version": detail("version"),
        "backend": manifest.target.kind,
        "dtype": detail("dtype"),
        "kv_cache_dtype": detail("kv_cache_dtype"),
        "quantization": detail("quantization"),
        "max_input_length": detail("max_input_len"),
        "max_sequence_length": detail("max_seq_len"),
    })
}

fn world(manifest: &Manifest, point: &ExportPoint) -> Value {
    let detail = |key: &str| manifest.target.details.get(key).cloned().unwrap_or(Value::Null);
    json!({
        "tp_size": detail("tp_size"),
        "pp_size": detail("pp_size"),
        "ep_size": detail("ep_size"),
        "world_size": manifest.target.gpus.max(1),
        "max_batch_size": detail("max_batch_size"),
        "max_num_tokens": detail("max_num_tokens"),
        "scheduling_policy": detail("capacity_policy"),
        "kv_cache_percentage": detail("kv_fraction"),
        "issue_rate": point.rate(),
    })
}

fn requests(point: &ExportPoint) -> Value {
    let completed = point.completed().count();
    let total: f64 = point.completed().map(Answer::latency_s).sum();
    json!({
        "num_requests": completed,
        "avg_num_concurrent_requests": per_second(total, point.duration_s()),
        "avg_input_length": point.prompt_tokens() as f64 / completed as f64,
        "avg_output_length": point.output_tokens() as f64 / completed as f64,
    })
}

fn performance(manifest: &Manifest, point: &ExportPoint) -> Value {
    let seconds = point.duration_s();
    let output = per_second(point.output_tokens() as f64, seconds);
    let all = per_second((point.prompt_tokens() + point.output_tokens()) as f64, seconds);
    let latency = Sample::of(point.completed().map(|it| it.latency_s() * MS));
    let per_user = Sample::of(
        point.completed().map(|it| per_second(f64::from(it.output_tokens), it.latency_s())),
    );
    json!({
        "total_latency_ms": seconds * MS,
        "avg_request_latency_ms": latency.as_ref().map(Sample::mean),
        "request_throughput_req_s": per_second(point.completed().count() as f64, seconds),
        "system_output_throughput_tok_s": output,
        "system_total_throughput_tok_s": all,
        "output_throughput_per_user_tok_s": per_user.as_ref().map(Sample::mean),
        "output_throughput_per_gpu_tok_s": output / f64::from(manifest.target.gpus.max(1)),
        "request_latency_percentiles_ms": percentiles(latency.as_ref()),
    })
}

fn streaming(point: &ExportPoint) -> Value {
    let ttft = Sample::of(point.completed().filter_map(Answer::ttft_s).map(|it| it * MS));
    let tpot = Sample::of(point.completed().filter_map(Answer::per_token_s).map(|it| it * MS));
    let speed = |it: &Answer| it.per_token_s().filter(|each| *each > 0.0).map(|each| 1.0 / each);
    let speeds = Sample::of(point.completed().filter_map(speed));
    json!({
        "token_output_speed_tok_s": speeds.as_ref().map(Sample::mean),
        "avg_ttft_ms": ttft.as_ref().map(Sample::mean),
        "avg_tpot_ms": tpot.as_ref().map(Sample::mean),
        "tpot_percentiles": percentiles(tpot.as_ref()),
        "ttft_percentiles": percentiles(ttft.as_ref()),
        "gen_tps_percentiles": percentiles(speeds.as_ref()),
    })
}

fn percentiles(sample: Option<&Sample>) -> Value {
    let mut values = Map::new();
    for (name, percent) in PERCENTILES {
        values.insert(name.to_owned(), sample.map(|it| it.at_floor(percent)).into());
    }
    values.insert("minimum".to_owned(), sample.map(Sample::min).into());
    values.insert("maximum".to_owned(), sample.map(Sample::max).into());
    values.insert("average".to_owned(), sample.map(Sample::mean).into());
    Value::Object(values)
}

fn dataset(point: &ExportPoint) -> Value {
    let input = Sample::of(point.completed().map(|it| f64::from(it.prompt_tokens)));
    let output = Sample::of(point.completed().map(|it| f64::from(it.output_tokens)));
    let both = point.completed().map(|it| f64::from(it.prompt_tokens + it.output_tokens));
    json!({
        "isl_stats": percentiles(input.as_ref()),
        "osl_stats": percentiles(output.as_ref()),
        "seq_len_stats": percentiles(Sample::of(both).as_ref()),
        "num_requests": point.answers.len(),
    })
}
