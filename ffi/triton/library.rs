//! Where is Triton's library, and how is it loaded with everything that it needs?

use std::path::{Path, PathBuf};

use super::bindings::TritonApi;
use super::server::CoreError;

/// `libtritonserver`, loaded, with the libraries beside it.
pub struct Library {
    pub(super) api: TritonApi,
    // Dropped after the functions that point into them.
    _beside: Vec<libloading::Library>,
}

/// Why it cannot be loaded. The text names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is in none of the places.
    #[error("no libtritonserver.so in {places}: name it with --triton-library or TRITON_LIBRARY")]
    NotFound {
        /// Where was looked.
        places: String,
    },
    /// It is there and does not load.
    #[error("`{path}` cannot be loaded: {reason}")]
    Unloadable {
        /// Which file.
        path: String,
        /// The loader's own words.
        reason: String,
    },
}

/// Where servers and wheels put it.
const USUAL: [&str; 3] =
    ["/opt/tritonserver/lib", "/usr/local/lib/tritonserver", "/usr/lib/tritonserver"];

impl Library {
    /// The library that was named (as a file or its folder, here or in `TRITON_LIBRARY`), else the first found in the
    /// usual places: NVIDIA's image, and the wheel
    /// `nvidia-pytriton` in the active virtual environment.
    ///
    /// # Errors
    /// When there is none; the text lists where was looked.
    pub fn find(named: Option<&Path>) -> Result<PathBuf, LoadError> {
        let variable = std::env::var_os("TRITON_LIBRARY").map(PathBuf::from);
        if let Some(path) = named.or(variable.as_deref()) {
            return in_folder_or_itself(path).ok_or_else(|| LoadError::NotFound {
                places: format!("`{}`", path.display()),
            });
        }
        let mut folders: Vec<PathBuf> = USUAL.iter().map(PathBuf::from).collect();
        if let Some(venv) = std::env::var_os("VIRTUAL_ENV") {
            folders.extend(wheels_in(Path::new(&venv)));
        }
        folders.iter().find_map(|folder| in_folder_or_itself(folder)).ok_or_else(|| {
            let places: Vec<_> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
            LoadError::NotFound { places: places.join(", ") }
        })
    }

    /// Loads it. Libraries that a wheel ships beside it go first, since the loader would not look there.
    ///
    /// # Errors
    /// With the loader's own words.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let unloadable = |error: libloading::Error| LoadError::Unloadable {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        // SAFETY: loading runs the library's initialisers, which is what the user asked for by naming it.
        let first_try = unsafe { TritonApi::new(path) };
        let library = match first_try {
            Ok(api) => Self { api, _beside: Vec::new() },
            Err(_something_beside_it_is_needed) => {
                let beside = load_beside(path);
                // SAFETY: as above; what it needs is loaded now, or the loader says what is missing.
                let api = unsafe { TritonApi::new(path) }.map_err(unloadable)?;
                Self { api, _beside: beside }
            }
        };
        match library.api_version() {
            Ok((1, _)) => Ok(library),
            version => Err(LoadError::Unloadable {
                path: path.display().to_string(),
                reason: format!("it speaks {version:?} of Triton's C API, and only 1.x is known"),
            }),
        }
    }

    /// Major and minor version of the C API.
    fn api_version(&self) -> Result<(u32, u32), CoreError> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both are places to write to.
        self.check(unsafe { self.api.TRITONSERVER_ApiVersion(&raw mut major, &raw mut minor) })?;
        Ok((major, minor))
    }
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

/// Loads whatever loads, again and again: each library makes it possible to load those that need it.
fn load_beside(path: &Path) -> Vec<libloading::Library> {
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return Vec::new() };
    let mut waiting: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|other| other != path && other.to_string_lossy().contains(".so"))
        // Not this process's Python: a backend's stub has its own.
        .filter(|other| !other.to_string_lossy().contains("libpython"))
        .collect();
    let mut loaded = Vec::new();
    loop {
        let before = loaded.len();
        waiting.retain(|other| {
            // SAFETY: these are ordinary shared libraries of the same wheel, without initialisers that touch ours.
            match unsafe { libloading::Library::new(other) } {
                Ok(library) => {
                    loaded.push(library);
                    false
                }
                Err(_needs_another_first) => true,
            }
        });
        if loaded.len() == before {
            return loaded;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_named_with_the_remedy() {
        let error = Library::find(Some(Path::new("/nowhere/lib.so"))).unwrap_err().to_string();
        assert!(error.contains("`/nowhere/lib.so`") && error.contains("--triton-library"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_library_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libtritonserver-0.so");
        std::fs::write(&file, "not a library").unwrap();
        assert_eq!(Library::find(Some(folder.path())).unwrap(), file);
        let error = Library::load(&file).err().unwrap().to_string();
        assert!(error.contains("libtritonserver-0.so` cannot be loaded"), "{error}");
    }
}
