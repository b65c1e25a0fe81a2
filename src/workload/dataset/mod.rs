//! Workloads from files: published formats read as a stream, entries chosen with the seed, lengths of a tokenizer.

pub mod bench_config;
pub mod choice;
pub mod choose;
mod columns;
pub mod convert;
mod elements;
pub mod entries;
mod error;
mod format;
mod formats;
mod histogram;
mod open;
mod parquet_rows;
pub mod profile;
mod records;
pub mod resolve;

pub use choice::{
    ConversationRules, FileKind, FileOrder, FileSource, FileWorkload, History, SourceError,
    TraceWindow,
};
pub use error::DatasetError;
pub use format::{Given, RawEntry, RawOutput};
