//! Files of genai-bench 0.0.5: `experiment_metadata.json`, a JSON per scenario and concurrency, and the workbook of all.

use serde_json::{Map, Value, json};

use super::answers::Answer;
use super::genai_bench_sheets::{self, Run};
use super::sample::Sample;
use super::workbook::{self, Sheet};
use super::{ExportFile, ExportPoint, ExportRun, Exported, json_file, per_second, provenance};

/// As the tool names it, by the folder of the experiment.
const WORKBOOK: &str = "genai-bench_summary.xlsx";
/// The version whose shape is written.
const VERSION: &str = "0.0.5";
const PERCENTILES: [(&str, f64); 6] =
    [("p25", 25.0), ("p50", 50.0), ("p75", 75.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0)];
/// The tool takes no speed from an output that came within this time.
const SHORTEST_OUTPUT_S: f64 = 0.001;
/// Code of a request that failed without a status of HTTP.
const NO_STATUS: u32 = 599;

/// A value of each request, in the order of the tool.
type Field = (&'static str, fn(&Answer) -> Option<f64>);

const FIELDS: [Field; 12] = [
    ("ttft", ttft),
    ("tpot", tpot),
    ("e2e_latency", |it| Some(it.whole_s())),
    ("output_latency", output_latency),
    ("output_inference_speed", |it| Some(1.0 / tpot(it)?)),
    ("num_input_tokens", |it| Some(f64::from(it.prompt_tokens))),
    ("num_output_tokens", |it| Some(f64::from(it.output_tokens))),
    ("num_reasoning_tokens", |_| Some(0.0)),
    ("total_tokens", |it| Some(f64::from(it.prompt_tokens) + f64::from(it.output_tokens))),
    ("input_throughput", |it| Some(per_second(f64::from(it.prompt_tokens), ttft(it)?))),
    ("output_throughput", |it| {
        let after_first = f64::from(it.output_tokens.checked_sub(1)?);
        Some(per_second(after_first, output_latency(it)?))
    }),
    ("audio_throughput", |_| None),
];

/// Without streaming the first thing that comes is the end.
#[expect(clippy::unnecessary_wraps, reason = "one of many functions that may have no value")]
fn ttft(answer: &Answer) -> Option<f64> {
    Some(answer.ttft_s().unwrap_or_else(|| answer.whole_s()))
}

fn output_latency(answer: &Answer) -> Option<f64> {
    Some(answer.whole_s() - ttft(answer)?)
}

fn tpot(answer: &Answer) -> Option<f64> {
    let output = output_latency(answer)?;
    (answer.output_tokens > 1 && output >= SHORTEST_OUTPUT_S)
        .then(|| output / f64::from(answer.output_tokens - 1))
}

pub(super) fn render(run: &ExportRun) -> Exported {
    let mut experiment = GenaiBench::default();
    experiment.add(run);
    experiment.finish()
}

/// An experiment of the tool while runs are added, e.g. one for each cell of scenarios and concurrencies.
#[derive(Debug, Default)]
pub struct GenaiBench {
    metadata: Option<Value>,
    documents: Vec<Document>,
    origins: Vec<(String, Vec<String>)>,
    exported: Exported,
}

/// One file of a scenario and a concurrency.
#[derive(Debug)]
struct Document {
    scenario: String,
    concurrency: u32,
    value: Value,
}

impl GenaiBench {
    /// Adds the points of a run.
    pub fn add(&mut self, run: &ExportRun) {
        for point in &run.points {
            self.add_point(run, point);
        }
        self.origins.push((run.shown.folder.clone(), provenance::lines(run, None)));
        let own = metadata(run);
        match &mut self.metadata {
            None => self.metadata = Some(own),
            Some(all) => widen(all, &own),
        }
    }

    fn add_point(&mut self, run: &ExportRun, point: &ExportPoint) {
        let left_out = match point.concurrency() {
            None => "its files are named by a concurrency, which this load has not",
            Some(_) if point.completed().next().is_none() => "no request completed",
            Some(concurrency) => {
                let scenario = scenario(run);
                let is_it =
                    |it: &Document| it.concurrency == concurrency && it.scenario == scenario;
                if self.documents.iter().any(is_it) {
                    "a file of this concurrency exists already"
                } else {
                    let value = document(run, point, concurrency);
                    let name = file_name(run, point, concurrency);
                    self.exported.files.push(json_file(name, &value, 4));
                    self.documents.push(Document { scenario, concurrency, value });
                    return;
                }
            }
        };
        self.exported.left_out.push(format!("{}: {left_out}", point.entry.label));
    }

    /// The folder of each run, and what is to be said of where its numbers come from.
    pub(super) fn origins(&self) -> &[(String, Vec<String>)] {
        &self.origins
    }

    /// Its files: a document of each scenario and concurrency, what they have in common, the workbook.
    pub(super) fn finish(mut self) -> Exported {
        let Some(mut metadata) = self.metadata else { return self.exported };
        let mut levels: Vec<u32> = Vec::new();
        for document in &self.documents {
            if !levels.contains(&document.concurrency) {
                levels.push(document.concurrency);
            }
        }
        metadata["num_concurrency"] = levels.into();
        self.exported.files.push(json_file("experiment_metadata.json", &metadata, 4));
        match workbook(&metadata, &mut self.documents) {
            Ok(file) => self.exported.files.push(file),
            Err(error) => self.exported.left_out.push(format!("{WORKBOOK}: {error}")),
        }
        self.exported
    }
}

/// Takes up what another run of the same experiment has beyond it.
fn widen(all: &mut Value, own: &Value) {
    for key in ["max_time_per_run_s", "max_requests_per_run"] {
        if own[key].as_u64() > all[key].as_u64() {
            all[key] = own[key].clone();
        }
    }
    let scenario = &own["traffic_scenario"][0];
    if let Some(scenarios) = all["traffic_scenario"].as_array_mut()
        && !scenarios.contains(scenario)
    {
        scenarios.push(scenario.clone());
    }
}

/// Why there is no workbook.
#[derive(Debug, thiserror::Error)]
enum WorkbookError {
    #[error("a sheet holds {} rows, and there are more requests", Sheet::MOST_ROWS)]
    TooManyRows,
    #[error("it cannot be packed ({0})")]
    Packing(#[from] std::io::Error),
}

fn workbook(metadata: &Value, documents: &mut [Document]) -> Result<ExportFile, WorkbookError> {
    let order = genai_bench_sheets::order(metadata);
    let place = |scenario: &str| order.iter().position(|it| it == scenario);
    documents.sort_by_key(|it| (place(&it.scenario), it.concurrency));
    let runs: Vec<Run> = documents
        .iter()
        .map(|it| Run { concurrency: it.concurrency, document: &it.value })
        .collect();
    let fields = FIELDS.map(|(name, _)| name);
    let sheets = genai_bench_sheets::all(metadata, &runs, &fields);
    if sheets.iter().any(|sheet| sheet.rows.len() > Sheet::MOST_ROWS) {
        return Err(WorkbookError::TooManyRows);
    }
    Ok(ExportFile { path: WORKBOOK.to_owned(), bytes: workbook::bytes(&sheets)? })
}

fn file_name(run: &ExportRun, point: &ExportPoint, concurrency: u32) -> String {
    let scenario = scenario(run).replace(['/', ','], "_").replace(['(', ')'], "");
    let seconds = point.duration_s().round() as u64;
    let task = run.service().task;
    format!("{scenario}_{task}_num_concurrency_{concurrency}_time_{seconds}s.json")
}

fn document(run: &ExportRun, point: &ExportPoint, concurrency: u32) -> Value {
    json!({
        "aggregated_metrics": aggregated(point, &scenario(run), concurrency),
        "individual_request_metrics": point.answers.iter().map(individual).collect::<Value>(),
        "_time_unit": "s",
        (provenance::KEY): provenance::value(run, point),
    })
}

/// Lengths of given prompts have no form of their own in the tool.
fn scenario(run: &ExportRun) -> String {
    let known = ["D(", "N(", "U("].iter().any(|form| run.scenario.starts_with(form));
    if known { run.scenario.clone() } else { "dataset".to_owned() }
}

fn aggregated(point: &ExportPoint, scenario: &str, concurrency: u32) -> Value {
    let seconds = point.duration_s();
    let (completed, failed) = (point.completed().count(), point.failed());
    let (prompt, output) = (point.prompt_tokens() as f64, point.output_tokens() as f64);
    let failures = if failed == 0 { json!({}) } else { json!({NO_STATUS.to_string(): failed}) };
    let mut stats = Map::new();
    for (name, of) in FIELDS {
        let sample = Sample::of(point.completed().filter_map(of));
        stats.insert(name.to_owned(), statistics(name, sample.as_ref()));
    }
    json!({
        "scenario": scenario,
        "num_concurrency": concurrency,
        "batch_size": 1,
        "iteration_type": "num_concurrency",
        "run_duration": seconds,
        "mean_output_throughput_tokens_per_s": per_second(output, seconds),
        "mean_input_throughput_tokens_per_s": per_second(prompt, seconds),
        "mean_total_tokens_throughput_tokens_per_s": per_second(prompt + output, seconds),
        "requests_per_second": per_second(completed as f64, seconds),
        "error_codes_frequency": failures,
        "error_rate": failed as f64 / (completed + failed) as f64,
        "num_error_requests": failed,
        "num_completed_requests": completed,
        "num_requests": completed + failed,
        "stats": stats,
    })
}

fn statistics(name: &str, sample: Option<&Sample>) -> Value {
    let value = |of: fn(&Sample) -> f64| sample.map(of);
    let mut stats = Map::new();
    let whole = name.starts_with("num_") || name == "total_tokens";
    let count = |it: Option<f64>| it.map_or(Value::Null, |it| number(it, whole));
    stats.insert("min".into(), count(value(Sample::min)));
    stats.insert("max".into(), count(value(Sample::max)));
    stats.insert("mean".into(), value(Sample::mean).into());
    stats.insert("stddev".into(), value(Sample::std).into());
    stats.insert("sum".into(), count(value(Sample::sum)));
    for (name, percent) in PERCENTILES {
        stats.insert(name.into(), sample.map(|sample| sample.percentile(percent)).into());
    }
    Value::Object(stats)
}

fn number(value: f64, whole: bool) -> Value {
    if whole { Value::from(value as u64) } else { value.into() }
}

fn individual(answer: &Answer) -> Value {
    let mut metrics = Map::new();
    for (name, of) in FIELDS {
        let whole = name.starts_with("num_") || name == "total_tokens";
        let value = of(answer).filter(|_| answer.failure.is_none());
        metrics.insert(name.to_owned(), value.map_or(Value::Null, |it| number(it, whole)));
    }
    let failure = answer.failure.as_ref();
    metrics.insert("error_code".into(), failure.map(|_| NO_STATUS).into());
    metrics.insert("error_message".into(), failure.map(|(_, words)| words.clone()).into());
    Value::Object(metrics)
}

/// All but the concurrencies, which are those that have a file.
fn metadata(run: &ExportRun) -> Value {
    let requests = run.points.iter().map(|point| point.answers.len()).max().unwrap_or(0);
    let longest = run.points.iter().map(ExportPoint::duration_s).fold(0.0, f64::max);
    let server = &run.manifest.declared.server;
    let own = Some(run.manifest.target.gpus).filter(|gpus| *gpus > 0);
    let gpus = own.or(server.gpu_count);
    // The tool's sheets and plots show the kind of GPU, and nothing else of where numbers come from.
    let gpu_type = [server.gpu_type.clone(), provenance::label(run)];
    let gpu_type: Vec<String> = gpu_type.into_iter().flatten().collect();
    let gpu_type = (!gpu_type.is_empty()).then(|| gpu_type.join(", "));
    json!({
        "cmd": run.command(),
        "benchmark_version": VERSION,
        "api_backend": run.manifest.target.kind,
        "auth_config": {},
        "api_model_name": run.model(),
        "server_model_tokenizer": null,
        "model": run.model(),
        "task": run.service().task,
        "num_concurrency": [],
        "batch_size": [1],
        "iteration_type": "num_concurrency",
        "traffic_scenario": [scenario(run)],
        "additional_request_params": {},
        "server_engine": server.engine,
        "server_version": server.version,
        "server_gpu_type": gpu_type,
        "server_gpu_count": gpus.map(|gpus| gpus.to_string()),
        "max_time_per_run_s": longest.ceil() as u64,
        "max_requests_per_run": requests,
        "experiment_folder_name": run.shown.folder,
        "metrics_time_unit": "s",
        "dataset_path": null,
    })
}
