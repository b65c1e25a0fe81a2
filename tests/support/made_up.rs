//! A library that plays a script in place of its vendor's: built from its C source, and the program run beside it.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A short run of a simulated executor of 2 ms for each iteration; how much of it is for the test to say.
pub const RUN: [&str; 5] =
    ["run", "--target", "sim:explicit,base_us=2000", "--scenario", "D(16,8)"];

/// Compiles `tests/SOURCE` to the library `NAME` of this folder.
pub fn library(folder: &TempDir, source: &str, name: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(source);
    let library = folder.path().join(name);
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.expect("`cc` is needed for this test").success());
}

/// A folder with CUDA's driver and cuBLASLt under the names by which they are looked for, for GPUs that do not exist.
pub fn cuda() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    library(&folder, "fake_cuda/cuda.c", "libcuda.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake_cuda/cublaslt.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&folder.path().join("libcublasLt.so"), &source])
        .arg(format!("-L{}", folder.path().display()))
        .arg("-lcuda")
        .status();
    assert!(built.expect("`cc` is needed for this test").success());
    folder
}

/// What comes of the program in this folder, so that the library is `./NAME`, under this script.
pub fn bareflight(folder: &TempDir, script: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bareflight"))
        .args(arguments)
        .current_dir(folder.path())
        .envs(script.iter().copied())
        .env("CI", "1")
        .env_remove("BAREFLIGHT_TARGET")
        .output()
        .expect("the binary runs")
}
