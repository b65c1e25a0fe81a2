//! Counting of an entry's tokens: text to ids of the target's tokenizer, answers to lengths, bounds.

use std::sync::Arc;

use super::DatasetError;
use super::choice::{FileWorkload, History};
use super::entries::{Content, Entry, EntryTurn};
use super::format::{Given, RawEntry, RawOutput};
use crate::request::spec::Prompt;
use crate::tokenizer::tokenize::Tokenize;
use crate::workload::PromptKind;
use crate::workload::images::{ImageError, data_url_of};
use crate::workload::scenario::Lengths;

/// Counts tokens for one target.
pub struct Counter {
    /// The target's tokenizer.
    pub tokenizer: Option<Arc<dyn Tokenize>>,
    /// What the target takes.
    pub prompts: PromptKind,
    /// Ids are below this, where that is known.
    pub vocabulary: Option<u32>,
    /// Text is asked for; else the length of an output is nothing.
    pub has_output: bool,
}

/// What becomes of an entry.
pub enum Counted {
    /// It can be asked: of a conversation, all its turns.
    Entries(Vec<Entry>),
    /// Its prompt or output has no token.
    Empty,
    /// Its prompt is longer than asked for.
    LongInput,
    /// Its output is longer than asked for.
    LongOutput,
}

/// What becomes of one prompt.
enum One {
    Entry(Entry),
    Not(Counted),
}

impl Counter {
    /// Counts the tokens of an entry.
    ///
    /// # Errors
    /// When nothing counts them, or they are none of the model.
    pub fn count(
        &self,
        file: &FileWorkload,
        line: u64,
        mut raw: RawEntry,
    ) -> Result<Counted, DatasetError> {
        let Some(rules) = file.conversation else {
            return Ok(match self.count_one(file, line, raw, 0)? {
                One::Entry(entry) => Counted::Entries(vec![entry]),
                One::Not(counted) => counted,
            });
        };
        let later = std::mem::take(&mut raw.later);
        let (mut turns, mut before): (Vec<Entry>, u32) = (Vec::new(), 0);
        for (number, mut raw) in (0..).zip(std::iter::once(raw).chain(later)) {
            let answer = raw.answer.take().map(|text| self.answer(file, &text)).transpose()?;
            let think = raw.think.unwrap_or(rules.think);
            let mut entry = match (self.count_one(file, line, raw, before)?, number) {
                (One::Entry(entry), _) => entry,
                (One::Not(counted), 0) => return Ok(counted),
                // What cannot be asked ends the conversation before it.
                (One::Not(_), _) => break,
            };
            let answered = match (rules.history, &answer) {
                (History::Recorded, None) => {
                    let path = file.source.path.clone();
                    return Err(DatasetError::NoRecordedAnswer { path, line });
                }
                (History::Recorded, Some(answer)) => answer.tokens(),
                (History::Model, _) => entry.lengths.output,
            };
            let counts = entry.lengths.input > 0;
            let next = entry.lengths.input + if counts { answered } else { 0 };
            entry.turn = Some(EntryTurn { number, before, answer, think });
            before = next;
            turns.push(entry);
        }
        Ok(Counted::Entries(turns))
    }

    /// A recorded answer as a later prompt repeats it.
    fn answer(&self, file: &FileWorkload, text: &str) -> Result<Prompt, DatasetError> {
        if self.prompts == PromptKind::Text && self.tokenizer.is_none() {
            return Ok(Prompt { ids: Arc::new([]), text: Some(text.into()) });
        }
        let ids = self.tokenizer(file, "answers")?.encode(text)?.into();
        let text = (self.prompts == PromptKind::Text).then(|| text.into());
        Ok(Prompt { ids, text })
    }

    /// Counts one prompt behind so many tokens.
    fn count_one(
        &self,
        file: &FileWorkload,
        line: u64,
        raw: RawEntry,
        before: u32,
    ) -> Result<One, DatasetError> {
        let (content, input) = self.content(file, line, raw.given)?;
        match (input, file.max_input) {
            (Some(0), _) => return Ok(One::Not(Counted::Empty)),
            (Some(input), Some(most)) if input + before > most => {
                return Ok(One::Not(Counted::LongInput));
            }
            (None, Some(_)) => {
                return Err(DatasetError::Unbounded { path: file.source.path.clone() });
            }
            _ => {}
        }
        let input = input.map_or(0, |input| input + before);
        let output = if self.has_output { self.output(file, line, raw.output)? } else { 0 };
        if output == 0 && self.has_output {
            return Ok(One::Not(Counted::Empty));
        }
        if file.max_output.is_some_and(|most| output > most) {
            return Ok(One::Not(Counted::LongOutput));
        }
        let lengths = Lengths { input, output };
        let images = Self::images(file, line, raw.images)?;
        let at = raw.at;
        Ok(One::Entry(Entry { content, lengths, at, line, images, turn: None, part: None }))
    }

    /// What is sent, and its length, unless it is text that nothing here counts.
    pub(super) fn content(
        &self,
        file: &FileWorkload,
        line: u64,
        given: Given,
    ) -> Result<(Content, Option<u32>), DatasetError> {
        let goes_uncounted = self.prompts == PromptKind::Text && self.tokenizer.is_none();
        let (ids, text) = match given {
            Given::Length(tokens) => return Ok((Content::Length, Some(tokens))),
            Given::Blocks { tokens, block, ids } => {
                return Ok((Content::Blocks { block, ids: ids.into() }, Some(tokens)));
            }
            Given::Text(text) if text.trim().is_empty() => (Vec::new(), None),
            Given::Text(text) if goes_uncounted => {
                let prompt = Prompt { ids: Arc::new([]), text: Some(text.into()) };
                return Ok((Content::Prompt(prompt), None));
            }
            Given::Ids(_) if goes_uncounted => {
                return Err(DatasetError::IdsAsText { path: file.source.path.clone(), line });
            }
            Given::Text(text) => {
                let ids = self.tokenizer(file, "prompts")?.encode(&text)?;
                (ids, (self.prompts == PromptKind::Text).then_some(text))
            }
            Given::Ids(ids) if self.prompts == PromptKind::Text => {
                // What a text server will see is the text's own ids.
                let tokenizer = self.tokenizer(file, "prompts")?;
                let text = tokenizer.decode(&ids)?;
                (tokenizer.encode(&text)?, Some(text))
            }
            Given::Ids(ids) => (ids, None),
        };
        if let (Some(size), Some(id)) = (self.vocabulary, ids.iter().copied().max())
            && id >= size
        {
            let path = file.source.path.clone();
            return Err(DatasetError::OutsideVocabulary { path, line, id, size });
        }
        let tokens = ids.len() as u32;
        let prompt = Prompt { ids: ids.into(), text: text.map(Into::into) };
        Ok((Content::Prompt(prompt), Some(tokens)))
    }

    /// Images as they are sent: an address or data as it stands, a file beside the workload as its data.
    fn images(
        file: &FileWorkload,
        line: u64,
        images: Vec<String>,
    ) -> Result<Option<Arc<[Arc<str>]>>, DatasetError> {
        let path = &file.source.path;
        let as_url = |image: String| {
            let is_url =
                ["http://", "https://", "data:", "file://"].iter().any(|it| image.starts_with(it));
            if is_url {
                return Ok(Arc::from(image));
            }
            let beside = path.parent().map_or_else(|| image.clone().into(), |it| it.join(&image));
            let reason = |why: ImageError| DatasetError::BadImage {
                path: path.clone(),
                line,
                reason: why.to_string(),
            };
            data_url_of(&beside).map_err(reason)
        };
        if images.is_empty() {
            return Ok(None);
        }
        images.into_iter().map(as_url).collect::<Result<Arc<[_]>, _>>().map(Some)
    }

    pub(super) fn output(
        &self,
        file: &FileWorkload,
        line: u64,
        output: RawOutput,
    ) -> Result<u32, DatasetError> {
        match (file.output_tokens, output) {
            (Some(tokens), _) | (None, RawOutput::Tokens(tokens)) => Ok(tokens),
            (None, RawOutput::Text(text)) => {
                Ok(self.tokenizer(file, "outputs")?.encode(&text)?.len() as u32)
            }
            (None, RawOutput::Unknown) => {
                Err(DatasetError::NoOutputLength { path: file.source.path.clone(), line })
            }
        }
    }

    fn tokenizer(
        &self,
        file: &FileWorkload,
        what: &'static str,
    ) -> Result<&dyn Tokenize, DatasetError> {
        let path = || file.source.path.clone();
        self.tokenizer.as_deref().ok_or_else(|| DatasetError::NoTokenizer { path: path(), what })
    }
}
