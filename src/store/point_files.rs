//! Files of a run that grow point by point: `requests.csv` and `deliveries.csv.gz`.
//!
//! A point is appended when it has ended, and counts once the manifest names it; the manifest is written last.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::PathBuf;

use crate::metrics::observed::ObservedPoint;
use crate::metrics::point_records::{PointRecords, RecordsError};
use crate::metrics::{RunFacts, Summary};
use crate::store::deliveries_file::{DeliveriesError, DeliveriesWriter, Delivery};
use crate::store::requests_csv::RequestsCsv;
use crate::store::rows::RowError;
use crate::store::run_directory::{RunDirectory, file};

/// Why a point could not be added to the files of its run.
#[derive(Debug, thiserror::Error)]
pub enum PointFilesError {
    /// The file itself.
    #[error("`{path}` cannot be written ({source}): check that its folder exists and has room")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Rows.
    #[error("`requests.csv`: {0}")]
    Rows(#[from] RowError),
    /// Deliveries.
    #[error("`deliveries.csv.gz`: {0}")]
    Deliveries(#[from] DeliveriesError),
    /// What was recorded cannot be read again.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Appends a point to `requests.csv` and, where deliveries are kept, to `deliveries.csv.gz`; both are synced.
///
/// # Errors
/// When a file cannot be written or a record not be read. What was appended by then belongs to no point of the manifest.
pub fn append(
    directory: &RunDirectory,
    records: &dyn PointRecords,
    observed: &ObservedPoint,
    facts: &RunFacts,
    summary: &Summary,
    keep_deliveries: bool,
) -> Result<(), PointFilesError> {
    append_requests(directory, records, observed, facts, summary)?;
    if keep_deliveries {
        append_deliveries(directory, records, facts.point, observed)?;
    }
    Ok(())
}

fn append_requests(
    directory: &RunDirectory,
    records: &dyn PointRecords,
    observed: &ObservedPoint,
    facts: &RunFacts,
    summary: &Summary,
) -> Result<(), PointFilesError> {
    let (out, is_new, failed) = open(directory, file::REQUESTS)?;
    let out = BufWriter::new(out);
    let mut rows = if is_new { RequestsCsv::new(out)? } else { RequestsCsv::after_header(out) };
    rows.write(records, observed, facts, summary)?;
    let out = rows.finish()?.into_inner().map_err(io::IntoInnerError::into_error);
    out.and_then(|out| out.sync_all()).map_err(failed)
}

fn append_deliveries(
    directory: &RunDirectory,
    records: &dyn PointRecords,
    point: u32,
    observed: &ObservedPoint,
) -> Result<(), PointFilesError> {
    let (out, is_new, failed) = open(directory, file::DELIVERIES)?;
    let mut deliveries =
        if is_new { DeliveriesWriter::new(out)? } else { DeliveriesWriter::after_header(out) };
    let mut written = Ok(());
    records.deliveries(&mut |place, arrival| {
        if let (Ok(()), Some(request)) = (&written, observed.all().get(place)) {
            written = deliveries.write(Delivery { point, id: request.id, arrival });
        }
    })?;
    written?;
    deliveries.finish()?.sync_all().map_err(failed)
}

/// A file to append to, whether it is new, and how its errors are told.
fn open(
    directory: &RunDirectory,
    name: &str,
) -> Result<(File, bool, impl Fn(io::Error) -> PointFilesError + use<>), PointFilesError> {
    let path = directory.file(name);
    let failed = {
        let path = path.clone();
        move |source| PointFilesError::File { path: path.clone(), source }
    };
    let out = OpenOptions::new().create(true).append(true).open(&path).map_err(&failed)?;
    let is_new = out.metadata().map_err(&failed)?.len() == 0;
    Ok((out, is_new, failed))
}
