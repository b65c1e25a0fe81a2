//! One executor, or a draft and a target executor, opened for any library, and the session over them.

use crate::ffi::engine::Engine;
use crate::record::sink::Sink;
use crate::settings::engine::EngineSettings;
use crate::targets::Session;
use crate::targets::executor::asked::PerRequest;
use crate::targets::executor::drafted::DraftedSession;
use crate::targets::executor::session::ExecutorSession;
use crate::targets::mpi_job::JobEnd;

/// Engines that answer together.
pub enum Engines {
    /// One alone.
    One(Engine),
    /// One that drafts, and one that verifies.
    Drafted {
        /// The small one.
        draft: Engine,
        /// The large one.
        target: Engine,
        /// Tokens of a round, at most.
        tokens: u32,
    },
}

impl Engines {
    /// Opens what the settings name, the draft engine first: its cache takes a share of the memory, and the target's a share of
    /// what is left.
    ///
    /// # Errors
    /// When one of them cannot be opened, in the library's words.
    pub fn open(
        model: &str,
        settings: &EngineSettings,
        open: impl Fn(&str, &EngineSettings) -> Result<Engine, String>,
    ) -> Result<Self, String> {
        let Some(drafting) = &settings.drafting else {
            return Ok(Self::One(open(model, settings)?));
        };
        let draft = open(&drafting.engine, &settings.of_draft(drafting))
            .map_err(|words| format!("its draft engine `{}`: {words}", drafting.engine))?;
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
        let tells = settings.kv_events.is_some();
        let not_started =
            |error: std::io::Error| format!("its poller thread cannot be started: {error}");
        Ok(match self {
            Self::One(engine) => Box::new(
                ExecutorSession::start(engine, per_request, job_end, sink)
                    .map_err(not_started)?
                    .telling_kv_events(tells),
            ),
            Self::Drafted { draft, target, tokens } => Box::new(
                DraftedSession::start((draft, target), tokens, per_request, job_end, sink)
                    .map_err(not_started)?
                    .telling_kv_events(tells),
            ),
        })
    }
}
