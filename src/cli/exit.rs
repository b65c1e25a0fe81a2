//! Exit codes.

use std::io::Write;

use crate::experiment::artefacts;
use crate::issue::stop::Stop;
use crate::metrics::summary::{Summary, Verdict};
use crate::store::manifest::State;
use crate::store::measured_run::MeasuredRun;
use crate::targets::{executor, python};

/// A result whose error carries the exit code.
pub type Coded<T> = Result<T, (Exit, anyhow::Error)>;

/// Exit code of the program. The numbers are documented and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Completed and valid.
    Ok = 0,
    /// The run failed; all requests failed counts here.
    Failure = 1,
    /// What was typed cannot be meant.
    Usage = 2,
    /// Something was in the way before any load was sent.
    Preflight = 3,
    /// Completed, and the measurement is invalid.
    Invalid = 4,
    /// Completed and valid, and too few requests met the SLOs.
    SloMissed = 5,
    /// Completed and valid, and a comparison found a regression.
    Regression = 6,
    /// Measured, and not uploaded.
    Upload = 7,
    /// Interrupted; artefacts are marked incomplete.
    Interrupted = Stop::EXIT_CODE as u8,
}

impl Exit {
    /// Every code, in its order.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Preflight,
        Self::Invalid,
        Self::SloMissed,
        Self::Regression,
        Self::Upload,
        Self::Interrupted,
    ];

    /// What it says, for help.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "completed and valid; with warnings, too",
            Self::Failure => "runtime failure: the target broke, or no request completed",
            Self::Usage => {
                "usage or configuration: what was typed cannot be meant, and nothing was run"
            }
            Self::Preflight => {
                "preflight failed: something was in the way before any load was sent"
            }
            Self::Invalid => {
                "completed, and the measurement is invalid (see the failed checks), or a warning of `--deny` came up"
            }
            Self::SloMissed => "completed and valid, and too few requests met `--slo`",
            Self::Regression => "completed and valid, and worse than `--fail-if` allows",
            Self::Upload => {
                "an upload failed, and nothing else did; `bareflight upload` goes on with it"
            }
            Self::Interrupted => "interrupted; what was measured is written and marked incomplete",
        }
    }

    /// What came of an experiment; the first that applies, from the gravest.
    pub fn of(run: &MeasuredRun) -> Self {
        let summaries = || run.points.iter().map(|point| &point.summary);
        if run.manifest.was_ended_by_its_engine() {
            return Self::Failure;
        }
        // A run that is read back as running was killed.
        if matches!(run.manifest.state, State::Interrupted | State::Running) {
            return Self::Interrupted;
        }
        let nothing_worked = summaries().any(Summary::nothing_completed);
        let failed = matches!(run.manifest.state, State::Failed | State::Incomplete);
        if failed || run.points.is_empty() || nothing_worked {
            return Self::Failure;
        }
        let is_denied = !artefacts::denied(run).is_empty();
        if is_denied || summaries().any(|summary| summary.verdict == Verdict::Invalid) {
            return Self::Invalid;
        }
        let missed = summaries().any(Summary::misses_slo);
        if missed { Self::SloMissed } else { Self::Ok }
    }

    /// What came of an experiment with several sides: as bad as its worst side, or what a gate over them asks for.
    pub fn of_sides(runs: &[MeasuredRun], gate: Option<Self>) -> Self {
        Self::gravest(runs.iter().map(Self::of).chain(gate))
    }

    /// The gravest of several.
    pub fn gravest(exits: impl IntoIterator<Item = Self>) -> Self {
        const FROM_THE_GRAVEST: [Exit; 5] =
            [Exit::Interrupted, Exit::Failure, Exit::Invalid, Exit::Regression, Exit::SloMissed];
        let exits: Vec<Self> = exits.into_iter().collect();
        FROM_THE_GRAVEST.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Self::Ok)
    }
}

impl Exit {
    /// The code for the process to end with. Where the process must end at once, it ends here.
    pub fn end_process(self) -> std::process::ExitCode {
        if is_left_open() {
            let _nowhere_left_to_say_it = std::io::stdout().flush();
            signal_hook::low_level::exit(i32::from(self as u8));
        }
        self.into()
    }
}

/// Whether an engine was left as it is: the process must then end without handlers and destructors of the engine's library,
/// which would wait for it. Everything is written by now.
pub fn is_left_open() -> bool {
    executor::is_left_open() || python::host::thread_was_left()
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
