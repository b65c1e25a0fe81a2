//! Progress of an upload beside the run directory: which files and parts are there, written after each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::transfer::LocalFile;
use crate::settings::upload_place::UploadPlace;
use crate::store::write::write_whole;

const SCHEMA_VERSION: u32 = 1;

/// What is there, by the names of files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Progress {
    schema_version: u32,
    place: String,
    files: BTreeMap<String, FileProgress>,
}

/// How far one file has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FileProgress {
    /// The file that was meant, so that one that has changed since is sent anew.
    bytes: u64,
    modified_ns: u128,
    /// It is whole.
    pub is_there: bool,
    /// Bytes of each of its parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_bytes: Option<u64>,
    /// What the store calls the file in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Parts that are there, as the store calls them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<usize, String>,
}

/// The file beside a run directory, and what it holds.
pub struct ProgressFile<'a> {
    path: PathBuf,
    progress: Mutex<Progress>,
    is_told: AtomicBool,
    tell: &'a (dyn Fn(&str) + Sync),
}

impl<'a> ProgressFile<'a> {
    /// What is known of an upload of these files to this place; nothing where another upload or none was begun.
    pub fn open(
        folder: &Path,
        place: &UploadPlace,
        files: &[LocalFile],
        tell: &'a (dyn Fn(&str) + Sync),
    ) -> Self {
        let path = path_of(folder);
        let place = place.to_string();
        // What cannot be read is begun anew, which costs time and nothing else.
        let known = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let known =
            known.filter(|it: &Progress| it.schema_version == SCHEMA_VERSION && it.place == place);
        let mut known = known.map(|it| it.files).unwrap_or_default();
        let files = files
            .iter()
            .map(|file| {
                let is_same = |it: &FileProgress| {
                    (it.bytes, it.modified_ns) == (file.bytes, file.modified_ns)
                };
                let progress = known.remove(&file.name).filter(is_same);
                (file.name.clone(), progress.unwrap_or_else(|| fresh(file)))
            })
            .collect();
        let progress = Mutex::new(Progress { schema_version: SCHEMA_VERSION, place, files });
        Self { path, progress, is_told: AtomicBool::new(false), tell }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a file has come.
    pub fn of(&self, file: &LocalFile) -> FileProgress {
        self.lock().files.get(&file.name).cloned().unwrap_or_else(|| fresh(file))
    }

    /// Files that are there.
    pub fn there(&self) -> usize {
        self.lock().files.values().filter(|file| file.is_there).count()
    }

    /// Changes what is known of a file, and keeps it.
    pub fn note(&self, file: &LocalFile, change: impl FnOnce(&mut FileProgress)) {
        let mut progress = self.lock();
        change(progress.files.entry(file.name.clone()).or_insert_with(|| fresh(file)));
        let kept = serde_json::to_vec_pretty(&*progress)
            .map_err(|error| error.to_string())
            .and_then(|text| write_whole(&self.path, &text).map_err(|error| error.to_string()));
        drop(progress);
        if let Err(error) = kept
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            (self.tell)(&format!(
                "how far the upload comes is not kept, so that one that is ended begins anew: {error}"
            ));
        }
    }

    /// Sends a file anew, since the store has forgotten what there was of it.
    pub fn forget(&self, file: &LocalFile) {
        self.note(file, |progress| *progress = fresh(file));
    }

    /// Everything is there.
    pub fn remove(self) {
        // It may never have been written.
        let _gone = fs::remove_file(&self.path);
    }
}

fn fresh(file: &LocalFile) -> FileProgress {
    FileProgress { bytes: file.bytes, modified_ns: file.modified_ns, ..FileProgress::default() }
}

/// Beside the folder, so that the run stays as it is.
fn path_of(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{name}.upload.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_counts_for_the_same_place_and_the_same_file_alone() {
        let runs = tempfile::tempdir().expect("a folder");
        let folder = runs.path().join("run");
        let place: UploadPlace = "s3://b/a".parse().expect("a place");
        let file = LocalFile { name: "x.csv".into(), bytes: 9, modified_ns: 5 };
        let files = [file.clone()];
        let silent: &(dyn Fn(&str) + Sync) = &|_| {};
        let known = |place: &UploadPlace, files: &[LocalFile]| {
            ProgressFile::open(&folder, place, files, silent).of(&files[0])
        };
        let first = ProgressFile::open(&folder, &place, &files, silent);
        first.note(&file, |it| {
            it.id = Some("up".into());
            it.parts.insert(1, "tag".into());
        });
        assert!(!folder.exists(), "the run stays as it is");
        assert_eq!(known(&place, &files).parts.get(&1).map(String::as_str), Some("tag"));
        let changed = [LocalFile { modified_ns: 6, ..file.clone() }];
        assert_eq!(known(&place, &changed).id, None);
        let elsewhere: UploadPlace = "s3://b/c".parse().expect("a place");
        assert_eq!(known(&elsewhere, &files).id, None);
        first.remove();
        assert_eq!(known(&place, &files).id, None);
    }
}
