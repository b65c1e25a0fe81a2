//! Search for shared libraries in the dynamic loader's order, without loading them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::doctor::elf::{Dynamic, ElfError};

/// Where the loader looks beside what objects say themselves.
#[derive(Debug, Clone, Default)]
pub struct SearchPaths {
    /// `LD_LIBRARY_PATH`.
    pub library_path: Vec<PathBuf>,
    /// What `ldconfig` has found: name to path.
    pub cache: HashMap<String, PathBuf>,
    /// Folders that are always searched.
    pub default_folders: Vec<PathBuf>,
}

/// A library that would not be found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Its name, e.g. `libnvinfer.so.10`.
    pub name: String,
    /// The object that needs it.
    pub needed_by: PathBuf,
}

/// What became of one object and all that it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Everything that would be loaded.
    pub found: BTreeSet<PathBuf>,
    /// Names of everything that is needed, found or not.
    pub needed: BTreeSet<String>,
    /// What would not be found.
    pub missing: BTreeSet<Missing>,
    /// Objects that cannot be read, with the reason.
    pub unreadable: BTreeSet<(PathBuf, String)>,
}

impl SearchPaths {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let library_path = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        Self {
            library_path: std::env::split_paths(&library_path)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            cache: fs::read("/etc/ld.so.cache").map(|bytes| read_cache(&bytes)).unwrap_or_default(),
            default_folders: ["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from).into(),
        }
    }

    /// Where a name would be found by `dlopen`, or by an object without search paths of its own.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        self.find_for(name, &[], &[], Path::new("/"))
    }

    fn find_for(
        &self,
        name: &str,
        rpaths: &[PathBuf],
        runpath: &[PathBuf],
        origin: &Path,
    ) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(origin.join(name)).filter(|path| path.exists());
        }
        let in_folders = |folders: &[PathBuf]| {
            folders.iter().map(|folder| folder.join(name)).find(|path| path.exists())
        };
        in_folders(rpaths)
            .or_else(|| in_folders(&self.library_path))
            .or_else(|| in_folders(runpath))
            .or_else(|| self.cache.get(name).filter(|path| path.exists()).cloned())
            .or_else(|| in_folders(&self.default_folders))
    }

    /// Follows everything that `start` needs.
    ///
    /// # Errors
    /// When `start` itself cannot be read.
    pub fn resolve(&self, start: &Path) -> Result<Resolution, ElfError> {
        let first = Dynamic::read(start)?;
        let mut resolution = Resolution::default();
        let mut seen_names = BTreeSet::new();
        let mut waiting = VecDeque::from([(start.to_owned(), first, Vec::new())]);
        while let Some((object, dynamic, inherited)) = waiting.pop_front() {
            let origin = origin_of(&object);
            let folders = |list: &[String]| -> Vec<PathBuf> {
                list.iter().map(|folder| expand(folder, &origin)).collect()
            };
            let runpath = folders(&dynamic.runpath);
            // An object with a run path has no say through its rpath, and does not look at those above it.
            let own = if runpath.is_empty() { folders(&dynamic.rpath) } else { Vec::new() };
            let for_children: Vec<PathBuf> = own.into_iter().chain(inherited).collect();
            let rpaths = if runpath.is_empty() { &for_children[..] } else { &[] };
            for name in dynamic.needed {
                if !seen_names.insert(name.clone()) {
                    continue;
                }
                resolution.needed.insert(name.clone());
                let Some(path) = self.find_for(&name, rpaths, &runpath, &origin) else {
                    resolution.missing.insert(Missing { name, needed_by: object.clone() });
                    continue;
                };
                match Dynamic::read(&path) {
                    Ok(next) => waiting.push_back((path.clone(), next, for_children.clone())),
                    Err(error) => {
                        resolution.unreadable.insert((path.clone(), error.to_string()));
                    }
                }
                resolution.found.insert(path);
            }
        }
        Ok(resolution)
    }
}

/// The folder that `$ORIGIN` stands for: links are followed, as the loader does.
fn origin_of(object: &Path) -> PathBuf {
    let real = fs::canonicalize(object).unwrap_or_else(|_| object.to_owned());
    real.parent().map(Path::to_owned).unwrap_or_default()
}

fn expand(folder: &str, origin: &Path) -> PathBuf {
    let origin = origin.to_string_lossy();
    PathBuf::from(folder.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin))
}

/// Name and path of every 64-bit library in `/etc/ld.so.cache`, in glibc's format since 2.2.
fn read_cache(bytes: &[u8]) -> HashMap<String, PathBuf> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    const HEAD: usize = 48;
    const ENTRY: usize = 24;
    /// In the flags of an entry: the kind of machine, 0 where there is only a 32-bit one.
    const MACHINE: u32 = 0xff00;
    let Some(start) = memchr::memmem::find(bytes, MAGIC) else { return HashMap::new() };
    let cache = &bytes[start..];
    let number = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(cache.get(at..at + 4)?.try_into().ok()?))
    };
    let text = |at: u32| -> Option<String> {
        let rest = cache.get(at as usize..)?;
        let end = memchr::memchr(0, rest)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let count = number(MAGIC.len()).unwrap_or(0) as usize;
    let mut found = HashMap::new();
    for entry in (0..count).map(|index| HEAD + index * ENTRY) {
        let Some((flags, (name, path))) = number(entry)
            .zip(number(entry + 4).and_then(text).zip(number(entry + 8).and_then(text)))
        else {
            break;
        };
        if flags & MACHINE != 0 {
            found.entry(name).or_insert_with(|| PathBuf::from(path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn everything_that_this_program_runs_on_is_found() {
        let own = std::env::current_exe().expect("a path");
        let resolution = SearchPaths::of_this_process().resolve(&own).expect("an ELF file");
        assert!(resolution.missing.is_empty(), "{:?}", resolution.missing);
        assert!(resolution.needed.contains("libc.so.6"), "{:?}", resolution.needed);
    }

    /// `program` needs `libmiddle.so`, which needs `libdeep.so`.
    fn three_objects(run_path: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let here = |name: &str| folder.path().join(name);
        fs::create_dir(here("lib")).expect("made");
        fs::write(here("deep.c"), "int deep(void) { return 1; }").expect("written");
        fs::write(here("middle.c"), "int deep(void); int middle(void) { return deep(); }")
            .expect("written");
        fs::write(here("program.c"), "int middle(void); int main(void) { return middle(); }")
            .expect("written");
        let compile = |arguments: &[&str]| {
            let done = Command::new("cc").args(arguments).current_dir(folder.path()).status();
            assert!(done.expect("a C compiler").success(), "{arguments:?}");
        };
        compile(&["-shared", "-fPIC", "deep.c", "-o", "lib/libdeep.so"]);
        compile(&["-shared", "-fPIC", "middle.c", "-o", "lib/libmiddle.so", "-Llib", "-ldeep"]);
        let linker = format!("-Wl,--allow-shlib-undefined,{run_path}");
        compile(&["program.c", "-o", "program", "-Llib", "-lmiddle", &linker]);
        folder
    }

    fn names(resolution: &Resolution) -> Vec<&str> {
        resolution.missing.iter().map(|missing| missing.name.as_str()).collect()
    }

    #[test]
    fn a_run_path_holds_for_its_own_object_and_an_rpath_for_all_below() {
        let paths = SearchPaths::of_this_process();
        let folder = three_objects("--enable-new-dtags,-rpath,$ORIGIN/lib");
        let own_only = paths.resolve(&folder.path().join("program")).expect("an ELF file");
        assert_eq!(names(&own_only), ["libdeep.so"]);
        let folder = three_objects("--disable-new-dtags,-rpath,$ORIGIN/lib");
        let inherited = paths.resolve(&folder.path().join("program")).expect("an ELF file");
        assert_eq!(names(&inherited), [""; 0]);
    }

    #[test]
    fn the_library_path_mends_what_was_missing_and_a_missing_one_is_named_with_what_needs_it() {
        let folder = three_objects("--enable-new-dtags");
        let program = folder.path().join("program");
        let mut paths = SearchPaths::of_this_process();
        let missing = paths.resolve(&program).expect("an ELF file").missing;
        let wanted = Missing { name: "libmiddle.so".into(), needed_by: program.clone() };
        assert_eq!(missing.into_iter().collect::<Vec<_>>(), [wanted]);
        paths.library_path.push(folder.path().join("lib"));
        assert_eq!(names(&paths.resolve(&program).expect("an ELF file")), [""; 0]);
    }

    #[test]
    fn a_damaged_cache_names_what_can_be_read_and_no_more() {
        assert!(read_cache(b"").is_empty());
        let mut cache = b"glibc-ld.so.cache1.1".to_vec();
        cache.extend([0xff; 40]);
        assert!(read_cache(&cache).is_empty());
    }
}
