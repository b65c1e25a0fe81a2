//! Blocks of an experiment with several targets: the same requests at the same instants on all.

use crate::engine_directory::EngineProblem;
use crate::experiment::engines::check_engines;
use crate::experiment::interleave::LEAD_IN;
use crate::experiment::point_runner::Opening;
use crate::experiment::preflight::PreflightError;
use crate::experiment::preflight::prompts::{prompt_source, tokenise_words};
use crate::experiment::{gpu_watch, machine, open_files, workload_file};
use crate::load::plan::{Plan, PlanStart};
use crate::request::Limits;
use crate::request::RequestId;
use crate::settings::Resolved;
use crate::specs::RooflineFacts;
use crate::targets::named::Named;
use crate::targets::registry;
use crate::workload::images::ImageUrls;
use crate::workload::{PromptKind, Workload};

/// Described targets, and the plan of each block, checked against all of them.
#[derive(Default)]
pub struct ReadyBlocks {
    /// What answers, in the order of the sides; not yet opened.
    pub openings: Vec<Opening>,
    /// Model and machine of each side, where they are known.
    pub rooflines: Vec<Option<RooflineFacts>>,
    /// That of the lead-in, and one for each block.
    pub plans: Vec<Plan>,
    /// What is odd about engines that come from a directory, and no reason to refuse them.
    pub warnings: Vec<EngineProblem>,
}

/// Describes every side and draws a lead-in and so many blocks of the first side's workload at its first load.
///
/// Block number b, from 0, is drawn with the seed plus b, and the lead-in, which is played first, as one block more: lengths, prompts and instants differ from block to block, so
/// that no block finds a cache that an earlier one has filled, and are the same on every side of a block. Prompts are
/// text, which has ids too, as soon as one side wants text. Words that were given as text get their token ids in `sides`.
///
/// # Errors
/// The first thing that is in the way, with its remedy.
pub fn prepare(sides: &mut [Resolved], blocks: u32) -> Result<ReadyBlocks, PreflightError> {
    for side in sides.iter_mut() {
        workload_file::send_text_where_nothing_counts(side)?;
    }
    let mut named = Vec::with_capacity(sides.len());
    for side in sides.iter() {
        named.push(registry::describe(&side.target, &side.engine, &side.served)?);
    }
    let Drawn { plans, mut warnings } = draw(sides, &mut named, blocks)?;
    let mut openings = Vec::with_capacity(sides.len());
    let mut rooflines = Vec::with_capacity(sides.len());
    for (side, it) in sides.iter().zip(named) {
        open_files::raise(it.target.describe(), &plans)?;
        let telemetry = gpu_watch::find(side, it.target.describe().abilities())?;
        let gpus = machine::gpus(&it, side, telemetry.as_ref())?;
        let (found, _) = check_engines(&it, side, &plans, gpus.as_ref())?;
        warnings.extend(found);
        let (roofline, lacking) = machine::roofline(it.deployment(), side, gpus.as_ref());
        // What is given for all sides is in vain at one of which nothing is known.
        warnings.extend(lacking.filter(|_| it.deployment().is_some()));
        rooflines.push(roofline);
        openings.push(Opening::of(it, telemetry));
    }
    Ok(ReadyBlocks { openings, rooflines, plans, warnings })
}

/// The plans of all blocks.
#[derive(Default)]
pub(super) struct Drawn {
    pub(super) plans: Vec<Plan>,
    warnings: Vec<EngineProblem>,
}

/// Draws the plans of described sides. What draws the same elsewhere has the same sides, or what is told of them.
///
/// # Errors
/// The first thing that is in the way, with its remedy.
pub(super) fn draw(
    sides: &mut [Resolved],
    named: &mut [Named],
    blocks: u32,
) -> Result<Drawn, PreflightError> {
    let wants_text = sides.iter().any(|side| side.workload.prompts == PromptKind::Text);
    let kind = if wants_text { PromptKind::Text } else { PromptKind::Ids };
    let chosen = match &mut *sides {
        [] => None,
        [first, ..] => {
            workload_file::choose_entries(first, kind, named, blocks as usize + LEAD_IN)?
        }
    };
    let entries = chosen.as_ref().map(|it| it.entries.clone());
    let mut served: Vec<_> = sides.iter_mut().map(|side| &mut side.served).collect();
    let source = prompt_source(kind, named, &mut served, entries)?;
    let images = sides.first().and_then(|first| first.workload.images.as_ref());
    let mut source = source.with_images(images.map(ImageUrls::read).transpose()?);
    if let ([first, others @ ..], Some(_)) = (&mut *sides, &chosen) {
        for it in others {
            it.loads.clone_from(&first.loads);
            it.requests = first.requests;
        }
    }
    // The same ids for all: the question is one.
    if let [first, others @ ..] = &mut *sides {
        tokenise_words(&mut first.workload, named)?;
        for it in others {
            it.workload.terms.clone_from(&first.workload.terms);
        }
    }
    let sides = &*sides;
    let Some(first) = sides.first() else { return Ok(Drawn::default()) };
    // What an engine's directory says is narrower than what the target says without reading it.
    let limits: Vec<Limits> = sides
        .iter()
        .zip(&*named)
        .flat_map(|(side, it)| {
            let built = it.engine_directory().map(|directory| directory.limits(&side.engine));
            [Some(it.target.describe().limits), built]
        })
        .flatten()
        .collect();
    let mut plans: Vec<Plan> = Vec::with_capacity(blocks as usize + LEAD_IN);
    let lead_in = std::iter::repeat_n(blocks, LEAD_IN);
    for (point, block) in (0..).zip(lead_in.chain(0..blocks)) {
        let Some(load) = first.loads.first() else { break };
        let seed = first.workload.seed.wrapping_add(block.into());
        let workload = Workload { seed, prompts: kind, ..first.workload.clone() };
        let first_id = plans.last().map_or(RequestId(0), Plan::next_id);
        let start = PlanStart { point, first_id };
        let plan = Plan::draw(&workload, load, first.size(load), start, &source)?;
        for limits in &limits {
            plan.check(limits)?;
        }
        source = source.behind(&plan);
        plans.push(plan);
    }
    let warnings = chosen.iter().flat_map(|it| workload_file::notices(it, &plans)).collect();
    Ok(Drawn { plans, warnings })
}
