//! Stop and bad words given as text, encoded to token ids by a tokenizer.

use serde::{Deserialize, Serialize};

use crate::request::terms::{Terms, TokenSequences};
use crate::tokenizer::tokenize::{Tokenize, TokenizeError};

/// Words as they were typed; engines take them as token ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopTexts {
    /// Any of these ends an output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// None of these is produced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<String>,
}

/// Why a text has no token ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopTextError {
    /// The tokenizer gave up.
    #[error(
        "`{flag} {text}` cannot be tokenised ({why}): give its token ids with `--stop-words` or `--bad-words`"
    )]
    Encode {
        /// As it is typed.
        flag: &'static str,
        /// What was given.
        text: String,
        /// Message of the tokenizer.
        why: TokenizeError,
    },
    /// The tokenizer makes nothing of it.
    #[error("`{flag} {text}` is no token at all to this tokenizer: leave it out")]
    Nothing {
        /// As it is typed.
        flag: &'static str,
        /// What was given.
        text: String,
    },
    /// The tokenizer is of another model.
    #[error(
        "`{flag} {text}` has the token id {id}, beyond the target's vocabulary of {vocabulary}: name the target's own \
         tokenizer with `--tokenizer`"
    )]
    Outside {
        /// As it is typed.
        flag: &'static str,
        /// What was given.
        text: String,
        /// The id.
        id: u32,
        /// Ids are below this.
        vocabulary: u32,
    },
}

impl StopTexts {
    /// The flag of the first text that there is.
    pub fn flag(&self) -> Option<&'static str> {
        match (self.stop.is_empty(), self.bad.is_empty()) {
            (false, _) => Some("--stop-text"),
            (true, false) => Some("--bad-text"),
            (true, true) => None,
        }
    }

    /// Adds the ids of every text to the words of `terms`, once each, so that doing it again changes nothing.
    /// `vocabulary` is the target's, where it is known.
    ///
    /// # Errors
    /// When a text has no ids that the target could produce; it names the text.
    pub fn add_to(
        &self,
        terms: &mut Terms,
        tokenizer: &dyn Tokenize,
        vocabulary: Option<u32>,
    ) -> Result<(), StopTextError> {
        for (flag, texts, words) in [
            ("--stop-text", &self.stop, &mut terms.stop_words),
            ("--bad-text", &self.bad, &mut terms.bad_words),
        ] {
            let ids = texts.iter().map(|text| ids_of(flag, text, tokenizer, vocabulary));
            let ids: Vec<Vec<u32>> = ids.collect::<Result<_, _>>()?;
            *words = TokenSequences::joined(words.take(), ids);
        }
        Ok(())
    }
}

/// As the tokenizer cuts the text where it stands alone.
fn ids_of(
    flag: &'static str,
    text: &str,
    tokenizer: &dyn Tokenize,
    vocabulary: Option<u32>,
) -> Result<Vec<u32>, StopTextError> {
    let text = text.to_owned();
    let ids = match tokenizer.encode(&text) {
        Ok(ids) if ids.is_empty() => return Err(StopTextError::Nothing { flag, text }),
        Ok(ids) => ids,
        Err(why) => return Err(StopTextError::Encode { flag, text, why }),
    };
    // Engines count tokens in 32 bits with a sign.
    let vocabulary = vocabulary.unwrap_or(i32::MAX as u32);
    match ids.iter().find(|id| **id >= vocabulary) {
        Some(&id) => Err(StopTextError::Outside { flag, text, id, vocabulary }),
        None => Ok(ids),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One token for each letter; digits are nothing, and a question mark is too much.
    struct Letters;

    impl Tokenize for Letters {
        fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizeError> {
            if text.contains('?') {
                return Err(TokenizeError("a question".into()));
            }
            Ok(text.chars().filter(|c| c.is_alphabetic()).map(u32::from).collect())
        }

        fn decode(&self, _: &[u32]) -> Result<String, TokenizeError> {
            Err(TokenizeError("nobody asks".into()))
        }

        fn vocab_size(&self) -> u32 {
            1 << 20
        }

        fn special_ids(&self) -> Vec<u32> {
            Vec::new()
        }
    }

    fn added(stop: &[&str], bad: &[&str], vocabulary: u32) -> Result<Terms, StopTextError> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let texts = StopTexts { stop: owned(stop), bad: owned(bad) };
        let mut terms = Terms { stop_words: "7;65".parse().ok(), ..Terms::default() };
        texts.add_to(&mut terms, &Letters, Some(vocabulary)).map(|()| terms)
    }

    #[test]
    fn a_text_without_ids_that_the_target_could_produce_is_refused_by_flag_and_text() {
        for (stop, bad, named) in [
            (&["1"][..], &[][..], ["--stop-text 1", "leave it out"]),
            (&[], &["why?"], ["--bad-text why?", "--bad-words"]),
            (&["A", "é"], &[], ["--stop-text é", "--tokenizer"]),
        ] {
            let error = added(stop, bad, 128).expect_err(named[0]).to_string();
            assert!(named.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn texts_become_ids_beside_those_that_were_given_once_each_and_only_once() {
        let mut terms = added(&["A", "AB"], &["C"], 128).expect("letters");
        let shown = |terms: &Terms| {
            [&terms.stop_words, &terms.bad_words]
                .map(|words| words.as_ref().map_or_else(String::new, ToString::to_string))
        };
        assert_eq!(shown(&terms), ["7;65;65,66", "67"]);
        let again = StopTexts { stop: vec!["AB".into()], bad: vec!["C".into()] };
        again.add_to(&mut terms, &Letters, None).expect("letters");
        assert_eq!(shown(&terms), ["7;65;65,66", "67"]);
        StopTexts::default().add_to(&mut terms, &Letters, None).expect("nothing to do");
        assert_eq!(shown(&terms), ["7;65;65,66", "67"]);
    }
}
