//! Folder as a store: files are copied under a temporary name, synced and renamed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::store::{Store, StoreError};

/// A folder of this machine.
#[derive(Debug)]
pub struct FolderStore {
    root: PathBuf,
}

impl FolderStore {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Lets `write` fill a file that has its name only when it is whole.
    fn put(&self, key: &str, mut from: impl io::Read) -> Result<(), StoreError> {
        let path = self.root.join(key);
        let folder = path.parent().unwrap_or(&self.root);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let temporary = folder.join(format!(".{name}.upload-{}", std::process::id()));
        let written = fs::create_dir_all(folder)
            .and_then(|()| File::create(&temporary))
            .and_then(|mut file| {
                io::copy(&mut from, &mut file)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|error| {
            // The first error is the one worth telling.
            let _may_not_exist = fs::remove_file(&temporary);
            refused(&path, &error)
        })
    }
}

fn refused(path: &Path, error: &io::Error) -> StoreError {
    let words = format!("`{}` cannot be written ({error})", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Denied { words, remedy: "name a folder that you may write to" }
        }
        _ => StoreError::Failed(words),
    }
}

impl Store for FolderStore {
    fn part_bytes(&self, _file_bytes: u64) -> Option<u64> {
        None
    }

    fn put_bytes(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(key, bytes)
    }

    fn put_file(&self, key: &str, path: &Path) -> Result<(), StoreError> {
        let file = File::open(path).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        self.put(key, file)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        let path = self.root.join(key);
        fs::remove_file(&path).map_err(|error| refused(&path, &error))
    }

    fn begin(&self, key: &str) -> Result<String, StoreError> {
        Err(StoreError::Failed(format!("a folder takes `{key}` whole")))
    }

    fn put_part(&self, key: &str, _: &str, _: usize, _: Vec<u8>) -> Result<String, StoreError> {
        self.begin(key)
    }

    fn finish(&self, key: &str, _: &str, _: Vec<String>) -> Result<(), StoreError> {
        self.begin(key).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_nothing_else_stays() {
        let root = tempfile::tempdir().expect("a folder");
        let store = FolderStore::new(root.path().join("new"));
        store.put_bytes("a/b.txt", b"12").expect("written");
        store.put_bytes("a/b.txt", b"3").expect("written again");
        let folder = root.path().join("new/a");
        assert_eq!(fs::read_to_string(folder.join("b.txt")).expect("read"), "3");
        assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 1);
        store.remove("a/b.txt").expect("removed");
        let blocked = root.path().join("file");
        fs::write(&blocked, "").expect("written");
        let error = FolderStore::new(blocked).put_bytes("x", b"").expect_err("no folder");
        assert!(error.to_string().contains("file/x"), "{error}");
    }
}
