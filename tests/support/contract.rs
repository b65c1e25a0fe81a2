//! The same claims of every target: each shot ends exactly once, stamps are monotone, cancel works, every failure has a
//! kind, and nothing happens after `finish`.

use std::sync::Arc;

use bareflight::clock::{self, MonoNs, Nanos};
use bareflight::issue::pace::{Graces, Pace, Played};
use bareflight::issue::phase::Stage;
use bareflight::issue::stop::Stop;
use bareflight::load::Load;
use bareflight::load::course::Tail;
use bareflight::load::plan::Shot;
use bareflight::record::recorder::PhaseRecords;
use bareflight::record::request_record::Outcome;
use bareflight::request::FailureKind;
use bareflight::request::RequestId;
use bareflight::request::spec::{Beside, OutputSpec, Prompt, RequestSpec, Sampling};
use bareflight::settings::engine::EngineSettings;
use bareflight::settings::served::ServedSettings;
use bareflight::targets::Drain;
use bareflight::targets::registry;
use bareflight::workload::DEFAULT_PRIORITY;

/// A target by the name that a user types, and what is typed beside it.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    pub name: String,
    pub engine: EngineSettings,
    pub served: ServedSettings,
}

impl Subject {
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub fn stage(&self, requests: usize) -> Stage {
        let named = registry::describe(&self.name, &self.engine, &self.served).expect(&self.name);
        Stage::open(named.target, requests, 64, Stop::never()).expect(&self.name)
    }

    pub fn play(&self, shots: &[Shot], pace: &Pace) -> (Played, PhaseRecords) {
        let mut stage = self.stage(shots.len());
        let prepared = prepared(&stage, shots);
        let result = stage.run(&prepared, pace, None);
        assert_eq!(stage.stray_ends(), 0, "{}: nothing ended twice", self.name);
        assert_eq!(stage.finish(), Drain::Clean, "{}", self.name);
        result
    }
}

/// The same shots as the drawing thread would hand them over.
fn prepared(stage: &Stage, shots: &[Shot]) -> Vec<Shot> {
    let Some(mut preparer) = stage.preparer() else { return shots.to_vec() };
    let prepare = |shot: &Shot| Shot { prepared: preparer.prepare(shot), ..shot.clone() };
    shots.iter().map(prepare).collect()
}

pub fn shots(count: u32, prompt: usize, max_tokens: u32) -> Vec<Shot> {
    (0..count)
        .map(|id| {
            let ids: Vec<u32> = (0..prompt as u32).map(|i| 3 + (id * 31 + i * 7) % 400).collect();
            let request = RequestSpec {
                beside: Beside::Nothing,
                prompt: Prompt { ids: Arc::from(ids), text: None },
                output: OutputSpec { max_tokens, min_tokens: 0, ignore_eos: true },
                sampling: Sampling::greedy(u64::from(id)),
                streaming: true,
                priority: DEFAULT_PRIORITY,
                adapter: None,
                terms: Arc::default(),
            };
            Shot::new(RequestId(id), request)
        })
        .collect()
}

pub fn pace(concurrency: u32) -> Pace {
    Pace {
        load: Load::Closed { concurrency },
        ramp: None,
        tail: Tail::None,
        stages: None,
        duration: None,
        timeout: Nanos::from_secs_f64(120.0),
        drain: Nanos::from_secs_f64(5.0),
        graces: Graces::OF_RUNS,
        begin_at: None,
    }
}

pub fn every_shot_ends_exactly_once_with_as_many_tokens_as_were_asked_for(subject: &Subject) {
    let name = &subject.name;
    let shots = shots(40, 24, 9);
    let (_, phase) = subject.play(&shots, &pace(8));
    assert_eq!(phase.records.len(), 40, "{name}");
    assert_eq!(phase.late_events, 0, "{name}");
    for (record, arrivals) in phase.records.iter() {
        assert!(record.outcome.is_completed(), "{name}: {:?}", record.outcome);
        assert_eq!(record.output_tokens, 9, "{name}");
        assert_eq!(arrivals.iter().map(|a| a.tokens).sum::<u32>(), 9, "{name}");
    }
}

pub fn stamps_are_monotone_from_the_intended_instant_to_the_end(subject: &Subject) {
    let name = &subject.name;
    let started = clock::now();
    let (played, phase) = subject.play(&shots(16, 24, 6), &pace(4));
    for (record, arrivals) in phase.records.iter() {
        let mut stamps: Vec<Option<MonoNs>> =
            vec![Some(started), record.intended, record.ready, record.submit];
        stamps.extend(arrivals.iter().map(|arrival| Some(arrival.at)));
        stamps.extend([record.end, Some(played.end)]);
        let stamps: Vec<MonoNs> =
            stamps.into_iter().map(|stamp| stamp.expect("a completed request has all")).collect();
        assert!(stamps.is_sorted(), "{name}: {stamps:?}");
    }
}

pub fn the_engine_s_own_stamps_lie_between_submission_and_delivery(subject: &Subject) {
    let name = &subject.name;
    let (_, phase) = subject.play(&shots(12, 24, 6), &pace(4));
    for record in phase.records.requests() {
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

pub fn what_is_cancelled_ends_as_cancelled_and_keeps_what_had_arrived(
    subject: &Subject,
    cut_after: Nanos,
) {
    let name = &subject.name;
    let cut = Pace { duration: Some(cut_after), drain: cut_after, ..pace(3) };
    let (_, phase) = subject.play(&shots(3, 16, 1_500), &cut);
    for record in phase.records.requests() {
        assert_eq!(record.outcome, Outcome::Cancelled, "{name}");
        assert!(record.output_tokens < 1_500, "{name}");
    }
    assert!(phase.records.requests().iter().any(|record| record.output_tokens > 0), "{name}");
}

pub fn what_a_target_refuses_has_a_kind_and_the_target_s_words(subject: &Subject) {
    let name = &subject.name;
    let (_, phase) = subject.play(&shots(2, 5_000, 4), &pace(1));
    for record in phase.records.requests() {
        let Outcome::Failed(failure) = &record.outcome else { panic!("{:?}", record.outcome) };
        assert_eq!(failure.kind, FailureKind::Refused, "{name}: {failure:?}");
        assert!(failure.message.contains("5000"), "{name}: {failure:?}");
    }
}

pub fn a_full_queue_refuses_and_the_rest_goes_on(subject: &Subject) {
    let name = &subject.name;
    let shots = shots(30, 8, 40);
    let mut stage = subject.stage(shots.len());
    let all_at_once = Pace { load: Load::Batch, ..pace(1) };
    let (_, phase) = stage.run(&shots, &all_at_once, None);
    assert_eq!(stage.finish(), Drain::Clean);
    let refused = phase.records.requests().iter().filter(|record| {
        matches!(&record.outcome, Outcome::Failed(failure) if failure.kind == FailureKind::QueueFull)
    });
    let completed = phase.records.requests().iter().filter(|record| record.outcome.is_completed());
    let (refused, completed) = (refused.count(), completed.count());
    assert!(refused > 0 && completed > 0, "{name}: {refused} refused, {completed} completed");
    assert_eq!(refused + completed, 30, "{name}");
}

pub fn two_phases_on_one_session_do_not_see_each_other_s_requests(subject: &Subject) {
    let name = &subject.name;
    let all = shots(20, 16, 5);
    let mut stage = subject.stage(all.len());
    for half in all.chunks(10) {
        let (_, phase) = stage.run(half, &pace(4), None);
        assert_eq!(phase.late_events, 0, "{name}");
        assert!(phase.records.requests().iter().all(|record| record.outcome.is_completed()));
    }
    assert_eq!(stage.finish(), Drain::Clean, "{name}");
}
