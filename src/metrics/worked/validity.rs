//! Worked examples of validity: every check fails on a run made for it.

use super::*;
use crate::metrics::summary::{Check, CheckId, Mark, Status, Verdict};
use crate::observe::health::ClientRate;
use crate::record::request_record::EngineTimes;

pub(super) fn check_of(summary: &Summary, id: CheckId) -> &Check {
    summary.checks.iter().find(|check| check.id == id).unwrap()
}

/// A steady open-loop run of 60 requests over 6 s, each 20 ms long.
pub(super) fn steady() -> Vec<Played> {
    (0..60)
        .map(|id| {
            let from = f64::from(id) * 100.0 + 1.0;
            played(id, from, &[(from + 10.0, 1), (from + 20.0, 1)])
        })
        .collect()
}

pub(super) fn checked(
    rows: Vec<Played>,
    health: &Health,
    change: impl Fn(&mut RunFacts),
) -> Summary {
    let mut facts = facts(open(10.0), 6_000.0, rows.len());
    change(&mut facts);
    summarise(&Records::new(rows), &facts, health)
}

pub(super) fn status(rows: Vec<Played>, health: &Health, id: CheckId) -> Status {
    check_of(&checked(rows, health, |_| ()), id).status
}

#[test]
fn a_sound_run_is_valid_and_every_check_speaks() {
    let summary = checked(steady(), &healthy(), |_| ());
    assert_eq!(summary.verdict, Verdict::Valid, "{:#?}", summary.checks);
    let ids: Vec<CheckId> = summary.checks.iter().map(|check| check.id).collect();
    assert_eq!(ids, CheckId::ALL);
    for check in &summary.checks {
        assert!(!check.sentence.is_empty() && !check.sentence.ends_with('.'), "{check:?}");
        assert_eq!(check.remedy, None, "{check:?}");
    }
}

/// The steady run with one in fifty requests sent so late.
fn late_by(ms: f64) -> Vec<Played> {
    let mut rows = steady();
    for row in rows.iter_mut().step_by(50) {
        row.0.submit = Some(row.0.submit.unwrap() + Nanos((ms * 1e6) as i64));
    }
    rows
}

#[test]
fn requests_sent_late_make_an_open_loop_invalid() {
    let lag = |ms| status(late_by(ms), &healthy(), CheckId::ScheduleLag);
    assert_eq!(lag(1.1), Status::Fail);
    assert_eq!(lag(1.0), Status::Pass);
}

#[test]
fn a_lag_of_one_percent_of_the_median_ttft_is_forgiven() {
    let mut rows = late_by(4.0);
    for (record, arrivals) in &mut rows {
        let later = Nanos::from_millis(490);
        for stamp in [&mut record.first_token, &mut record.last_token, &mut record.end] {
            *stamp = stamp.map(|at| at + later);
        }
        for arrival in arrivals {
            arrival.at = arrival.at + later;
        }
    }
    let summary = checked(rows, &healthy(), |_| ());
    let check = check_of(&summary, CheckId::ScheduleLag);
    assert_eq!((check.status, check.limit), (Status::Pass, Some(5.0)));
}

#[test]
fn outside_an_open_loop_the_schedule_lag_is_shown_and_not_judged() {
    let summary = checked(late_by(50.0), &healthy(), |facts| facts.load = closed());
    assert_eq!(check_of(&summary, CheckId::ScheduleLag).status, Status::NotApplicable);
    assert_eq!(summary.distribution(Quantity::ScheduleLag).unwrap().max, 50.0);
}

#[test]
fn under_a_cap_the_lag_counts_from_when_the_cap_let_a_request_go_and_says_so() {
    let mut rows = steady();
    for row in &mut rows {
        row.0.intended = row.0.intended.map(|at| at - Nanos::from_millis(300));
    }
    let capped = |facts: &mut RunFacts| {
        facts.load = Load::Open { arrivals: Arrivals::Poisson, rate: 10.0, max_in_flight: Some(1) };
    };
    let summary = checked(rows, &healthy(), capped);
    let check = check_of(&summary, CheckId::ScheduleLag);
    assert_eq!(check.status, Status::Pass);
    assert!(check.sentence.contains("cap on requests in flight"), "{}", check.sentence);
}

#[test]
fn a_request_that_was_due_and_not_sent_makes_a_run_invalid() {
    let with = |reason| {
        let mut rows = steady();
        rows.push(unsent(60, reason));
        status(rows, &healthy(), CheckId::NotSent)
    };
    assert_eq!(with(NotSentReason::Missed), Status::Fail);
    assert_eq!(with(NotSentReason::NotReached), Status::Pass);
    assert_eq!(with(NotSentReason::Interrupted), Status::Pass);
}

#[test]
fn a_late_look_at_the_kernels_stamp_is_a_warning_where_it_is_a_share_of_the_latency() {
    let seen = |lag_ns: u32, source, later| {
        let mut rows = steady();
        for (record, arrivals) in &mut rows {
            record.stamp_source = source;
            record.max_pull_lag_ns = lag_ns;
            record.last_token = record.last_token.map(|at| at + later);
            record.end = record.last_token;
            arrivals[1].at = arrivals[1].at + later;
        }
        status(rows, &healthy(), CheckId::PullLag)
    };
    let latency_20_ms = |lag_ns| seen(lag_ns, StampSource::Kernel, Nanos::ZERO);
    assert_eq!(latency_20_ms(200_001), Status::Warn);
    assert_eq!(latency_20_ms(200_000), Status::Pass);
    let latency_70_ms = |lag_ns| seen(lag_ns, StampSource::Kernel, Nanos::from_millis(50));
    assert_eq!(latency_70_ms(700_001), Status::Warn);
    assert_eq!(latency_70_ms(699_999), Status::Pass);
    assert_eq!(seen(1_000_000, StampSource::User, Nanos::ZERO), Status::NotApplicable);
}

#[test]
fn a_warm_up_that_failed_in_part_is_a_warning_with_the_targets_words() {
    let failure = || Some("1 of 8 warm-up requests completed".to_owned());
    let summary = checked(steady(), &healthy(), |facts| facts.warmup_failure = failure());
    let check = check_of(&summary, CheckId::WarmUp);
    assert_eq!((check.status, &check.sentence), (Status::Warn, &failure().unwrap()));
    assert_eq!(status(steady(), &healthy(), CheckId::WarmUp), Status::Pass);
}

#[test]
fn headroom_is_judged_by_whichever_is_scarcer() {
    let headroom = |requests_per_s, tokens_per_s| {
        let null_rate = Some(NullRate { requests_per_s, tokens_per_s });
        status(steady(), &Health { null_rate, ..Health::default() }, CheckId::Headroom)
    };
    // The schedule asks for 10 requests/s of 4 tokens each.
    assert_eq!(headroom(50.0, 1e9), Status::Pass);
    assert_eq!(headroom(49.0, 1e9), Status::Warn);
    assert_eq!(headroom(19.0, 1e9), Status::Fail);
    assert_eq!(headroom(1e9, 200.0), Status::Pass);
    assert_eq!(headroom(1e9, 79.0), Status::Fail);
    assert_eq!(status(steady(), &Health::default(), CheckId::Headroom), Status::Warn);
}

#[test]
fn the_headroom_of_a_server_is_what_its_own_client_reads_and_names_its_threads() {
    let headroom = |requests_per_s, tokens_per_s, threads| {
        let client_rate = Some(ClientRate { requests_per_s, tokens_per_s, threads });
        let health = Health { client_rate, ..healthy() };
        let summary = checked(steady(), &health, |_| {});
        check_of(&summary, CheckId::Headroom).clone()
    };
    assert_eq!(headroom(50.0, 200.0, 1).status, Status::Pass);
    assert_eq!(headroom(49.0, 200.0, 1).status, Status::Warn);
    let scarce = headroom(50.0, 79.0, 3);
    assert_eq!(scarce.status, Status::Fail, "the null rate alone would do");
    assert!(scarce.sentence.contains("with 3 client threads"), "{}", scarce.sentence);
    assert!(scarce.remedy.is_some_and(|remedy| remedy.contains("--client-threads")));
}

#[test]
fn the_null_target_is_marked_and_has_no_headroom_to_prove() {
    let null = |facts: &mut RunFacts| "null".clone_into(&mut facts.target.kind);
    let summary = checked(steady(), &Health::default(), null);
    assert_eq!(check_of(&summary, CheckId::Headroom).status, Status::NotApplicable);
    assert_eq!((summary.verdict, summary.marks), (Verdict::Valid, vec![Mark::NullTarget]));
}

#[test]
fn a_dropped_event_makes_a_run_invalid() {
    let health = Health { dropped_events: 1, ..healthy() };
    assert_eq!(status(steady(), &health, CheckId::Recorder), Status::Fail);
}

#[test]
fn requests_that_do_not_add_up_make_a_run_invalid() {
    let accounting = |rows, health: &Health| status(rows, health, CheckId::Accounting);
    assert_eq!(accounting(steady(), &healthy()), Status::Pass);
    assert_eq!(accounting(steady(), &Health { stray_ends: 1, ..healthy() }), Status::Fail);
    let lost = checked(steady(), &healthy(), |facts| facts.planned = 61);
    assert_eq!(check_of(&lost, CheckId::Accounting).status, Status::Fail);
    let broken = |break_it: fn(&mut RequestRecord)| {
        let mut rows = steady();
        break_it(&mut rows[7].0);
        accounting(rows, &healthy())
    };
    assert_eq!(broken(|record| record.id = RequestId(8)), Status::Fail);
    assert_eq!(broken(|record| record.end = None), Status::Fail);
    assert_eq!(broken(|record| record.end = record.submit), Status::Fail);
    assert_eq!(
        broken(|record| record.outcome = Outcome::NotSent(NotSentReason::Missed)),
        Status::Fail
    );
    let mut backwards = steady();
    backwards[7].1.swap(0, 1);
    assert_eq!(accounting(backwards, &healthy()), Status::Fail);
}

#[test]
fn an_overhead_below_nothing_means_broken_clocks() {
    let with_engine_ttft = |ns: i64| {
        let mut rows = steady();
        let record = &mut rows[7].0;
        let arrival = record.submit.unwrap();
        record.engine_times = Some(EngineTimes {
            arrival: Some(arrival),
            first_scheduled: Some(arrival),
            first_token: Some(arrival + Nanos(ns)),
            last_token: None,
        });
        status(rows, &healthy(), CheckId::Clocks)
    };
    assert_eq!(with_engine_ttft(10_002_000), Status::Fail);
    assert_eq!(with_engine_ttft(10_000_900), Status::Pass);
    assert_eq!(with_engine_ttft(9_000_000), Status::Pass);
}

#[test]
fn a_target_that_falls_behind_is_not_steady() {
    // Each answer takes 5 ms longer than the one before, and they pile up.
    let rows = (0..200).map(|id| {
        let from = f64::from(id) * 30.0 + 1.0;
        let first = from + 10.0 + 5.0 * f64::from(id);
        played(id, from, &[(first, 1), (first + 5.0, 1)])
    });
    let summary = checked(rows.collect(), &healthy(), |_| ());
    let check = check_of(&summary, CheckId::Stability);
    assert_eq!(check.status, Status::Warn);
    assert!(check.sentence.contains("TTFT and the number in flight rose"), "{}", check.sentence);
    assert_eq!(summary.verdict, Verdict::ValidWithWarnings);
}

#[test]
fn too_few_requests_say_nothing_of_steadiness() {
    let few = steady().into_iter().step_by(3).collect();
    assert_eq!(status(few, &healthy(), CheckId::Stability), Status::NotApplicable);
}

#[test]
fn a_machine_in_the_way_is_a_warning_and_one_that_does_not_tell_is_none() {
    type Worsen = fn(&mut Health);
    let cases: [(CheckId, Worsen); 5] = [
        (CheckId::HostThrottling, |health| health.cgroup_throttled = Some(1)),
        (CheckId::HostSteal, |health| health.steal = Some(0.02)),
        (CheckId::HostSwitches, |health| health.involuntary_switches = Some(61)),
        (CheckId::HostCpu, |health| health.harness_cpu = Some(0.6)),
        (CheckId::HostCoreWait, |health| health.core_wait = Some(0.051)),
    ];
    for (id, worsen) in cases {
        let mut health = healthy();
        assert_eq!(status(steady(), &health, id), Status::NotApplicable, "{id:?}");
        worsen(&mut health);
        let summary = checked(steady(), &health, |_| ());
        assert_eq!(check_of(&summary, id).status, Status::Warn, "{id:?}");
        assert!(check_of(&summary, id).remedy.is_some());
        assert_eq!(summary.verdict, Verdict::ValidWithWarnings);
    }
    let calm = Health {
        cgroup_throttled: Some(0),
        steal: Some(0.0),
        involuntary_switches: Some(60),
        harness_cpu: Some(0.5),
        core_wait: Some(0.05),
        ..healthy()
    };
    assert_eq!(checked(steady(), &calm, |_| ()).verdict, Verdict::Valid);
}

#[test]
fn marks_say_what_a_run_is_without_calling_it_invalid() {
    let summary = checked(steady(), &healthy(), |facts| {
        facts.complete = false;
        facts.target.simulated = true;
        facts.target.dummy_weights = true;
    });
    assert_eq!(summary.verdict, Verdict::Valid);
    assert_eq!(summary.marks, [Mark::Incomplete, Mark::Simulated, Mark::DummyWeights]);
}

#[test]
fn switches_that_cost_no_wait_for_a_core_are_no_warning() {
    let switched = Health { involuntary_switches: Some(600), ..healthy() };
    assert_eq!(status(steady(), &switched, CheckId::HostSwitches), Status::Warn);
    let but_never_waited = Health { core_wait: Some(0.01), ..switched };
    let summary = checked(steady(), &but_never_waited, |_| ());
    let check = check_of(&summary, CheckId::HostSwitches);
    assert_eq!((check.status, check.measured), (Status::Pass, Some(0.01)));
    assert!(check.sentence.contains("100 times a second"), "{}", check.sentence);
}

/// The steady run with engine stamps, in which tokens of these requests were seen so late; each TTFT is longer by it.
fn seen_late(which: impl Fn(u32) -> f64) -> Check {
    let mut rows = steady();
    for (record, arrivals) in &mut rows {
        record.stamp_source = StampSource::Engine;
        record.engine_times = Some(EngineTimes {
            arrival: record.submit,
            first_scheduled: record.submit,
            first_token: record.first_token,
            last_token: record.last_token,
        });
        let late = Nanos((which(record.id.0) * 1e6) as i64);
        for stamp in [&mut record.first_token, &mut record.last_token, &mut record.end] {
            *stamp = stamp.map(|at| at + late);
        }
        for arrival in arrivals {
            arrival.at = arrival.at + late;
        }
    }
    check_of(&checked(rows, &healthy(), |_| ()), CheckId::PullLag).clone()
}

#[test]
fn late_looks_are_judged_by_what_they_cost_the_numbers_that_are_reported() {
    let always = seen_late(|_| 0.25);
    assert_eq!(always.status, Status::Warn, "{always:?}");
    assert!(always.sentence.contains("is longer by 0.250 ms"), "{}", always.sentence);
    assert_eq!(seen_late(|_| 0.19).status, Status::Pass);
    // One of sixty, which is the p99 of so few: known to no better than a tenth of 10 ms.
    assert_eq!(seen_late(|id| if id == 30 { 0.9 } else { 0.0 }).status, Status::Pass);
    assert_eq!(seen_late(|id| if id == 30 { 3.0 } else { 0.0 }).status, Status::Warn);
}

#[test]
fn without_streaming_the_pull_lag_is_that_of_the_last_token_alone() {
    let mut rows = steady();
    for (record, _) in &mut rows {
        record.stamp_source = StampSource::Engine;
        // Nothing was streamed: all output comes at the end, 0.1 ms after the engine's last token.
        (record.first_token, record.last_token) = (record.end, record.end);
        let submit = record.submit.unwrap();
        record.engine_times = Some(EngineTimes {
            arrival: Some(submit),
            first_scheduled: Some(submit),
            first_token: Some(submit + Nanos::from_millis(5)),
            last_token: record.end.map(|end| end - Nanos(100_000)),
        });
    }
    let summary = checked(rows, &healthy(), |facts| facts.streaming = false);
    assert_eq!(summary.distribution(Quantity::PullLag).unwrap().max, 0.1);
    assert_eq!(check_of(&summary, CheckId::PullLag).status, Status::Pass);
}

/// The steady run of prompts of 100 tokens, of which the server says that it found so many.
fn cached(tokens: impl Fn(u32) -> Option<u32>, prompt: u32) -> Vec<Played> {
    let mut rows = steady();
    for row in &mut rows {
        row.0.other_counts.prompt = Some(prompt);
        row.0.other_counts.cached = tokens(row.0.id.0);
    }
    rows
}

#[test]
fn a_cache_that_finds_more_than_a_shared_prefix_explains_is_warned_of() {
    let repeats = |rows: Vec<Played>, prefix: u32| {
        let summary = checked(rows, &healthy(), |facts| facts.shared_prefix_tokens = prefix);
        check_of(&summary, CheckId::Repeats).clone()
    };
    let known = repeats(cached(|_| Some(96), 100), 0);
    assert_eq!((known.status, known.measured), (Status::Warn, Some(96.0)), "{}", known.sentence);
    assert!(known.remedy.expect("one").contains("--seed random"));
    assert_eq!(repeats(cached(|_| Some(64), 100), 64).status, Status::Pass, "the prefix");
    assert_eq!(repeats(cached(|_| Some(65), 100), 64).status, Status::Pass, "within 1 %");
    assert_eq!(repeats(cached(|_| Some(70), 100), 64).status, Status::Warn);
    assert_eq!(repeats(cached(|_| Some(16), 120), 0).status, Status::Pass, "a chat template");
    assert_eq!(repeats(cached(|_| None, 100), 0).status, Status::Pass, "it does not tell");
    // Every tenth prompt was known.
    let some = |id: u32| Some(if id.is_multiple_of(10) { 96 } else { 0 });
    assert_eq!(repeats(cached(some, 100), 0).status, Status::Warn);
}

#[test]
fn sides_of_a_comparison_are_no_repeats_of_each_other_and_their_cache_is_told() {
    let beside = |facts: &mut RunFacts| facts.also_sent_by = vec!["B".to_owned()];
    let summary = checked(cached(|_| Some(96), 100), &healthy(), beside);
    let check = check_of(&summary, CheckId::Repeats);
    assert_eq!((check.status, check.measured), (Status::Pass, Some(96.0)), "{}", check.sentence);
    assert!(check.sentence.contains("96") && check.sentence.contains("`B` of this comparison"));
    assert_eq!(summary.distribution(Quantity::KvHit).expect("the cache is seen").mean, 0.96);
    // An earlier run is another matter.
    let before = checked(steady(), &healthy(), |facts| {
        use crate::metrics::facts::SentBefore;
        beside(facts);
        let run = SentBefore { run: "monday".into(), started: "2026".into(), seed: 42 };
        facts.sent_before = Some(run);
    });
    assert_eq!(check_of(&before, CheckId::Repeats).status, Status::Warn);
}

#[test]
fn prompts_that_a_run_sent_before_are_warned_of_even_where_the_server_does_not_tell() {
    use crate::metrics::facts::SentBefore;
    let run = || SentBefore { run: "monday".into(), started: "2026".into(), seed: 42 };
    let summary = checked(steady(), &healthy(), |facts| facts.sent_before = Some(run()));
    let check = check_of(&summary, CheckId::Repeats);
    assert_eq!(check.status, Status::Warn);
    assert!(check.sentence.contains("seed 42") && check.sentence.contains("`monday`"), "{check:?}");
    let in_process = checked(cached(|_| Some(96), 100), &healthy(), |facts| {
        facts.target.kind = "local".to_owned();
    });
    assert_eq!(check_of(&in_process, CheckId::Repeats).status, Status::NotApplicable);
}

#[test]
fn a_check_that_is_allowed_is_told_and_counts_a_step_less() {
    use crate::metrics::facts::SentBefore;
    use crate::warning::Code;
    let run = || SentBefore { run: "monday".into(), started: "2026".into(), seed: 42 };
    let warned = |allowed: Vec<Code>| {
        checked(steady(), &healthy(), |facts| {
            facts.sent_before = Some(run());
            facts.allowed.clone_from(&allowed);
        })
    };
    assert_eq!(warned(Vec::new()).verdict, Verdict::ValidWithWarnings);
    let allowed = warned(vec![Code::Repeats]);
    assert_eq!(allowed.verdict, Verdict::Valid);
    let check = check_of(&allowed, CheckId::Repeats);
    assert!(check.allowed && check.status == Status::Warn, "it is still told: {check:?}");
    let stray = Health { stray_ends: 1, ..healthy() };
    let failed = |allowed: Vec<Code>| {
        checked(steady(), &stray, |facts| facts.allowed.clone_from(&allowed)).verdict
    };
    assert_eq!(failed(Vec::new()), Verdict::Invalid);
    assert_eq!(failed(vec![Code::Accounting]), Verdict::ValidWithWarnings);
    assert_eq!(failed(vec![Code::Repeats]), Verdict::Invalid, "another code changes nothing");
}
