//! Check `repeats`: prompts that the server had seen before, so that a cache answered in part.

use crate::metrics::facts::{RunFacts, SentBefore};
use crate::metrics::observed::{CacheUse, Observed};
use crate::metrics::summary::{Check, CheckId, Status};
use crate::metrics::validity::{CheckOutcome, Evidence, not_applicable, short};

/// Share of what prompts hold, in percent, that may be found beyond the shared prefix: chance, and the rounding of blocks.
const LIMIT_PERCENT: f64 = 1.0;

pub(super) fn check(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::Repeats;
    let facts = evidence.facts;
    if !facts.target.is_server() {
        return not_applicable(
            id,
            "the target was started for this run and has seen no other prompts",
        );
    }
    let found = Cached::of(evidence);
    let beyond = found.as_ref().map(|found| 100.0 * found.beyond / found.looked_for);
    // A comparison is meant to send the same prompts from each side: what one side leaves in the cache is no surprise.
    let is_meant = !facts.also_sent_by.is_empty();
    let is_warm = !is_meant && beyond.is_some_and(|percent| percent > LIMIT_PERCENT);
    let status = if is_warm || facts.sent_before.is_some() { Status::Warn } else { Status::Pass };
    let seen = facts.sent_before.as_ref().map(sent_before);
    let told = found.as_ref().map(|found| found.sentence(facts));
    let sentence = match (seen, told) {
        (Some(seen), Some(told)) => format!("{seen}; {told}"),
        (Some(seen), None) => format!("{seen}, and the server does not tell what its cache found"),
        (None, Some(told)) => told,
        (None, None) => {
            "no run beside this one has sent these prompts to this server, which does not tell what its cache found"
                .to_owned()
        }
    };
    let sentence = if is_meant { format!("{sentence}; {}", meant(facts)) } else { sentence };
    CheckOutcome {
        status,
        measured: beyond,
        limit: Some(LIMIT_PERCENT),
        unit: "%",
        sentence,
        remedy: "draw prompts that no server has seen (`--seed random`); where that changes nothing, restart the server or \
                 switch its prefix cache off",
    }
    .named(id)
}

fn sent_before(earlier: &SentBefore) -> String {
    format!(
        "the same prompts (seed {}) were sent to this server before, by `{}`, begun {}",
        earlier.seed, earlier.run, earlier.started
    )
}

fn meant(facts: &RunFacts) -> String {
    let sides: Vec<String> = facts.also_sent_by.iter().map(|side| format!("`{side}`")).collect();
    let (names, send) = (sides.join(" and "), if sides.len() == 1 { "sends" } else { "send" });
    format!(
        "{names} of this comparison {send} the same prompts to this server, as is meant: `kv_hit` says how far its cache \
         answers, on each side"
    )
}

/// What caches found of the prompts of completed requests, in the unit in which each of them tells it.
struct Cached {
    looked_for: f64,
    hit: f64,
    /// What a shared prefix and the tokens that a server adds to every prompt do not explain.
    beyond: f64,
}

impl Cached {
    /// `None` where nothing tells.
    fn of(evidence: &Evidence<'_>) -> Option<Self> {
        let completed = evidence.point.requests().iter().filter(|it| it.ended.is_completed());
        let told = completed.filter_map(|request| Some((request, request.cache_use()?)));
        let nothing = Self { looked_for: 0.0, hit: 0.0, beyond: 0.0 };
        let sum = told.fold(nothing, |sum, (request, CacheUse { found, looked_for })| {
            let expected = (f64::from(looked_for) * explained(request, evidence.facts)).ceil();
            Self {
                looked_for: sum.looked_for + f64::from(looked_for),
                hit: sum.hit + f64::from(found),
                beyond: sum.beyond + (f64::from(found) - expected).max(0.0),
            }
        });
        (sum.looked_for > 0.0).then_some(sum)
    }

    fn sentence(&self, facts: &RunFacts) -> String {
        let percent = |part: f64| short(100.0 * part / self.looked_for);
        let explained = match facts.shared_prefix_tokens {
            0 => "although prompts share no prefix",
            _ if self.beyond > 0.0 => "more than the shared prefix explains",
            _ => "as the shared prefix explains",
        };
        match self.hit {
            0.0 => "the server found nothing of the prompts in its cache".to_owned(),
            found => format!(
                "the server found {} % of the prompts in its cache, {explained}",
                percent(found)
            ),
        }
    }
}

/// The share of a prompt that others begin with too: the shared prefix, and what a chat template puts around every prompt.
fn explained(request: &Observed, facts: &RunFacts) -> f64 {
    let counted = request.counted_prompt().unwrap_or(0);
    // Of a text that was counted by the server alone nobody knows what it added.
    let added = request.planned_prompt().map_or(0, |planned| counted.saturating_sub(planned));
    let shared = facts.shared_prefix_tokens.saturating_add(added).min(counted);
    f64::from(shared) / f64::from(counted.max(1))
}
