//! Search for an installation of TensorRT-LLM: its libraries, headers of the same version, and CUDA's headers.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::version;

/// Facts about this machine; a test makes its own.
#[derive(Debug, Default, Clone)]
pub struct Machine {
    /// `TRTLLM_ROOT`: an installation with `include/` and `lib/` (or `libs/`). If set, no other place is searched.
    pub root: Option<PathBuf>,
    /// `TRTLLM_INCLUDE`: headers that lie elsewhere, e.g. `cpp/include` of a source tree.
    pub include: Option<PathBuf>,
    /// `TRTLLM_VERSION`: the version of headers that do not say it themselves, set by hand.
    pub version: Option<String>,
    /// `TRT_LLM_VERSION`, which NVIDIA's image sets.
    pub image_version: Option<String>,
    /// The place in NVIDIA's container.
    pub container: PathBuf,
    /// The folder of the Python package, which holds libraries and no headers.
    pub wheel: Option<PathBuf>,
    /// Folders with CUDA's headers, the preferred one first.
    pub cuda: Vec<PathBuf>,
}

/// All that is compiled and linked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Holds `tensorrt_llm/executor/executor.h`.
    pub include: PathBuf,
    /// Holds the libraries.
    pub libraries: PathBuf,
    /// Holds `cuda_fp16.h`, where the headers want it.
    pub cuda: Option<PathBuf>,
    /// Version of the headers.
    pub version: String,
}

/// Error of the search: what is missing, where it was searched, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The missing part.
    pub what: &'static str,
    /// Place and finding.
    pub looked: Vec<(String, String)>,
    /// The remedy.
    pub remedy: String,
}

/// The executor's library.
pub const LIBRARY: &str = "libtensorrt_llm.so";
/// Its plugins for TensorRT.
pub const PLUGINS: &str = "libnvinfer_plugin_tensorrt_llm.so";
const HEADER: &str = "tensorrt_llm/executor/executor.h";
const CUDA_HEADER: &str = "cuda_fp16.h";

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "feature `trtllm`: {}. Looked at:", self.what)?;
        for (place, finding) in &self.looked {
            writeln!(f, "  {place}: {finding}")?;
        }
        write!(f, "{}", self.remedy)
    }
}

const HOW_TO_INSTALL: &str = "Remedy: build inside NVIDIA's container `tensorrt-llm/release`, or set TRTLLM_ROOT to a folder with \
     include/ and lib/; for the wheel `tensorrt-llm`, which holds no headers, set TRTLLM_INCLUDE to `cpp/include` of \
     the source tree of the same version. Without the feature nothing of this is needed";

/// Finds an installation whose parts belong together.
///
/// # Errors
/// What is missing, in one message.
pub fn find(machine: &Machine) -> Result<Installation, Missing> {
    let (libraries, beside) = find_libraries(machine)?;
    let include = find_headers(machine, beside.as_deref())?;
    let headers = version::of_headers(machine, &include, &libraries)?;
    same_version_as_libraries(&libraries, &include, &headers)?;
    let cuda = if wants_cuda(&include) { Some(find_cuda(machine)?) } else { None };
    Ok(Installation { include, libraries, cuda, version: headers })
}

/// The libraries' folder, and the headers' folder that belongs to it where there is one.
fn find_libraries(machine: &Machine) -> Result<(PathBuf, Option<PathBuf>), Missing> {
    let mut looked = Vec::new();
    let places = match &machine.root {
        Some(root) => vec![("TRTLLM_ROOT", Some(root.clone()))],
        None => vec![
            ("the container's place", Some(machine.container.clone())),
            ("the Python package", machine.wheel.clone()),
        ],
    };
    if machine.root.is_none() {
        looked.push(("TRTLLM_ROOT".into(), "not set".into()));
    }
    for (name, place) in places {
        let Some(place) = place else {
            looked.push((name.into(), "not installed for `python3`".into()));
            continue;
        };
        let label = format!("{name} {}", place.display());
        if !place.is_dir() {
            looked.push((label, "no such folder".into()));
            continue;
        }
        match ["lib", "libs"]
            .map(|folder| place.join(folder))
            .into_iter()
            .find(|f| f.join(LIBRARY).exists())
        {
            None => looked.push((label, format!("neither lib/{LIBRARY} nor libs/{LIBRARY}"))),
            Some(folder) if !folder.join(PLUGINS).exists() => {
                looked.push((label, format!("{LIBRARY} is there, {PLUGINS} beside it is not")));
            }
            Some(folder) => {
                let include =
                    Some(place.join("include")).filter(|include| include.join(HEADER).exists());
                return Ok((folder, include));
            }
        }
    }
    Err(Missing {
        what: "no installation of TensorRT-LLM was found",
        looked,
        remedy: HOW_TO_INSTALL.into(),
    })
}

fn find_headers(machine: &Machine, beside: Option<&Path>) -> Result<PathBuf, Missing> {
    let named = machine.include.as_ref().map(|include| ("TRTLLM_INCLUDE", include.as_path()));
    let Some((name, include)) = named.or(beside.map(|include| ("include", include))) else {
        let finding = format!("no include/{HEADER}");
        return Err(Missing {
            what: "libraries of TensorRT-LLM were found, its headers were not",
            looked: vec![
                ("TRTLLM_INCLUDE".into(), "not set".into()),
                ("beside the libraries".into(), finding),
            ],
            remedy: HOW_TO_INSTALL.into(),
        });
    };
    if include.join(HEADER).exists() {
        return Ok(include.to_owned());
    }
    Err(Missing {
        what: "the headers of TensorRT-LLM were not found",
        looked: vec![(format!("{name} {}", include.display()), format!("no {HEADER}"))],
        remedy: HOW_TO_INSTALL.into(),
    })
}

/// The version of a wheel; the library's own version is checked when the program starts.
fn same_version_as_libraries(
    libraries: &Path,
    include: &Path,
    version: &str,
) -> Result<(), Missing> {
    match version::beside(libraries) {
        Some(library) if !version::same(&library, version) => Err(Missing {
            what: "headers and libraries of TensorRT-LLM are of different versions",
            looked: vec![
                (format!("headers {}", include.display()), version.to_owned()),
                (format!("libraries {}", libraries.display()), library),
            ],
            remedy: "Remedy: install both of the same version".into(),
        }),
        _ => Ok(()),
    }
}

fn wants_cuda(include: &Path) -> bool {
    ["types.h", "tensor.h"].iter().any(|name| {
        let header = include.join("tensorrt_llm/executor").join(name);
        fs::read_to_string(header).is_ok_and(|text| text.contains(CUDA_HEADER))
    })
}

fn find_cuda(machine: &Machine) -> Result<PathBuf, Missing> {
    let found = machine.cuda.iter().find(|folder| folder.join(CUDA_HEADER).exists());
    found.cloned().ok_or_else(|| Missing {
        what: "CUDA's headers were not found",
        looked: machine
            .cuda
            .iter()
            .map(|folder| (folder.display().to_string(), format!("no {CUDA_HEADER}")))
            .collect(),
        remedy: "Remedy: set CUDA_HOME to a CUDA toolkit, whose include/ holds it".into(),
    })
}
