//! HOT PATH. Progress of one response: what each event added, and how the response ended.

use std::borrow::Cow;

use crate::network::refusal::error_message;
use crate::network::sse::{MAX_EVENT, SseEvent, SseReader};
use crate::record::event::TokenHash;
use crate::record::oddity::Oddity;
use crate::record::request_record::{EngineTimes, FinishReason, TokenSource};
use crate::request::{Failure, FailureKind};
use crate::targets::openai::bad_answer::{
    NOT_OPENAI, NOTHING_CAME, SHOWN, end_of_first, given_up, no_event, not_json, short_of, shown,
    web_page,
};
use crate::targets::openai::beside_answers::{
    BYTE_ORDER_MARK, is_before_a_body, is_end_marker, is_nothing,
};
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

const NOTHING: Output = Output { tokens: 0, hash: TokenHash::EMPTY };

/// How the bytes of a response ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// Properly, by HTTP's framing.
    Clean,
    /// The connection broke.
    Broken(String),
}

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

/// Reader of one response. Reused for the next one, since it holds all memory that a response needs.
#[derive(Debug, Default)]
pub struct ResponseReader {
    reader: SseReader,
    progress: Progress,
    shape: Shape,
    /// A document so far, or the beginning of what is none and no stream of events.
    document: Vec<u8>,
}

/// What a body turned out to be, whatever its head called it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Nothing but white space has come.
    #[default]
    Unknown,
    /// A stream of events.
    Events,
    /// One JSON document.
    Document,
}

#[derive(Debug, Default)]
struct Progress {
    chunk: Chunk,
    text: OutputText,
    unread: Option<Output>,
    /// Tokens of output that was handed out before, which a count told of only then.
    belated: u32,
    counted: u32,
    /// Tokens that were handed out.
    told: u32,
    has_ids: bool,
    has_sound: bool,
    /// Log probabilities list each token.
    has_list: bool,
    /// Tokens that were listed before their text came.
    held_back: u32,
    /// The server's own counts; zeros are ignored.
    usage: RunningUsage,
    /// Our tokenizer's count, delivery by delivery, where nothing else counts them.
    tokens_so_far: TokensSoFar,
    /// The server's own count of the prompt; zeros are ignored.
    prompt: Option<u32>,
    /// What the server found of the prompt in its cache.
    cached: Option<u32>,
    knows_finish: bool,
    finish: Option<Finish>,
    times: Option<EngineTimes>,
    done: bool,
    /// Something came that an answer consists of.
    has_part: bool,
    /// An object came whose words say why there is none.
    complains: bool,
    /// The first object that is no part of an answer.
    stray: Vec<u8>,
}

impl ResponseReader {
    /// Resets for the next response and keeps the memory.
    pub fn restart(&mut self, usage: RunningUsage) {
        self.reader.restart();
        let Progress { chunk, mut text, mut stray, .. } = std::mem::take(&mut self.progress);
        text.restart();
        stray.clear();
        self.document.clear();
        self.shape = Shape::Unknown;
        self.progress = Progress { chunk, text, usage, stray, ..Progress::default() };
    }

    /// Takes the next bytes of a body: a stream of events, or one document, which servers send under each other's name.
    ///
    /// # Errors
    /// When an event is an error, or cannot be understood.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.shape {
            Shape::Events => self.reader.feed(bytes, |event| self.progress.take(event)),
            Shape::Document => self.keep(bytes),
            Shape::Unknown => self.begin(bytes),
        }
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match bytes.iter().find(|byte| !is_before_a_body(**byte)) {
            None => {}
            Some(b'{') => {
                self.shape = Shape::Document;
                return self.keep(bytes);
            }
            Some(b'<') => return Err(web_page(bytes)),
            Some(_) => {
                self.shape = Shape::Events;
                self.document.extend_from_slice(&bytes[..bytes.len().min(SHOWN)]);
            }
        }
        self.reader.feed(bytes, |event| self.progress.take(event))
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.document.extend_from_slice(bytes);
        if self.document.len() <= MAX_EVENT {
            return Ok(());
        }
        let message = format!("the answer is one document of more than {MAX_EVENT} bytes");
        Err(Failure::new(FailureKind::Malformed, message))
    }

    /// Whether one JSON document came in place of a stream.
    #[inline]
    pub fn is_document(&self) -> bool {
        self.shape == Shape::Document
    }

    /// Reads the document that came in place of a stream, as [`Self::whole`] does.
    ///
    /// # Errors
    /// When it was cut off, and as [`Self::whole`].
    pub fn document(
        &mut self,
        end: StreamEnd,
        count: Option<&CountTokens>,
    ) -> Result<(Output, Closing), Failure> {
        if let StreamEnd::Broken(message) = end {
            return Err(Failure::new(FailureKind::Disconnected, message));
        }
        let document = std::mem::take(&mut self.document);
        let read = self.whole(&document, None, count);
        self.document = document;
        read
    }

    /// Tokens that the output handed out last turned out to have beside those that were told of, since the last call.
    #[inline]
    pub fn take_belated(&mut self) -> Option<Output> {
        let tokens = std::mem::take(&mut self.progress.belated);
        self.progress.told = self.progress.told.saturating_add(tokens);
        (tokens > 0).then_some(Output { tokens, ..NOTHING })
    }

    /// Output since the last call, if any. Where neither ids nor usage say how many tokens a chunk holds, `count` does.
    #[inline]
    pub fn take_output(&mut self, count: Option<&CountTokens>) -> Option<Output> {
        let mut output = self.progress.unread.take()?;
        if let Some(count) = count.filter(|_| self.progress.is_uncounted()) {
            output.tokens = self.progress.added_tokens(count);
        }
        self.progress.told = self.progress.told.saturating_add(output.tokens);
        Some(output)
    }

    /// `[DONE]` has come; only the end of the stream is missing.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.progress.done
    }

    /// Whether nothing came that an answer consists of, nor words that say why there is none.
    pub fn is_no_answer(&self) -> bool {
        self.progress.is_no_answer()
    }

    /// Whether what has come so far can still become a document.
    ///
    /// # Errors
    /// When a second object stands behind the first: whatever follows, it is none.
    pub fn is_one_so_far(&self) -> Result<(), Failure> {
        let second = end_of_first(&self.document).filter(|_| self.is_document());
        second.map_or(Ok(()), |at| Err(not_json(&self.document, at)))
    }

    /// Whether the server's counts ran along with the chunks; `None` where no output came.
    pub fn had_running_usage(&self) -> Option<bool> {
        self.progress.usage.was_running()
    }

    /// All text of the answer so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.progress.text.all()).into_owned()
    }

    /// The engine's own stamps, where the server sent them.
    pub fn times(&self) -> Option<EngineTimes> {
        self.progress.times
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// When it ended too early, or empty.
    pub fn close(
        &mut self,
        end: StreamEnd,
        max_tokens: u32,
        count: Option<&CountTokens>,
    ) -> Result<Closing, Failure> {
        let tail = self.reader.end(|event| self.progress.take(event));
        let progress = &self.progress;
        let over = progress.finish.is_some() || progress.done;
        match tail {
            Err(failure) if failure.kind == FailureKind::ErrorInStream => return Err(failure),
            Err(_) if end == StreamEnd::Clean && !over => {
                return Err(Failure::new(FailureKind::Truncated, "the last event is cut off"));
            }
            _ => {}
        }
        if let (StreamEnd::Broken(message), false) = (end, over) {
            return Err(Failure::new(FailureKind::Disconnected, message));
        }
        if progress.is_no_answer() {
            return Err(self.with_words(Failure::new(FailureKind::Empty, NOTHING_CAME)));
        }
        let closing = progress.tally(count).map_err(|failure| self.with_words(failure))?;
        match (progress.finish, progress.done) {
            (Some(finish), _) => Ok(Closing { finish: reason_of(finish), ..closing }),
            (None, true) if closing.tokens.0 >= max_tokens => {
                Ok(Closing { finish: FinishReason::Length, ..closing })
            }
            (None, true) if !progress.knows_finish => Ok(closing),
            (None, done) => {
                let marker = if done { "[DONE] came" } else { "the stream ended" };
                let got = closing.tokens.0;
                let message =
                    format!("{marker} without a finish_reason after {got} of {max_tokens} tokens");
                Err(self.with_words(Failure::new(FailureKind::Truncated, message)))
            }
        }
    }

    /// The failure, with what came that was no part of an answer.
    #[cold]
    fn with_words(&self, failure: Failure) -> Failure {
        if !self.reader.had_event() {
            return no_event(&self.document);
        }
        let Failure { kind, message } = failure;
        let message = match self.progress.stray.as_slice() {
            [] => message,
            stray if self.is_no_answer() => format!("{NOT_OPENAI}: {}", shown(stray)),
            stray => format!("{message}; the server said: {}", shown(stray)),
        };
        Failure::new(kind, message)
    }

    /// Reads a response without streaming; its tokens are one delivery. Where it must hold so many vectors or scores, it does.
    ///
    /// # Errors
    /// When it is an error, cannot be understood, or does not hold what it must.
    pub fn whole(
        &mut self,
        body: &[u8],
        expects: Option<u32>,
        count: Option<&CountTokens>,
    ) -> Result<(Output, Closing), Failure> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        if body.trim_ascii_start().starts_with(b"<") {
            return Err(web_page(body));
        }
        if body.trim_ascii().is_empty() {
            return Err(no_event(body));
        }
        let progress = &mut self.progress;
        progress.take_json(body)?;
        let hash = progress.unread.take().map_or(TokenHash::EMPTY, |output| output.hash);
        let items = progress.chunk.embeddings + progress.chunk.scores;
        if let Some(expected) = expects.filter(|expected| *expected != items) {
            return Err(short_of(items, expected));
        }
        if items > 0 {
            let tokens = (0, TokenSource::Usage);
            let total = progress.chunk.usage.and_then(|usage| usage.total);
            let closing = Closing {
                finish: FinishReason::Unknown,
                tokens,
                mismatch: None,
                // Without output all tokens are of the prompt.
                prompt: progress.prompt.or(total.filter(|count| *count > 0)),
                cached: progress.cached,
                oddity: None,
            };
            return Ok((NOTHING, closing));
        }
        if progress.is_no_answer() {
            let message = format!("{NOT_OPENAI}: {}", shown(body));
            return Err(Failure::new(FailureKind::Empty, message));
        }
        let mut closing = progress.tally(count).map_err(|Failure { kind, message }| {
            Failure::new(kind, format!("{message}: {}", shown(body)))
        })?;
        closing.finish = progress.finish.map_or(FinishReason::Unknown, reason_of);
        // A text in one piece is no token.
        if closing.tokens.1 == TokenSource::Chunks {
            closing.tokens.0 = 0;
            closing.oddity = closing.oddity.or(Some(Oddity::Uncounted));
        }
        Ok((Output { tokens: closing.tokens.0, hash }, closing))
    }
}

impl Progress {
    fn is_no_answer(&self) -> bool {
        !self.has_part && !self.complains && self.counted == 0 && !self.done
    }

    #[inline]
    fn take(&mut self, event: SseEvent<'_>) -> Result<(), Failure> {
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

    #[inline]
    fn take_json(&mut self, json: &[u8]) -> Result<(), Failure> {
        if let Err(bad) = self.chunk.read(json) {
            return Err(not_json(json, bad.at));
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
        let tokens = if self.has_ids { ids.len() as u32 } else { by_usage };
        self.counted += tokens;
        let hash = TokenHash::of(ids.iter().copied());
        let before = self.unread.unwrap_or(NOTHING);
        self.unread = Some(Output {
            tokens: before.tokens.saturating_add(tokens),
            hash: before.hash.then(hash, ids.len() as u32),
        });
    }

    /// Whether neither ids, usage nor log probabilities say how many tokens a chunk has. Sound has none that a tokenizer would find.
    fn is_uncounted(&self) -> bool {
        !self.has_ids && !self.has_sound && !self.has_list && !self.usage.is_running()
    }

    fn added_tokens(&mut self, count: &CountTokens) -> u32 {
        self.tokens_so_far.added(self.text.all(), |text| count(text) as u32)
    }

    /// The number of output tokens by the best available source; the finish reason is filled in later.
    fn tally(&self, count: Option<&CountTokens>) -> Result<Closing, Failure> {
        let ours = count.filter(|_| !self.has_ids).map(|count| {
            let text: Cow<'_, str> = String::from_utf8_lossy(self.text.all());
            count(&text) as u32
        });
        let usage = self.usage.total();
        let tokens = match (usage, ours) {
            _ if self.has_ids => (self.counted, TokenSource::Ids),
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

fn reason_of(finish: Finish) -> FinishReason {
    match finish {
        Finish::Length => FinishReason::Length,
        Finish::Stop => FinishReason::EndToken,
        Finish::Aborted | Finish::Other => FinishReason::Unknown,
    }
}

#[cfg(test)]
#[path = "response_reader_tests.rs"]
mod tests;
