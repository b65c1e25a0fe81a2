//! Test harness: an engine whose deliveries are recorded and which can be paused at a delivery.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::{
    Delivery, DummySize, Engine, EngineConfig, FinishReason, KvUse, ModelSource, Quantization,
    Request, Stamps,
};

/// A claim that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) const PICO: ModelSource = ModelSource::Dummy(DummySize::Pico);

pub(crate) fn now_ns() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as i64
}

/// F32, so that results do not depend on which Q8_0 kernel the machine has.
pub(crate) fn config() -> EngineConfig {
    let mut config = EngineConfig::new(now_ns);
    config.quantization = Quantization::F32;
    config.tokens_per_block = 8;
    config
}

/// A prompt that differs by `seed`.
pub(crate) fn prompt(seed: u64, length: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9).wrapping_add(1);
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % 512) as u32
        })
        .collect()
}

#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub reason: FinishReason,
    pub error: Option<String>,
    pub stamps: Stamps,
    pub kv: KvUse,
    pub at_ns: i64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub tokens: Vec<u32>,
    pub ends: Vec<Ended>,
    pub deliveries_after_end: usize,
}

#[derive(Default)]
struct Recorded {
    outcomes: HashMap<u64, Outcome>,
    /// Ids in the order of their deliveries.
    order: Vec<u64>,
    /// The loop waits inside its delivery while this is set.
    held: bool,
    waiting_at_hold: bool,
}

/// Sees all deliveries.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<(Mutex<Recorded>, Condvar)>);

impl Recorder {
    pub(crate) fn record(&self, delivery: Delivery<'_>) {
        let (lock, changed) = &*self.0;
        let mut recorded = lock.lock().unwrap();
        recorded.order.push(delivery.id);
        let outcome = recorded.outcomes.entry(delivery.id).or_default();
        outcome.deliveries_after_end += usize::from(!outcome.ends.is_empty());
        outcome.tokens.extend_from_slice(delivery.tokens);
        outcome.ends.extend(delivery.end.map(|end| Ended {
            reason: end.reason,
            error: end.error.map(str::to_string),
            stamps: end.stamps,
            kv: end.kv,
            at_ns: delivery.at_ns,
        }));
        recorded.waiting_at_hold = recorded.held;
        changed.notify_all();
        let (mut recorded, timeout) =
            changed.wait_timeout_while(recorded, PATIENCE, |r| r.held).unwrap();
        assert!(!timeout.timed_out(), "the claim held the engine and never let go");
        recorded.waiting_at_hold = false;
    }

    /// From now on the engine's thread stops at its next delivery.
    pub(crate) fn hold(&self) {
        self.0.0.lock().unwrap().held = true;
    }

    pub(crate) fn wait_until_held(&self) {
        self.wait(|recorded| recorded.waiting_at_hold);
    }

    pub(crate) fn release(&self) {
        self.0.0.lock().unwrap().held = false;
        self.0.1.notify_all();
    }

    /// The outcome of `id`, once it has ended.
    pub(crate) fn outcome(&self, id: u64) -> Outcome {
        self.wait(|recorded| {
            recorded.outcomes.get(&id).is_some_and(|outcome| !outcome.ends.is_empty())
        });
        self.0.0.lock().unwrap().outcomes[&id].clone()
    }

    pub(crate) fn wait_for_tokens(&self, id: u64, count: usize) {
        self.wait(|recorded| {
            recorded.outcomes.get(&id).is_some_and(|outcome| outcome.tokens.len() >= count)
        });
    }

    pub(crate) fn order(&self) -> Vec<u64> {
        self.0.0.lock().unwrap().order.clone()
    }

    fn wait(&self, ready: impl Fn(&Recorded) -> bool) {
        let (lock, changed) = &*self.0;
        let recorded = lock.lock().unwrap();
        let (_recorded, timeout) =
            changed.wait_timeout_while(recorded, PATIENCE, |recorded| !ready(recorded)).unwrap();
        assert!(!timeout.timed_out(), "nothing came");
    }
}

pub(crate) fn open(source: &ModelSource, config: EngineConfig) -> (Engine, Recorder) {
    let recorder = Recorder::default();
    let sink = recorder.clone();
    let engine =
        Engine::open(source, config, Box::new(move |delivery: Delivery<'_>| sink.record(delivery)))
            .unwrap();
    (engine, recorder)
}

/// The tokens of one greedy request on an engine of its own.
pub(crate) fn alone(
    source: &ModelSource,
    config: EngineConfig,
    prompt: &[u32],
    max_tokens: usize,
) -> Vec<u32> {
    let (engine, recorder) = open(source, config);
    engine.submit(Request::greedy(1, prompt, max_tokens)).unwrap();
    recorder.outcome(1).tokens
}
