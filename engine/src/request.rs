//! A request to the engine: token ids, and how to generate.

use std::sync::Arc;

use crate::error::SubmitError;

/// How the next token is chosen from the logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampling {
    /// The largest logit; the lowest id on a tie.
    Greedy,
    /// Softmax at `temperature` over the `top_k` largest logits (0: all), cut to the smallest set whose probability reaches
    /// `top_p` (1: all). The same `seed`, prompt and model give the same tokens. A temperature of 0 is greedy.
    TopKTopP { temperature: f32, top_k: usize, top_p: f32, seed: u64 },
}

/// One request. `id` is chosen by the caller and may be used again once the request has ended.
#[derive(Debug, Clone)]
pub struct Request {
    pub id: u64,
    /// Token ids, all below the vocabulary size.
    pub prompt: Arc<[u32]>,
    /// Output tokens at most. Clamped to what fits beside the prompt (`max_seq_len`, KV capacity); the request then ends with
    /// `Length`.
    pub max_tokens: usize,
    /// End tokens are not chosen before this many output tokens.
    pub min_tokens: usize,
    /// End tokens do not end the request.
    pub ignore_eos: bool,
    /// Higher is admitted first; equal priorities in order of arrival.
    pub priority: f32,
    pub sampling: Sampling,
}

impl Request {
    /// A greedy request with fixed output length: end tokens are ignored.
    pub fn greedy(id: u64, prompt: impl Into<Arc<[u32]>>, max_tokens: usize) -> Request {
        Request {
            id,
            prompt: prompt.into(),
            max_tokens,
            min_tokens: 0,
            ignore_eos: true,
            priority: 0.0,
            sampling: Sampling::Greedy,
        }
    }

    /// Whether a model with `vocab_size` entries and room for `max_total` tokens can run this.
    pub(crate) fn check(&self, vocab_size: usize, max_total: usize) -> Result<(), SubmitError> {
        if self.prompt.is_empty() {
            return Err(SubmitError::EmptyPrompt);
        }
        if self.max_tokens == 0 {
            return Err(SubmitError::ZeroMaxTokens);
        }
        if self.prompt.len() >= max_total {
            return Err(SubmitError::PromptTooLong {
                tokens: self.prompt.len(),
                limit: max_total.saturating_sub(1),
            });
        }
        if let Some(index) = self.prompt.iter().position(|&token| token as usize >= vocab_size) {
            return Err(SubmitError::TokenOutOfVocabulary {
                index,
                token: self.prompt[index],
                vocab_size,
            });
        }
        self.sampling.check()
    }
}

impl Sampling {
    fn check(&self) -> Result<(), SubmitError> {
        let Sampling::TopKTopP { temperature, top_p, .. } = *self else {
            return Ok(());
        };
        if !temperature.is_finite() || temperature < 0.0 {
            return Err(SubmitError::InvalidSampling {
                reason: "temperature must be a finite number, 0 or above",
            });
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(SubmitError::InvalidSampling {
                reason: "top_p must lie above 0 and not above 1",
            });
        }
        Ok(())
    }
}
