//! `requests.csv`: one row per request, raw timestamps first, then derived times in milliseconds.
//!
//! The raw columns are canonical and are read back with [`crate::store::rows::RowReader`]; the derived ones are for
//! spreadsheets, and a reader here ignores them.

use std::io::Write;

use crate::metrics::definition::{Per, Quantity};
use crate::metrics::observed::ObservedPoint;
use crate::metrics::per_request::Derived;
use crate::metrics::point_records::PointRecords;
use crate::metrics::summary::Outliers;
use crate::metrics::{RunFacts, Summary};
use crate::record::request_record::Part;
use crate::store::point_files::PointFilesError;
use crate::store::rows;
use crate::store::rows::RowError;

/// The derived quantities: those with a value for each request that is not a raw column already.
fn derived_columns() -> impl Iterator<Item = Quantity> {
    Quantity::ALL.into_iter().filter(|quantity| {
        let definition = quantity.definition();
        definition.per == Per::Request && !rows::COLUMNS.contains(&definition.key)
    })
}

/// Writes `requests.csv`, one run after the other.
#[derive(Debug)]
pub struct RequestsCsv<W: Write> {
    out: csv::Writer<W>,
}

impl<W: Write> RequestsCsv<W> {
    /// Writes the header: [`rows::COLUMNS`], the key of each derived quantity, and `outlier`.
    pub fn new(out: W) -> Result<Self, RowError> {
        let mut out = csv::Writer::from_writer(out);
        let derived = derived_columns().map(|quantity| quantity.definition().key);
        out.write_record(rows::COLUMNS.into_iter().chain(derived).chain(["outlier"]))?;
        Ok(Self { out })
    }

    /// Goes on where a header stands already.
    pub fn after_header(out: W) -> Self {
        Self { out: csv::WriterBuilder::new().has_headers(false).from_writer(out) }
    }

    /// Writes the requests of one point. A value exists where its stamps do, whatever became of the request; `outlier` is
    /// `low` or `high` where a completed request's headline latency lies beyond the fences of the summary.
    pub fn write(
        &mut self,
        records: &dyn PointRecords,
        observed: &ObservedPoint,
        facts: &RunFacts,
        summary: &Summary,
    ) -> Result<(), PointFilesError> {
        let headline = summary.headline_latency();
        let fences = summary.distribution(headline).map(|all| all.outliers);
        let mut of_each = observed.all().iter();
        let mut written = Ok(());
        records.requests(&mut |record| {
            let (Some(request), Ok(())) = (of_each.next(), &written) else { return };
            let derived = Derived::of(request, facts.streaming);
            let mut row = rows::fields(facts.point, record);
            for quantity in derived_columns() {
                row.push_field(
                    &derived.get(quantity).map_or_else(String::new, |value| value.to_string()),
                );
            }
            let counts = record.part == Part::Measured && record.outcome.is_completed();
            let latency = derived.get(headline).filter(|_| counts);
            row.push_field(latency.zip(fences).map_or("", |(value, fences)| label(value, &fences)));
            written = self.out.write_record(&row);
        })?;
        Ok(written.map_err(RowError::from)?)
    }

    /// Hands everything to the operating system and gives the file back, to be synced.
    pub fn finish(self) -> Result<W, RowError> {
        Ok(self.out.into_inner().map_err(|error| csv::Error::from(error.into_error()))?)
    }
}

fn label(value: f64, fences: &Outliers) -> &'static str {
    if value < fences.low_fence {
        "low"
    } else if value > fences.high_fence {
        "high"
    } else {
        ""
    }
}
