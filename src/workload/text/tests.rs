//! Tests of drawn text: it re-tokenises to exactly the wanted count, whatever the tokenizer merges.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::tokenizer::tokenize::TokenizeError;
use crate::workload::prompts::PromptSource;
use crate::workload::seeds::{Phase, Seeds, generator};

/// Takes the longest known piece at each place; ids 0 and 1 are special, and 1 stands for what is unknown.
struct LongestMatch {
    pieces: Vec<String>,
    ids: HashMap<String, u32>,
}

/// Bytes of the longest piece.
const LONGEST: usize = 6;

impl LongestMatch {
    /// All pairs of letters: what is appended merges with what stands before it.
    fn pairs() -> Self {
        Self::with((0..676).map(|i| format!("{}{}", letter_at(i / 26), letter_at(i))))
    }

    /// Whole words with the space before them, as byte-level BPE has them, and all pairs of letters.
    fn words() -> Self {
        let words = (0..200).map(|i| format!(" {}{}xyz", letter_at(i / 26), letter_at(i)));
        let pairs = (0..676).map(|i| format!("{}{}", letter_at(i / 26), letter_at(i)));
        Self::with(words.chain(pairs))
    }

    /// No piece longer than a letter.
    fn characters() -> Self {
        Self::with(std::iter::empty())
    }

    fn with(longer: impl Iterator<Item = String>) -> Self {
        let special = ["<end>", "<unknown>", " ", "."].map(str::to_owned).into_iter();
        let letters = (0..26).map(|i| letter_at(i).to_string());
        let pieces: Vec<String> = special.chain(letters).chain(longer).collect();
        let ids = pieces.iter().cloned().zip(0..).skip(2).collect();
        Self { pieces, ids }
    }
}

fn letter_at(index: usize) -> char {
    char::from(b'a' + index as u8 % 26)
}

impl Tokenize for LongestMatch {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        let mut rest = text;
        let mut ids = Vec::new();
        while !rest.is_empty() {
            let mut lengths = (1..=rest.len().min(LONGEST)).rev();
            let known = lengths.find_map(|n| Some((*self.ids.get(&rest[..n])?, n)));
            let (id, length) = known.unwrap_or((1, 1));
            ids.push(id);
            rest = &rest[length..];
        }
        Ok(ids)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        ids.iter()
            .map(|id| self.pieces.get(*id as usize).cloned())
            .collect::<Option<String>>()
            .ok_or_else(|| TokenizeError(format!("{ids:?} is not in the vocabulary")))
    }

    fn vocab_size(&self) -> u32 {
        self.pieces.len() as u32
    }

    fn special_ids(&self) -> Vec<u32> {
        vec![0, 1]
    }
}

/// Two ids for each letter: no text has an odd number of them.
struct Pairs;

impl Tokenize for Pairs {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        Ok(text.bytes().flat_map(|byte| [u32::from(byte), 7]).collect())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        Ok(ids.iter().filter_map(|id| char::from_u32(*id)).collect())
    }

    fn vocab_size(&self) -> u32 {
        256
    }

    fn special_ids(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// Knows nothing.
struct Ignorant;

impl Tokenize for Ignorant {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
        Ok(vec![0; text.len()])
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizeError> {
        Err(TokenizeError(format!("{ids:?} is not in the vocabulary")))
    }

    fn vocab_size(&self) -> u32 {
        3
    }

    fn special_ids(&self) -> Vec<u32> {
        vec![0]
    }
}

struct Broken;

impl Tokenize for Broken {
    fn encode(&self, _: &str) -> Result<Vec<u32>, TokenizeError> {
        Err(TokenizeError("out of order".to_owned()))
    }

    fn decode(&self, _: &[u32]) -> Result<String, TokenizeError> {
        Ok("word".to_owned())
    }

    fn vocab_size(&self) -> u32 {
        9
    }

    fn special_ids(&self) -> Vec<u32> {
        Vec::new()
    }
}

fn text_of(tokenizer: impl Tokenize + 'static) -> Result<PromptSource, PromptError> {
    PromptSource::text(Arc::new(tokenizer), None)
}

#[test]
fn a_length_that_no_text_has_is_refused_with_the_nearest_one() {
    let source = TextSource::new(Arc::new(Pairs), None).expect("every word is known");
    let refused = source.prompt(&mut generator(1), &TextPrefix::default(), 7);
    let Err(PromptError::Unreachable { wanted: 7, closest, tries }) = refused else {
        panic!("{refused:?}")
    };
    assert!(closest == 6 || closest == 8, "{closest}");
    assert!(tries <= TRIES + REPAIRS);
}

#[test]
fn a_tokenizer_without_a_word_is_refused() {
    assert_eq!(text_of(Ignorant).err(), Some(PromptError::NoWords));
}

#[test]
fn a_failing_tokenizer_is_reported_in_its_own_words() {
    let said = text_of(Broken).expect_err("it always fails").to_string();
    assert!(said.contains("out of order"), "{said}");
}

#[test]
fn words_of_one_token_are_taken_from_the_vocabulary() {
    let tokenizer = LongestMatch::words();
    let source = TextSource::new(Arc::new(LongestMatch::words()), None).expect("it has words");
    let prompt = source.prompt(&mut generator(1), &TextPrefix::default(), 50).expect("drawn");
    let text = prompt.text.expect("drawn as text");
    assert!(text.split(' ').count() >= 40, "{text}");
    assert_eq!(*prompt.ids, tokenizer.encode(&text).expect("it encodes everything"));
}

#[test]
fn a_prefix_that_merges_with_whatever_follows_is_not_taken() {
    let source = text_of(LongestMatch::pairs()).expect("it has words");
    // Found by chance: its first prefix ends within a pair.
    let seeds = Seeds::from_root(2_997_695_933_248_954_816);
    let series = source.series(seeds, 9, Phase::Measure, 0).expect("every length can be reached");
    assert_eq!(series.prompt(0, 10).expect("one more can be reached").tokens(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_re_tokenises_to_exactly_the_count_and_begins_with_the_prefix(
        root: u64, kind in 0..3, (prefix, own) in (0_u32..60, 0_u32..60),
    ) {
        let make = || match kind {
            0 => LongestMatch::words(),
            1 => LongestMatch::pairs(),
            _ => LongestMatch::characters(),
        };
        let tokens = (prefix + own).max(1);
        let source = text_of(make()).expect("it has words");
        let series = source
            .series(Seeds::from_root(root), prefix, Phase::Measure, 0)
            .expect("every length can be reached");
        let a = series.prompt(0, tokens).expect("every length can be reached");
        let b = series.prompt(1, tokens).expect("every length can be reached");
        for prompt in [&a, &b] {
            let text = prompt.text.as_deref().expect("drawn as text");
            prop_assert_eq!(&make().encode(text).expect("it encodes everything"), &*prompt.ids);
            prop_assert_eq!(prompt.tokens(), tokens);
            prop_assert!(!prompt.ids.contains(&0) && !prompt.ids.contains(&1));
        }
        prop_assert_eq!(&a.ids[..prefix as usize], &b.ids[..prefix as usize]);
        prop_assert_eq!(series.prompt(0, tokens).expect("drawn before"), a);
    }
}
