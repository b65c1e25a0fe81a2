//! HOT PATH. New part of a chunk's text: some servers send deltas, some all text so far.

/// Growing chunks before a stream counts as cumulative. A stream of deltas can look like one only while each of
/// its first chunks happens to begin with the one before.
const CUMULATIVE_AFTER: u32 = 3;
/// Chunks before a chunk that repeats all text so far counts as a re-send, and not as a repeated token.
const RESEND_AFTER: u32 = 3;

/// Text of one response so far.
#[derive(Debug, Default)]
pub struct OutputText {
    all: Vec<u8>,
    /// Where the latest chunk begins in `all`.
    latest: usize,
    chunks: u32,
    /// Some chunk did not begin with the chunk before it, so chunks are deltas.
    is_delta: bool,
    growths: u32,
}

impl OutputText {
    /// Resets and keeps the memory.
    pub fn restart(&mut self) {
        let mut all = std::mem::take(&mut self.all);
        all.clear();
        *self = Self { all, ..Self::default() };
    }

    /// Adds the text of a chunk, which is not empty; returns whether it held anything new.
    #[inline]
    pub fn take(&mut self, piece: &[u8]) -> bool {
        self.chunks += 1;
        if self.is_delta || self.chunks == 1 {
            return self.take_delta(piece);
        }
        let before = &self.all[self.latest..];
        if !piece.starts_with(before) {
            self.is_delta = true;
            return self.take_delta(piece);
        }
        let has_grown = piece.len() > before.len();
        // One token over and over, and then all of them again.
        if has_grown
            && self.growths == 0
            && self.chunks > RESEND_AFTER
            && piece.starts_with(&self.all)
        {
            self.is_delta = true;
            return self.take_delta(piece);
        }
        self.growths += u32::from(has_grown);
        if self.is_cumulative() {
            self.all.clear();
        }
        self.latest = self.all.len();
        self.all.extend_from_slice(piece);
        has_grown || !self.is_cumulative()
    }

    fn take_delta(&mut self, piece: &[u8]) -> bool {
        let repeats = self.chunks > RESEND_AFTER && piece.starts_with(&self.all);
        let new = if repeats { &piece[self.all.len()..] } else { piece };
        self.latest = self.all.len();
        self.all.extend_from_slice(new);
        !new.is_empty()
    }

    fn is_cumulative(&self) -> bool {
        !self.is_delta && self.growths >= CUMULATIVE_AFTER
    }

    /// All text so far.
    pub fn all(&self) -> &[u8] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pieces: &[&str]) -> (String, usize) {
        let mut text = OutputText::default();
        let new = pieces.iter().filter(|piece| text.take(piece.as_bytes())).count();
        (String::from_utf8(text.all().to_vec()).unwrap(), new)
    }

    #[test]
    fn differences_are_put_together() {
        assert_eq!(take(&[" a", " b", " c", " d"]), (" a b c d".to_owned(), 4));
    }

    #[test]
    fn cumulative_text_is_not_counted_twice() {
        assert_eq!(take(&["a", "ab", "abc", "abcd", "abcd", "abcde"]), ("abcde".to_owned(), 5));
    }

    #[test]
    fn the_whole_text_sent_again_at_the_end_brings_nothing() {
        assert_eq!(take(&[" a", " b", " c", " a b c"]), (" a b c".to_owned(), 3));
        assert_eq!(take(&[" a", " a", " a", " a a a"]), (" a a a".to_owned(), 3));
    }

    #[test]
    fn a_repeated_token_is_counted_each_time() {
        assert_eq!(take(&[" a", " a", " a", " a", " a"]), (" a a a a a".to_owned(), 5));
    }

    #[test]
    fn a_chunk_that_happens_to_begin_like_the_one_before_does_not_mislead() {
        assert_eq!(take(&["a", "ab", "c", "d"]), ("aabcd".to_owned(), 4));
    }
}
