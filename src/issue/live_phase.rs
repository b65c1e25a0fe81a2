//! Where a phase that runs can be looked at, without a word to the threads that measure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
    pub in_flight: InFlight,
    /// Who waits for the recorder.
    pub backpressure: Arc<Backpressure>,
    /// GPUs, where they are sampled.
    pub gpus: Option<Arc<LatestSamples>>,
}

/// Where it is counted how many requests are in flight.
#[derive(Debug, Clone)]
pub enum InFlight {
    /// In this process.
    Gate(Arc<Gate>),
    /// As the workers tell.
    Workers(Arc<AtomicU32>),
}

impl InFlight {
    /// How many there are.
    pub fn now(&self) -> u32 {
        match self {
            Self::Gate(gate) => gate.in_flight(),
            Self::Workers(told) => told.load(Ordering::Relaxed),
        }
    }
}
