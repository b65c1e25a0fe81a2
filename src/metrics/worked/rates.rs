//! Worked examples of rates and counts.

use super::*;
use crate::metrics::Rate;
use crate::metrics::summary::{CheckId, Status};

/// Three requests around a window from 0 to 2 s.
fn around_the_window() -> Vec<Played> {
    vec![
        // Began before: one token at −10 ms is outside, two inside.
        played(0, -50.0, &[(-10.0, 1), (10.0, 1), (30.0, 1)]),
        played(1, 100.0, &[(200.0, 1), (300.0, 3)]),
        // Drained: one token inside; the window's end is no longer part of it.
        played(2, 1_900.0, &[(1_950.0, 1), (2_000.0, 1), (2_100.0, 1)]),
    ]
}

#[test]
fn rates_count_what_lies_in_the_window_and_latencies_take_every_request() {
    let mut facts = facts(closed(), 2_000.0, 3);
    facts.gpus = 2;
    let summary = summary_of(around_the_window(), &facts);
    assert_eq!(summary.rate(Rate::OutputThroughput), Some(7.0 / 2.0));
    assert_eq!(summary.rate(Rate::TotalThroughput), Some(207.0 / 2.0));
    assert_eq!(summary.rate(Rate::RequestThroughput), Some(2.0 / 2.0));
    assert_eq!(summary.rate(Rate::PerGpuOutput), Some(7.0 / 4.0));
    assert_eq!(summary.rate(Rate::PerGpuTotal), Some(207.0 / 4.0));
    assert_eq!(summary.distribution(Quantity::E2e).unwrap().count, 3);
    assert_eq!((summary.counts.completed, summary.counts.completed_in_window), (3, 2));
}

#[test]
fn without_gpus_or_bounds_the_rates_about_them_are_absent() {
    let summary = summary(around_the_window());
    for rate in [Rate::PerGpuOutput, Rate::PerGpuTotal, Rate::Goodput, Rate::GoodFraction] {
        assert_eq!(summary.rate(rate), None, "{rate:?}");
    }
}

#[test]
fn tokens_of_unsuccessful_requests_were_produced_and_are_named() {
    let summary = summary(vec![
        played(0, 0.0, &[(10.0, 1), (20.0, 1)]),
        failed(played(1, 0.0, &[(10.0, 3)])),
        ended(played(2, 0.0, &[(10.0, 2)]), Outcome::Cancelled),
    ]);
    assert_eq!(summary.rate(Rate::OutputThroughput), Some(7.0));
    assert_eq!(summary.counts.output_tokens_in_window, 7);
    assert_eq!(summary.counts.unsuccessful_tokens_in_window, 5);
    assert_eq!(summary.rate(Rate::RequestThroughput), Some(1.0));
}

#[test]
fn goodput_needs_every_bound_and_its_share_is_of_all_that_was_attempted() {
    let rows = vec![
        played(0, 0.0, &[(10.0, 1), (30.0, 1)]),
        // First token too late.
        played(1, 0.0, &[(80.0, 1), (90.0, 1)]),
        // Too slow after it.
        played(2, 0.0, &[(10.0, 1), (60.0, 1)]),
        // Good, and drained after the window.
        played(3, 980.0, &[(990.0, 1), (1_010.0, 1)]),
        // One token at the bound itself: met, and no gap that could be held against the other bound.
        played(4, 0.0, &[(50.0, 1)]),
        failed(played(5, 0.0, &[(10.0, 1), (20.0, 1)])),
        ended(played(6, 0.0, &[(10.0, 1)]), Outcome::TimedOut),
        unsent(7, NotSentReason::Missed),
        unsent(8, NotSentReason::NotReached),
        unsent(9, NotSentReason::Interrupted),
    ];
    let mut facts = facts(closed(), 1_000.0, rows.len());
    facts.slos = "ttft<50ms,itl<20ms".parse().unwrap();
    let summary = summary_of(rows, &facts);
    assert_eq!(summary.counts.attempted, 8);
    assert_eq!(summary.rate(Rate::Goodput), Some(1.0));
    assert_eq!(summary.rate(Rate::GoodFraction), Some(2.0 / 8.0));
    let met: Vec<_> = summary.slos.iter().map(|slo| (slo.met, slo.met_fraction)).collect();
    assert_eq!(met, [(Some(4), Some(0.5)), (Some(3), Some(0.375))]);
    assert_eq!((summary.slos[0].unmeasured, summary.slos[1].unmeasured), (0, 1));
}

#[test]
fn a_bound_on_a_latency_that_the_run_does_not_have_gives_no_goodput() {
    let mut facts = facts(closed(), 1_000.0, 1);
    facts.streaming = false;
    facts.slos = "ttft<50ms,e2e<1s".parse().unwrap();
    let summary = summary_of(vec![played(0, 0.0, &[(10.0, 4)])], &facts);
    assert_eq!((summary.slos[0].met, summary.slos[1].met), (None, Some(1)));
    assert_eq!(summary.rate(Rate::Goodput), None);
    assert_eq!(summary.rate(Rate::GoodFraction), None);
}

#[test]
fn where_all_failed_rates_are_truly_zero_and_latencies_absent() {
    let rows = (0..20).map(|id| failed(played(id, 0.0, &[]))).map(|mut row| {
        row.0.end = Some(at(5.0));
        row
    });
    let mut facts = facts(closed(), 1_000.0, 20);
    facts.slos = "e2e<1s".parse().unwrap();
    let summary = summary_of(rows.collect(), &facts);
    assert_eq!(summary.rate(Rate::OutputThroughput), Some(0.0));
    assert_eq!(summary.rate(Rate::GoodFraction), Some(0.0));
    assert_eq!(summary.distribution(Quantity::E2e), None);
    assert_eq!(summary.dependence, None);
}

#[test]
fn a_run_without_requests_or_without_a_window_has_no_number_that_is_made_up() {
    let summary = summary_of(Vec::new(), &facts(closed(), 0.0, 0));
    assert!(summary.rates.values().all(Option::is_none));
    assert!(summary.distributions.values().all(Option::is_none));
    assert_eq!((summary.window_s, summary.over_time.slices.len()), (None, 0));
    let backwards = summary_of(around_the_window(), &facts(closed(), -5.0, 3));
    assert!(backwards.rates.values().all(Option::is_none));
}

#[test]
fn deliveries_that_were_not_kept_leave_gaps_and_throughput_absent() {
    let mut streamed = played(0, 0.0, &[(10.0, 1), (20.0, 1), (40.0, 1)]);
    streamed.1.clear();
    let summary = summary(vec![streamed, played(1, 0.0, &[(10.0, 1), (20.0, 1)])]);
    assert_eq!(summary.counts.deliveries_missing, 1);
    for quantity in [Quantity::Itl, Quantity::Icl, Quantity::Stall] {
        assert_eq!(summary.distribution(quantity), None, "{quantity:?}");
    }
    assert_eq!(summary.rate(Rate::OutputThroughput), None);
    assert!(summary.over_time.slices.iter().all(|slice| slice.output_tokens_per_s.is_none()));
    // What needs the record alone is still there.
    assert_eq!(summary.distribution(Quantity::Tpot).unwrap().count, 2);
}

#[test]
fn a_single_delivery_is_known_from_the_record_alone() {
    let mut whole = played(0, 0.0, &[(10.0, 4)]);
    whole.1.clear();
    assert_eq!(summary(vec![whole]).rate(Rate::OutputThroughput), Some(4.0));
}

#[test]
fn slices_add_up_to_the_run() {
    // Two slices of 50 ms each way: in flight from 25 ms to 125 ms, one token at 75 and one at 125.
    let rows = vec![played(0, 25.0, &[(75.0, 1), (125.0, 1)])];
    let summary = summary_of(rows, &facts(closed(), 1_000.0, 1));
    let slices = &summary.over_time.slices;
    assert_eq!((summary.over_time.slice_s, slices.len()), (0.05, 20));
    let in_flight: Vec<f64> = slices[..4].iter().map(|slice| slice.in_flight).collect();
    assert_eq!(in_flight, [0.5, 1.0, 0.5, 0.0]);
    assert_eq!(slices[1].ttft_p50_ms, Some(50.0));
    assert_eq!(slices[0].ttft_p50_ms, None);
    let tokens: f64 =
        slices.iter().map(|slice| slice.output_tokens_per_s.unwrap() * slice.length_s).sum();
    assert!((tokens - 2.0).abs() < 1e-9);
    assert_eq!(slices[2].requests_per_s, 20.0);
}

/// The same request as one of another part.
fn of_part(mut request: Played, part: Part) -> Played {
    request.0.part = part;
    request
}

#[test]
fn ramp_and_tail_count_in_rates_and_in_nothing_else() {
    // Measured ones are submitted at 100 and 300 ms: the window.
    let measured = vec![
        played(1, 100.0, &[(150.0, 1), (250.0, 2)]),
        played(2, 300.0, &[(350.0, 1), (450.0, 1)]),
    ];
    let around = vec![
        of_part(played(3, 50.0, &[(90.0, 5), (110.0, 4)]), Part::Ramp),
        of_part(failed(played(4, 60.0, &[(160.0, 2)])), Part::Ramp),
        of_part(played(5, 460.0, &[(500.0, 1), (600.0, 1)]), Part::Tail),
    ];
    let mut facts = facts(closed(), 300.0, 2);
    facts.window.start = at(100.0);
    let summary = summary_of(measured.into_iter().chain(around).collect(), &facts);
    // Tokens at 150, 250, 110 and 160 ms; prompts of those that began there; ends at 250 and 110 ms.
    assert_eq!(summary.rate(Rate::OutputThroughput), Some(9.0 / 0.2));
    assert_eq!(summary.rate(Rate::TotalThroughput), Some(209.0 / 0.2));
    assert_eq!(summary.rate(Rate::RequestThroughput), Some(2.0 / 0.2));
    let counts = &summary.counts;
    assert_eq!((counts.planned, counts.attempted, counts.completed, counts.failed), (2, 2, 2, 0));
    assert_eq!((counts.ramp.sent, counts.ramp.completed), (2, 1));
    assert_eq!((counts.tail.sent, counts.tail.completed), (1, 1));
    let ttft = summary.distribution(Quantity::Ttft).unwrap();
    assert_eq!((ttft.count, ttft.max), (2, 50.0));
    assert_eq!(summary.distribution(Quantity::Icl).unwrap().count, 2);
    let accounting = summary.checks.iter().find(|it| it.id == CheckId::Accounting);
    assert_eq!(accounting.map(|it| it.status), Some(Status::Pass));
    // From 50 to 600 ms, as other benchmarks count.
    let whole = summary.whole_run.expect("something ended");
    assert_eq!((whole.submitted, whole.completed, whole.output_tokens), (5, 4, 18));
    let seconds = whole.window_s.expect("it has a length");
    assert!((seconds - 0.55).abs() < 1e-6);
    assert_eq!(whole.rates[&Rate::OutputThroughput], Some(18.0 / seconds));
}

#[test]
fn prompts_count_as_the_server_counts_them_and_lengths_as_they_were_planned() {
    let mut rows = around_the_window();
    // Of 100 planned ones, with a template of 11; the third one is not counted by the server.
    rows[0].0.other_counts.prompt = Some(111);
    rows[1].0.other_counts.prompt = Some(111);
    let summary = summary_of(rows, &facts(closed(), 2_000.0, 3));
    // The first token of request 0 came before the window.
    assert_eq!(summary.rate(Rate::InputThroughput), Some(211.0 / 2.0));
    assert_eq!(summary.rate(Rate::TotalThroughput), Some(218.0 / 2.0));
    assert_eq!(mean(&summary, Quantity::PromptTokens), Some(100.0));
}

#[test]
fn the_surplus_of_a_template_is_measured_once_and_says_how_constant_it_is() {
    let surplus = |counted: &[Option<u32>]| {
        let rows = counted.iter().zip(0..).map(|(prompt, id)| {
            let mut row = played(id, 0.0, &[(10.0, 1)]);
            row.0.other_counts.prompt = *prompt;
            row
        });
        let found = summary(rows.collect()).counts.prompt_surplus;
        found.map(|it| (it.tokens, it.alike, it.requests))
    };
    assert_eq!(surplus(&[Some(111), Some(111), Some(111)]), Some((11, 3, 3)));
    assert_eq!(surplus(&[Some(100), None]), Some((0, 1, 1)));
    assert_eq!(surplus(&[Some(99), Some(99), Some(140)]), Some((-1, 2, 3)));
    assert_eq!(surplus(&[None, None]), None);
}

#[test]
fn answers_without_output_have_a_rate_of_input_and_none_of_output() {
    let embedding = |id: u32, submit: f64| {
        let mut row = played(id, submit, &[]);
        row.0.end = Some(at(submit + 10.0));
        row
    };
    let rows = vec![embedding(0, 100.0), embedding(1, 1_985.0), embedding(2, 1_995.0)];
    let summary = summary_of(rows, &facts(closed(), 2_000.0, 3));
    assert!(summary.is_without_output());
    assert_eq!(summary.rate(Rate::InputThroughput), Some(200.0 / 2.0));
    assert_eq!(summary.rate(Rate::TotalThroughput), Some(200.0 / 2.0));
    assert_eq!(summary.rate(Rate::RequestThroughput), Some(2.0 / 2.0));
    assert_eq!(summary.rate(Rate::OutputThroughput), None);
    assert_eq!(summary.headline_rate(), Rate::InputThroughput);
    assert_eq!(mean(&summary, Quantity::E2e), Some(10.0));
}
