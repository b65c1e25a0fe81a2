//! One executor, or a draft and a target executor, opened for any library, and the session over them.

use crate::ffi::engine::Engine;
use crate::record::sink::Sink;
use crate::settings::engine::EngineSettings;
use crate::targets::Session;
use crate::targets::executor::drafted::DraftedSession;
use crate::targets::executor::request::PerRequest;
use crate::targets::executor::session::ExecutorSession;
use crate::targets::mpi_job::JobEnd;

/// The executors of one target.
pub enum Engines {
    /// One executor.
    One(Engine),
    /// A draft engine and a target engine that verifies.
    Drafted {
        /// The small engine.
        draft: Engine,
        /// The large engine.
        target: Engine,
        /// Most draft tokens per round.
        tokens: u32,
    },
}

impl Engines {
    /// Opens the engines of the settings, the draft engine first: its KV cache takes a share of the memory, and the target's a
    /// share of the rest.
    ///
    /// # Errors
    /// When one of them cannot be opened, with the library's message.
    pub fn open(
        model: &str,
        settings: &EngineSettings,
        open: impl Fn(&str, &EngineSettings) -> Result<Engine, String>,
    ) -> Result<Self, String> {
        let Some(drafting) = &settings.drafting else {
            return Ok(Self::One(open(model, settings)?));
        };
        let draft = open(&drafting.engine, &settings.of_draft(drafting))
            .map_err(|message| format!("its draft engine `{}`: {message}", drafting.engine))?;
        let target = open(model, &settings.of_target())?;
        Ok(Self::Drafted { draft, target, tokens: drafting.tokens })
    }

    /// Starts the session.
    ///
    /// # Errors
    /// When the system cannot start its threads.
    pub fn drive(
        self,
        settings: &EngineSettings,
        per_request: PerRequest,
        job_end: JobEnd,
        sink: Sink,
    ) -> Result<Box<dyn Session>, String> {
        let has_kv_events = settings.kv_events.is_some();
        let not_started =
            |error: std::io::Error| format!("its poller thread cannot be started: {error}");
        Ok(match self {
            Self::One(engine) => Box::new(
                ExecutorSession::start(engine, per_request, job_end, sink)
                    .map_err(not_started)?
                    .with_kv_events(has_kv_events),
            ),
            Self::Drafted { draft, target, tokens } => Box::new(
                DraftedSession::start((draft, target), tokens, per_request, job_end, sink)
                    .map_err(not_started)?
                    .with_kv_events(has_kv_events),
            ),
        })
    }
}
