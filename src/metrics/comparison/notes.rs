//! What a reader of a comparison should know: what is missing, what did not pass, which numbers decide nothing.

use crate::metrics::compare::BLOCKS_FOR_A_VERDICT;
use crate::metrics::comparison::{Measured, Pair, Question, SideReport};
use crate::metrics::summary::{Check, CheckId, Status, Summary, json_word};
use crate::metrics::withheld::Withheld;
use crate::record::oddity::Oddity;
use crate::warning::{Code, Note};

/// Each with its code; `blocks` are those of each side that are compared.
pub(super) fn notes(
    question: &Question,
    measured: &[Measured],
    sides: &[SideReport],
    blocks: &[usize],
    pairs: &[Pair],
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
    for (side, blocks) in measured.iter().zip(blocks) {
        for (code, words) in odd_answers(side, *blocks) {
            tell(code, words);
        }
    }
    for reason in [Withheld::Invalid, Withheld::Burst, Withheld::Spread] {
        for words in withheld(sides, pairs, reason) {
            tell(Code::Withheld, words);
        }
    }
    tell(
        Code::ManyIntervals,
        "each interval holds on its own with 95 %: of many rows that are equal in truth, one in twenty looks different"
            .to_owned(),
    );
    notes
}

/// Answers of a side that are not what was asked for.
fn odd_answers(side: &Measured, blocks: usize) -> impl Iterator<Item = (Code, String)> {
    let blocks = &side.blocks[..blocks];
    let completed: u64 = blocks.iter().map(|block| block.summary.counts.completed).sum();
    Oddity::ALL.into_iter().filter_map(move |oddity| {
        let of = |summary: &Summary| summary.counts.oddities.get(&oddity).map(|it| it.requests);
        let odd: u64 = blocks.iter().filter_map(|block| of(block.summary)).sum();
        let (name, word, code) = (&side.name, oddity.word(), oddity.code());
        let words = || {
            format!("{name}: {odd} of {completed} requests are `{word}`: see `bareflight explain {code}`")
        };
        (odd > 0).then(|| (code, words()))
    })
}

/// The numbers that decide nothing for this reason, of every pair that has some.
fn withheld(sides: &[SideReport], pairs: &[Pair], reason: Withheld) -> Vec<String> {
    let words = |pair: &Pair| {
        let rows = pair.rows.iter().filter(|row| row.withheld == Some(reason));
        let mut labels: Vec<&str> = rows.map(|row| row.metric.definition().label).collect();
        labels.dedup();
        let which = labels.join(", ");
        let what = match reason {
            Withheld::Invalid => {
                "nothing is decided, since the measurement of a side is invalid".to_owned()
            }
            Withheld::Burst => format!(
                "undecided, whatever the interval: {which}; tokens were held back and came at once, so that what lies between \
                 them is the reader's pace"
            ),
            Withheld::Spread => format!(
                "undecided, whatever the interval: {which}; what `≈` marks spreads tokens evenly over chunks that held several, \
                 or may have, and nothing told how many each held: cumulative usage, token ids or `--tokenizer` would"
            ),
        };
        let (a, b) = (&sides[pair.baseline].name, &sides[pair.candidate].name);
        (!labels.is_empty()).then(|| format!("{b} against {a}: {what}"))
    };
    pairs.iter().filter_map(words).collect()
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
