//! HOT PATH. Reading of one response, from the bytes of its body to its end.

use crate::network::sse::{MAX_EVENT, SseReader};
use crate::record::event::TokenHash;
use crate::record::oddity::Oddity;
use crate::record::request_record::{EngineTimes, FinishReason, TokenSource};
use crate::request::{Failure, FailureKind};
use crate::targets::bad_answer::{Api, SHOWN, end_of_first, shown};
use crate::targets::openai::bad_answer::{NOT_OPENAI, NOTHING_CAME, short_of};
use crate::targets::openai::beside_answers::{BYTE_ORDER_MARK, is_before_a_body};
use crate::targets::openai::chunk::Finish;
use crate::targets::openai::options::CountTokens;
use crate::targets::openai::response_progress::{Closing, NOTHING, Output, Progress};
use crate::targets::openai::running_usage::RunningUsage;

/// How the bytes of a response ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEnd {
    /// Properly, by HTTP's framing.
    Clean,
    /// The connection broke.
    Broken(String),
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

impl ResponseReader {
    /// Resets for the next response and keeps the memory.
    pub fn restart(&mut self, usage: RunningUsage) {
        self.reader.restart();
        self.progress.restart(usage);
        self.document.clear();
        self.shape = Shape::Unknown;
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
            Some(b'<') => return Err(Api::OpenAi.web_page(bytes)),
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
        self.progress.take_belated()
    }

    /// Output since the last call, if any. Where neither ids nor usage say how many tokens a chunk holds, `count` does.
    #[inline]
    pub fn take_output(&mut self, count: Option<&CountTokens>) -> Option<Output> {
        self.progress.take_output(count)
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
        second.map_or(Ok(()), |at| Err(Api::OpenAi.not_json(&self.document, at)))
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
            return Api::OpenAi.no_event(&self.document);
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
            return Err(Api::OpenAi.web_page(body));
        }
        if body.trim_ascii().is_empty() {
            return Err(Api::OpenAi.no_event(body));
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
