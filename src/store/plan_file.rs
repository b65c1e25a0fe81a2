//! `plan.csv`: one row per planned request, all points of an experiment in one file, written while it is drawn.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Nanos;
use crate::load::plan::{PromptSha, Shot};
use crate::record::disk::remedy_of_table;
use crate::request::RequestId;
use crate::workload::seeds::Phase;

/// One planned request; the columns of `plan.csv`, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRow {
    /// Point of the experiment, from 0.
    pub point: u32,
    /// Who it is in the records.
    pub request_id: RequestId,
    /// `warmup` or `measure`.
    pub phase: Phase,
    /// Intended arrival in nanoseconds from the start of its phase; empty in a closed loop.
    pub intended_ns: Option<Nanos>,
    /// Length of the prompt.
    pub prompt_tokens: u32,
    /// Output tokens asked for at most.
    pub max_tokens: u32,
    /// Output tokens asked for at least.
    pub min_tokens: u32,
    /// First 16 hexadecimal digits of the SHA-256 over the prompt's ids, each as 4 little-endian bytes.
    pub prompt_sha: String,
    /// Sampling seed.
    pub seed: u64,
    /// Task id of the LoRA adapter; empty for the model itself.
    pub adapter: Option<u64>,
    /// Higher first; the executor's default is 0.5.
    pub priority: f32,
    /// The first request of its conversation; empty where there is none.
    #[serde(default)]
    pub session: Option<u32>,
    /// Which turn of it, from 0.
    #[serde(default)]
    pub turn: Option<u32>,
    /// Which of several `--workload` it is of, from 0; empty where there is one.
    #[serde(default)]
    pub workload: Option<u8>,
    /// The group whose prefix its prompt begins with, from 0; empty where all begin alike.
    #[serde(default)]
    pub prefix_group: Option<u32>,
}

/// A `plan.csv` cannot be written or read.
#[derive(Debug, Error)]
pub enum PlanFileError {
    /// A row is not on disk.
    #[error("`plan.csv` cannot be written ({0}){then}", then = remedy_of_table(.0))]
    Write(#[source] csv::Error),
    /// What is on disk is none of ours.
    #[error("`plan.csv` cannot be read: {0}")]
    Read(#[source] csv::Error),
}

fn not_written(error: impl Into<csv::Error>) -> PlanFileError {
    PlanFileError::Write(error.into())
}

/// Writes plans one after another under one heading.
#[derive(Debug)]
pub struct PlanWriter<W: Write> {
    csv: csv::Writer<W>,
}

impl PlanWriter<File> {
    /// Begins a file at this place.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Self, PlanFileError> {
        Ok(Self::new(File::create(path).map_err(not_written)?))
    }

    /// Ends the file and has the system put it on disk.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub fn close(self) -> Result<(), PlanFileError> {
        self.finish()?.sync_all().map_err(not_written)
    }
}

impl<W: Write> PlanWriter<W> {
    /// Begins a file; the heading goes out with the first row.
    pub fn new(to: W) -> Self {
        Self { csv: csv::Writer::from_writer(to) }
    }

    /// Adds one request of a point.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, point: u32, phase: Phase, shot: &Shot) -> Result<(), PlanFileError> {
        self.csv.serialize(PlanRow::of(point, phase, shot)).map_err(not_written)
    }

    /// Hands rows to the system, so that a request is in the file before it is sent.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn flush(&mut self) -> Result<(), PlanFileError> {
        self.csv.flush().map_err(not_written)
    }

    /// Gives back what was written to, so that it can be synced.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub fn finish(self) -> Result<W, PlanFileError> {
        self.csv.into_inner().map_err(|error| not_written(error.into_error()))
    }
}

/// Reads all rows of a `plan.csv`.
///
/// # Errors
/// When a row is not one of ours; the error names the line and the column.
pub fn read(from: impl Read) -> Result<Vec<PlanRow>, PlanFileError> {
    let rows = csv::Reader::from_reader(from).into_deserialize();
    rows.collect::<Result<_, _>>().map_err(PlanFileError::Read)
}

impl PlanRow {
    /// The row of one request.
    pub fn of(point: u32, phase: Phase, shot: &Shot) -> Self {
        let request = &shot.request;
        Self {
            point,
            request_id: shot.id,
            phase,
            intended_ns: shot.intended,
            prompt_tokens: shot.prompt_tokens(),
            max_tokens: request.output.max_tokens,
            min_tokens: request.output.min_tokens,
            prompt_sha: PromptSha::of(request).to_string(),
            seed: request.sampling.seed,
            adapter: request.adapter,
            priority: request.priority,
            session: shot.turn.map(|turn| shot.id.0 - turn.number),
            turn: shot.turn.map(|turn| turn.number),
            workload: shot.workload,
            prefix_group: shot.prefix_group,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::{Plan, PlanSize, PlanStart};
    use crate::load::{Arrivals, Load};
    use crate::workload::Workload;
    use crate::workload::prompts::PromptSource;
    use crate::workload::vocabulary::Vocabulary;

    fn plan(load: Load, point: u32, first_id: RequestId) -> Plan {
        let workload = Workload::synthetic("U(5,9)/(2,3)".parse().expect("a scenario"), 1);
        let source = PromptSource::ids(Vocabulary::new(100, []).expect("100 ids"));
        let size = PlanSize { requests: Some(3), duration: None, warmup: 1, ..PlanSize::default() };
        let start = PlanStart { point, first_id };
        Plan::draw(&workload, &load, size, start, &source).expect("it makes sense")
    }

    fn rows(plan: &Plan) -> Vec<PlanRow> {
        let row = |(phase, shot)| PlanRow::of(plan.point(), phase, &shot);
        drawn(plan).map(row).collect()
    }

    fn drawn(plan: &Plan) -> impl Iterator<Item = (Phase, Shot)> {
        [plan.warmup(), plan.shots()].into_iter().flat_map(|list| {
            list.shots().map(|shot| (list.phase(), shot.expect("ids can always be drawn")))
        })
    }

    fn written(plans: &[&Plan]) -> Vec<u8> {
        let mut writer = PlanWriter::new(Vec::new());
        for plan in plans {
            for (phase, shot) in drawn(plan) {
                writer.write(plan.point(), phase, &shot).expect("memory takes everything");
            }
        }
        writer.finish().expect("memory takes everything")
    }

    #[test]
    fn a_table_that_is_not_ours_is_refused_with_its_line() {
        let heading = "point,request_id,phase,intended_ns,prompt_tokens,max_tokens,min_tokens,prompt_sha,seed,adapter,priority";
        let strange =
            format!("{heading}\n0,0,measure,,5,2,0,ab,1,,0.5\n0,1,cooldown,,5,2,0,ab,1,,0.5\n");
        let said = read(strange.as_bytes()).expect_err("there is no cooldown").to_string();
        assert!(said.contains("plan.csv") && said.contains("line: 3"), "{said}");
        assert!(read("a,b\n1,2\n".as_bytes()).is_err());
        assert_eq!(read(heading.as_bytes()).expect("no row is no fault"), []);
    }

    #[test]
    fn plans_of_several_points_read_back_from_one_file() {
        let open = Load::Open { arrivals: Arrivals::Poisson, rate: 3.0, max_in_flight: None };
        let one = plan(open, 0, RequestId(0));
        let two = plan(Load::Closed { concurrency: 2 }, 1, one.next_id());
        let bytes = written(&[&one, &two]);
        let read_back = read(bytes.as_slice()).expect("what was written reads");
        assert_eq!(read_back, [rows(&one), rows(&two)].concat());
        let ids: Vec<u32> = read_back.iter().map(|row| row.request_id.0).collect();
        assert_eq!(ids, (0..8).collect::<Vec<_>>());
        assert_eq!((read_back[0].phase, read_back[1].phase), (Phase::Warmup, Phase::Measure));
        assert!(read_back[4..].iter().all(|row| row.point == 1 && row.intended_ns.is_none()));
    }

    #[test]
    fn the_columns_are_the_documented_ones() {
        let text = String::from_utf8(written(&[&plan(Load::Batch, 0, RequestId(0))]));
        let text = text.expect("CSV is UTF-8");
        assert!(text.starts_with(
            "point,request_id,phase,intended_ns,prompt_tokens,max_tokens,min_tokens,prompt_sha,seed,adapter,priority,session,turn,workload,prefix_group\n\
             0,0,warmup,0,"
        ));
    }
}
