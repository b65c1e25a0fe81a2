//! Tests of endings: each request ends once, with the right reason, and its blocks come back.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::directory::{llama_with, write};
use super::harness::{PICO, alone, config, open, prompt};
use crate::{Delivery, Engine, FinishReason, Request, SubmitError};

#[test]
fn a_running_request_is_cancelled_and_keeps_the_tokens_it_had() {
    let (engine, recorder) = open(&PICO, config());
    engine.submit(Request::greedy(1, prompt(1, 8), 900)).unwrap();
    recorder.wait_for_tokens(1, 3);
    engine.cancel(1);
    engine.cancel(99);
    let outcome = recorder.outcome(1);
    assert_eq!(outcome.ends[0].reason, FinishReason::Cancelled);
    assert!((3..900).contains(&outcome.tokens.len()));
    engine.submit(Request::greedy(1, [1], 1)).expect("its id is free again");
}

#[test]
fn a_queued_request_is_cancelled_without_having_run() {
    let mut config = config();
    config.max_batch_size = 1;
    let (engine, recorder) = open(&PICO, config);
    recorder.hold();
    engine.submit(Request::greedy(1, [1], 3)).unwrap();
    recorder.wait_until_held();
    engine.submit(Request::greedy(2, [1], 3)).unwrap();
    engine.cancel(2);
    recorder.release();
    let (cancelled, other) = (recorder.outcome(2), recorder.outcome(1));
    assert_eq!(cancelled.ends[0].reason, FinishReason::Cancelled);
    assert_eq!((cancelled.tokens.len(), cancelled.ends[0].stamps.first_scheduled_ns), (0, None));
    assert_eq!(other.tokens.len(), 3);
}

#[test]
fn a_full_queue_refuses_and_has_room_again_after_admission() {
    let mut config = config();
    (config.max_batch_size, config.max_queue_size) = (1, 2);
    let (engine, recorder) = open(&PICO, config);
    recorder.hold();
    engine.submit(Request::greedy(1, [1], 2)).unwrap();
    recorder.wait_until_held();
    engine.submit(Request::greedy(2, [1], 2)).unwrap();
    assert_eq!(engine.submit(Request::greedy(2, [1], 2)), Err(SubmitError::IdInUse { id: 2 }));
    engine.submit(Request::greedy(3, [1], 2)).unwrap();
    assert_eq!(engine.submit(Request::greedy(4, [1], 2)), Err(SubmitError::QueueFull { limit: 2 }));
    recorder.release();
    recorder.outcome(3);
    engine.submit(Request::greedy(4, [1], 2)).unwrap();
    assert_eq!(recorder.outcome(4).tokens.len(), 2);
}

#[test]
fn an_end_token_ends_a_request_unless_ignored_and_never_before_min_tokens() {
    let prompt = [3, 1, 4, 1, 5];
    let free = alone(&llama_with(json!({})).source(), config(), &prompt, 30);
    let end_token = free[6];
    let at = free.iter().position(|&token| token == end_token).unwrap();
    let model = llama_with(json!({ "eos_token_id": [end_token, 0] }));
    let (engine, recorder) = open(&model.source(), config());
    assert_eq!(engine.info().eos_token_ids, [end_token, 0]);

    let request = |id, ignore_eos, min_tokens| Request {
        ignore_eos,
        min_tokens,
        ..Request::greedy(id, prompt, 30)
    };
    engine.submit(request(1, false, 0)).unwrap();
    engine.submit(request(2, true, 0)).unwrap();
    engine.submit(request(3, false, 20)).unwrap();
    engine.submit(request(4, false, at)).unwrap();
    engine.submit(request(5, false, at + 1)).unwrap();
    let (ended, ignored, late) = (recorder.outcome(1), recorder.outcome(2), recorder.outcome(3));
    assert_eq!((ended.ends[0].reason, &ended.tokens[..]), (FinishReason::EndToken, &free[..=at]));
    assert_eq!((ignored.ends[0].reason, &ignored.tokens), (FinishReason::Length, &free));
    assert!(late.tokens.len() > 20);
    assert!(
        !late.tokens[..20].contains(&end_token) && !late.tokens[..20].contains(&0),
        "{:?}",
        late.tokens
    );
    assert_eq!(recorder.outcome(4).tokens, free[..=at], "after exactly min_tokens it may end");
    assert!(!recorder.outcome(5).tokens[..=at].contains(&end_token), "one earlier it may not");
}

#[test]
fn generation_config_decides_which_tokens_end() {
    let model = llama_with(json!({}));
    let generation = json!({ "eos_token_id": [7, 8] }).to_string();
    std::fs::write(model.directory.path().join("generation_config.json"), generation).unwrap();
    assert_eq!(crate::inspect(&model.source(), &config()).unwrap().eos_token_ids, [7, 8]);
}

#[test]
fn output_that_does_not_fit_is_clamped_and_ends_with_length() {
    let mut config = config();
    config.kv_tokens = Some(40);
    let (engine, recorder) = open(&PICO, config);
    engine.submit(Request::greedy(1, prompt(1, 30), 1000)).unwrap();
    let outcome = recorder.outcome(1);
    assert_eq!((outcome.ends[0].reason, outcome.tokens.len()), (FinishReason::Length, 10));
    let too_long = engine.submit(Request::greedy(2, prompt(2, 40), 1));
    assert_eq!(too_long, Err(SubmitError::PromptTooLong { tokens: 40, limit: 39 }));
}

#[test]
fn every_request_ends_once_and_all_blocks_come_back_under_random_submits_and_cancels() {
    for block_reuse in [false, true] {
        let mut config = config();
        (config.max_batch_size, config.max_num_tokens, config.max_queue_size) = (5, 40, 20);
        (config.kv_tokens, config.block_reuse) = (Some(400), block_reuse);
        let (engine, recorder) = open(&PICO, config);
        let mut state = 99u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut accepted = Vec::new();
        for id in 0..400 {
            let mut request =
                Request::greedy(id, prompt(draw(4), 1 + draw(90) as usize), 1 + draw(30) as usize);
            request.ignore_eos = draw(2) == 0;
            request.priority = draw(3) as f32;
            match engine.submit(request) {
                Ok(()) => accepted.push(id),
                Err(SubmitError::QueueFull { .. }) => {
                    drop(recorder.outcome(accepted[accepted.len() - 1]))
                }
                Err(other) => panic!("{other}"),
            }
            if draw(3) == 0 {
                engine.cancel(draw(id + 1));
            }
        }
        for &id in &accepted {
            let outcome = recorder.outcome(id);
            assert_eq!((outcome.ends.len(), outcome.deliveries_after_end), (1, 0), "request {id}");
        }
        let mut stats = Vec::new();
        engine.statistics().drain(&mut stats);
        stats.clear();
        engine.submit(Request::greedy(10_000, [1], 1)).unwrap();
        recorder.outcome(10_000);
        engine.statistics().drain(&mut stats);
        let last = stats.last().unwrap();
        assert_eq!(
            (last.kv_blocks_used, last.kv_blocks_reserved, last.queued, last.active),
            (1, 0, 0, 1)
        );
    }
}

#[test]
fn stop_ends_what_runs_and_what_waits_and_refuses_what_comes() {
    let mut config = config();
    config.max_batch_size = 1;
    let (engine, recorder) = open(&PICO, config);
    recorder.hold();
    engine.submit(Request::greedy(1, [1], 900)).unwrap();
    recorder.wait_until_held();
    engine.submit(Request::greedy(2, [1], 900)).unwrap();
    engine.stop();
    assert_eq!(engine.submit(Request::greedy(3, [1], 1)), Err(SubmitError::ShutDown));
    recorder.release();
    engine.shutdown();
    for id in [1, 2] {
        assert_eq!(recorder.outcome(id).ends[0].reason, FinishReason::Cancelled);
    }
}

#[test]
fn broken_weights_end_every_request_with_an_error_and_the_engine_refuses_more() {
    let mut model = llama_with(json!({}));
    model.reference.tensors.get_mut("model.norm.weight").unwrap()[5] = f32::NAN;
    let model =
        write(model.reference, &super::directory::config_json("LlamaForCausalLM", json!({})));
    let (engine, recorder) = open(&model.source(), config());
    engine.submit(Request::greedy(1, [1], 5)).unwrap();
    let end = recorder.outcome(1).ends[0].clone();
    assert_eq!(end.reason, FinishReason::Error);
    assert!(end.error.unwrap().contains("not finite"));
    assert!(matches!(engine.submit(Request::greedy(2, [1], 5)), Err(SubmitError::Failed { .. })));
    engine.shutdown();
}

#[test]
fn a_sink_that_panics_is_an_error_for_all_and_never_a_hang() {
    let ends = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ends);
    let sink = move |delivery: Delivery<'_>| {
        if let Some(end) = delivery.end {
            let error = end.error.unwrap_or_default().to_string();
            seen.lock().unwrap().push((delivery.id, end.reason, error));
        }
        panic!("the sink gave up");
    };
    let mut config = config();
    config.max_queue_size = 8;
    let engine = Engine::open(&PICO, config, Box::new(sink)).unwrap();
    let mut accepted = Vec::new();
    let refusal = (0..).find_map(|id| match engine.submit(Request::greedy(id, [1], 50)) {
        Ok(()) => {
            accepted.push(id);
            std::thread::yield_now();
            None
        }
        Err(SubmitError::QueueFull { .. }) => None,
        Err(refusal) => Some(refusal),
    });
    assert!(matches!(refusal, Some(SubmitError::Failed { .. })), "{refusal:?}");
    engine.shutdown();

    let mut ends = ends.lock().unwrap().clone();
    ends.sort_unstable_by_key(|(id, ..)| *id);
    assert_eq!(ends.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), accepted);
    for (_, reason, error) in ends.iter() {
        assert!(*reason == FinishReason::Error && error.contains("the sink gave up"), "{error}");
    }
}
