//! Tests of the hash of a plan.

use super::*;
use crate::workload::prefixes::PrefixGroups;

#[test]
fn the_hash_of_this_plan_never_changes() {
    let mut workload = workload("N(480,240)/(300,150)");
    workload.sampling.temperature = Some(0.7);
    workload.prefix_tokens = 1;
    let gamma = Load::Open {
        arrivals: Arrivals::Gamma { burstiness: 0.5 },
        rate: 7.5,
        max_in_flight: Some(64),
    };
    let plan = drawn(&workload, gamma, PlanSize { warmup: 5, ..requests(200) });
    assert_eq!(plan.hash(), "366544733659571cbc56c8f0cb849abae3641d0d8b6e63921e66429ae3e9149b");
}

#[test]
fn the_hash_is_the_one_that_a_second_implementation_of_its_documentation_gives() {
    let mut workload = workload("D(16,8)");
    workload.prefix_tokens = 4;
    let load = Load::Open { arrivals: Arrivals::Constant, rate: 10.0, max_in_flight: None };
    let plan = drawn(&workload, load, PlanSize { warmup: 1, ..requests(3) });
    // From a Python script that follows the module documentation of `seeds` and `hash`, and shares no code.
    assert_eq!(plan.hash(), "0db4d5d643e4ee48518a249d5f586952919c1aeccabcb6b0733152e613b271c2");
}

#[test]
fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
    let (one, same) = (workload("D(32,8)"), workload("D(32,8)"));
    let mut other = one.clone();
    other.seed = 43;
    let plan = |workload| drawn(workload, POISSON, requests(10));
    assert_eq!(plan(&one).hash(), plan(&same).hash());
    assert_eq!(all(plan(&one).shots()), all(plan(&same).shots()));
    assert_ne!(plan(&one).hash(), plan(&other).hash());
    assert_ne!(all(plan(&one).shots()), all(plan(&other).shots()));
}

#[test]
fn the_hash_does_not_depend_on_where_in_a_session_a_plan_is_played() {
    let at = |first_id| {
        let start = PlanStart { point: 0, first_id };
        Plan::draw(&workload("D(8,8)"), &POISSON, requests(9), start, &source()).expect("drawn")
    };
    assert_eq!(at(RequestId(0)).hash(), at(RequestId(500)).hash());
}

/// One change of a workload.
type Change = fn(&mut Workload);

#[test]
fn whatever_changes_what_is_asked_changes_the_hash() {
    let words = || "7".parse().expect("a token id");
    let other_words: fn(&mut Workload) = |it| it.terms.stop_words = "8".parse().ok();
    let changes: [Change; 28] = [
        |it| it.seed += 1,
        |it| it.scenario = "D(9,8)".parse().expect("a scenario"),
        |it| it.scenario = "D(8,9)".parse().expect("a scenario"),
        |it| it.prefix_tokens = 1,
        |it| it.prefix_groups = PrefixGroups::equal(2),
        |it| it.prefix_groups = PrefixGroups::of_shares(vec![2.0, 1.0]),
        |it| it.output.min_tokens = 1,
        |it| it.output.ignore_eos = false,
        |it| it.sampling.temperature = Some(0.5),
        |it| it.sampling.temperature = Some(0.25),
        |it| it.sampling.top_p = Some(0.5),
        |it| it.sampling.top_k = Some(1),
        |it| it.streaming = false,
        |it| it.terms.beam_width = Some(2),
        |it| it.terms.min_p = Some(0.5),
        |it| it.terms.repetition_penalty = Some(0.5),
        |it| it.terms.presence_penalty = Some(0.5),
        |it| it.terms.frequency_penalty = Some(0.5),
        |it| it.terms.length_penalty = Some(0.5),
        |it| it.terms.stop_words = "7".parse().ok(),
        |it| it.terms.bad_words = "7".parse().ok(),
        |it| it.terms.bad_words = "7,7".parse().ok(),
        |it| it.terms.allotted = Some(Nanos(1)),
        |it| it.adapters = "3".parse().ok(),
        |it| it.adapters = "4".parse().ok(),
        |it| it.adapters = "0:1,4:1".parse().ok(),
        |it| it.priorities = "0.7".parse().ok(),
        |it| it.priorities = "0.7:1,0.5:1".parse().ok(),
    ];
    let size = PlanSize { warmup: 1, ..requests(9) };
    let hash = |change: &dyn Fn(&mut Workload)| {
        let mut changed = workload("D(8,8)");
        change(&mut changed);
        drawn(&changed, POISSON, size).hash().to_owned()
    };
    let mut hashes = std::collections::HashSet::from([hash(&|_| ())]);
    for (number, change) in changes.iter().enumerate() {
        assert!(hashes.insert(hash(change)), "change {number}");
    }
    assert!(!hashes.insert(hash(&|it| it.terms.bad_words = Some(words()))), "drawn as before");
    assert!(hashes.insert(hash(&other_words)));
}

#[test]
fn whatever_changes_in_size_point_or_source_changes_the_hash() {
    let size = PlanSize { warmup: 1, ..requests(3) };
    let vocabulary = |size, excluded: &[u32]| {
        PromptSource::ids(Vocabulary::new(size, excluded.iter().copied()).expect("ids are left"))
    };
    let hash = |size, point, source: &PromptSource| {
        let start = PlanStart { point, ..FIRST };
        let plan = Plan::draw(&workload("D(8,8)"), &POISSON, size, start, source);
        plan.expect("it makes sense").hash().to_owned()
    };
    let usual = vocabulary(1000, &[0, 1, 2]);
    let hour = Some(Nanos::from_secs_f64(3600.0));
    let mut hashes = std::collections::HashSet::from([hash(size, 0, &usual)]);
    for other in [
        hash(requests(3), 0, &usual),
        hash(PlanSize { warmup: 2, ..size }, 0, &usual),
        hash(PlanSize { warmup: 1, ..requests(4) }, 0, &usual),
        hash(PlanSize { duration: hour, ..size }, 0, &usual),
        hash(size, 1, &usual),
        hash(size, 0, &vocabulary(1001, &[0, 1, 2])),
        hash(size, 0, &vocabulary(1000, &[0, 1])),
        hash(size, 0, &vocabulary(1000, &[0, 1, 3])),
    ] {
        assert!(hashes.insert(other));
    }
    assert_eq!(hash(size, 0, &vocabulary(1000, &[2, 1, 0, 0])), hash(size, 0, &usual));
}

/// Each word of small letters is a token, whose id its letters give, beside words that are special.
struct WholeWords {
    first: u32,
}

const WORDS: u32 = 80;

impl Tokenize for WholeWords {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let id = |word: &str| {
            let number = |sum, byte: u8| sum * 26 + u32::from(byte.saturating_sub(b'a'));
            self.first + word.bytes().fold(0, number) % WORDS
        };
        Ok(text.split_whitespace().map(id).collect())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        let word = |id: &u32| {
            let number = id.checked_sub(self.first)?;
            let letter = |digit| char::from(b'a' + (digit % 26) as u8);
            Some(format!("{}{}", letter(number / 26), letter(number)))
        };
        Ok(ids.iter().filter_map(word).collect::<Vec<_>>().join(" "))
    }

    fn vocab_size(&self) -> u32 {
        self.first + WORDS
    }

    fn special_ids(&self) -> Vec<u32> {
        vec![0]
    }
}

#[test]
fn the_hash_of_a_plan_of_texts_names_their_tokenizer() {
    let asked = Workload { prompts: PromptKind::Text, ..workload("D(8,8)") };
    let plan = |first, limit| {
        let source = PromptSource::text(Arc::new(WholeWords { first }), limit).expect("words");
        Plan::draw(&asked, &CLOSED, requests(4), FIRST, &source).expect("every word is a token")
    };
    let hash = |first, limit| plan(first, limit).hash().to_owned();
    assert_eq!(hash(1, None), hash(1, Some(1000)));
    assert_ne!(hash(1, None), hash(2, None));
    assert_ne!(hash(1, None), hash(1, Some(70)));
    let bound = plan(1, Some(70));
    assert!(
        all(bound.shots()).iter().all(|shot| shot.request.prompt.ids.iter().all(|id| *id < 70))
    );
    assert_eq!(bound.check(&Limits { vocab_size: Some(70), ..Limits::default() }), Ok(()));
}

#[test]
fn a_mix_of_priorities_is_drawn_with_the_seed_and_is_part_of_the_hash() {
    let mixed = |seed| {
        let mut mixed = Workload { seed, ..workload("D(8,8)") };
        mixed.priorities = Some("0.9:1,0.5:1".parse().expect("a mix"));
        mixed
    };
    let priorities = |plan: &Plan| -> Vec<f32> {
        all(plan.shots()).iter().map(|shot| shot.request.priority).collect()
    };
    let (one, again) =
        (drawn(&mixed(1), CLOSED, requests(64)), drawn(&mixed(1), CLOSED, requests(64)));
    let other = drawn(&mixed(2), CLOSED, requests(64));
    let urgent = priorities(&one).iter().filter(|it| **it > 0.8).count();
    assert!((16..48).contains(&urgent), "{urgent} of 64 where 32 are due");
    assert_eq!((priorities(&one), one.hash()), (priorities(&again), again.hash()));
    assert_ne!(priorities(&one), priorities(&other));
    let plain = drawn(&Workload { seed: 1, ..workload("D(8,8)") }, CLOSED, requests(64));
    assert_ne!(plain.hash(), one.hash());
}

#[test]
fn loads_that_differ_have_hashes_that_differ() {
    let gamma = |burstiness| Arrivals::Gamma { burstiness };
    let open = |arrivals, rate, max_in_flight| Load::Open { arrivals, rate, max_in_flight };
    let loads = [
        CLOSED,
        Load::Closed { concurrency: 5 },
        Load::Batch,
        POISSON,
        open(Arrivals::Poisson, 10.0, Some(3)),
        open(Arrivals::Poisson, 11.0, None),
        open(gamma(1.0), 10.0, None),
        open(gamma(2.0), 10.0, None),
    ];
    let hashes: std::collections::HashSet<_> = loads
        .iter()
        .map(|load| drawn(&workload("D(8,8)"), *load, requests(1)).hash().to_owned())
        .collect();
    assert_eq!(hashes.len(), loads.len());
}
