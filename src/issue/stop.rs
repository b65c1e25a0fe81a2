//! Stop request of the user, read by the issuer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Set by Ctrl-C or SIGTERM; read by the issuer between two requests. Beside it, whether the phase that runs has shown
/// enough: it then ends early, and the run goes on.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
}

impl Stop {
    /// The exit code of an interrupted program.
    pub const EXIT_CODE: i32 = 130;

    /// Never set, unless by [`Self::ask`].
    pub fn never() -> Self {
        Self::default()
    }

    /// Set by the first Ctrl-C or SIGTERM. The second one ends the program at once with code 130; what is on disk
    /// by then is intact, since rows are flushed whole.
    ///
    /// # Errors
    /// When the kernel refuses the handler.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // Order matters: the first signal finds the flag unset here, and sets it in the next handler.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                Self::EXIT_CODE,
                Arc::clone(&stop.asked),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&stop.asked))?;
        }
        Ok(stop)
    }

    /// Whether the end was asked for.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Asks for the end, as Ctrl-C does.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether the phase that runs has shown enough.
    pub fn is_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    /// Says so, or takes it back before the next phase.
    pub fn set_enough(&self, enough: bool) {
        self.enough.store(enough, Ordering::Relaxed);
    }
}
