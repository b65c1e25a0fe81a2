//! Text prompts of an exact length in tokens.
//!
//! Words are appended until their costs add up to the wanted count, the text is encoded, and what is over or missing
//! is repaired: how text splits into tokens depends on its neighbours, so only an encoding of the whole counts.

use std::fmt;
use std::sync::Arc;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::request::spec::Prompt;
use crate::tokenizer::tokenize::Tokenize;
use crate::workload::prompts::PromptError;
use crate::workload::vocabulary::Vocabulary;
use crate::workload::words::{Words, filler};

/// Encodings before a length is given up.
const TRIES: u32 = 512;

/// Texts that are tried as a prefix of others before the last one is taken as it is.
const PREFIXES: u32 = 16;

/// Encodings spent on one text before it is begun anew.
const REPAIRS: u32 = 16;

/// Draws texts with one tokenizer.
pub struct TextSource {
    tokenizer: Arc<dyn Tokenize>,
    vocabulary: Vocabulary,
    words: Words,
}

/// What all texts of a series begin with.
#[derive(Debug, Clone, Default)]
pub struct TextPrefix {
    text: String,
    ids: Vec<u32>,
}

impl TextPrefix {
    /// Length in tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The same as a whole prompt.
    pub fn into_prompt(self) -> Prompt {
        Prompt { ids: self.ids.into(), text: Some(self.text.into()) }
    }
}

impl fmt::Debug for TextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextSource").field("words", &self.words).finish_non_exhaustive()
    }
}

impl TextSource {
    /// Learns the tokenizer's words; takes some thousand short encodings. Texts hold only ids below `limit`, where
    /// there is one: a model may have fewer ids than its tokenizer.
    ///
    /// # Errors
    /// When the tokenizer fails or knows no words.
    pub fn new(tokenizer: Arc<dyn Tokenize>, limit: Option<u32>) -> Result<Self, PromptError> {
        let size = tokenizer.vocab_size();
        let size = limit.map_or(size, |limit| size.min(limit));
        let vocabulary = Vocabulary::new(size, tokenizer.special_ids())?;
        let words = Words::of(tokenizer.as_ref(), &vocabulary)?;
        Ok(Self { tokenizer, vocabulary, words })
    }

    /// The words that texts are made of.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// The ids that texts may re-tokenise to.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// A text of exactly `tokens` tokens to begin others with; empty for 0. Where a text ends on a piece that merges with
    /// whatever follows, others cannot begin with it, and another one is drawn.
    ///
    /// # Errors
    /// When none is found, or the tokenizer fails.
    pub fn prefix(
        &self,
        rng: &mut Xoshiro256PlusPlus,
        tokens: u32,
    ) -> Result<TextPrefix, PromptError> {
        let mut draw = || self.extend(rng, &TextPrefix::default(), tokens);
        let mut prefix = draw()?;
        for _ in 0..PREFIXES {
            // Tried with draws of its own, so that those of the prompts stay what they are.
            let mut trial = Xoshiro256PlusPlus::seed_from_u64(tokens.into());
            if tokens == 0 || self.extend(&mut trial, &prefix, tokens + 1).is_ok() {
                break;
            }
            prefix = draw()?;
        }
        Ok(prefix)
    }

    /// A prompt of exactly `tokens` tokens whose first ids are those of the prefix.
    ///
    /// # Errors
    /// When none is found, or the tokenizer fails.
    pub fn prompt(
        &self,
        rng: &mut Xoshiro256PlusPlus,
        prefix: &TextPrefix,
        tokens: u32,
    ) -> Result<Prompt, PromptError> {
        Ok(self.extend(rng, prefix, tokens)?.into_prompt())
    }

    /// A text that begins with another one and has exactly `tokens` tokens.
    ///
    /// # Errors
    /// When none is found, or the tokenizer fails.
    pub fn extend(
        &self,
        rng: &mut Xoshiro256PlusPlus,
        prefix: &TextPrefix,
        tokens: u32,
    ) -> Result<TextPrefix, PromptError> {
        if prefix.ids.len() == tokens as usize {
            return Ok(prefix.clone());
        }
        let mut closest = prefix.tokens() as u32;
        let mut tries = 0;
        while tries < TRIES {
            let mut draft = Draft::after(prefix);
            draft.grow(rng, &self.words, tokens - prefix.tokens() as u32);
            for _ in 0..REPAIRS {
                tries += 1;
                let ids = self.tokenizer.encode(&draft.text)?;
                let ordinary = ids.iter().all(|id| self.vocabulary.allows(*id));
                if !ordinary || !ids.starts_with(&prefix.ids) {
                    break;
                }
                let count = ids.len() as u32;
                if count == tokens {
                    return Ok(TextPrefix { text: draft.text, ids });
                }
                if count.abs_diff(tokens) < closest.abs_diff(tokens) {
                    closest = count;
                }
                match tokens.checked_sub(count) {
                    Some(missing) => draft.grow(rng, &self.words, missing),
                    None => draft.shrink(count - tokens),
                }
            }
        }
        Err(PromptError::Unreachable { wanted: tokens, closest, tries })
    }
}

/// A text under construction, and where each of its own pieces began.
struct Draft {
    text: String,
    pieces: Vec<Piece>,
    /// Words cost more here than they should: from now on only fillers are appended.
    was_over: bool,
}

struct Piece {
    start: usize,
    cost: u32,
}

impl Draft {
    fn after(prefix: &TextPrefix) -> Self {
        Self { text: prefix.text.clone(), pieces: Vec::new(), was_over: false }
    }

    /// Appends words that should cost `missing` tokens, or one filler where no word fits.
    fn grow(&mut self, rng: &mut Xoshiro256PlusPlus, words: &Words, missing: u32) {
        let mut left = missing;
        while !self.was_over && left > 0 {
            let Some(word) = words.draw(rng, left) else { break };
            let start = self.text.len();
            let cost = if start > 0 { word.cost } else { word.first_cost };
            if start > 0 {
                self.text.push(' ');
            }
            self.text.push_str(&word.text);
            self.pieces.push(Piece { start, cost });
            left = left.saturating_sub(cost);
        }
        if left == missing {
            // What a filler costs depends on what it merges with: one at a time, and the encoding decides.
            self.pieces.push(Piece { start: self.text.len(), cost: 1 });
            let filler = filler(rng);
            self.text.push_str(if self.text.is_empty() { filler.trim_start() } else { filler });
        }
    }

    /// Takes off pieces from the end until about `surplus` tokens are gone.
    fn shrink(&mut self, surplus: u32) {
        self.was_over = true;
        let mut gone = 0;
        while gone < surplus {
            let Some(piece) = self.pieces.pop() else { return };
            self.text.truncate(piece.start);
            gone += piece.cost;
        }
    }
}

#[cfg(test)]
mod tests;
