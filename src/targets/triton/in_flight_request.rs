//! HOT PATH. One in-flight request: its output so far, its finish reason, and the task or stream that carries it.

use tokio::task::AbortHandle;

use crate::clock::MonoNs;
use crate::record::oddity::Oddity;
use crate::record::request_record::{EngineUse, FinishReason};
use crate::request::spec::Prompt;
use crate::targets::triton::output_counter::OutputCounter;

/// A request that has not ended.
pub struct InFlightRequest {
    pub(super) prompt: Prompt,
    pub(super) max_tokens: u32,
    pub(super) output: OutputCounter,
    pub(super) handed_over: MonoNs,
    /// When something was last sent or received.
    pub(super) last_activity: MonoNs,
    pub(super) begun: bool,
    pub(super) by_user: bool,
    pub(super) streaming: Streaming,
    /// Responses that brought output.
    pub(super) deliveries: u32,
    pub(super) times: Option<[i64; 4]>,
    pub(super) used: Option<EngineUse>,
    pub(super) finish: Option<Finish>,
    pub(super) carrier: Carrier,
}

/// What was asked about the way that tokens come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    /// Tokens one by one, of a model that can.
    Asked,
    /// Tokens one by one, of a model that answers once.
    AskedInVain,
    /// All tokens at once.
    NotAsked,
}

impl Streaming {
    /// Of a request to a model that is decoupled or not.
    pub fn of(asked: bool, is_decoupled: bool) -> Self {
        match (asked, is_decoupled) {
            (true, true) => Self::Asked,
            (true, false) => Self::AskedInVain,
            (false, _) => Self::NotAsked,
        }
    }
}

/// The finish reason of the server.
pub(super) enum Finish {
    Reason(FinishReason),
    Failure(String),
}

/// Task or stream that carries a request; needed to cancel it.
pub enum Carrier {
    /// A task of its own.
    Task(Option<AbortHandle>),
    /// A stream that others share.
    Shared(usize),
}

impl InFlightRequest {
    /// A request that was submitted at `handed_over`.
    pub fn new(
        prompt: Prompt,
        max_tokens: u32,
        output: OutputCounter,
        handed_over: MonoNs,
    ) -> Self {
        Self {
            prompt,
            max_tokens,
            output,
            handed_over,
            last_activity: handed_over,
            begun: false,
            by_user: false,
            streaming: Streaming::Asked,
            deliveries: 0,
            times: None,
            used: None,
            finish: None,
            carrier: Carrier::Task(None),
        }
    }

    /// Says what was asked about the way that its tokens come.
    #[must_use]
    pub fn streamed(self, streaming: Streaming) -> Self {
        Self { streaming, ..self }
    }

    /// Whether its output was not streamed, and came at once.
    pub(super) fn came_in_one_piece(&self) -> bool {
        self.streaming != Streaming::Asked && self.deliveries <= 1
    }

    /// One document is its answer, whatever was asked.
    pub(super) fn comes_whole(&mut self) {
        if self.streaming == Streaming::Asked {
            self.streaming = Streaming::AskedInVain;
        }
    }

    /// What is odd about the way that its tokens came.
    pub(super) fn odd_streaming(&self) -> Option<Oddity> {
        match self.streaming {
            Streaming::AskedInVain => Some(Oddity::NotStreamed),
            Streaming::NotAsked if self.deliveries > 1 => Some(Oddity::StreamedUnasked),
            Streaming::Asked | Streaming::NotAsked => None,
        }
    }

    pub(super) fn abort_task(&self) {
        if let Carrier::Task(Some(task)) = &self.carrier {
            task.abort();
        }
    }
}

/// Parses the finish reasons of the LLM API and vLLM; they send the text `None` while the output goes on.
pub(super) fn finish_of(reason: &[u8]) -> Option<Finish> {
    Some(match reason.to_ascii_lowercase().as_slice() {
        b"length" => Finish::Reason(FinishReason::Length),
        b"stop" => Finish::Reason(FinishReason::EndToken),
        b"abort" | b"error" | b"cancelled" | b"canceled" | b"timeout" | b"failed" => {
            Finish::Failure(format!(
                "the server ended the request with finish_reason `{}`",
                String::from_utf8_lossy(reason)
            ))
        }
        _ => return None,
    })
}
