//! `summary.csv`: one row per point; the first twelve columns match other tools.
//!
//! A value that does not exist is an empty field. Numbers are not rounded: they are those of `summary.json`.

use crate::load::{Arrivals, Load};
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::roofline::{Bound, Roofline};
use crate::metrics::summary::{Distribution, Mark, Summary};
use crate::report::{Experiment, PointReport, json_word, notes};
use crate::settings::declared::Declared;
use crate::warning::Code;

/// The columns that come first, in this order and with these names, in every version.
pub const FIRST_COLUMNS: [&str; 12] = [
    "concurrency",
    "total_requests",
    "successful_requests",
    "failed_requests",
    "total_time_s",
    "requests_per_sec",
    "throughput_tokens_per_sec",
    "avg_latency_ms",
    "p50_latency_ms",
    "p90_latency_ms",
    "p99_latency_ms",
    "avg_ttft_ms",
];

/// A column and its field; header and row are made from the same list, so that they cannot come apart.
type Cell = (String, String);

/// The whole file.
///
/// # Panics
/// Never: rows of equal length in memory are always accepted.
pub fn render(experiment: &Experiment) -> Vec<u8> {
    let rows: Vec<Vec<Cell>> =
        experiment.points.iter().map(|point| row(point, &experiment.declared)).collect();
    let header: Vec<String> = match rows.first() {
        Some(first) => first.iter().map(|(name, _)| name.clone()).collect(),
        None => FIRST_COLUMNS.map(str::to_owned).to_vec(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let in_memory = "rows of equal length in memory are always accepted";
    writer.write_record(&header).expect(in_memory);
    for row in &rows {
        writer.write_record(row.iter().map(|(_, field)| field)).expect(in_memory);
    }
    writer.into_inner().expect(in_memory)
}

fn row(point: &PointReport, declared: &Declared) -> Vec<Cell> {
    let summary = &point.summary;
    let mut cells: Vec<Cell> =
        FIRST_COLUMNS.map(str::to_owned).into_iter().zip(first(summary)).collect();
    cells.extend(identity(point));
    cells.extend(counts(summary));
    cells.extend(
        Rate::ALL.map(|rate| (rate.definition().key.to_owned(), maybe(summary.rate(rate)))),
    );
    for quantity in Quantity::ALL {
        cells.extend(statistics(quantity, summary.distribution(quantity)));
    }
    cells.extend(roofline(summary.roofline.as_ref()));
    let codes: Vec<&str> = notes::codes_of(point).into_iter().map(Code::number).collect();
    cells.push(cell("warning_codes", &codes.join(";")));
    let server = &declared.server;
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    cells.push(cell("server_engine", &said(&server.engine)));
    cells.push(cell("server_version", &said(&server.version)));
    cells.push(cell("server_gpu_type", &said(&server.gpu_type)));
    let count = server.gpu_count.map_or_else(String::new, |count| count.to_string());
    cells.push(cell("server_gpu_count", &count));
    cells.extend(declared.notes.iter().map(|(key, text)| cell(&format!("note_{key}"), text)));
    cells
}

/// The fields of [`FIRST_COLUMNS`]. Every attempted request either succeeded or failed, in whatever way.
fn first(summary: &Summary) -> [String; 12] {
    let counts = &summary.counts;
    let latency = |which| maybe(summary.percentile(Quantity::E2e, which).map(|it| it.value));
    let mean = |quantity| maybe(summary.distribution(quantity).map(|it| it.mean));
    [
        concurrency(summary.load).map_or_else(String::new, |in_flight| in_flight.to_string()),
        counts.attempted.to_string(),
        counts.completed.to_string(),
        counts.attempted.saturating_sub(counts.completed).to_string(),
        maybe(summary.window_s),
        maybe(summary.rate(Rate::RequestThroughput)),
        maybe(summary.rate(Rate::OutputThroughput)),
        mean(Quantity::E2e),
        latency(Percentile::P50),
        latency(Percentile::P90),
        latency(Percentile::P99),
        mean(Quantity::Ttft),
    ]
}

/// Requests in flight that the load allows, where it bounds them.
const fn concurrency(load: Load) -> Option<u32> {
    match load {
        Load::Closed { concurrency } => Some(concurrency),
        Load::Open { max_in_flight, .. } => max_in_flight,
        Load::Batch => None,
    }
}

fn identity(point: &PointReport) -> [Cell; 16] {
    let summary = &point.summary;
    let marked = |mark| summary.marks.contains(&mark).to_string();
    let (load, arrivals, rate) = match summary.load {
        Load::Closed { .. } => ("closed", None, None),
        Load::Open { arrivals, rate, .. } => ("open", Some(arrivals), Some(rate)),
        Load::Batch => ("batch", None, None),
    };
    let burstiness = match arrivals {
        Some(Arrivals::Gamma { burstiness }) => Some(burstiness),
        Some(Arrivals::Constant | Arrivals::Poisson | Arrivals::Uniform | Arrivals::Replay)
        | None => None,
    };
    [
        cell("schema_version", &summary.schema_version),
        cell("point", &summary.point),
        cell("label", &point.label),
        cell("verdict", &json_word(&summary.verdict)),
        cell("incomplete", &marked(Mark::Incomplete)),
        cell("simulated", &marked(Mark::Simulated)),
        cell("dummy_weights", &marked(Mark::DummyWeights)),
        cell("profiled", &marked(Mark::Profiled)),
        cell("target", &summary.target.name),
        cell("target_kind", &summary.target.kind),
        cell("streaming", &summary.streaming),
        cell("gpus", &summary.gpus),
        cell("load", &load),
        cell("arrivals", &arrivals.map_or_else(String::new, arrivals_word)),
        cell("burstiness", &maybe(burstiness)),
        cell("offered_requests_per_s", &maybe(rate)),
    ]
}

fn arrivals_word(arrivals: Arrivals) -> String {
    match arrivals {
        Arrivals::Constant => "constant",
        Arrivals::Poisson => "poisson",
        Arrivals::Uniform => "uniform",
        Arrivals::Replay => "replay",
        Arrivals::Gamma { .. } => "gamma",
    }
    .to_owned()
}

fn counts(summary: &Summary) -> [Cell; 27] {
    let counts = &summary.counts;
    let by_kind = counts.failed_by_kind.iter().map(|(kind, count)| format!("{kind}:{count}"));
    let by_source =
        counts.token_sources.iter().map(|(source, count)| format!("{}:{count}", json_word(source)));
    let odd = counts.oddities.iter().map(|(odd, of)| format!("{}:{}", odd.word(), of.requests));
    [
        cell("planned", &counts.planned),
        cell("submitted", &counts.submitted),
        cell("failed", &counts.failed),
        cell("failed_by_kind", &by_kind.collect::<Vec<_>>().join(";")),
        cell("cancelled", &counts.cancelled),
        cell("timed_out", &counts.timed_out),
        cell("not_sent", &counts.not_sent),
        cell("not_reached", &counts.not_reached),
        cell("missed", &counts.missed),
        cell("interrupted", &counts.interrupted),
        cell("target_failed", &counts.target_failed),
        cell("worker_lost", &counts.worker_lost),
        cell("completed_in_window", &counts.completed_in_window),
        cell("output_tokens_in_window", &counts.output_tokens_in_window),
        cell("unsuccessful_tokens_in_window", &counts.unsuccessful_tokens_in_window),
        cell("token_count_differs", &counts.token_count_differs),
        cell("deliveries_missing", &counts.deliveries_missing),
        cell("token_sources", &by_source.collect::<Vec<_>>().join(";")),
        cell("token_mismatches", &counts.token_mismatches),
        cell("prompt_token_mismatches", &counts.prompt_token_mismatches),
        cell("resent", &counts.resent),
        cell("connected_inside", &counts.connected_inside),
        cell("without_tpot", &counts.without_tpot),
        cell("oddities", &odd.collect::<Vec<_>>().join(";")),
        cell("tokens_per_chunk", &maybe(counts.tokens_per_chunk)),
        cell("approximate", &summary.approximate),
        cell(
            "prompt_surplus_tokens",
            &counts.prompt_surplus.map_or_else(String::new, |it| it.tokens.to_string()),
        ),
    ]
}

/// `<key>_count`, `_avg`, `_std`, `_min`, `_max`, each percentile, and the highest percentile that is certified.
fn statistics(quantity: Quantity, values: Option<&Distribution>) -> Vec<Cell> {
    let key = quantity.definition().key;
    let named = |name: &str, value: Option<f64>| (format!("{key}_{name}"), maybe(value));
    let mut cells = vec![
        (format!("{key}_count"), values.map_or_else(String::new, |it| it.count.to_string())),
        named("avg", values.map(|it| it.mean)),
        named("std", values.and_then(|it| it.std)),
        named("min", values.map(|it| it.min)),
        named("max", values.map(|it| it.max)),
    ];
    let percentile = |which| values.and_then(|it| it.percentiles.get(which));
    for which in &Percentile::ALL {
        cells.push(named(&json_word(which), percentile(which).map(|it| it.value)));
    }
    let certified = Percentile::ALL
        .iter()
        .rfind(|which| percentile(which).is_some_and(|it| it.certified))
        .map_or_else(String::new, json_word);
    cells.push((format!("{key}_certified_to"), certified));
    cells
}

fn roofline(found: Option<&Roofline>) -> [Cell; 17] {
    let decode = found.and_then(|it| it.decode);
    let prefill = found.and_then(|it| it.prefill);
    let measured = found.and_then(|it| it.measured.as_ref());
    let bound = |bound: Option<Bound>| bound.map_or("", Bound::word);
    let number = |name: &str, value: Option<f64>| (format!("roofline_{name}"), maybe(value));
    let from = found.and_then(|it| it.machine_from).as_ref().map_or_else(String::new, json_word);
    [
        cell("roofline_machine", &found.map_or("", |it| &it.machine)),
        cell("roofline_machine_from", &from),
        number("decode_batch", decode.map(|it| it.batch)),
        number("decode_context_tokens", decode.map(|it| it.context_tokens)),
        number("decode_floor_ms", decode.map(|it| it.floor_ms)),
        cell("roofline_decode_bound", &bound(decode.map(|it| it.bound))),
        number("decode_share", decode.and_then(|it| it.share)),
        number("bandwidth_utilisation", decode.and_then(|it| it.bandwidth_utilisation)),
        number("prefill_prompt_tokens", prefill.map(|it| it.prompt_tokens)),
        number("prefill_floor_ms", prefill.map(|it| it.floor_ms)),
        cell("roofline_prefill_bound", &bound(prefill.map(|it| it.bound))),
        number("prefill_share", prefill.and_then(|it| it.share)),
        number("flop_utilisation", found.and_then(|it| it.flop_utilisation)),
        number("measured_decode_share", measured.and_then(|it| it.decode_share)),
        number("measured_bandwidth_utilisation", measured.and_then(|it| it.bandwidth_utilisation)),
        number("measured_prefill_share", measured.and_then(|it| it.prefill_share)),
        number("measured_flop_utilisation", measured.and_then(|it| it.flop_utilisation)),
    ]
}

fn cell(name: &str, field: &impl ToString) -> Cell {
    (name.to_owned(), field.to_string())
}

/// The shortest text that reads back as the same number.
fn maybe(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
