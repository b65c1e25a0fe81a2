//! Desk of an engine's thread in Python: the engine's end of a session as an object with one call per step.

use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bareflight::clock::MonoNs;
use bareflight::record::request_record::{EngineTimes, EngineUse};
use bareflight::targets::python::desk::{self, Orders};
use bareflight::targets::python::engine_end::{EngineEnd, Step, ToldAtEnd};
use pyo3::BoundObject;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyTuple};

/// The engine's stamps of arrival, scheduling, first and last token.
type Times = (Option<i64>, Option<i64>, Option<i64>, Option<i64>);
/// Blocks of its KV cache: in total, newly allocated, found in the cache, looked for and not found.
type Blocks = (u32, u32, u32, Option<u32>);
/// The end of a request: id, reason, and what its engine says of it.
type Ended = (u32, String, Option<Times>, Option<Blocks>);
/// A request to make ready: id, prompt (`u32`, little endian), most tokens, terms (JSON).
type ToPrepare = (u32, Py<PyBytes>, u32, String);
/// To make ready, to start, to cancel, and whether to close.
type Taken = (Vec<ToPrepare>, Vec<u32>, Vec<u32>, bool);

struct Desk {
    /// Orders wait here.
    orders: Arc<desk::Desk>,
    /// Locked for calls that neither wait nor enter Python.
    end: Mutex<EngineEnd>,
}

/// An object with a function for each thing that the engine's thread does at its desk.
pub fn make_desk(py: Python<'_>, end: EngineEnd) -> PyResult<Bound<'_, PyAny>> {
    let desk = Arc::new(Desk { orders: Arc::clone(end.desk()), end: Mutex::new(end) });
    let functions = PyDict::new(py);
    let put = |name: &'static CStr, call: fn(&Desk, &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>>| {
        let desk = Arc::clone(&desk);
        let function =
            PyCFunction::new_closure(py, Some(name), None, move |given, _| call(&desk, given))?;
        functions.set_item(name.to_string_lossy(), function)
    };
    put(c"take", Desk::take)?;
    put(c"deliver", Desk::deliver)?;
    put(c"prepared", |desk, given| {
        desk.orders.note_prepared(only(given)?);
        Ok(given.py().None())
    })?;
    put(c"is_open", |desk, given| {
        let is = desk.end().is_open(only(given)?);
        object(given.py(), is)
    })?;
    put(c"refuse", |desk, given| {
        let (id, words): (u32, String) = given.extract()?;
        desk.end().refuse(id, &words);
        Ok(given.py().None())
    })?;
    put(c"iterations", |desk, given| {
        desk.orders.note_iterations(only(given)?);
        Ok(given.py().None())
    })?;
    put(c"kv_events", |desk, given| {
        desk.orders.note_kv_events(only(given)?);
        Ok(given.py().None())
    })?;
    put(c"opened", |desk, given| {
        desk.orders.note_open(only(given)?);
        Ok(given.py().None())
    })?;
    put(c"failed", |desk, given| {
        let words: String = only(given)?;
        desk.end().failed(&words);
        Ok(given.py().None())
    })?;
    put(c"ended", |desk, given| {
        let why: Option<String> = only(given)?;
        desk.end().ended(why);
        Ok(given.py().None())
    })?;
    py.import("types")?.getattr("SimpleNamespace")?.call((), Some(&functions))
}

/// The one argument.
fn only<'a, 'py, T>(given: &'a Bound<'py, PyTuple>) -> PyResult<T>
where
    (T,): FromPyObject<'a, 'py, Error = PyErr>,
{
    let (it,) = given.extract()?;
    Ok(it)
}

fn object<'py>(py: Python<'py>, value: impl IntoPyObject<'py>) -> PyResult<Py<PyAny>> {
    let made = value.into_pyobject(py).map_err(Into::<PyErr>::into)?;
    Ok(made.into_any().unbind())
}

fn breach(words: String) -> PyErr {
    PyRuntimeError::new_err(words)
}

fn times_of(times: Times) -> EngineTimes {
    let (arrival, first_scheduled, first_token, last_token) = times;
    let [arrival, first_scheduled, first_token, last_token] =
        [arrival, first_scheduled, first_token, last_token].map(|it| it.map(MonoNs));
    EngineTimes { arrival, first_scheduled, first_token, last_token }
}

fn counts_of(blocks: Blocks) -> EngineUse {
    let (kv_total_blocks, kv_new_blocks, kv_reused_blocks, kv_missed_blocks) = blocks;
    let (draft_tokens, accepted_draft_tokens) = (0, 0);
    EngineUse {
        kv_total_blocks,
        kv_new_blocks,
        kv_reused_blocks,
        kv_missed_blocks,
        draft_tokens,
        accepted_draft_tokens,
    }
}

impl Desk {
    fn end(&self) -> MutexGuard<'_, EngineEnd> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `take(wait_us)`: all orders that wait; without one it sleeps for up to `wait_us`, without Python's lock. 0 says that the
    /// engine is busy.
    fn take(&self, given: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let py = given.py();
        let wait = Duration::from_micros(only(given)?);
        let orders = if wait.is_zero() {
            self.orders.take(wait)
        } else {
            py.detach(|| self.orders.take(wait))
        };
        self.end().note_taken(&orders);
        let Orders { prepare, added, cancelled, stop } = orders;
        let prepare = prepare
            .into_iter()
            .map(|request| {
                let bytes: Vec<u8> =
                    request.prompt.iter().flat_map(|id| id.to_le_bytes()).collect();
                let prompt = PyBytes::new(py, &bytes).unbind();
                (request.index, prompt, request.max_tokens, request.terms)
            })
            .collect();
        let taken: Taken = (prepare, added, cancelled, stop);
        object(py, taken)
    }

    /// `deliver(at_ns, ids, counts, tokens, ended)`: one step of the engine, output of `ids`, `counts` tokens each (empty: one
    /// each), then the ends.
    ///
    /// Raises `RuntimeError` where the adapter broke its contract; the run then fails with the same words.
    fn deliver(&self, given: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let (at, ids, counts, tokens, ended): (i64, Vec<u32>, Vec<u32>, Vec<u32>, Vec<Ended>) =
            given.extract()?;
        let at = MonoNs(at);
        let mut end = self.end();
        end.deliver(Step { at, ids: &ids, counts: &counts, tokens: &tokens }).map_err(breach)?;
        for (id, reason, times, blocks) in ended {
            let told = ToldAtEnd { times: times.map(times_of), counts: blocks.map(counts_of) };
            end.end(id, at, &reason, told).map_err(breach)?;
        }
        Ok(given.py().None())
    }
}
