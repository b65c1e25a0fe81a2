//! Fairness table of a comparison: the conditions of both sides, and whether they are the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::record::request_record::{Records, RequestRecord, StampSource, TokenSource};
use crate::targets::TargetInfo;

/// What is known of one side.
pub struct Conditions<'a> {
    /// What answered.
    pub target: &'a TargetInfo,
    /// Every setting, as it would be written into a configuration file.
    pub settings: &'a Map<String, Value>,
    /// The hash of each block's plan.
    pub plan_hashes: Vec<&'a str>,
    /// The records of each block.
    pub blocks: Vec<&'a Records>,
}

/// One condition on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Which condition.
    pub condition: String,
    /// On the side that is compared with.
    pub baseline: String,
    /// On the side in question.
    pub candidate: String,
    /// Whether they are alike; `None` where it cannot be told.
    pub same: Option<bool>,
}

impl Item {
    fn compared(condition: &str, baseline: String, candidate: String) -> Self {
        let same = Some(baseline == candidate);
        Self { condition: condition.to_owned(), baseline, candidate, same }
    }
}

/// Where a side says nothing.
const NOT_REPORTED: &str = "not reported";
/// Settings that name a side or a place, and change nothing about the work.
const BESIDE_THE_WORK: [&str; 8] =
    ["target", "out", "ui", "quiet", "no_deliveries", "slo", "export", "plots"];

/// Every condition that a fair comparison keeps equal, in the order of reports.
pub fn items(baseline: &Conditions, candidate: &Conditions) -> Vec<Item> {
    let mut items = engine(baseline.target, candidate.target);
    items.push(plans(baseline, candidate));
    items.push(output_lengths(baseline, candidate));
    items.push(output_tokens(baseline, candidate));
    items.push(cache(baseline, candidate));
    items.push(from_records("stamps taken by", baseline, candidate, |record| {
        stamp_word(record.stamp_source)
    }));
    items.push(from_records("tokens counted by", baseline, candidate, |record| {
        token_word(record.token_source)
    }));
    items.extend(settings(baseline.settings, candidate.settings));
    items
}

fn engine(baseline: &TargetInfo, candidate: &TargetInfo) -> Vec<Item> {
    let item = |condition: &str, of: &dyn Fn(&TargetInfo) -> String| {
        Item::compared(condition, of(baseline), of(candidate))
    };
    let limit = |condition: &str, of: fn(&TargetInfo) -> Option<u32>| {
        let word = |info: &TargetInfo| {
            of(info).map_or_else(|| NOT_REPORTED.to_owned(), |limit| limit.to_string())
        };
        let same = of(baseline).zip(of(candidate)).map(|(a, b)| a == b);
        Item { same, ..item(condition, &word) }
    };
    vec![
        item("engine", &|info| info.title.clone()),
        item("latencies", &|info| if info.simulated { "simulated" } else { "measured" }.to_owned()),
        item("GPUs", &|info| info.gpus.to_string()),
        limit("largest batch", |info| info.limits.max_batch_size),
        limit("longest queue", |info| info.limits.max_queue_size),
        limit("longest sequence", |info| info.limits.max_sequence_tokens),
        limit("vocabulary", |info| info.limits.vocab_size),
    ]
}

fn plans(baseline: &Conditions, candidate: &Conditions) -> Item {
    let short = |side: &Conditions| {
        let first = side.plan_hashes.first().map_or("", |hash| &hash[..hash.len().min(8)]);
        match side.plan_hashes.len() {
            0 => NOT_REPORTED.to_owned(),
            1 => first.to_owned(),
            more => format!("{first} and {} more", more - 1),
        }
    };
    Item {
        same: Some(baseline.plan_hashes == candidate.plan_hashes),
        ..Item::compared("requests and instants (plan)", short(baseline), short(candidate))
    }
}

/// The same request on both sides, where it completed on both; nothing where plans differ.
fn pairs<'a>(
    baseline: &'a Conditions,
    candidate: &'a Conditions,
) -> Vec<(&'a RequestRecord, &'a RequestRecord)> {
    let hashes = baseline.plan_hashes.iter().zip(&candidate.plan_hashes);
    let blocks = baseline.blocks.iter().zip(&candidate.blocks);
    hashes
        .zip(blocks)
        .filter(|((a, b), _)| a == b)
        .flat_map(|(_, (a, b))| a.measured().iter().zip(b.measured()))
        .filter(|(a, b)| a.outcome.is_completed() && b.outcome.is_completed())
        .collect()
}

fn output_lengths(baseline: &Conditions, candidate: &Conditions) -> Item {
    let pairs = pairs(baseline, candidate);
    let total = |of: fn(&(&RequestRecord, &RequestRecord)) -> u32| {
        let tokens: u64 = pairs.iter().map(|pair| u64::from(of(pair))).sum();
        format!("{tokens} tokens")
    };
    let equal = pairs.iter().filter(|(a, b)| a.output_tokens == b.output_tokens).count();
    Item {
        condition: format!("output lengths ({equal} of {} pairs alike)", pairs.len()),
        baseline: total(|(a, _)| a.output_tokens),
        candidate: total(|(_, b)| b.output_tokens),
        same: (!pairs.is_empty()).then_some(equal == pairs.len()),
    }
}

/// Equal hashes mean equal ids in equal order. They can be expected only of greedy decoding, and only of ids.
fn output_tokens(baseline: &Conditions, candidate: &Conditions) -> Item {
    let sampled =
        |side: &Conditions| side.settings.get("temperature").is_some_and(|it| !it.is_null());
    let untold = |why: &str| Item {
        condition: "output tokens".to_owned(),
        baseline: why.to_owned(),
        candidate: why.to_owned(),
        same: None,
    };
    if sampled(baseline) || sampled(candidate) {
        return untold("sampled, so not deterministic");
    }
    let with_ids: Vec<_> = pairs(baseline, candidate)
        .into_iter()
        .filter(|(a, b)| a.token_source == TokenSource::Ids && b.token_source == TokenSource::Ids)
        .collect();
    if with_ids.is_empty() {
        return untold("no ids on both sides");
    }
    let equal = with_ids.iter().filter(|(a, b)| a.token_hash == b.token_hash).count();
    Item {
        condition: format!("output tokens ({equal} of {} pairs alike)", with_ids.len()),
        baseline: fingerprint(with_ids.iter().map(|(a, _)| *a)),
        candidate: fingerprint(with_ids.iter().map(|(_, b)| *b)),
        same: Some(equal == with_ids.len()),
    }
}

fn fingerprint<'a>(records: impl Iterator<Item = &'a RequestRecord>) -> String {
    let mut all = Sha256::new();
    records.for_each(|record| all.update(record.token_hash.0.to_le_bytes()));
    let digest = all.finalize();
    format!("{:08x}", u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]))
}

/// What was found and of how much, over the requests that tell it.
fn summed(
    side: &Conditions,
    of: impl Fn(&RequestRecord) -> Option<(u32, u32)>,
) -> Option<(u64, u64)> {
    let records = side.blocks.iter().flat_map(|records| records.measured());
    records.filter_map(of).fold(None, |sum: Option<(u64, u64)>, (found, all)| {
        let (found_before, all_before) = sum.unwrap_or_default();
        Some((found_before + u64::from(found), all_before + u64::from(all)))
    })
}

/// What was found in a KV cache, of all that prompts needed: blocks of an engine, tokens of a server.
fn cache(baseline: &Conditions, candidate: &Conditions) -> Item {
    let blocks = |side: &Conditions| {
        let found =
            summed(side, |it| it.engine_use.map(|it| (it.kv_reused_blocks, it.kv_total_blocks)));
        found.map(|(hit, all)| (hit, format!("{hit} of {all} blocks reused")))
    };
    let tokens = |side: &Conditions| {
        let found = summed(side, |it| {
            let counted = it.other_counts.prompt.unwrap_or(it.prompt_tokens);
            Some((it.other_counts.cached?, counted))
        });
        found.map(|(hit, all)| (hit, format!("{hit} of {all} prompt tokens cached")))
    };
    let (a, b) = (
        blocks(baseline).or_else(|| tokens(baseline)),
        blocks(candidate).or_else(|| tokens(candidate)),
    );
    let same = a.as_ref().zip(b.as_ref()).map(|(a, b)| a.0 == b.0);
    let word = |found: Option<(u64, String)>| {
        found.map_or_else(|| NOT_REPORTED.to_owned(), |(_, words)| words)
    };
    Item { condition: "KV cache".to_owned(), baseline: word(a), candidate: word(b), same }
}

fn from_records(
    condition: &str,
    baseline: &Conditions,
    candidate: &Conditions,
    of: fn(&RequestRecord) -> &'static str,
) -> Item {
    let seen = |side: &Conditions| {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let requests = side.blocks.iter().flat_map(|records| records.measured());
        for record in requests.filter(|record| record.submit.is_some()) {
            *counts.entry(of(record)).or_default() += 1;
        }
        let words: Vec<&str> = counts.into_keys().collect();
        if words.is_empty() { NOT_REPORTED.to_owned() } else { words.join(", ") }
    };
    Item::compared(condition, seen(baseline), seen(candidate))
}

const fn stamp_word(source: StampSource) -> &'static str {
    match source {
        StampSource::Engine => "engine's side",
        StampSource::Kernel => "kernel",
        StampSource::User => "own thread",
    }
}

const fn token_word(source: TokenSource) -> &'static str {
    match source {
        TokenSource::Ids => "ids",
        TokenSource::Usage => "usage",
        TokenSource::Retokenized => "retokenized",
        TokenSource::Chunks => "chunks",
    }
}

/// Every setting that is not the same on both sides.
fn settings(baseline: &Map<String, Value>, candidate: &Map<String, Value>) -> Vec<Item> {
    let word = |value: Option<&Value>| value.map_or_else(|| "default".to_owned(), plain);
    let keys: std::collections::BTreeSet<&String> =
        baseline.keys().chain(candidate.keys()).collect();
    keys.into_iter()
        .filter(|key| !BESIDE_THE_WORK.contains(&key.as_str()))
        .filter(|key| baseline.get(*key) != candidate.get(*key))
        .map(|key| {
            let name = format!("setting `{key}`");
            Item::compared(&name, word(baseline.get(key)), word(candidate.get(key)))
        })
        .collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::event::TokenHash;
    use crate::record::request_record::{FinishReason, Outcome};
    use crate::request::Limits;
    use crate::request::RequestId;
    use serde_json::json;

    fn target(batch: u32) -> TargetInfo {
        TargetInfo {
            name: "local:x".into(),
            kind: "local".into(),
            title: "an engine".into(),
            simulated: false,
            dummy_weights: false,
            gpus: 0,
            limits: Limits { max_batch_size: Some(batch), ..Limits::default() },
            details: json!({}),
        }
    }

    fn records(hashes: &[u64]) -> Records {
        Records::new(hashes.iter().map(|hash| {
            let mut record = RequestRecord::planned(RequestId(0), 4, 4);
            record.output_tokens = 4;
            record.token_hash = TokenHash(*hash);
            record.outcome = Outcome::Completed(FinishReason::Length);
            (record, Vec::new())
        }))
    }

    fn found(a: (&TargetInfo, Value, &Records), b: (&TargetInfo, Value, &Records)) -> Vec<Item> {
        let map = |value: &Value| value.as_object().unwrap().clone();
        let (a_settings, b_settings) = (map(&a.1), map(&b.1));
        let side = |target, settings, records| Conditions {
            target,
            settings,
            plan_hashes: vec!["0123456789"],
            blocks: vec![records],
        };
        items(&side(a.0, &a_settings, a.2), &side(b.0, &b_settings, b.2))
    }

    fn item<'a>(items: &'a [Item], begins: &str) -> &'a Item {
        items.iter().find(|item| item.condition.starts_with(begins)).unwrap()
    }

    #[test]
    fn an_output_that_differs_in_one_request_is_reported() {
        let (target, a, b) = (target(8), records(&[1, 2, 3]), records(&[1, 9, 3]));
        let items = found((&target, json!({}), &a), (&target, json!({}), &b));
        let tokens = item(&items, "output tokens");
        assert_eq!(tokens.condition, "output tokens (2 of 3 pairs alike)");
        assert_eq!(tokens.same, Some(false));
        assert_ne!(tokens.baseline, tokens.candidate);
        assert_eq!(item(&items, "output lengths").same, Some(true));
    }

    #[test]
    fn sampled_outputs_are_not_expected_to_be_equal() {
        let (target, a, b) = (target(8), records(&[1]), records(&[2]));
        let sampled = json!({"temperature": 0.7});
        let items = found((&target, sampled.clone(), &a), (&target, sampled, &b));
        assert_eq!(item(&items, "output tokens").same, None);
    }

    #[test]
    fn limits_and_settings_that_differ_are_named() {
        let (a, b, none) = (target(8), target(4), records(&[]));
        let items = found(
            (&a, json!({"kv_reuse": false, "target": "a"}), &none),
            (&b, json!({"kv_reuse": true, "target": "b"}), &none),
        );
        assert_eq!(item(&items, "largest batch").same, Some(false));
        assert_eq!(item(&items, "longest queue").same, None);
        assert_eq!(item(&items, "setting `kv_reuse`").candidate, "true");
        assert!(!items.iter().any(|item| item.condition.contains("`target`")));
    }
}
