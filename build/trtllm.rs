//! Compilation of the engine against TensorRT-LLM itself, and linking of what it needs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installation::{self, Installation, LIBRARY, Machine, Missing};
use crate::library::{Executor, executor_of};

/// Finds, compiles, links.
///
/// # Errors
/// When something is missing or does not fit; one message names it.
pub fn build() -> Result<(), Missing> {
    let found = installation::find(&this_machine())?;
    check_library(&found)?;
    compile(&found);
    link(&found.libraries);
    Ok(())
}

fn this_machine() -> Machine {
    let path = |name: &str| {
        println!("cargo:rerun-if-env-changed={name}");
        env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let root = path("TRTLLM_ROOT");
    // If the root is named, no other place is searched.
    let wheel = if root.is_none() { python_package() } else { None };
    let toolkits = [path("CUDA_HOME"), path("CUDA_PATH"), Some("/usr/local/cuda".into())];
    let mut cuda: Vec<PathBuf> =
        toolkits.into_iter().flatten().map(|toolkit| toolkit.join("include")).collect();
    for package in ["nvidia/cu13/include", "nvidia/cuda_runtime/include"] {
        cuda.extend(wheel.as_ref().and_then(|wheel| wheel.parent()).map(|site| site.join(package)));
    }
    Machine {
        root,
        include: path("TRTLLM_INCLUDE"),
        version: path("TRTLLM_VERSION").map(|version| version.display().to_string()),
        image_version: path("TRT_LLM_VERSION").map(|version| version.display().to_string()),
        container: "/app/tensorrt_llm".into(),
        wheel,
        cuda,
    }
}

/// Found without importing it: that would start CUDA and MPI.
fn python_package() -> Option<PathBuf> {
    const FIND: &str = "import importlib.util as u; s = u.find_spec('tensorrt_llm'); \
                        print(s.submodule_search_locations[0] if s else '')";
    let output = Command::new("python3").args(["-c", FIND]).output().ok()?;
    let place = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !place.is_empty()).then(|| place.into())
}

fn check_library(found: &Installation) -> Result<(), Missing> {
    let library = found.libraries.join(LIBRARY);
    println!("cargo:rerun-if-changed={}", library.display());
    let refuse = |finding: String, remedy: &str| {
        Err(Missing {
            what: "the library of TensorRT-LLM cannot be used",
            looked: vec![(library.display().to_string(), finding)],
            remedy: remedy.to_owned(),
        })
    };
    println!("cargo:rerun-if-env-changed=CXXFLAGS");
    let old_flag =
        env::var("CXXFLAGS").is_ok_and(|flags| flags.contains("_GLIBCXX_USE_CXX11_ABI=0"));
    match executor_of(&library) {
        Err(message) => refuse(message, "Remedy: check the file; a Git LFS pointer is no library"),
        Ok(Executor::None) => refuse(
            "it defines no tensorrt_llm::executor::Executor".into(),
            "Remedy: install TensorRT-LLM 1.2 or older; later versions have no C++ executor",
        ),
        Ok(Executor::OldAbi) if !old_flag => refuse(
            "it was compiled with the C++ ABI from before C++11".into(),
            "Remedy: set CXXFLAGS=-D_GLIBCXX_USE_CXX11_ABI=0, so that all C++ of this program is compiled alike",
        ),
        Ok(Executor::Cxx11) if old_flag => refuse(
            "it was compiled with the C++11 ABI, but CXXFLAGS asks for the one before".into(),
            "Remedy: take -D_GLIBCXX_USE_CXX11_ABI=0 out of CXXFLAGS",
        ),
        Ok(Executor::Cxx11 | Executor::OldAbi) => Ok(()),
    }
}

/// The same sources as for the simulated executor; only the namespace is not renamed.
fn compile(found: &Installation) {
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    let generated = Path::new(&out).join("cxxbridge");
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .files([
            "cpp/convert.cc",
            "cpp/executor_engine.cc",
            "cpp/executor_settings.cc",
            "cpp/library.cc",
        ])
        .include(generated.join("include"))
        .include(generated.join("crate"))
        .define("BAREFLIGHT_HEADERS_VERSION", &*format!("\"{}\"", found.version))
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true);
    for folder in [Some(&found.include), found.cuda.as_ref()].into_iter().flatten() {
        // Warnings of their headers are not ours to fix.
        build.flag("-isystem").flag(folder);
    }
    if let Some(cuda) = &found.cuda {
        // CUDA 13 keeps libcu++ apart.
        build.flag("-isystem").flag(cuda.join("cccl"));
    }
    build.compile("bareflight_trtllm");
}

fn link(libraries: &Path) {
    println!("cargo:rustc-link-search=native={}", libraries.display());
    println!("cargo:rustc-link-lib=dylib=tensorrt_llm");
    println!("cargo:rustc-link-lib=dylib=nvinfer_plugin_tensorrt_llm");
    for argument in [
        &*format!("-Wl,-rpath,{}", libraries.display()),
        // The library's own dependencies (CUDA, TensorRT, MPI) are found by the loader.
        "-Wl,--allow-shlib-undefined",
        // With a library of another version a function may be missing. Then the version must be reported first, which
        // needs a program that starts.
        "-Wl,-z,lazy",
    ] {
        println!("cargo:rustc-link-arg={argument}");
    }
}
