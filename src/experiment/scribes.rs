//! What does the engine of a rig say of itself while its points are played? Everything that it says, heard together.

use crate::experiment::phase::Stage;
use crate::experiment::sweep::ExperimentError;
use crate::observe::scribe::{Kept, Scribe};
use crate::record::iterations_file::Iteration;
use crate::record::kv_events_file::KvTally;
use crate::record::run_directory::{RunDirectory, file};
use crate::target::{EngineStatistics, KvEvents};

/// Scribes at an opened engine, as many as it has things to say.
pub struct Scribes {
    iterations: Option<Scribe<Box<dyn EngineStatistics>>>,
    kv_events: Option<Scribe<Box<dyn KvEvents>>>,
}

/// What an engine said during one point.
#[derive(Debug, Default)]
pub struct Heard {
    /// Of its iterations.
    pub iterations: Kept<Iteration>,
    /// Of the blocks of its KV cache.
    pub kv_events: Kept<KvTally>,
}

impl Scribes {
    /// Starts a thread for each thing that the engine says.
    ///
    /// # Errors
    /// When a file cannot be made or a thread not be started.
    pub fn start(stage: &Stage, directory: &RunDirectory) -> Result<Self, ExperimentError> {
        let iterations = stage
            .statistics()
            .map(|speaker| Scribe::start(speaker, &directory.file(file::ITERATIONS)))
            .transpose()
            .map_err(ExperimentError::Iterations)?;
        let kv_events = stage
            .kv_events()
            .map(|speaker| Scribe::start(speaker, &directory.file(file::KV_EVENTS)))
            .transpose()
            .map_err(ExperimentError::KvEvents)?;
        Ok(Self { iterations, kv_events })
    }

    /// What is said from now on belongs to `point`.
    pub fn begin(&self, point: u32) {
        if let Some(iterations) = &self.iterations {
            iterations.begin(point);
        }
        if let Some(kv_events) = &self.kv_events {
            kv_events.begin(point);
        }
    }

    /// Ends the point and hands over what was said.
    pub fn end(&self) -> Heard {
        Heard {
            iterations: self.iterations.as_ref().map_or_else(Kept::default, Scribe::end),
            kv_events: self.kv_events.as_ref().map_or_else(Kept::default, Scribe::end),
        }
    }

    /// The engine is asked no more.
    pub fn stop(self) {
        if let Some(iterations) = self.iterations {
            iterations.stop();
        }
        if let Some(kv_events) = self.kv_events {
            kv_events.stop();
        }
    }
}
