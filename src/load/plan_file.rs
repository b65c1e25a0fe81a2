//! What was planned, as a table: `plan.csv`, one row per request, all points of an experiment in one file.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::{Plan, RequestId};
use crate::clock::Nanos;
use crate::workload::seeds::Phase;

/// One planned request; the columns of `plan.csv`, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A `plan.csv` cannot be written or read.
#[derive(Debug, Error)]
#[error("plan.csv: {0}")]
pub struct PlanFileError(#[from] csv::Error);

/// Writes plans one after another under one heading.
#[derive(Debug)]
pub struct PlanWriter<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> PlanWriter<W> {
    /// Begins a file; the heading goes out with the first row.
    pub fn new(to: W) -> Self {
        Self { csv: csv::Writer::from_writer(to) }
    }

    /// Adds all requests of a plan and flushes, so that the plan is on its way to disk before it is played.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, plan: &Plan) -> Result<(), PlanFileError> {
        for row in rows(plan) {
            self.csv.serialize(row)?;
        }
        self.csv.flush().map_err(csv::Error::from)?;
        Ok(())
    }

    /// Gives back what was written to, so that it can be synced.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub fn finish(self) -> Result<W, PlanFileError> {
        let inner = self.csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))?;
        Ok(inner)
    }
}

/// Reads all rows of a `plan.csv`.
///
/// # Errors
/// When a row is not one of ours; the error names the line and the column.
pub fn read(from: impl Read) -> Result<Vec<PlanRow>, PlanFileError> {
    let rows = csv::Reader::from_reader(from).into_deserialize().collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The rows of a plan, warm-up first.
pub fn rows(plan: &Plan) -> impl Iterator<Item = PlanRow> {
    plan.all_shots().map(|(phase, shot, sha)| PlanRow {
        point: plan.point(),
        request_id: shot.id,
        phase,
        intended_ns: shot.intended,
        prompt_tokens: shot.request.prompt.tokens(),
        max_tokens: shot.request.output.max_tokens,
        min_tokens: shot.request.output.min_tokens,
        prompt_sha: sha.to_string(),
        seed: shot.request.sampling.seed,
    })
}
