//! Shots of one phase of a plan: lengths and instants in memory, prompts drawn on demand.

use std::sync::{Arc, OnceLock};

use super::{PlanError, Shot};
use crate::clock::Nanos;
use crate::request::RequestId;
use crate::request::spec::RequestSpec;
use crate::request::terms::Terms;
use crate::workload::Workload;
use crate::workload::prompts::PromptSeries;
use crate::workload::scenario::Lengths;
use crate::workload::seeds::{Phase, Seeds};

/// Shots of a phase that is kept drawn: a comparison plays it on several sides. A few hundred kilobytes.
const KEPT_SHOTS: usize = 4096;

/// Prompt tokens of a phase that is kept drawn: 1 MiB of ids.
const KEPT_TOKENS: u64 = 256 << 10;

/// What is known of a planned request without its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShotFacts {
    /// Who it is in the records.
    pub id: RequestId,
    /// Intended arrival, from the start of the run; `None` in a closed loop.
    pub intended: Option<Nanos>,
    /// Length of the prompt in tokens.
    pub prompt_tokens: u32,
    /// Output tokens asked for at most.
    pub output_tokens: u32,
}

impl From<&Shot> for ShotFacts {
    fn from(shot: &Shot) -> Self {
        Self {
            id: shot.id,
            intended: shot.intended,
            prompt_tokens: shot.request.prompt.tokens(),
            output_tokens: shot.request.output.max_tokens,
        }
    }
}

/// Intended arrivals of all shots of a phase.
#[derive(Debug)]
pub(super) enum Instants {
    /// Each arrives when a slot becomes free.
    WhenFree,
    /// All arrive at the start.
    AtStart,
    /// One instant for each shot.
    Each(Vec<Nanos>),
}

impl Instants {
    fn of(&self, index: usize) -> Option<Nanos> {
        match self {
            Self::WhenFree => None,
            Self::AtStart => Some(Nanos::ZERO),
            Self::Each(instants) => Some(instants[index]),
        }
    }
}

/// The shots of one phase, in order. Takes 8 bytes a shot, and 8 more in an open loop; a copy shares them.
#[derive(Debug, Clone)]
pub struct ShotList(Arc<Content>);

#[derive(Debug)]
pub(super) struct Content {
    pub(super) phase: Phase,
    pub(super) first_id: RequestId,
    pub(super) lengths: Vec<Lengths>,
    pub(super) instants: Instants,
    pub(super) workload: Arc<Workload>,
    pub(super) terms: Arc<Terms>,
    pub(super) seeds: Seeds,
    pub(super) series: PromptSeries,
    pub(super) kept: OnceLock<Box<[Shot]>>,
}

impl ShotList {
    pub(super) fn new(content: Content) -> Self {
        Self(Arc::new(content))
    }

    pub(super) fn content(&self) -> &Content {
        &self.0
    }

    /// How many shots there are.
    pub fn len(&self) -> usize {
        self.0.lengths.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.lengths.is_empty()
    }

    /// Whether these are warm-up or measured shots.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Id of the first shot; the others follow without a gap.
    pub fn first_id(&self) -> RequestId {
        self.0.first_id
    }

    /// Where prompts come from.
    pub fn series(&self) -> &PromptSeries {
        &self.0.series
    }

    /// Prompt tokens of all shots.
    pub fn prompt_tokens(&self) -> u64 {
        self.0.lengths.iter().map(|lengths| u64::from(lengths.input)).sum()
    }

    /// What is known of every shot without drawing it.
    pub fn facts(&self) -> impl ExactSizeIterator<Item = ShotFacts> {
        (0..self.len()).map(|index| self.facts_of(index))
    }

    /// What is known of one shot without drawing it.
    ///
    /// # Panics
    /// When there is no such shot.
    pub fn facts_of(&self, index: usize) -> ShotFacts {
        let Lengths { input, output } = self.0.lengths[index];
        ShotFacts {
            id: RequestId(self.0.first_id.0 + index as u32),
            intended: self.0.instants.of(index),
            prompt_tokens: input,
            output_tokens: output,
        }
    }

    /// Draws one shot. The same index always gives the same shot.
    ///
    /// # Errors
    /// When its prompt cannot be drawn.
    ///
    /// # Panics
    /// When there is no such shot.
    pub fn shot(&self, index: usize) -> Result<Shot, PlanError> {
        match self.0.kept.get() {
            Some(kept) => Ok(kept[index].clone()),
            None => self.draw(index),
        }
    }

    /// Draws every shot, in order.
    pub fn shots(&self) -> impl Iterator<Item = Result<Shot, PlanError>> {
        (0..self.len()).map(|index| self.shot(index))
    }

    /// Keeps all shots drawn from now on, if that takes little memory.
    ///
    /// # Errors
    /// When a prompt cannot be drawn.
    pub fn keep_if_small(&self) -> Result<(), PlanError> {
        let small = self.len() <= KEPT_SHOTS && self.prompt_tokens() <= KEPT_TOKENS;
        if small && self.0.kept.get().is_none() {
            let drawn: Box<[Shot]> = self.shots().collect::<Result<_, _>>()?;
            // Another thread has drawn the same.
            let _equal = self.0.kept.set(drawn);
        }
        Ok(())
    }

    fn draw(&self, index: usize) -> Result<Shot, PlanError> {
        let Content { phase, workload, seeds, series, terms, .. } = &*self.0;
        let ShotFacts { id, intended, prompt_tokens, .. } = self.facts_of(index);
        let place = index as u32;
        let prompt = series
            .prompt(workload.prompt_of(place), prompt_tokens)
            .map_err(|why| PlanError::Prompt { request: id, why })?;
        let request = RequestSpec {
            prompt,
            output: workload.output(self.0.lengths[index]),
            sampling: workload.sampling(seeds, *phase, place),
            streaming: workload.streaming,
            priority: workload.priority(seeds, *phase, place),
            adapter: workload.adapter(seeds, *phase, place),
            terms: Arc::clone(terms),
        };
        Ok(Shot::new(id, request).intended(intended))
    }
}
