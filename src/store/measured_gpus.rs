//! File of the user's cache that keeps what each GPU was measured to do, by UUID: `bareflight/measured-gpus.json`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::specs::MeasuredGpu;
use crate::store::write::{WriteError, write_whole};

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The user has no folder for it.
    #[error("there is no folder for a cache: set `XDG_CACHE_HOME` or `HOME`")]
    NoFolder,
    /// A folder cannot be made.
    #[error("`{0}` cannot be made ({1}): set `XDG_CACHE_HOME` to a folder that is writable")]
    Folder(PathBuf, io::Error),
    /// It is there and cannot be read.
    #[error(
        "`{0}` cannot be read ({1}): remove it, and measure again with `bareflight doctor --probe-gpu`"
    )]
    Read(PathBuf, String),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// By UUID.
type ByUuid = BTreeMap<String, MeasuredGpu>;

/// Where the file lies for this user.
///
/// # Errors
/// When neither variable that names a place is set.
pub fn path() -> Result<PathBuf, CacheError> {
    let folder =
        |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    Ok(cache.ok_or(CacheError::NoFolder)?.join("bareflight/measured-gpus.json"))
}

/// What is known of the GPUs with these UUIDs, in their order; `None` where one of them was never measured.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn of(path: &Path, uuids: &[&str]) -> Result<Option<Vec<MeasuredGpu>>, CacheError> {
    let known = read(path)?;
    Ok(uuids.iter().map(|uuid| known.get(*uuid).cloned()).collect())
}

/// Keeps these, each in place of an earlier measurement of the same GPU.
///
/// # Errors
/// When the file cannot be read or written.
pub fn keep(path: &Path, measured: &[MeasuredGpu]) -> Result<(), CacheError> {
    let mut known = read(path)?;
    known.extend(measured.iter().map(|gpu| (gpu.uuid.clone(), gpu.clone())));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| CacheError::Folder(folder.to_owned(), error))?;
    }
    let text = serde_json::to_vec_pretty(&known)
        .map_err(|error| CacheError::Read(path.to_owned(), error.to_string()))?;
    Ok(write_whole(path, &text)?)
}

fn read(path: &Path) -> Result<ByUuid, CacheError> {
    let failed = |error: &dyn ToString| CacheError::Read(path.to_owned(), error.to_string());
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ByUuid::new()),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(uuid: &str, read: f64) -> MeasuredGpu {
        let uuid = uuid.to_owned();
        MeasuredGpu { uuid, read_bytes_per_s: Some(read), ..MeasuredGpu::default() }
    }

    #[test]
    fn each_gpu_keeps_its_last_measurement() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bareflight/measured-gpus.json");
        assert_eq!(of(&path, &["a"]).expect("no file is no error"), None);
        keep(&path, &[gpu("a", 1.0), gpu("b", 2.0)]).expect("kept");
        keep(&path, &[gpu("a", 3.0)]).expect("kept");
        let both = of(&path, &["b", "a"]).expect("it is read").expect("both are known");
        assert_eq!(both, [gpu("b", 2.0), gpu("a", 3.0)]);
        assert_eq!(of(&path, &["a", "c"]).expect("it is read"), None);
    }

    #[test]
    fn a_file_that_is_none_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("measured-gpus.json");
        fs::write(&path, "not JSON").expect("written");
        let error = of(&path, &["a"]).expect_err("no JSON").to_string();
        assert!(error.contains("measured-gpus.json") && error.contains("--probe-gpu"), "{error}");
    }
}
