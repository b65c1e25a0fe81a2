//! Safe handles on an executor: one for submitting, one for polling; each `Send` and not `Sync`.

use std::cell::Cell;
use std::marker::PhantomData;

use cxx::{SharedPtr, UniquePtr};

use super::bridge::wire::{self, EngineHandle, Pump};
pub use super::bridge::wire::{
    CapacityPolicy, ChunkingPolicy, DecodingKind, Delivery, Ending, EngineConfig, KvEvent,
    KvEventKind, KvEvents, RawLoop, Rejection, RejectionKind, RequestHead, Sequences,
};

/// Exception of the C++ side, with its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EngineError(String);

impl From<cxx::Exception> for EngineError {
    fn from(exception: cxx::Exception) -> Self {
        Self(exception.what().to_owned())
    }
}

/// A handle is used by one thread at a time and may move between threads.
type OneThreadAtATime = PhantomData<Cell<()>>;

/// Submits, cancels and reads statistics. Clones talk to the same executor.
pub struct Engine {
    handle: SharedPtr<EngineHandle>,
    _not_sync: OneThreadAtATime,
}

// SAFETY: every method of the C++ `EngineHandle` may be called from any thread: the executor locks internally, our
// id map has a mutex, and `shutdown` waits behind a gate for calls in flight (cpp/executor_engine.cc). The pointer
// itself is a `std::shared_ptr`, whose count is atomic.
unsafe impl Send for Engine {}

impl Engine {
    /// Opens the simulated executor on the profile in `config.model`.
    ///
    /// # Errors
    /// When the profile or a setting makes no sense; the message names it.
    pub fn open_simulated(config: &EngineConfig) -> Result<Self, EngineError> {
        Ok(Self::from_handle(wire::open_simulated(config)?))
    }

    /// Loads the engine directory in `config.model` into TensorRT-LLM's executor; this takes minutes for large models.
    ///
    /// # Errors
    /// When the library is not of the headers' version, or cannot load the engine; with its message.
    #[cfg(feature = "trtllm")]
    pub fn open_trtllm(config: &EngineConfig) -> Result<Self, EngineError> {
        Ok(Self::from_handle(wire::open_trtllm(config)?))
    }

    fn from_handle(handle: SharedPtr<EngineHandle>) -> Self {
        Self { handle, _not_sync: PhantomData }
    }

    /// A second handle on the same executor, for another thread.
    #[must_use]
    pub fn for_another_thread(&self) -> Self {
        Self::from_handle(self.handle.clone())
    }

    /// The consumer of this executor's deliveries. One per engine: each delivery goes to the first poll.
    pub fn poller(&self) -> Poller {
        Poller { pump: wire::new_pump(&self.handle), _not_sync: PhantomData }
    }

    /// Version string of the library behind the engine.
    pub fn version(&self) -> String {
        self.handle.version()
    }

    /// Submits a batch in one call; each head says where its prompt is in `prompt_tokens`. Returns only the refused
    /// requests.
    ///
    /// # Errors
    /// When the whole call failed.
    pub fn submit_batch(
        &self,
        heads: &[RequestHead],
        prompt_tokens: &[i32],
    ) -> Result<Vec<Rejection>, EngineError> {
        Ok(self.handle.submit(heads, prompt_tokens)?)
    }

    /// Sequences of tokens that end every request submitted from now on (`stop`), and that none may produce (`bad`).
    ///
    /// # Errors
    /// When a sequence is empty or lies outside its tokens.
    pub fn set_words(&self, stop: &Sequences, bad: &Sequences) -> Result<(), EngineError> {
        Ok(self.handle.set_words(stop, bad)?)
    }

    /// Cancels a request; its final delivery still comes. Unknown ids are ignored.
    ///
    /// # Errors
    /// When the executor threw.
    pub fn cancel(&self, id: u64) -> Result<(), EngineError> {
        Ok(self.handle.cancel(id)?)
    }

    /// Drains the statistics of the iterations since the last call, one JSON object each.
    ///
    /// # Errors
    /// When the executor threw.
    pub fn iteration_stats(&self) -> Result<Vec<String>, EngineError> {
        Ok(self.handle.iteration_stats()?)
    }

    /// Drains the KV cache events since the last call.
    ///
    /// # Errors
    /// When the executor threw.
    pub fn kv_events(&self) -> Result<KvEvents, EngineError> {
        Ok(self.handle.kv_events()?)
    }

    /// Shuts the executor down; calls in flight on other threads end first.
    ///
    /// # Errors
    /// When the executor threw.
    pub fn close(&self) -> Result<(), EngineError> {
        Ok(self.handle.shutdown()?)
    }
}

/// Takes deliveries out of an executor; owned by the poller thread.
pub struct Poller {
    pump: UniquePtr<Pump>,
    _not_sync: OneThreadAtATime,
}

// SAFETY: a `Pump` holds buffers of its own and a `std::shared_ptr` to the engine; it has no thread affinity, and
// `&mut self` (poll) and `!Sync` (views) keep it to one thread at a time.
unsafe impl Send for Poller {}

/// Deliveries of one poll; valid until the next.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// In the order in which the executor handed them over.
    pub deliveries: &'a [Delivery],
    tokens: &'a [i32],
    endings: &'a [Ending],
}

impl<'a> Batch<'a> {
    /// The output tokens of a delivery.
    #[inline]
    pub fn tokens(&self, delivery: &Delivery) -> &'a [i32] {
        let start = delivery.token_start as usize;
        &self.tokens[start..start + delivery.token_count as usize]
    }

    /// The engine's own stamps and counts of a finished request, if they were requested.
    #[inline]
    pub fn ending(&self, delivery: &Delivery) -> Option<&'a Ending> {
        usize::try_from(delivery.ending).ok().map(|index| &self.endings[index])
    }
}

impl Poller {
    /// Waits up to `timeout_us` microseconds for output; an empty batch after a timeout or a shutdown.
    ///
    /// # Errors
    /// When the executor threw.
    pub fn poll(&mut self, timeout_us: u32) -> Result<Batch<'_>, EngineError> {
        self.pump.pin_mut().poll(timeout_us)?;
        Ok(self.last())
    }

    /// The batch of the last poll again.
    pub fn last(&self) -> Batch<'_> {
        Batch {
            deliveries: self.pump.deliveries(),
            tokens: self.pump.tokens(),
            endings: self.pump.endings(),
        }
    }

    /// The error message of a failed delivery.
    ///
    /// # Errors
    /// When the delivery carries no error.
    pub fn error(&self, delivery: &Delivery) -> Result<&str, EngineError> {
        Ok(self.pump.error(delivery.error)?)
    }
}

/// Describes a profile of the simulated executor as JSON.
///
/// # Errors
/// When there is no such profile; the message lists the known ones.
pub fn describe_simulated(profile: &str) -> Result<String, EngineError> {
    Ok(wire::describe_simulated(profile)?)
}

/// Holds one rank of the engine in `config.model`; returns when the leader, another process, has shut down.
///
/// # Errors
/// When the library or the engine cannot be loaded, or this process leads.
#[cfg(feature = "trtllm")]
pub fn run_worker_rank_trtllm(config: &EngineConfig) -> Result<(), EngineError> {
    Ok(wire::run_worker_rank_trtllm(config)?)
}

/// Version of the TensorRT-LLM library that this program has loaded.
///
/// # Errors
/// When it is not the version of the headers that were compiled against; the message names both.
#[cfg(feature = "trtllm")]
pub fn trtllm_version() -> Result<String, EngineError> {
    Ok(wire::trtllm_version()?)
}

/// The closed loop in C++ alone, over the same executor: the baseline of the bridge's benchmark.
///
/// # Errors
/// When the profile makes no sense or the executor threw.
pub fn raw_loop_simulated(
    config: &EngineConfig,
    requests: u64,
    concurrency: u32,
    prompt_len: u32,
    max_tokens: i32,
) -> Result<RawLoop, EngineError> {
    Ok(wire::raw_loop_simulated(config, requests, concurrency, prompt_len, max_tokens)?)
}
