//! Version of TensorRT-LLM's headers: every place that may tell it, in the order in which they are believed.
//!
//! `version.h` is generated, and the image `tensorrt-llm/release` copies headers from a source tree that has none.

use std::fs;
use std::path::{Path, PathBuf};

use super::installation::{LIBRARY, Machine, Missing};
use super::library_version;

/// What one place says, or why it says nothing.
type Saying = (String, Result<String, String>);

/// The version of the headers in `include`, which belong to the library in `libraries`.
///
/// # Errors
/// When no place tells it, or when `TRTLLM_VERSION` was set and another place says otherwise.
pub fn of_headers(machine: &Machine, include: &Path, libraries: &Path) -> Result<String, Missing> {
    let mut looked = Vec::new();
    let places = files(machine, include, libraries).into_iter().chain(variables(machine));
    let library = std::iter::once_with(|| of_the_library(libraries));
    for (place, saying) in places.chain(library) {
        match saying {
            Ok(version) => return agreed(machine, place, version),
            Err(why) => looked.push((place, why)),
        }
    }
    Err(Missing {
        what: "the version of TensorRT-LLM's headers is not known",
        looked,
        remedy: "Remedy: set TRTLLM_VERSION to the headers' version, e.g. 1.2.1".into(),
    })
}

/// The version of the Python package that a library was installed with.
pub fn beside(libraries: &Path) -> Option<String> {
    let package = package_of(libraries)?;
    assigned(&package.join("version.py"), "__version__").ok()
}

/// The folder around the real place of the libraries; in the image `lib` is a link into the package.
fn package_of(libraries: &Path) -> Option<PathBuf> {
    Some(libraries.canonicalize().ok()?.parent()?.to_owned())
}

fn files(machine: &Machine, include: &Path, libraries: &Path) -> Vec<Saying> {
    let header = include.join("tensorrt_llm/executor/version.h");
    let around = include.join("../../tensorrt_llm/version.py");
    let mut all = vec![said(&header, "kTensorRtLlmVersion"), said(&around, "__version__")];
    let package = package_of(libraries);
    if let Some(package) = &package {
        all.push(said(&package.join("version.py"), "__version__"));
        all.push(of_dist_info(package));
    }
    match &machine.wheel {
        Some(wheel) if package.as_ref() != wheel.canonicalize().ok().as_ref() => {
            all.push(said(&wheel.join("version.py"), "__version__"));
        }
        Some(_) => {}
        None => all.push(("the Python package".into(), Err("not installed for `python3`".into()))),
    }
    all
}

fn variables(machine: &Machine) -> [Saying; 2] {
    let not_set = || "not set".to_owned();
    [
        ("TRT_LLM_VERSION".into(), machine.image_version.clone().ok_or_else(not_set)),
        ("TRTLLM_VERSION".into(), machine.version.clone().ok_or_else(not_set)),
    ]
}

fn of_the_library(libraries: &Path) -> Saying {
    let library = libraries.join(LIBRARY);
    let place = format!("{}, its function `version()`", library.display());
    (place, library_version::of(&library))
}

/// A version that was set by hand is never overruled without a word.
fn agreed(machine: &Machine, place: String, version: String) -> Result<String, Missing> {
    match &machine.version {
        Some(set) if *set != version => Err(Missing {
            what: "TRTLLM_VERSION is not the version of this TensorRT-LLM",
            looked: vec![("TRTLLM_VERSION".into(), set.clone()), (place, version)],
            remedy: "Remedy: unset TRTLLM_VERSION, or name the installation of that version with TRTLLM_ROOT".into(),
        }),
        _ => Ok(version),
    }
}

fn said(file: &Path, name: &str) -> Saying {
    (file.display().to_string(), assigned(file, name))
}

/// The quoted text that a file assigns to `name`.
fn assigned(file: &Path, name: &str) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    })?;
    let quoted = text.split_once(name).and_then(|(_, rest)| {
        let line = rest.lines().next()?;
        let from = line.find(['"', '\''])?;
        let quote = line[from..].chars().next()?;
        let (value, _) = line[from + 1..].split_once(quote)?;
        (!value.is_empty()).then(|| value.to_owned())
    });
    quoted.ok_or_else(|| format!("no {name}"))
}

/// `tensorrt_llm-1.2.1.dist-info`, which an installer leaves beside the package.
fn of_dist_info(package: &Path) -> Saying {
    let Some(site) = package.parent() else {
        return ("the package's folder".into(), Err("it has no parent".into()));
    };
    let place = site.join("tensorrt_llm-VERSION.dist-info").display().to_string();
    let entries = fs::read_dir(site).into_iter().flatten().filter_map(Result::ok);
    let version = entries.filter_map(|entry| {
        let name = entry.file_name().to_str()?.to_owned();
        Some(name.strip_prefix("tensorrt_llm-")?.strip_suffix(".dist-info")?.to_owned())
    });
    let mut versions: Vec<String> = version.collect();
    match (versions.pop(), versions.is_empty()) {
        (Some(only), true) => (place, Ok(only)),
        (Some(_), false) => (place, Err("there are several".into())),
        (None, _) => (place, Err("no such folder".into())),
    }
}
