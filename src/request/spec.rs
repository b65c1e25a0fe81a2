//! Specification of one request: prompt, output length, sampling.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::request::exchange::Exchange;
use crate::request::terms::Terms;

/// One request, ready to be sent: the same value goes to an engine and to a server.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestSpec {
    /// What is sent.
    pub prompt: Prompt,
    /// What goes with it.
    pub beside: Beside,
    /// How much is asked back.
    pub output: OutputSpec,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Deliver tokens as they come (`true`), or all at the end.
    pub streaming: bool,
    /// Higher first, where the target knows priorities; 0.5 is the executor's default.
    pub priority: f32,
    /// Task id of the LoRA adapter that it asks for.
    pub adapter: Option<u64>,
    /// What else it asks for, shared by all requests of a plan.
    pub terms: Arc<Terms>,
}

/// A prompt: token ids; text too where the workload was drawn as text; text alone where a server counts what nobody here can.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Token ids in the target's vocabulary; empty only where the text alone is known.
    pub ids: Arc<[u32]>,
    /// The text that re-tokenises to exactly `ids`, where there are any.
    pub text: Option<Arc<str>>,
}

impl Prompt {
    /// Length in tokens; 0 where the text alone is known.
    pub fn tokens(&self) -> u32 {
        self.ids.len() as u32
    }
}

/// What a request carries beside its prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Beside {
    /// Nothing: one text or one list of ids.
    #[default]
    Nothing,
    /// The other texts of a batch of embeddings; the documents whose order is asked for.
    Texts(Arc<[Prompt]>),
    /// What was asked and answered before, as messages of their own.
    Exchanges(Arc<[Exchange]>),
    /// Images, each as a URL: of its data, or of where it lies.
    Images(Arc<[Arc<str>]>),
}

impl RequestSpec {
    /// Tokens of all texts; 0 where the texts alone are known.
    pub fn prompt_tokens(&self) -> u32 {
        let others: u32 = match &self.beside {
            Beside::Texts(texts) => texts.iter().map(Prompt::tokens).sum(),
            Beside::Exchanges(before) => {
                before.iter().map(|it| it.asked.tokens() + it.answered.tokens()).sum()
            }
            Beside::Nothing | Beside::Images(_) => 0,
        };
        self.prompt.tokens() + others
    }
}

/// How many tokens are asked for, and what may end the output earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// At most this many; at least 1, and 0 where no text is asked for.
    pub max_tokens: u32,
    /// No end token before this many; 0 for no minimum.
    pub min_tokens: u32,
    /// Never stop on an end token: every output has exactly `max_tokens`.
    pub ignore_eos: bool,
}

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// `None` is greedy.
    pub temperature: Option<f32>,
    /// Cumulative probability to sample from.
    pub top_p: Option<f32>,
    /// Number of candidates to sample from.
    pub top_k: Option<u32>,
    /// Seed of this request.
    pub seed: u64,
}

impl Sampling {
    /// Largest seed that is drawn: servers take 32 bits with a sign, and all targets of a comparison draw with the same one.
    pub const LARGEST_SEED: u64 = 0x7fff_ffff;

    /// The most probable token, always.
    pub const fn greedy(seed: u64) -> Self {
        Self { temperature: None, top_p: None, top_k: None, seed }
    }
}
