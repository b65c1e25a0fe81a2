//! What exactly will be asked, and when? A workload and a load resolved into shots, before the first is fired.

mod check;
mod draw;
mod error;
mod hash;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::load::Load;
use crate::request::RequestId;
use crate::request::spec::RequestSpec;
use crate::workload::seeds::Phase;

pub use draw::{MAX_PLAN_SHOTS, MAX_PLAN_TOKENS, Pool};
pub use error::PlanError;

/// One planned request.
#[derive(Debug, Clone, PartialEq)]
pub struct Shot {
    /// Who it is in the records.
    pub id: RequestId,
    /// Intended arrival, from the start of the run. `None` in a closed loop: it arrives when a slot becomes free.
    pub intended: Option<Nanos>,
    /// What is asked.
    pub request: RequestSpec,
}

/// How much is asked at one point. Of `requests` and `duration` at least one is given; whichever ends first ends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSize {
    /// Measured requests.
    pub requests: Option<u32>,
    /// Time from the start of the measurement after which no request goes out.
    pub duration: Option<Nanos>,
    /// Requests sent before the measurement, of the same shape as measured ones and drawn with other seeds.
    pub warmup: u32,
}

/// Where a plan stands in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanStart {
    /// Which point of the experiment this is, from 0. Points share lengths and arrival patterns, not prompts.
    pub point: u32,
    /// Id of the first warm-up request, or of the first measured one where there is no warm-up.
    pub first_id: RequestId,
}

/// Everything that is asked at one point of load, and when. Never changed once it is made.
#[derive(Debug, Clone)]
pub struct Plan {
    load: Load,
    size: PlanSize,
    start: PlanStart,
    warmup: Vec<Shot>,
    shots: Vec<Shot>,
    warmup_prompts: Vec<PromptSha>,
    shot_prompts: Vec<PromptSha>,
    is_pool: bool,
    hash: String,
}

/// SHA-256 over a prompt's ids, each as 4 little-endian bytes. Prints its first 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PromptSha([u8; 32]);

impl fmt::Display for PromptSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Plan {
    /// Seals shots that were drawn or read elsewhere: gives them ids in order, warm-up first, and hashes the whole.
    ///
    /// `is_pool` says that the measured shots are a supply for a given time, which may run out early.
    ///
    /// # Errors
    /// When there is no measured shot, or the ids run out.
    pub fn seal(
        load: Load,
        size: PlanSize,
        start: PlanStart,
        mut warmup: Vec<Shot>,
        mut shots: Vec<Shot>,
        is_pool: bool,
    ) -> Result<Self, PlanError> {
        if shots.is_empty() {
            return Err(PlanError::NoRequests);
        }
        let mut next = start.first_id.0;
        for shot in warmup.iter_mut().chain(&mut shots) {
            shot.id = RequestId(next);
            next = next.checked_add(1).ok_or(PlanError::OutOfIds)?;
        }
        let warmup_prompts = warmup.iter().map(hash::prompt_sha).collect();
        let shot_prompts = shots.iter().map(hash::prompt_sha).collect();
        let hash = String::new();
        let mut plan =
            Self { load, size, start, warmup, shots, warmup_prompts, shot_prompts, is_pool, hash };
        plan.hash = hash::of(&plan);
        Ok(plan)
    }

    /// How requests arrive.
    pub fn load(&self) -> Load {
        self.load
    }

    /// How much was asked for.
    pub fn size(&self) -> PlanSize {
        self.size
    }

    /// Which point of the experiment this is, from 0.
    pub fn point(&self) -> u32 {
        self.start.point
    }

    /// Shots to fire before the measurement, in order.
    pub fn warmup(&self) -> &[Shot] {
        &self.warmup
    }

    /// Measured shots, in order of arrival; never empty.
    pub fn shots(&self) -> &[Shot] {
        &self.shots
    }

    /// Whether the measured shots are a supply for the given time. If they run out first, the load ended early.
    pub fn is_pool(&self) -> bool {
        self.is_pool
    }

    /// The first id that the next plan of the session may use.
    pub fn next_id(&self) -> RequestId {
        RequestId(self.start.first_id.0 + (self.warmup.len() + self.shots.len()) as u32)
    }

    /// All shots with their phase and the hash of their prompt, warm-up first.
    pub fn all_shots(&self) -> impl Iterator<Item = (Phase, &Shot, PromptSha)> {
        let warmup = self.warmup.iter().zip(&self.warmup_prompts);
        let shots = self.shots.iter().zip(&self.shot_prompts);
        warmup
            .map(|(shot, sha)| (Phase::Warmup, shot, *sha))
            .chain(shots.map(|(shot, sha)| (Phase::Measure, shot, *sha)))
    }

    /// SHA-256, in hexadecimal, of everything that is asked and when: the load, how it ends, and of each shot its
    /// phase, its id from the first one on, its intended instant, prompt, output, sampling, streaming and priority.
    /// The same plan has the same hash on every machine, wherever in a session it is played.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

#[cfg(test)]
mod tests;
