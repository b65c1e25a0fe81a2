//! Drawing of a plan: lengths and instants of every shot from a workload and a load.

use std::sync::{Arc, OnceLock};

use super::shot_list::{Content, Instants, ShotList};
use super::{Plan, PlanError, PlanSize, PlanStart};
use crate::clock::Nanos;
use crate::load::course::{Course, Ramp, Tail};
use crate::load::plan::check::{load_makes_sense, sampling_makes_sense, size_makes_sense};
use crate::load::plan::hash;
use crate::load::stages::Stages;
use crate::load::{Arrivals, Load};
use crate::request::RequestId;
use crate::request::terms::Terms;
use crate::workload::dataset::entries::Entries;
use crate::workload::prompts::PromptSource;
use crate::workload::scenario::Lengths;
use crate::workload::seeds::{Phase, Seeds, Stream};
use crate::workload::{PromptKind, Workload};

/// Most requests that one plan holds, in either phase.
pub const MAX_PLAN_SHOTS: u32 = 4_000_000;

/// Most prompt tokens that one plan asks for, in either phase.
pub const MAX_PLAN_TOKENS: u64 = 512 << 20;

/// Times that ramp and tail together may turn a slot over, for each of them.
const FILL_ROUNDS: u32 = 8;

/// Requests of ramp and tail together where the ramp of a closed loop has a length of its own.
const FILL_OF_LONG_RAMP: u32 = 32 << 10;

/// Requests of ramp or tail where few are measured.
const FILL_LEAST: u32 = 64;

/// Most requests of ramp and tail together.
const FILL_MOST: u32 = 200_000;

/// Supply for a closed loop or a batch that ends by time: how many requests that takes is not known
/// beforehand.
///
/// The supply ends with whichever of the two is reached first. Text costs an encoding per prompt, so there is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Most requests.
    pub shots: u32,
    /// Most prompt tokens; the first request is drawn whatever its length.
    pub tokens: u64,
}

impl Pool {
    /// The supply of prompts of one kind.
    pub const fn of(kind: PromptKind) -> Self {
        match kind {
            PromptKind::Ids => Self { shots: 100_000, tokens: 64 << 20 },
            PromptKind::Text => Self { shots: 100_000, tokens: 1 << 20 },
        }
    }
}

impl Plan {
    /// Draws lengths and instants of every shot of one point of load, and hashes what will be asked. Prompts are drawn
    /// later, from [`ShotList`].
    ///
    /// Lengths, arrival pattern and sampling seeds are the same at every `start.point`, so that points differ by
    /// load alone; prompts and shared prefixes differ, so that no point finds the cache that an earlier one filled.
    ///
    /// In an open loop exactly those requests are drawn that arrive within the duration. A closed loop or a batch
    /// with a duration gets at most a [`Pool`], and [`Plan::is_pool`] tells when that is less than was asked for.
    ///
    /// # Errors
    /// When load, size or workload make no sense, or the first prompt cannot be drawn: one sentence, with the remedy.
    pub fn draw(
        workload: &Workload,
        load: &Load,
        size: PlanSize,
        start: PlanStart,
        source: &PromptSource,
    ) -> Result<Self, PlanError> {
        load_makes_sense(load)?;
        size_makes_sense(&size)?;
        sampling_makes_sense(workload)?;
        if workload.prompts != source.kind() {
            let (asked, made) = (workload.prompts, source.kind());
            return Err(PlanError::WrongSource { asked, made });
        }
        let draw = Draw {
            workload: Arc::new(workload.clone()),
            terms: Arc::new(workload.terms.clone()),
            seeds: workload.seeds(),
            load: *load,
            stages: size.stages,
            start,
            source,
        };
        let warmup = draw.warmup(size.warmup)?;
        let (shots, is_pool) = draw.measured(&size, warmup.len() as u32)?;
        let fill = draw.fill(&size, (warmup.len() + shots.len()) as u32, &shots)?;
        let hash = hash::of(*load, &size, start.point, [&warmup, &shots, &fill])?;
        Ok(Self { load: *load, size, start, warmup, shots, fill, is_pool, hash })
    }
}

struct Draw<'a> {
    workload: Arc<Workload>,
    terms: Arc<Terms>,
    seeds: Seeds,
    load: Load,
    stages: Option<Stages>,
    start: PlanStart,
    source: &'a PromptSource,
}

impl Draw<'_> {
    fn warmup(&self, requests: u32) -> Result<ShotList, PlanError> {
        let (instants, requests) = self.instants(Phase::Warmup, requests, None)?;
        let lengths = self.lengths(Phase::Warmup, requests, Pool::everything())?;
        self.list(Phase::Warmup, 0, instants, lengths)
    }

    fn measured(&self, size: &PlanSize, warmup: u32) -> Result<(ShotList, bool), PlanError> {
        let asked = size.requests.unwrap_or(u32::MAX);
        let supply = match (self.load, size.duration) {
            (Load::Open { .. }, _) | (_, None) => Pool::everything(),
            (Load::Closed { .. } | Load::Batch, Some(_)) => Pool::of(self.workload.prompts),
        };
        let (instants, requests) =
            self.instants(Phase::Measure, asked.min(supply.shots), size.duration)?;
        let requests = self.whole_conversations(requests);
        let lengths = self.lengths(Phase::Measure, requests, supply)?;
        let shots = self.list(Phase::Measure, warmup, instants, lengths)?;
        if shots.is_empty() {
            return Err(match (self.load, size.duration) {
                (Load::Open { .. }, Some(duration)) => PlanError::NoArrivals {
                    load: self.load.to_string(),
                    seconds: duration.as_secs_f64(),
                },
                (Load::Open { .. } | Load::Closed { .. } | Load::Batch, _) => PlanError::NoRequests,
            });
        }
        let is_pool = !matches!(self.load, Load::Open { .. }) && (shots.len() as u32) < asked;
        Ok((shots, is_pool))
    }

    /// Conversations are planned to their ends: as many as were asked for, or those that the requests begin.
    fn whole_conversations(&self, requests: usize) -> usize {
        let rules = self.workload.conversation();
        let (Some(rules), Some(entries)) = (rules, self.source.entries()) else { return requests };
        let begins = |index: usize| {
            entries.of(Phase::Measure, index as u64).turn.as_ref().is_none_or(|it| it.number == 0)
        };
        let mut begun = 0_u32;
        for index in 0..MAX_PLAN_SHOTS as usize {
            if begins(index) {
                let enough = match rules.sessions {
                    Some(sessions) => begun >= sessions,
                    None => index >= requests,
                };
                if enough {
                    return index;
                }
                begun += 1;
            }
        }
        requests
    }

    /// Enough for ramp and tail where nothing goes wrong: a closed loop turns each slot over a few times, and an open loop
    /// sends as much on either side as is measured.
    fn fill(
        &self,
        size: &PlanSize,
        before: u32,
        measured: &ShotList,
    ) -> Result<ShotList, PlanError> {
        let Course { ramp, tail } = size.course;
        let sides = u32::from(ramp != Ramp::None) + u32::from(tail != Tail::None);
        let (mut side, mut under_way) = (0, 0);
        match self.load {
            Load::Batch => {}
            Load::Closed { concurrency } => {
                side = closed_side(concurrency);
                under_way = if ramp == Ramp::None { 0 } else { concurrency };
            }
            Load::Open { .. } => side = (measured.len() as u32).max(FILL_LEAST),
        }
        let long_ramp = match (self.load, ramp) {
            (Load::Closed { .. }, Ramp::Over(_)) => FILL_OF_LONG_RAMP,
            _ => 0,
        };
        let at_most =
            if sides == 0 { 0 } else { side.saturating_mul(sides).max(long_ramp).min(FILL_MOST) };
        let supply = Pool { shots: FILL_MOST, tokens: MAX_PLAN_TOKENS };
        let (instants, requests) = self.instants(Phase::Fill, at_most, None)?;
        let mut lengths = self.lengths(Phase::Fill, requests, supply)?;
        for (index, lengths) in (0..under_way).zip(&mut lengths) {
            *lengths = match self.source.entries() {
                Some(_) => self.workload.rest_of(&self.seeds, index, *lengths),
                None => self.workload.residual_lengths(&self.seeds, Phase::Fill, index),
            };
        }
        self.list(Phase::Fill, before, instants, lengths)
    }

    /// Intended arrivals, and how many requests arrive.
    fn instants(
        &self,
        phase: Phase,
        at_most: u32,
        before: Option<Nanos>,
    ) -> Result<(Instants, usize), PlanError> {
        let at_most = at_most.min(MAX_PLAN_SHOTS + 1) as usize;
        let (instants, requests) = match self.load {
            Load::Closed { .. } => (Instants::WhenFree, at_most),
            Load::Batch => (Instants::AtStart, at_most),
            Load::Open { arrivals: Arrivals::Replay, .. } => {
                self.replayed(phase, at_most, before)?
            }
            Load::Open { arrivals, rate, .. } => {
                let seed = self.seeds.seed(Stream::Schedule, &[phase.code()]);
                let drawn = match self.stages.filter(|_| phase == Phase::Measure) {
                    Some(stages) => arrivals.instants_in(&stages.list, at_most, seed),
                    None => arrivals.instants(rate, at_most, before, seed),
                };
                let mut drawn = drawn.expect("the burstiness was found positive and finite");
                drawn.shrink_to_fit();
                let requests = drawn.len();
                (Instants::Each(drawn), requests)
            }
        };
        if requests > MAX_PLAN_SHOTS as usize {
            return Err(PlanError::TooManyShots);
        }
        Ok((instants, requests))
    }

    /// Instants of a trace. Its warm-up is a batch: the trace says nothing of what was before it.
    fn replayed(
        &self,
        phase: Phase,
        at_most: usize,
        before: Option<Nanos>,
    ) -> Result<(Instants, usize), PlanError> {
        if phase != Phase::Measure {
            return Ok((Instants::AtStart, at_most));
        }
        let instants = self.source.entries().and_then(Entries::instants);
        let instants = instants.ok_or(PlanError::NothingToReplay)?.into_iter();
        let played = instants.take_while(|at| before.is_none_or(|end| *at < end)).take(at_most);
        let played: Vec<Nanos> = played.collect();
        let requests = played.len();
        Ok((Instants::Each(played), requests))
    }

    /// Lengths of up to `requests` requests: fewer where a supply of tokens ends first.
    fn lengths(
        &self,
        phase: Phase,
        requests: usize,
        supply: Pool,
    ) -> Result<Vec<Lengths>, PlanError> {
        let mut tokens = 0;
        let mut drawn = Vec::with_capacity(requests);
        for index in 0..requests as u32 {
            let lengths = if let Some(entries) = self.source.entries() {
                self.of_entries(entries, phase, index)
            } else {
                let prompt = self.workload.prompt_of(index);
                self.workload.lengths(&self.seeds, phase, prompt)
            };
            tokens += u64::from(lengths.input);
            if tokens > supply.tokens && index > 0 {
                break;
            }
            drawn.push(lengths);
        }
        if drawn.len() < requests && supply == Pool::everything() {
            return Err(PlanError::TooManyTokens);
        }
        Ok(drawn)
    }

    /// Lengths of a request whose texts are entries of a file.
    fn of_entries(&self, entries: &Entries, phase: Phase, index: u32) -> Lengths {
        let texts = u64::from(self.workload.documents.unwrap_or(1));
        let first = u64::from(index) * texts;
        let output = entries.of(phase, first).lengths.output;
        let input = (first..first + texts).map(|text| entries.of(phase, text).lengths.input).sum();
        Lengths { input, output }
    }

    /// Puts a phase together, and refuses what its lengths already rule out.
    fn list(
        &self,
        phase: Phase,
        before: u32,
        instants: Instants,
        lengths: Vec<Lengths>,
    ) -> Result<ShotList, PlanError> {
        let first = self.start.first_id.0.checked_add(before);
        let fits = first.and_then(|first| first.checked_add(lengths.len() as u32));
        let first = first.filter(|_| fits.is_some()).ok_or(PlanError::OutOfIds)?;
        let series = self
            .source
            .series(self.seeds, self.workload.prefix(), phase, self.start.point)
            .map_err(PlanError::Prefix)?;
        for (lengths, id) in lengths.iter().zip((first..).map(RequestId)) {
            let (min, max) = (self.workload.output.min_tokens, lengths.output);
            if min > max && phase != Phase::Fill {
                return Err(PlanError::MinAboveMax { request: id, min, max });
            }
            let place = id.0 - first;
            if self.source.entries().is_some() && !series.draws(place) {
                continue;
            }
            series.check(lengths.input).map_err(|why| PlanError::Prompt { request: id, why })?;
        }
        Ok(ShotList::new(Content {
            phase,
            first_id: RequestId(first),
            lengths,
            instants,
            workload: Arc::clone(&self.workload),
            terms: Arc::clone(&self.terms),
            seeds: self.seeds,
            series,
            kept: OnceLock::new(),
        }))
    }
}

/// Requests of ramp or tail of a closed loop, at most.
const fn closed_side(concurrency: u32) -> u32 {
    concurrency.saturating_mul(FILL_ROUNDS).saturating_add(FILL_LEAST)
}

impl Plan {
    /// Requests that the ramp may take of [`Self::fill`], so that enough is left for the tail.
    pub fn ramp_at_most(&self) -> usize {
        let all = self.fill.len();
        match (self.size.course.ramp, self.size.course.tail) {
            (Ramp::None, _) => 0,
            (_, Tail::None) => all,
            (_, Tail::UntilMeasuredEnd) => match self.load {
                Load::Closed { concurrency } => {
                    all - (closed_side(concurrency) as usize).min(all / 2)
                }
                Load::Open { .. } | Load::Batch => all / 2,
            },
        }
    }
}

/// Requests that a plan of this load and size has at most, all phases together; so many entries of a file it may take.
pub fn requests_at_most(load: &Load, size: PlanSize) -> usize {
    let of_time = match (load, size.duration) {
        // A good deal more than the mean number of arrivals.
        (Load::Open { rate, .. }, Some(time)) => (2.0 * rate * time.as_secs_f64()) as u32 + 1_000,
        (_, Some(_)) => Pool::of(PromptKind::Ids).shots,
        (_, None) => u32::MAX,
    };
    let measured = size.requests.unwrap_or(u32::MAX).min(of_time).min(MAX_PLAN_SHOTS);
    let sides = match load {
        Load::Batch => 0,
        Load::Closed { concurrency } => closed_side(*concurrency).saturating_mul(2),
        Load::Open { .. } => measured.max(FILL_LEAST).saturating_mul(2),
    };
    let fill = if size.course.is_plain() { 0 } else { sides.min(FILL_MOST) };
    measured as usize + size.warmup as usize + fill as usize
}

impl Pool {
    const fn everything() -> Self {
        Self { shots: u32::MAX, tokens: MAX_PLAN_TOKENS }
    }
}
