//! Iterations that engines of other processes report, as they come over the link.

use std::sync::{Arc, Mutex, PoisonError};

use crate::record::iteration::{Iteration, ReportedIteration};
use crate::targets::EngineStatistics;

/// What has come and was not read yet, each a JSON object.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(super) fn add(&self, texts: Vec<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(texts);
    }
}

impl EngineStatistics for Heard {
    fn iterations(&mut self, into: &mut Vec<ReportedIteration>) -> Result<(), String> {
        let texts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for raw_json in texts {
            let iteration: Iteration = serde_json::from_str(&raw_json)
                .map_err(|error| format!("iterations of another process: {error}: {raw_json}"))?;
            into.push(ReportedIteration { iteration, raw_json });
        }
        Ok(())
    }
}
