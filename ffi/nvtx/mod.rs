//! NVTX 3 ranges for an attached profiler. NVTX has no library: the environment names the tool's library, and the
//! program that has ranges loads it and offers it a table of function slots.
//!
//! `ffi/README.md` says why neither NVTX's headers nor a crate does this.

mod domain;
#[cfg(test)]
pub(crate) mod stand_in;
mod tables;

use std::ffi::{OsString, c_int, c_void};
use std::sync::OnceLock;

use libloading::Library;

pub use domain::{Domain, Kind, RangeId};

/// Where a tool names its library.
pub const VARIABLE: &str = "NVTX_INJECTION64_PATH";
/// The symbol that a tool exports.
const ENTRY: &[u8] = b"InitializeInjectionNvtx2\0";

/// Error of attaching to a tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NvtxError {
    /// No tool is attached.
    #[error(
        "no profiler listens, since `NVTX_INJECTION64_PATH` is not set: start the run under one, e.g. `nsys profile --trace \
         cuda,nvtx bareflight run …`"
    )]
    NobodyListens,
    /// The named library is no NVTX tool.
    #[error(
        "`{0}`, which `NVTX_INJECTION64_PATH` names, is no library of a profiler ({1}): leave the variable to `nsys`"
    )]
    Library(String, String),
    /// The tool records no ranges.
    #[error(
        "the profiler in `{0}` listens to no ranges: trace NVTX with it, e.g. `nsys profile --trace cuda,nvtx …`"
    )]
    Deaf(String),
}

type ExportTable = extern "C" fn(u32) -> *const c_void;
type Entry = unsafe extern "C" fn(ExportTable) -> c_int;

/// The domain of this program at the attached tool; every call returns the same one.
///
/// # Errors
/// When no tool is attached, or it records no ranges.
pub fn attach() -> Result<&'static Domain, NvtxError> {
    static ATTACHED: OnceLock<Result<Domain, NvtxError>> = OnceLock::new();
    ATTACHED.get_or_init(|| to_tool(std::env::var_os(VARIABLE))).as_ref().map_err(Clone::clone)
}

fn to_tool(named: Option<OsString>) -> Result<Domain, NvtxError> {
    let path = named.ok_or(NvtxError::NobodyListens)?;
    let shown = path.display().to_string();
    let unusable = |error: libloading::Error| NvtxError::Library(shown.clone(), error.to_string());
    // SAFETY: a tool's own library, which the user has attached by its variable; its initialisers run as in every program.
    let library = unsafe { Library::new(&path) }.map_err(unusable)?;
    // SAFETY: the type is that of the entry as NVTX fixes it.
    let entry = unsafe { library.get::<Entry>(ENTRY) }.map(|entry| *entry).map_err(unusable)?;
    // The tool's functions are called until the process ends.
    std::mem::forget(library);
    through(entry).ok_or(NvtxError::Deaf(shown))
}

/// Lets a tool fill the slots and registers this program; `None` if the tool records no ranges.
fn through(entry: Entry) -> Option<Domain> {
    // SAFETY: a tool's entry, which may call `tables::export_table` from now on, for ever.
    let listens = unsafe { entry(tables::export_table) } != 0;
    listens.then(|| Domain::named(c"bareflight")).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_tool_the_way_to_one_is_named() {
        let message = to_tool(None).expect_err("nobody").to_string();
        assert!(message.contains(VARIABLE) && message.contains("nsys profile"), "{message}");
    }

    #[test]
    fn a_library_that_is_no_tool_is_refused_by_name() {
        for path in ["/nowhere/libtool.so", "libc.so.6"] {
            let message = to_tool(Some(path.into())).expect_err("no tool").to_string();
            assert!(message.contains(path), "{message}");
        }
    }
}
