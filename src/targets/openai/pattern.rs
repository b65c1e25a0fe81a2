//! HOT PATH. Shortcut for chunks that differ from the one before only in their text.
//!
//! A stream repeats its id, model and every other member from token to token. If a chunk begins and ends with the same
//! bytes as one that was parsed, and the rest is a string without escapes, only its text can differ. So it is not parsed
//! again.

use std::ops::Range;

/// The bytes around the text of a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// Up to and with the quote before the text; empty where there is no pattern.
    before: Vec<u8>,
    /// From the quote after the text on.
    after: Vec<u8>,
}

impl Pattern {
    /// The text of a chunk that follows the pattern.
    #[inline]
    pub fn text_in<'a>(&self, json: &'a [u8]) -> Option<&'a [u8]> {
        if self.before.is_empty() {
            return None;
        }
        let text =
            json.strip_prefix(self.before.as_slice())?.strip_suffix(self.after.as_slice())?;
        memchr::memchr2(b'"', b'\\', text).is_none().then_some(text)
    }

    /// Learns the pattern of `json`, whose text is at `text`.
    pub fn learn(&mut self, json: &[u8], text: Range<usize>) {
        self.forget();
        self.before.extend_from_slice(&json[..text.start]);
        self.after.extend_from_slice(&json[text.end..]);
    }

    /// Drops the pattern.
    pub fn forget(&mut self) {
        self.before.clear();
        self.after.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = br#"{"id":"1","text":" a","stop":null}"#;

    fn text_in(json: &str) -> Option<String> {
        let mut pattern = Pattern::default();
        pattern.learn(JSON, 18..20);
        pattern.text_in(json.as_bytes()).map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn only_the_text_may_differ() {
        let found = |text: &str| Some(text.to_owned());
        assert_eq!(text_in(r#"{"id":"1","text":" words","stop":null}"#), found(" words"));
        assert_eq!(text_in(r#"{"id":"1","text":"","stop":null}"#), found(""));
        assert_eq!(text_in(r#"{"id":"2","text":" a","stop":null}"#), None);
        assert_eq!(text_in(r#"{"id":"1","text":" a","stop":"x"}"#), None);
    }

    #[test]
    fn a_text_that_ends_early_or_holds_escapes_is_left_to_the_parser() {
        assert_eq!(text_in(r#"{"id":"1","text":"\n","stop":null}"#), None);
        assert_eq!(text_in(r#"{"id":"1","text":"a","stop":null},{"stop":null}"#), None);
        assert_eq!(text_in(r#"{"id":"1","text":","stop":null}"#), None);
    }

    #[test]
    fn nothing_follows_a_pattern_that_was_forgotten() {
        let mut pattern = Pattern::default();
        assert_eq!(pattern.text_in(JSON), None);
        pattern.learn(JSON, 18..20);
        pattern.forget();
        assert_eq!(pattern.text_in(JSON), None);
    }
}
