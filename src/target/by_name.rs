//! Which target does a `--target` name mean?

use bareflight_engine::dummy_tokenizer;
use bareflight_engine::tokenizers::Tokenizer;

use crate::target::local::LocalTarget;
use crate::target::null::NullTarget;
use crate::target::openai::OpenAiTarget;
use crate::target::served::ServedSettings;
use crate::target::settings::EngineSettings;
use crate::target::sim::SimTarget;
use crate::target::text::TextTarget;
use crate::target::triton::TritonTarget;
use crate::target::{Target, TargetError};

/// What can be typed after `--target`.
pub const KINDS: &str = "`local:dummy-nano` or `local:MODEL_DIR` (embedded CPU engine), \
     `sim:PROFILE` (simulated executor, e.g. `sim:h200-llama3-8b-fp8`), `openai:URL`, `triton:HOST:PORT/MODEL`, \
     or `null:` (the harness's own floor)";

/// Words of targets that have no tokenizer, where they do not tell their vocabulary.
const FALLBACK_VOCABULARY: u32 = 32_000;

/// A described target, and what it knows of its tokens.
pub struct Named {
    /// What answers, not yet opened.
    pub target: Box<dyn Target>,
    special_ids: Vec<u32>,
    tokenizer: Option<Box<dyn FnOnce() -> Result<Tokenizer, TargetError>>>,
}

impl Named {
    fn without_tokenizer(target: impl Target + 'static, special_ids: Vec<u32>) -> Self {
        Self { target: Box::new(target), special_ids, tokenizer: None }
    }

    /// A target on a network, whose tokens are known only through the tokenizer that was named.
    fn served(target: impl Target + 'static, served: &ServedSettings) -> Self {
        let name = target.describe().name.clone();
        let served = served.clone();
        let tokenizer = served.tokenizer.is_some().then(|| {
            let read = move || {
                let tokenizer = served.read_tokenizer(&name)?;
                Ok(tokenizer.expect("a tokenizer was named"))
            };
            Box::new(read) as Box<dyn FnOnce() -> Result<Tokenizer, TargetError>>
        });
        Self { target: Box::new(target), special_ids: Vec::new(), tokenizer }
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
        self.tokenizer.take().map(|read| read()).transpose()
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
            Ok(Named::without_tokenizer(NullTarget::default(), Vec::new()))
        }
        "sim" if !rest.is_empty() => {
            let target = SimTarget::new(rest, settings.clone())?;
            Ok(Named::without_tokenizer(target, vec![SimTarget::END_ID]))
        }
        "local" if !rest.is_empty() => {
            let target = LocalTarget::new(rest, settings)?;
            let special_ids = target.end_ids().to_vec();
            let tokenizer = target.tokenizer_reader();
            Ok(Named { target: Box::new(target), special_ids, tokenizer: Some(tokenizer) })
        }
        "openai" if !rest.is_empty() => {
            Ok(Named::served(OpenAiTarget::new(served.openai(rest)?)?, served))
        }
        "triton" if !rest.is_empty() => {
            Ok(Named::served(TritonTarget::new(served.triton(rest)?)?, served))
        }
        "text" if !rest.is_empty() => in_text(resolve(rest, settings, served)?),
        _ => Err(unknown()),
    }
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
    let for_prompts = tokenizer.clone();
    Ok(Named {
        target: Box::new(TextTarget::new(inner.target, tokenizer)),
        special_ids: inner.special_ids,
        tokenizer: Some(Box::new(move || Ok(for_prompts))),
    })
}
