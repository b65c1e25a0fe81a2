//! HOT PATH. What the events of one response have added: output, counts, and the words of what is no part of an answer.

use std::borrow::Cow;

use crate::network::refusal::error_message;
use crate::network::sse::SseEvent;
use crate::record::event::TokenHash;
use crate::record::oddity::Oddity;
use crate::record::request_record::{EngineTimes, FinishReason, TokenSource};
use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::{Api, SHOWN};
use crate::targets::openai::bad_answer::{NOTHING_CAME, given_up};
use crate::targets::openai::beside_answers::{is_end_marker, is_nothing};
use crate::targets::openai::chunk::{Chunk, Finish};
use crate::targets::openai::options::CountTokens;
use crate::targets::openai::output_text::OutputText;
use crate::targets::openai::running_usage::RunningUsage;
use crate::tokenizer::tokens_so_far::TokensSoFar;

/// Output that one read added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Tokens.
    pub tokens: u32,
    /// Their hash, where ids came.
    pub hash: TokenHash,
}

/// No output.
pub const NOTHING: Output = Output { tokens: 0, hash: TokenHash::EMPTY };

/// Counts and finish reason of a completed response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Why it stopped.
    pub finish: FinishReason,
    /// Number of output tokens, and the source of that count.
    pub tokens: (u32, TokenSource),
    /// The server's count and our tokenizer's, where they differ.
    pub mismatch: Option<(u32, u32)>,
    /// How many prompt tokens the server counted.
    pub prompt: Option<u32>,
    /// How many of them it found in its cache.
    pub cached: Option<u32>,
    /// What is odd about the answer.
    pub oddity: Option<Oddity>,
}

/// What the events of one response have added.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) chunk: Chunk,
    pub(super) text: OutputText,
    pub(super) unread: Option<Output>,
    /// Tokens of output that was handed out before, which a count told of only then.
    belated: u32,
    counted: u32,
    /// Tokens that were handed out.
    told: u32,
    has_ids: bool,
    /// Chunks with new text and without ids, behind chunks that had some.
    without_ids: u32,
    has_sound: bool,
    /// Log probabilities list each token.
    has_list: bool,
    /// Tokens that were listed before their text came.
    held_back: u32,
    /// The server's own counts; zeros are ignored.
    pub(super) usage: RunningUsage,
    /// Our tokenizer's count, delivery by delivery, where nothing else counts them.
    tokens_so_far: TokensSoFar,
    /// The server's own count of the prompt; zeros are ignored.
    pub(super) prompt: Option<u32>,
    /// What the server found of the prompt in its cache.
    pub(super) cached: Option<u32>,
    pub(super) knows_finish: bool,
    pub(super) finish: Option<Finish>,
    pub(super) times: Option<EngineTimes>,
    pub(super) done: bool,
    /// Something came that an answer consists of.
    has_part: bool,
    /// An object came whose words say why there is none.
    complains: bool,
    /// The first object that is no part of an answer.
    pub(super) stray: Vec<u8>,
}

impl Progress {
    /// Begins with the next response, and keeps the memory.
    pub fn restart(&mut self, usage: RunningUsage) {
        let Self { chunk, mut text, mut stray, .. } = std::mem::take(self);
        text.restart();
        stray.clear();
        *self = Self { chunk, text, usage, stray, ..Self::default() };
    }

    /// Tokens that the output handed out last turned out to have beside those that were told of, since the last call.
    #[inline]
    pub fn take_belated(&mut self) -> Option<Output> {
        let tokens = std::mem::take(&mut self.belated);
        self.told = self.told.saturating_add(tokens);
        (tokens > 0).then_some(Output { tokens, ..NOTHING })
    }

    /// Output since the last call, if any. Where neither ids nor usage say how many tokens a chunk holds, `count` does.
    #[inline]
    pub fn take_output(&mut self, count: Option<&CountTokens>) -> Option<Output> {
        let mut output = self.unread.take()?;
        if let Some(count) = count.filter(|_| self.is_uncounted()) {
            output.tokens = self.added_tokens(count);
        }
        self.told = self.told.saturating_add(output.tokens);
        Some(output)
    }

    /// Whether nothing came that an answer consists of, nor words that say why there is none.
    pub fn is_no_answer(&self) -> bool {
        !self.has_part && !self.complains && self.counted == 0 && !self.done
    }

    /// Takes an event.
    ///
    /// # Errors
    /// When it is an error, or cannot be understood.
    #[inline]
    pub fn take(&mut self, event: SseEvent<'_>) -> Result<(), Failure> {
        if event.is_error {
            return Err(Failure::new(FailureKind::ErrorInStream, error_message(event.data)));
        }
        if self.done || is_nothing(event.data) {
            return Ok(());
        }
        if is_end_marker(event.data) {
            self.done = true;
            return Ok(());
        }
        // An event with a name of its own, such as `ping`, is part of an answer only where it is an object.
        if event.is_named && !event.data.trim_ascii_start().starts_with(b"{") {
            return Ok(());
        }
        self.take_json(event.data)
    }

    /// Takes one object.
    ///
    /// # Errors
    /// As [`Self::take`].
    #[inline]
    pub fn take_json(&mut self, json: &[u8]) -> Result<(), Failure> {
        if let Err(bad) = self.chunk.read(json) {
            return Err(Api::OpenAi.not_json(json, bad.at));
        }
        if self.chunk.is_error {
            return Err(Failure::new(FailureKind::ErrorInStream, error_message(json)));
        }
        if self.chunk.finish == Some(Finish::Aborted) {
            return Err(given_up(json));
        }
        self.knows_finish |= self.chunk.knows_finish;
        self.finish = self.chunk.finish.or(self.finish);
        self.times = self.chunk.times.or(self.times);
        let usage = self.chunk.usage.and_then(|usage| usage.completion).filter(|count| *count > 0);
        let prompt = self.chunk.usage.and_then(|usage| usage.prompt).filter(|count| *count > 0);
        self.prompt = prompt.or(self.prompt);
        self.cached = self.chunk.usage.and_then(|usage| usage.cached).max(self.cached);
        if self.chunk.has_output() {
            self.take_chunk_output(usage);
        } else {
            self.take_usage_alone(usage);
            self.held_back = self.held_back.saturating_add(self.chunk.listed);
            self.has_part |= self.chunk.is_part();
            if self.chunk.has_nothing() {
                self.complains |= self.chunk.complains();
            }
            if !self.chunk.is_part() && self.stray.is_empty() {
                self.stray.extend_from_slice(&json[..json.len().min(SHOWN)]);
            }
        }
        Ok(())
    }

    /// A count in an event of its own, of the output before it or of that behind it.
    fn take_usage_alone(&mut self, usage: Option<u32>) {
        let untold = self.unread.map_or(0, |output| output.tokens);
        let before = self.told.saturating_add(self.belated).saturating_add(untold);
        let is_over = self.finish.is_some() || self.has_ids;
        let more = self.usage.take(usage, (before, untold), is_over);
        match &mut self.unread {
            Some(unread) => unread.tokens = unread.tokens.saturating_add(more),
            None => self.belated = self.belated.saturating_add(more),
        }
        self.counted = self.counted.saturating_add(more);
    }

    #[inline]
    fn take_chunk_output(&mut self, usage: Option<u32>) {
        let has_text = !self.chunk.text.is_empty() && self.text.take(&self.chunk.text);
        let is_new = has_text || self.chunk.has_sound;
        let ids = &self.chunk.token_ids;
        self.has_ids |= !ids.is_empty();
        self.has_sound |= self.chunk.has_sound;
        self.has_list |= self.chunk.listed > 0;
        // Several outputs where one was asked for are a token each.
        let new = if is_new {
            let listed = self.chunk.listed.saturating_add(std::mem::take(&mut self.held_back));
            listed.max(self.chunk.outputs).max(1)
        } else {
            0
        };
        let by_usage = self.usage.tokens_of(usage, new, self.counted);
        let tokens = match ids.len() as u32 {
            0 if self.has_ids => {
                self.without_ids += new.min(1);
                match self.without_ids {
                    _ if self.ids_are_whole() => 0,
                    // The first one without ids was none as long as it was the only one.
                    2 if new > 0 => new + 1,
                    _ => new,
                }
            }
            0 => by_usage,
            ids => ids,
        };
        self.counted += tokens;
        let hash = TokenHash::of(ids.iter().copied());
        let before = self.unread.unwrap_or(NOTHING);
        self.unread = Some(Output {
            tokens: before.tokens.saturating_add(tokens),
            hash: before.hash.then(hash, ids.len() as u32),
        });
    }

    /// Whether ids came and stand for all tokens. Text that was held back may follow the last of them without one of its own.
    const fn ids_are_whole(&self) -> bool {
        self.has_ids && self.without_ids < 2
    }

    /// Whether neither ids, usage nor log probabilities say how many tokens a chunk has. Sound has none that a tokenizer would find.
    fn is_uncounted(&self) -> bool {
        !self.has_ids && !self.has_sound && !self.has_list && !self.usage.is_running()
    }

    fn added_tokens(&mut self, count: &CountTokens) -> u32 {
        self.tokens_so_far.added(self.text.all(), |text| count(text) as u32)
    }

    /// The number of output tokens by the best available source; the finish reason is filled in later.
    ///
    /// # Errors
    /// [`FailureKind::Empty`] where there is none.
    pub fn tally(&self, count: Option<&CountTokens>) -> Result<Closing, Failure> {
        // A server that counts more than it gave ids of gave not all; an end token may be counted and not given.
        let usage = self.usage.total();
        let by_ids = self.ids_are_whole() && usage.is_none_or(|usage| usage <= self.counted + 1);
        let ours = count.filter(|_| !by_ids).map(|count| {
            let text: Cow<'_, str> = String::from_utf8_lossy(self.text.all());
            count(&text) as u32
        });
        let tokens = match (usage, ours) {
            _ if by_ids => (self.counted, TokenSource::Ids),
            (Some(usage), _) => (usage, TokenSource::Usage),
            (None, _) if self.has_list => (self.counted, TokenSource::Usage),
            (None, Some(ours)) if self.counted > 0 && ours > 0 => (ours, TokenSource::Retokenized),
            (None, _) => (self.counted, TokenSource::Chunks),
        };
        if tokens.0 == 0 {
            return Err(Failure::new(FailureKind::Empty, NOTHING_CAME));
        }
        let mismatch = usage.zip(ours).filter(|(usage, ours)| usage != ours);
        let (prompt, cached) = (self.prompt, self.cached);
        let has_no_token = self.counted > 0 && ours == Some(0);
        let oddity = has_no_token.then_some(Oddity::NoTokensInText);
        Ok(Closing { finish: FinishReason::Unknown, tokens, mismatch, prompt, cached, oddity })
    }
}
