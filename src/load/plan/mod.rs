//! Plan of one point of load: a workload and a load resolved into shots, known and hashed before the first request.

mod check;
mod draw;
mod error;
mod hash;
mod shot_list;
mod slice;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::load::Load;
use crate::load::course::Course;
use crate::load::stages::Stages;
use crate::request::spec::RequestSpec;
use crate::request::{Prepared, RequestId};
use crate::workload::Workload;
use crate::workload::dataset::History;
use crate::workload::prompts::PromptSource;

pub use draw::{MAX_PLAN_SHOTS, MAX_PLAN_TOKENS, Pool, requests_at_most};
pub use error::PlanError;
pub use shot_list::{ShotFacts, ShotList};
pub use slice::{Slice, TooFew};

/// One planned request.
#[derive(Debug, Clone, PartialEq)]
pub struct Shot {
    /// Who it is in the records.
    pub id: RequestId,
    /// Intended arrival, from the start of the run. `None` in a closed loop: it arrives when a slot becomes free.
    pub intended: Option<Nanos>,
    /// What is asked.
    pub request: RequestSpec,
    /// What its target has made of it ahead of its instant.
    pub prepared: Prepared,
    /// Where it stands in a conversation.
    pub turn: Option<Turn>,
    /// Which part of a mixture it is of, from 0.
    pub workload: Option<u8>,
    /// The group whose prefix its prompt begins with, from 0; `None` where all begin alike.
    pub prefix_group: Option<u32>,
}

/// Place of a shot in a conversation, whose shots follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// From 0.
    pub number: u32,
    /// Tokens of all that is said before it, as planned, which its prompt gets when they are known.
    pub before: u32,
    /// How long the user thinks before it.
    pub think: Nanos,
    /// Which answers its prompt repeats.
    pub history: History,
    /// What was said before goes as messages.
    pub as_messages: bool,
}

impl Shot {
    /// A request that is sent as soon as it may, and is not prepared.
    pub fn new(id: RequestId, request: RequestSpec) -> Self {
        Self {
            id,
            intended: None,
            request,
            prepared: Prepared::default(),
            turn: None,
            workload: None,
            prefix_group: None,
        }
    }

    /// Tokens of its prompt, as planned.
    pub fn prompt_tokens(&self) -> u32 {
        // Of text that nothing counts nothing is known.
        match self.request.prompt_tokens() {
            0 => 0,
            own => own + self.turn.map_or(0, |turn| turn.before),
        }
    }

    /// The same, for an instant after the start.
    #[must_use]
    pub fn intended(self, intended: Option<Nanos>) -> Self {
        Self { intended, ..self }
    }
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
    /// What is sent around the measured requests.
    #[serde(default)]
    pub course: Course,
    /// How the load changes with time, where it does; the duration is then that of all stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Stages>,
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
    warmup: ShotList,
    shots: ShotList,
    fill: ShotList,
    is_pool: bool,
    hash: String,
}

/// SHA-256 over a prompt's ids, each as 4 little-endian bytes, or over its text where that alone is known. Prints its first 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PromptSha([u8; 32]);

impl fmt::Display for PromptSha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl PromptSha {
    /// The hash of a request's texts.
    pub fn of(request: &RequestSpec) -> Self {
        hash::texts_sha(request)
    }
}

impl PromptSource {
    /// The same behind a plan: the next one has entries of its own.
    #[must_use]
    pub fn behind(self, plan: &Plan) -> Self {
        let texts = plan.workload().documents.unwrap_or(1) as usize;
        let unmeasured = plan.warmup.len() + plan.fill.len();
        self.behind_texts(plan.shots.len() * texts, unmeasured * texts)
    }
}

impl Plan {
    /// How requests arrive.
    pub fn load(&self) -> Load {
        self.load
    }

    /// What is asked, but for lengths and instants.
    pub fn workload(&self) -> &Workload {
        self.shots.workload()
    }

    /// What tells its point from others: the load with its stages where it has any, and the texts of a request where that is a
    /// batch.
    pub fn label(&self) -> String {
        let load = self.size.stages.map_or_else(|| self.load.to_string(), |it| it.to_string());
        match self.workload().documents {
            Some(documents) => format!("{load}, batch size {documents}"),
            None => load,
        }
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
    pub fn warmup(&self) -> &ShotList {
        &self.warmup
    }

    /// Measured shots, in order of arrival; never empty.
    pub fn shots(&self) -> &ShotList {
        &self.shots
    }

    /// Supply for ramp and tail, in the order in which it is sent; how much of it they take is seen while they go. In a closed
    /// loop with a ramp the first ones stand for requests under way, one for each slot.
    pub fn fill(&self) -> &ShotList {
        &self.fill
    }

    /// Whether the measured shots are a supply for the given time. If they run out first, the load ended early.
    pub fn is_pool(&self) -> bool {
        self.is_pool
    }

    /// The first id that the next plan of the session may use.
    pub fn next_id(&self) -> RequestId {
        RequestId(
            self.start.first_id.0 + (self.warmup.len() + self.shots.len() + self.fill.len()) as u32,
        )
    }

    /// SHA-256, in hexadecimal, of everything that decides what is asked and when; `hash.rs` lists it. The same plan has
    /// the same hash on every machine, wherever in a session it is played.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

#[cfg(test)]
mod tests;
