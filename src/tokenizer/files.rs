//! Files of a tokenizer, as Hugging Face's libraries load them: `tokenizer.json` and `tokenizer_config.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bareflight_engine::tokenizers::Tokenizer;

/// A tokenizer cannot be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the tokenizer cannot be written to `{path}`: {reason}; name a folder that can be written to"
)]
pub struct WriteError {
    path: PathBuf,
    reason: io::Error,
}

/// Writes a tokenizer into `folder`, which is made where it is not there.
///
/// # Errors
/// When folder or file cannot be written.
pub fn write(tokenizer: &Tokenizer, folder: &Path) -> Result<(), WriteError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |reason| WriteError { path, reason }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let text = tokenizer.to_string(false).map_err(|reason| WriteError {
        path: folder.to_owned(),
        reason: io::Error::other(reason.to_string()),
    })?;
    let config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
    });
    for (name, text) in [("tokenizer.json", text), ("tokenizer_config.json", config.to_string())] {
        let file = folder.join(name);
        fs::write(&file, text).map_err(failed(&file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bareflight_engine::dummy_tokenizer;

    #[test]
    fn what_is_written_encodes_as_what_it_was_written_from() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("new");
        let tokenizer = dummy_tokenizer(64);
        write(&tokenizer, &place).expect("written");
        let read = Tokenizer::from_file(place.join("tokenizer.json")).expect("a tokenizer");
        let ids = |of: &Tokenizer| of.encode("w0001 w003f", false).expect("ids").get_ids().to_vec();
        assert_eq!(ids(&read), ids(&tokenizer));
        let config = fs::read_to_string(place.join("tokenizer_config.json")).expect("a file");
        assert!(config.contains("PreTrainedTokenizerFast"), "{config}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = write(&dummy_tokenizer(4), &file.path().join("below")).unwrap_err().to_string();
        assert!(error.contains("below"), "{error}");
    }
}
