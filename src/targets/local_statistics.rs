//! Iteration statistics of the embedded engine, stamped on our clock.

use bareflight_engine as engine;

use crate::clock::{MonoNs, Nanos};
use crate::record::iteration::ReportedIteration;
use crate::record::iteration::{BatchMix, Iteration, KvLevel, LatencyOf};
use crate::targets::EngineStatistics;

/// Statistics of a running embedded engine.
pub struct LocalStatistics {
    reader: engine::StatsReader,
    read: Vec<engine::IterationStats>,
}

impl LocalStatistics {
    /// Of an engine's reader.
    pub fn new(reader: engine::StatsReader) -> Self {
        Self { reader, read: Vec::new() }
    }
}

impl EngineStatistics for LocalStatistics {
    fn iterations(&mut self, into: &mut Vec<ReportedIteration>) -> Result<(), String> {
        self.reader.drain(&mut self.read);
        for stats in self.read.drain(..) {
            let json = serde_json::to_string(&stats).map_err(|error| error.to_string())?;
            into.push(ReportedIteration { iteration: iteration_of(&stats), raw_json: json });
        }
        Ok(())
    }
}

fn iteration_of(stats: &engine::IterationStats) -> Iteration {
    Iteration {
        iteration: stats.iteration,
        at: MonoNs(stats.at_ns + stats.latency_ns),
        latency: Nanos(stats.latency_ns),
        latency_of: LatencyOf::ThisIteration,
        active: stats.active as u32,
        queued: stats.queued as u32,
        completed: stats.completed as u32,
        max_batch_size: Some(stats.max_active as u32),
        batch: Some(BatchMix {
            context_requests: stats.context_requests as u32,
            context_tokens: stats.context_tokens as u32,
            generation_requests: stats.generation_requests as u32,
            // This engine admits only what it can finish.
            paused: 0,
        }),
        kv: Some(KvLevel {
            used_blocks: stats.kv_blocks_used as u32,
            max_blocks: stats.kv_blocks_max as u32,
        }),
    }
}
