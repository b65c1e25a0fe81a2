//! `Desk`: the engine's end of a session, as its thread in Python sees it. One call per step.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bareflight::clock::MonoNs;
use bareflight::record::request_record::EngineTimes;
use bareflight::targets::python::desk::{Orders, Stage};
use bareflight::targets::python::engine_end::{EngineEnd, Step};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The end of a request: id, reason, and the engine's stamps of arrival, scheduling, first and last token.
type Ended = (u32, String, Option<[Option<i64>; 4]>);
/// A request to make ready: id, prompt (`u32`, little endian), most tokens, terms (JSON).
type ToPrepare<'py> = (u32, Bound<'py, PyBytes>, u32, String);
/// To make ready, to start, to cancel, and whether to close.
type Taken<'py> = (Vec<ToPrepare<'py>>, Vec<u32>, Vec<u32>, bool);

/// Used by the engine's thread alone.
#[pyclass(frozen)]
pub struct Desk(Mutex<EngineEnd>);

impl Desk {
    /// With the engine's end of a session.
    pub fn new(end: EngineEnd) -> Self {
        Self(Mutex::new(end))
    }

    /// Only for calls that neither wait nor enter Python.
    fn end(&self) -> MutexGuard<'_, EngineEnd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn breach(words: String) -> PyErr {
    PyRuntimeError::new_err(words)
}

#[pymethods]
impl Desk {
    /// All orders that wait; without one it sleeps for up to `wait_us`, without the GIL. 0 says that the engine is busy.
    fn take<'py>(&self, py: Python<'py>, wait_us: u64) -> Taken<'py> {
        let orders = if wait_us == 0 {
            self.end().take(Duration::ZERO)
        } else {
            py.detach(|| self.end().take(Duration::from_micros(wait_us)))
        };
        let Orders { prepare, added, cancelled, stop } = orders;
        let prepare = prepare
            .into_iter()
            .map(|request| {
                let bytes: Vec<u8> =
                    request.prompt.iter().flat_map(|id| id.to_le_bytes()).collect();
                (request.index, PyBytes::new(py, &bytes), request.max_tokens, request.terms)
            })
            .collect();
        (prepare, added, cancelled, stop)
    }

    /// One step of the engine: output of `ids`, `counts` tokens each (empty: one each), then the ends. Returns whether orders
    /// wait.
    ///
    /// Raises `RuntimeError` where the adapter broke its contract; the run then fails with the same words.
    fn deliver(
        &self,
        at_ns: i64,
        ids: Vec<u32>,
        counts: Vec<u32>,
        tokens: Vec<u32>,
        ended: Vec<Ended>,
    ) -> PyResult<bool> {
        let mut end = self.end();
        let at = MonoNs(at_ns);
        let step = Step { at, ids: &ids, counts: &counts, tokens: &tokens };
        end.deliver(step).map_err(breach)?;
        for (id, reason, times) in ended {
            let times = times.map(|times| {
                let [arrival, first_scheduled, first_token, last_token] =
                    times.map(|it| it.map(MonoNs));
                EngineTimes { arrival, first_scheduled, first_token, last_token }
            });
            end.end(id, at, &reason, times).map_err(breach)?;
        }
        Ok(end.desk().has_orders())
    }

    /// So many more requests are ready.
    fn prepared(&self, requests: usize) {
        self.end().desk().note_prepared(requests);
    }

    /// Whether a request was started and has not ended.
    fn is_open(&self, id: u32) -> bool {
        self.end().is_open(id)
    }

    /// A request was refused.
    fn refuse(&self, id: u32, words: &str) {
        self.end().refuse(id, words);
    }

    /// Statistics of iterations, each a JSON object.
    fn iterations(&self, texts: Vec<String>) {
        self.end().desk().note_iterations(texts);
    }

    /// The engine is open.
    fn opened(&self) {
        self.end().desk().note_stage(Stage::Open);
    }

    /// The engine as a whole has failed.
    fn failed(&self, words: &str) {
        self.end().failed(words);
    }

    /// The thread ends; the words say why, where that was not asked for.
    #[pyo3(signature = (why=None))]
    fn ended(&self, why: Option<String>) {
        self.end().ended(why);
    }
}
