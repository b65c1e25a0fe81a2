//! A described target with its tokenizer, engine directory and deployment.

use std::path::Path;

use bareflight_engine::tokenizers::Tokenizer;

use crate::engine_directory::EngineDirectory;
use crate::settings::served::ServedSettings;
use crate::targets::deployment::{Deployment, Placement};
use crate::targets::{Target, TargetError};

/// A described target, and what it knows of its tokens.
pub struct Named {
    /// What answers, not yet opened.
    pub target: Box<dyn Target>,
    special_ids: Vec<u32>,
    tokens: Tokens,
    engine_directory: Option<EngineDirectory>,
    draft_directory: Option<EngineDirectory>,
    loader: Loader,
    deployment: Option<Deployment>,
}

/// What is known of a target's tokens.
pub enum Tokens {
    /// They are ids and nothing else.
    Ids,
    /// Its model has a tokenizer, whatever was named; it takes time to read.
    OfModel(Box<dyn FnOnce() -> Result<Tokenizer, TargetError>>),
    /// The same of a tokenizer that was named, or lies beside the engine where none was.
    Unread(Box<dyn FnOnce() -> Result<Tokenizer, TargetError>>),
    /// Its tokenizer.
    Read(Box<Tokenizer>),
}

impl Tokens {
    /// Those of the tokenizer that was named, if one was, or of the one that lies beside the engine.
    ///
    /// # Panics
    /// Never: a tokenizer that was named is read, or its error returned.
    pub fn named(name: &str, served: &ServedSettings, directory: Option<&EngineDirectory>) -> Self {
        let beside = directory.and_then(|directory| directory.files.tokenizer.clone());
        let Some(path) = served.tokenizer.clone().or(beside) else { return Self::Ids };
        let (name, served) =
            (name.to_owned(), ServedSettings { tokenizer: Some(path), ..served.clone() });
        Self::Unread(Box::new(move || {
            Ok(served.read_tokenizer(&name)?.expect("a tokenizer was named"))
        }))
    }
}

/// What loads an engine directory, as far as that must fit the directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loader {
    /// Processes of this job; `None` where the library starts them, or nothing is loaded.
    pub ranks: Option<u32>,
    /// Version of the library; `None` where it loads engines of any.
    pub library_version: Option<String>,
}

impl Named {
    /// A target with ids of a meaning of their own, which random prompts leave out.
    pub fn new(target: impl Target + 'static, special_ids: Vec<u32>, tokens: Tokens) -> Self {
        Self {
            target: Box::new(target),
            special_ids,
            tokens,
            engine_directory: None,
            draft_directory: None,
            loader: Loader::default(),
            deployment: None,
        }
    }

    /// A target whose tokens are known only through the tokenizer that was named.
    pub fn served(target: impl Target + 'static, served: &ServedSettings) -> Self {
        let tokens = Tokens::named(&target.describe().name, served, None);
        Self::new(target, Vec::new(), tokens)
    }

    /// The same, with the directory that its engine is loaded from. The model is the directory's; what it runs on is
    /// as known before.
    #[must_use]
    pub fn from_engine_directory(self, directory: EngineDirectory) -> Self {
        let mapping = directory.config.mapping;
        let deployment = directory.figures().map(|model| match self.deployment {
            Some(known) => Deployment { model, ..known },
            None => Deployment {
                model,
                placement: Placement::Gpus(None),
                tensor_parallel: mapping.tensor * mapping.context,
                pipeline_parallel: mapping.pipeline,
            },
        });
        Self { engine_directory: Some(directory), deployment, ..self }
    }

    /// The same, with what is known of its model and machine.
    #[must_use]
    pub fn deployed(self, deployment: Option<Deployment>) -> Self {
        Self { deployment, ..self }
    }

    /// The same, where a second engine drafts for it. The roofline stays that of the target's model, whose every step checks
    /// what was drafted.
    #[must_use]
    pub fn drafted_by(self, draft: Option<EngineDirectory>) -> Self {
        Self { draft_directory: draft, ..self }
    }

    /// The directory of the engine that drafts for it, where there is one.
    pub fn draft_directory(&self) -> Option<&EngineDirectory> {
        self.draft_directory.as_ref()
    }

    /// What is known of its model and machine.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployment.as_ref()
    }

    /// The same, with what loads it.
    #[must_use]
    pub fn loaded_by(self, loader: Loader) -> Self {
        Self { loader, ..self }
    }

    /// What loads the engine directory.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The directory that its engine is loaded from, where there is one.
    pub fn engine_directory(&self) -> Option<&EngineDirectory> {
        self.engine_directory.as_ref()
    }

    /// The same with another target around it, which has this tokenizer.
    #[must_use]
    pub fn wrapped(
        self,
        tokenizer: Tokenizer,
        around: impl FnOnce(Box<dyn Target>) -> Box<dyn Target>,
    ) -> Self {
        Self { target: around(self.target), tokens: Tokens::Read(Box::new(tokenizer)), ..self }
    }

    /// Ids with a meaning of their own, which random prompts leave out.
    pub fn special_ids(&self) -> impl Iterator<Item = u32> + use<> {
        self.special_ids.clone().into_iter()
    }

    /// Reads the tokenizer; `None` where the target has none.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn tokenizer(&mut self) -> Result<Option<Tokenizer>, TargetError> {
        let read = match std::mem::replace(&mut self.tokens, Tokens::Ids) {
            Tokens::Ids => return Ok(None),
            Tokens::OfModel(read) | Tokens::Unread(read) => Box::new(read()?),
            Tokens::Read(tokenizer) => tokenizer,
        };
        let tokenizer = Tokenizer::clone(&read);
        self.tokens = Tokens::Read(read);
        Ok(Some(tokenizer))
    }

    /// Reads the tokenizer that it is served with: its own, else the one that was named. One that was named is read even where
    /// it is not used, since a path that leads nowhere is no silent matter.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn tokenizer_to_serve_with(
        &mut self,
        served: &ServedSettings,
    ) -> Result<Option<Tokenizer>, TargetError> {
        let reads_what_was_named = matches!(self.tokens, Tokens::Unread(_));
        let own = self.tokenizer()?;
        if reads_what_was_named {
            return Ok(own);
        }
        let named = served.read_tokenizer(&self.target.describe().name)?;
        Ok(own.or(named))
    }
}

/// What lies at a path, where it is a directory and not the name of a profile.
pub fn engine_directory(name: &str, path: &str) -> Result<Option<EngineDirectory>, TargetError> {
    let path = Path::new(path);
    let read = || EngineDirectory::read(path);
    let unusable = |error: crate::engine_directory::EngineDirectoryError| TargetError::Unusable {
        name: name.to_owned(),
        reason: error.to_string(),
    };
    path.is_dir().then(read).transpose().map_err(unusable)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use bareflight_engine::dummy_tokenizer;

    use super::*;
    use crate::settings::engine::EngineSettings;
    use crate::targets::registry::describe;

    fn named_for(target: &str, tokenizer: PathBuf) -> (Named, ServedSettings) {
        let served = ServedSettings { tokenizer: Some(tokenizer), ..ServedSettings::default() };
        let named = describe(target, &EngineSettings::default(), &served);
        (named.map_err(|error| error.to_string()).expect("a target"), served)
    }

    #[test]
    fn to_serve_a_target_the_tokenizer_that_was_named_is_read_once() {
        for target in ["null:", "sim:explicit,base_us=2000"] {
            let folder = tempfile::tempdir().expect("a folder");
            let pipe = folder.path().join("tokenizer.json");
            assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
            let text = dummy_tokenizer(64).to_string(false).expect("JSON");
            let to = pipe.clone();
            // Whoever opens it a second time finds nothing there.
            let writer = std::thread::spawn(move || {
                std::fs::write(&to, text).and_then(|()| std::fs::remove_file(&to))
            });
            let (mut named, served) = named_for(target, pipe);
            let read = named.tokenizer_to_serve_with(&served).map_err(|error| error.to_string());
            let words = read.map(|it| it.map(|it| it.get_vocab_size(false)));
            assert_eq!(words, Ok(Some(64)), "{target}");
            writer.join().expect("no panic").expect("it was read");
        }
    }

    #[test]
    fn a_tokenizer_that_was_named_and_is_not_there_is_an_error_even_of_a_model_with_its_own() {
        for target in ["null:", "sim:explicit,base_us=2000", "local:dummy-nano"] {
            let (mut named, served) = named_for(target, "not/there.json".into());
            let error = named.tokenizer_to_serve_with(&served).err().map(|it| it.to_string());
            assert!(error.is_some_and(|it| it.contains("not/there.json")), "{target}");
        }
    }
}
