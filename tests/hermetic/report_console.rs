//! Tests of the console report.

use crate::support::left_behind::in_one_line;
use crate::support::report_fixture::{Paper, experiment, sweep};
use bareflight::load::{Arrivals, Load};
use bareflight::report::table;

fn open_loop() -> Paper {
    let load = Load::Open { arrivals: Arrivals::Poisson, rate: 40.0, max_in_flight: None };
    Paper { load, ..Paper::closed(8, 300) }
}

fn place(text: &str, what: &str) -> usize {
    text.find(what).unwrap_or_else(|| panic!("`{what}` is missing in\n{text}"))
}

#[test]
fn when_no_request_completed_the_headline_says_so_and_no_zero_is_printed() {
    let text = table::render(&experiment(&[Paper { fails_every: 1, ..Paper::closed(4, 20) }]));
    place(&text, "no request completed");
    place(&text, "20 failed (queue_full 20)");
    let ttft = text.lines().find(|line| line.contains("TTFT (ms)")).unwrap();
    assert_eq!(ttft.matches('–').count(), 7, "{ttft}");
}

#[test]
fn when_nothing_ran_there_is_no_verdict() {
    let text = table::render(&experiment(&[]));
    place(&text, "none: no run was finished");
    place(&text, "nothing was measured");
}

#[test]
fn an_invalid_point_is_never_the_headline_and_its_remedy_is_printed() {
    let mut lossy = Paper::closed(16, 300);
    lossy.health.dropped_events = 7;
    let text = table::render(&experiment(&[Paper::closed(2, 100), lossy.clone()]));
    place(&text, "INVALID at 1 of 2 points");
    place(&text, "up to 405.8 output tokens/s at concurrency 2");
    place(&text, "invalid[recorder]: ");
    let flowing = in_one_line(&text);
    place(&flowing, "(concurrency 16)");
    place(&text, "    remedy: ");
    place(&table::render(&experiment(&[lossy])), "no number here can be trusted");
}

#[test]
fn sections_stand_in_the_order_in_which_they_should_be_believed() {
    let text = table::render(&sweep());
    let order = [
        "verdict ",
        "headline ",
        "concurrency 1  [SIMULATED]",
        "throughput:",
        "concurrency   requests",
        "notes",
        "files",
    ];
    let places: Vec<usize> = order.iter().map(|what| place(&text, what)).collect();
    assert!(places.is_sorted(), "{places:?}\n{text}");
}

#[test]
fn statistics_stand_in_the_order_that_users_know() {
    let text = table::point(&Paper::closed(1, 30).play(0));
    let header: Vec<&str> = text.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(header, ["avg", "min", "max", "p99", "p90", "p75", "p50"]);
}

#[test]
fn a_percentile_is_marked_until_the_sample_certifies_it() {
    let p99 = |requests| {
        let text = table::point(&Paper::closed(8, requests).play(0));
        let line = text.lines().find(|line| line.contains("TTFT (ms)")).unwrap().to_owned();
        line.split_whitespace().nth(5).unwrap().to_owned()
    };
    assert!(p99(661).starts_with('~'));
    // More than the floor of 662: requests that tell of each other count as fewer.
    assert!(!p99(2_000).starts_with('~'));
}

#[test]
fn an_open_loop_is_also_timed_from_the_intended_arrival_and_a_closed_one_is_not() {
    place(&table::point(&open_loop().play(0)), "from intended (ms)");
    assert!(!table::point(&Paper::closed(8, 30).play(0)).contains("intended"));
}

#[test]
fn what_was_not_streamed_has_no_row_for_first_tokens() {
    let text = table::render(&experiment(&[Paper { streaming: false, ..Paper::closed(2, 40) }]));
    assert!(!text.contains("TTFT (ms)"), "{text}");
    place(&text, "Request latency (ms)");
    place(&text, "output was not streamed");
}

#[test]
fn every_heading_says_what_a_reader_must_not_overlook() {
    let run = Paper { simulated: false, complete: false, ..Paper::closed(2, 40) };
    let text = table::render(&experiment(&[run]));
    assert_eq!(text.matches("[INCOMPLETE, DUMMY WEIGHTS]").count(), 2, "{text}");
    place(&text, "INCOMPLETE: the run did not end as planned");
    place(&text, "headline  none: no valid point is complete");
}

#[test]
fn goodput_is_printed_only_where_bounds_were_given() {
    let bounded = Paper { slos: "ttft<60ms,itl<40ms", ..Paper::closed(8, 50) };
    place(&table::point(&bounded.play(0)), "goodput ");
    assert!(!table::point(&Paper::closed(8, 50).play(0)).contains("goodput"));
}

#[test]
fn nothing_is_wider_than_a_hundred_columns() {
    let open =
        Paper { slos: "ttft<400ms,itl<40ms", fails_every: 9, complete: false, ..open_loop() };
    // Seconds of prefill under a batch of a thousand: latencies with many digits.
    let slow = Paper::closed(1_024, 2_048);
    for experiment in [sweep(), experiment(&[open]), experiment(&[slow])] {
        for line in table::render(&experiment).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn points_that_were_printed_one_by_one_and_the_conclusion_are_the_whole_report() {
    let experiment = sweep();
    let (whole, conclusion) = (table::render(&experiment), table::conclusion(&experiment));
    for line in conclusion.lines().chain(table::point(&experiment.points[3]).lines()) {
        assert!(whole.contains(line), "{line}");
    }
    assert!(!conclusion.contains("TPOT"));
}
