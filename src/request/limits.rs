//! Limits of a target: the longest prompt, sequence, batch and queue that it takes.

use serde::{Deserialize, Serialize};

/// What a target allows; `None` where it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Longest prompt in tokens.
    pub max_prompt_tokens: Option<u32>,
    /// Longest prompt and output together.
    pub max_sequence_tokens: Option<u32>,
    /// Token ids are below this.
    pub vocab_size: Option<u32>,
    /// Requests in one batch.
    pub max_batch_size: Option<u32>,
    /// Requests that may wait.
    pub max_queue_size: Option<u32>,
}
