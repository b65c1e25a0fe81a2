//! `bareflight._native`: the whole program as a module of Python. The only Rust that knows Python.
//!
//! The module is made by hand and its functions are closures, since pyo3 is used without its macros (see `Cargo.toml`).

mod desk;
mod host;

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;

use bareflight::cli;
use bareflight::cli::exit::is_left_open;
use bareflight::experiment::launch::guard;
use bareflight::host::{HostProgram, VERSION, install};
use bareflight::targets::python;
use pyo3::exceptions::PyOSError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};

use crate::host::Host;

static mut DEFINITION: ffi::PyModuleDef = ffi::PyModuleDef {
    m_base: ffi::PyModuleDef_HEAD_INIT,
    m_name: c"_native".as_ptr(),
    m_doc: c"The program bareflight.".as_ptr(),
    m_size: -1,
    m_methods: ptr::null_mut(),
    m_slots: ptr::null_mut(),
    m_traverse: None,
    m_clear: None,
    m_free: None,
};

/// What Python calls when it imports the module.
#[unsafe(no_mangle)]
pub extern "C" fn PyInit__native() -> *mut ffi::PyObject {
    Python::attach(|py| match make_module(py) {
        Ok(module) => module.into_ptr(),
        Err(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    })
}

fn make_module(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: Python initialises a module once, with its lock held, and keeps the definition.
    let module = unsafe {
        let made = ffi::PyModule_Create(&raw mut DEFINITION);
        Bound::from_owned_ptr_or_err(py, made)?
    };
    let main = PyCFunction::new_closure(py, Some(c"main"), None, |given, _| main(given))?;
    module.setattr("main", main)?;
    module.setattr("version", VERSION)?;
    Ok(module)
}

/// Runs the program: arguments as typed, words that start it again, the file descriptor where results go, and the Python module
/// that opens engines. Returns the exit code.
fn main(given: &Bound<'_, PyTuple>) -> PyResult<u8> {
    let (arguments, command, results, host): (Vec<OsString>, Vec<OsString>, RawFd, Py<PyAny>) =
        given.extract()?;
    // SAFETY: the caller holds this descriptor open until the process ends.
    let results = unsafe { BorrowedFd::borrow_raw(results) }
        .try_clone_to_owned()
        .map_err(|error| PyOSError::new_err(error.to_string()))?;
    install(HostProgram { arguments, command, results: File::from(results) });
    python::host::install(Box::new(Host::new(host)));
    let exit = given.py().detach(|| {
        if let Some(code) = guard::run_as_asked(bareflight::host::arguments()) {
            return code;
        }
        let exit = cli::program::main() as u8;
        if is_left_open() {
            // Python cannot end in order while a thread of it does not come back. Everything is written by now.
            signal_hook::low_level::exit(i32::from(exit));
        }
        exit
    });
    Ok(exit)
}
