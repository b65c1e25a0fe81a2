//! Contract of all targets, for every target that runs without anything beside this repository.

use crate::support::contract;
use crate::support::contract::{Subject, pace, shots};
use crate::support::python_stand_in;
use bareflight::clock::Nanos;
use bareflight::record::request_record::Outcome;
use bareflight::settings::engine::{Drafting, EngineSettings};

const TARGETS: [&str; 6] = [
    "null:",
    "sim:null",
    "sim:explicit,base_us=200,prefill_us_per_token=2,decode_us_per_sequence=20",
    "sim:h200-llama3-8b-fp8,draft_len=3,acceptance=0.7",
    "local:dummy-pico",
    "text:local:dummy-pico",
];

fn each(names: &[&str], claim: impl Fn(&Subject)) {
    for name in names {
        claim(&Subject::named(name));
    }
}

/// Two simulated executors of this cost, one of which drafts for the other.
fn drafted(costs: &str) -> Subject {
    let drafting = Drafting {
        engine: format!("explicit,agreement=0.7,{costs}"),
        tokens: 3,
        ..Drafting::default()
    };
    let engine =
        EngineSettings { drafting: Some(drafting), kv_reuse: true, ..EngineSettings::default() };
    Subject { engine, ..Subject::named(&format!("sim:explicit,external_drafts=3,{costs}")) }
}

#[test]
fn an_engine_behind_the_desk_of_python_keeps_the_contract() {
    python_stand_in::hold_this_process();
    let fast = Subject::named("py:stand_in");
    contract::every_shot_ends_exactly_once_with_as_many_tokens_as_were_asked_for(&fast);
    contract::stamps_are_monotone_from_the_intended_instant_to_the_end(&fast);
    contract::the_engine_s_own_stamps_lie_between_submission_and_delivery(&fast);
    contract::two_phases_on_one_session_do_not_see_each_other_s_requests(&fast);
    let narrow = Subject::named("py:stand_in,longest_prompt=64");
    contract::what_a_target_refuses_has_a_kind_and_the_target_s_words(&narrow);
    contract::what_is_cancelled_ends_as_cancelled_and_keeps_what_had_arrived(
        &Subject::named("py:stand_in,step_us=3000"),
        Nanos::from_millis(80),
    );
}

#[test]
fn an_engine_that_another_one_drafts_for_keeps_the_contract() {
    let fast = drafted("base_us=200,kv_tokens=65536");
    contract::every_shot_ends_exactly_once_with_as_many_tokens_as_were_asked_for(&fast);
    contract::stamps_are_monotone_from_the_intended_instant_to_the_end(&fast);
    contract::the_engine_s_own_stamps_lie_between_submission_and_delivery(&fast);
    contract::two_phases_on_one_session_do_not_see_each_other_s_requests(&fast);
    contract::what_a_target_refuses_has_a_kind_and_the_target_s_words(&drafted("max_input_len=64"));
    contract::what_is_cancelled_ends_as_cancelled_and_keeps_what_had_arrived(
        &drafted("base_us=3000"),
        Nanos::from_millis(80),
    );
}

#[test]
fn every_shot_ends_exactly_once_with_as_many_tokens_as_were_asked_for() {
    each(&TARGETS, contract::every_shot_ends_exactly_once_with_as_many_tokens_as_were_asked_for);
}

#[test]
fn stamps_are_monotone_from_the_intended_instant_to_the_end() {
    each(&TARGETS, contract::stamps_are_monotone_from_the_intended_instant_to_the_end);
}

#[test]
fn the_engine_s_own_stamps_lie_between_submission_and_delivery() {
    // The null target has no engine.
    each(&TARGETS[1..], contract::the_engine_s_own_stamps_lie_between_submission_and_delivery);
}

#[test]
fn what_is_cancelled_ends_as_cancelled_and_keeps_what_had_arrived() {
    each(&["sim:explicit,base_us=3000", "local:dummy-nano"], |slow| {
        contract::what_is_cancelled_ends_as_cancelled_and_keeps_what_had_arrived(
            slow,
            Nanos::from_millis(80),
        );
    });
}

#[test]
fn what_a_target_refuses_has_a_kind_and_the_target_s_words() {
    let narrow = ["sim:explicit,max_input_len=64", "local:dummy-pico"];
    each(&narrow, contract::what_a_target_refuses_has_a_kind_and_the_target_s_words);
}

#[test]
fn a_full_queue_refuses_and_the_rest_goes_on() {
    for name in ["sim:explicit,base_us=2000", "local:dummy-pico"] {
        let engine = EngineSettings {
            max_batch_size: Some(1),
            max_queue_size: Some(2),
            ..EngineSettings::default()
        };
        let small = Subject { engine, ..Subject::named(name) };
        contract::a_full_queue_refuses_and_the_rest_goes_on(&small);
    }
}

#[test]
fn two_phases_on_one_session_do_not_see_each_other_s_requests() {
    each(&TARGETS, contract::two_phases_on_one_session_do_not_see_each_other_s_requests);
}

#[test]
fn an_engine_that_breaks_fails_its_requests_and_the_run_still_ends() {
    let breaks = Subject::named("sim:explicit,base_us=100,fail_at_iteration=20");
    let (_, phase) = breaks.play(&shots(6, 8, 50), &pace(3));
    let failed = phase.records.requests().iter().filter(
        |record| matches!(&record.outcome, Outcome::Failed(failure) if !failure.message.is_empty()),
    );
    assert!(failed.count() >= 3);
}
