//! Tests of plans: they hold what was asked for, and impossible ones are refused before anything is drawn.

use std::sync::Arc;

use super::*;
use crate::load::Arrivals;
use crate::load::course::{Ramp, Tail};
use crate::request::Limits;
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::prompts::{PromptError, PromptSource};
use crate::workload::vocabulary::Vocabulary;
use crate::workload::{PromptKind, Workload};

const CLOSED: Load = Load::Closed { concurrency: 4 };
const POISSON: Load = Load::Open { arrivals: Arrivals::Poisson, rate: 10.0, max_in_flight: None };
const FIRST: PlanStart = PlanStart { point: 0, first_id: RequestId(0) };

fn workload(scenario: &str) -> Workload {
    Workload::synthetic(scenario.parse().expect("a scenario"), 42)
}

fn requests(requests: u32) -> PlanSize {
    PlanSize { requests: Some(requests), duration: None, warmup: 0, ..PlanSize::default() }
}

fn source() -> PromptSource {
    PromptSource::ids(Vocabulary::new(1000, [0, 1, 2]).expect("997 ids are left"))
}

fn draw(workload: &Workload, load: Load, size: PlanSize) -> Result<Plan, PlanError> {
    Plan::draw(workload, &load, size, FIRST, &source())
}

fn drawn(workload: &Workload, load: Load, size: PlanSize) -> Plan {
    draw(workload, load, size).expect("it makes sense")
}

fn all(list: &ShotList) -> Vec<Shot> {
    list.shots().collect::<Result<_, _>>().expect("ids can always be drawn")
}

#[test]
fn a_size_that_measures_nothing_is_refused() {
    let asked = |size| draw(&workload("D(8,8)"), CLOSED, size).err();
    assert_eq!(asked(PlanSize::default()), Some(PlanError::NoEnd));
    assert_eq!(asked(requests(0)), Some(PlanError::NoRequests));
    for time in [Nanos::ZERO, Nanos(-1)] {
        let size = PlanSize { duration: Some(time), ..requests(1) };
        assert_eq!(asked(size), Some(PlanError::NoTime(time.as_secs_f64())));
    }
}

#[test]
fn a_load_that_sends_nothing_is_refused() {
    let asked = |load| draw(&workload("D(8,8)"), load, requests(1)).err();
    let open = |arrivals, rate, max_in_flight| Load::Open { arrivals, rate, max_in_flight };
    assert_eq!(asked(Load::Closed { concurrency: 0 }), Some(PlanError::NoConcurrency));
    assert_eq!(asked(open(Arrivals::Poisson, 1.0, Some(0))), Some(PlanError::NoneInFlight));
    for rate in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        let refused = asked(open(Arrivals::Constant, rate, None));
        assert!(matches!(refused, Some(PlanError::Rate(_))), "{rate}");
    }
    for burstiness in [0.0, -1.0, 1e-9, f64::INFINITY, f64::NAN] {
        let refused = asked(open(Arrivals::Gamma { burstiness }, 1.0, None));
        assert!(matches!(refused, Some(PlanError::Burstiness(_))), "{burstiness}");
    }
}

#[test]
fn sampling_that_chooses_nothing_is_refused() {
    let asked = |change: fn(&mut Workload)| {
        let mut workload = workload("D(8,8)");
        change(&mut workload);
        draw(&workload, CLOSED, requests(1)).err()
    };
    assert_eq!(asked(|w| w.sampling.top_k = Some(0)), Some(PlanError::TopK));
    assert_eq!(asked(|w| w.sampling.top_p = Some(1.5)), Some(PlanError::TopP(1.5)));
    assert_eq!(asked(|w| w.sampling.temperature = Some(0.0)), Some(PlanError::Temperature(0.0)));
    let mismatch = Some(PlanError::WrongSource { asked: PromptKind::Text, made: PromptKind::Ids });
    assert_eq!(asked(|w| w.prompts = PromptKind::Text), mismatch);
}

#[test]
fn a_prefix_or_a_minimum_that_does_not_fit_names_the_request() {
    let mut long_prefix = workload("D(8,8)");
    long_prefix.prefix_tokens = 9;
    let refused = draw(&long_prefix, CLOSED, requests(2)).expect_err("9 is above 8");
    let why = PromptError::PrefixTooLong { tokens: 8, prefix: 9 };
    assert_eq!(refused, PlanError::Prompt { request: RequestId(0), why });
    assert!(refused.to_string().contains("shorten the prefix"), "{refused}");

    let mut high_minimum = workload("D(8,8)");
    high_minimum.output.min_tokens = 9;
    let refused = draw(&high_minimum, CLOSED, requests(2)).expect_err("9 is above 8");
    assert_eq!(refused, PlanError::MinAboveMax { request: RequestId(0), min: 9, max: 8 });
}

#[test]
fn a_plan_that_no_memory_holds_is_refused_and_not_begun() {
    let hour = PlanSize { duration: Some(Nanos::from_secs_f64(3600.0)), ..PlanSize::default() };
    let fast = Load::Open { arrivals: Arrivals::Constant, rate: 1e6, max_in_flight: None };
    assert_eq!(draw(&workload("D(8,8)"), fast, hour).err(), Some(PlanError::TooManyShots));
    let heavy = draw(&workload("D(1000000,1)"), CLOSED, requests(1000));
    assert_eq!(heavy.err(), Some(PlanError::TooManyTokens));
}

#[test]
fn a_session_out_of_ids_is_refused() {
    let start = PlanStart { point: 0, first_id: RequestId(u32::MAX - 1) };
    let asked = |n| Plan::draw(&workload("D(8,8)"), &CLOSED, requests(n), start, &source());
    assert_eq!(asked(1).expect("one id is left").next_id(), RequestId(u32::MAX));
    assert_eq!(asked(2).err(), Some(PlanError::OutOfIds));
}

#[test]
fn a_target_that_would_refuse_or_cut_a_request_is_found_before_load() {
    let plan = drawn(&workload("D(100,28)"), Load::Batch, requests(5));
    let limits = Limits::default();
    let request = RequestId(0);
    assert_eq!(plan.check(&limits), Ok(()));
    for (limits, refusal) in [
        (
            Limits { max_prompt_tokens: Some(99), ..limits },
            PlanError::PromptTooLong { request, tokens: 100, limit: 99 },
        ),
        (
            Limits { max_sequence_tokens: Some(127), ..limits },
            PlanError::SequenceTooLong { request, prompt: 100, output: 28, limit: 127 },
        ),
        (
            Limits { max_queue_size: Some(4), ..limits },
            PlanError::BatchAboveQueue { shots: 5, limit: 4 },
        ),
    ] {
        assert_eq!(plan.check(&limits), Err(refusal));
    }
    let small = plan.check(&Limits { vocab_size: Some(10), ..limits });
    assert!(matches!(small, Err(PlanError::OutsideVocabulary { size: 10, .. })), "{small:?}");
    let exact = Limits {
        max_prompt_tokens: Some(100),
        max_sequence_tokens: Some(128),
        vocab_size: Some(1000),
        max_queue_size: Some(5),
        max_batch_size: Some(1),
    };
    assert_eq!(plan.check(&exact), Ok(()));
}

#[test]
fn a_closed_loop_may_keep_as_many_as_run_and_wait_together_and_no_more() {
    let plan = drawn(&workload("D(8,8)"), Load::Closed { concurrency: 5 }, requests(5));
    let limits = |queue, batch| Limits {
        max_queue_size: Some(queue),
        max_batch_size: Some(batch),
        ..Limits::default()
    };
    assert_eq!(plan.check(&limits(4, 1)), Ok(()));
    let refusal = PlanError::ConcurrencyAboveQueue { concurrency: 5, limit: 4 };
    assert_eq!(plan.check(&limits(3, 1)), Err(refusal));
    assert_eq!(plan.check(&Limits { max_queue_size: Some(3), ..Limits::default() }), Ok(()));
}

#[test]
fn ids_run_on_from_the_first_with_warm_up_before_the_rest() {
    let size = PlanSize { warmup: 2, ..requests(3) };
    let start = PlanStart { point: 1, first_id: RequestId(10) };
    let plan = Plan::draw(&workload("D(8,8)"), &CLOSED, size, start, &source()).expect("drawn");
    let ids = |shots: &ShotList| shots.facts().map(|shot| shot.id.0).collect::<Vec<_>>();
    assert_eq!(all(plan.shots()).iter().map(|shot| shot.id.0).collect::<Vec<_>>(), [12, 13, 14]);
    assert_eq!((ids(plan.warmup()), ids(plan.shots())), (vec![10, 11], vec![12, 13, 14]));
    assert_eq!(plan.next_id(), RequestId(15));
}

#[test]
fn only_an_open_loop_and_a_batch_have_instants() {
    let size = PlanSize { warmup: 3, ..requests(20) };
    let instants = |load| {
        let plan = drawn(&workload("D(8,8)"), load, size);
        let all = plan.warmup().facts().chain(plan.shots().facts());
        all.map(|shot| shot.intended).collect::<Vec<_>>()
    };
    assert!(instants(CLOSED).iter().all(Option::is_none));
    assert!(instants(Load::Batch).iter().all(|at| *at == Some(Nanos::ZERO)));
    let open = instants(POISSON);
    assert!(open[..3].is_sorted() && open[3..].is_sorted());
    assert_eq!((open[0], open[3]), (Some(Nanos::ZERO), Some(Nanos::ZERO)));
    assert_ne!(open[1], open[4], "warm-up arrivals follow a schedule of their own");
}

#[test]
fn warm_up_shares_no_prompt_and_no_prefix_with_what_is_measured() {
    let mut workload = workload("D(16,8)");
    workload.prefix_tokens = 8;
    let plan = drawn(&workload, CLOSED, PlanSize { warmup: 20, ..requests(20) });
    let heads = |shots: &ShotList| {
        all(shots).iter().map(|shot| shot.request.prompt.ids[..8].to_vec()).collect::<Vec<_>>()
    };
    let (warm, measured) = (heads(plan.warmup()), heads(plan.shots()));
    assert!(warm.iter().all(|head| *head == warm[0]));
    assert!(measured.iter().all(|head| *head == measured[0]));
    assert_ne!(warm[0], measured[0]);
    let unique: std::collections::HashSet<_> = [plan.warmup(), plan.shots()]
        .into_iter()
        .flat_map(all)
        .map(|shot| shot.request.prompt.ids)
        .collect();
    assert_eq!(unique.len(), 40);
}

#[test]
fn a_duration_alone_gives_an_open_loop_its_arrivals_and_a_closed_loop_a_supply() {
    let second = |n| PlanSize { duration: Some(Nanos::from_secs_f64(n)), ..PlanSize::default() };
    let constant = Load::Open { arrivals: Arrivals::Constant, rate: 10.0, max_in_flight: None };
    let open = drawn(&workload("D(8,8)"), constant, second(3.0));
    assert_eq!((open.shots().len(), open.is_pool()), (30, false));

    let long = drawn(&workload("D(1048576,8)"), CLOSED, second(3.0));
    assert_eq!((long.shots().len(), long.is_pool()), (64, true), "64 Mi tokens");

    let ended_by_count = PlanSize { requests: Some(5), ..second(3.0) };
    let both = drawn(&workload("D(8,8)"), CLOSED, ended_by_count);
    assert_eq!((both.shots().len(), both.is_pool()), (5, false));
    let both = drawn(&workload("D(8,8)"), constant, ended_by_count);
    assert_eq!((both.shots().len(), both.is_pool()), (5, false));
}

#[test]
fn a_closed_loop_that_ends_by_time_has_at_most_a_hundred_thousand_requests() {
    let size = PlanSize { duration: Some(Nanos::from_secs_f64(1.0)), ..PlanSize::default() };
    let plan = drawn(&workload("D(1,1)"), CLOSED, size);
    assert_eq!((plan.shots().len(), plan.is_pool()), (100_000, true));
}

#[test]
fn points_share_lengths_and_pattern_and_no_prompt() {
    let workload = workload("U(10,200)/(1,100)");
    let at = |point| {
        let start = PlanStart { point, first_id: RequestId(0) };
        Plan::draw(&workload, &POISSON, requests(50), start, &source()).expect("drawn")
    };
    let (one, two) = (at(0), at(1));
    for (a, b) in all(one.shots()).iter().zip(&all(two.shots())) {
        assert_eq!((a.intended, a.request.output), (b.intended, b.request.output));
        assert_eq!(a.request.prompt.tokens(), b.request.prompt.tokens());
        assert_ne!(a.request.prompt.ids, b.request.prompt.ids);
    }
}

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
    let changes: [Change; 26] = [
        |it| it.seed += 1,
        |it| it.scenario = "D(9,8)".parse().expect("a scenario"),
        |it| it.scenario = "D(8,9)".parse().expect("a scenario"),
        |it| it.prefix_tokens = 1,
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
fn a_shot_is_the_same_whenever_it_is_drawn_and_its_facts_are_known_before() {
    let asked = Workload { prefix_tokens: 3, ..workload("U(8,60)/(1,100)") };
    let plan = drawn(&asked, POISSON, requests(50));
    let backwards: Vec<Shot> =
        (0..50).rev().map(|index| plan.shots().shot(index).expect("drawn")).collect();
    plan.shots().keep_if_small().expect("drawn");
    let forwards = all(plan.shots());
    assert!(forwards.iter().eq(backwards.iter().rev()));
    assert!(plan.shots().facts().eq(forwards.iter().map(ShotFacts::from)));
    let tokens: u64 = forwards.iter().map(|shot| u64::from(shot.request.prompt.tokens())).sum();
    assert_eq!(plan.shots().prompt_tokens(), tokens);
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

#[test]
fn the_supply_of_ramp_and_tail_follows_what_is_measured_and_changes_nothing_in_it() {
    let plain = PlanSize { warmup: 2, ..requests(6) };
    let course = Course { ramp: Ramp::Estimated, tail: Tail::UntilMeasuredEnd };
    let size = PlanSize { course, ..plain };
    let varied = workload("U(4,8)/(16,496)");
    for load in [CLOSED, POISSON] {
        let (without, with) = (drawn(&varied, load, plain), drawn(&varied, load, size));
        assert!(without.fill().is_empty());
        assert_eq!(all(without.shots()), all(with.shots()));
        assert_eq!(with.fill().first_id(), without.next_id());
        assert_eq!(with.next_id().0, without.next_id().0 + with.fill().len() as u32);
        assert_ne!(without.hash(), with.hash());
        assert_eq!(with.hash(), drawn(&varied, load, size).hash());
        assert!(with.ramp_at_most() > 0 && with.ramp_at_most() < with.fill().len());
    }
    assert!(drawn(&varied, Load::Batch, size).fill().is_empty());
}

#[test]
fn each_slot_of_a_closed_loop_begins_with_what_is_left_of_a_request() {
    let course = Course { ramp: Ramp::Estimated, tail: Tail::None };
    let slots = 2000;
    let size = PlanSize { course, ..requests(slots) };
    let plan = drawn(&workload("D(8,12)"), Load::Closed { concurrency: slots }, size);
    let outputs: Vec<u32> = plan.fill().facts().map(|shot| shot.output_tokens).collect();
    let (first, later) = outputs.split_at(slots as usize);
    assert!(later.iter().all(|tokens| *tokens == 12));
    for tokens in 1..=12 {
        let count = first.iter().filter(|it| **it == tokens).count();
        assert!((110..230).contains(&count), "{tokens}: {count} of {slots}");
    }
    // A least length of whole requests does not bind what is left of one.
    let mut least = workload("D(8,12)");
    least.output.min_tokens = 6;
    let plan = drawn(&least, CLOSED, PlanSize { course, ..requests(4) });
    assert!(
        all(plan.fill())
            .iter()
            .all(|it| { it.request.output.min_tokens == it.request.output.max_tokens.min(6) })
    );
}
