//! End token of an engine, from the files of its model.
//!
//! Source of the keys: Hugging Face's `tokenizer_config.json` (`eos_token`, `added_tokens_decoder`) and
//! `generation_config.json` (`eos_token_id`). An executor takes one end token. Chat models have several, of which the
//! tokenizer's own is the one that ends a turn, so it is asked first; the others can be given as `--stop-words`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bareflight_engine::tokenizers::Tokenizer;
use serde::Serialize;
use serde_json::Value;

use crate::engine_directory::EngineDirectory;

/// The token that ends an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndToken {
    /// Its id.
    pub id: u32,
    /// The file it comes from.
    pub said_by: PathBuf,
    /// Further end tokens of the model; the executor gets none of them.
    pub others: Vec<u32>,
}

/// Why the files of a model do not tell its end token, though they should.
#[derive(Debug, thiserror::Error)]
pub enum EndTokenError {
    /// A file that is there cannot be read.
    #[error("`{}` cannot be read ({why}): copy the model's own file there", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Message of the system or the parser.
        why: io::Error,
    },
    /// A key holds something else.
    #[error("`{}`: `{key}` names no token of the model: copy the model's own file there", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Which key.
        key: &'static str,
    },
    /// It is of another model.
    #[error(
        "`{}` names the end token {id}, and the engine's vocabulary has {vocabulary}: name the folder of the engine's own \
         model with `--tokenizer`",
        file.display()
    )]
    Outside {
        /// Which file.
        file: PathBuf,
        /// The id.
        id: u32,
        /// Ids are below this.
        vocabulary: u32,
    },
}

impl EndToken {
    /// Looks into the folder of `tokenizer`, which may be a file in it, then into the engine's directory. `None` where no
    /// file says it.
    ///
    /// # Errors
    /// When a file is there that cannot be used; it names the file.
    pub fn find(
        engine: &EngineDirectory,
        tokenizer: Option<&Path>,
    ) -> Result<Option<Self>, EndTokenError> {
        let named =
            tokenizer.and_then(|path| if path.is_dir() { Some(path) } else { path.parent() });
        let file = tokenizer.filter(|path| !path.is_dir());
        let mut unresolved = None;
        for folder in named.into_iter().chain([&*engine.path]) {
            let found = match Self::of_folder(folder, file) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                // Another folder may say it by its id.
                Err(error @ EndTokenError::Key { .. }) => {
                    unresolved.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let vocabulary = engine.config.model.vocab_size;
            if found.id >= vocabulary {
                let (file, id) = (found.said_by, found.id);
                return Err(EndTokenError::Outside { file, id, vocabulary });
            }
            return Ok(Some(found));
        }
        unresolved.map_or(Ok(None), Err)
    }

    /// The same, for a run that may not need it: where outputs go on past an end token, no fault of its files is in the way.
    ///
    /// # Errors
    /// As [`EndToken::find`], unless `ignore_eos`.
    pub fn find_if_needed(
        engine: &EngineDirectory,
        tokenizer: Option<&Path>,
        ignore_eos: bool,
    ) -> Result<Option<Self>, EndTokenError> {
        Self::find(engine, tokenizer)
            .or_else(|error| if ignore_eos { Ok(None) } else { Err(error) })
    }

    fn of_folder(folder: &Path, tokenizer: Option<&Path>) -> Result<Option<Self>, EndTokenError> {
        let all = ids_of_generation(folder)?;
        let (id, said_by) = match (of_tokenizer(folder, tokenizer), &all) {
            (Ok(Some(found)), _) => found,
            // A text that cannot be looked up does not make an id doubtful.
            (Ok(None) | Err(EndTokenError::Key { .. }), Some((ids, file))) => {
                (ids[0], file.clone())
            }
            (Ok(None), None) => return Ok(None),
            (Err(error), _) => return Err(error),
        };
        let all = all.into_iter().flat_map(|(ids, _)| ids);
        Ok(Some(Self { id, said_by, others: all.filter(|other| *other != id).collect() }))
    }
}

/// What a file holds; `None` where there is no such file.
fn read(file: &Path) -> Result<Option<Value>, EndTokenError> {
    let unreadable = |why| EndTokenError::Unreadable { file: file.to_owned(), why };
    match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|why| unreadable(why.into())),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(unreadable(why)),
    }
}

/// The end tokens of `generation_config.json`; never an empty list.
fn ids_of_generation(folder: &Path) -> Result<Option<(Vec<u32>, PathBuf)>, EndTokenError> {
    let file = folder.join("generation_config.json");
    let Some(config) = read(&file)? else { return Ok(None) };
    let ids = match &config["eos_token_id"] {
        Value::Null => return Ok(None),
        Value::Array(ids) => ids.as_slice(),
        one => std::slice::from_ref(one),
    };
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    match ids.iter().map(id).collect::<Option<Vec<u32>>>().filter(|ids| !ids.is_empty()) {
        Some(ids) => Ok(Some((ids, file))),
        None => Err(EndTokenError::Key { file, key: "eos_token_id" }),
    }
}

/// The end token of `tokenizer_config.json`, which names it by its text. It is looked up in `tokenizer`, where that
/// file was named.
fn of_tokenizer(
    folder: &Path,
    tokenizer: Option<&Path>,
) -> Result<Option<(u32, PathBuf)>, EndTokenError> {
    let file = folder.join("tokenizer_config.json");
    let Some(config) = read(&file)? else { return Ok(None) };
    let named = &config["eos_token"];
    let Some(text) = named.as_str().or(named["content"].as_str()) else { return Ok(None) };
    let added = config["added_tokens_decoder"].as_object().into_iter().flatten();
    let listed = added
        .filter(|(_, token)| token["content"].as_str() == Some(text))
        .find_map(|(id, _)| id.parse().ok());
    let id = match listed {
        Some(id) => Some(id),
        None => match tokenizer {
            Some(file) => in_vocabulary(file, text)?,
            None => in_vocabulary(&folder.join("tokenizer.json"), text)?,
        },
    };
    id.map(|id| Some((id, file.clone()))).ok_or(EndTokenError::Key { file, key: "eos_token" })
}

fn in_vocabulary(file: &Path, text: &str) -> Result<Option<u32>, EndTokenError> {
    if !file.exists() {
        return Ok(None);
    }
    let unreadable = |why| EndTokenError::Unreadable { file: file.to_owned(), why };
    let tokenizer =
        Tokenizer::from_file(file).map_err(|why| unreadable(io::Error::other(why.to_string())))?;
    Ok(tokenizer.token_to_id(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: &str = "tests/engine_directories/llama3-8b-fp8-tp1";

    fn engine() -> EngineDirectory {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(ENGINE);
        EngineDirectory::read(&path).expect("one of our own")
    }

    /// What these files, each with its content, tell of the engine's end token.
    fn read_files(files: &[(&str, &str)]) -> Result<Option<EndToken>, EndTokenError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("a file");
        }
        // A file of the folder stands for the folder.
        EndToken::find(&engine(), Some(&folder.path().join("tokenizer.json")))
    }

    #[test]
    fn a_file_that_is_there_and_of_no_use_is_refused_by_name() {
        for (name, content, named) in [
            ("generation_config.json", "{", "generation_config.json"),
            ("generation_config.json", r#"{"eos_token_id": []}"#, "eos_token_id"),
            ("generation_config.json", r#"{"eos_token_id": [2, "x"]}"#, "eos_token_id"),
            ("generation_config.json", r#"{"eos_token_id": 4000000}"#, "--tokenizer"),
            ("tokenizer_config.json", r#"{"eos_token": "</s>"}"#, "eos_token"),
        ] {
            let error = read_files(&[(name, content)]).expect_err(content).to_string();
            assert!(error.contains(named) && error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_text_that_nobody_can_look_up_gives_way_to_the_ids() {
        let text = ("tokenizer_config.json", r#"{"eos_token": "</s>"}"#);
        let found = read_files(&[text, ("generation_config.json", r#"{"eos_token_id": 7}"#)]);
        assert_eq!(found.expect("an id").expect("there is one").id, 7);
    }

    #[test]
    fn a_text_is_looked_up_in_the_tokenizer_file_that_was_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let named = folder.path().join("mine.json");
        let tokenizer = bareflight_engine::dummy_tokenizer(100);
        tokenizer.save(&named, false).expect("a file");
        let text = serde_json::json!({ "eos_token": tokenizer.id_to_token(5) });
        let config = folder.path().join("tokenizer_config.json");
        fs::write(config, text.to_string()).expect("a file");
        let found = EndToken::find(&engine(), Some(&named)).expect("it is there");
        assert_eq!(found.map(|it| it.id), Some(5));
    }

    #[test]
    fn a_run_that_ignores_end_tokens_is_not_refused_for_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("generation_config.json"), "{").expect("a file");
        let find = |ignore| EndToken::find_if_needed(&engine(), Some(folder.path()), ignore);
        assert_eq!(find(true).expect("nothing is needed"), None);
        assert!(find(false).is_err());
    }

    #[test]
    fn a_folder_that_does_not_say_it_is_no_fault() {
        assert_eq!(read_files(&[]).expect("nothing is wrong"), None);
        let silent = [("generation_config.json", "{}"), ("tokenizer_config.json", "{}")];
        assert_eq!(read_files(&silent).expect("nothing is wrong"), None);
        assert_eq!(EndToken::find(&engine(), None).expect("nothing is wrong"), None);
    }

    #[test]
    fn the_token_that_ends_a_turn_goes_before_the_others_of_a_chat_model() {
        let generation =
            ("generation_config.json", r#"{"eos_token_id": [128001, 128008, 128009]}"#);
        let first = read_files(&[generation]).expect("ids").expect("there are some");
        assert_eq!((first.id, first.others), (128_001, vec![128_008, 128_009]));
        for eos in [r#""<|eot_id|>""#, r#"{"content": "<|eot_id|>"}"#] {
            let tokenizer = format!(
                r#"{{"eos_token": {eos}, "added_tokens_decoder": {{"128009": {{"content": "<|eot_id|>"}}}}}}"#
            );
            let files = [generation, ("tokenizer_config.json", tokenizer.as_str())];
            let found = read_files(&files).expect("ids").expect("there are some");
            assert_eq!((found.id, found.others), (128_009, vec![128_001, 128_008]));
            assert!(found.said_by.ends_with("tokenizer_config.json"));
        }
    }
}
