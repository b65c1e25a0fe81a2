//! Tests of what a plan refuses before anything is sent.

use super::*;

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
