//! Files of genai-bench 0.0.5: `experiment_metadata.json`, a JSON per scenario and concurrency, and the workbook of all.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answers::Answer;
use super::genai_bench_sheets::{self, Run};
use super::sample::Sample;
use super::service::Service;
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
const NO_STATUS: u16 = 599;
/// Scenarios that the tool can read back: lengths of text, of texts to embed, of documents to rerank.
const SCENARIOS: [&str; 5] = ["D(", "N(", "U(", "E(", "R("];
/// What an experiment of the tool is repeated over: the name of a field in its files, and part of their names.
const CONCURRENCY: &str = "num_concurrency";
pub(super) const BATCH_SIZE: &str = "batch_size";

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

/// Fields about output.
const OF_OUTPUT: [&str; 6] = [
    "tpot",
    "output_latency",
    "output_inference_speed",
    "num_output_tokens",
    "num_reasoning_tokens",
    "output_throughput",
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

/// The fields of a service. Where answers are no text, the tool has 0 for everything that is about output.
fn fields(run: &ExportRun) -> [Field; FIELDS.len()] {
    let writes = run.service().writes;
    FIELDS.map(|(name, of)| {
        let is_zero = !writes && OF_OUTPUT.contains(&name);
        (name, if is_zero { |_: &Answer| Some(0.0) } else { of })
    })
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
    left_out: Vec<String>,
}

/// One file of a scenario at one load.
#[derive(Debug)]
struct Document {
    label: String,
    scenario: String,
    service: Service,
    seconds: u64,
    concurrency: u32,
    batch_size: u32,
    value: Value,
}

impl Document {
    /// Where it stands along what the experiment is repeated over.
    fn level(&self, iteration: &str) -> u32 {
        if iteration == BATCH_SIZE { self.batch_size } else { self.concurrency }
    }

    fn file_name(&self, iteration: &str) -> String {
        let scenario = self.scenario.replace(['/', ','], "_").replace(['(', ')'], "");
        let level = self.level(iteration);
        format!("{scenario}_{}_{iteration}_{level}_time_{}s.json", self.service.task, self.seconds)
    }
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
        let label = &point.entry.label;
        let Some(concurrency) = point.concurrency() else {
            let why = "its files are named by a concurrency, which this load has not";
            return self.left_out.push(format!("{label}: {why}"));
        };
        if point.completed().next().is_none() {
            return self.left_out.push(format!("{label}: no request completed"));
        }
        let batch_size = point.summary.documents.unwrap_or(1);
        self.documents.push(Document {
            label: label.clone(),
            scenario: scenario(run),
            service: run.service(),
            seconds: point.duration_s().round() as u64,
            concurrency,
            batch_size,
            value: document(run, point, concurrency, batch_size),
        });
    }

    /// The folder of each run, and what is to be said of where its numbers come from.
    pub(super) fn origins(&self) -> &[(String, Vec<String>)] {
        &self.origins
    }

    /// Its files: a document of each scenario and level, what they have in common, the workbook.
    pub(super) fn finish(mut self) -> Exported {
        let mut exported = Exported { files: Vec::new(), left_out: self.left_out };
        let Some(mut metadata) = self.metadata else { return exported };
        let iteration = iteration(&self.documents);
        let mut taken: Vec<(String, u32)> = Vec::new();
        self.documents.retain(|it| {
            let place = (it.scenario.clone(), it.level(iteration));
            let is_first = !taken.contains(&place);
            if is_first {
                taken.push(place);
            } else {
                let what = iteration.trim_start_matches("num_").replace('_', " ");
                let words = format!("{}: a file of this {what} exists already", it.label);
                exported.left_out.push(words);
            }
            is_first
        });
        for document in &mut self.documents {
            document.value["aggregated_metrics"]["iteration_type"] = iteration.into();
            let name = document.file_name(iteration);
            exported.files.push(json_file(name, &document.value, 4));
        }
        metadata["iteration_type"] = iteration.into();
        for of in [CONCURRENCY, BATCH_SIZE] {
            let mut levels: Vec<u32> = Vec::new();
            for level in self.documents.iter().map(|it| it.level(of)) {
                if !levels.contains(&level) {
                    levels.push(level);
                }
            }
            metadata[of] = levels.into();
        }
        exported.files.push(json_file("experiment_metadata.json", &metadata, 4));
        match workbook(&metadata, iteration, &mut self.documents) {
            Ok(file) => exported.files.push(file),
            Err(error) => exported.left_out.push(format!("{WORKBOOK}: {error}")),
        }
        exported
    }
}

/// What the experiment is repeated over. The tool takes texts to embed and documents to rerank always by batch size, one request at a
/// time; where we measured them at several concurrencies, its other way keeps these apart.
fn iteration(documents: &[Document]) -> &'static str {
    let embeds = documents.iter().any(|it| !it.service.writes);
    let concurrencies = documents.iter().map(|it| it.concurrency);
    let is_one = concurrencies.clone().min() == concurrencies.max();
    if is_one && embeds { BATCH_SIZE } else { CONCURRENCY }
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

fn workbook(
    metadata: &Value,
    iteration: &str,
    documents: &mut [Document],
) -> Result<ExportFile, WorkbookError> {
    let order = genai_bench_sheets::order(metadata);
    let place = |scenario: &str| order.iter().position(|it| it == scenario);
    documents.sort_by_key(|it| (place(&it.scenario), it.level(iteration)));
    let runs: Vec<Run> = documents
        .iter()
        .map(|it| Run { level: it.level(iteration), document: &it.value })
        .collect();
    let fields = FIELDS.map(|(name, _)| name);
    let sheets = genai_bench_sheets::all(metadata, &runs, &fields);
    if sheets.iter().any(|sheet| sheet.rows.len() > Sheet::MOST_ROWS) {
        return Err(WorkbookError::TooManyRows);
    }
    Ok(ExportFile { path: WORKBOOK.to_owned(), bytes: workbook::bytes(&sheets)? })
}

fn document(run: &ExportRun, point: &ExportPoint, concurrency: u32, batch_size: u32) -> Value {
    let fields = fields(run);
    let requests = point.answers.iter().map(|answer| individual(answer, &fields));
    json!({
        "aggregated_metrics": aggregated(run, point, concurrency, batch_size),
        "individual_request_metrics": requests.collect::<Value>(),
        "_time_unit": "s",
        (provenance::KEY): provenance::value(run, point),
    })
}

/// Lengths of given prompts have no form of their own in the tool.
fn scenario(run: &ExportRun) -> String {
    let known = SCENARIOS.iter().any(|form| run.scenario.starts_with(form));
    if known { run.scenario.clone() } else { "dataset".to_owned() }
}

fn aggregated(run: &ExportRun, point: &ExportPoint, concurrency: u32, batch_size: u32) -> Value {
    let seconds = point.duration_s();
    let (completed, failed) = (point.completed().count(), point.failed());
    let (prompt, output) = (point.prompt_tokens() as f64, point.output_tokens() as f64);
    let mut failures: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in &point.answers {
        if let Some(code) = error_code(answer) {
            *failures.entry(code).or_default() += 1;
        }
    }
    let mut stats = Map::new();
    for (name, of) in fields(run) {
        let sample = Sample::of(point.completed().filter_map(of));
        stats.insert(name.to_owned(), statistics(name, sample.as_ref()));
    }
    json!({
        "scenario": scenario(run),
        (CONCURRENCY): concurrency,
        (BATCH_SIZE): batch_size,
        "iteration_type": CONCURRENCY,
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

fn individual(answer: &Answer, fields: &[Field]) -> Value {
    let mut metrics = Map::new();
    for (name, of) in fields {
        let whole = name.starts_with("num_") || *name == "total_tokens";
        let value = of(answer).filter(|_| answer.failure.is_none());
        metrics.insert((*name).to_owned(), value.map_or(Value::Null, |it| number(it, whole)));
    }
    let failure = answer.failure.as_ref();
    metrics.insert("error_code".into(), error_code(answer).into());
    metrics.insert("error_message".into(), failure.map(|(_, words)| words.clone()).into());
    Value::Object(metrics)
}

fn error_code(answer: &Answer) -> Option<u16> {
    answer.failure.as_ref()?;
    Some(answer.http_status().unwrap_or(NO_STATUS))
}

/// All but the concurrencies and batch sizes, which are those that have a file.
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
        (CONCURRENCY): [],
        (BATCH_SIZE): [],
        "iteration_type": CONCURRENCY,
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
