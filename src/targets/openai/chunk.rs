//! HOT PATH. One JSON object from an OpenAI-compatible server: a chunk of a stream, or a whole response.
//!
//! Reads only what is measured, in one pass and into memory that is reused. Servers differ in almost everything, so `id`
//! and `model` are ignored, `object` matters only as `error`, and unknown members are skipped.

mod delta;

use std::ops::Range;

use crate::clock::MonoNs;
use crate::record::request_record::EngineTimes;
use crate::targets::openai::json::{BadJson, Kind, RawText, Scanner};
use crate::targets::openai::pattern::Pattern;

/// Finish reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// `length`: as many tokens as were asked for, or as fit.
    Length,
    /// `stop`, or a call of a tool.
    Stop,
    /// A reason that means failure: `abort`, `error`, …
    Aborted,
    /// Any other reason.
    Other,
}

/// The server's own counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens, if given.
    pub prompt: Option<u32>,
    /// Prompt and output tokens together, if given.
    pub total: Option<u32>,
    /// Output tokens, if given.
    pub completion: Option<u32>,
    /// Prompt tokens that were found in a cache, if given.
    pub cached: Option<u32>,
}

/// Contents of one object.
#[derive(Debug, Default, PartialEq)]
pub struct Chunk {
    /// Generated text of every kind (content, reasoning, refusal, arguments of tool calls), in order.
    pub text: Vec<u8>,
    /// Generated token ids, where the server sends them.
    pub token_ids: Vec<u32>,
    /// Tokens whose log probabilities it lists.
    pub listed: u32,
    /// Entries of `choices`.
    pub choices: u32,
    /// There is a member of that name.
    names_choices: bool,
    /// Those of them that hold output.
    pub outputs: u32,
    /// Entries of `data` that hold an embedding.
    pub embeddings: u32,
    /// Entries of `results` that hold a score.
    pub scores: u32,
    /// A choice had the member `finish_reason`, perhaps null.
    pub knows_finish: bool,
    /// The `finish_reason` that was not null.
    pub finish: Option<Finish>,
    /// `usage`, wherever it stood.
    pub usage: Option<Usage>,
    /// It is, or holds, an error object.
    pub is_error: bool,
    /// `x-bareflight-timing`: the engine's stamps, from our own server.
    pub times: Option<EngineTimes>,
    /// It holds sound, which has no text.
    pub has_sound: bool,
    /// Words at the top, as of an error object without that name: `message`, `msg`.
    says: bool,
    /// A code or status beside them that stands for a failure.
    is_fault: bool,
    /// Strings that went into `text`.
    texts: u32,
    /// The last of them, in the JSON; without escapes.
    text_at: Option<Range<usize>>,
    /// The chunk that everything but `text` was parsed from.
    pattern: Pattern,
}

impl Chunk {
    /// Replaces the contents by those of `json`, keeping the memory.
    ///
    /// # Errors
    /// When it is no JSON object.
    #[inline]
    pub fn read(&mut self, json: &[u8]) -> Result<(), BadJson> {
        let Some(text) = self.pattern.text_in(json) else { return self.parse(json) };
        self.text.clear();
        self.text.extend_from_slice(text);
        Ok(())
    }

    fn parse(&mut self, json: &[u8]) -> Result<(), BadJson> {
        let Self { mut text, mut token_ids, mut pattern, .. } = std::mem::take(self);
        text.clear();
        token_ids.clear();
        pattern.forget();
        *self = Self { text, token_ids, pattern, ..Self::default() };
        let mut scan = Scanner::new(json);
        scan.object(|scan, key| self.top(scan, key))?;
        scan.end()?;
        self.is_error |= self.says && self.is_fault && self.has_nothing();
        if let Some(text) = self.text_at.take().filter(|_| self.has_only_text()) {
            self.pattern.learn(json, text);
        }
        Ok(())
    }

    /// Whether chunks of this shape differ only in their text.
    fn has_only_text(&self) -> bool {
        self.texts == 1
            && self.token_ids.is_empty()
            && self.listed == 0
            && self.embeddings == 0
            && self.scores == 0
            && self.finish.is_none()
            && self.usage.is_none()
            && self.times.is_none()
            && !self.has_sound
            && !self.is_error
    }

    /// Whether it carries output.
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.text.is_empty() || !self.token_ids.is_empty() || self.has_sound
    }

    /// Whether nothing that an answer consists of is in it.
    #[inline]
    pub fn has_nothing(&self) -> bool {
        self.choices == 0 && self.embeddings == 0 && self.scores == 0 && self.usage.is_none()
    }

    /// Whether it is a part of an answer: it has a choice, or counts beside an empty list of them.
    #[inline]
    pub const fn is_part(&self) -> bool {
        self.choices > 0 || (self.names_choices && self.usage.is_some())
    }

    /// Whether it holds words, as an error object does.
    pub const fn complains(&self) -> bool {
        self.says
    }

    fn top(&mut self, scan: &mut Scanner<'_>, key: &[u8]) -> Result<(), BadJson> {
        match (key, scan.kind()?) {
            (b"choices", Kind::Array) => {
                self.names_choices = true;
                scan.array(|scan| self.choice(scan))
            }
            (b"usage", Kind::Object) => self.usage(scan),
            (b"data", Kind::Array) => scan.array(|scan| self.datum(scan)),
            (b"results", Kind::Array) => scan.array(|scan| self.result(scan)),
            // Cohere's own place for counts.
            (b"meta", Kind::Object) => scan.object(|scan, key| match (key, scan.kind()?) {
                (b"tokens", Kind::Object) => self.usage(scan),
                _ => scan.skip(),
            }),
            // llama.cpp's own place for what it found in its cache.
            (b"timings", Kind::Object) => self.timings(scan),
            // Groq's own place for counts.
            (b"x_groq", Kind::Object) => scan.object(|scan, key| match (key, scan.kind()?) {
                (b"usage", Kind::Object) => self.usage(scan),
                _ => scan.skip(),
            }),
            // Some servers send the member always, empty where all is well.
            (b"error" | b"errors", _) => {
                self.is_error |= scan.skip_and_judge()?;
                Ok(())
            }
            (b"object" | b"type", Kind::Text) => {
                self.is_error |= scan.text()?.raw == b"error";
                Ok(())
            }
            (b"message" | b"msg" | b"detail" | b"code" | b"status" | b"success", _) => {
                self.complaint(scan, key)
            }
            (b"x-bareflight-timing", Kind::Object) => self.timing(scan),
            _ => scan.skip(),
        }
    }

    /// A member of an error object that does not call itself one, as frameworks and gateways write them.
    fn complaint(&mut self, scan: &mut Scanner<'_>, key: &[u8]) -> Result<(), BadJson> {
        match (key, scan.kind()?) {
            (b"message" | b"msg", Kind::Text) => self.says |= !scan.text()?.raw.is_empty(),
            (b"detail", _) => {
                let is_there = scan.skip_and_judge()?;
                (self.says, self.is_fault) = (self.says || is_there, self.is_fault || is_there);
            }
            (b"code" | b"status", Kind::Number) => {
                self.is_fault |= !matches!(scan.whole_number()?, Some(0 | 200));
            }
            (b"code" | b"status", Kind::Text) => {
                let word = scan.text()?.raw;
                let is_well = ["", "0", "200", "ok", "success"];
                self.is_fault |= !is_well.iter().any(|it| word.eq_ignore_ascii_case(it.as_bytes()));
            }
            (b"success", Kind::Bool) => self.is_fault |= !scan.skip_and_judge()?,
            _ => scan.skip()?,
        }
        Ok(())
    }

    fn choice(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        self.choices += 1;
        if scan.kind()? != Kind::Object {
            return scan.skip();
        }
        let before = (self.text.len(), self.token_ids.len());
        self.members_of_choice(scan)?;
        self.outputs += u32::from((self.text.len(), self.token_ids.len()) != before);
        Ok(())
    }

    fn members_of_choice(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        // Some gateways write one text under two names.
        let mut said = None;
        scan.object(|scan, key| match (key, scan.kind()?) {
            (b"delta" | b"message", Kind::Object) => self.once(&mut said, |it| it.delta(scan)),
            (b"text", Kind::Text) => self.once(&mut said, |it| it.output(scan)),
            (b"token_ids", Kind::Array) => scan.array(|scan| self.token_id(scan)),
            (b"logprobs", Kind::Object) => scan.object(|scan, key| match (key, scan.kind()?) {
                // As a chat has it, and as a completion has it.
                (b"content" | b"refusal" | b"tokens", Kind::Array) => scan.array(|scan| {
                    self.listed += 1;
                    scan.skip()
                }),
                _ => scan.skip(),
            }),
            (b"finish_reason", kind) => {
                self.knows_finish = true;
                if kind != Kind::Text {
                    return scan.skip();
                }
                self.finish = finish_of(scan.text()?).or(self.finish);
                Ok(())
            }
            (b"usage", Kind::Object) => self.usage(scan),
            // Some servers send the member always, empty where all is well.
            (b"error", _) => {
                self.is_error |= scan.skip_and_judge()?;
                Ok(())
            }
            _ => scan.skip(),
        })
    }

    fn token_id(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        if scan.kind()? != Kind::Number {
            return scan.skip();
        }
        let id = scan.whole_number()?.and_then(|id| u32::try_from(id).ok());
        self.token_ids.extend(id);
        Ok(())
    }

    /// A larger count replaces a smaller one: some servers send zeros first.
    fn usage(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        let mut usage = self.usage.unwrap_or_default();
        scan.object(|scan, key| match key {
            b"prompt_tokens" | b"input_tokens" => larger(&mut usage.prompt, scan),
            b"total_tokens" => larger(&mut usage.total, scan),
            b"completion_tokens" | b"output_tokens" => larger(&mut usage.completion, scan),
            b"prompt_cache_hit_tokens" | b"cache_read_input_tokens" | b"cached_tokens" => {
                larger(&mut usage.cached, scan)
            }
            b"prompt_tokens_details" | b"input_tokens_details" if scan.kind()? == Kind::Object => {
                scan.object(|scan, key| match key {
                    b"cached_tokens" => larger(&mut usage.cached, scan),
                    _ => scan.skip(),
                })
            }
            _ => scan.skip(),
        })?;
        // What is not of the prompt is of the output.
        let rest = usage.total.zip(usage.prompt).and_then(|(all, prompt)| all.checked_sub(prompt));
        usage.completion = usage.completion.or(rest);
        self.usage = Some(usage);
        Ok(())
    }

    /// What a prompt had in the cache, where a server says so beside its times; a chunk without it has no usage for that.
    fn timings(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        let mut cached = None;
        scan.object(|scan, key| match key {
            b"cache_n" => larger(&mut cached, scan),
            _ => scan.skip(),
        })?;
        if cached.is_some() {
            let usage = self.usage.get_or_insert_default();
            usage.cached = cached.max(usage.cached);
        }
        Ok(())
    }

    fn datum(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        if scan.kind()? != Kind::Object {
            return scan.skip();
        }
        let mut holds_embedding = false;
        scan.object(|scan, key| {
            let is_vector = key == b"embedding" && matches!(scan.kind()?, Kind::Array | Kind::Text);
            // An empty list is no vector.
            holds_embedding |= scan.skip_and_judge()? && is_vector;
            Ok(())
        })?;
        self.embeddings += u32::from(holds_embedding);
        Ok(())
    }

    /// An entry of an order of documents.
    fn result(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        if scan.kind()? != Kind::Object {
            return scan.skip();
        }
        let mut holds_score = false;
        scan.object(|scan, key| {
            let is_score = matches!(key, b"relevance_score" | b"score");
            holds_score |= is_score && scan.kind()? == Kind::Number;
            scan.skip()
        })?;
        self.scores += u32::from(holds_score);
        Ok(())
    }

    fn timing(&mut self, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
        let mut times = EngineTimes {
            arrival: None,
            first_scheduled: None,
            first_token: None,
            last_token: None,
        };
        scan.object(|scan, key| {
            let place = match key {
                b"arrival" => &mut times.arrival,
                b"first_scheduled" => &mut times.first_scheduled,
                b"first_token" => &mut times.first_token,
                b"last_token" => &mut times.last_token,
                _ => return scan.skip(),
            };
            if scan.kind()? != Kind::Number {
                return scan.skip();
            }
            *place = scan.whole_number()?.map(MonoNs);
            Ok(())
        })?;
        self.times = Some(times);
        Ok(())
    }
}

/// Reads a count where there is one, perhaps written as a text, and keeps the larger one.
fn larger(count: &mut Option<u32>, scan: &mut Scanner<'_>) -> Result<(), BadJson> {
    let told = match scan.kind()? {
        Kind::Number => scan.whole_number()?.and_then(|told| u32::try_from(told).ok()),
        Kind::Text => std::str::from_utf8(scan.text()?.raw).ok().and_then(|text| text.parse().ok()),
        _ => return scan.skip(),
    };
    *count = told.filter(|told| *told <= MOST_TOKENS).max(*count);
    Ok(())
}

/// No request has more tokens: a larger count is none.
const MOST_TOKENS: u32 = 1 << 30;

/// Words for `length`, in any case of letters.
const LENGTH: &[&str] = &["length", "max_tokens", "model_length", "token_limit"];
/// Words for `stop`.
const STOP: &[&str] =
    &["stop", "tool_calls", "function_call", "eos", "eos_token", "end_turn", "stop_sequence"];
/// Words for an answer that the server gave up.
const ABORTED: &[&str] = &[
    "abort",
    "aborted",
    "error",
    "cancelled",
    "canceled",
    "cancel",
    "failed",
    "failure",
    "timeout",
    "network_error",
    "internal_error",
    "server_error",
    "insufficient_system_resource",
];

fn finish_of(word: RawText<'_>) -> Option<Finish> {
    let is_one_of =
        |words: &[&str]| words.iter().any(|known| word.raw.eq_ignore_ascii_case(known.as_bytes()));
    Some(match word.raw {
        b"" | b"null" | b"None" => return None,
        b"length" => Finish::Length,
        b"stop" => Finish::Stop,
        _ if is_one_of(LENGTH) => Finish::Length,
        _ if is_one_of(STOP) => Finish::Stop,
        _ if is_one_of(ABORTED) => Finish::Aborted,
        _ => Finish::Other,
    })
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
