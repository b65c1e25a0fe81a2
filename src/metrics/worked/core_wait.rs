//! Check `host_core_wait` on records made by hand.

use super::validity::{check_of, checked, status, steady};
use super::*;
use crate::metrics::summary::{Check, CheckId, Status};
use crate::observe::long_waits::{LongWait, LongWaits};

#[test]
fn a_wait_for_a_core_that_moves_no_number_beyond_its_interval_is_no_warning() {
    let waited = Health { core_wait: Some(0.08), ..healthy() };
    assert_eq!(status(steady(), &waited, CheckId::HostCoreWait), Status::Warn);
    // The median of latencies between 20 and 79 ms is known to a quarter.
    let mut scattered = steady();
    for (place, (record, arrivals)) in scattered.iter_mut().enumerate() {
        let later = Nanos::from_millis((place as i64 * 37) % 60);
        for stamp in [&mut record.first_token, &mut record.last_token, &mut record.end] {
            *stamp = stamp.map(|at| at + later);
        }
        for (order, arrival) in arrivals.iter_mut().enumerate() {
            arrival.at = arrival.at + later + Nanos(order as i64 * later.0 / 4);
        }
        record.last_token = arrivals.last().map(|arrival| arrival.at);
        record.end = record.last_token;
    }
    assert_eq!(status(scattered, &waited, CheckId::HostCoreWait), Status::Pass);
}

/// The steady run in a window of 2 s of which requests are in flight in 1.2 s, with so much wait of an engine's thread.
fn engine_wait(seconds: f64) -> Check {
    let health = Health { engine_core_wait_s: Some(seconds), core_wait: Some(0.001), ..healthy() };
    check_of(&checked(steady(), &health, |_| ()), CheckId::HostCoreWait).clone()
}

#[test]
fn the_wait_of_an_engines_thread_is_weighed_against_the_time_in_which_it_had_requests() {
    // 60 requests of 20 ms, one after the other.
    let caught = engine_wait(0.0601);
    assert_eq!(caught.status, Status::Warn, "{caught:?}");
    assert!(caught.sentence.contains("the engine in this process"), "{}", caught.sentence);
    assert!(caught.remedy.is_some_and(|remedy| remedy.contains("--threads")));
    let clean = engine_wait(0.0599);
    assert_eq!((clean.status, clean.remedy), (Status::Pass, None));
    assert_eq!(engine_wait(5.0).measured, Some(1.0), "no more than all of it");
}

#[test]
fn where_the_engine_waits_less_the_harness_is_spoken_of() {
    let check = engine_wait(0.0);
    assert_eq!((check.status, check.measured), (Status::Pass, Some(0.001)));
    assert!(check.sentence.contains("of the harness"), "{}", check.sentence);
}

#[test]
fn noise_does_not_widen_what_it_may_do_beyond_a_tenth() {
    let scattered = |waited| {
        let mut rows = steady();
        for (place, (record, arrivals)) in rows.iter_mut().enumerate() {
            let later = Nanos::from_millis((place as i64 * 37) % 600);
            for stamp in [&mut record.first_token, &mut record.last_token, &mut record.end] {
                *stamp = stamp.map(|at| at + later);
            }
            for arrival in arrivals {
                arrival.at = arrival.at + later;
            }
        }
        // Medians of TTFT and latency are known to a third, and those of TPOT exactly: only the former count here.
        for (record, arrivals) in &mut rows {
            arrivals.truncate(1);
            record.last_token = record.first_token;
            record.end = record.first_token;
            record.output_tokens = 1;
        }
        let health = Health { core_wait: Some(waited), ..healthy() };
        check_of(&checked(rows, &health, |_| ()), CheckId::HostCoreWait).clone()
    };
    assert_eq!((scattered(0.1).status, scattered(0.1).limit), (Status::Pass, Some(0.1)));
    assert_eq!(scattered(0.11).status, Status::Warn);
}

/// So many requests in 6 s, of which each takes so many milliseconds to its second and last token.
fn many(requests: u32, latency: f64) -> Vec<Played> {
    let request = |id| {
        let from = f64::from(id) * 6_000.0 / f64::from(requests) + 1.0;
        played(id, from, &[(from + latency / 2.0, 1), (from + latency, 1)])
    };
    (0..requests).map(request).collect()
}

/// These requests, while threads waited so often in 6 s for so many milliseconds or longer.
fn long_waits(rows: Vec<Played>, at_least_ms: f64, times: u64) -> Check {
    let counts = vec![LongWait { at_least_ms, times }];
    let waits = LongWaits { seconds: 6.0, counts };
    let health = Health { long_waits: Some(waits), core_wait: Some(0.001), ..healthy() };
    check_of(&checked(rows, &health, |_| ()), CheckId::HostCoreWait).clone()
}

#[test]
fn long_waits_are_a_warning_where_more_than_one_in_a_hundred_may_have_met_one() {
    // Each request takes 10 ms: 6 waits in 6 s meet 1.0 % of them, 7 meet 1.2 %.
    let caught = long_waits(many(700, 10.0), 3.0, 7);
    assert_eq!(caught.status, Status::Warn, "{caught:?}");
    let said = "1.17 times a second: 1.17 % of the latencies may be longer";
    assert!(caught.sentence.contains(said), "{}", caught.sentence);
    assert!(caught.remedy.is_some());
    assert_eq!(long_waits(many(700, 10.0), 3.0, 5).status, Status::Pass);
}

#[test]
fn a_few_long_waits_say_nothing_of_how_often_they_come() {
    let status = |times| long_waits(many(700, 100.0), 30.0, times).status;
    assert_eq!([status(4), status(5)], [Status::Pass, Status::Warn]);
}

#[test]
fn a_percentile_that_its_sample_does_not_certify_is_not_judged() {
    // Of 100 requests the 90th percentile is the highest that is certified: one in ten must have met a wait.
    assert_eq!(long_waits(many(100, 20.0), 3.0, 28).status, Status::Pass);
    let caught = long_waits(many(100, 20.0), 3.0, 32);
    assert!(caught.status == Status::Warn && caught.sentence.contains("p90"), "{caught:?}");
    assert_eq!(long_waits(many(40, 20.0), 3.0, 100).status, Status::Pass);
}

#[test]
fn a_long_wait_that_the_percentile_bears_is_none() {
    // Latencies of 400 ms are known to 1 % at best, 4 ms.
    let status = |at_least_ms| long_waits(many(700, 400.0), at_least_ms, 6).status;
    assert_eq!([status(1.5), status(50.0)], [Status::Pass, Status::Warn]);
}
