//! Calibration of the harness (L0): a short run against a target that replies at once.

use std::sync::Arc;

use crate::clock::Nanos;
use crate::issue::pace::{Graces, Pace};
use crate::issue::phase::{Stage, StageError};
use crate::issue::stop::Stop;
use crate::load::Load;
use crate::load::course::Tail;
use crate::load::plan::Shot;
use crate::observe::health::NullRate;
use crate::request::RequestId;
use crate::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use crate::targets::null::NullTarget;
use crate::workload::DEFAULT_PRIORITY;

/// How long an attempt may take: every run waits for all of them, with all threads at full speed.
const SPAN: Nanos = Nanos::from_millis(50);
/// More than are answered in that time; each one costs time to make and to put away.
const MOST_REQUESTS: u32 = 100_000;
/// In four of a hundred attempts so short a thread began late and next to nothing was played: the best one tells what this machine can
/// do.
const ATTEMPTS: usize = 2;
const CONCURRENCY: u32 = 64;
/// Output length when tokens are what is counted: short enough that ends count too.
const TOKENS: u32 = 256;

/// Requests per second at one token each, and tokens per second at many.
///
/// # Errors
/// When a thread cannot be started.
pub fn null_rate() -> Result<NullRate, StageError> {
    let mut best = NullRate { requests_per_s: 0.0, tokens_per_s: 0.0 };
    for _ in 0..ATTEMPTS {
        best.requests_per_s = best.requests_per_s.max(rates(1)?.0);
        best.tokens_per_s = best.tokens_per_s.max(rates(TOKENS)?.1);
    }
    Ok(best)
}

fn rates(tokens: u32) -> Result<(f64, f64), StageError> {
    let shots = shots(tokens);
    let target = Box::new(NullTarget::default());
    let mut stage = Stage::open(target, shots.len(), CONCURRENCY as usize, Stop::never())?;
    let pace = Pace {
        load: Load::Closed { concurrency: CONCURRENCY },
        ramp: None,
        tail: Tail::None,
        stages: None,
        duration: Some(SPAN),
        timeout: Nanos::from_millis(10_000),
        drain: Nanos::from_millis(1_000),
        graces: Graces::OF_RUNS,
        begin_at: None,
    };
    let (played, phase) = stage.run(&shots, &pace, None);
    stage.finish();
    let seconds = (played.end - played.start).as_secs_f64().max(1e-9);
    let completed = phase.records.requests().iter().filter(|record| record.outcome.is_completed());
    let (mut requests, mut output) = (0_u64, 0_u64);
    for record in completed {
        requests += 1;
        output += u64::from(record.output_tokens);
    }
    Ok((requests as f64 / seconds, output as f64 / seconds))
}

fn shots(tokens: u32) -> Vec<Shot> {
    let prompt = Prompt { ids: Arc::from([1_u32]), text: None };
    let request = RequestSpec {
        beside: Beside::Nothing,
        prompt,
        output: OutputSpec { max_tokens: tokens, min_tokens: 0, ignore_eos: true },
        sampling: Sampling::greedy(0),
        streaming: true,
        priority: DEFAULT_PRIORITY,
        adapter: None,
        terms: Arc::default(),
    };
    (0..MOST_REQUESTS / tokens.min(16))
        .map(|id| Shot::new(RequestId(id), request.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_tells_rates_and_takes_less_than_a_second() {
        let started = crate::clock::now();
        let rate = null_rate().expect("threads start");
        assert!(rate.requests_per_s > 100.0 && rate.tokens_per_s > rate.requests_per_s, "{rate:?}");
        assert!(crate::clock::now() - started < Nanos::from_secs_f64(10.0));
    }
}
