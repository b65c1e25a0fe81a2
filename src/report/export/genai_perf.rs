//! Files of GenAI-Perf: `profile_export_genai_perf.json` and `.csv`, perf_analyzer's `profile_export.json`, the table of 24.03.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::answers::Answer;
use super::sample::Sample;
use super::service::Service;
use super::{
    ExportPoint, ExportRun, Exported, by_point, json_file, per_second, provenance, text_file,
};

const MS: f64 = 1e3;
const NS: f64 = 1e9;
const PERCENTILES: [(&str, f64); 6] =
    [("p25", 25.0), ("p50", 50.0), ("p75", 75.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0)];

pub(super) fn render(run: &ExportRun) -> Exported {
    let mut exported = by_point(run, |point| {
        let metrics = metrics(point);
        vec![
            json_file("profile_export.json", &profile(run, point), 1),
            json_file("profile_export_genai_perf.json", &document(run, point, &metrics), 2),
            text_file("profile_export_genai_perf.csv", csv(run, point, &metrics)),
            text_file("llm_metrics_24.03.txt", table_of_24_03(run, point)),
        ]
    });
    // The tool's own name of a folder of artefacts.
    let model = run.model().replace('/', "_");
    let Service { kind, endpoint, .. } = run.service();
    for file in &mut exported.files {
        file.path = format!("{model}-{kind}-{endpoint}-{}", file.path);
    }
    exported
}

/// Title in the CSV, key in the JSON, unit, values.
type Metric = (&'static str, &'static str, &'static str, Sample);

fn metrics(point: &ExportPoint) -> Vec<Metric> {
    let ms = |of: fn(&Answer) -> Option<f64>| {
        Sample::of(point.completed().filter_map(of).map(|seconds| seconds * MS))
    };
    let second = |it: &Answer| {
        let [first, second] = it.chunks.get(..2)? else { return None };
        Some((*second - *first).as_secs_f64())
    };
    let speed = |it: &Answer| it.per_token_s().filter(|each| *each > 0.0).map(|each| 1.0 / each);
    let tokens = |of: fn(&Answer) -> u32| Sample::of(point.completed().map(of).map(f64::from));
    let all = [
        ("Time To First Token", "time_to_first_token", "ms", ms(Answer::ttft_s)),
        ("Time To Second Token", "time_to_second_token", "ms", ms(second)),
        ("Request Latency", "request_latency", "ms", ms(|it| Some(it.latency_s()))),
        ("Inter Token Latency", "inter_token_latency", "ms", ms(Answer::per_token_s)),
        (
            "Output Token Throughput Per User",
            "output_token_throughput_per_user",
            "tokens/sec/user",
            Sample::of(point.completed().filter_map(speed)),
        ),
        (
            "Output Sequence Length",
            "output_sequence_length",
            "tokens",
            tokens(|it| it.output_tokens),
        ),
        ("Input Sequence Length", "input_sequence_length", "tokens", tokens(|it| it.prompt_tokens)),
    ];
    let defined =
        |(title, key, unit, sample): (_, _, _, Option<Sample>)| Some((title, key, unit, sample?));
    all.into_iter().filter_map(defined).collect()
}

/// Rates over the time from the first request to the last token.
fn rates(point: &ExportPoint) -> (f64, f64) {
    let first = point.completed().map(|it| it.start).min();
    let last = point.completed().map(|it| it.last).max();
    let seconds = first.zip(last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    let completed = point.completed().count() as f64;
    (per_second(completed, seconds), per_second(point.output_tokens() as f64, seconds))
}

fn document(run: &ExportRun, point: &ExportPoint, metrics: &[Metric]) -> Value {
    let (requests, tokens) = rates(point);
    let mut document = Map::new();
    document.insert("request_throughput".into(), json!({"unit": "requests/sec", "avg": requests}));
    document
        .insert("request_count".into(), json!({"unit": "count", "avg": point.completed().count()}));
    document.insert("output_token_throughput".into(), json!({"unit": "tokens/sec", "avg": tokens}));
    for (_, key, unit, sample) in metrics {
        let mut values = Map::new();
        values.insert("unit".into(), (*unit).into());
        values.insert("avg".into(), sample.mean().into());
        for (name, percent) in PERCENTILES {
            values.insert(name.into(), sample.percentile(percent).into());
        }
        values.insert("min".into(), sample.min().into());
        values.insert("max".into(), sample.max().into());
        values.insert("std".into(), sample.std().into());
        document.insert((*key).into(), Value::Object(values));
    }
    document.insert("input_config".into(), input_config(run, point));
    document.insert(provenance::KEY.into(), provenance::value(run, point));
    Value::Object(document)
}

fn input_config(run: &ExportRun, point: &ExportPoint) -> Value {
    json!({
        "model": [run.model()],
        "formatted_model_name": run.model(),
        "backend": run.manifest.target.kind,
        "endpoint_type": run.service().endpoint,
        "service_kind": run.service().kind,
        "streaming": point.entry.facts.streaming,
        "concurrency": point.concurrency(),
        "request_rate": point.rate(),
        "request_count": point.answers.len(),
        "random_seed": run.manifest.seed,
        "subcommand": "profile",
    })
}

/// `1,234.50`, quoted as it holds a comma from a thousand on.
fn cell(value: f64) -> String {
    let text = grouped(value, 2);
    if text.contains(',') { format!("\"{text}\"") } else { text }
}

/// With a comma before every three digits.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut spaced = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            spaced.push(',');
        }
        spaced.push(digit);
    }
    format!("{sign}{spaced}{rest}")
}

fn csv(run: &ExportRun, point: &ExportPoint, metrics: &[Metric]) -> String {
    let mut text = String::from("Metric,avg,min,max,p99,p95,p90,p75,p50,p25\r\n");
    for (title, _, unit, sample) in metrics {
        let percentiles = PERCENTILES.iter().rev().map(|(_, percent)| sample.percentile(*percent));
        let ends = [sample.mean(), sample.min(), sample.max()];
        let cells: Vec<String> = ends.into_iter().chain(percentiles).map(cell).collect();
        // Writing to a string cannot fail, here and below.
        let _infallible = write!(text, "{title} ({unit}),{}\r\n", cells.join(","));
    }
    let (requests, tokens) = rates(point);
    text.push_str("\r\nMetric,Value\r\n");
    let of_run = [
        ("Output Token Throughput (tokens/sec)", tokens),
        ("Request Throughput (per sec)", requests),
        ("Request Count (count)", point.completed().count() as f64),
    ];
    for (title, value) in of_run {
        let _infallible = write!(text, "{title},{}\r\n", cell(value));
    }
    text.push_str(&provenance::section(provenance::label(run)));
    text
}

/// The table that 24.03 printed: nanoseconds, and every gap between chunks as inter-token latency.
fn table_of_24_03(run: &ExportRun, point: &ExportPoint) -> String {
    let ns = |seconds: f64| seconds * NS;
    let rows = [
        (
            "Time to first token (ns)",
            Sample::of(point.completed().filter_map(Answer::ttft_s).map(ns)),
        ),
        (
            "Inter token latency (ns)",
            Sample::of(point.completed().flat_map(Answer::gaps_s).map(ns)),
        ),
        ("Request latency (ns)", Sample::of(point.completed().map(Answer::latency_s).map(ns))),
        ("Num output token", Sample::of(point.completed().map(|it| f64::from(it.output_tokens)))),
    ];
    let mut text = format!("{:^103}\n", "LLM Metrics");
    let mut line = |cells: [String; 7]| {
        let [name, numbers @ ..] = cells;
        let _infallible = write!(text, "| {name:>24} |");
        for number in numbers {
            let _infallible = write!(text, " {number:>13} |");
        }
        text.push('\n');
    };
    line(["Statistic", "avg", "min", "max", "p99", "p90", "p75"].map(str::to_owned));
    for (name, sample) in rows {
        let Some(sample) = sample else { continue };
        let values = [
            sample.mean(),
            sample.min(),
            sample.max(),
            sample.percentile(99.0),
            sample.percentile(90.0),
            sample.percentile(75.0),
        ];
        let [avg, min, max, p99, p90, p75] = values.map(|value| grouped(value, 0));
        line([name.to_owned(), avg, min, max, p99, p90, p75]);
    }
    let (requests, tokens) = rates(point);
    let _infallible = write!(
        text,
        "Output token throughput (per sec): {tokens:.2}\nRequest throughput (per sec): {requests:.2}\n"
    );
    for line in provenance::lines(run, Some(point)) {
        let _infallible = writeln!(text, "{line}");
    }
    text
}

/// Stamps of every request, as perf_analyzer 2.51 writes them. We keep neither prompts nor texts.
fn profile(run: &ExportRun, point: &ExportPoint) -> Value {
    let stamps = |of: &dyn Fn(&Answer) -> crate::clock::MonoNs| {
        point.completed().map(of).map(|at| run.wall_ns(at)).collect::<Vec<_>>()
    };
    let (starts, ends) = (stamps(&|it| it.start), stamps(&|it| it.end));
    let (mode, value) = match (point.rate(), point.concurrency()) {
        (Some(rate), _) => ("request_rate", json!(rate)),
        (None, Some(concurrency)) => ("concurrency", json!(concurrency)),
        (None, None) => ("concurrency", json!(point.answers.len())),
    };
    let requests: Vec<Value> = point.completed().map(|answer| request(run, answer)).collect();
    json!({
        "experiments": [{
            "experiment": {"mode": mode, "value": value},
            "requests": requests,
            "window_boundaries": [starts.iter().min(), ends.iter().max()],
        }],
        "version": "2.51.0",
        "service_kind": run.service().kind,
        "endpoint": run.service().path,
        (provenance::KEY): provenance::value(run, point),
    })
}

fn request(run: &ExportRun, answer: &Answer) -> Value {
    let stamps: Vec<i64> = if answer.chunks.is_empty() {
        vec![run.wall_ns(answer.last)]
    } else {
        answer.chunks.iter().map(|at| run.wall_ns(*at)).collect()
    };
    let outputs = vec![json!({"response": ""}); stamps.len()];
    json!({
        "timestamp": run.wall_ns(answer.start),
        "request_inputs": {"payload": ""},
        "response_timestamps": stamps,
        "response_outputs": outputs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart_and_then_quoted() {
        assert_eq!(cell(1_234_567.891), "\"1,234,567.89\"");
        assert_eq!(cell(999.5), "999.50");
        assert_eq!(grouped(-1_000.0, 0), "-1,000");
    }
}
