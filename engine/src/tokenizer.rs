//! Tokenizer of a model: the one of its directory, or one built for dummy weights.

use tokenizers::Tokenizer;

use crate::error::OpenError;
use crate::model;
use crate::source::ModelSource;

/// The tokenizer of a model: `tokenizer.json` of a directory, [`dummy_tokenizer`] of a dummy.
pub fn load_tokenizer(source: &ModelSource) -> Result<Tokenizer, OpenError> {
    match source {
        ModelSource::Dummy(size) => Ok(dummy_tokenizer(model::dummy::shape(*size).vocab)),
        ModelSource::Directory(directory) => {
            let path = directory.join("tokenizer.json");
            let text = std::fs::read(&path)
                .map_err(|source| OpenError::Read { path: path.clone(), source })?;
            Tokenizer::from_bytes(text)
                .map_err(|error| OpenError::Tokenizer(format!("{}: {error}", path.display())))
        }
    }
}

/// A tokenizer with one printable ASCII word per id, for random token ids.
///
/// Id 0x0a3f is ` w0a3f`. Each id decodes alone, and the text of any sequence encodes to exactly that sequence, so a count
/// of tokens is the same in-process, over HTTP and by re-tokenising. White space separates words; a word that is not in the
/// vocabulary becomes id 0. There are no special tokens, so end tokens have text too.
pub fn dummy_tokenizer(vocab_size: usize) -> Tokenizer {
    let vocab: serde_json::Map<String, serde_json::Value> =
        (0..vocab_size).map(|id| (format!("▁w{id:04x}"), id.into())).collect();
    // The metaspace ▁ stands for the space before a word, which a text's first word may lack.
    let description = serde_json::json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": { "type": "Replace", "pattern": { "Regex": "\\s+" }, "content": " " },
        "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true },
        "decoder": { "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "Fuse" },
        ]},
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "▁w0000" },
    });
    Tokenizer::from_bytes(description.to_string())
        .expect("the description above is a valid tokenizer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_decodes_alone_to_printable_ascii_and_back() {
        let tokenizer = dummy_tokenizer(4096);
        for id in 0..4096 {
            let text = tokenizer.decode(&[id], false).unwrap();
            assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{id}: {text:?}");
            assert_eq!(tokenizer.encode(text, false).unwrap().get_ids(), [id]);
        }
    }

    #[test]
    fn the_text_of_any_sequence_retokenises_to_that_sequence_however_it_was_chunked() {
        let tokenizer = dummy_tokenizer(70_000);
        let mut state = 7u32;
        for length in 1..60 {
            let ids: Vec<u32> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 8) % 70_000
                })
                .collect();
            let whole = tokenizer.decode(&ids, true).unwrap();
            let pieces: String =
                ids.iter().map(|&id| tokenizer.decode(&[id], true).unwrap()).collect();
            assert_eq!(whole, pieces);
            assert_eq!(tokenizer.encode(whole.as_str(), true).unwrap().get_ids(), ids);
            assert_eq!(tokenizer.encode(whole.trim_start(), true).unwrap().get_ids(), ids);
        }
    }

    #[test]
    fn unknown_words_become_one_token_each() {
        let tokenizer = dummy_tokenizer(64);
        let encoding = tokenizer.encode("what is\n w0003  this?", true).unwrap();
        assert_eq!(encoding.get_ids(), [0, 0, 3, 0]);
    }
}
