//! Store: what every place that is uploaded to can do.

use std::path::Path;

/// Why a store has not done what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The feature is off.
    #[error(
        "this build uploads to no cloud: build it with `cargo build --release --features upload`, or upload to `file:///FOLDER`"
    )]
    NotBuilt,
    /// A setting of the environment is missing or wrong.
    #[error("{0}")]
    Setting(String),
    /// Who asks may not.
    #[error("{words}: {remedy}")]
    Denied {
        /// What the store said.
        words: String,
        /// What helps.
        remedy: &'static str,
    },
    /// What was asked about is not there: a bucket, or an upload that the store has forgotten.
    #[error("{0}")]
    NotThere(String),
    /// Anything else, after it was tried again as often as it may help.
    #[error("{0}")]
    Failed(String),
    /// The file of the run cannot be read.
    #[error("the file cannot be read ({0})")]
    Unreadable(String),
}

/// A store. Calls wait for their end, and may come from several threads at once.
pub trait Store: Sync {
    /// Bytes of each part of a file of this size; `None` where the store takes it whole.
    fn part_bytes(&self, file_bytes: u64) -> Option<u64>;

    /// Puts bytes there under a name, whole or not at all.
    fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// The same with those of a file.
    fn put_file(&self, key: &str, path: &Path) -> Result<(), StoreError>;

    /// Removes what has a name.
    fn remove(&self, key: &str) -> Result<(), StoreError>;

    /// Begins a file in parts; what it is called from now on.
    fn begin(&self, key: &str) -> Result<String, StoreError>;

    /// Puts a part there; what the store calls it.
    fn put_part(
        &self,
        key: &str,
        id: &str,
        index: usize,
        bytes: Vec<u8>,
    ) -> Result<String, StoreError>;

    /// Makes one file of all of its parts.
    fn finish(&self, key: &str, id: &str, parts: Vec<String>) -> Result<(), StoreError>;
}
