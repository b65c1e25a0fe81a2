//! How do a workload and a load become shots?

use std::sync::Arc;

use super::{Plan, PlanError, PlanSize, PlanStart, Shot};
use crate::clock::Nanos;
use crate::load::Load;
use crate::load::plan::check::{load_makes_sense, sampling_makes_sense, size_makes_sense};
use crate::request::RequestId;
use crate::request::spec::RequestSpec;
use crate::workload::prompts::PromptSource;
use crate::workload::scenario::Lengths;
use crate::workload::seeds::{Phase, Seeds, Stream};
use crate::workload::{PromptKind, Workload};

/// Most requests that one plan holds, in either phase.
pub const MAX_PLAN_SHOTS: u32 = 4_000_000;

/// Most prompt tokens that one plan holds, in either phase: 2 GiB of ids.
pub const MAX_PLAN_TOKENS: u64 = 512 << 20;

/// Supply for a closed loop or a batch that ends by time: nobody knows beforehand how many requests that takes.
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
    /// Draws every shot of one point of load, and hashes them.
    ///
    /// Lengths, arrival pattern and sampling seeds are the same at every `start.point`, so that points differ by
    /// load alone; prompts and shared prefixes differ, so that no point finds the cache that an earlier one filled.
    ///
    /// In an open loop exactly those requests are drawn that arrive within the duration. A closed loop or a batch
    /// with a duration gets at most a [`Pool`], and [`Plan::is_pool`] tells when that is less than was asked for.
    ///
    /// # Errors
    /// When load, size or workload make no sense, or a prompt cannot be drawn: one sentence, with the remedy.
    pub fn draw(
        workload: &Workload,
        load: &Load,
        size: PlanSize,
        start: PlanStart,
        source: &PromptSource,
    ) -> Result<Self, PlanError> {
        load_makes_sense(load)?;
        size_makes_sense(size)?;
        sampling_makes_sense(workload)?;
        if workload.prompts != source.kind() {
            let (asked, made) = (workload.prompts, source.kind());
            return Err(PlanError::WrongSource { asked, made });
        }
        let draw = Draw { workload, seeds: workload.seeds(), load: *load, start, source };
        let warmup = draw.warmup(size.warmup)?;
        let (shots, is_pool) = draw.measured(size, warmup.len() as u32)?;
        Self::seal(*load, size, start, warmup, shots, is_pool)
    }
}

struct Draw<'a> {
    workload: &'a Workload,
    seeds: Seeds,
    load: Load,
    start: PlanStart,
    source: &'a PromptSource,
}

impl Draw<'_> {
    fn warmup(&self, requests: u32) -> Result<Vec<Shot>, PlanError> {
        let instants = self.instants(Phase::Warmup, requests, None)?;
        let lengths = self.lengths(Phase::Warmup, instants.len(), Pool::everything())?;
        self.shots(Phase::Warmup, 0, &instants, &lengths)
    }

    fn measured(&self, size: PlanSize, warmup: u32) -> Result<(Vec<Shot>, bool), PlanError> {
        let asked = size.requests.unwrap_or(u32::MAX);
        let supply = match (self.load, size.duration) {
            (Load::Open { .. }, _) | (_, None) => Pool::everything(),
            (Load::Closed { .. } | Load::Batch, Some(_)) => Pool::of(self.workload.prompts),
        };
        let instants = self.instants(Phase::Measure, asked.min(supply.shots), size.duration)?;
        let lengths = self.lengths(Phase::Measure, instants.len(), supply)?;
        let shots = self.shots(Phase::Measure, warmup, &instants, &lengths)?;
        let is_pool = !matches!(self.load, Load::Open { .. }) && (shots.len() as u32) < asked;
        Ok((shots, is_pool))
    }

    /// One entry for each request that arrives; `None` for one that arrives when a slot becomes free.
    fn instants(
        &self,
        phase: Phase,
        at_most: u32,
        before: Option<Nanos>,
    ) -> Result<Vec<Option<Nanos>>, PlanError> {
        let at_most = at_most.min(MAX_PLAN_SHOTS + 1) as usize;
        let instants = match self.load {
            Load::Closed { .. } => vec![None; at_most],
            Load::Batch => vec![Some(Nanos::ZERO); at_most],
            Load::Open { arrivals, rate, .. } => {
                let seed = self.seeds.seed(Stream::Schedule, &[phase.code()]);
                let drawn = arrivals
                    .instants(rate, at_most, before, seed)
                    .expect("the burstiness was found positive and finite");
                drawn.into_iter().map(Some).collect()
            }
        };
        if instants.len() > MAX_PLAN_SHOTS as usize {
            return Err(PlanError::TooManyShots);
        }
        Ok(instants)
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
            let lengths = self.workload.lengths(&self.seeds, phase, index);
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

    fn shots(
        &self,
        phase: Phase,
        before: u32,
        instants: &[Option<Nanos>],
        lengths: &[Lengths],
    ) -> Result<Vec<Shot>, PlanError> {
        let workload = self.workload;
        let series = self
            .source
            .series(self.seeds, workload.prefix_tokens, phase, self.start.point)
            .map_err(PlanError::Prefix)?;
        let terms = Arc::new(workload.terms.clone());
        let mut shots = Vec::with_capacity(lengths.len());
        for (index, (intended, lengths)) in (0_u32..).zip(instants.iter().zip(lengths)) {
            let id = RequestId(self.start.first_id.0.saturating_add(before).saturating_add(index));
            let output = workload.output(*lengths);
            if output.min_tokens > output.max_tokens {
                let (min, max) = (output.min_tokens, output.max_tokens);
                return Err(PlanError::MinAboveMax { request: id, min, max });
            }
            let prompt = series
                .prompt(index, lengths.input)
                .map_err(|why| PlanError::Prompt { request: id, why })?;
            let sampling = workload.sampling(&self.seeds, phase, index);
            let streaming = workload.streaming;
            let priority = workload.priority(&self.seeds, phase, index);
            let adapter = workload.adapter(&self.seeds, phase, index);
            let terms = Arc::clone(&terms);
            let request =
                RequestSpec { prompt, output, sampling, streaming, priority, adapter, terms };
            shots.push(Shot { id, intended: *intended, request });
        }
        Ok(shots)
    }
}

impl Pool {
    const fn everything() -> Self {
        Self { shots: u32::MAX, tokens: MAX_PLAN_TOKENS }
    }
}
