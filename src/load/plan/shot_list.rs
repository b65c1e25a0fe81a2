//! Shots of one phase of a plan: lengths and instants in memory, prompts drawn on demand.

use std::sync::{Arc, OnceLock};

use super::slice::Share;
use super::{PlanError, Shot, Turn};
use crate::clock::Nanos;
use crate::request::RequestId;
use crate::request::exchange::{Exchange, with_history};
use crate::request::spec::{Beside, Prompt, RequestSpec};
use crate::request::terms::Terms;
use crate::workload::Workload;
use crate::workload::dataset::History;
use crate::workload::images::noise_bytes;
use crate::workload::prompts::{PromptError, PromptSeries};
use crate::workload::scenario::{Lengths, MadeImages, Scenario};
use crate::workload::seeds::{Phase, Seeds};

/// Shots of a phase that is kept drawn: a comparison plays it on several sides. A few hundred kilobytes.
const KEPT_SHOTS: usize = 4096;

/// Prompt tokens of a phase that is kept drawn: 1 MiB of ids.
const KEPT_TOKENS: u64 = 256 << 10;

/// A window of text has 256 Ki tokens, and that of images should have about 128 MiB.
const BYTES_OF_IMAGES_PER_TOKEN: u64 = 512;

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
    /// Which part of a mixture it is of, from 0.
    pub workload: Option<u8>,
}

impl From<&Shot> for ShotFacts {
    fn from(shot: &Shot) -> Self {
        Self {
            id: shot.id,
            intended: shot.intended,
            prompt_tokens: shot.prompt_tokens(),
            output_tokens: shot.request.output.max_tokens,
            workload: shot.workload,
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
pub struct ShotList {
    content: Arc<Content>,
    /// Where only some of the shots are played here.
    part: Option<Part>,
}

/// The shots of a list that one of several workers plays, with ids of their own.
#[derive(Debug, Clone, Copy)]
struct Part {
    share: Share,
    first_id: RequestId,
}

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
        Self { content: Arc::new(content), part: None }
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// The shots of this whole list that belong to a share.
    pub(super) fn shared(&self, share: Share, first_id: RequestId) -> Self {
        Self { content: Arc::clone(&self.content), part: Some(Part { share, first_id }) }
    }

    /// The place in the whole list.
    fn whole(&self, index: usize) -> usize {
        self.part.map_or(index, |part| part.share.whole(index))
    }

    /// The id that a shot has in the whole plan.
    pub fn whole_id(&self, index: usize) -> RequestId {
        RequestId(self.content.first_id.0 + self.whole(index) as u32)
    }

    /// How many shots there are.
    pub fn len(&self) -> usize {
        let all = self.content.lengths.len();
        self.part.map_or(all, |part| part.share.len_of(all))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether these are warm-up or measured shots.
    pub fn phase(&self) -> Phase {
        self.content.phase
    }

    /// Id of the first shot; the others follow without a gap.
    pub fn first_id(&self) -> RequestId {
        self.part.map_or(self.content.first_id, |part| part.first_id)
    }

    /// Where prompts come from.
    pub fn series(&self) -> &PromptSeries {
        &self.content.series
    }

    /// What is asked, but for lengths and instants.
    pub fn workload(&self) -> &Workload {
        &self.content.workload
    }

    /// Images of each request; `None` where there are none, or requests differ.
    pub fn images_each(&self) -> Option<u32> {
        let of_workload = self.content.workload.images_each();
        of_workload.or_else(|| {
            let of = |index: usize| {
                self.content.series.entry(index as u64)?.images.as_ref().map(|it| it.len() as u32)
            };
            let first = of(0)?;
            let all = self.content.lengths.len();
            (1..all).all(|index| of(index) == Some(first)).then_some(first)
        })
    }

    /// Prompt tokens of all shots.
    pub fn prompt_tokens(&self) -> u64 {
        self.facts().map(|shot| u64::from(shot.prompt_tokens)).sum()
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
        let whole = self.whole(index);
        let Lengths { input, output } = self.content.lengths[whole];
        ShotFacts {
            id: RequestId(self.first_id().0 + index as u32),
            intended: self.content.instants.of(whole),
            prompt_tokens: input,
            output_tokens: output,
            workload: self.part_of(whole),
        }
    }

    /// Which part of a mixture a shot is of.
    fn part_of(&self, index: usize) -> Option<u8> {
        let Content { workload, series, .. } = &*self.content;
        workload.mixture.as_ref()?;
        series.entry(index as u64)?.part
    }

    /// Draws one shot. The same index always gives the same shot.
    ///
    /// # Errors
    /// When its prompt cannot be drawn.
    ///
    /// # Panics
    /// When there is no such shot.
    pub fn shot(&self, index: usize) -> Result<Shot, PlanError> {
        match self.content.kept.get() {
            Some(kept) if self.part.is_none() => Ok(kept[index].clone()),
            _ => self.draw(index),
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
        let weight: u64 = (0..self.len()).map(|index| self.weight_of(index)).sum();
        let small = self.len() <= KEPT_SHOTS && weight <= KEPT_TOKENS && self.part.is_none();
        if small && self.content.kept.get().is_none() {
            let drawn: Box<[Shot]> = self.shots().collect::<Result<_, _>>()?;
            // Another thread has drawn the same.
            let _equal = self.content.kept.set(drawn);
        }
        Ok(())
    }

    /// The prompt of a place in the whole list, and what texts go with it.
    fn texts(&self, index: usize) -> Result<(Prompt, Beside), PromptError> {
        let Content { workload, series, seeds, phase, .. } = &*self.content;
        let place = workload.prompt_of(index as u32);
        if let Some(turn) = self.turn_at(index).filter(|it| it.history == History::Recorded) {
            return self.recorded(index, turn);
        }
        let Some(documents) = workload.documents else {
            let prompt = series.prompt(place, self.content.lengths[index].input)?;
            return Ok((prompt, Beside::Nothing));
        };
        if workload.has_entries() {
            let texts = (0..documents).map(|number| {
                let text = place.saturating_mul(documents).saturating_add(number);
                let tokens = series.entry(text.into()).map_or(0, |entry| entry.lengths.input);
                series.prompt(text, tokens)
            });
            let mut texts = texts.collect::<Result<Vec<_>, _>>()?;
            let first = texts.remove(0);
            return Ok((first, Beside::Texts(texts.into())));
        }
        let tokens = |number| workload.document_tokens(seeds, *phase, place, number);
        // A query comes before all documents; else the first text is the prompt.
        let (first, begun) = match workload.query_tokens() {
            Some(query) => (query, 0),
            None => (tokens(0), 1),
        };
        let others = (begun..documents)
            .map(|number| series.further(place, 1 + number, tokens(number)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((series.prompt(place, first)?, Beside::Texts(others.into())))
    }

    /// The prompt of a turn with what is recorded of the turns before it.
    fn recorded(&self, index: usize, turn: Turn) -> Result<(Prompt, Beside), PromptError> {
        let series = &self.content.series;
        let asked = |index: usize| series.prompt(index as u32, self.content.lengths[index].input);
        let before = (index - turn.number as usize..index).map(|earlier| {
            let answer =
                series.entry(earlier as u64).and_then(|it| it.turn.as_ref()?.answer.clone());
            let answered = answer.unwrap_or(Prompt { ids: Arc::new([]), text: None });
            Ok(Exchange { asked: asked(earlier)?, answered })
        });
        let before = before.collect::<Result<Vec<_>, PromptError>>()?;
        Ok(with_history(&before, asked(index)?, turn.as_messages))
    }

    /// Where a shot stands in a conversation.
    pub fn turn_of(&self, index: usize) -> Option<Turn> {
        self.turn_at(self.whole(index))
    }

    /// The same of a place in the whole list.
    fn turn_at(&self, index: usize) -> Option<Turn> {
        let rules = self.content.workload.conversation()?;
        let turn = self.content.series.entry(index as u64)?.turn.as_ref()?;
        let (history, as_messages) = (rules.history, rules.as_messages);
        // What is recorded is part of the prompt as it is drawn.
        let before = if history == History::Recorded { 0 } else { turn.before };
        Some(Turn { number: turn.number, before, think: turn.think, history, as_messages })
    }

    /// About how much memory a request takes while it waits, in prompt tokens of text.
    pub fn weight_of(&self, index: usize) -> u64 {
        let Content { workload, series, lengths, .. } = &*self.content;
        let images = match (series.images(), workload.scenario) {
            (Some(given), _) => given.bytes_each(),
            (None, Scenario::Images { made: MadeImages { width, height, count }, .. }) => {
                noise_bytes(width, height) * u64::from(count)
            }
            (None, _) => 0,
        };
        u64::from(lengths[self.whole(index)].input) + images / BYTES_OF_IMAGES_PER_TOKEN
    }

    fn draw(&self, index: usize) -> Result<Shot, PlanError> {
        let Content { phase, workload, seeds, series, terms, .. } = &*self.content;
        let ShotFacts { id, intended, workload: part, .. } = self.facts_of(index);
        let whole = self.whole(index);
        let place = whole as u32;
        let (prompt, beside) =
            self.texts(whole).map_err(|why| PlanError::Prompt { request: id, why })?;
        let beside = match series.images_of(workload.prompt_of(place), workload.scenario) {
            Some(images) => Beside::Images(images),
            None => beside,
        };
        let request = RequestSpec {
            prompt,
            beside,
            output: workload.output(self.content.lengths[whole]),
            sampling: workload.sampling(seeds, *phase, place),
            streaming: workload.streaming,
            priority: workload.priority(seeds, *phase, place),
            adapter: workload.adapter(seeds, *phase, place),
            terms: Arc::clone(terms),
        };
        let turn = self.turn_at(whole);
        let prefix_group = series.group_of(workload.prompt_of(place));
        Ok(Shot { turn, workload: part, prefix_group, ..Shot::new(id, request).intended(intended) })
    }
}
