//! Checks of a library before linking: its C++ ABI, and whether it still has the executor, read from its symbols.

use std::path::Path;
use std::process::Command;

/// Result of reading a library's symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// It has the executor, with the `std::string` of C++11.
    Cxx11,
    /// It has the executor, with the `std::string` from before C++11.
    OldAbi,
    /// It has no executor.
    None,
}

/// Prefix of the mangled names of the executor's constructors, one of which takes a `std::filesystem::path`.
const CONSTRUCTOR: &str = "_ZN12tensorrt_llm8executor8ExecutorC1E";

/// Reads the symbols that `library` defines.
///
/// # Errors
/// When `nm`, which comes with the compiler, cannot read it; with its message.
pub fn executor_of(library: &Path) -> Result<Executor, String> {
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library)
        .output()
        .map_err(|error| format!("`nm` cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(executor_among(&String::from_utf8_lossy(&output.stdout)))
}

/// Judges the lines that `nm` prints.
pub fn executor_among(symbols: &str) -> Executor {
    let mut constructors = symbols.lines().filter(|line| line.contains(CONSTRUCTOR));
    let of_cxx11 = |line: &str| line.contains("7__cxx11");
    match constructors.next() {
        None => Executor::None,
        Some(first) if of_cxx11(first) || constructors.any(of_cxx11) => Executor::Cxx11,
        Some(_) => Executor::OldAbi,
    }
}
