//! Engine directory: configuration, files, limits, and checks before loading.
//!
//! Source of the format: `config.json` as `trtllm-build` writes it, and as TensorRT-LLM's own loader reads it.

pub mod check;
pub mod config;
pub mod end_token;
pub mod figures;
pub mod files;
pub(crate) mod fit;
pub mod memory;
pub mod mistaken;
mod section;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::request::Limits;
use crate::settings::engine::EngineSettings;

pub use check::{EngineProblem, PlannedUse, Severity};
pub use config::EngineConfig;
pub use end_token::{EndToken, EndTokenError};
pub use files::Files;
pub use mistaken::Mistaken;
pub use section::KeyError;

/// An engine directory as it lies on disk; nothing of it is loaded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineDirectory {
    /// Where it lies.
    pub path: PathBuf,
    /// Content of `config.json`.
    #[serde(flatten)]
    pub config: EngineConfig,
    /// What lies beside it.
    pub files: Files,
}

/// Why a directory cannot be read as an engine directory. One sentence, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum EngineDirectoryError {
    /// It is no directory.
    #[error("`{0}` is no directory: name the output directory of `trtllm-build`")]
    NotADirectory(PathBuf),
    /// It has no configuration, or one that cannot be read.
    #[error("`{}` cannot be read ({why}): name the output directory of `trtllm-build`", file.display())]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// Message of the system.
        why: io::Error,
    },
    /// Its configuration is no JSON.
    #[error("`{}` is no JSON ({why}): build the engine again", file.display())]
    NotJson {
        /// Which file.
        file: PathBuf,
        /// What was wrong.
        why: serde_json::Error,
    },
    /// It is something else that can be mistaken for an engine.
    #[error(transparent)]
    Mistaken(#[from] Mistaken),
    /// A key is missing or wrong.
    #[error("`{}` is not the configuration of an engine: {why}; build the engine again", file.display())]
    Key {
        /// Which file.
        file: PathBuf,
        /// Which key.
        why: KeyError,
    },
}

impl EngineDirectory {
    /// Reads the configuration and lists the files.
    ///
    /// # Errors
    /// When it is no engine directory; the text names the file, and the key in it.
    pub fn read(path: &Path) -> Result<Self, EngineDirectoryError> {
        if let Some(mistaken) = Mistaken::of(path) {
            return Err(mistaken.into());
        }
        if !path.is_dir() {
            return Err(EngineDirectoryError::NotADirectory(path.to_owned()));
        }
        let file = path.join("config.json");
        let unreadable = |why| EngineDirectoryError::Unreadable { file: file.clone(), why };
        let text = fs::read_to_string(&file).map_err(unreadable)?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|why| EngineDirectoryError::NotJson { file: file.clone(), why })?;
        let config = EngineConfig::of(&value)
            .map_err(|why| EngineDirectoryError::Key { file: file.clone(), why })?;
        let files = Files::of(path, &config).map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), config, files })
    }

    /// What the engine takes with these settings: beyond it, it would refuse a prompt or cut an output without a word.
    pub fn limits(&self, settings: &EngineSettings) -> Limits {
        let limits = &self.config.limits;
        let batch = settings.max_batch_size.unwrap_or(limits.max_batch_size);
        Limits {
            max_prompt_tokens: Some(self.longest_prompt(settings)),
            max_sequence_tokens: Some(limits.max_seq_len),
            vocab_size: Some(self.config.model.vocab_size),
            max_batch_size: Some(batch.min(limits.max_batch_size)),
            max_queue_size: settings.max_queue_size,
        }
    }

    /// Prompts that may be split reach up to one token below the sequence; others must fit one iteration, too.
    fn longest_prompt(&self, settings: &EngineSettings) -> u32 {
        let limits = &self.config.limits;
        let room = limits.max_seq_len.saturating_sub(1);
        if settings.chunked_context && self.config.plugins.paged_context_fmha {
            return room;
        }
        let iteration = settings.max_num_tokens.or(limits.max_num_tokens).unwrap_or(u32::MAX);
        room.min(limits.max_input_len).min(iteration)
    }
}

#[cfg(test)]
mod tests;
