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
        match saying.and_then(|text| read(&text)) {
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
    read(&assigned(&package.join("version.py"), "__version__").ok()?).ok()
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

/// What a place says, if it is a version at all: a template may be left unfilled, and a variable may hold any word.
fn read(text: &str) -> Result<String, String> {
    let version = text.trim().trim_start_matches(['v', 'V']);
    if library_version::is_version(version) {
        Ok(version.to_owned())
    } else {
        Err(format!("says `{text}`, which is no version"))
    }
}

/// Whether two sources mean one version. An installer's label (`1.2.1+cu130`) says which build it is, where only one has one.
pub fn same(one: &str, other: &str) -> bool {
    let release = |version: &str| version.split('+').next().unwrap_or_default().to_owned();
    one == other || release(one) == other || one == release(other)
}

/// A version that was set by hand is never overruled without a word.
fn agreed(machine: &Machine, place: String, version: String) -> Result<String, Missing> {
    match machine.version.as_deref().map(read) {
        Some(Ok(set)) if !same(&set, &version) => Err(Missing {
            what: "TRTLLM_VERSION is not the version of this TensorRT-LLM",
            looked: vec![("TRTLLM_VERSION".into(), set), (place, version)],
            remedy: "Remedy: unset TRTLLM_VERSION, or name the installation of that version with TRTLLM_ROOT".into(),
        }),
        Some(Err(why)) => Err(Missing {
            what: "TRTLLM_VERSION is no version",
            looked: vec![("TRTLLM_VERSION".into(), why), (place, version)],
            remedy: "Remedy: unset TRTLLM_VERSION, or give the headers' version, e.g. 1.2.1".into(),
        }),
        Some(Ok(_)) | None => Ok(version),
    }
}

fn said(file: &Path, name: &str) -> Saying {
    (file.display().to_string(), assigned(file, name))
}

/// The quoted text that a file assigns to `name`. Comments and lists that only mention it say nothing.
fn assigned(file: &Path, name: &str) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        _ => error.to_string(),
    })?;
    let mentions = text.match_indices(name).filter(|(at, _)| !is_in_comment(&text[..*at]));
    let mut quoted = mentions.filter_map(|(at, _)| assigned_by(&text[at + name.len()..]));
    quoted.next().ok_or_else(|| format!("no {name}"))
}

fn is_in_comment(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    line.starts_with('#') || line.starts_with("//") || line.starts_with('*')
}

/// The text in what follows a name: `= "1.2.1"`, `: str = '1.2.1'`, `= version = "1.2.1"`, `{"1.2.1"}`, also over two lines.
fn assigned_by(rest: &str) -> Option<String> {
    let (between, _) = rest.split_once(['"', '\''])?;
    let (_, from) = between.split_once(['=', '{'])?;
    let begins = between.trim_start().starts_with(['=', ':', '{']);
    let is_plain = !from.starts_with('=') && !from.contains(['#', ';', '[', '!', '<', '.']);
    let quote = rest[between.len()..].chars().next()?;
    let (value, _) = rest[between.len() + 1..].split_once(quote)?;
    (begins && is_plain && !value.is_empty()).then(|| value.to_owned())
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
