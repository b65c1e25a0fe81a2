//! State of one drafted request: rounds of draft and verification until its output is complete.
//!
//! Draft-target speculative decoding (Leviathan et al., 2023; `draft_tokens_external` in TensorRT-LLM): in each round a small
//! engine proposes tokens, and one step of the large one accepts those it would have chosen itself, and adds one of its own.

use std::sync::Arc;

use crate::clock::MonoNs;
use crate::ffi::engine::RequestHead;
use crate::record::event::Ending;
use crate::record::request_record::{EngineTimes, EngineUse, FinishReason};
use crate::request::terms::Terms;

/// Bits of an executor's id that hold the request's own; above them is its round, so that a late response of an earlier round
/// is recognised.
const ID_BITS: u32 = 32;

/// Which of the two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The small one, which proposes.
    Draft,
    /// The large one, which decides.
    Target,
}

/// One call of one of the engines; `head` says where prompt and drafts are in `tokens`.
#[derive(Debug, Clone)]
pub(super) struct EngineCall {
    pub(super) side: Side,
    pub(super) head: RequestHead,
    pub(super) tokens: Vec<i32>,
}

/// The next step of a request.
#[derive(Debug)]
pub(super) enum Next {
    /// A call of an engine.
    Call(EngineCall),
    /// The request is over.
    End(Ending),
}

/// One request between two engines.
#[derive(Debug)]
pub(super) struct DraftedRequest {
    /// Head of the request as a whole.
    head: RequestHead,
    terms: Arc<Terms>,
    /// Deadline of the allotted time.
    deadline: Option<MonoNs>,
    /// Most draft tokens per round.
    most_drafts: usize,
    /// Prompt, and the output so far.
    tokens: Vec<i32>,
    drafts: Vec<i32>,
    delivered: usize,
    round: u32,
    side: Side,
    cancelled: bool,
    times: EngineTimes,
    counts: EngineUse,
}

impl DraftedRequest {
    /// A request with this prompt, before its first call.
    pub(super) fn new(
        head: RequestHead,
        prompt: Vec<i32>,
        terms: Arc<Terms>,
        most_drafts: u32,
        now: MonoNs,
    ) -> Self {
        let deadline = (head.allotted_ms > 0).then(|| MonoNs(now.0 + head.allotted_ms * 1_000_000));
        Self {
            head,
            terms,
            deadline,
            most_drafts: most_drafts as usize,
            delivered: prompt.len(),
            tokens: prompt,
            drafts: Vec::new(),
            round: 0,
            side: Side::Draft,
            cancelled: false,
            times: EngineTimes::default(),
            counts: EngineUse::default(),
        }
    }

    /// The first call.
    pub(super) fn begin(&mut self, now: MonoNs) -> Next {
        self.next_round(now)
    }

    /// The engine that has it now, and the id that this engine uses for it.
    pub(super) fn place(&self) -> (Side, u64) {
        (self.side, self.head.id | u64::from(self.round) << ID_BITS)
    }

    /// Marks it as cancelled; it ends with the next response.
    pub(super) fn cancel(&mut self) {
        self.cancelled = true;
    }

    /// Whether it was cancelled.
    pub(super) const fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Stamps and counts of the engines: those of the draft engine until the first token, then the target's.
    pub(super) const fn engine_report(&self) -> (EngineTimes, EngineUse) {
        (self.times, self.counts)
    }

    /// Takes the draft engine's tokens.
    pub(super) fn drafted(
        &mut self,
        drafts: &[i32],
        ended: Ending,
        times: EngineTimes,
        now: MonoNs,
    ) -> Next {
        // Its tokens are proposals: none of them is the first or the last of the output.
        self.take_times(EngineTimes { first_token: None, last_token: None, ..times });
        if let Some(over) = self.is_over(ended) {
            return Next::End(over);
        }
        self.drafts.extend_from_slice(drafts);
        self.call_target(now)
    }

    /// Takes the target's tokens: the output so far, complete or not.
    pub(super) fn verified(
        &mut self,
        tokens: &[i32],
        ended: Ending,
        times: EngineTimes,
        counts: EngineUse,
        now: MonoNs,
    ) -> Next {
        self.take_times(times);
        let before = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        let stopped = self.end_of_stop_words(before);
        self.tokens.truncate(stopped.unwrap_or(usize::MAX));
        self.take_counts(counts, before);
        self.drafts.clear();
        if stopped.is_some() {
            return Next::End(Ending::Completed(FinishReason::StopWords));
        }
        if let Ending::Completed(FinishReason::EndToken | FinishReason::StopWords) = ended {
            return Next::End(ended);
        }
        if self.left() == 0 {
            return Next::End(Ending::Completed(FinishReason::Length));
        }
        match self.is_over(ended) {
            Some(over) => Next::End(over),
            // A step that adds nothing ends the request.
            None if tokens.is_empty() => Next::End(Ending::Completed(FinishReason::Unknown)),
            None => {
                self.round += 1;
                self.next_round(now)
            }
        }
    }

    /// Output that was not reported yet. A request that does not stream reports none before its end.
    pub(super) fn take_output(&mut self, is_over: bool) -> Vec<u32> {
        if !self.head.streaming && !is_over {
            return Vec::new();
        }
        let from = std::mem::replace(&mut self.delivered, self.tokens.len());
        self.tokens[from..].iter().map(|token| *token as u32).collect()
    }

    fn generated(&self) -> usize {
        self.tokens.len() - self.head.prompt_len as usize
    }

    /// Tokens that may still come.
    fn left(&self) -> usize {
        (self.head.max_tokens.max(0) as usize).saturating_sub(self.generated())
    }

    /// An early end.
    fn is_over(&self, ended: Ending) -> Option<Ending> {
        match ended {
            Ending::Completed(_) => self.cancelled.then_some(Ending::Cancelled),
            other => Some(other),
        }
    }

    /// The last token is never worth a draft.
    fn next_round(&mut self, now: MonoNs) -> Next {
        let drafts = self.most_drafts.min(self.left().saturating_sub(1));
        if drafts == 0 {
            return self.call_target(now);
        }
        self.side = Side::Draft;
        self.ask(drafts, now, |head| {
            // An end token is for the target to choose.
            head.end_id = -1;
            head.min_tokens = 0;
            head.lora_task = 0;
        })
    }

    fn call_target(&mut self, now: MonoNs) -> Next {
        self.side = Side::Target;
        let step = self.drafts.len() + 1;
        let least = (self.head.min_tokens.max(0) as usize).saturating_sub(self.generated());
        let (start, count) = (self.tokens.len() as u32, self.drafts.len() as u32);
        let mut next = self.ask(step, now, |head| {
            head.min_tokens = least.min(step) as i32;
            (head.draft_start, head.draft_len) = (start, count);
        });
        if let Next::Call(call) = &mut next {
            call.tokens.extend_from_slice(&self.drafts);
        }
        next
    }

    fn ask(&self, tokens: usize, now: MonoNs, change: impl FnOnce(&mut RequestHead)) -> Next {
        let allotted_ms = match self.deadline {
            Some(deadline) if deadline <= now => return Next::End(Ending::TimedOut),
            Some(deadline) => ((deadline.0 - now.0) / 1_000_000).max(1),
            None => 0,
        };
        let (side, id) = self.place();
        // An executor draws from the beginning of a seed with each request.
        let afresh = if draws(&self.head) { u64::from(self.round) << ID_BITS } else { 0 };
        let mut head = RequestHead {
            id,
            seed: self.head.seed.wrapping_add(afresh),
            prompt_len: self.tokens.len() as u32,
            max_tokens: tokens as i32,
            streaming: false,
            allotted_ms,
            ..self.head
        };
        change(&mut head);
        Next::Call(EngineCall { side, head, tokens: self.tokens.clone() })
    }

    /// Where the output ends if one of its stop words was completed since `before`: the engine sees no word that began in an
    /// earlier round.
    fn end_of_stop_words(&self, before: usize) -> Option<usize> {
        let words = self.terms.stop_words.as_ref()?;
        let prompt = self.head.prompt_len as usize;
        let least = prompt + self.head.min_tokens.max(0) as usize;
        (before + 1..=self.tokens.len()).filter(|end| *end >= least).find(|end| {
            let output = &self.tokens[prompt..*end];
            words.iter().any(|word| {
                output.len() >= word.len()
                    && output[output.len() - word.len()..]
                        .iter()
                        .zip(word)
                        .all(|(token, wanted)| *token as u32 == *wanted)
            })
        })
    }

    fn take_times(&mut self, times: EngineTimes) {
        let known = &mut self.times;
        known.arrival = known.arrival.or(times.arrival);
        known.first_scheduled = known.first_scheduled.or(times.first_scheduled);
        known.first_token = known.first_token.or(times.first_token);
        known.last_token = times.last_token.or(known.last_token);
    }

    /// Blocks are those of the first round: what later ones find is what earlier ones have left. Drafts are counted by
    /// comparing them with what came of them.
    fn take_counts(&mut self, reported: EngineUse, before: usize) {
        let kept = &self.tokens[before..];
        let accepted = self.drafts.iter().zip(kept).take_while(|(draft, token)| draft == token);
        let blocks = if self.round == 0 { reported } else { self.counts };
        self.counts = EngineUse {
            draft_tokens: self.counts.draft_tokens + self.drafts.len() as u32,
            accepted_draft_tokens: self.counts.accepted_draft_tokens + accepted.count() as u32,
            ..blocks
        };
    }
}

/// Whether tokens are drawn, and not just the most probable ones.
fn draws(head: &RequestHead) -> bool {
    head.top_k > 1 || head.top_p > 0.0 || head.temperature > 0.0
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
