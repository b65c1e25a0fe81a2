//! Tests of what a plan holds: ids, instants, prompts, supplies.

use super::*;

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
