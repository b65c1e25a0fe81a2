//! Deliveries of tokens, and the endings of requests.

use serde::Serialize;

/// Receives every delivery, on the engine's loop thread: it must not block, since the whole batch waits for it.
pub trait Sink: Send {
    fn deliver(&mut self, delivery: Delivery<'_>);
}

impl<F: FnMut(Delivery<'_>) + Send> Sink for F {
    fn deliver(&mut self, delivery: Delivery<'_>) {
        self(delivery);
    }
}

/// Output of one iteration for one request. The last delivery of a request, and only that one, carries `end`.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    pub id: u64,
    /// The end of the iteration, the same for all its deliveries; ns of the caller's clock.
    pub at_ns: i64,
    /// New output tokens, an end token included. Empty where a request ends without one (cancelled, error).
    pub tokens: &'a [u32],
    pub end: Option<End<'a>>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub reason: FinishReason,
    /// Set where `reason` is `Error`.
    pub error: Option<&'a str>,
    pub stamps: Stamps,
    pub kv: KvUse,
}

/// Why a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    EndToken,
    Length,
    Cancelled,
    Error,
}

/// The engine's own stamps of one request, ns of the caller's clock; `None` where the request did not get that far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stamps {
    /// When `submit` was called.
    pub arrival_ns: i64,
    /// Start of the first iteration that worked on the prompt.
    pub first_scheduled_ns: Option<i64>,
    pub first_token_ns: Option<i64>,
    pub last_token_ns: Option<i64>,
}

/// KV blocks that a request held at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KvUse {
    pub total_blocks: usize,
    /// Taken over, computed, from an earlier request with the same prefix.
    pub reused_blocks: usize,
    pub new_blocks: usize,
    /// Blocks of the prompt that were not found in the cache; 0 without reuse.
    pub missed_blocks: usize,
}
