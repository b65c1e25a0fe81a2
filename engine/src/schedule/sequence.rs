//! State of a running request: its tokens, its blocks, its computed length, and when it ends.

use crate::delivery::{FinishReason, Stamps};
use crate::inbox::Arrival;
use crate::kv::BlockTable;
use crate::request::Sampling;
use crate::sampling::Draws;

pub(crate) struct Sequence {
    pub id: u64,
    /// Prompt, then output.
    pub tokens: Vec<u32>,
    prompt_len: usize,
    /// Tokens whose keys and values are in the cache.
    pub computed: usize,
    pub table: BlockTable,
    /// Output tokens at most, clamped to what fits.
    max_output: usize,
    min_output: usize,
    ignore_eos: bool,
    pub sampling: Sampling,
    pub draws: Draws,
    pub stamps: Stamps,
}

impl Sequence {
    /// `reused_tokens` at the beginning of the prompt are computed already.
    pub(crate) fn new(
        arrival: Arrival,
        table: BlockTable,
        reused_tokens: usize,
        max_output: usize,
    ) -> Sequence {
        let Arrival { request, arrival_ns } = arrival;
        let mut tokens = Vec::with_capacity(request.prompt.len() + max_output);
        tokens.extend_from_slice(&request.prompt);
        Sequence {
            id: request.id,
            tokens,
            prompt_len: request.prompt.len(),
            computed: reused_tokens,
            table,
            max_output,
            min_output: request.min_tokens,
            ignore_eos: request.ignore_eos,
            sampling: request.sampling,
            draws: Draws::new(request.sampling),
            stamps: Stamps {
                arrival_ns,
                first_scheduled_ns: None,
                first_token_ns: None,
                last_token_ns: None,
            },
        }
    }

    /// Tokens that are known and not computed; at least 1 while the request runs.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    pub(crate) fn is_generating(&self) -> bool {
        self.computed >= self.prompt_len
    }

    /// End tokens that must not be chosen now.
    pub(crate) fn masked<'a>(&self, eos: &'a [u32]) -> &'a [u32] {
        if self.tokens.len() - self.prompt_len < self.min_output { eos } else { &[] }
    }

    /// Appends an output token; the reason if it was the last.
    pub(crate) fn append(&mut self, token: u32, at_ns: i64, eos: &[u32]) -> Option<FinishReason> {
        self.tokens.push(token);
        self.stamps.first_token_ns.get_or_insert(at_ns);
        self.stamps.last_token_ns = Some(at_ns);
        if !self.ignore_eos && eos.contains(&token) {
            Some(FinishReason::EndToken)
        } else if self.tokens.len() - self.prompt_len == self.max_output {
            Some(FinishReason::Length)
        } else {
            None
        }
    }
}
