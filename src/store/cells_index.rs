//! Index of a run of cells: every cell with its folder, how far it has come, and its main numbers.

use serde::{Deserialize, Serialize};

use crate::clock::utc_now;
use crate::load::Load;
use crate::load::plan::Plan;
use crate::metrics::Summary;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{SCHEMA_VERSION, Verdict};
use crate::observe::host::Build;
use crate::settings::cells::Cell;
use crate::store::manifest::command_line;
use crate::targets::TargetInfo;

/// `index.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellsIndex {
    /// Version of the shape of the files.
    pub schema_version: u32,
    /// This program.
    pub tool: Build,
    /// As typed, at the start and at each resumption.
    pub command_lines: Vec<Vec<String>>,
    /// When it began, wall clock, UTC.
    pub started: String,
    /// When it last ended; `None` while it runs, or where it was killed.
    pub ended: Option<String>,
    /// For reports.
    pub title: String,
    /// What answered.
    pub target: String,
    /// Latencies come from a cost model.
    pub simulated: bool,
    /// Weights are random.
    #[serde(default)]
    pub dummy_weights: bool,
    /// What went wrong beside cells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// Every cell, in the order in which they are measured.
    pub cells: Vec<CellEntry>,
}

/// How far a cell has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellState {
    /// It has not been begun.
    Missing,
    /// Measured, and everything is written.
    Complete,
    /// It has no result, or not all of it could be written; `why` says more.
    Failed,
    /// The user ended it early.
    Interrupted,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellEntry {
    /// Its name, and that of its folder.
    pub name: String,
    /// How long prompts and outputs are, or the file that they come from.
    pub scenario: String,
    /// When requests arrive.
    pub load: Load,
    /// SHA-256 of what is asked and when.
    pub plan_hash: String,
    /// How far it has come.
    pub state: CellState,
    /// Why it has no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Folders of earlier attempts, which are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// Its main numbers; `summary.json` has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<CellNumbers>,
}

/// Main numbers of a measured cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellNumbers {
    /// Whether they can be trusted.
    pub verdict: Verdict,
    /// Requests that were tried.
    pub attempted: u64,
    /// Of these, completed.
    pub completed: u64,
    /// Requests per second.
    pub request_throughput_per_s: Option<f64>,
    /// Output tokens per second.
    pub output_throughput_tokens_per_s: Option<f64>,
    /// Time to first token.
    pub ttft_p50_ms: Option<f64>,
    /// The same.
    pub ttft_p99_ms: Option<f64>,
    /// Time from one token to the next.
    pub itl_p50_ms: Option<f64>,
    /// The same.
    pub itl_p99_ms: Option<f64>,
    /// From submission to end.
    pub e2e_p50_ms: Option<f64>,
    /// The same.
    pub e2e_p99_ms: Option<f64>,
}

impl CellsIndex {
    /// Before anything is measured.
    pub fn begin(title: String, target: String, info: &TargetInfo, cells: Vec<CellEntry>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Build::this(),
            command_lines: vec![command_line()],
            started: utc_now().to_string(),
            ended: None,
            title,
            target,
            simulated: info.simulated,
            dummy_weights: info.dummy_weights,
            faults: Vec::new(),
            cells,
        }
    }

    /// `index.csv`: one row per cell. A value that does not exist is an empty field; nothing is rounded.
    ///
    /// # Panics
    /// Never: rows of equal length in memory are always accepted.
    pub fn to_csv(&self) -> Vec<u8> {
        let in_memory = "rows of equal length in memory are always accepted";
        let mut writer = csv::Writer::from_writer(Vec::new());
        for (index, cell) in self.cells.iter().enumerate() {
            let fields = cell.fields();
            if index == 0 {
                writer.write_record(fields.iter().map(|(name, _)| name)).expect(in_memory);
            }
            writer.write_record(fields.iter().map(|(_, field)| field)).expect(in_memory);
        }
        writer.into_inner().expect(in_memory)
    }
}

impl CellEntry {
    /// Before it is measured.
    pub fn missing(cell: &Cell, plan: &Plan) -> Self {
        Self {
            name: cell.name.clone(),
            scenario: plan.workload().asked(),
            load: cell.load,
            plan_hash: plan.hash().to_owned(),
            state: CellState::Missing,
            why: None,
            earlier: Vec::new(),
            numbers: None,
        }
    }

    /// Column and field together, so that they cannot come apart.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let numbers = self.numbers.as_ref();
        let number = |of: fn(&CellNumbers) -> Option<f64>| {
            numbers.and_then(of).map_or_else(String::new, |value| value.to_string())
        };
        let count = |of: fn(&CellNumbers) -> u64| {
            numbers.map(of).map_or_else(String::new, |value| value.to_string())
        };
        let verdict = numbers.map(|it| word(&it.verdict)).unwrap_or_default();
        vec![
            ("cell", self.name.clone()),
            ("scenario", self.scenario.clone()),
            ("load", self.load.to_string()),
            ("state", word(&self.state)),
            ("why", self.why.clone().unwrap_or_default()),
            ("verdict", verdict),
            ("attempted", count(|it| it.attempted)),
            ("completed", count(|it| it.completed)),
            ("request_throughput_per_s", number(|it| it.request_throughput_per_s)),
            ("output_throughput_tokens_per_s", number(|it| it.output_throughput_tokens_per_s)),
            ("ttft_p50_ms", number(|it| it.ttft_p50_ms)),
            ("ttft_p99_ms", number(|it| it.ttft_p99_ms)),
            ("itl_p50_ms", number(|it| it.itl_p50_ms)),
            ("itl_p99_ms", number(|it| it.itl_p99_ms)),
            ("e2e_p50_ms", number(|it| it.e2e_p50_ms)),
            ("e2e_p99_ms", number(|it| it.e2e_p99_ms)),
            ("plan_hash", self.plan_hash.clone()),
        ]
    }
}

impl CellNumbers {
    /// Of what the records of a cell come to.
    pub fn of(summary: &Summary) -> Self {
        let percentile =
            |quantity, which| summary.percentile(quantity, which).map(|value| value.value);
        let pair = |quantity| {
            (percentile(quantity, Percentile::P50), percentile(quantity, Percentile::P99))
        };
        let (ttft, itl, e2e) = (pair(Quantity::Ttft), pair(Quantity::Itl), pair(Quantity::E2e));
        Self {
            verdict: summary.verdict,
            attempted: summary.counts.attempted,
            completed: summary.counts.completed,
            request_throughput_per_s: summary.rate(Rate::RequestThroughput),
            output_throughput_tokens_per_s: summary.rate(Rate::OutputThroughput),
            ttft_p50_ms: ttft.0,
            ttft_p99_ms: ttft.1,
            itl_p50_ms: itl.0,
            itl_p99_ms: itl.1,
            e2e_p50_ms: e2e.0,
            e2e_p99_ms: e2e.1,
        }
    }
}

/// The word that a state has in JSON.
fn word(value: &impl Serialize) -> String {
    let json = serde_json::to_value(value).ok();
    json.as_ref().and_then(|it| it.as_str()).unwrap_or_default().to_owned()
}
