//! Atomic writes of files: temporary name, sync, rename, sync of the folder.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{path}` cannot be written ({doing}: {source}): check that its folder exists, is writable and has room"
)]
pub struct WriteError {
    /// The file that was meant.
    path: PathBuf,
    /// What was being done.
    doing: &'static str,
    /// What the system said.
    source: io::Error,
}

/// Writes `bytes` to `path`, in place of whatever stood there. Readers see the old file or the new one, never a part;
/// when the call returns, the new one survives a loss of power.
///
/// # Errors
/// When the system refuses; the old file, if any, is then untouched.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let failed = |doing| move |source| WriteError { path: path.to_owned(), doing, source };
    let temporary = temporary_name(path).map_err(failed("name"))?;
    let written = write_and_sync(&temporary, bytes)
        .map_err(failed("write"))
        .and_then(|()| replace(&temporary, path).map_err(failed("rename")));
    if let Err(error) = written {
        // What is left of the temporary file helps nobody, and the first error is the one worth telling.
        let _may_not_exist = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder_of(path).map_err(failed("sync folder"))
}

/// Held while a file takes the place of another.
static REPLACING: Mutex<()> = Mutex::new(());

/// The thread that has the last word.
static LAST: OnceLock<ThreadId> = OnceLock::new();

fn replace(temporary: &Path, path: &Path) -> io::Result<()> {
    if LAST.get() == Some(&thread::current().id()) {
        return fs::rename(temporary, path);
    }
    let _turn = REPLACING.lock().unwrap_or_else(PoisonError::into_inner);
    fs::rename(temporary, path)
}

/// From now on no thread but this one replaces a file: the program is about to end, and what this thread writes must stand.
pub fn have_the_last_word() {
    if LAST.set(thread::current().id()).is_ok() {
        std::mem::forget(REPLACING.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Temporary names that this process has given.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// Beside `path`, so that the rename stays on one file system; hidden, and of this call alone.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    hidden.push(format!(".{}-{number}.part", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        // A folder cannot be replaced by a file: the rename fails after the temporary file was written.
        let taken = folder.path().join("summary.json");
        fs::create_dir(&taken).unwrap();
        let error = write_whole(&taken, b"new").unwrap_err().to_string();
        assert!(error.contains("summary.json") && error.contains("check that"), "{error}");
        assert_eq!(names_in(folder.path()), ["summary.json"]);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_whole(&folder.path().join("nowhere").join("a.csv"), b"x").is_err());
    }

    #[test]
    fn the_new_file_takes_the_place_of_the_old_one_and_no_other_file_appears() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.csv");
        write_whole(&path, b"a longer old text").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(folder.path()), ["summary.csv"]);
    }
}
