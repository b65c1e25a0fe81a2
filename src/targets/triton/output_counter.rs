//! HOT PATH. Token count of one response so far: deltas, repeated text and echoed prompts are distinguished.

use crate::record::event::TokenHash;
use crate::record::request_record::TokenSource;
use crate::request::spec::Prompt;
use crate::targets::triton::model_io::{ModelIo, OutputAs};
use crate::targets::triton::options::CountTokens;
use crate::targets::triton::response::{ID_WIDTH, Reading};
use crate::targets::triton::tensor_roles::Role;
use crate::targets::triton::text_so_far::TextSoFar;
use crate::tokenizer::tokens_so_far::TokensSoFar;

/// Counter of one request's output tokens.
#[derive(Debug)]
pub struct OutputCounter {
    /// Tokens in deliveries so far.
    delivered: u32,
    counts: CountRule,
    echo: Echo,
    output: Output,
    /// Our tokenizer's count, delivery by delivery, where the server does not count.
    tokens_so_far: TokensSoFar,
}

#[derive(Debug)]
enum Output {
    Ids,
    Text(TextSoFar),
}

/// What one response added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Tokens.
    pub tokens: u32,
    /// Their hash, where they are ids.
    pub hash: TokenHash,
}

/// Final number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// Tokens.
    pub tokens: u32,
    /// Source of the count.
    pub source: TokenSource,
    /// The sum over deliveries differs or is unreliable.
    pub corrects: bool,
    /// Our tokenizer's count, where the server counted too and it differs.
    pub retokenized: Option<u32>,
    /// Text came in which our tokenizer finds no token.
    pub has_no_token: bool,
}

impl OutputCounter {
    /// For a model with these tensors; `keep_text` keeps the whole text for a tokenizer's count.
    pub fn new(model_io: &ModelIo, keep_text: bool) -> Self {
        // A model that can exclude the prompt was asked to, so an output that begins like the prompt is output.
        let may_echo = !model_io.has(Role::ExcludeInput);
        Self {
            delivered: 0,
            counts: CountRule::default(),
            tokens_so_far: TokensSoFar::default(),
            echo: if may_echo { Echo::Possible } else { Echo::Over },
            output: match model_io.output {
                OutputAs::Ids => Output::Ids,
                OutputAs::Text => Output::Text(TextSoFar::new(model_io.accumulates, keep_text)),
            },
        }
    }

    /// Counts one response; by `count_tokens` where it is text that the server does not count.
    #[inline]
    pub fn take(
        &mut self,
        reading: &Reading<'_>,
        prompt: &Prompt,
        count_tokens: Option<&CountTokens>,
    ) -> Added {
        let added = match &mut self.output {
            Output::Ids => match reading.ids {
                Some(ids) => added_ids(self.echo.strip_ids(ids, prompt)),
                None => NOTHING,
            },
            Output::Text(text) => {
                let has_new = match reading.text {
                    Some(new) => text.take(self.echo.strip_text(new, prompt)),
                    None => false,
                };
                match reading.count {
                    Some(count) => without_hash(self.counts.take(count)),
                    None if !has_new => NOTHING,
                    None => without_hash(match (count_tokens, text.whole()) {
                        (Some(count), Some(whole)) => {
                            self.tokens_so_far.added(whole, |text| count(text))
                        }
                        _ => 1,
                    }),
                }
            }
        };
        self.delivered += added.tokens;
        added
    }

    /// Tokens in deliveries so far.
    pub fn delivered(&self) -> u32 {
        self.delivered
    }

    /// The count of the whole output, by the best available source.
    pub fn total(&self, count_tokens: Option<&CountTokens>) -> Total {
        let text = match &self.output {
            Output::Ids => return self.delivered_as(TokenSource::Ids),
            Output::Text(text) => text,
        };
        let retokenized = count_tokens
            .and_then(|count| text.whole().map(|whole| count(&String::from_utf8_lossy(whole))));
        match (self.counts.total(), retokenized) {
            (Some(usage), ours) => Total {
                tokens: usage,
                source: TokenSource::Usage,
                corrects: usage != self.delivered,
                retokenized: ours.filter(|ours| *ours != usage),
                has_no_token: false,
            },
            (None, Some(0)) if self.delivered > 0 => {
                Total { has_no_token: true, ..self.delivered_as(TokenSource::Chunks) }
            }
            (None, Some(tokens)) => Total {
                tokens,
                source: TokenSource::Retokenized,
                corrects: true,
                retokenized: None,
                has_no_token: false,
            },
            (None, None) => self.delivered_as(TokenSource::Chunks),
        }
    }

    fn delivered_as(&self, source: TokenSource) -> Total {
        Total {
            tokens: self.delivered,
            source,
            corrects: false,
            retokenized: None,
            has_no_token: false,
        }
    }
}

const NOTHING: Added = Added { tokens: 0, hash: TokenHash::EMPTY };

#[inline]
fn without_hash(tokens: u32) -> Added {
    Added { tokens, hash: TokenHash::EMPTY }
}

#[inline]
fn id_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

#[inline]
fn added_ids(ids: &[u8]) -> Added {
    let hash = TokenHash::of(ids.chunks_exact(ID_WIDTH).map(id_of));
    Added { tokens: (ids.len() / ID_WIDTH) as u32, hash }
}

/// Whether the prompt may still come back before the output: only the first output can hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echo {
    Possible,
    Over,
}

impl Echo {
    #[inline]
    fn strip_ids<'a>(&mut self, ids: &'a [u8], prompt: &Prompt) -> &'a [u8] {
        if *self == Self::Over || ids.is_empty() {
            return ids;
        }
        *self = Self::Over;
        let echoed = prompt.ids.len() * ID_WIDTH;
        match ids.get(..echoed) {
            Some(start)
                if start.chunks_exact(ID_WIDTH).map(id_of).eq(prompt.ids.iter().copied()) =>
            {
                &ids[echoed..]
            }
            _ => ids,
        }
    }

    #[inline]
    fn strip_text<'a>(&mut self, text: &'a [u8], prompt: &Prompt) -> &'a [u8] {
        if *self == Self::Over || text.is_empty() {
            return text;
        }
        let Some(prompt) = prompt.text.as_deref().filter(|prompt| !prompt.is_empty()) else {
            return text;
        };
        // Cumulative text repeats the prompt in every response.
        if let Some(rest) = text.strip_prefix(prompt.as_bytes()) {
            return rest;
        }
        *self = Self::Over;
        text
    }
}

/// `num_output_tokens` counts one response (TensorRT-LLM, vLLM) or all so far; inferred from the numbers.
#[derive(Debug, Clone, Copy, Default)]
struct CountRule {
    seen: u32,
    sum: u32,
    last: u32,
    per_response: bool,
}

impl CountRule {
    /// The tokens that a response with this count added.
    #[inline]
    fn take(&mut self, count: u32) -> u32 {
        // A count of all so far never stands still while tokens come, and never falls.
        if self.seen > 0 && count <= self.last {
            self.per_response = true;
        }
        let added = if self.per_response { count } else { count.saturating_sub(self.last) };
        self.seen += 1;
        self.sum = self.sum.saturating_add(count);
        self.last = count;
        added
    }

    fn total(&self) -> Option<u32> {
        (self.seen > 0).then_some(if self.per_response { self.sum } else { self.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn prompt() -> Prompt {
        Prompt { ids: [5, 6].into(), text: Some("a b".into()) }
    }

    fn answer(output: OutputAs, accumulates: Option<bool>, keep_text: bool) -> OutputCounter {
        let model_io = ModelIo {
            model: "m".into(),
            inputs: Vec::new(),
            output,
            requested: Vec::new(),
            decoupled: true,
            accumulates,
        };
        OutputCounter::new(&model_io, keep_text)
    }

    fn counter() -> CountTokens {
        Arc::new(|text: &str| text.split_whitespace().count() as u32)
    }

    /// Tokens added by each text, and the total as the number of words of the whole text.
    fn texts(accumulates: Option<bool>, texts: &[&str]) -> (Vec<u32>, u32) {
        let mut answer = answer(OutputAs::Text, accumulates, true);
        let added = texts.iter().map(|text| {
            let reading = Reading { text: Some(text.as_bytes()), ..Reading::default() };
            answer.take(&reading, &prompt(), None).tokens
        });
        (added.collect(), answer.total(Some(&counter())).tokens)
    }

    fn counts(counts: &[u32]) -> (Vec<u32>, Total) {
        let mut answer = answer(OutputAs::Text, None, false);
        let added = counts.iter().map(|count| {
            let reading = Reading { text: Some(b" x"), count: Some(*count), ..Reading::default() };
            answer.take(&reading, &prompt(), None).tokens
        });
        (added.collect(), answer.total(None))
    }

    fn ids(responses: &[&[u32]]) -> Vec<u32> {
        let mut answer = answer(OutputAs::Ids, None, false);
        let take = |ids: &&[u32]| {
            let raw: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            answer.take(&Reading { ids: Some(&raw), ..Reading::default() }, &prompt(), None).tokens
        };
        responses.iter().map(take).collect()
    }

    #[test]
    fn an_empty_text_is_no_token() {
        assert_eq!(texts(None, &["", " x", "", " y"]), (vec![0, 1, 0, 1], 2));
    }

    #[test]
    fn deltas_are_joined() {
        assert_eq!(texts(None, &[" x", " y", " z"]), (vec![1, 1, 1], 3));
    }

    #[test]
    fn the_same_token_again_is_a_token() {
        assert_eq!(texts(None, &[" the", " the", " the"]), (vec![1, 1, 1], 3));
    }

    #[test]
    fn text_that_grows_is_counted_once() {
        let growing = [" x", " x y", " x y z", " x y z w", " x y z w v"];
        assert_eq!(texts(None, &growing), (vec![1; 5], 5));
        assert_eq!(texts(Some(true), &growing), (vec![1; 5], 5));
    }

    #[test]
    fn deltas_that_looked_like_growing_text_for_a_while_lose_nothing() {
        assert_eq!(texts(None, &[" x", " x y", " z"]), (vec![1, 1, 1], 4));
    }

    #[test]
    fn growing_text_that_stands_still_holds_nothing_new() {
        assert_eq!(texts(Some(true), &[" x", " x", " x y"]), (vec![1, 0, 1], 2));
    }

    #[test]
    fn text_that_has_grown_and_stands_still_is_not_taken_for_deltas() {
        assert_eq!(texts(None, &[" x", " x y", " x y", " x y z"]), (vec![1, 1, 0, 1], 3));
    }

    #[test]
    fn half_a_character_that_becomes_whole_is_new() {
        assert_eq!(texts(Some(true), &[" x \u{fffd}", " x é"]).0, [1, 1]);
    }

    #[test]
    fn an_echoed_prompt_is_no_output() {
        assert_eq!(texts(None, &["a b x y"]), (vec![1], 2));
        assert_eq!(texts(Some(true), &["a b x", "a b x y"]), (vec![1, 1], 2));
        assert_eq!(ids(&[&[5, 6, 9, 9], &[5, 6]]), [2, 2]);
        assert_eq!(ids(&[&[5, 6]]), [0], "nothing but the prompt");
        assert_eq!(ids(&[&[5], &[6]]), [1, 1]);
    }

    #[test]
    fn an_output_that_begins_like_the_prompt_is_output_where_the_prompt_was_to_be_left_out() {
        let mut answer = answer(OutputAs::Ids, None, false);
        answer.echo = Echo::Over;
        let raw = [5_u32, 6].map(u32::to_le_bytes).concat();
        let reading = Reading { ids: Some(&raw), ..Reading::default() };
        assert_eq!(answer.take(&reading, &prompt(), None).tokens, 2);
    }

    #[test]
    fn counts_per_response_and_counts_so_far_are_distinguished() {
        assert_eq!(counts(&[1, 1, 1]).0, [1, 1, 1]);
        assert_eq!(counts(&[1, 2, 3, 4]).0, [1, 1, 1, 1]);
        assert_eq!(counts(&[3, 6, 7]).0, [3, 3, 1]);
        assert_eq!(counts(&[5, 5, 2]).0, [5, 5, 2]);
    }

    #[test]
    fn a_count_that_was_misread_at_first_is_put_right_in_the_total() {
        let (added, total) = counts(&[1, 3, 2]);
        assert_eq!(added, [1, 2, 2]);
        assert_eq!((total.tokens, total.source, total.corrects), (6, TokenSource::Usage, true));
    }

    #[test]
    fn a_tokenizer_that_disagrees_with_the_server_is_kept_beside_it() {
        let mut answer = answer(OutputAs::Text, None, true);
        let reading = Reading { text: Some(b"x y z"), count: Some(2), ..Reading::default() };
        answer.take(&reading, &prompt(), None);
        let total = answer.total(Some(&counter()));
        assert_eq!(
            (total.tokens, total.source, total.retokenized),
            (2, TokenSource::Usage, Some(3))
        );
    }

    #[test]
    fn without_a_better_source_a_chunk_is_a_token_and_says_so() {
        let mut answer = answer(OutputAs::Text, None, false);
        answer.take(&Reading { text: Some(b"x y z"), ..Reading::default() }, &prompt(), None);
        let total = answer.total(None);
        assert_eq!((total.tokens, total.source), (1, TokenSource::Chunks));
    }

    #[test]
    fn the_hash_of_ids_does_not_depend_on_how_they_were_cut() {
        let hash = |responses: &[&[u32]]| {
            let mut answer = answer(OutputAs::Ids, None, false);
            responses.iter().fold(TokenHash::EMPTY, |hash, ids| {
                let raw: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
                let added = answer.take(
                    &Reading { ids: Some(&raw), ..Reading::default() },
                    &prompt(),
                    None,
                );
                hash.then(added.hash, added.tokens)
            })
        };
        assert_eq!(hash(&[&[1, 2, 3]]), hash(&[&[1], &[2, 3]]));
        assert_eq!(hash(&[&[1, 2, 3]]), TokenHash::of([1, 2, 3].into_iter()));
    }
}
