//! The same claims of every target: each shot ends exactly once, stamps are monotone, cancel works, every failure has a
//! kind, and nothing happens after `finish`.

use std::sync::Arc;

use bareflight::clock::{self, MonoNs, Nanos};
use bareflight::experiment::phase::Stage;
use bareflight::load::Load;
use bareflight::load::issuer::{Pace, Played};
use bareflight::load::plan::{RequestId, Shot};
use bareflight::load::stop::Stop;
use bareflight::record::recorder::Sealed;
use bareflight::record::request_record::Outcome;
use bareflight::target::by_name;
use bareflight::target::served::ServedSettings;
use bareflight::target::settings::EngineSettings;
use bareflight::target::{Drain, FailureKind};
use bareflight::workload::DEFAULT_PRIORITY;
use bareflight::workload::request::{OutputSpec, Prompt, RequestSpec, Sampling};

/// Every target that runs without anything beside this repository.
const TARGETS: [&str; 5] = [
    "null:",
    "sim:null",
    "sim:explicit,base_us=200,prefill_us_per_token=2,decode_us_per_sequence=20",
    "sim:h200-llama3-8b-fp8,draft_len=3,acceptance=0.7",
    "local:dummy-pico",
];

fn shots(count: u32, prompt: usize, max_tokens: u32) -> Vec<Shot> {
    (0..count)
        .map(|id| {
            let ids: Vec<u32> = (0..prompt as u32).map(|i| 3 + (id * 31 + i * 7) % 400).collect();
            let request = RequestSpec {
                prompt: Prompt { ids: Arc::from(ids), text: None },
                output: OutputSpec { max_tokens, min_tokens: 0, ignore_eos: true },
                sampling: Sampling::greedy(u64::from(id)),
                streaming: true,
                priority: DEFAULT_PRIORITY,
                adapter: None,
                terms: Arc::default(),
            };
            Shot { id: RequestId(id), intended: None, request }
        })
        .collect()
}

fn stage(name: &str, requests: usize, settings: &EngineSettings) -> Stage {
    let named = by_name::resolve(name, settings, &ServedSettings::default()).expect(name);
    Stage::open(named.target, requests, 64, Stop::never()).expect(name)
}

fn pace(concurrency: u32) -> Pace {
    Pace {
        load: Load::Closed { concurrency },
        duration: None,
        timeout: Nanos::from_secs_f64(120.0),
        drain: Nanos::from_secs_f64(5.0),
    }
}

fn play(name: &str, shots: &[Shot], pace: &Pace) -> (Played, Sealed) {
    let mut stage = stage(name, shots.len(), &EngineSettings::default());
    let result = stage.run(shots, pace, None);
    assert_eq!(stage.faults(), (0, 0), "{name}: nothing dropped, nothing ended twice");
    assert_eq!(stage.finish(), Drain::Clean, "{name}");
    result
}

#[test]
fn every_shot_ends_exactly_once_with_as_many_tokens_as_were_asked_for() {
    for name in TARGETS {
        let shots = shots(40, 24, 9);
        let (_, sealed) = play(name, &shots, &pace(8));
        assert_eq!(sealed.records.len(), 40, "{name}");
        assert_eq!(sealed.late_events, 0, "{name}");
        for (record, arrivals) in sealed.records.iter() {
            assert!(record.outcome.is_completed(), "{name}: {:?}", record.outcome);
            assert_eq!(record.output_tokens, 9, "{name}");
            assert_eq!(arrivals.iter().map(|a| a.tokens).sum::<u32>(), 9, "{name}");
        }
    }
}

#[test]
fn stamps_are_monotone_from_the_intended_instant_to_the_end() {
    for name in TARGETS {
        let started = clock::now();
        let (played, sealed) = play(name, &shots(16, 24, 6), &pace(4));
        for (record, arrivals) in sealed.records.iter() {
            let mut stamps: Vec<Option<MonoNs>> =
                vec![Some(started), record.intended, record.ready, record.submit];
            stamps.extend(arrivals.iter().map(|arrival| Some(arrival.at)));
            stamps.extend([record.end, Some(played.end)]);
            let stamps: Vec<MonoNs> = stamps
                .into_iter()
                .map(|stamp| stamp.expect("a completed request has all"))
                .collect();
            assert!(stamps.is_sorted(), "{name}: {stamps:?}");
        }
    }
}

#[test]
fn the_engine_s_own_stamps_lie_between_submission_and_delivery() {
    for name in TARGETS.iter().filter(|name| **name != "null:") {
        let (_, sealed) = play(name, &shots(12, 24, 6), &pace(4));
        for record in sealed.records.requests() {
            let times = record.engine_times.unwrap_or_else(|| panic!("{name} stamps requests"));
            let stamps = [
                record.submit,
                times.arrival,
                times.first_scheduled,
                times.first_token,
                record.first_token,
                record.end,
            ];
            let stamps: Vec<MonoNs> =
                stamps.into_iter().map(|stamp| stamp.unwrap_or_else(|| panic!("{name}"))).collect();
            assert!(stamps.is_sorted(), "{name}: {stamps:?}");
        }
    }
}

#[test]
fn what_is_cancelled_ends_as_cancelled_and_keeps_what_had_arrived() {
    let slow = ["sim:explicit,base_us=3000", "local:dummy-nano"];
    for name in slow {
        let cut = Pace {
            duration: Some(Nanos::from_millis(80)),
            drain: Nanos::from_millis(1),
            ..pace(3)
        };
        let (_, sealed) = play(name, &shots(3, 16, 1_500), &cut);
        for record in sealed.records.requests() {
            assert_eq!(record.outcome, Outcome::Cancelled, "{name}");
            assert!(record.output_tokens < 1_500, "{name}");
        }
        assert!(sealed.records.requests().iter().any(|record| record.output_tokens > 0), "{name}");
    }
}

#[test]
fn what_a_target_refuses_has_a_kind_and_the_target_s_words() {
    for name in ["sim:explicit,max_input_len=64", "local:dummy-pico"] {
        let (_, sealed) = play(name, &shots(2, 5_000, 4), &pace(1));
        for record in sealed.records.requests() {
            let Outcome::Failed(failure) = &record.outcome else { panic!("{:?}", record.outcome) };
            assert_eq!(failure.kind, FailureKind::Refused, "{name}: {failure:?}");
            assert!(failure.words.contains("5000"), "{name}: {failure:?}");
        }
    }
}

#[test]
fn a_full_queue_refuses_and_the_rest_goes_on() {
    let settings = EngineSettings {
        max_batch_size: Some(1),
        max_queue_size: Some(2),
        ..EngineSettings::default()
    };
    for name in ["sim:explicit,base_us=2000", "local:dummy-pico"] {
        let shots = shots(30, 8, 40);
        let mut stage = stage(name, shots.len(), &settings);
        let all_at_once = Pace { load: Load::Batch, ..pace(1) };
        let (_, sealed) = stage.run(&shots, &all_at_once, None);
        assert_eq!(stage.finish(), Drain::Clean);
        let refused = sealed.records.requests().iter().filter(|record| {
            matches!(&record.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::QueueFull)
        });
        let completed =
            sealed.records.requests().iter().filter(|record| record.outcome.is_completed());
        let (refused, completed) = (refused.count(), completed.count());
        assert!(refused > 0 && completed > 0, "{name}: {refused} refused, {completed} completed");
        assert_eq!(refused + completed, 30, "{name}");
    }
}

#[test]
fn two_phases_on_one_session_do_not_see_each_other_s_requests() {
    for name in TARGETS {
        let all = shots(20, 16, 5);
        let mut stage = stage(name, all.len(), &EngineSettings::default());
        for half in all.chunks(10) {
            let (_, sealed) = stage.run(half, &pace(4), None);
            assert_eq!(sealed.late_events, 0, "{name}");
            assert!(sealed.records.requests().iter().all(|record| record.outcome.is_completed()));
        }
        assert_eq!(stage.finish(), Drain::Clean, "{name}");
    }
}

#[test]
fn an_engine_that_breaks_fails_its_requests_and_the_run_still_ends() {
    let (_, sealed) =
        play("sim:explicit,base_us=100,fail_at_iteration=20", &shots(6, 8, 50), &pace(3));
    let failed = sealed.records.requests().iter().filter(
        |record| matches!(&record.outcome, Outcome::Failed(failure) if !failure.words.is_empty()),
    );
    assert!(failed.count() >= 3);
}
