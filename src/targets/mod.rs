//! WHO answers: one seam for everything that can be measured, and one file per target.
//!
//! The seam is synchronous on purpose. A target that needs an async runtime or a poller thread owns it inside
//! its own file, and no async colour reaches the measuring code.

pub mod abilities;
mod bad_answer;
pub mod deployment;
mod error;
pub mod executor;
pub mod local;
mod local_statistics;
pub mod mpi_job;
pub mod named;
pub mod null;
pub mod openai;
pub mod python;
pub mod registry;
pub mod served;
pub mod sim;
pub mod text;
pub mod triton;
pub mod triton_c;
pub mod trtllm;

use serde::{Deserialize, Serialize};

use crate::clock::MonoNs;
use crate::load::plan::Shot;
use crate::record::iteration::ReportedIteration;
use crate::record::kv_event::KvEvent;
use crate::record::sink::Sink;
use crate::request::RequestId;
use crate::request::{Failure, Limits, Prepared};

pub use error::TargetError;

/// Something that can answer, not yet opened.
pub trait Target: Send {
    /// What it is and what it allows, read cheaply: no weights are loaded, no load is sent.
    fn describe(&self) -> &TargetInfo;

    /// Sends a request or two that are not measured, where a target can only be known by asking it. Called before
    /// [`Self::open`]; what it finds out may change how the target asks, and is then in its description.
    ///
    /// # Errors
    /// When the target would refuse every request like this one; with its words and the remedy.
    fn probe(&mut self, _shot: &Shot) -> Result<(), TargetError> {
        Ok(())
    }

    /// Loads or connects. Everything that comes back from then on goes into `sink`.
    ///
    /// # Errors
    /// When the target cannot be made ready; nothing was sent.
    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError>;
}

/// An opened target. Each submitted shot ends exactly once in the sink, by completion, failure or cancel.
pub trait Session {
    /// Hands over one shot and returns without waiting for the answer.
    ///
    /// # Errors
    /// When the shot was refused on the spot; it then has no other ending in the sink.
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure>;

    /// Asks for an early end of a request. Unknown and finished ids are ignored.
    fn cancel(&mut self, id: RequestId);

    /// Opens what so many requests in flight will need, before they come. What cannot be opened fails the request that needs
    /// it. Returns when it is done.
    fn connect(&mut self, _in_flight: usize) {}

    /// Makes requests ready ahead of their instants, for a thread of its own; `None` where a request costs nothing to make.
    fn preparer(&self) -> Option<Box<dyn Prepare>> {
        None
    }

    /// What is known of the engine only since it was opened, as a JSON object; `None` where there is nothing.
    fn facts(&self) -> Option<serde_json::Value> {
        None
    }

    /// What the engine says of itself while it runs, for a thread of its own; `None` where it says nothing.
    fn statistics(&self) -> Option<Box<dyn EngineStatistics>> {
        None
    }

    /// What happens to blocks of its KV cache, for a thread of its own; `None` where it was not asked to say it.
    fn kv_events(&self) -> Option<Box<dyn KvEvents>> {
        None
    }

    /// Ends the session: nothing reaches the sink after it returns.
    fn finish(self: Box<Self>, by: MonoNs) -> Drain;
}

/// Makes a target's form of requests before the clock counts, so that [`Session::submit`] only hands it over. Called from a
/// thread of its own, for a window of requests at a time.
pub trait Prepare: Send {
    /// What [`Session::submit`] will look for in the shot; nothing where the request cannot be made: `submit` then says why.
    fn prepare(&mut self, shot: &Shot) -> Prepared;
}

/// What an engine says of itself, apart from what it answers. Read from a thread of its own.
pub trait EngineStatistics: Send {
    /// Appends the statistics of each iteration since the last call, in their order.
    ///
    /// # Errors
    /// In the engine's words, when it gives no statistics any more.
    fn iterations(&mut self, into: &mut Vec<ReportedIteration>) -> Result<(), String>;
}

/// What happens to the blocks of an engine's KV cache. Read from a thread of its own.
pub trait KvEvents: Send {
    /// Appends what happened since the last call, in its order.
    ///
    /// # Errors
    /// In the engine's words, when it gives no events any more.
    fn events(&mut self, into: &mut Vec<KvEvent>) -> Result<(), String>;
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drain {
    /// Everything that was submitted had ended.
    Clean,
    /// Requests were still open when time ran out, or the target failed while closing; the text says which.
    Forced(String),
}

/// What a target is, for the manifest, the preflight and every heading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetInfo {
    /// What was asked for, e.g. `local:dummy-nano`, with secrets left out.
    pub name: String,
    /// The family: `local`, `sim`, `null`, `trtllm`, `openai`, `triton`, …
    pub kind: String,
    /// Human words for headings, e.g. `embedded engine, Llama 5.0 M parameters, Q8_0, 1 thread`.
    pub title: String,
    /// Latencies come from a model of an engine and not from an engine. Every artefact says so.
    pub simulated: bool,
    /// Weights are random: timings are real, text is meaningless.
    pub dummy_weights: bool,
    /// GPUs in use; 0 on a CPU. Rates per GPU exist only where this is not 0.
    pub gpus: u32,
    /// What it allows.
    pub limits: Limits,
    /// Everything else it says of itself: versions, costs, settings.
    pub details: serde_json::Value,
}

impl TargetInfo {
    /// The model as its server calls it; where there is no server, what was asked for.
    pub fn model(&self) -> &str {
        let called = self.details.get("model").and_then(serde_json::Value::as_str);
        called.filter(|name| !name.is_empty()).unwrap_or(&self.name)
    }
}
