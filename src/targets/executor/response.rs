//! HOT PATH. Conversion of the executor's responses to endings, failures, times and counts of ours.

use crate::clock::MonoNs;
use crate::ffi::engine::{Delivery, Poller, Rejection, RejectionKind};
use crate::record::event::Ending;
use crate::record::request_record::{EngineTimes, EngineUse, FinishReason};
use crate::request::{Failure, FailureKind};

/// `executor::FinishReason`, as numbered in TensorRT-LLM's types.h.
pub(super) mod finish {
    pub const END_ID: i32 = 1;
    pub const STOP_WORDS: i32 = 2;
    pub const LENGTH: i32 = 3;
    pub const TIMED_OUT: i32 = 4;
    pub const CANCELLED: i32 = 5;
}

/// Failure of a request that never entered the executor.
pub(super) fn failure_of(rejection: Rejection) -> Failure {
    let kind = match rejection.kind {
        RejectionKind::QueueFull => FailureKind::QueueFull,
        RejectionKind::ShutDown => FailureKind::ShutDown,
        RejectionKind::Invalid => FailureKind::Refused,
        _ => FailureKind::Engine,
    };
    Failure::new(kind, rejection.message)
}

/// Failure of a request inside the executor.
pub(super) fn failure_in(poller: &Poller, delivery: &Delivery) -> Failure {
    let message = match poller.error(delivery) {
        Ok(message) => message.to_owned(),
        Err(error) => error.to_string(),
    };
    let kind = if message.contains("exceeds maximum input length") {
        FailureKind::Refused
    } else {
        FailureKind::Engine
    };
    Failure::new(kind, message)
}

/// Ending of a final delivery that is no error.
pub(super) fn ending_of(delivery: &Delivery) -> Ending {
    match delivery.finish_reason {
        finish::END_ID => Ending::Completed(FinishReason::EndToken),
        finish::STOP_WORDS => Ending::Completed(FinishReason::StopWords),
        finish::LENGTH => Ending::Completed(FinishReason::Length),
        finish::TIMED_OUT => Ending::TimedOut,
        finish::CANCELLED => Ending::Cancelled,
        0 => Ending::Completed(FinishReason::Unknown),
        other => Ending::Completed(FinishReason::Other(other)),
    }
}

/// The executor's own stamps.
pub(super) fn times_of(ending: &crate::ffi::engine::Ending) -> EngineTimes {
    let stamp = |ns: i64| (ns != 0).then_some(MonoNs(ns));
    EngineTimes {
        arrival: stamp(ending.arrival_ns),
        first_scheduled: stamp(ending.first_scheduled_ns),
        first_token: stamp(ending.first_token_ns),
        last_token: stamp(ending.last_token_ns),
    }
}

/// The executor's own counts.
pub(super) fn use_of(ending: &crate::ffi::engine::Ending) -> EngineUse {
    let reused = ending.kv_reused_blocks.max(0) as u32;
    // Without block reuse there are no look-ups, and both counts stay at 0.
    let missed = u32::try_from(ending.kv_missed_blocks).ok();
    EngineUse {
        kv_total_blocks: ending.kv_total_blocks.max(0) as u32,
        kv_new_blocks: ending.kv_new_blocks.max(0) as u32,
        kv_reused_blocks: reused,
        kv_missed_blocks: missed.filter(|missed| reused + missed > 0),
        draft_tokens: ending.draft_tokens.max(0) as u32,
        accepted_draft_tokens: ending.accepted_draft_tokens.max(0) as u32,
    }
}
