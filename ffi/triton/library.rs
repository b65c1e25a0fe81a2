//! Search for Triton's library, and loading of its functions.

use std::fmt;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use super::bindings::TritonApi;
use super::server::CoreError;

/// `libtritonserver`, loaded for as long as the process lives.
pub struct Library {
    // Never unloaded: the library leaves threads and thread-local destructors behind that point into its code.
    pub(super) api: ManuallyDrop<TritonApi>,
    /// Major and minor version of its C API.
    pub version: (u32, u32),
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Error of loading the library. The message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is in none of the places.
    #[error(
        "there is no libtritonserver.so in {places}; name the file or its folder with --triton-library"
    )]
    NotFound {
        /// Searched places.
        places: String,
    },
    /// It exists and does not load.
    #[error(
        "`{path}` cannot be loaded: {reason}; what it needs must lie beside it or on LD_LIBRARY_PATH"
    )]
    Unloadable {
        /// Which file.
        path: String,
        /// The loader's message.
        reason: String,
    },
    /// It loads and lacks a function.
    #[error(
        "`{path}` lacks a function of Triton's C API ({reason}): is it libtritonserver, of release 23.10 or later?"
    )]
    Lacking {
        /// Which file.
        path: String,
        /// The loader's message, which names the function.
        reason: String,
    },
    /// It has another version of the API.
    #[error(
        "`{path}` speaks version {major}.{minor} of Triton's C API, and only 1.x is known here"
    )]
    OtherVersion {
        /// Which file.
        path: String,
        /// Its major version.
        major: u32,
        /// Its minor version.
        minor: u32,
    },
    /// It does not report its version.
    #[error("`{path}` does not say which version of Triton's C API it speaks: {error}")]
    Speechless {
        /// Which file.
        path: String,
        /// The library's message.
        error: CoreError,
    },
}

/// Usual places.
const USUAL: [&str; 3] =
    ["/opt/tritonserver/lib", "/usr/local/lib/tritonserver", "/usr/lib/tritonserver"];

impl Library {
    /// The library that was named, as a file or as its folder; else the first found in the usual places: those of
    /// NVIDIA's image, and the wheel `nvidia-pytriton` in the active virtual environment.
    ///
    /// # Errors
    /// [`LoadError::NotFound`], which lists the searched places.
    pub fn find(named: Option<&Path>) -> Result<PathBuf, LoadError> {
        let folders = match named {
            Some(path) => vec![path.to_owned()],
            None => usual_places(),
        };
        folders.iter().find_map(|folder| in_folder_or_itself(folder)).ok_or_else(|| {
            let places: Vec<_> =
                folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
            LoadError::NotFound { places: places.join(", ") }
        })
    }

    /// Loads it.
    ///
    /// # Errors
    /// With the loader's message, or the version that is not known here.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let shown = path.display().to_string();
        // SAFETY: loading runs the library's initialisers, which is what the user asked for by naming it; the header's
        // signatures are those of the library, whose version is checked below before anything else is called.
        let api = unsafe { TritonApi::new(path) }.map_err(|error| match error {
            libloading::Error::DlSym { .. } | libloading::Error::DlSymUnknown => {
                LoadError::Lacking { path: shown.clone(), reason: error.to_string() }
            }
            _ => LoadError::Unloadable { path: shown.clone(), reason: error.to_string() },
        })?;
        let mut library = Self { api: ManuallyDrop::new(api), version: (0, 0) };
        match library.ask_version() {
            Ok(version @ (1, _)) => library.version = version,
            Ok((major, minor)) => {
                return Err(LoadError::OtherVersion { path: shown, major, minor });
            }
            Err(error) => return Err(LoadError::Speechless { path: shown, error }),
        }
        Ok(library)
    }

    fn ask_version(&self) -> Result<(u32, u32), CoreError> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both are places to write to.
        self.check(unsafe { self.api.TRITONSERVER_ApiVersion(&raw mut major, &raw mut minor) })?;
        Ok((major, minor))
    }

    /// The folder of backends that belongs to a library: beside the folder it lies in, as in NVIDIA's image, or in the
    /// wheel that brought it. `None` where neither is there; the core then looks in `/opt/tritonserver/backends`.
    pub fn backends_of(library: &Path) -> Option<PathBuf> {
        let around = library.parent()?.parent()?;
        [around.join("backends"), around.join("pytriton/tritonserver/backends")]
            .into_iter()
            .find(|folder| folder.is_dir())
    }
}

fn usual_places() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = USUAL.iter().map(PathBuf::from).collect();
    if let Some(venv) = std::env::var_os("VIRTUAL_ENV") {
        folders.extend(wheels_in(Path::new(&venv)));
    }
    folders
}

fn wheels_in(venv: &Path) -> Vec<PathBuf> {
    let Ok(pythons) = std::fs::read_dir(venv.join("lib")) else { return Vec::new() };
    pythons
        .filter_map(Result::ok)
        .map(|python| python.path().join("site-packages/nvidia_pytriton.libs"))
        .filter(|folder| folder.is_dir())
        .collect()
}

/// A wheel puts a hash into the name.
fn in_folder_or_itself(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let is_it = |name: &str| name.starts_with("libtritonserver") && name.contains(".so");
    let mut found: Vec<_> = std::fs::read_dir(path)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(is_it))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A library that exports what the header declares (except `lacking`) and reports version `major`.7.
    fn library(folder: &Path, major: u32, lacking: &str) -> PathBuf {
        let declared = include_str!("tritonserver.h")
            .split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '(')
            .filter_map(|word| word.split_once('(')?.0.strip_prefix("TRITONSERVER_"))
            .filter(|name| *name != lacking && *name != "ApiVersion");
        let mut source = format!(
            "#include <stdint.h>\nvoid* TRITONSERVER_ApiVersion(uint32_t* major, uint32_t* minor)\n\
             {{ *major = {major}; *minor = 7; return 0; }}\n"
        );
        for name in declared {
            source += "void TRITONSERVER_";
            source += name;
            source += "(void) {}\n";
        }
        let (code, made) = (folder.join("made.c"), folder.join("libtritonserver-0.so"));
        std::fs::write(&code, source).unwrap();
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&made).arg(&code);
        assert!(compiler.status().unwrap().success());
        made
    }

    fn refusal(path: &Path) -> String {
        Library::load(path).expect_err("it cannot be used").to_string()
    }

    #[test]
    fn a_library_that_is_not_there_is_named_with_the_remedy() {
        let error = Library::find(Some(Path::new("/nowhere/lib.so"))).unwrap_err().to_string();
        assert!(
            error.contains("`/nowhere/lib.so`") && error.contains("--triton-library"),
            "{error}"
        );
    }

    #[test]
    fn where_no_library_is_named_all_usual_places_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("lib/python3.11/site-packages/nvidia_pytriton.libs");
        std::fs::create_dir_all(&wheel).unwrap();
        assert_eq!(wheels_in(folder.path()), [wheel]);
        assert!(wheels_in(Path::new("/nowhere")).is_empty());
        assert!(usual_places().starts_with(&USUAL.map(PathBuf::from)));
    }

    #[test]
    fn a_file_that_is_no_library_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libtritonserver-0.so");
        std::fs::write(&file, "not a library").unwrap();
        assert_eq!(Library::find(Some(folder.path())).unwrap(), file);
        let error = refusal(&file);
        assert!(error.contains("libtritonserver-0.so` cannot be loaded"), "{error}");
    }

    #[test]
    fn a_library_without_one_of_the_functions_is_refused_by_the_functions_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = refusal(&library(folder.path(), 1, "ServerInferAsync"));
        assert!(error.contains("lacks a function"), "{error}");
        assert!(error.contains("TRITONSERVER_ServerInferAsync"), "{error}");
    }

    #[test]
    fn another_major_version_is_refused_and_the_known_one_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let error = refusal(&library(folder.path(), 2, ""));
        assert!(error.contains("speaks version 2.7"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let known = Library::load(&library(folder.path(), 1, "")).expect("all is there");
        assert_eq!(known.version, (1, 7));
    }

    #[test]
    fn backends_are_found_beside_the_library_of_an_image_and_of_a_wheel() {
        for backends in ["backends", "pytriton/tritonserver/backends"] {
            let folder = tempfile::tempdir().unwrap();
            let library = folder.path().join("lib/libtritonserver.so");
            assert_eq!(Library::backends_of(&library), None);
            let backends = folder.path().join(backends);
            std::fs::create_dir_all(&backends).unwrap();
            assert_eq!(Library::backends_of(&library), Some(backends));
        }
    }
}
