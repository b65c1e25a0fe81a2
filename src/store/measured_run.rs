//! A measured run: its folder, its manifest, and the summaries of its points.

use serde_json::{Map, Value};

use crate::metrics::Summary;
use crate::metrics::comparison::{Measured, MeasuredBlock};
use crate::metrics::point_records::{RecordsError, collect};
use crate::record::request_record::Records;
use crate::store::manifest::{Manifest, State};
use crate::store::run_directory::RunDirectory;
use crate::store::stored_point::{PartialPoint, StoredPoint};

/// A finished run, or as much of it as there is.
#[derive(Debug)]
pub struct MeasuredRun {
    /// Where it lies.
    pub directory: RunDirectory,
    /// What is known of it.
    pub manifest: Manifest,
    /// Its points, as many as were measured; one entry of the manifest for each.
    pub points: Vec<MeasuredPoint>,
}

/// One measured point.
#[derive(Debug)]
pub struct MeasuredPoint {
    /// What its records come to.
    pub summary: Summary,
    /// Where its records are.
    pub records: RecordsAt,
}

/// Where the records of a point are.
#[derive(Debug)]
pub enum RecordsAt {
    /// In the files of the run.
    Files,
    /// In partial files and memory, since the files of the run could not be written.
    Partial(PartialPoint),
    /// In memory.
    Memory(Records),
}

impl MeasuredRun {
    /// The records of every point, in memory.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load_records(&self) -> Result<Vec<Records>, RecordsError> {
        let entries = self.manifest.points.iter().zip(&self.points);
        entries
            .map(|(entry, point)| match &point.records {
                RecordsAt::Memory(records) => Ok(records.clone()),
                RecordsAt::Partial(partial) => collect(partial),
                RecordsAt::Files => {
                    let stored = StoredPoint::find(&self.directory, entry.facts.point);
                    collect(&stored.map_err(|error| RecordsError(Box::new(error)))?)
                }
            })
            .collect()
    }

    /// As a side of a comparison; `records` are those of [`Self::load_records`].
    pub fn measured<'a>(
        &'a self,
        name: String,
        settings: Map<String, Value>,
        records: &'a [Records],
    ) -> Measured<'a> {
        let folder = self.directory.path().file_name();
        let blocks = self.manifest.points.iter().zip(&self.points).zip(records);
        Measured {
            name,
            target: &self.manifest.target,
            folder: folder.map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            complete: self.manifest.state == State::Complete,
            blocks: blocks
                .map(|((entry, point), records)| MeasuredBlock {
                    plan_hash: &entry.plan_hash,
                    load: entry.facts.load,
                    records,
                    summary: &point.summary,
                })
                .collect(),
            settings,
        }
    }
}
