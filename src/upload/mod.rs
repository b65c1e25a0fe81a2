//! Upload of run directories: to the object stores of clouds (feature `upload`) and to folders, in parts, resumed.
//!
//! Nothing here writes into the run directory. How far an upload has come lies beside it (`progress_file`), until it is whole.

mod cloud;
mod folder_store;
mod progress_file;
mod store;
mod transfer;

use std::fs;
use std::path::{Path, PathBuf};

pub use store::StoreError;

use crate::settings::upload_place::{Storage, UploadPlace};
use crate::store::run_directory::file;
use folder_store::FolderStore;
use progress_file::ProgressFile;
use store::Store;

/// Why a run directory is not, or not wholly, where it was to go.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The place cannot be written to.
    #[error("nothing can be written to {place}: {source}")]
    Place {
        /// Where to.
        place: String,
        /// What stands in the way.
        source: StoreError,
    },
    /// The folder cannot be read.
    #[error("`{0}` cannot be read ({1}): name a run directory")]
    Folder(PathBuf, #[source] std::io::Error),
    /// There is nothing to upload.
    #[error("`{0}` is no run directory: neither it nor a folder in it has a `{name}`", name = file::MANIFEST)]
    NoRun(PathBuf),
    /// One file has not come through.
    #[error(
        "upload to {place} has stopped at `{name}`, with {there} of {all} files there: {source}"
    )]
    Stopped {
        /// Where to.
        place: String,
        /// The file.
        name: String,
        /// Files that are there.
        there: usize,
        /// Files in all.
        all: usize,
        /// What stands in the way.
        source: StoreError,
    },
    /// The user wants the end.
    #[error("upload to {place} was interrupted, with {there} of {all} files there")]
    Interrupted {
        /// Where to.
        place: String,
        /// Files that are there.
        there: usize,
        /// Files in all.
        all: usize,
    },
}

/// What an upload has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// Where the folder is now.
    pub place: String,
    /// Files that are there.
    pub files: usize,
    /// Of these, files that an upload before this one had brought there.
    pub were_there: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Whether this build reaches a place at all.
///
/// # Errors
/// With the command that builds what is missing.
pub fn check_build(place: &UploadPlace) -> Result<(), StoreError> {
    if place.storage.is_cloud() { cloud::check_build(place) } else { Ok(()) }
}

/// Whether a place can be written to: a small object is put there and removed. What could not be removed is given back in words.
///
/// # Errors
/// When there are no credentials, or they do not suffice, or nobody answers.
pub fn probe(place: &UploadPlace) -> Result<Option<String>, UploadError> {
    let failed = |source| UploadError::Place { place: place.to_string(), source };
    let store = open(place, Patience::Short).map_err(failed)?;
    let name = format!(".bareflight-probe-{}", std::process::id());
    let key = place.key(&name);
    store.put_bytes(&key, b"bareflight looks whether it may write here\n").map_err(failed)?;
    let left = store.remove(&key).err();
    Ok(left.map(|error| {
        format!("the probe `{name}` stays at {place}, since it cannot be removed: {error}")
    }))
}

/// Brings a run directory to a place; goes on where an upload of it was ended.
///
/// # Errors
/// When it is not whole there.
pub fn upload(
    folder: &Path,
    place: &UploadPlace,
    is_stopped: &(dyn Fn() -> bool + Sync),
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Uploaded, UploadError> {
    let unreadable = |error| UploadError::Folder(folder.to_owned(), error);
    let folder = fs::canonicalize(folder).map_err(unreadable)?;
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "run".to_owned());
    let files = transfer::list(&folder).map_err(unreadable)?;
    if !files.iter().any(transfer::LocalFile::shows_a_run) {
        return Err(UploadError::NoRun(folder));
    }
    let store = open(place, Patience::Long)
        .map_err(|source| UploadError::Place { place: place.to_string(), source })?;
    let progress = ProgressFile::open(&folder, place, &files, tell);
    transfer::Transfer {
        folder: &folder,
        place: format!("{place}/{name}"),
        prefix: place.key(&name),
        files: &files,
        store: &*store,
        is_stopped,
        tell,
    }
    .run(progress)
}

/// How long a failing store is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Before a run.
    Short,
    /// With results in hand.
    Long,
}

fn open(place: &UploadPlace, patience: Patience) -> Result<Box<dyn Store>, StoreError> {
    match &place.storage {
        Storage::Folder(path) => Ok(Box::new(FolderStore::new(path.clone()))),
        _ => cloud::open(place, patience),
    }
}
