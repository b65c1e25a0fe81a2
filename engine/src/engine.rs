//! Public handle of the engine: open, submit, cancel, shut down. Deliveries arrive at the caller's sink.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::config::EngineConfig;
use crate::delivery::Sink;
use crate::error::{OpenError, SubmitError};
use crate::inbox::{Arrival, Inbox};
use crate::info::ModelInfo;
use crate::model::forward::Model;
use crate::model::{self, threads};
use crate::request::Request;
use crate::schedule::Loop;
use crate::source::ModelSource;
use crate::stats::{StatsReader, StatsRing};

/// A running engine. Dropping it is [`Engine::shutdown`].
pub struct Engine {
    info: ModelInfo,
    now_ns: fn() -> i64,
    inbox: Arc<Inbox>,
    stats: Arc<StatsRing>,
    thread: Option<JoinHandle<()>>,
}

/// The model that [`Engine::open`] would run, from the configuration alone: no weights are read or made.
pub fn inspect(source: &ModelSource, config: &EngineConfig) -> Result<ModelInfo, OpenError> {
    config.check()?;
    model::describe(source, config).map(|(_, info)| info)
}

impl Engine {
    /// Makes or loads the weights on the calling thread, then starts the engine's own thread, which calls `sink`.
    pub fn open(
        source: &ModelSource,
        config: EngineConfig,
        sink: Box<dyn Sink>,
    ) -> Result<Engine, OpenError> {
        config.check()?;
        let (shape, mut info) = model::describe(source, &config)?;
        info.threads = threads::settle(config.threads)?;
        let weights = model::load(source, &shape, &config)?;
        let inbox = Arc::new(Inbox::new(config.max_queue_size));
        let stats = Arc::new(StatsRing::new(config.iteration_stats));
        let engine_loop = Loop::new(
            info.clone(),
            Model::new(shape, weights),
            Arc::clone(&inbox),
            Arc::clone(&stats),
            sink,
            config.now_ns,
        );
        #[allow(clippy::disallowed_methods)] // No thread of the harness.
        let thread = std::thread::Builder::new()
            .name("bareflight-cpu".to_string())
            .spawn(move || engine_loop.run())
            .map_err(OpenError::Thread)?;
        Ok(Engine { info, now_ns: config.now_ns, inbox, stats, thread: Some(thread) })
    }

    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Accepts a request or returns why not; never waits for the model. An accepted request gets its deliveries and exactly
    /// one end. May be called from the sink.
    pub fn submit(&self, request: Request) -> Result<(), SubmitError> {
        let arrival_ns = (self.now_ns)();
        request.check(self.info.vocab_size, self.info.max_total_tokens())?;
        self.inbox.submit(Arrival { request, arrival_ns })
    }

    /// Ends a queued or running request before the next iteration. Unknown and finished ids are ignored.
    pub fn cancel(&self, id: u64) {
        self.inbox.cancel(id);
    }

    /// Reader of its iteration statistics.
    pub fn statistics(&self) -> StatsReader {
        StatsReader(Arc::clone(&self.stats))
    }

    /// Cancels what runs and waits, and refuses what comes; returns at once, while the ends are still being delivered.
    pub fn stop(&self) {
        self.inbox.shut_down();
    }

    /// [`Engine::stop`], then waits until every end was delivered and the thread is gone. Must not be called from the sink.
    pub fn shutdown(self) {}
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the engine thread catches every panic");
        }
    }
}
