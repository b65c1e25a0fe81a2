//! Which target does a `--target` name mean?

use std::path::Path;

use bareflight_engine::dummy_tokenizer;
use bareflight_engine::tokenizers::Tokenizer;

use crate::engine_directory::EngineDirectory;
use crate::settings::engine::EngineSettings;
use crate::settings::served::ServedSettings;
use crate::targets::deployment::{Deployment, Placement};
use crate::targets::local::LocalTarget;
use crate::targets::null::NullTarget;
use crate::targets::openai::OpenAiTarget;
use crate::targets::sim::SimTarget;
use crate::targets::text::TextTarget;
use crate::targets::triton::TritonTarget;
use crate::targets::triton_c::TritonCTarget;
#[cfg(feature = "trtllm")]
use crate::targets::trtllm::TrtllmTarget;
use crate::targets::{Target, TargetError};

/// What can be typed after `--target`.
pub const KINDS: &str = "`local:dummy-nano` or `local:MODEL_DIR` (embedded CPU engine), \
     `sim:PROFILE` (simulated executor, e.g. `sim:h200-llama3-8b-fp8`), `trtllm:ENGINE_DIR` (TensorRT-LLM), \
     `openai:URL`, `triton:HOST:PORT/MODEL`, `triton-c:REPOSITORY/MODEL` (Triton's core in this process), \
     or `null:` (the harness's own floor)";

/// Words of targets that have no tokenizer, where they do not tell their vocabulary.
const FALLBACK_VOCABULARY: u32 = 32_000;

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
enum Tokens {
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
    fn named(name: &str, served: &ServedSettings, directory: Option<&EngineDirectory>) -> Self {
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
    fn new(target: impl Target + 'static, special_ids: Vec<u32>, tokens: Tokens) -> Self {
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
    fn served(target: impl Target + 'static, served: &ServedSettings) -> Self {
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
    fn deployed(self, deployment: Option<Deployment>) -> Self {
        Self { deployment, ..self }
    }

    /// The same, where a second engine drafts for it. What one model's weights and cache would take at best is then no floor
    /// of what both take.
    #[must_use]
    fn drafted_by(self, draft: Option<EngineDirectory>) -> Self {
        Self { draft_directory: draft, deployment: None, ..self }
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
    #[cfg(feature = "trtllm")]
    #[must_use]
    fn loaded_by(self, loader: Loader) -> Self {
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

/// The target of that name, described but not opened.
///
/// # Errors
/// When the name means nothing, or what it names cannot be used.
pub fn resolve(
    name: &str,
    settings: &EngineSettings,
    served: &ServedSettings,
) -> Result<Named, TargetError> {
    let unknown =
        || TargetError::Unknown { given: name.to_owned(), remedy: format!("use {KINDS}") };
    let (kind, rest) = name.split_once(':').ok_or_else(unknown)?;
    match kind {
        "null" if rest.is_empty() => {
            Ok(Named::new(NullTarget::default(), Vec::new(), Tokens::Ids))
        }
        "sim" if !rest.is_empty() => {
            let directory = engine_directory(name, rest)?;
            let target = SimTarget::new(rest, settings.clone())?;
            let deployment = target.deployment();
            let tokens = Tokens::named(name, served, directory.as_ref());
            let named = Named::new(target, vec![SimTarget::END_ID], tokens).deployed(deployment);
            let named = match directory {
                Some(directory) => named.from_engine_directory(directory),
                None => named,
            };
            Ok(match &settings.drafting {
                Some(drafting) => named.drafted_by(engine_directory(name, &drafting.engine)?),
                None => named,
            })
        }
        #[cfg(feature = "trtllm")]
        "trtllm" if !rest.is_empty() => {
            let target = TrtllmTarget::new(rest, settings.clone(), served)?;
            let (directory, loader) = (target.directory().clone(), target.loader());
            let tokens = Tokens::named(name, served, Some(&directory));
            let (special_ids, draft) = (target.end_ids(), target.draft_directory().cloned());
            let named = Named::new(target, special_ids, tokens);
            let named = named.from_engine_directory(directory).loaded_by(loader);
            Ok(if draft.is_some() { named.drafted_by(draft) } else { named })
        }
        #[cfg(not(feature = "trtllm"))]
        "trtllm" if !rest.is_empty() => Err(TargetError::Unusable {
            name: name.to_owned(),
            reason: "this program was built without TensorRT-LLM: build it with `cargo build --release --features \
                     trtllm` where TensorRT-LLM 1.2 or older is installed"
                .into(),
        }),
        "local" if !rest.is_empty() => {
            let target = LocalTarget::new(rest, settings)?;
            let special_ids = target.end_ids().to_vec();
            let tokens = Tokens::OfModel(target.tokenizer_reader());
            let deployment = Some(target.deployment());
            Ok(Named::new(target, special_ids, tokens).deployed(deployment))
        }
        "openai" if !rest.is_empty() => {
            let target = OpenAiTarget::new(served.openai(rest)?)?;
            let is_named = served.model.is_some();
            let target = if is_named { target.ask_about_named_model() } else { target };
            Ok(Named::served(target, served))
        }
        "triton" if !rest.is_empty() => {
            Ok(Named::served(TritonTarget::new(served.triton(rest)?)?, served))
        }
        "triton-c" if !rest.is_empty() => {
            Ok(Named::served(TritonCTarget::new(served.triton_c(rest)?)?, served))
        }
        "text" if !rest.is_empty() => in_text(resolve(rest, settings, served)?),
        _ => Err(unknown()),
    }
}

/// What lies at a path, where it is a directory and not the name of a profile.
fn engine_directory(name: &str, path: &str) -> Result<Option<EngineDirectory>, TargetError> {
    let path = Path::new(path);
    let read = || EngineDirectory::read(path);
    let unusable = |error: crate::engine_directory::EngineDirectoryError| TargetError::Unusable {
        name: name.to_owned(),
        reason: error.to_string(),
    };
    path.is_dir().then(read).transpose().map_err(unusable)
}

/// The same target behind its tokenizer; one that has none gets the words of [`dummy_tokenizer`], one for each token, as it
/// does when it is served.
fn in_text(mut inner: Named) -> Result<Named, TargetError> {
    let info = inner.target.describe();
    if ["openai", "triton"].contains(&info.kind.as_str()) || info.name.starts_with("text:") {
        return Err(TargetError::Unusable {
            name: info.name.clone(),
            reason:
                "`text:` goes before an engine in this process, such as `text:local:dummy-nano`"
                    .into(),
        });
    }
    let words = info.limits.vocab_size.unwrap_or(FALLBACK_VOCABULARY) as usize;
    let tokenizer = inner.tokenizer()?.unwrap_or_else(|| dummy_tokenizer(words));
    let tokens = Tokens::Read(Box::new(tokenizer.clone()));
    Ok(Named { target: Box::new(TextTarget::new(inner.target, tokenizer)), tokens, ..inner })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    fn named_for(target: &str, tokenizer: PathBuf) -> (Named, ServedSettings) {
        let served = ServedSettings { tokenizer: Some(tokenizer), ..ServedSettings::default() };
        let named = resolve(target, &EngineSettings::default(), &served);
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
