//! Files of an engine directory, present and missing.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::engine_directory::config::{EngineConfig, Layout};

/// The files beside `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Files {
    /// One serialised engine for each rank, in the order of ranks.
    pub ranks: Vec<RankFile>,
    /// `tokenizer.json`, where one lies here too.
    pub tokenizer: Option<PathBuf>,
}

/// The serialised engine of one rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RankFile {
    /// Its name in the directory.
    pub name: String,
    /// Its size; `None` where there is no such file.
    pub bytes: Option<u64>,
}

impl Files {
    /// Looks for the files that a configuration calls for.
    pub(super) fn of(directory: &Path, config: &EngineConfig) -> io::Result<Self> {
        let names = match config.layout {
            Layout::Current => {
                (0..config.mapping.world_size()).map(|rank| format!("rank{rank}.engine")).collect()
            }
            Layout::Legacy => legacy_names(config),
        };
        let ranks = names
            .into_iter()
            .map(|name: String| {
                let file = std::fs::metadata(directory.join(&name))
                    .ok()
                    .filter(std::fs::Metadata::is_file);
                RankFile { name, bytes: file.map(|it| it.len()) }
            })
            .collect();
        let tokenizer = directory.join("tokenizer.json");
        let tokenizer = tokenizer.try_exists()?.then_some(tokenizer);
        Ok(Self { ranks, tokenizer })
    }

    /// The ranks without a file.
    pub fn missing(&self) -> Vec<&str> {
        let missing = self.ranks.iter().filter(|rank| rank.bytes.is_none());
        missing.map(|rank| rank.name.as_str()).collect()
    }
}

/// `llama_float16_tp1_rank0.engine`, as the scripts before `trtllm-build` called them.
fn legacy_names(config: &EngineConfig) -> Vec<String> {
    let (model, dtype) = (&config.model.architecture, config.model.dtype.word());
    let tensor = config.mapping.tensor;
    let pipeline = match config.mapping.pipeline {
        1 => String::new(),
        stages => format!("_pp{stages}"),
    };
    (0..config.mapping.world_size())
        .map(|rank| format!("{model}_{dtype}_tp{tensor}{pipeline}_rank{rank}.engine"))
        .collect()
}
