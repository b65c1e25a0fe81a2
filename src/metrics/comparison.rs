//! Comparison document of an experiment with several sides, a pure function of what each side measured.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::load::Load;
use crate::metrics::compare::BLOCKS_FOR_A_VERDICT;
use crate::metrics::fairness::{self, Conditions, Item};
use crate::metrics::sides::{self, GateResult, Row, Terms};
use crate::metrics::summary::{
    Check, CheckId, Mark, SCHEMA_VERSION, Status, Summary, Verdict, json_word,
};
use crate::metrics::threshold::Threshold;
use crate::record::request_record::Records;
use crate::targets::TargetInfo;
use crate::warning::{Code, Note};

/// `comparison.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Version of every definition and of the shape of the file.
    pub schema_version: u32,
    /// What was compared, in a few words.
    pub title: String,
    /// Blocks of the sides took turns. Otherwise each side was measured on its own, at another time.
    pub interleaved: bool,
    /// Blocks that were planned are missing.
    pub incomplete: bool,
    /// What every artefact must say.
    pub marks: Vec<Mark>,
    /// Blocks that were planned.
    pub planned_blocks: u64,
    /// Blocks that every side played to the end: those that are compared. Where pairs were not measured in turns, each has
    /// its own number, and this is the smallest.
    pub blocks: u64,
    /// Who played first, second, … in each block, by place in `sides`; empty where they did not take turns.
    pub order: Vec<Vec<usize>>,
    /// Requests were sent in a closed loop, where the intended arrival says nothing of its own.
    pub closed_loop: bool,
    /// How numbers are compared.
    pub terms: Terms,
    /// What was measured; the first one is the baseline.
    pub sides: Vec<SideReport>,
    /// Each comparison of two sides.
    pub pairs: Vec<Pair>,
    /// What a reader should know.
    pub notes: Vec<Note>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SideReport {
    /// `A`, `B`, …
    pub name: String,
    /// What answered.
    pub target: TargetInfo,
    /// Where its records lie.
    pub folder: String,
    /// The worst verdict of its blocks; `None` where there is no block.
    pub verdict: Option<Verdict>,
    /// Requests of its blocks that were asked.
    pub attempted: u64,
    /// Of these, completed.
    pub completed: u64,
}

/// Two sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The side that is compared with, by place.
    pub baseline: usize,
    /// The side in question, by place.
    pub candidate: usize,
    /// Every number that both have.
    pub rows: Vec<Row>,
    /// Whether both did the same work under the same conditions.
    pub fairness: Vec<Item>,
    /// What became of the numbers that may not get worse.
    #[serde(rename = "rulings")]
    pub gate_results: Vec<GateResult>,
}

/// What one side measured.
pub struct Measured<'a> {
    /// `A`, `B`, …
    pub name: String,
    /// What answered.
    pub target: &'a TargetInfo,
    /// Where its records lie.
    pub folder: String,
    /// It was measured to its end.
    pub complete: bool,
    /// Its blocks, in the order in which they were played.
    pub blocks: Vec<MeasuredBlock<'a>>,
    /// Every setting.
    pub settings: Map<String, Value>,
}

impl Measured<'_> {
    /// The same without so many of its first blocks, which were played to bring all sides to where they begin alike.
    #[must_use]
    pub fn without_first(mut self, blocks: usize) -> Self {
        self.blocks.drain(..blocks.min(self.blocks.len()));
        self
    }
}

/// One block of one side.
#[derive(Debug, Clone, Copy)]
pub struct MeasuredBlock<'a> {
    /// SHA-256 of its plan.
    pub plan_hash: &'a str,
    /// How requests arrived.
    pub load: Load,
    /// Its records.
    pub records: &'a Records,
    /// What they come to.
    pub summary: &'a Summary,
}

/// What was to be compared, and how.
pub struct Question<'a> {
    /// In a few words.
    pub title: String,
    /// Blocks of the sides took turns.
    pub interleaved: bool,
    /// Blocks that were planned.
    pub planned_blocks: u64,
    /// Who played when; empty where they did not take turns.
    pub order: Vec<Vec<usize>>,
    /// How numbers are compared.
    pub terms: Terms,
    /// What helps where there are fewer blocks than decide.
    pub remedy: String,
    /// What may not get worse.
    pub thresholds: &'a [Threshold],
    /// Which sides are compared, baseline first.
    pub pairs: Vec<(usize, usize)>,
}

/// The document of an experiment.
pub fn conclude(question: &Question, measured: &[Measured]) -> Comparison {
    let blocks = whole_blocks(question, measured);
    let fewest = blocks.iter().copied().min().unwrap_or(0);
    let sides: Vec<SideReport> =
        measured.iter().zip(&blocks).map(|(side, blocks)| report_of(side, *blocks)).collect();
    let pairs = question
        .pairs
        .iter()
        .map(|(baseline, candidate)| {
            let blocks = blocks[*baseline].min(blocks[*candidate]);
            pair(question, measured, (*baseline, *candidate), blocks)
        })
        .collect();
    let mut marks: Vec<Mark> = measured
        .iter()
        .flat_map(|side| side.blocks.iter().flat_map(|block| block.summary.marks.clone()))
        .collect();
    marks.sort_unstable();
    marks.dedup();
    let incomplete =
        (fewest as u64) < question.planned_blocks || measured.iter().any(|side| !side.complete);
    Comparison {
        schema_version: SCHEMA_VERSION,
        title: question.title.clone(),
        interleaved: question.interleaved,
        incomplete,
        marks,
        planned_blocks: question.planned_blocks,
        blocks: fewest as u64,
        order: question.order.clone(),
        closed_loop: is_closed(measured),
        terms: question.terms,
        notes: notes(question, measured, &sides, &blocks, incomplete),
        sides,
        pairs,
    }
}

/// Blocks of each side that are compared: the first ones, since blocks follow each other, that were played to the end by
/// every side, or, where sides did not take turns, by those that it is compared with.
fn whole_blocks(question: &Question, measured: &[Measured]) -> Vec<usize> {
    let whole = |block: &MeasuredBlock| !block.summary.marks.contains(&Mark::Incomplete);
    let of_side = |side: &Measured| side.blocks.iter().take_while(|it| whole(it)).count();
    let own: Vec<usize> = measured.iter().map(of_side).collect();
    let are_compared = |a: usize, b: usize| {
        question.interleaved
            || a == b
            || question.pairs.iter().any(|it| [(a, b), (b, a)].contains(it))
    };
    let of = |place: usize| {
        let others = own.iter().enumerate().filter(|(other, _)| are_compared(place, *other));
        others.map(|(_, blocks)| *blocks).min().unwrap_or(0)
    };
    (0..own.len()).map(of).collect()
}

fn report_of(side: &Measured, blocks: usize) -> SideReport {
    let blocks = &side.blocks[..blocks];
    let total = |of: fn(&Summary) -> u64| blocks.iter().map(|block| of(block.summary)).sum();
    SideReport {
        name: side.name.clone(),
        target: side.target.clone(),
        folder: side.folder.clone(),
        verdict: blocks.iter().map(|block| block.summary.verdict).max(),
        attempted: total(|summary| summary.counts.attempted),
        completed: total(|summary| summary.counts.completed),
    }
}

fn pair(
    question: &Question,
    measured: &[Measured],
    (baseline, candidate): (usize, usize),
    blocks: usize,
) -> Pair {
    let (a, b) = (&measured[baseline], &measured[candidate]);
    let (baselines, candidates) = (summaries(a, blocks), summaries(b, blocks));
    let rows = sides::rows(&baselines, &candidates, question.terms);
    let verdicts = baselines.iter().chain(&candidates).map(|summary| summary.verdict);
    let verdict = verdicts.max().unwrap_or(Verdict::Invalid);
    Pair {
        baseline,
        candidate,
        fairness: fairness::items(&conditions(a, blocks), &conditions(b, blocks)),
        gate_results: sides::evaluate_gate(question.thresholds, &rows, verdict),
        rows,
    }
}

fn summaries<'a>(side: &Measured<'a>, blocks: usize) -> Vec<&'a Summary> {
    side.blocks[..blocks].iter().map(|block| block.summary).collect()
}

fn conditions<'a>(side: &'a Measured, blocks: usize) -> Conditions<'a> {
    let blocks = &side.blocks[..blocks];
    Conditions {
        target: side.target,
        settings: &side.settings,
        plan_hashes: blocks.iter().map(|block| block.plan_hash).collect(),
        blocks: blocks.iter().map(|block| block.records).collect(),
    }
}

fn notes(
    question: &Question,
    measured: &[Measured],
    sides: &[SideReport],
    blocks: &[usize],
    incomplete: bool,
) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut tell = |code: Code, text: String| notes.push(Note { code, text });
    if incomplete {
        let finished = finished(sides, blocks);
        let words =
            format!("INCOMPLETE: the comparison was cut short; what is shown are the {finished}");
        tell(Code::Incomplete, words);
    }
    if blocks.iter().any(|it| *it < BLOCKS_FOR_A_VERDICT) {
        let remedy = &question.remedy;
        let words = format!("fewer than {BLOCKS_FOR_A_VERDICT} blocks decide nothing: {remedy}");
        tell(Code::FewBlocks, words);
    }
    for side in sides.iter().filter(|side| side.completed < side.attempted) {
        let (missing, all) = (side.attempted - side.completed, side.attempted);
        let which = format!("{}: {missing} of {all} requests did not complete", side.name);
        tell(Code::Failures, format!("{which}; latencies are over those that did"));
    }
    let unpassed: Vec<String> =
        measured.iter().zip(blocks).filter_map(|(side, blocks)| unpassed(side, *blocks)).collect();
    if !unpassed.is_empty() {
        let words = format!(
            "checks that did not pass in some block: {}; `summary.json` of a side says what was seen and what helps",
            unpassed.join("; ")
        );
        tell(Code::SideChecks, words);
    }
    let compared = measured.iter().zip(blocks).flat_map(|(side, blocks)| &side.blocks[..*blocks]);
    if compared.into_iter().any(|block| block.summary.approximate) {
        tell(
            Code::Approximate,
            "`≈` marks what spreads tokens evenly over chunks that held several, or may have: nothing told how many each held. A \
             difference between sides may be one of chunks"
                .to_owned(),
        );
    }
    tell(
        Code::ManyIntervals,
        "each interval holds on its own with 95 %: of many rows that are equal in truth, one in twenty looks different"
            .to_owned(),
    );
    notes
}

/// How many blocks there are to show, of each side where they are not as many.
fn finished(sides: &[SideReport], blocks: &[usize]) -> String {
    match blocks {
        [first, rest @ ..] if rest.iter().any(|it| it != first) => {
            let each = sides.iter().zip(blocks);
            let each: Vec<String> = each.map(|(side, it)| format!("{} {it}", side.name)).collect();
            format!("blocks that both sides of a pair finished: {}", each.join(", "))
        }
        _ => {
            let blocks = blocks.first().unwrap_or(&0);
            format!("{blocks} blocks that every side finished")
        }
    }
}

/// The checks that warned or failed in blocks of a side, with the number of blocks.
fn unpassed(side: &Measured, blocks: usize) -> Option<String> {
    let blocks = &side.blocks[..blocks];
    let failed_checks: Vec<String> = CheckId::ALL
        .into_iter()
        .filter_map(|id| {
            let concerns = |check: &&Check| {
                check.id == id && matches!(check.status, Status::Warn | Status::Fail)
            };
            let checks = blocks.iter().flat_map(|block| &block.summary.checks);
            let concerns: Vec<&Check> = checks.filter(concerns).collect();
            let (first, count) = (concerns.first()?, concerns.len());
            let allowed = if first.allowed { " (allowed)" } else { "" };
            Some(format!("{} {} {count}×{allowed}", first.code, json_word(&id)))
        })
        .collect();
    (!failed_checks.is_empty()).then(|| format!("{} {}", side.name, failed_checks.join(", ")))
}

fn is_closed(measured: &[Measured]) -> bool {
    let mut blocks = measured.iter().flat_map(|side| &side.blocks);
    blocks.all(|block| matches!(block.load, Load::Closed { .. }))
}
