//! Errors of a workload file.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::parquet_rows::BUILD;
use crate::tokenizer::tokenize::TokenizeError;

/// Why a workload file cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatasetError {
    /// It cannot be opened or read.
    #[error("`{}` cannot be read: {why}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: Arc<io::Error>,
    },
    /// Parquet in a build without it.
    #[error("`{}` is Parquet, which this build does not read: build it with `{BUILD}`, or convert the file to JSONL", path.display())]
    ParquetNotBuilt {
        /// Which file.
        path: PathBuf,
    },
    /// A line that is not what the format has there.
    #[error("`{}`, line {line}: {reason}; mend it, or leave such lines out with `--skip-bad-lines`", path.display())]
    BadLine {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The file as a whole is not of its format.
    #[error("`{}`, line {line}: {reason}: it is no file of kind `{kind}`", path.display())]
    NotOfKind {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
        /// Which kind was typed.
        kind: &'static str,
    },
    /// Text without a tokenizer.
    #[error(
        "`{}` has {what} as text, and nothing counts its tokens: name the model's tokenizer with `--tokenizer FILE`{}",
        path.display(),
        if *what == "outputs" { ", or give their length with `--output-tokens N`" } else { "" }
    )]
    NoTokenizer {
        /// Which file.
        path: PathBuf,
        /// What is text.
        what: &'static str,
    },
    /// A turn without what later prompts repeat.
    #[error(
        "`{}`, line {line}: a turn has no recorded answer, which `--history recorded` repeats: leave it out to repeat the model's own",
        path.display()
    )]
    NoRecordedAnswer {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// An image that cannot be sent.
    #[error("`{}`, line {line}: its image cannot be sent: {reason}", path.display())]
    BadImage {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Ids where text is sent, without a tokenizer.
    #[error(
        "`{}`, line {line}: it has a prompt as token ids, and text is sent: name the model's tokenizer with `--tokenizer FILE`, or \
         send ids where the server takes them (`--endpoint completions --prompts ids`)",
        path.display()
    )]
    IdsAsText {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// A bound on what nothing counts.
    #[error(
        "`--max-isl` is about tokens, and nothing here counts those of `{}`: name the model's tokenizer with `--tokenizer FILE`, or \
         leave it out",
        path.display()
    )]
    Unbounded {
        /// Which file.
        path: PathBuf,
    },
    /// Nobody says how long an output is.
    #[error(
        "`{}`, line {line}: it has no output length: give `--output-tokens N`, or name a column with `--output-tokens-column`",
        path.display()
    )]
    NoOutputLength {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// Nothing is left.
    #[error("`{}` has no entry that can be asked: {tally}", path.display())]
    NoEntries {
        /// Which file.
        path: PathBuf,
        /// What was left out, in words.
        tally: String,
    },
    /// Token ids that the model does not have.
    #[error(
        "`{}`, line {line}: token id {id} is outside the vocabulary of {size} ids: the file was made with another tokenizer",
        path.display()
    )]
    OutsideVocabulary {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// The id.
        id: u32,
        /// Ids that there are.
        size: u32,
    },
    /// Arrivals that cannot be played.
    #[error("`{}` cannot be replayed: {why}", path.display())]
    Replay {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
}
