//! Statistics collectors of an opened target: iterations and events of the KV cache, collected together.

use crate::experiment::sweep::ExperimentError;
use crate::issue::phase::Stage;
use crate::observe::collector::{Collected, Collector};
use crate::record::iteration::{Iteration, ReportedIteration};
use crate::record::kv_event::{KvEvent, KvTally};
use crate::store::line_log::LineLog;
use crate::store::run_directory::RunDirectory;
use crate::targets::{EngineStatistics, KvEvents};

/// One collector for each kind of statistics that the engine reports.
pub struct Collectors {
    iterations: Option<Collector<Box<dyn EngineStatistics>>>,
    kv_events: Option<Collector<Box<dyn KvEvents>>>,
}

/// What an engine reported during one point.
#[derive(Debug, Default)]
pub struct CollectedStatistics {
    /// Its iterations.
    pub iterations: Collected<Iteration>,
    /// Events of its KV cache.
    pub kv_events: Collected<KvTally>,
}

impl Collectors {
    /// Starts a thread for each kind of statistics.
    ///
    /// # Errors
    /// When a file cannot be opened or a thread not be started.
    pub fn start(stage: &Stage, directory: &RunDirectory) -> Result<Self, ExperimentError> {
        let start = |source| {
            let log = LineLog::open::<ReportedIteration>(directory)?;
            Collector::start(source, Box::new(log))
        };
        let iterations = stage.statistics().map(start).transpose();
        let start = |source| {
            let log = LineLog::open::<KvEvent>(directory)?;
            Collector::start(source, Box::new(log))
        };
        let kv_events = stage.kv_events().map(start).transpose();
        Ok(Self {
            iterations: iterations.map_err(ExperimentError::Iterations)?,
            kv_events: kv_events.map_err(ExperimentError::KvEvents)?,
        })
    }

    /// Items from now on belong to `point`.
    pub fn begin(&mut self, point: u32) {
        if let Some(iterations) = &mut self.iterations {
            iterations.begin(point);
        }
        if let Some(kv_events) = &mut self.kv_events {
            kv_events.begin(point);
        }
    }

    /// Ends the point and returns what was collected.
    pub fn end(&mut self) -> CollectedStatistics {
        CollectedStatistics {
            iterations: self.iterations.as_mut().map_or_else(Collected::default, Collector::end),
            kv_events: self.kv_events.as_mut().map_or_else(Collected::default, Collector::end),
        }
    }

    /// Ends the threads; the engine is not read any more. What hangs is left as it is.
    ///
    /// # Errors
    /// With each that hangs.
    pub fn stop(self) -> Result<(), String> {
        let iterations = self.iterations.map(Collector::stop);
        let kv_events = self.kv_events.map(Collector::stop);
        let hang: Vec<String> =
            [iterations, kv_events].into_iter().flatten().filter_map(Result::err).collect();
        if hang.is_empty() { Ok(()) } else { Err(hang.join("; ")) }
    }
}
