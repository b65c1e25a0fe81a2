//! Streaming detokenizer: token ids to text as they arrive, whole characters only.

use std::sync::Arc;

use bareflight_engine::tokenizers::Tokenizer;

use crate::tokenizer::tokenize::TokenizeError;

/// Bytes of one character lie in at most so many tokens; more that are held back are no character.
const LONGEST_CHARACTER: usize = 4;

/// Both directions.
#[derive(Debug)]
pub struct Text {
    tokenizer: Tokenizer,
}

impl Text {
    /// With the model's tokenizer.
    pub fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer }
    }

    /// Ids of a text, with the tokens that the tokenizer puts around a text where `special` is set.
    ///
    /// # Errors
    /// When the tokenizer cannot read it.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, TokenizeError> {
        let encoding = self.tokenizer.encode_fast(text, special);
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| TokenizeError(error.to_string()))
    }

    /// Special ids have no text. Ids that the tokenizer does not know have none either.
    fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, true).unwrap_or_default()
    }
}

/// Text of one output, while it comes. A character whose bytes lie in several tokens comes with the last of them.
#[derive(Debug)]
pub struct TextStream {
    text: Arc<Text>,
    /// Ids of the last text that was given out, then ids whose text was not.
    window: Vec<u32>,
    given_ids: usize,
    given_bytes: usize,
}

impl TextStream {
    /// Of an output that begins.
    pub fn new(text: Arc<Text>) -> Self {
        Self { text, window: Vec::new(), given_ids: 0, given_bytes: 0 }
    }

    /// Appends to `out` what these ids add to the text.
    pub fn push(&mut self, ids: &[u32], out: &mut String) {
        self.window.extend_from_slice(ids);
        self.give(false, out);
    }

    /// Appends what was held back.
    pub fn finish(&mut self, out: &mut String) {
        self.give(true, out);
    }

    fn give(&mut self, everything: bool, out: &mut String) {
        let held = self.window.len() - self.given_ids;
        if held == 0 {
            return;
        }
        let whole = self.text.decode(&self.window);
        let incomplete = whole.ends_with(char::REPLACEMENT_CHARACTER);
        if incomplete && held < LONGEST_CHARACTER && !everything {
            return;
        }
        match whole.get(self.given_bytes..) {
            Some(new) => out.push_str(new),
            // The decoder reads what was given otherwise now, such as bytes that turn out to be no character.
            None => out.push_str(&self.text.decode(&self.window[self.given_ids..])),
        }
        self.window.drain(..self.given_ids);
        self.given_ids = self.window.len();
        self.given_bytes = self.text.decode(&self.window).len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bareflight_engine::dummy_tokenizer;

    /// One token per byte, as byte-level tokenizers have for what is in no word.
    fn bytes() -> Arc<Text> {
        let vocab: serde_json::Map<String, serde_json::Value> =
            (0..256).map(|byte| (format!("<0x{byte:02X}>"), byte.into())).collect();
        let description = serde_json::json!({
            "version": "1.0", "added_tokens": [], "decoder": { "type": "ByteFallback" },
            "model": { "type": "BPE", "byte_fallback": true, "vocab": vocab, "merges": [] },
        });
        let tokenizer = Tokenizer::from_bytes(description.to_string()).unwrap();
        Arc::new(Text::new(tokenizer))
    }

    fn pieces(text: &Arc<Text>, ids: &[u32]) -> Vec<String> {
        let mut stream = TextStream::new(Arc::clone(text));
        let piece = |id: &u32| {
            let mut out = String::new();
            stream.push(&[*id], &mut out);
            out
        };
        let mut pieces: Vec<_> = ids.iter().map(piece).collect();
        let mut rest = String::new();
        stream.finish(&mut rest);
        pieces.push(rest);
        pieces
    }

    fn ids_of(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    #[test]
    fn a_character_in_several_tokens_comes_whole() {
        let pieces = pieces(&bytes(), &ids_of("aé€z"));
        assert_eq!(pieces, ["a", "", "é", "", "", "€", "z", ""]);
    }

    #[test]
    fn bytes_that_are_no_character_are_not_held_for_ever() {
        let broken = [0xff; 6];
        let pieces = pieces(&bytes(), &broken);
        assert!(pieces[3].contains(char::REPLACEMENT_CHARACTER), "{pieces:?}");
        assert!(!pieces.concat().is_empty());
        let cut = self::pieces(&bytes(), &ids_of("a€")[..3]);
        assert!(cut.last().unwrap().contains(char::REPLACEMENT_CHARACTER), "{cut:?}");
    }

    #[test]
    fn words_come_one_per_token_with_the_spaces_between_them() {
        let text = Arc::new(Text::new(dummy_tokenizer(300)));
        assert_eq!(pieces(&text, &[1, 255, 7]), [" w0001", " w00ff", " w0007", ""]);
        assert_eq!(text.encode(" w0001 w00ff w0007", true).unwrap(), [1, 255, 7]);
    }
}
