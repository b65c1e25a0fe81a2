//! Count of tokens in a text that grows, delivery by delivery.

/// Text of so many bytes is counted again with each delivery; what lies before it is counted once.
const AGAIN: usize = 512;
/// So many bytes at the end stay open, since what comes may change their tokens.
const OPEN: usize = 64;

/// Tokens of a growing text. The total of a whole text is better taken from the whole text: a cut between two counts may
/// cost a token.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokensSoFar {
    /// Where the text begins that is counted again.
    settled_at: usize,
    /// Tokens before that.
    settled: u32,
    counted: u32,
}

impl TokensSoFar {
    /// Tokens that the text has more than at the last call. `text` is all text so far, and more than then. The first text
    /// is at least one token, whatever the tokenizer makes of it.
    pub fn added(&mut self, text: &[u8], count: impl Fn(&str) -> u32) -> u32 {
        let count_of = |bytes: &[u8]| count(&String::from_utf8_lossy(bytes));
        if text.len() < self.settled_at {
            (self.settled_at, self.settled) = (0, 0);
        }
        let so_far = self.settled + count_of(&text[self.settled_at..]);
        if text.len() - self.settled_at > AGAIN {
            let closed = &text[self.settled_at..text.len() - OPEN];
            // A word and the space before it are tokens of their own.
            if let Some(space) = memchr::memrchr(b' ', closed).filter(|at| *at > 0) {
                self.settled += count_of(&closed[..space]);
                self.settled_at += space;
            }
        }
        let so_far = so_far.max(u32::from(!text.is_empty()));
        let added = so_far.saturating_sub(self.counted);
        self.counted += added;
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> u32 {
        text.split_whitespace().count() as u32
    }

    fn added(pieces: &[&str]) -> Vec<u32> {
        let (mut so_far, mut text) = (TokensSoFar::default(), Vec::new());
        let mut take = |piece: &&str| {
            text.extend_from_slice(piece.as_bytes());
            so_far.added(&text, words)
        };
        pieces.iter().map(&mut take).collect()
    }

    #[test]
    fn each_delivery_has_the_tokens_that_it_brought() {
        assert_eq!(added(&[" one two three", " four", " fi", "ve six"]), [3, 1, 1, 1]);
    }

    #[test]
    fn the_first_text_is_a_token_whatever_the_tokenizer_makes_of_it() {
        assert_eq!(added(&["  ", " one", " two"]), [1, 0, 1]);
    }

    #[test]
    fn a_long_text_is_not_counted_from_its_beginning_each_time() {
        let (mut so_far, mut text) = (TokensSoFar::default(), Vec::new());
        let longest = std::cell::Cell::new(0);
        for _ in 0..10_000 {
            text.extend_from_slice(b" word and");
            let count = |text: &str| {
                longest.set(longest.get().max(text.len()));
                words(text)
            };
            assert_eq!(so_far.added(&text, count), 2);
        }
        assert!(longest.get() < 2 * AGAIN, "{}", longest.get());
    }

    #[test]
    fn half_a_character_is_counted_when_it_is_whole() {
        let (mut so_far, text) = (TokensSoFar::default(), "é è".as_bytes());
        let each = |text: &str| text.chars().filter(|c| *c != '\u{fffd}').count() as u32;
        let counts = [1, 2, 3, 4, 5].map(|end| so_far.added(&text[..end], each));
        assert_eq!(counts, [1, 0, 1, 0, 1]);
    }
}
