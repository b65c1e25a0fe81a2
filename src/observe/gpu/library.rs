//! Loading of the NVML library, and the driver version.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use serde::{Deserialize, Serialize};

/// The driver package installs the first name, its development package the second.
const NAMES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// Why no GPU can be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NvmlUnavailable {
    /// There is no library, so there is no driver.
    #[error("`libnvidia-ml.so.1` is not found, so there is no NVIDIA driver")]
    NoLibrary,
    /// A library that was named cannot be loaded.
    #[error(
        "`{0}` cannot be loaded as NVML ({1}): name the driver's `libnvidia-ml.so.1`, or leave `--nvml-library` out"
    )]
    Named(String, String),
    /// The library is there and the driver does not answer.
    #[error("the NVIDIA driver does not answer: {0}")]
    Driver(String),
    /// A GPU that was named is not there.
    #[error(
        "no GPU `{named}` here; there are {there}: name one of these with `--gpu-telemetry`, or `all`, or `none`"
    )]
    NotThere {
        /// As named.
        named: String,
        /// Those there are.
        there: String,
    },
}

/// Which software the numbers come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// The library as it was loaded.
    pub library: String,
    /// It was named by the user and is not known to be the driver's own.
    pub named: bool,
    /// Version of the driver.
    pub version: Option<String>,
    /// Newest CUDA version that the driver runs, as `13.0`.
    pub cuda: Option<String>,
}

/// Loads the library, the system's own or the one that is named.
///
/// # Errors
/// When there is none, or its driver does not answer.
pub fn load(named: Option<&Path>) -> Result<(Nvml, Driver), NvmlUnavailable> {
    let (library, nvml) = match named {
        Some(path) => (
            path.to_owned(),
            open(path).map_err(|error| match error {
                NvmlError::LibloadingError(error) => {
                    NvmlUnavailable::Named(path.display().to_string(), error.to_string())
                }
                other => NvmlUnavailable::Driver(other.to_string()),
            })?,
        ),
        None => system()?,
    };
    let driver = Driver {
        library: library.display().to_string(),
        named: named.is_some(),
        version: nvml.sys_driver_version().ok(),
        cuda: nvml
            .sys_cuda_driver_version()
            .ok()
            .map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)),
    };
    Ok((nvml, driver))
}

fn system() -> Result<(PathBuf, Nvml), NvmlUnavailable> {
    for name in NAMES.map(Path::new) {
        match open(name) {
            Ok(nvml) => return Ok((name.to_owned(), nvml)),
            Err(NvmlError::LibloadingError(_)) => {}
            Err(other) => return Err(NvmlUnavailable::Driver(other.to_string())),
        }
    }
    Err(NvmlUnavailable::NoLibrary)
}

fn open(path: &Path) -> Result<Nvml, NvmlError> {
    let path: &OsStr = path.as_ref();
    Nvml::builder().lib_path(path).init()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_that_is_none_is_refused_by_name_with_the_remedy() {
        let error = load(Some(Path::new("/nowhere/libnvidia-ml.so"))).expect_err("no library");
        let words = error.to_string();
        assert!(
            words.contains("/nowhere/libnvidia-ml.so") && words.contains("--nvml-library"),
            "{words}"
        );
    }
}
