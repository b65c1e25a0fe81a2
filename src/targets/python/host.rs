//! Host of Python engines: what the program that Python holds does for this crate.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::settings::engine::EngineSettings;
use crate::targets::python::engine_end::EngineEnd;
use crate::targets::python::interpreter::Interpreter;

/// Which engine is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The module of its adapter.
    pub module: String,
    /// What the adapter opens: a model's folder, or nothing.
    pub model: String,
    /// Settings and options, a JSON object.
    pub settings: String,
}

/// What the program that Python holds does.
pub trait PythonHost: Send + Sync {
    /// What the engine is, as JSON; nothing is loaded.
    ///
    /// # Errors
    /// In the adapter's words.
    fn describe(&self, asked: &Asked) -> Result<String, String>;

    /// What an adapter says of the library that it drives: a status (`ok`, `warn`, `fail`) and a sentence each.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn examine(&self, module: &str) -> Result<Vec<(String, String)>, String>;

    /// Runs an adapter without a clock and holds it against the contract; `asked.settings` are options alone.
    ///
    /// # Errors
    /// What breaks the contract, a line each.
    fn check(&self, asked: &Asked) -> Result<String, String>;

    /// How the same engine is started behind its own server, as JSON: command, variables, files, and how it is asked. Nothing is
    /// started. Texts may hold `{port}` and `{folder}`.
    ///
    /// # Errors
    /// In the adapter's words.
    fn served(&self, asked: &Asked, name: &str) -> Result<String, String>;

    /// Starts the engine's thread, which owns `end` from now on.
    ///
    /// # Errors
    /// When there is no thread.
    fn start(&self, asked: &Asked, end: EngineEnd) -> Result<(), String>;
}

static HOST: OnceLock<Box<dyn PythonHost>> = OnceLock::new();
static THREAD_LEFT: AtomicBool = AtomicBool::new(false);

/// Names the host; the first one stands.
pub fn install(host: Box<dyn PythonHost>) {
    let _the_first_one_stands = HOST.set(host);
}

/// The host, where Python holds this program.
pub fn host() -> Option<&'static dyn PythonHost> {
    HOST.get().map(Box::as_ref)
}

/// Who is asked about an engine.
pub(super) enum Teller {
    /// The Python that holds this program.
    Here(&'static dyn PythonHost),
    /// Another one.
    There(Interpreter),
}

impl Teller {
    /// Of these settings; `None` where no Python is named and none holds this program.
    pub(super) fn of(settings: &EngineSettings) -> Option<Self> {
        match &settings.python {
            Some(path) => Some(Self::There(Interpreter::new(path))),
            None => host().map(Self::Here),
        }
    }

    pub(super) fn host(&self) -> &dyn PythonHost {
        match self {
            Self::Here(host) => *host,
            Self::There(interpreter) => interpreter,
        }
    }
}

/// Notes that an engine's thread never came back.
pub(super) fn leave_thread() {
    THREAD_LEFT.store(true, Ordering::Release);
}

/// Whether an engine's thread never came back: Python then cannot end in order, and the process must end at once.
pub fn thread_was_left() -> bool {
    THREAD_LEFT.load(Ordering::Acquire)
}
