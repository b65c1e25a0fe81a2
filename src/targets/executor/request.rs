//! Conversion of a shot to a request of the executor.

use std::sync::Arc;

use crate::ffi::engine::{EngineError, RequestHead, Sequences};
use crate::load::plan::Shot;
use crate::request::terms::{Terms, TokenSequences};
use crate::request::{Failure, FailureKind};

/// Settings of the target that every request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerRequest {
    /// Ask for the engine's own stamps.
    pub perf_metrics: bool,
    /// The token that ends an output where end tokens are not ignored; -1 for none.
    pub end_id: i32,
}

/// Converts a shot; its prompt is the whole buffer of the call.
pub(super) fn head_of(shot: &Shot, per_request: PerRequest) -> RequestHead {
    let request = &shot.request;
    let terms = &request.terms;
    RequestHead {
        id: u64::from(shot.id.0),
        prompt_start: 0,
        prompt_len: request.prompt.tokens(),
        draft_start: 0,
        draft_len: 0,
        max_tokens: request.output.max_tokens as i32,
        min_tokens: request.output.min_tokens as i32,
        end_id: if request.output.ignore_eos { -1 } else { per_request.end_id },
        pad_id: per_request.end_id,
        streaming: request.streaming,
        perf_metrics: per_request.perf_metrics,
        priority: request.priority,
        beam_width: terms.beam_width.map_or(0, |beams| beams as i32),
        min_p: terms.min_p.unwrap_or(0.0),
        repetition_penalty: terms.repetition_penalty.unwrap_or(0.0),
        presence_penalty: terms.presence_penalty.unwrap_or(0.0),
        frequency_penalty: terms.frequency_penalty.unwrap_or(0.0),
        length_penalty: terms.length_penalty.unwrap_or(0.0),
        lora_task: request.adapter.unwrap_or(0),
        top_k: request.sampling.top_k.map_or(0, |k| k as i32),
        top_p: request.sampling.top_p.unwrap_or(0.0),
        temperature: request.sampling.temperature.unwrap_or(-1.0),
        seed: request.sampling.seed,
        // A time below a millisecond must not become 0, which means no limit.
        allotted_ms: terms.allotted.map_or(0, |time| (time.0 / 1_000_000).max(1)),
    }
}

/// Stop words and bad words that the executor has. They are the same for all requests of a plan, so they cross the bridge once.
#[derive(Debug, Default)]
pub(super) struct WordLists(Option<Arc<Terms>>);

impl WordLists {
    /// Calls `set` with the stop words and the bad words if they differ from those that the executor has.
    pub(super) fn update(
        &mut self,
        terms: &Arc<Terms>,
        set: impl FnOnce(&Sequences, &Sequences) -> Result<(), EngineError>,
    ) -> Result<(), Failure> {
        if self.0.as_ref().is_some_and(|current| Arc::ptr_eq(current, terms)) {
            return Ok(());
        }
        let flat =
            |words: Option<&TokenSequences>| words.map_or_else(Sequences::default, sequences);
        let (stop, bad) = (flat(terms.stop_words.as_ref()), flat(terms.bad_words.as_ref()));
        set(&stop, &bad).map_err(|error| Failure::new(FailureKind::Engine, error.to_string()))?;
        self.0 = Some(Arc::clone(terms));
        Ok(())
    }
}

/// Flattens token sequences for the bridge.
pub(in crate::targets) fn sequences(words: &TokenSequences) -> Sequences {
    let mut flat = Sequences::default();
    for word in words.iter() {
        flat.tokens.extend(word.iter().map(|id| *id as i32));
        flat.ends.push(flat.tokens.len() as u32);
    }
    flat
}

/// A greedy request that streams, for tests to change.
#[cfg(test)]
pub(super) fn plain_head(id: u64, prompt_len: u32, max_tokens: i32) -> RequestHead {
    RequestHead {
        id,
        prompt_start: 0,
        prompt_len,
        draft_start: 0,
        draft_len: 0,
        max_tokens,
        min_tokens: 0,
        end_id: -1,
        pad_id: -1,
        streaming: true,
        perf_metrics: true,
        priority: 0.5,
        top_k: 0,
        top_p: 0.0,
        temperature: -1.0,
        seed: id,
        beam_width: 0,
        min_p: 0.0,
        repetition_penalty: 0.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        length_penalty: 0.0,
        lora_task: 0,
        allotted_ms: 0,
    }
}
