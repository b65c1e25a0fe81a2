//! Sheets of genai-bench's workbook, made of the documents of its runs; latencies in seconds, means in the overviews.

use serde::Serialize as _;
use serde_json::Value;

use super::workbook::{Bold, Cell, Sheet};

/// Output speed in tokens/s above which the tool calls a level usable.
const TARGET_SPEED: f64 = 10.0;
/// The same for embeddings, where the rate of all tokens counts.
const TARGET_THROUGHPUT: f64 = 100.0;
/// Two concurrencies whose rates differ by less are as good as each other.
const CLOSE: f64 = 0.05;
/// Its own names of scenarios.
const NAMED: [(&str, &str); 5] = [
    ("N(480,240)/(300,150)", "Scenario 1: Fusion N(480,240)/(300,150)"),
    ("D(100,100)", "Scenario 2: Chatbot/Dialog D(100,100)"),
    ("D(100,1000)", "Scenario 3: Generation Heavy D(100,1000)"),
    ("D(2000,200)", "Scenario 4: Typical RAG D(2000,200)"),
    ("D(7800,200)", "Scenario 5: Heavier RAG D(7800,200)"),
];
const LATENCIES: [&str; 4] = ["ttft", "tpot", "e2e_latency", "output_latency"];
/// What the sheet of all runs takes from the tool's own totals, in its order.
const TOTALS: [&str; 10] = [
    "run_duration",
    "mean_output_throughput_tokens_per_s",
    "mean_input_throughput_tokens_per_s",
    "mean_total_tokens_throughput_tokens_per_s",
    "requests_per_second",
    "error_codes_frequency",
    "error_rate",
    "num_error_requests",
    "num_completed_requests",
    "num_requests",
];
const TOTAL_THROUGHPUT: &str = "mean_total_tokens_throughput_tokens_per_s";

/// One run of the tool: its concurrency or batch size, and its document.
pub(super) struct Run<'a> {
    pub(super) level: u32,
    pub(super) document: &'a Value,
}

impl Run<'_> {
    fn total(&self, name: &str) -> f64 {
        self.document["aggregated_metrics"][name].as_f64().unwrap_or_default()
    }

    /// The mean of a metric; nothing where no request has it.
    fn mean(&self, name: &str) -> Cell {
        cell(&self.document["aggregated_metrics"]["stats"][name]["mean"])
    }

    fn scenario(&self) -> &str {
        self.document["aggregated_metrics"]["scenario"].as_str().unwrap_or_default()
    }

    fn requests(&self) -> &[Value] {
        self.document["individual_request_metrics"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// Scenarios in the order of the tool's sheets: those that it names, then the others as they were asked for.
pub(super) fn order(metadata: &Value) -> Vec<String> {
    let asked = metadata["traffic_scenario"].as_array().map_or(&[][..], Vec::as_slice);
    let asked: Vec<&str> = asked.iter().filter_map(Value::as_str).collect();
    let named = NAMED.iter().map(|(known, _)| *known).filter(|known| asked.contains(known));
    let others = asked.iter().copied().filter(|it| NAMED.iter().all(|(known, _)| known != it));
    named.chain(others).map(str::to_owned).collect()
}

/// All of them, in the order of the tool. Runs are sorted by scenario, then by level.
pub(super) fn all(metadata: &Value, runs: &[Run], fields: &[&str]) -> Vec<Sheet> {
    let iteration = iteration(metadata);
    let mut totals = all_runs(iteration, runs, fields);
    let mut requests = all_requests(iteration, runs, fields);
    for sheet in [&mut totals, &mut requests] {
        sheet.folded = empty_columns(&sheet.rows);
    }
    vec![summary(metadata, runs), appendix(metadata, runs), facts(metadata), totals, requests]
}

/// As the tool shows a machine: `8xH100`, and `None` where something was not said.
fn machine(metadata: &Value) -> String {
    let said = |key: &str| metadata[key].as_str().map_or_else(|| "None".to_owned(), str::to_owned);
    format!("{}x{}", said("server_gpu_count"), said("server_gpu_type"))
}

/// What the experiment is repeated over, as the name of a column.
fn iteration(metadata: &Value) -> &str {
    metadata["iteration_type"].as_str().unwrap_or_default()
}

fn is_by_batch_size(metadata: &Value) -> bool {
    iteration(metadata) == super::genai_bench::BATCH_SIZE
}

/// The tool has other columns and another target for embeddings; not for reranking.
fn is_embedding(metadata: &Value) -> bool {
    metadata["task"].as_str().is_some_and(|task| task.ends_with("-to-embeddings"))
}

fn use_case(scenario: &str) -> Cell {
    let named = NAMED.iter().find(|(known, _)| *known == scenario);
    Cell::text(named.map_or(scenario, |(_, name)| name))
}

fn summary(metadata: &Value, runs: &[Run]) -> Sheet {
    let embeds = is_embedding(metadata);
    let target = if embeds { TARGET_THROUGHPUT } else { TARGET_SPEED };
    let level = if is_by_batch_size(metadata) {
        format!("Batch Size at target throughput (>{target} tokens/s)")
    } else {
        format!("Concurrency at target speed (>{target} tokens/s)")
    };
    let header = ["GPU Type", "Use Case", &level, "Total Throughput (tokens/min)"];
    let mut rows = vec![header.map(Cell::text).to_vec()];
    rows.extend(by_scenario(runs).map(|runs| {
        let usable = usable(runs, embeds);
        let absent = || Cell::text("N/A");
        vec![
            Cell::text(machine(metadata)),
            use_case(runs[0].scenario()),
            usable.map_or_else(absent, |run| Cell::Number(run.level.into())),
            usable.map_or_else(absent, |run| Cell::Number(run.total(TOTAL_THROUGHPUT) * 60.0)),
        ]
    }));
    let mut sheet = Sheet { decimals_from: Some(3), ..Sheet::new("Summary", rows, Bold::FirstRow) };
    let last = sheet.rows.len() - 1;
    merge(&mut sheet, 0, 1, last);
    sheet
}

/// Runs of each scenario together; none of them is empty.
fn by_scenario<'a, 'b>(runs: &'a [Run<'b>]) -> impl Iterator<Item = &'a [Run<'b>]> {
    runs.chunk_by(|a, b| a.scenario() == b.scenario())
}

/// The highest level that is fast enough and still brings more than the one before.
fn usable<'a, 'b>(runs: &'a [Run<'b>], embeds: bool) -> Option<&'a Run<'b>> {
    let is_fast = |run: &&Run| match run.mean("output_inference_speed") {
        _ if embeds => run.total(TOTAL_THROUGHPUT) > TARGET_THROUGHPUT,
        Cell::Number(speed) => speed > TARGET_SPEED,
        Cell::Empty | Cell::Text(_) => false,
    };
    let mut best: Option<&Run> = None;
    for run in runs.iter().filter(is_fast) {
        if best.is_some_and(|before| is_close(run, before)) {
            break;
        }
        best = Some(run);
    }
    best
}

fn is_close(run: &Run, before: &Run) -> bool {
    [TOTAL_THROUGHPUT, "requests_per_second"].into_iter().all(|name| {
        let before = before.total(name);
        (run.total(name) - before).abs() / before < CLOSE
    })
}

/// A column of the appendix: its heading, and its value of a run.
type Column = (&'static str, fn(&Run) -> Cell);

fn appendix(metadata: &Value, runs: &[Run]) -> Sheet {
    let level = if is_by_batch_size(metadata) { "Batch Size" } else { "Concurrency" };
    let speed = "Output Inference Speed per Request (tokens/s)";
    let columns: [Column; 6] = [
        ("TTFT (s)", |run| run.mean("ttft")),
        (speed, |run| run.mean("output_inference_speed")),
        ("Output Throughput of Server (tokens/s)", |run| {
            Cell::Number(run.total("mean_output_throughput_tokens_per_s"))
        }),
        ("End-to-End Latency per Request (s)", |run| run.mean("e2e_latency")),
        ("Request Throughput (RPS)", |run| Cell::Number(run.total("requests_per_second"))),
        ("Total Throughput (Input + Output) of Server (tokens/s)", |run| {
            Cell::Number(run.total(TOTAL_THROUGHPUT))
        }),
    ];
    let embeds = is_embedding(metadata);
    let shown = || columns.iter().filter(|(name, _)| !(embeds && name.starts_with("Output ")));
    let names = ["GPU Type", "Use Case", level].into_iter().chain(shown().map(|(name, _)| *name));
    let mut rows: Vec<Vec<Cell>> = vec![names.map(Cell::text).collect()];
    rows.extend(runs.iter().map(|run| {
        let own = [
            Cell::text(machine(metadata)),
            use_case(run.scenario()),
            Cell::Number(run.level.into()),
        ];
        own.into_iter().chain(shown().map(|(_, of)| of(run))).collect()
    }));
    let mut sheet =
        Sheet { decimals_from: Some(3), ..Sheet::new("Appendix", rows, Bold::FirstRow) };
    merge(&mut sheet, 0, 1, runs.len());
    let mut first = 1;
    for runs in by_scenario(runs) {
        merge(&mut sheet, 1, first, first + runs.len() - 1);
        first += runs.len();
    }
    sheet
}

/// Shows cells as one, of which only the first keeps its value.
fn merge(sheet: &mut Sheet, column: usize, first: usize, last: usize) {
    sheet.merge(column, first, last);
    for row in sheet.rows.iter_mut().take(last + 1).skip(first + 1) {
        if let Some(cell) = row.get_mut(column) {
            *cell = Cell::Empty;
        }
    }
}

fn facts(metadata: &Value) -> Sheet {
    let fields = metadata.as_object().into_iter().flatten();
    let own = fields.filter(|(name, _)| *name != super::provenance::KEY);
    let rows = own.map(|(name, value)| vec![Cell::text(name), fact(value)]).collect();
    Sheet::new("Experiment Metadata", rows, Bold::FirstColumn)
}

fn fact(value: &Value) -> Cell {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(items) => Cell::text(items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        other => cell(other),
    }
}

fn heading(field: &str) -> String {
    if LATENCIES.contains(&field) { format!("{field} (s)") } else { field.to_owned() }
}

fn all_runs(iteration: &str, runs: &[Run], fields: &[&str]) -> Sheet {
    let names = ["scenario", iteration].into_iter().chain(TOTALS).map(str::to_owned);
    let header = names.chain(fields.iter().map(|field| heading(field)));
    let mut rows: Vec<Vec<Cell>> = vec![header.map(Cell::Text).collect()];
    rows.extend(runs.iter().map(|run| {
        let totals = &run.document["aggregated_metrics"];
        let own = ["scenario", iteration].into_iter().chain(TOTALS);
        let own = own.map(|name| cell(&totals[name]));
        own.chain(fields.iter().map(|field| cell(&totals["stats"][field]))).collect()
    }));
    // The tool counts columns from 1 and begins behind L.
    Sheet {
        lines_from: Some(12),
        ..Sheet::new("Aggregated Metrics for Each Run", rows, Bold::FirstRow)
    }
}

fn all_requests(iteration: &str, runs: &[Run], fields: &[&str]) -> Sheet {
    let names = ["scenario", iteration].into_iter().map(str::to_owned);
    let header = names
        .chain(fields.iter().map(|field| heading(field)))
        .chain(["error_code", "error_message"].map(str::to_owned));
    let mut sheet = Sheet::new(
        "Individual Request Metrics",
        vec![header.map(Cell::Text).collect()],
        Bold::FirstRow,
    );
    for run in runs {
        let first = sheet.rows.len();
        for request in run.requests() {
            let of = fields.iter().copied().chain(["error_code", "error_message"]);
            let own = [Cell::text(run.scenario()), Cell::Number(run.level.into())];
            sheet.rows.push(own.into_iter().chain(of.map(|name| cell(&request[name]))).collect());
        }
        let last = sheet.rows.len().saturating_sub(1);
        for column in [0, 1] {
            merge(&mut sheet, column, first, last);
        }
    }
    sheet
}

/// A value as the tool puts it into a cell: objects as text with two blanks per level.
fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Empty,
        Value::Bool(is) => Cell::text(is.to_string()),
        Value::Number(number) => number.as_f64().map_or(Cell::Empty, Cell::Number),
        Value::String(text) => Cell::text(text),
        Value::Object(_) | Value::Array(_) => Cell::Text(indented(value)),
    }
}

/// # Panics
/// Never: a `Value` always has a form in JSON, which is UTF-8.
fn indented(value: &Value) -> String {
    let in_memory = "a value in memory always has a form in JSON";
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"  ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).expect(in_memory);
    String::from_utf8(bytes).expect(in_memory)
}

/// Columns that say nothing in any row, which the tool folds away.
fn empty_columns(rows: &[Vec<Cell>]) -> Vec<usize> {
    let Some((header, rows)) = rows.split_first() else { return Vec::new() };
    let says_nothing = |cell: Option<&Cell>| match cell {
        None | Some(Cell::Empty) => true,
        Some(Cell::Number(value)) => *value == 0.0,
        Some(Cell::Text(text)) => says_nothing_in_json(text),
    };
    (0..header.len())
        .filter(|column| !rows.is_empty() && rows.iter().all(|row| says_nothing(row.get(*column))))
        .collect()
}

fn says_nothing_in_json(text: &str) -> bool {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else { return false };
    let is_nothing = |value: &Value| value.is_null() || value.as_f64() == Some(0.0);
    !object.is_empty() && object.values().all(is_nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(concurrency: u32, throughput: f64, speed: Option<f64>) -> Value {
        json!({
            "aggregated_metrics": {
                "scenario": "D(100,100)", "num_concurrency": concurrency,
                TOTAL_THROUGHPUT: throughput, "requests_per_second": throughput / 200.0,
                "stats": {"output_inference_speed": {"mean": speed}},
            },
            "individual_request_metrics": [{"ttft": 0.5}, {"ttft": 0.25}],
        })
    }

    fn usable_of(documents: &[Value]) -> Option<u32> {
        let runs: Vec<Run> =
            (1..).zip(documents).map(|(level, document)| Run { level, document }).collect();
        usable(&runs, false).map(|run| run.level)
    }

    #[test]
    fn a_concurrency_is_usable_while_it_is_fast_and_brings_more() {
        let at = |throughput: f64, speed: f64| document(1, throughput, Some(speed));
        assert_eq!(usable_of(&[at(100.0, 50.0), at(190.0, 20.0), at(300.0, 9.0)]), Some(2));
        assert_eq!(usable_of(&[at(100.0, 50.0), at(104.0, 40.0), at(300.0, 30.0)]), Some(1));
        assert_eq!(usable_of(&[at(100.0, 9.0)]), None);
        assert_eq!(usable_of(&[document(1, 100.0, None)]), None);
    }

    #[test]
    fn what_no_request_has_is_folded_away_and_what_is_shown_as_one_has_one_value() {
        let document = document(4, 100.0, Some(50.0));
        let runs = [Run { level: 4, document: &document }];
        let metadata = json!({"server_gpu_type": "H100", "server_gpu_count": "8", "task": "t"});
        let sheets = all(&metadata, &runs, &["ttft", "audio_throughput"]);
        let names: Vec<&str> = sheets.iter().map(|sheet| sheet.name).collect();
        assert_eq!(names[..2], ["Summary", "Appendix"]);
        assert_eq!(sheets[0].rows[1][0], Cell::text("8xH100"));
        let requests = &sheets[4];
        assert_eq!(requests.rows[0][2], Cell::text("ttft (s)"));
        assert_eq!(
            requests.rows[1][..3],
            [Cell::text("D(100,100)"), Cell::Number(4.0), Cell::Number(0.5)]
        );
        assert_eq!(requests.rows[2][..3], [Cell::Empty, Cell::Empty, Cell::Number(0.25)]);
        assert_eq!(requests.folded, [3, 4, 5]);
        assert_eq!(requests.merged.len(), 2);
    }
}
