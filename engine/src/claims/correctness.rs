//! Tests of the tokens: against an independent implementation, and independent of what else runs.

use super::directory::{families, llama, shard};
use super::harness::{PICO, alone, config, open, prompt};
use super::reference::Reference;
use crate::{EngineConfig, Quantization, Request, Sampling};

/// Each token is the reference's largest logit after the same beginning, except for rounding: logits closer than this tie.
const TIE: f32 = 1e-4;

fn assert_greedy(reference: &Reference, prompt: &[u32], tokens: &[u32], what: &str) {
    let mut so_far = prompt.to_vec();
    for (step, &token) in tokens.iter().enumerate() {
        let logits = reference.logits(&so_far);
        let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let chosen = logits[token as usize];
        assert!(
            best - chosen < TIE,
            "{what}, step {step}: token {token} has {chosen}, the best is {best}"
        );
        so_far.push(token);
    }
}

#[test]
fn greedy_tokens_are_those_of_an_independent_implementation_for_every_family() {
    for (name, model) in families() {
        let prompt: Vec<u32> = prompt(3, 19).iter().map(|token| token % 320).collect();
        let tokens = alone(&model.source(), config(), &prompt, 24);
        assert_eq!(tokens.len(), 24);
        assert!(
            tokens.iter().any(|token| *token != tokens[0]),
            "{name}: a constant output would prove little"
        );
        assert_greedy(&model.reference, &prompt, &tokens, name);
    }
}

#[test]
fn sharded_files_give_the_tokens_of_the_whole_one() {
    let model = llama();
    let before = alone(&model.source(), config(), &[5, 6, 7], 12);
    shard(model.directory.path());
    assert_eq!(alone(&model.source(), config(), &[5, 6, 7], 12), before);
}

#[test]
fn a_request_has_the_same_tokens_alone_and_in_a_busy_batch() {
    for quantization in [Quantization::F32, Quantization::Q8_0] {
        let mut config = config();
        config.quantization = quantization;
        let (engine, recorder) = open(&PICO, config.clone());
        for id in 0..12 {
            engine
                .submit(Request::greedy(id, prompt(id, 3 + 9 * id as usize), 10 + id as usize))
                .unwrap();
        }
        for id in [0, 5, 11] {
            let expected =
                alone(&PICO, config.clone(), &prompt(id, 3 + 9 * id as usize), 10 + id as usize);
            assert_eq!(recorder.outcome(id).tokens, expected, "{quantization:?}, request {id}");
        }
    }
}

#[test]
fn a_prompt_in_chunks_gives_the_tokens_of_a_prompt_at_once() {
    let with_budget = |tokens: usize| {
        let mut config = config();
        config.max_batch_size = 4;
        config.max_num_tokens = tokens;
        config
    };
    let prompt = prompt(8, 150);
    let whole = alone(&PICO, with_budget(1000), &prompt, 16);
    for budget in [4, 7, 64, 149] {
        assert_eq!(alone(&PICO, with_budget(budget), &prompt, 16), whole, "budget {budget}");
    }
}

fn reusing() -> EngineConfig {
    let mut config = config();
    config.block_reuse = true;
    config
}

#[test]
fn reused_blocks_give_the_tokens_of_computed_ones() {
    let (engine, recorder) = open(&PICO, reusing());
    let long = prompt(4, 50);
    let mut other_tail = long.clone();
    other_tail[44] ^= 1;
    engine.submit(Request::greedy(1, long.clone(), 12)).unwrap();
    let first = recorder.outcome(1);
    engine.submit(Request::greedy(2, long, 12)).unwrap();
    engine.submit(Request::greedy(3, other_tail.clone(), 12)).unwrap();
    let (second, third) = (recorder.outcome(2), recorder.outcome(3));

    assert_eq!(first.ends[0].kv.reused_blocks, 0);
    // 49 of 50 prompt tokens may be taken over, in blocks of 8: six; five where token 44 differs.
    assert_eq!(second.ends[0].kv.reused_blocks, 6);
    assert_eq!(first.ends[0].kv.missed_blocks, second.ends[0].kv.missed_blocks + 6);
    assert_eq!(third.ends[0].kv.reused_blocks, 5);
    assert_eq!(second.tokens, first.tokens);
    assert_eq!(third.tokens, alone(&PICO, config(), &other_tail, 12));
}

#[test]
fn the_same_seed_draws_the_same_tokens_and_another_seed_others() {
    let (engine, recorder) = open(&PICO, config());
    for (id, seed) in [(1, 7), (2, 7), (3, 8)] {
        let mut request = Request::greedy(id, [1, 2, 3], 40);
        request.sampling = Sampling::TopKTopP { temperature: 1.0, top_k: 100, top_p: 0.95, seed };
        engine.submit(request).unwrap();
    }
    assert_eq!(recorder.outcome(1).tokens, recorder.outcome(2).tokens);
    assert_ne!(recorder.outcome(1).tokens, recorder.outcome(3).tokens);
}
