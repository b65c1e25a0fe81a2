//! Counts of a summary: how requests ended, who counted their tokens, and what was odd about them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::oddity::Oddity;
use crate::record::request_record::TokenSource;
use crate::request::FailureKind;

/// Slots that cancelled requests held: a cancel takes effect when the target comes to it, and until then its slot is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldAfterCancel {
    /// Requests.
    pub requests: u64,
    /// From the cancel to the end, of all of them together. One that was given up counts until then.
    pub total_s: f64,
    /// The longest of these times.
    pub max_s: f64,
}

/// How requests ended. `planned` is the sum of completed, failed, cancelled, timed out and not sent in a sound run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Shots in the plan.
    pub planned: u64,
    /// Requests that count as asked: all but those never reached in a closed loop and those cut off by an interrupt.
    pub attempted: u64,
    /// Handed over to the target.
    pub submitted: u64,
    /// All output arrived.
    pub completed: u64,
    /// Failed, all kinds together.
    pub failed: u64,
    /// Failed, by kind; kinds that did not occur are left out.
    pub failed_by_kind: BTreeMap<FailureKind, u64>,
    /// For each of these kinds, the message of the first request that failed so.
    #[serde(default)]
    #[serde(rename = "failure_words")]
    pub failure_messages: BTreeMap<FailureKind, String>,
    /// Cancelled at the end of the drain or by the user.
    pub cancelled: u64,
    /// Took longer than a request may.
    pub timed_out: u64,
    /// Never submitted, all reasons together.
    pub not_sent: u64,
    /// Not sent: its turn never came in a closed loop.
    pub not_reached: u64,
    /// Not sent: it was due and the harness did not send it.
    pub missed: u64,
    /// Not sent: the run was interrupted before.
    pub interrupted: u64,
    /// Not sent: the target as a whole had failed before.
    pub target_failed: u64,
    /// Not sent, or its record is gone: its worker was lost.
    #[serde(default)]
    pub worker_lost: u64,
    /// Requests before the measured ones, which count in nothing above.
    #[serde(default)]
    pub ramp: PartCounts,
    /// Requests after them, likewise.
    #[serde(default)]
    pub tail: PartCounts,
    /// Completed requests for which TPOT is undefined: all tokens came at one instant, or none came.
    pub without_tpot: u64,
    /// Completed requests whose answer is not what was asked for, by what is odd; what did not occur is left out.
    #[serde(default)]
    pub oddities: BTreeMap<Oddity, OddRequests>,
    /// Output tokens ÷ chunks, over completed requests whose deliveries were not counted one by one: 1 where every token
    /// comes in a chunk of its own; `None` where ids were counted.
    #[serde(default)]
    pub tokens_per_chunk: Option<f64>,
    /// Completed requests whose end lies in the window.
    pub completed_in_window: u64,
    /// Output tokens whose delivery lies in the window, of all requests; rounded.
    pub output_tokens_in_window: u64,
    /// Those of them that belong to requests which did not complete; rounded.
    pub unsuccessful_tokens_in_window: u64,
    /// Requests whose deliveries add up to another number of tokens than the target counted.
    pub token_count_differs: u64,
    /// Completed requests by where their number of output tokens comes from; sources that did not occur are left out.
    pub token_sources: BTreeMap<TokenSource, u64>,
    /// Requests whose output our tokenizer counts otherwise than the server; the server's count stands.
    pub token_mismatches: u64,
    /// Requests whose prompt the server counts otherwise than it was planned; lengths are as planned, throughput as counted.
    pub prompt_token_mismatches: u64,
    /// By how much; `None` where the server counts no prompts.
    #[serde(default)]
    pub prompt_surplus: Option<PromptSurplus>,
    /// Times that a request was sent again, since the server was closing the idle connection that carried it or did not process
    /// the stream.
    #[serde(default)]
    pub resent: u64,
    /// Requests that opened their own connection after they had been submitted, so that their latencies hold it.
    #[serde(default)]
    pub connected_inside: u64,
    /// Requests that the harness had asked the target to end, and that were the target's until it did; of ramp and tail too.
    #[serde(default)]
    pub cancelled_still_running: HeldAfterCancel,
    /// Requests with output of which the deliveries were not kept; ITL, ICL, stall and throughput are then absent.
    pub deliveries_missing: u64,
}

/// By how many tokens a server counts prompts longer than they were planned: a chat template adds the same to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptSurplus {
    /// Completed requests whose prompt the server counts.
    pub requests: u64,
    /// The median of what it counts more, or less where it is below 0.
    pub tokens: i64,
    /// Requests of which it counts exactly that much more.
    pub alike: u64,
}

/// Requests of a part of the run that is not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartCounts {
    /// Handed over to the target.
    pub sent: u64,
    /// Of these, those that completed.
    pub completed: u64,
}

/// Requests that are odd in one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OddRequests {
    /// How many.
    pub requests: u64,
    /// Their output tokens.
    pub output_tokens: u64,
    /// Output tokens that were asked of them.
    pub requested_tokens: u64,
}
