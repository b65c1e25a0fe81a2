//! Compiles the bridge and our simulated executor library, and stamps the build.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    build_simulated_executor();
    stamp_build();
}

/// The namespace is renamed, so that a real TensorRT-LLM can be linked into the same binary.
fn build_simulated_executor() {
    let mut sources = vec![
        PathBuf::from("cpp/bridge.cc"),
        PathBuf::from("cpp/convert.cc"),
        PathBuf::from("cpp/executor_engine.cc"),
        PathBuf::from("cpp/raw_loop.cc"),
    ];
    sources.extend(files_with_extension("cpp/simulated", "cc"));
    cxx_build::bridge("ffi/bridge.rs")
        .files(&sources)
        .include("cpp/simulated/include")
        .std("c++17")
        .define("tensorrt_llm", "simulated_tensorrt_llm")
        .define("BAREFLIGHT_ENGINE_NAMESPACE", "simulated")
        // The scheduler's speed is part of what benchmarks compare, in test builds too.
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("bareflight_simulated");
    for folder in ["ffi/bridge.rs", "cpp"] {
        println!("cargo:rerun-if-changed={folder}");
    }
    // Tests that compile the bridge by hand need the header that was just generated.
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    println!("cargo:rustc-env=BAREFLIGHT_CXX_INCLUDE={out}/cxxbridge/include");
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

/// The git revision goes into every manifest; a build from a tarball says `unknown`.
fn stamp_build() {
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let dirty = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    let mark = if dirty { "-dirty" } else { "" };
    println!("cargo:rustc-env=BAREFLIGHT_REVISION={revision}{mark}");
    if Path::new(".git/HEAD").exists() {
        println!("cargo:rerun-if-changed=.git/HEAD");
        println!("cargo:rerun-if-changed=.git/index");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
