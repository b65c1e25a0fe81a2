//! Where a phase that runs can be looked at, without a word to the threads that measure.

use std::sync::Arc;

use crate::load::Load;
use crate::observe::gpu::sampler::LatestSamples;
use crate::record::backpressure::Backpressure;
use crate::record::gate::Gate;
use crate::record::live::LiveSnapshot;

/// What may be read while a phase runs.
#[derive(Debug, Clone)]
pub struct LivePhase {
    /// What is asked of the target, and when.
    pub load: Load,
    /// As the recorder publishes it.
    pub snapshot: Arc<LiveSnapshot>,
    /// Requests in flight.
    pub gate: Arc<Gate>,
    /// Who waits for the recorder.
    pub backpressure: Arc<Backpressure>,
    /// GPUs, where they are sampled.
    pub gpus: Option<Arc<LatestSamples>>,
}
