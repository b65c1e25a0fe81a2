//! Compilation of the bridge and our simulated executor library.

use std::path::{Path, PathBuf};

use crate::fingerprint;

const LIBRARY: &str = "bareflight_simulated";

/// Compiles where something has changed, and links.
pub fn build() {
    let out = std::env::var("OUT_DIR").expect("cargo sets it for build scripts");
    let fingerprint = fingerprint::of(&["build", "cpp", "ffi"]);
    let noted = Path::new(&out).join("simulated.fingerprint");
    if std::fs::read_to_string(&noted).is_ok_and(|last| last == fingerprint) {
        println!("cargo:rustc-link-search=native={out}");
        println!("cargo:rustc-link-lib=static={LIBRARY}");
        println!("cargo:rustc-link-lib=stdc++");
    } else {
        compile();
        std::fs::write(&noted, fingerprint).expect("the build's own folder can be written");
    }
    for folder in ["build", "ffi", "cpp"] {
        println!("cargo:rerun-if-changed={folder}");
    }
    // Tests that compile the bridge by hand need the header that was generated.
    println!("cargo:rustc-env=BAREFLIGHT_CXX_INCLUDE={out}/cxxbridge/include");
}

/// The namespace is renamed, so that a real TensorRT-LLM can be linked into the same binary.
fn compile() {
    let sources = [
        PathBuf::from("cpp/bridge.cc"),
        PathBuf::from("cpp/convert.cc"),
        PathBuf::from("cpp/executor_settings.cc"),
        PathBuf::from("cpp/executor_engine.cc"),
        PathBuf::from("cpp/raw_loop.cc"),
        one_source_of("cpp/simulated"),
    ];
    let mut build = cxx_build::bridge("ffi/bridge.rs");
    if std::env::var_os("CARGO_FEATURE_TRTLLM").is_some() {
        build.define("BAREFLIGHT_TRTLLM", None);
    }
    build
        .files(&sources)
        .include("cpp/simulated/include")
        .std("c++17")
        .define("tensorrt_llm", "simulated_tensorrt_llm")
        .define("BAREFLIGHT_ENGINE_NAMESPACE", "simulated")
        // The scheduler's speed is part of what benchmarks compare, in test builds too.
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile(LIBRARY);
}

/// A source that includes all of a folder: thirty files that each read the standard library's headers take four times as
/// long to compile. `tests/cpp/run.sh` compiles them one by one.
fn one_source_of(folder: &str) -> PathBuf {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let sources = files_with_extension(folder, "cc");
    let include = |file: &PathBuf| format!("#include \"{}\"\n", package.join(file).display());
    let includes = sources.iter().map(include).collect::<Vec<_>>().concat();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let source = out.join("simulated.cc");
    std::fs::write(&source, includes).expect("the build's own folder can be written");
    source
}

fn files_with_extension(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the package ships its C++ sources");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the package's folders can be listed").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
