//! `bareflight._native`: the whole program as a module of Python. The only Rust that knows Python.

mod desk;
mod host;

use pyo3::prelude::*;

#[pymodule]
#[pyo3(name = "_native")]
mod native {
    use std::ffi::OsString;
    use std::fs::File;
    use std::os::fd::{BorrowedFd, RawFd};

    use bareflight::cli;
    use bareflight::host::{HostProgram, install};
    use bareflight::targets::python;
    use pyo3::exceptions::PyOSError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::desk::Desk;
    use super::host::Host;

    /// Runs the program: `arguments` as typed, `command` starts it again, results go to the file descriptor `results`, and
    /// `host` is the module that opens engines. Returns the exit code.
    #[pyfunction]
    fn main(
        py: Python<'_>,
        arguments: Vec<OsString>,
        command: Vec<OsString>,
        results: RawFd,
        host: Py<PyAny>,
    ) -> PyResult<u8> {
        // SAFETY: the caller holds this descriptor open until the process ends.
        let results = unsafe { BorrowedFd::borrow_raw(results) };
        let results =
            results.try_clone_to_owned().map_err(|error| PyOSError::new_err(error.to_string()))?;
        install(HostProgram { arguments, command, results: File::from(results) });
        python::host::install(Box::new(Host::new(host)));
        let exit = py.detach(|| {
            let exit = cli::program::main() as u8;
            if python::host::thread_was_left() {
                // Python cannot end in order while a thread of it does not come back. Everything is written by now.
                // SAFETY: it ends the process, and no destructor is needed any more.
                unsafe { libc::_exit(exit.into()) }
            }
            exit
        });
        Ok(exit)
    }
}
