//! Result JSON of vLLM's `benchmark_serving.py`, `vllm bench serve` and its copies, as with `--save-detailed`.

use serde_json::{Map, Value};

use super::answers::Answer;
use super::sample::Sample;
use super::{
    ExportFile, ExportPoint, ExportRun, Exported, json_file, per_second, provenance, untaken,
};

pub(super) fn render(run: &ExportRun) -> Exported {
    let mut exported = Exported::default();
    let mut taken: Vec<String> = Vec::new();
    for point in &run.points {
        if point.completed().next().is_none() {
            exported.left_out.push(format!("{}: no request completed", point.entry.label));
            continue;
        }
        let name = untaken(file_stem(run, point), &mut taken);
        exported.files.push(json_file(format!("{name}.json"), &document(run, point), 0));
    }
    for file in &mut exported.files {
        // The tool writes one line.
        file.bytes.retain(|byte| *byte != b'\n');
    }
    exported
}

/// A file for each point, named for its load: `concurrency_16.json`, `rate_5.json`, `batch.json`.
pub(super) fn by_load(run: &ExportRun) -> Vec<ExportFile> {
    let mut files: Vec<ExportFile> = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for point in run.points.iter().filter(|point| point.completed().next().is_some()) {
        let stem = match (point.concurrency(), point.rate()) {
            (Some(concurrency), _) => format!("concurrency_{concurrency}"),
            (None, Some(rate)) => format!("rate_{rate}"),
            (None, None) => "batch".to_owned(),
        };
        let stem = untaken(stem + &point.batch_size(), &mut taken);
        files.push(json_file(format!("{stem}.json"), &document(run, point), 2));
    }
    files
}

/// `openai-infqps-concurrency8-MODEL-20261129-061815.json`, as the tool names it, without its ending.
fn file_stem(run: &ExportRun, point: &ExportPoint) -> String {
    let rate = point.rate().map_or_else(|| "inf".to_owned(), |rate| rate.to_string());
    let concurrency =
        point.concurrency().map_or_else(String::new, |it| format!("-concurrency{it}"));
    let model = run.model().rsplit('/').next().unwrap_or_default();
    let backend = run.service().backend;
    let batch_size = point.batch_size();
    format!("{backend}-{rate}qps{concurrency}{batch_size}-{model}-{}", run.date())
}

fn document(run: &ExportRun, point: &ExportPoint) -> Value {
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
    put("date", run.date().into());
    put("endpoint_type", run.service().backend.into());
    put("backend", run.service().backend.into());
    put("label", Value::Null);
    put("model_id", run.model().into());
    put("tokenizer_id", run.model().into());
    put("num_prompts", point.answers.len().into());
    put("request_rate", point.rate().map_or_else(|| "inf".into(), Value::from));
    put("burstiness", burstiness(point).into());
    put("max_concurrency", point.concurrency().into());
    for (key, value) in totals(point) {
        put(key, value);
    }
    for (key, value) in arrays(point) {
        put(key, value);
    }
    for (name, sample) in samples(point) {
        for (key, value) in sample.as_ref().map(statistics).unwrap_or_default() {
            put(&key.replace('X', name), value.into());
        }
    }
    put(provenance::KEY, provenance::value(run, point));
    // As the tool's `--metadata KEY=VALUE` does, which never hides a figure.
    for (key, value) in &run.manifest.declared.notes {
        document.entry(key).or_insert_with(|| value.clone().into());
    }
    Value::Object(document)
}

/// Shape of the gamma distribution of the gaps; 1 is a Poisson process.
fn burstiness(point: &ExportPoint) -> f64 {
    use crate::load::{Arrivals, Load};
    match point.entry.facts.load {
        Load::Open { arrivals: Arrivals::Gamma { burstiness }, .. } => burstiness,
        Load::Open { .. } | Load::Closed { .. } | Load::Batch => 1.0,
    }
}

fn totals(point: &ExportPoint) -> Vec<(&'static str, Value)> {
    let seconds = point.duration_s();
    let completed = point.completed().count();
    let (prompt, output) = (point.prompt_tokens(), point.output_tokens());
    let rate = |count: f64| Value::from(per_second(count, seconds));
    let goodput = point.summary.rate(crate::metrics::Rate::Goodput);
    let (most_tokens, most_requests) = busiest_second(point);
    vec![
        ("duration", seconds.into()),
        ("completed", completed.into()),
        ("failed", point.failed().into()),
        ("total_input_tokens", prompt.into()),
        ("total_output_tokens", output.into()),
        ("request_throughput", rate(completed as f64)),
        ("request_goodput", goodput.into()),
        ("output_throughput", rate(output as f64)),
        ("total_token_throughput", rate((prompt + output) as f64)),
        ("max_output_tokens_per_s", most_tokens.into()),
        ("max_concurrent_requests", most_requests.into()),
    ]
}

/// Most chunks, and most requests in flight, within one second of the run, counted in whole seconds from its start.
fn busiest_second(point: &ExportPoint) -> (f64, u64) {
    let Some(start) = point.answers.iter().map(|it| it.start).min() else { return (0.0, 0) };
    let seconds = point.duration_s().ceil().max(1.0) as usize;
    let (mut chunks, mut in_flight) = (vec![0_u64; seconds + 1], vec![0_u64; seconds + 1]);
    let second = |at: crate::clock::MonoNs| ((at - start).as_secs_f64() as usize).min(seconds);
    for answer in point.completed() {
        for at in &answer.chunks {
            chunks[second(*at)] += 1;
        }
        for each in &mut in_flight[second(answer.start)..=second(answer.last)] {
            *each += 1;
        }
    }
    let most = |of: &[u64]| of.iter().copied().max().unwrap_or(0);
    (most(&chunks) as f64, most(&in_flight))
}

/// What `--save-detailed` keeps, an entry per request in the order of the plan. We keep no texts.
fn arrays(point: &ExportPoint) -> [(&'static str, Value); 7] {
    let of = |of: fn(&Answer) -> Value| point.answers.iter().map(of).collect::<Value>();
    let start = point.answers.iter().map(|it| it.start).min();
    let starts = point.answers.iter().map(|it| start.map(|first| (it.start - first).as_secs_f64()));
    [
        ("input_lens", of(|it| it.prompt_tokens.into())),
        (
            "output_lens",
            of(|it| if it.failure.is_some() { 0.into() } else { it.output_tokens.into() }),
        ),
        ("ttfts", of(|it| it.ttft_s().unwrap_or(0.0).into())),
        ("itls", of(|it| it.gaps_s().into())),
        ("start_times", starts.collect()),
        ("generated_texts", of(|_| "".into())),
        ("errors", of(|it| it.failure.as_ref().map_or("", |(_, words)| words.as_str()).into())),
    ]
}

/// Each in seconds. ITL are the gaps between chunks of all requests together.
fn samples(point: &ExportPoint) -> [(&'static str, Option<Sample>); 4] {
    let all = || point.completed();
    [
        ("ttft", Sample::of(all().filter_map(Answer::ttft_s))),
        ("tpot", Sample::of(all().filter_map(Answer::per_token_s))),
        ("itl", Sample::of(all().flat_map(Answer::gaps_s))),
        ("e2el", Sample::of(all().map(Answer::latency_s))),
    ]
}

fn statistics(sample: &Sample) -> Vec<(&'static str, f64)> {
    const PERCENTILES: [(&str, f64); 5] = [
        ("p50_X_ms", 50.0),
        ("p75_X_ms", 75.0),
        ("p90_X_ms", 90.0),
        ("p95_X_ms", 95.0),
        ("p99_X_ms", 99.0),
    ];
    let mut values = vec![
        ("mean_X_ms", sample.mean()),
        ("median_X_ms", sample.percentile(50.0)),
        ("std_X_ms", sample.std()),
    ];
    values.extend(PERCENTILES.map(|(key, percent)| (key, sample.percentile(percent))));
    values.into_iter().map(|(key, seconds)| (key, seconds * 1e3)).collect()
}
