//! Transfer of a folder's files: whole files and parts of large ones, several at once, the manifest last.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::progress_file::ProgressFile;
use super::store::{Store, StoreError};
use super::{UploadError, Uploaded};
use crate::clock::{Nanos, now};
use crate::store::run_directory::file;

/// Files and parts that are on their way at once.
const AT_ONCE: usize = 4;
/// How often a person hears of it.
const BETWEEN_WORDS: Duration = Duration::from_secs(5);

/// A file of the run directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Its path in the folder, with slashes.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// When it was changed last.
    pub modified_ns: u128,
}

impl LocalFile {
    /// How late it is sent: what says that a folder is a run comes after the rest of it.
    fn rank(&self) -> u8 {
        match self.name.as_str() {
            file::MANIFEST => 3,
            file::INDEX_JSON | file::COMPARISON_JSON => 2,
            name if name.rsplit('/').next() == Some(file::MANIFEST) => 1,
            _ => 0,
        }
    }

    /// Whether a folder that has it is a run, a comparison, cells, or a folder of runs.
    pub fn shows_a_run(&self) -> bool {
        self.rank() > 0 && self.name.matches('/').count() < 2
    }
}

/// Every file of a folder and of those in it, by name; manifests come last, that of the folder itself behind all others, so that
/// whoever finds it there finds everything.
pub fn list(folder: &Path) -> io::Result<Vec<LocalFile>> {
    let mut files = Vec::new();
    list_below(folder, "", &mut files)?;
    files.sort_by(|a, b| {
        let key = |it: &LocalFile| (it.rank(), it.name.clone());
        key(a).cmp(&key(b))
    });
    Ok(files)
}

fn list_below(folder: &Path, before: &str, files: &mut Vec<LocalFile>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            list_below(&entry.path(), &format!("{name}/"), files)?;
        } else if kind.is_file() {
            let metadata = entry.metadata()?;
            let seconds = i128::from(metadata.mtime()) * 1_000_000_000;
            let modified = seconds + i128::from(metadata.mtime_nsec());
            let modified_ns = modified.unsigned_abs();
            files.push(LocalFile { name, bytes: metadata.len(), modified_ns });
        }
    }
    Ok(())
}

/// One upload.
pub struct Transfer<'a> {
    pub folder: &'a Path,
    /// Where the folder will be, for people.
    pub place: String,
    /// What the names of its objects begin with.
    pub prefix: String,
    pub files: &'a [LocalFile],
    pub store: &'a dyn Store,
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
    pub tell: &'a (dyn Fn(&str) + Sync),
}

/// What one thread does next.
enum Job<'a> {
    Whole(&'a LocalFile),
    Part { file: &'a LocalFile, id: String, index: usize, part_bytes: u64 },
}

impl<'a> Job<'a> {
    fn file(&self) -> &'a LocalFile {
        match self {
            Self::Whole(file) | Self::Part { file, .. } => file,
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Whole(file) => file.bytes,
            Self::Part { file, index, part_bytes, .. } => {
                (*part_bytes).min(file.bytes.saturating_sub(*index as u64 * part_bytes))
            }
        }
    }
}

/// Why a transfer ends before its end.
enum Ended<'a> {
    Failed(&'a LocalFile, StoreError),
    Stopped,
}

impl Transfer<'_> {
    /// Brings everything there that is not there.
    pub fn run(&self, progress: ProgressFile<'_>) -> Result<Uploaded, UploadError> {
        let were_there = progress.there();
        let all = self.files.len();
        let outcome = match self.files.split_last() {
            None => Ok(()),
            Some((manifest, others)) => self
                .bring_again(others, &progress)
                .and_then(|()| self.bring_again(std::slice::from_ref(manifest), &progress)),
        };
        let (place, there) = (self.place.clone(), progress.there());
        match outcome {
            Ok(()) => {
                progress.remove();
                let bytes = self.files.iter().map(|file| file.bytes).sum();
                Ok(Uploaded { place, files: all, were_there, bytes })
            }
            Err(Ended::Stopped) => Err(UploadError::Interrupted { place, there, all }),
            Err(Ended::Failed(file, source)) => {
                let name = file.name.clone();
                Err(UploadError::Stopped { place, name, there, all, source })
            }
        }
    }

    /// The same; a file in parts that the store has forgotten since is begun anew, once.
    fn bring_again<'f>(
        &self,
        files: &'f [LocalFile],
        progress: &ProgressFile<'_>,
    ) -> Result<(), Ended<'f>> {
        let resumed: Vec<&LocalFile> =
            files.iter().filter(|file| progress.of(file).id.is_some()).collect();
        for _ in 0..=resumed.len() {
            match self.bring(files, progress) {
                Err(Ended::Failed(file, StoreError::NotThere(_)))
                    if resumed.contains(&file) && !progress.of(file).parts.is_empty() =>
                {
                    progress.forget(file);
                }
                other => return other,
            }
        }
        self.bring(files, progress)
    }

    fn bring<'f>(
        &self,
        files: &'f [LocalFile],
        progress: &ProgressFile<'_>,
    ) -> Result<(), Ended<'f>> {
        let mut jobs = Vec::new();
        let mut in_parts = Vec::new();
        for file in files {
            let known = progress.of(file);
            if known.is_there {
                continue;
            }
            let Some(part_bytes) = known.part_bytes.or_else(|| self.store.part_bytes(file.bytes))
            else {
                jobs.push(Job::Whole(file));
                continue;
            };
            let id = match known.id {
                Some(id) => id,
                None => self.begin(file, part_bytes, progress)?,
            };
            let count = file.bytes.div_ceil(part_bytes) as usize;
            let missing = (0..count).filter(|index| !known.parts.contains_key(index));
            jobs.extend(missing.map(|index| Job::Part { file, id: id.clone(), index, part_bytes }));
            in_parts.push((file, id));
        }
        self.work(&jobs, progress)?;
        for (file, id) in in_parts {
            let parts = progress.of(file).parts.into_values().collect();
            self.store
                .finish(&self.key(file), &id, parts)
                .map_err(|error| Ended::Failed(file, error))?;
            progress.note(file, |it| it.is_there = true);
        }
        Ok(())
    }

    fn begin<'f>(
        &self,
        file: &'f LocalFile,
        part_bytes: u64,
        progress: &ProgressFile<'_>,
    ) -> Result<String, Ended<'f>> {
        let begun = self.store.begin(&self.key(file));
        let id = begun.map_err(|error| Ended::Failed(file, error))?;
        progress.note(file, |it| {
            it.part_bytes = Some(part_bytes);
            it.id = Some(id.clone());
        });
        Ok(id)
    }

    /// Several threads take one job after the other until one fails or the user wants the end.
    fn work<'f>(&self, jobs: &[Job<'f>], progress: &ProgressFile<'_>) -> Result<(), Ended<'f>> {
        let next = AtomicUsize::new(0);
        let ended = Mutex::new(None);
        let total: u64 = jobs.iter().map(Job::bytes).sum();
        let told = Mutex::new((0, now()));
        let work = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = if (self.is_stopped)() {
                    Err(None)
                } else {
                    self.one(job, progress).map_err(Some)
                };
                if let Err(error) = done {
                    next.store(jobs.len(), Ordering::Relaxed);
                    let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                    ended.get_or_insert((job, error));
                    return;
                }
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                told.0 += job.bytes();
                if now() - told.1 > Nanos::from_secs_f64(BETWEEN_WORDS.as_secs_f64()) {
                    told.1 = now();
                    let share = told.0 as f64 / total.max(1) as f64 * 100.0;
                    (self.tell)(&format!("uploaded {share:.0} % to {}", self.place));
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..AT_ONCE.min(jobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        match ended.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((_, None)) => Err(Ended::Stopped),
            Some((job, Some(error))) => Err(Ended::Failed(job.file(), error)),
        }
    }

    fn one(&self, job: &Job<'_>, progress: &ProgressFile<'_>) -> Result<(), StoreError> {
        let file = job.file();
        let (key, path) = (self.key(file), self.folder.join(&file.name));
        match job {
            Job::Whole(_) => {
                self.store.put_file(&key, &path)?;
                progress.note(file, |it| it.is_there = true);
            }
            Job::Part { id, index, part_bytes, .. } => {
                let bytes = read_part(&path, *index as u64 * part_bytes, job.bytes())
                    .map_err(|error| StoreError::Unreadable(error.to_string()))?;
                let tag = self.store.put_part(&key, id, *index, bytes)?;
                progress.note(file, |it| {
                    it.parts.insert(*index, tag);
                });
            }
        }
        Ok(())
    }

    fn key(&self, file: &LocalFile) -> String {
        format!("{}/{}", self.prefix, file.name)
    }
}

fn read_part(path: &Path, from: u64, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count as usize];
    File::open(path)?.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::settings::upload_place::UploadPlace;
    use crate::upload::progress_file::FileProgress;

    /// Keeps what it is given; fails at a part as often as it is told to.
    #[derive(Default)]
    struct Kept {
        calls: Mutex<Vec<String>>,
        parts: Mutex<BTreeMap<(String, usize), Vec<u8>>>,
        fails: Mutex<Vec<(usize, StoreError)>>,
    }

    impl Kept {
        fn calls(&self) -> Vec<String> {
            std::mem::take(&mut *self.calls.lock().expect("no panic"))
        }

        fn called(&self, call: String) {
            self.calls.lock().expect("no panic").push(call);
        }
    }

    impl Store for Kept {
        fn part_bytes(&self, file_bytes: u64) -> Option<u64> {
            (file_bytes > 4).then_some(4)
        }

        fn put_bytes(&self, key: &str, _: &[u8]) -> Result<(), StoreError> {
            self.called(format!("put {key}"));
            Ok(())
        }

        fn put_file(&self, key: &str, _: &Path) -> Result<(), StoreError> {
            self.put_bytes(key, b"")
        }

        fn remove(&self, _: &str) -> Result<(), StoreError> {
            Ok(())
        }

        fn begin(&self, key: &str) -> Result<String, StoreError> {
            self.called(format!("begin {key}"));
            Ok("id".to_owned())
        }

        fn put_part(
            &self,
            key: &str,
            _: &str,
            index: usize,
            bytes: Vec<u8>,
        ) -> Result<String, StoreError> {
            let mut fails = self.fails.lock().expect("no panic");
            if let Some(at) = fails.iter().position(|(failing, _)| *failing == index) {
                return Err(fails.remove(at).1);
            }
            self.called(format!("part {index}"));
            self.parts.lock().expect("no panic").insert((key.to_owned(), index), bytes);
            Ok(format!("tag {index}"))
        }

        fn finish(&self, key: &str, _: &str, parts: Vec<String>) -> Result<(), StoreError> {
            self.called(format!("finish {key} {}", parts.join(",")));
            Ok(())
        }
    }

    fn bring(folder: &Path, store: &Kept) -> Result<Uploaded, UploadError> {
        let files = list(folder).expect("a folder");
        let place: UploadPlace = "s3://b".parse().expect("a place");
        let progress = ProgressFile::open(folder, &place, &files, &|_| {});
        Transfer {
            folder,
            place: "there".into(),
            prefix: "run".into(),
            files: &files,
            store,
            is_stopped: &|| false,
            tell: &|_| {},
        }
        .run(progress)
    }

    fn run_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path().join("run");
        fs::create_dir_all(run.join("plots")).expect("a folder");
        fs::write(run.join("manifest.json"), "{}").expect("written");
        fs::write(run.join("plots/a.svg"), "<>").expect("written");
        fs::write(run.join("z.csv"), "0123456789").expect("written");
        folder
    }

    #[test]
    fn large_files_go_in_parts_and_the_manifest_last() {
        let folder = run_folder();
        let store = Kept::default();
        let done = bring(&folder.path().join("run"), &store).expect("uploaded");
        assert_eq!((done.files, done.were_there, done.bytes), (3, 0, 14));
        let calls = store.calls();
        assert_eq!(calls.first().map(String::as_str), Some("begin run/z.csv"));
        assert_eq!(calls.last().map(String::as_str), Some("put run/manifest.json"));
        let finished = "finish run/z.csv tag 0,tag 1,tag 2".to_owned();
        assert!(calls.contains(&finished), "{calls:?}");
        let parts = store.parts.lock().expect("no panic");
        let whole: Vec<u8> = parts.values().flatten().copied().collect();
        assert_eq!(whole, b"0123456789");
        assert_eq!(
            fs::read_dir(folder.path()).expect("a folder").count(),
            1,
            "no progress is left"
        );
    }

    #[test]
    fn what_is_there_is_not_sent_again() {
        let folder = run_folder();
        let run = folder.path().join("run");
        let denied = StoreError::Failed("cut".into());
        let store = Kept { fails: Mutex::new(vec![(2, denied)]), ..Kept::default() };
        let error = bring(&run, &store).expect_err("cut").to_string();
        assert!(error.contains("z.csv") && error.contains("of 3 files there: cut"), "{error}");
        let first: Vec<String> =
            store.calls().into_iter().filter(|call| call.starts_with("part")).collect();
        bring(&run, &store).expect("uploaded");
        let second = store.calls();
        assert!(first.iter().all(|call| !second.contains(call)), "{first:?} {second:?}");
        assert!(!second.iter().any(|call| call.starts_with("begin")), "{second:?}");
        assert!(second.contains(&"part 2".to_owned()), "{second:?}");
    }

    #[test]
    fn an_upload_that_the_store_has_forgotten_is_begun_anew() {
        let folder = run_folder();
        let run = folder.path().join("run");
        let files = list(&run).expect("a folder");
        let place: UploadPlace = "s3://b".parse().expect("a place");
        let progress = ProgressFile::open(&run, &place, &files, &|_| {});
        let large = files.iter().find(|file| file.name == "z.csv").expect("there");
        progress.note(large, |it: &mut FileProgress| {
            it.id = Some("old".into());
            it.part_bytes = Some(4);
            it.parts.insert(0, "tag".into());
        });
        let gone = StoreError::NotThere("NoSuchUpload".into());
        let store = Kept { fails: Mutex::new(vec![(1, gone)]), ..Kept::default() };
        bring(&run, &store).expect("uploaded");
        let calls = store.calls();
        assert!(calls.contains(&"begin run/z.csv".to_owned()), "{calls:?}");
        assert!(calls.contains(&"part 0".to_owned()), "{calls:?}");
    }
}
