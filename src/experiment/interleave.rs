//! Interleaving of blocks on several targets, in an order that cancels drift of the machine.

use crate::clock::Nanos;
use crate::experiment::calibrate;
use crate::experiment::point_runner::{Opening, PointRunner};
use crate::experiment::sweep::{
    ExperimentError, Watch, calibrate_client, keep_engine_log, save_before_the_first_request,
};
use crate::issue::live_phase::LivePhase;
use crate::issue::stop::Stop;
use crate::issue::workers::message::{SideJob, SideOfJob};
use crate::load::plan::Plan;
use crate::metrics::Summary;
use crate::metrics::compare::BLOCKS_FOR_A_VERDICT;
use crate::metrics::facts::SentBefore;
use crate::observe::health::NullRate;
use crate::settings::Resolved;
use crate::specs::RooflineFacts;
use crate::store::manifest::{Manifest, PointEntry, State};
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::RunDirectory;
use crate::store::sent_before::{PromptFacts, is_one_server, sent_before};
use crate::targets::TargetInfo;
use crate::targets::python::elsewhere::Described;

/// One of the targets that are measured side by side.
pub struct Side<'a> {
    /// What it is called in words and folders.
    pub name: String,
    /// How it is set up.
    pub resolved: &'a Resolved,
    /// The same as TOML.
    pub settings: String,
    /// What answers, not yet opened.
    pub opening: Opening,
    /// Its model and machine, where they are known.
    pub roofline: Option<RooflineFacts>,
}

/// Blocks that every side plays before those that are compared.
///
/// Whoever plays first finds threads, caches and the engine's loop as they were after loading, and the others as the first one
/// has left them: the first block is not exchangeable. The lead-in has that block's part, and its requests are none of the
/// others'.
pub const LEAD_IN: usize = 1;
/// How its point is labelled.
pub const LEAD_IN_LABEL: &str = "lead-in";

/// Who plays first, second, … in a block: rotated from block to block, and reversed so that two sides come as ABBA BAAB.
///
/// Over each cycle of as many blocks as there are sides, each side has each place once; which cycles run backwards
/// follows the Thue–Morse sequence, so that linear and quadratic drifts cancel as well.
pub fn order(block: usize, sides: usize) -> Vec<usize> {
    let (cycle, turn) = (block / sides, block % sides);
    let mut order: Vec<usize> = (0..sides).map(|place| (place + turn) % sides).collect();
    if cycle.count_ones() % 2 == 1 {
        order.reverse();
    }
    order
}

/// Plays every block on every side, the lead-in first and the others in [`order`], with all sides open all the time. Each side keeps its records in a
/// folder of its own below `directory`, where each block is a point.
///
/// Ends early, with what there is by then, when the end is asked for or a side answers no more.
///
/// # Errors
/// When a target cannot be opened or a file not be written.
pub fn play(
    sides: Vec<Side<'_>>,
    plans: &[Plan],
    directory: &RunDirectory,
    stop: &Stop,
    watch: &mut dyn Watch,
) -> Result<Vec<MeasuredRun>, ExperimentError> {
    keep_engine_log(directory)?;
    let run = Common { plans, directory, stop, null_rate: calibrate::null_rate()? };
    let mut runners = Vec::with_capacity(sides.len());
    let names: Vec<String> = sides.iter().map(|side| side.name.clone()).collect();
    for side in unopened(sides, plans) {
        runners.push(side.open(&run, watch)?);
    }
    'blocks: for (block, plan) in plans.iter().enumerate() {
        for side in order(block.saturating_sub(LEAD_IN), runners.len()) {
            if !runners.iter().all(PointRunner::can_go_on) {
                break 'blocks;
            }
            let mut watch = OfSide { name: &names[side], watch: &mut *watch };
            runners[side].play(plan, label(block, plans.len()), &mut watch)?;
        }
    }
    Ok(runners.into_iter().map(PointRunner::close).collect())
}

/// A side of another environment is opened by a process there, which draws the plans again from what is told of all sides.
fn tell_children(sides: &mut [Side<'_>], plans: &[Plan]) {
    let told = |side: &Side<'_>| SideOfJob {
        settings: side.settings.clone(),
        described: Described {
            info: side.opening.target.describe().clone(),
            special_ids: side.opening.special_ids.clone(),
        },
    };
    let all: Vec<SideOfJob> = sides.iter().map(told).collect();
    let blocks = (plans.len() - LEAD_IN.min(plans.len())) as u32;
    for (own, side) in sides.iter_mut().enumerate() {
        if side.resolved.engine.python.is_some() {
            side.opening.job = Some(SideJob { sides: all.clone(), own, blocks });
        }
    }
}

/// What a block is called.
pub(super) fn label(block: usize, plans: usize) -> String {
    match (block + 1).checked_sub(LEAD_IN) {
        Some(number) if number > 0 => format!("block {number} of {}", plans - LEAD_IN),
        _ => LEAD_IN_LABEL.to_owned(),
    }
}

/// What all sides have in common.
pub(super) struct Common<'a> {
    pub(super) plans: &'a [Plan],
    pub(super) directory: &'a RunDirectory,
    pub(super) stop: &'a Stop,
    pub(super) null_rate: NullRate,
}

/// A side, with what was known of its server before any side was opened.
pub(super) struct Unopened<'a> {
    pub(super) side: Side<'a>,
    sent_before: Option<SentBefore>,
    also_sent_by: Vec<String>,
}

/// All sides, before any is opened.
pub(super) fn unopened<'a>(mut sides: Vec<Side<'a>>, plans: &[Plan]) -> Vec<Unopened<'a>> {
    tell_children(&mut sides, plans);
    let before: Vec<_> = sides
        .iter()
        .map(|side| {
            let target = side.opening.target.describe();
            sent_before(&side.resolved.out, target, &side.resolved.workload)
        })
        .collect();
    let beside: Vec<Vec<String>> = (0..sides.len()).map(|at| also_sent_by(&sides, at)).collect();
    let known = sides.into_iter().zip(before.into_iter().zip(beside));
    known
        .map(|(side, (sent_before, also_sent_by))| Unopened { side, sent_before, also_sent_by })
        .collect()
}

impl<'a> Unopened<'a> {
    /// Makes its folder and opens its target.
    pub(super) fn open(
        self,
        run: &Common<'a>,
        watch: &mut dyn Watch,
    ) -> Result<PointRunner<'a>, ExperimentError> {
        let Side { name, resolved, settings, opening, roofline } = self.side;
        let info = opening.target.describe().clone();
        let folder = run.directory.below(&name)?;
        let mut manifest = Manifest::begin(info.clone(), name, &resolved.workload);
        manifest.null_rate = Some(run.null_rate);
        manifest.keep_wishes(resolved);
        calibrate_client(&mut manifest, resolved, run.plans);
        save_before_the_first_request(&folder, &settings, &manifest)?;
        watch.begun(&info, &folder);
        let runner = PointRunner::open(resolved, opening, run.plans, folder, manifest, run.stop)?;
        let runner = runner.with_roofline(roofline).with_sent_before(self.sent_before);
        Ok(runner.with_also_sent_by(self.also_sent_by))
    }
}

/// Names of the other sides that send the prompts of this one to its server.
fn also_sent_by(sides: &[Side<'_>], at: usize) -> Vec<String> {
    let facts = |side: &Side<'_>| {
        let workload = &side.resolved.workload;
        (workload.seed, PromptFacts::of(workload))
    };
    let own = &sides[at];
    let is_alike = |other: &Side<'_>| {
        let (one, two) = (own.opening.target.describe(), other.opening.target.describe());
        is_one_server(one, two) && facts(own) == facts(other)
    };
    let others = sides.iter().enumerate().filter(|(place, other)| *place != at && is_alike(other));
    others.map(|(_, other)| other.name.clone()).collect()
}

/// A watcher of several targets is notified which one each phase belongs to; a side's own records need not say so.
pub(super) struct OfSide<'a> {
    pub(super) name: &'a str,
    pub(super) watch: &'a mut dyn Watch,
}

impl Watch for OfSide<'_> {
    fn begun(&mut self, target: &TargetInfo, directory: &RunDirectory) {
        self.watch.begun(target, directory);
    }

    fn phase(&mut self, label: &str, shots: u64, duration: Option<Nanos>, live: &LivePhase) {
        self.watch.phase(&format!("{}, {label}", self.name), shots, duration, live);
    }

    fn phase_over(&mut self) {
        self.watch.phase_over();
    }

    fn measured(&mut self, entry: &PointEntry, summary: &Summary) {
        self.watch.measured(entry, summary);
    }
}

/// What helps where too few blocks were played to decide anything.
pub fn more_blocks() -> String {
    format!("give `--blocks {BLOCKS_FOR_A_VERDICT}` or more")
}

/// How the whole went: as badly as the side that went worst.
pub fn state(runs: &[MeasuredRun]) -> State {
    let any = |state| runs.iter().any(|run| run.manifest.state == state);
    if any(State::Failed) {
        State::Failed
    } else if any(State::Interrupted) {
        State::Interrupted
    } else if any(State::Incomplete) {
        State::Incomplete
    } else {
        State::Complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_come_as_abba_baab() {
        let orders: Vec<Vec<usize>> = (0..8).map(|block| order(block, 2)).collect();
        let letters: String =
            orders.concat().iter().map(|side| if *side == 0 { 'A' } else { 'B' }).collect();
        assert_eq!(letters, "ABBABAABBAABABBA");
    }

    #[test]
    fn over_a_cycle_each_side_has_each_place_once() {
        for sides in 2..6 {
            for cycle in 0..4 {
                for place in 0..sides {
                    let mut seen: Vec<usize> =
                        (0..sides).map(|turn| order(cycle * sides + turn, sides)[place]).collect();
                    seen.sort_unstable();
                    assert_eq!(seen, (0..sides).collect::<Vec<_>>(), "{sides} {cycle} {place}");
                }
            }
        }
    }
}
