//! Records of one point, read as often as needed.

use crate::record::request_record::{Arrival, Records, RequestRecord};

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("records cannot be read: {0}")]
pub struct RecordsError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// The records of one point, read as often as needed, in bounded memory.
pub trait PointRecords {
    /// Calls `each` for every request, in the order of the plan.
    ///
    /// # Errors
    /// When a record cannot be read.
    fn requests(&self, each: &mut dyn FnMut(&RequestRecord)) -> Result<(), RecordsError>;

    /// Calls `each` for every delivery, with the place of its request in the order of [`Self::requests`]. Deliveries of one
    /// request keep their order; those of different requests may interleave.
    ///
    /// # Errors
    /// When a delivery cannot be read.
    fn deliveries(&self, each: &mut dyn FnMut(usize, Arrival)) -> Result<(), RecordsError>;

    /// Number of requests.
    fn len(&self) -> usize;

    /// Whether there is no request at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PointRecords for Records {
    fn requests(&self, each: &mut dyn FnMut(&RequestRecord)) -> Result<(), RecordsError> {
        Self::requests(self).iter().for_each(each);
        Ok(())
    }

    fn deliveries(&self, each: &mut dyn FnMut(usize, Arrival)) -> Result<(), RecordsError> {
        for (place, (_, arrivals)) in self.iter().enumerate() {
            for arrival in arrivals {
                each(place, *arrival);
            }
        }
        Ok(())
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

/// All of a point's records in memory.
///
/// # Errors
/// When they cannot be read.
pub fn collect(point: &dyn PointRecords) -> Result<Records, RecordsError> {
    let mut requests = Vec::with_capacity(point.len());
    point.requests(&mut |record| requests.push(record.clone()))?;
    let mut arrivals: Vec<(u32, Arrival)> = Vec::new();
    point.deliveries(&mut |place, arrival| arrivals.push((place as u32, arrival)))?;
    Ok(Records::from_arrival_order(requests, arrivals.iter()))
}
