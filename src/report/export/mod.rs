//! Exports: result files in the shapes of other tools, each a pure function of a run's records.
//!
//! Where a tool defines a metric otherwise than we do, it is computed the tool's way; docs/exports.md says where.

mod aiperf;
mod aiperf_metrics;
mod answers;
mod benchmark_serving;
mod genai_bench;
mod genai_bench_sheets;
mod genai_perf;
mod hdr_encoding;
mod hlog;
pub mod markdown;
mod mlperf;
pub(in crate::report) mod provenance;
pub mod sample;
mod service;
mod trtllm_bench;
mod workbook;

use serde_json::Value;

use crate::clock::MonoNs;
use crate::load::Load;
use crate::metrics::Summary;
use crate::record::request_record::Records;
use crate::report::Experiment;
use crate::settings::export::ExportFormat;
use crate::store::manifest::{Manifest, PointEntry};
use crate::store::run_directory::file;
use answers::Answer;
use service::Service;

/// A file, as it will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Where, from the folder of the run.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What came of one format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files to write.
    pub files: Vec<ExportFile>,
    /// What the format has no place for, in words.
    pub left_out: Vec<String>,
}

/// A run to export.
pub struct ExportRun<'a> {
    /// What is known of it.
    pub manifest: &'a Manifest,
    /// As our own reports show it.
    pub shown: &'a Experiment,
    /// The scenario of lengths, e.g. `D(128,64)`.
    pub scenario: String,
    /// Its points, in their order.
    pub points: Vec<ExportPoint<'a>>,
    first_stamp: MonoNs,
    started_ns: i64,
}

/// A point to export.
pub struct ExportPoint<'a> {
    /// What is known of it beside its records.
    pub entry: &'a PointEntry,
    /// What our own metrics say.
    pub summary: &'a Summary,
    answers: Vec<Answer>,
}

impl<'a> ExportRun<'a> {
    /// Of a run and the records of its points.
    pub fn new(
        manifest: &'a Manifest,
        shown: &'a Experiment,
        scenario: String,
        records: &[Records],
    ) -> Self {
        let points = manifest.points.iter().zip(&shown.points).zip(records);
        let stamps = records.iter().flat_map(Records::requests).filter_map(|record| record.submit);
        let started = manifest.started.parse::<jiff::Timestamp>();
        Self {
            manifest,
            shown,
            scenario,
            first_stamp: stamps.min().unwrap_or(MonoNs(0)),
            // A manifest of another hand may hold anything; then stamps count from 1970.
            started_ns: started.map_or(0, |at| at.as_nanosecond() as i64),
            points: points
                .map(|((entry, point), records)| ExportPoint {
                    entry,
                    summary: &point.summary,
                    answers: answers::of(records, entry.facts.streaming),
                })
                .collect(),
        }
    }

    /// The model, as other tools name it.
    fn model(&self) -> &str {
        self.manifest.target.model()
    }

    fn service(&self) -> Service {
        Service::of(&self.manifest.target)
    }

    /// Nanoseconds since 1970. The first request is taken to have been sent when the run began, which is a little late.
    fn wall_ns(&self, at: MonoNs) -> i64 {
        self.started_ns + (at - self.first_stamp).0
    }

    /// A date of a file, e.g. `20261129-061815`.
    fn date(&self) -> String {
        let at = jiff::Timestamp::from_nanosecond(i128::from(self.started_ns));
        at.map_or_else(|_| String::new(), |at| at.strftime("%Y%m%d-%H%M%S").to_string())
    }

    /// What was typed.
    fn command(&self) -> String {
        self.manifest.command_line.join(" ")
    }
}

impl ExportPoint<'_> {
    fn completed(&self) -> impl Iterator<Item = &Answer> + Clone {
        self.answers.iter().filter(|answer| answer.failure.is_none())
    }

    fn failed(&self) -> usize {
        self.answers.len() - self.completed().count()
    }

    /// Seconds from the first request to the last end, as tools without a steady window have it.
    fn duration_s(&self) -> f64 {
        let first = self.answers.iter().map(|answer| answer.start).min();
        let last = self.answers.iter().map(|answer| answer.end).max();
        first.zip(last).map_or(0.0, |(first, last)| (last - first).as_secs_f64())
    }

    fn prompt_tokens(&self) -> u64 {
        self.completed().map(|answer| u64::from(answer.prompt_tokens)).sum()
    }

    fn output_tokens(&self) -> u64 {
        self.completed().map(|answer| u64::from(answer.output_tokens)).sum()
    }

    /// Requests in flight that the load allows, where it bounds them.
    const fn concurrency(&self) -> Option<u32> {
        match self.entry.facts.load {
            Load::Closed { concurrency } => Some(concurrency),
            Load::Open { max_in_flight, .. } => max_in_flight,
            Load::Batch => None,
        }
    }

    const fn rate(&self) -> Option<f64> {
        match self.entry.facts.load {
            Load::Open { rate, .. } => Some(rate),
            Load::Closed { .. } | Load::Batch => None,
        }
    }

    /// As the folder of a point: `concurrency8`, `request_rate20`, `batch`.
    fn folder(&self) -> String {
        let load = match self.entry.facts.load {
            Load::Closed { concurrency } => format!("concurrency{concurrency}"),
            Load::Open { rate, .. } => format!("request_rate{rate}"),
            Load::Batch => "batch".to_owned(),
        };
        load + &self.batch_size()
    }

    /// What requests of several texts add to the name of a load: `_batch_size8`.
    fn batch_size(&self) -> String {
        let several = self.summary.documents.filter(|size| *size > 1);
        several.map_or_else(String::new, |size| format!("_batch_size{size}"))
    }
}

/// A number per second; 0 where no time passed.
fn per_second(count: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// The files of one format.
pub fn render(format: ExportFormat, run: &ExportRun) -> Exported {
    let mut exported = match format {
        ExportFormat::Aiperf => aiperf::render(run),
        ExportFormat::GenaiPerf => genai_perf::render(run),
        ExportFormat::BenchmarkServing => benchmark_serving::render(run),
        ExportFormat::GenaiBench => genai_bench::render(run),
        ExportFormat::TrtllmBench => trtllm_bench::render(run),
        ExportFormat::Mlperf => mlperf::render(run),
        ExportFormat::Hlog => hlog::render(run),
        ExportFormat::Md => markdown::render(run),
        // Made of the files of the run, row by row: `store/parquet_tables.rs`.
        ExportFormat::Parquet => Exported::default(),
    };
    if format != ExportFormat::Md {
        exported.files.push(provenance::sidecar(format, run));
    }
    below_its_folder(format, &mut exported);
    exported
}

fn below_its_folder(format: ExportFormat, exported: &mut Exported) {
    for written in &mut exported.files {
        written.path = format!("{}/{}/{}", file::EXPORTS, format.word(), written.path);
    }
    for words in &mut exported.left_out {
        words.insert_str(0, &format!("export {}: ", format.word()));
    }
}

/// One experiment of genai-bench for several runs, which the tool has in one folder.
pub use genai_bench::GenaiBench;

/// The files of an experiment of several runs.
pub fn genai_bench_together(experiment: GenaiBench) -> Exported {
    let format = ExportFormat::GenaiBench;
    let origins = provenance::sidecar_of(format, experiment.origins());
    let mut exported = experiment.finish();
    exported.files.push(origins);
    below_its_folder(format, &mut exported);
    exported
}

/// A result JSON as `vllm bench serve` writes it for each point, named for its load, e.g. `concurrency_16.json`.
pub fn serving_by_load(run: &ExportRun) -> Vec<ExportFile> {
    benchmark_serving::by_load(run)
}

/// One folder for each point, with the files that `of` makes.
fn by_point(run: &ExportRun, mut of: impl FnMut(&ExportPoint) -> Vec<ExportFile>) -> Exported {
    let mut exported = Exported::default();
    let mut taken: Vec<String> = Vec::new();
    for point in &run.points {
        if point.completed().next().is_none() {
            exported.left_out.push(format!("{}: no request completed", point.entry.label));
            continue;
        }
        let folder = untaken(point.folder(), &mut taken);
        exported.files.extend(
            of(point).into_iter().map(|file| ExportFile {
                path: format!("{folder}/{}", file.path),
                bytes: file.bytes,
            }),
        );
    }
    exported
}

/// A name, and another one where it is taken: a load that is measured twice has two folders or files.
fn untaken(mut name: String, taken: &mut Vec<String>) -> String {
    while taken.contains(&name) {
        name.push_str("_again");
    }
    taken.push(name.clone());
    name
}

fn text_file(path: impl Into<String>, text: String) -> ExportFile {
    ExportFile { path: path.into(), bytes: text.into_bytes() }
}

/// As JSON with so many blanks per level.
///
/// # Panics
/// Never: a `Value` always has a form in JSON.
fn json_file(path: impl Into<String>, value: &Value, indent: usize) -> ExportFile {
    use serde::Serialize;
    let blanks = " ".repeat(indent);
    let formatter = serde_json::ser::PrettyFormatter::with_indent(blanks.as_bytes());
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).expect("a value in memory always has a form in JSON");
    ExportFile { path: path.into(), bytes }
}
