//! Worked examples of latencies.

use super::*;
use crate::metrics::Percentile;
use crate::record::oddity::Oddity;
use crate::record::request_record::{EngineTimes, EngineUse, OtherCounts};

/// Due at 0, sent at 2; an empty chunk at 5, one token each at 10 and 20, two at 40, an empty chunk at 42.
fn typical() -> Played {
    let mut request = played(0, 2.0, &[(5.0, 0), (10.0, 1), (20.0, 1), (40.0, 2), (42.0, 0)]);
    request.0.intended = Some(at(0.0));
    request.0.ready = Some(at(0.5));
    request
}

#[test]
fn every_latency_of_one_request_is_what_its_formula_says() {
    let summary = summary(vec![typical()]);
    let mean = |quantity| mean(&summary, quantity);
    assert_eq!(mean(Quantity::Ttft), Some(8.0));
    assert_eq!(mean(Quantity::TtftIntended), Some(10.0));
    assert_eq!(mean(Quantity::E2e), Some(38.0));
    assert_eq!(mean(Quantity::E2eIntended), Some(40.0));
    assert_eq!(mean(Quantity::StreamClose), Some(2.0));
    assert_eq!(mean(Quantity::Tpot), Some(10.0));
    assert_eq!(mean(Quantity::Itl), Some(10.0));
    assert_eq!(mean(Quantity::Icl), Some(15.0));
    assert_eq!(mean(Quantity::Stall), Some(20.0));
    assert_eq!(mean(Quantity::NormLatency), Some(10.0));
    assert_eq!(mean(Quantity::PerUser), Some(100.0));
    assert_eq!(mean(Quantity::OutputTokens), Some(4.0));
    assert_eq!(mean(Quantity::PromptTokens), Some(100.0));
    assert_eq!(mean(Quantity::ScheduleLag), Some(1.5));
}

#[test]
fn engine_stamps_split_a_request_and_leave_the_overhead() {
    let mut request = typical();
    request.0.stamp_source = StampSource::Engine;
    request.0.engine_times = Some(EngineTimes {
        arrival: Some(at(3.0)),
        first_scheduled: Some(at(4.0)),
        first_token: Some(at(9.0)),
        last_token: Some(at(38.0)),
    });
    let summary = summary(vec![request]);
    let mean = |quantity| mean(&summary, quantity);
    assert_eq!(mean(Quantity::Queue), Some(1.0));
    assert_eq!(mean(Quantity::Prefill), Some(5.0));
    assert_eq!(mean(Quantity::Decode), Some(29.0));
    assert_eq!(mean(Quantity::OverheadTtft), Some(2.0));
    assert_eq!(mean(Quantity::PullLag), Some(2.0));
}

#[test]
fn a_run_without_engine_stamps_has_no_engine_side_latency_rather_than_zero() {
    let summary = summary(vec![typical()]);
    for quantity in [Quantity::Queue, Quantity::Prefill, Quantity::Decode, Quantity::OverheadTtft] {
        assert_eq!(summary.distribution(quantity), None, "{quantity:?}");
    }
    assert_eq!(summary.distribution(Quantity::PullLag), None);
}

#[test]
fn the_engines_own_counts_give_shares_and_nothing_where_it_counted_nothing() {
    let counted = |id: u32, counts: EngineUse| {
        let mut request = played(id, 0.0, &[(10.0, 1)]);
        request.0.engine_use = Some(counts);
        request
    };
    let reusing = EngineUse {
        kv_reused_blocks: 3,
        kv_missed_blocks: Some(1),
        draft_tokens: 8,
        accepted_draft_tokens: 2,
        ..EngineUse::default()
    };
    let untold = EngineUse { kv_reused_blocks: 3, ..EngineUse::default() };
    let summary = summary(vec![counted(0, reusing), counted(1, untold), played(2, 0.0, &[])]);
    for (quantity, share) in [(Quantity::KvHit, 0.75), (Quantity::DraftAcceptance, 0.25)] {
        let values = summary.distribution(quantity).unwrap();
        assert_eq!((values.count, values.mean), (1, share), "{quantity:?}");
    }
}

#[test]
fn what_a_server_says_of_its_cache_is_a_share_of_the_prompt_as_it_counts_it() {
    let told = |id: u32, prompt, cached| {
        let mut request = played(id, 0.0, &[(10.0, 1)]);
        request.0.other_counts = OtherCounts { recounted: None, prompt, cached };
        request
    };
    let hit = |request: Played| mean(&summary(vec![request]), Quantity::KvHit);
    assert_eq!(hit(told(0, Some(128), Some(32))), Some(0.25));
    assert_eq!(hit(told(0, None, Some(25))), Some(0.25), "of 100 planned ones");
    assert_eq!(hit(told(0, Some(100), Some(0))), Some(0.0));
    assert_eq!(hit(told(0, Some(100), None)), None, "it does not tell");
    assert_eq!(hit(told(0, Some(100), Some(900))), Some(1.0), "never more than all");
}

#[test]
fn speculative_deliveries_count_once_for_each_token_and_show_their_gap_to_the_reader() {
    // Gaps of 30 ms with three tokens each, then one gap of 50 ms with a single token.
    let request = played(0, 0.0, &[(10.0, 1), (40.0, 3), (70.0, 3), (100.0, 3), (150.0, 1)]);
    let summary = summary(vec![request]);
    let itl = summary.distribution(Quantity::Itl).unwrap();
    let icl = summary.distribution(Quantity::Icl).unwrap();
    assert_eq!((itl.count, icl.count), (10, 4));
    // Nine tokens at 10 ms and one at 50 ms, each of which counts.
    assert_eq!(itl.mean, 14.0);
    assert_eq!(itl.std, Some((1_440.0_f64 / 9.0).sqrt()));
    assert_eq!((itl.outliers.below, itl.outliers.above), (0, 1));
    assert_eq!(itl.percentiles[&Percentile::P90].value, 10.0);
    assert_eq!(itl.percentiles[&Percentile::P95].value, 50.0);
    assert_eq!(icl.mean, 35.0);
    assert_eq!(icl.percentiles[&Percentile::P50].value, 30.0);
    assert_eq!(mean(&summary, Quantity::Tpot), Some(14.0));
}

#[test]
fn tokens_that_arrive_together_in_the_first_delivery_do_not_make_tpot_faster() {
    let summary = summary(vec![played(0, 0.0, &[(10.0, 3), (20.0, 1), (30.0, 1)])]);
    assert_eq!(mean(&summary, Quantity::Tpot), Some(10.0));
}

#[test]
fn tokens_within_the_resolution_of_the_stamps_have_no_tpot() {
    let summary = summary(vec![played(0, 0.0, &[(10.0, 1), (10.000_9, 3)])]);
    assert_eq!((mean(&summary, Quantity::Tpot), mean(&summary, Quantity::PerUser)), (None, None));
    assert_eq!(summary.counts.without_tpot, 1);
}

#[test]
fn chunks_that_hold_several_tokens_make_numbers_approximate() {
    let bundled = |tokens| {
        let mut request = played(0, 0.0, &[(10.0, 1), (20.0, 1), (30.0, 1)]);
        request.0.token_source = TokenSource::Usage;
        request.0.output_tokens = tokens;
        summary(vec![request])
    };
    let (exact, approximate) = (bundled(3), bundled(6));
    assert_eq!((exact.approximate, exact.counts.tokens_per_chunk), (false, Some(1.0)));
    assert_eq!((approximate.approximate, approximate.counts.tokens_per_chunk), (true, Some(2.0)));
    // Spread over the chunks, the first one held two.
    assert_eq!(mean(&approximate, Quantity::Tpot), Some(5.0));
    assert_eq!(mean(&approximate, Quantity::Itl), Some(5.0));
    assert!(bundled(2).approximate, "one of three chunks held none, and nothing tells which");
}

#[test]
fn a_request_that_brought_nothing_takes_nothing_from_the_others() {
    let mut empty = played(1, 0.0, &[]);
    (empty.0.output_tokens, empty.0.end) = (5, Some(at(25.0)));
    let summary = summary(vec![played(0, 0.0, &[(10.0, 1), (20.0, 1)]), empty]);
    assert_eq!(summary.counts.deliveries_missing, 0);
    assert_eq!(mean(&summary, Quantity::Itl), Some(10.0));
    assert_eq!(summary.distribution(Quantity::E2e).unwrap().max, 25.0);
    assert_eq!(summary.distribution(Quantity::Ttft).unwrap().count, 1);
}

#[test]
fn an_answer_that_was_not_streamed_has_no_ttft_whatever_was_asked() {
    let mut whole = played(1, 0.0, &[(40.0, 4)]);
    whole.0.oddities = Oddities::NONE.with(Oddity::NotStreamed);
    let all = summary(vec![whole.clone()]);
    assert!(!all.streaming && all.distribution(Quantity::Ttft).is_none());
    let mixed = summary(vec![played(0, 0.0, &[(10.0, 1), (20.0, 1)]), whole]);
    assert!(mixed.streaming);
    assert_eq!(mean(&mixed, Quantity::Ttft), Some(10.0));
    assert_eq!(mixed.counts.oddities[&Oddity::NotStreamed].requests, 1);
}

#[test]
fn an_output_of_one_token_has_a_ttft_and_no_tpot() {
    let summary = summary(vec![played(0, 0.0, &[(10.0, 1), (12.0, 0)])]);
    assert_eq!(mean(&summary, Quantity::Ttft), Some(10.0));
    assert_eq!(mean(&summary, Quantity::E2e), Some(10.0));
    for quantity in
        [Quantity::Tpot, Quantity::Itl, Quantity::Icl, Quantity::Stall, Quantity::PerUser]
    {
        assert_eq!(summary.distribution(quantity), None, "{quantity:?}");
    }
    assert_eq!(summary.counts.without_tpot, 1);
}

#[test]
fn without_streaming_nothing_that_needs_a_first_token_is_reported() {
    let rows = vec![played(0, 0.0, &[(40.0, 4)])];
    let mut facts = facts(closed(), 1_000.0, 1);
    facts.streaming = false;
    let summary = summary_of(rows, &facts);
    for quantity in Quantity::ALL {
        if quantity.definition().needs_streaming {
            assert_eq!(summary.distribution(quantity), None, "{quantity:?}");
        }
    }
    assert_eq!(mean(&summary, Quantity::E2e), Some(40.0));
    assert_eq!(mean(&summary, Quantity::NormLatency), Some(10.0));
}

#[test]
fn a_request_that_failed_keeps_its_place_in_the_counts_and_out_of_the_latencies() {
    let slow = failed(played(1, 0.0, &[(900.0, 1)]));
    let summary = summary(vec![typical(), slow]);
    assert_eq!(mean(&summary, Quantity::Ttft), Some(8.0));
    assert_eq!((summary.counts.completed, summary.counts.failed), (1, 1));
    assert_eq!(summary.counts.failed_by_kind[&FailureKind::HttpServer], 1);
    // How late it was sent says something of the harness, whatever became of it.
    assert_eq!(summary.distribution(Quantity::ScheduleLag).unwrap().count, 2);
}

#[test]
fn a_count_from_the_server_scales_what_its_chunks_were_taken_to_hold() {
    // Three chunks counted as one token each; the server says six tokens.
    let mut request = played(0, 0.0, &[(10.0, 1), (30.0, 1), (50.0, 1)]);
    request.0.output_tokens = 6;
    request.0.token_source = TokenSource::Usage;
    let summary = summary(vec![request]);
    assert_eq!(mean(&summary, Quantity::Itl), Some(10.0));
    assert_eq!(mean(&summary, Quantity::Icl), Some(20.0));
    assert_eq!(summary.counts.output_tokens_in_window, 6);
    assert_eq!(summary.counts.token_count_differs, 1);
}

/// A target that answers in 10 ms, save for one stall of two seconds, asked every 100 ms with one request in flight.
fn run_with_a_stall() -> Vec<Played> {
    let mut free = 0.0_f64;
    (0..600_u32)
        .map(|id| {
            let intended = f64::from(id) * 100.0;
            let submit = intended.max(free);
            let first = submit + if id == 300 { 2_000.0 } else { 8.0 };
            free = first + 2.0;
            let mut request = played(id, submit, &[(first, 1), (free, 1)]);
            request.0.intended = Some(at(intended));
            request
        })
        .collect()
}

#[test]
fn intended_latency_sees_a_stall_that_submit_latency_hides() {
    let load = Load::Open { arrivals: Arrivals::Constant, rate: 10.0, max_in_flight: Some(1) };
    let summary = summary_of(run_with_a_stall(), &facts(load, 60_000.0, 600));
    let p99 = |quantity| summary.percentile(quantity, Percentile::P99).unwrap().value;
    assert_eq!(p99(Quantity::E2e), 10.0);
    assert_eq!(p99(Quantity::Ttft), 8.0);
    // The six worst of 600 waited from 2002 ms down; 90 ms less for each that followed.
    assert_eq!(p99(Quantity::E2eIntended), 2_002.0 - 6.0 * 90.0);
    assert!(p99(Quantity::TtftIntended) > 1_000.0);
    assert_eq!(summary.headline_latency(), Quantity::E2eIntended);
}

#[test]
fn dependence_is_taken_in_order_of_arrival() {
    let at_speed = |id: u32, ms: f64| {
        let from = f64::from(id) * 100.0;
        played(id, from, &[(from + ms, 1)])
    };
    // Slow drift: neighbours are alike. The rows come in another order than they arrived.
    let mut rows: Vec<_> = (0..100).map(|id| at_speed(id, 10.0 + f64::from(id))).collect();
    rows.reverse();
    rows.swap(3, 70);
    let dependence = summary(rows).dependence.unwrap();
    assert!(dependence.lag1_autocorrelation > 0.9, "{dependence:?}");
    assert!(dependence.effective_requests < 10.0, "{dependence:?}");
}

#[test]
fn a_second_count_is_held_against_the_first_and_corrects_nothing() {
    let with_counts = |id: u32, recounted, prompt| {
        let mut request = played(id, 0.0, &[(10.0, 1), (20.0, 1)]);
        request.0.token_source = TokenSource::Usage;
        request.0.other_counts = OtherCounts { recounted, prompt, cached: None };
        request
    };
    let rows = vec![
        with_counts(0, None, None),
        with_counts(1, Some(3), Some(100)),
        with_counts(2, None, Some(117)),
        failed(with_counts(3, Some(9), Some(117))),
    ];
    let summary = summary(rows);
    let counts = &summary.counts;
    assert_eq!((counts.token_mismatches, counts.prompt_token_mismatches), (2, 2));
    assert_eq!(counts.token_sources.iter().collect::<Vec<_>>(), [(&TokenSource::Usage, &3)]);
    assert_eq!(mean(&summary, Quantity::OutputTokens), Some(2.0));
    assert_eq!(mean(&summary, Quantity::PromptTokens), Some(100.0));
}
