//! Host of engines: asks `bareflight.host`, the Python side, to describe and to start them.

use bareflight::targets::python::engine_end::EngineEnd;
use bareflight::targets::python::host::{Asked, PythonHost};
use pyo3::prelude::*;

use crate::desk::make_desk;

/// The module `bareflight.host`.
pub struct Host(Py<PyAny>);

impl Host {
    /// With that module.
    pub fn new(module: Py<PyAny>) -> Self {
        Self(module)
    }
}

impl PythonHost for Host {
    fn describe(&self, asked: &Asked) -> Result<String, String> {
        let (module, model, settings) = (&asked.module, &asked.model, &asked.settings);
        Python::attach(|py| {
            let said = self.0.call_method1(py, "describe", (module, model, settings))?;
            said.extract::<(bool, String)>(py)
        })
        .map_err(|error| error.to_string())
        .and_then(|(described, text)| if described { Ok(text) } else { Err(text) })
    }

    fn examine(&self, module: &str) -> Result<Vec<(String, String)>, String> {
        Python::attach(|py| self.0.call_method1(py, "examine", (module,))?.extract(py))
            .map_err(|error: PyErr| error.to_string())
    }

    fn check(&self, asked: &Asked) -> Result<String, String> {
        let (module, model, options) = (&asked.module, &asked.model, &asked.settings);
        Python::attach(|py| {
            let said = self.0.call_method1(py, "check", (module, model, options))?;
            said.extract::<(bool, String)>(py)
        })
        .map_err(|error| error.to_string())
        .and_then(|(kept, text)| if kept { Ok(text) } else { Err(text) })
    }

    fn served(&self, asked: &Asked, name: &str) -> Result<String, String> {
        let (module, model, settings) = (&asked.module, &asked.model, &asked.settings);
        Python::attach(|py| {
            let said = self.0.call_method1(py, "served", (module, model, settings, name))?;
            said.extract::<(bool, String)>(py)
        })
        .map_err(|error| error.to_string())
        .and_then(|(described, text)| if described { Ok(text) } else { Err(text) })
    }

    fn start(&self, asked: &Asked, end: EngineEnd) -> Result<(), String> {
        let (module, model, settings) = (&asked.module, &asked.model, &asked.settings);
        Python::attach(|py| {
            let desk = make_desk(py, end)?;
            self.0.call_method1(py, "start", (module, model, settings, desk)).map(drop)
        })
        .map_err(|error| error.to_string())
    }
}
