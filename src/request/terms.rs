//! Terms shared by all requests of a plan: beams, penalties, stop words, time limit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// Terms of a request; the default asks for nothing in particular.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// Beams; `None` is one, which is no beam search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beam_width: Option<u32>,
    /// Tokens below this share of the most probable one are not drawn, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Above 1 makes tokens that were there already less probable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f32>,
    /// Taken off once from tokens that were there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
    /// Taken off for each time that a token was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f32>,
    /// Above 0 favours longer beams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_penalty: Option<f32>,
    /// Any of these ends the output; it is delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_words: Option<TokenSequences>,
    /// None of these is produced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_words: Option<TokenSequences>,
    /// The engine itself ends a request after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allotted: Option<Nanos>,
}

/// Sequences of token ids, none of them empty: `12,13;27` are two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenSequences(Vec<Vec<u32>>);

/// Text that holds no sequences of token ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no list of token ids: write `12,13;27` for the sequence 12, 13 and the sequence 27"
)]
pub struct SequencesError(String);

impl TokenSequences {
    /// These sequences, then each of `more` that is not among them yet; `None` where there is none at all.
    pub fn joined(known: Option<Self>, more: impl IntoIterator<Item = Vec<u32>>) -> Option<Self> {
        let mut all = known.map_or_else(Vec::new, |known| known.0);
        for sequence in more {
            if !sequence.is_empty() && !all.contains(&sequence) {
                all.push(sequence);
            }
        }
        (!all.is_empty()).then_some(Self(all))
    }

    /// Each sequence.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.0.iter().map(Vec::as_slice)
    }
}

impl FromStr for TokenSequences {
    type Err = SequencesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ids = |sequence: &str| sequence.split(',').map(|id| id.trim().parse().ok()).collect();
        // Executors count tokens in 32 bits with a sign.
        let fits = |sequence: &Vec<u32>| sequence.iter().all(|id| i32::try_from(*id).is_ok());
        let sequences: Option<Vec<Vec<u32>>> = text.split(';').map(ids).collect();
        sequences
            .filter(|sequences| sequences.iter().all(fits))
            .map(Self)
            .ok_or_else(|| SequencesError(text.to_owned()))
    }
}

impl fmt::Display for TokenSequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, sequence) in self.0.iter().enumerate() {
            let ids: Vec<String> = sequence.iter().map(u32::to_string).collect();
            write!(f, "{}{}", if index == 0 { "" } else { ";" }, ids.join(","))?;
        }
        Ok(())
    }
}

impl TryFrom<String> for TokenSequences {
    type Error = SequencesError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TokenSequences> for String {
    fn from(sequences: TokenSequences) -> Self {
        sequences.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_of_token_ids_is_refused_with_an_example() {
        for text in ["", "1,,2", "1;", "a", "-1", "4294967295"] {
            let error = text.parse::<TokenSequences>().expect_err(text).to_string();
            assert!(error.contains("12,13;27"), "{error}");
        }
    }

    #[test]
    fn a_sequence_that_is_there_already_is_not_added_again_and_an_empty_one_never() {
        let known: TokenSequences = "7;8,9".parse().expect("sequences");
        let joined = TokenSequences::joined(Some(known), [vec![8, 9], vec![], vec![9, 8]]);
        assert_eq!(joined.expect("there are some").to_string(), "7;8,9;9,8");
        assert_eq!(TokenSequences::joined(None, [vec![]]), None);
    }

    #[test]
    fn sequences_are_written_as_they_are_read() {
        for text in ["7", "12,13;27", "0;0,0;0,0,0;1"] {
            assert_eq!(text.parse::<TokenSequences>().expect(text).to_string(), text);
        }
        let two: TokenSequences = "12, 13 ;27".parse().expect("blanks do not matter");
        assert_eq!(two.iter().collect::<Vec<_>>(), [[12, 13].as_slice(), &[27]]);
    }
}
