//! Words of generated text, with their cost in tokens.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::tokenizer::tokenize::{Tokenize, TokenizeError};
use crate::workload::prompts::PromptError;
use crate::workload::seeds::below;
use crate::workload::vocabulary::Vocabulary;

/// Words taken from a vocabulary; more would not make the text more varied to an engine.
const ENOUGH: usize = 4096;

/// Below this many words of one token each, the built-in list is used.
const FEW: usize = 64;

/// For tokenizers that hold few whole words, such as byte-level and character-level ones.
const BUILT_IN: [&str; 72] = [
    "after", "again", "air", "any", "ask", "back", "bare", "big", "blue", "book", "both", "bread",
    "bring", "calm", "cat", "city", "clear", "cold", "dark", "day", "door", "down", "draw", "dry",
    "early", "earth", "even", "far", "few", "field", "fire", "five", "flight", "food", "gate",
    "good", "green", "hand", "high", "home", "ice", "jump", "keep", "kind", "large", "late",
    "light", "long", "map", "milk", "moon", "name", "near", "night", "old", "open", "paper",
    "quick", "rain", "red", "river", "road", "salt", "sea", "seven", "slow", "stone", "sun",
    "tall", "tree", "under", "wind",
];

/// A word, and how many tokens it adds to a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Small ASCII letters only.
    pub text: String,
    /// Tokens that it adds after a space, at least 1.
    pub cost: u32,
    /// Tokens that it adds as the first word of a text, at least 1.
    pub first_cost: u32,
}

/// The words that text is drawn from, cheapest first.
#[derive(Debug, Clone)]
pub struct Words {
    words: Vec<Word>,
}

impl Words {
    /// Words of one token each from the tokenizer's own vocabulary, in the order of their ids; where it has few, a
    /// built-in list.
    ///
    /// # Errors
    /// When the tokenizer fails, or turns no word into ordinary tokens.
    pub fn of(tokenizer: &dyn Tokenize, vocabulary: &Vocabulary) -> Result<Self, PromptError> {
        let probe = Probe { tokenizer, vocabulary };
        let mut words = probe.single_token_words()?;
        if words.len() < FEW {
            words = probe.built_in_words()?;
        }
        if words.is_empty() {
            return Err(PromptError::NoWords);
        }
        words.sort_by_key(|word| word.cost);
        Ok(Self { words })
    }

    /// A random word that adds at most `budget` tokens, if there is one.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus, budget: u32) -> Option<&Word> {
        let affordable = self.words.partition_point(|word| word.cost <= budget);
        (affordable > 0).then(|| &self.words[below(rng, affordable as u64) as usize])
    }
}

/// What is appended where no word fits. They merge with their neighbours in different ways, so one of them will do.
const FILLERS: [&str; 12] = ["a", "e", "o", "s", "t", " a", " o", " x", ".", ",", "!", "?"];

/// A few characters that add about one token.
pub fn filler(rng: &mut Xoshiro256PlusPlus) -> &'static str {
    FILLERS[below(rng, FILLERS.len() as u64) as usize]
}

struct Probe<'a> {
    tokenizer: &'a dyn Tokenize,
    vocabulary: &'a Vocabulary,
}

impl Probe<'_> {
    fn single_token_words(&self) -> Result<Vec<Word>, TokenizeError> {
        let mut seen = std::collections::HashSet::new();
        let mut words = Vec::new();
        for id in (0..self.vocabulary.size()).filter(|id| self.vocabulary.allows(*id)) {
            // Some vocabularies have holes: an id that decodes to nothing is simply no word.
            let Ok(decoded) = self.tokenizer.decode(&[id]) else { continue };
            let text = decoded.trim();
            if !is_word(text) || !seen.insert(text.to_owned()) {
                continue;
            }
            words.extend(self.word(text)?.filter(|word| word.cost == 1));
            if words.len() == ENOUGH {
                break;
            }
        }
        Ok(words)
    }

    fn built_in_words(&self) -> Result<Vec<Word>, TokenizeError> {
        let mut words = Vec::new();
        for text in BUILT_IN {
            words.extend(self.word(text)?);
        }
        Ok(words)
    }

    /// What a word costs; `None` where a second one adds no token, or any of its tokens is special.
    fn word(&self, text: &str) -> Result<Option<Word>, TokenizeError> {
        let once = self.tokenizer.encode(text)?;
        let twice = self.tokenizer.encode(&format!("{text} {text}"))?;
        let ordinary = twice.iter().all(|id| self.vocabulary.allows(*id));
        let (first_cost, cost) = (once.len() as u32, twice.len().saturating_sub(once.len()) as u32);
        let usable = ordinary && cost > 0 && first_cost > 0;
        Ok(usable.then(|| Word { text: text.to_owned(), cost, first_cost }))
    }
}

fn is_word(text: &str) -> bool {
    (2..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
}
