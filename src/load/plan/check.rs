//! Checks of a plan for consistency and against the limits of a target, before load is sent. Nothing is cut to fit.

use super::{Plan, PlanError, PlanSize, ShotFacts};
use crate::clock::Nanos;
use crate::load::{Arrivals, Load};
use crate::request::Limits;
use crate::workload::vocabulary::Vocabulary;
use crate::workload::{SamplingPolicy, Workload};

impl Plan {
    /// Whether a target with these limits takes every shot as it is.
    ///
    /// # Errors
    /// The first shot that it would refuse or cut, with the limit and the remedy.
    pub fn check(&self, limits: &Limits) -> Result<(), PlanError> {
        if let (Load::Batch, Some(limit)) = (self.load, limits.max_queue_size) {
            let shots = self.shots.len().max(self.warmup.len()) as u32;
            if shots > limit {
                return Err(PlanError::BatchAboveQueue { shots, limit });
            }
        }
        if let (Load::Closed { concurrency }, Some(queue), Some(batch)) =
            (self.load, limits.max_queue_size, limits.max_batch_size)
        {
            let limit = queue.saturating_add(batch);
            if concurrency > limit {
                return Err(PlanError::ConcurrencyAboveQueue { concurrency, limit });
            }
        }
        let lists = [&self.warmup, &self.shots, &self.fill];
        let mut lists = lists.into_iter().filter(|list| !list.is_empty());
        lists.try_for_each(|list| {
            list.facts().try_for_each(|shot| shot_fits(&shot, limits))?;
            let largest = list.series().vocabulary().map(Vocabulary::largest);
            match (largest, limits.vocab_size) {
                (Some(id), Some(size)) if id >= size => {
                    Err(PlanError::OutsideVocabulary { id, size })
                }
                _ => Ok(()),
            }
        })
    }
}

fn shot_fits(shot: &ShotFacts, limits: &Limits) -> Result<(), PlanError> {
    let ShotFacts { id: request, prompt_tokens: prompt, output_tokens: output, .. } = *shot;
    if let Some(limit) = limits.max_prompt_tokens.filter(|limit| prompt > *limit) {
        return Err(PlanError::PromptTooLong { request, tokens: prompt, limit });
    }
    let together = u64::from(prompt) + u64::from(output);
    match limits.max_sequence_tokens {
        Some(limit) if together > u64::from(limit) => {
            Err(PlanError::SequenceTooLong { request, prompt, output, limit })
        }
        _ => Ok(()),
    }
}

pub(super) fn load_makes_sense(load: &Load) -> Result<(), PlanError> {
    match *load {
        Load::Closed { concurrency: 0 } => Err(PlanError::NoConcurrency),
        Load::Open { max_in_flight: Some(0), .. } => Err(PlanError::NoneInFlight),
        Load::Open { rate, .. } if !(1e-6..=1e9).contains(&rate) => Err(PlanError::Rate(rate)),
        Load::Open { arrivals: Arrivals::Gamma { burstiness }, .. }
            if !(1e-3..=1e6).contains(&burstiness) =>
        {
            Err(PlanError::Burstiness(burstiness))
        }
        Load::Closed { .. } | Load::Batch | Load::Open { .. } => Ok(()),
    }
}

pub(super) fn size_makes_sense(size: &PlanSize) -> Result<(), PlanError> {
    match (size.requests, size.duration) {
        (None, None) => Err(PlanError::NoEnd),
        (Some(0), _) => Err(PlanError::NoRequests),
        (_, Some(time)) if time <= Nanos::ZERO => Err(PlanError::NoTime(time.as_secs_f64())),
        _ => Ok(()),
    }
}

pub(super) fn sampling_makes_sense(workload: &Workload) -> Result<(), PlanError> {
    let SamplingPolicy { temperature, top_p, top_k } = workload.sampling;
    if let Some(value) = temperature.filter(|value| !(*value > 0.0 && value.is_finite())) {
        return Err(PlanError::Temperature(value));
    }
    if let Some(value) = top_p.filter(|value| !(*value > 0.0 && *value <= 1.0)) {
        return Err(PlanError::TopP(value));
    }
    if top_k == Some(0) { Err(PlanError::TopK) } else { Ok(()) }
}
