//! Tests of batching: joining, priorities, the token budget, and their statistics.

use super::harness::{PICO, config, open, prompt};
use crate::{FinishReason, Request};

#[test]
fn a_short_request_joins_a_running_long_one_and_ends_first() {
    let (engine, recorder) = open(&PICO, config());
    engine.submit(Request::greedy(1, prompt(1, 10), 400)).unwrap();
    recorder.wait_for_tokens(1, 5);
    engine.submit(Request::greedy(2, prompt(2, 10), 16)).unwrap();
    let (short, long) = (recorder.outcome(2), recorder.outcome(1));
    assert!(short.ends[0].at_ns < long.ends[0].at_ns);

    let order = recorder.order();
    let first = order.iter().position(|&id| id == 2).unwrap();
    let last = order.iter().rposition(|&id| id == 2).unwrap();
    let between = order[first..last].iter().filter(|&&id| id == 1).count();
    assert_eq!(between, 15, "one token of the long request with each token of the short one");

    let mut stats = Vec::new();
    engine.statistics().drain(&mut stats);
    let joint = stats
        .iter()
        .filter(|record| record.context_requests == 1 && record.generation_requests == 1)
        .count();
    assert_eq!(
        joint, 1,
        "the short prompt is computed in one pass with a token of the long request"
    );
}

#[test]
fn a_long_prompt_does_not_stop_the_tokens_of_a_running_request() {
    let mut config = config();
    config.max_batch_size = 2;
    config.max_num_tokens = 16;
    let (engine, recorder) = open(&PICO, config);
    engine.submit(Request::greedy(1, prompt(1, 4), 200)).unwrap();
    recorder.wait_for_tokens(1, 3);
    engine.submit(Request::greedy(2, prompt(2, 150), 2)).unwrap();
    recorder.outcome(2);
    recorder.outcome(1);

    let mut stats = Vec::new();
    engine.statistics().drain(&mut stats);
    let chunks: Vec<_> =
        stats.iter().filter(|record| record.context_tokens > 0 && record.active == 2).collect();
    assert_eq!(chunks.len(), 10, "150 tokens in chunks of 15");
    assert!(chunks.iter().all(|record| record.generation_requests == 1));
    assert!(stats.iter().all(|record| record.context_tokens + record.generation_requests <= 16));
}

#[test]
fn the_highest_priority_is_admitted_first() {
    let mut config = config();
    config.max_batch_size = 1;
    let (engine, recorder) = open(&PICO, config);
    recorder.hold();
    engine.submit(Request::greedy(1, [1], 2)).unwrap();
    recorder.wait_until_held();
    for (id, priority) in [(2, 0.0), (3, 0.5), (4, 0.5)] {
        let mut request = Request::greedy(id, [1], 1);
        request.priority = priority;
        engine.submit(request).unwrap();
    }
    recorder.release();
    recorder.outcome(2);
    assert_eq!(recorder.order(), [1, 1, 3, 4, 2]);
}

#[test]
fn a_request_waits_for_kv_blocks_and_runs_once_they_are_free() {
    let mut config = config();
    config.kv_tokens = Some(64);
    let (engine, recorder) = open(&PICO, config);
    recorder.hold();
    engine.submit(Request::greedy(1, prompt(1, 30), 20)).unwrap();
    recorder.wait_until_held();
    engine.submit(Request::greedy(2, prompt(2, 30), 20)).unwrap();
    recorder.release();
    let (first, second) = (recorder.outcome(1), recorder.outcome(2));
    assert_eq!((first.tokens.len(), second.tokens.len()), (20, 20));
    assert!(
        second.ends[0].stamps.first_scheduled_ns.unwrap() >= first.ends[0].at_ns,
        "7 of 8 blocks were reserved"
    );
    assert_eq!(second.ends[0].kv.total_blocks, 7);
}

#[test]
fn statistics_account_for_every_token_and_stamps_are_in_order() {
    let (engine, recorder) = open(&PICO, config());
    for id in 0..6 {
        engine.submit(Request::greedy(id, prompt(id, 20), 5 + id as usize)).unwrap();
    }
    for id in 0..6 {
        let outcome = recorder.outcome(id);
        let end = &outcome.ends[0];
        assert_eq!((end.reason, outcome.tokens.len()), (FinishReason::Length, 5 + id as usize));
        let stamps = end.stamps;
        let reached = [stamps.first_scheduled_ns, stamps.first_token_ns, stamps.last_token_ns]
            .map(Option::unwrap);
        assert!(
            stamps.arrival_ns <= reached[0] && reached.is_sorted() && reached[2] == end.at_ns,
            "{stamps:?}"
        );
    }
    let mut stats = Vec::new();
    engine.statistics().drain(&mut stats);
    assert_eq!(stats.iter().map(|record| record.context_tokens).sum::<usize>(), 6 * 20);
    // The first output token of each request comes with the end of its prompt, the rest from generation.
    assert_eq!(
        stats.iter().map(|record| record.generation_requests).sum::<usize>(),
        (4..10).sum::<usize>()
    );
    assert_eq!(stats.iter().map(|record| record.completed).sum::<usize>(), 6);
    assert!(stats.iter().enumerate().all(|(index, record)| record.iteration == index as u64));
    assert!(
        stats
            .iter()
            .all(|record| record.latency_ns > 0 && record.kv_blocks_used <= record.kv_blocks_max)
    );
}

#[test]
fn an_overwritten_ring_shows_a_gap_and_keeps_the_newest() {
    let mut config = config();
    config.iteration_stats = 4;
    let (engine, recorder) = open(&PICO, config);
    engine.submit(Request::greedy(1, [1], 20)).unwrap();
    recorder.outcome(1);
    let mut stats = Vec::new();
    engine.statistics().drain(&mut stats);
    assert_eq!(stats.iter().map(|record| record.iteration).collect::<Vec<_>>(), [16, 17, 18, 19]);
}
