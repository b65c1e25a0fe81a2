//! Result of one check: status, finding, its effect on a measurement, remedy.

use serde::Serialize;

/// Status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not checked, or nothing to check; the sentence states which.
    Skip,
    /// Fit for measuring.
    Pass,
    /// A measurement works and may be worse or noisier for it.
    Warn,
    /// A measurement of what was asked for cannot work, or cannot be trusted.
    Fail,
}

impl Status {
    /// As printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// Which part of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Processor, memory, clock, limits.
    Host,
    /// GPUs and their driver.
    Gpu,
    /// Shared libraries.
    Libraries,
    /// MPI.
    Mpi,
    /// A built engine.
    Engine,
    /// A server and the way to it.
    Network,
}

impl Area {
    /// As a heading.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Gpu => "GPU",
            Self::Libraries => "libraries",
            Self::Mpi => "MPI",
            Self::Engine => "engine",
            Self::Network => "network",
        }
    }
}

/// Result of one check, a line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Which part of the machine.
    pub area: Area,
    /// A stable name for scripts, e.g. `governor`.
    pub id: &'static str,
    /// What came of it.
    pub status: Status,
    /// What was found.
    pub sentence: String,
    /// What it does to a measurement.
    pub why: &'static str,
    /// The command that mends it, where there is one; only on `warn` and `fail`, and never run by this program.
    pub remedy: Option<String>,
}

/// A check before its result is known.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Which part of the machine.
    pub area: Area,
    /// A stable name.
    pub id: &'static str,
    /// What it does to a measurement.
    pub why: &'static str,
}

impl Check {
    /// It is as a measurement wants it.
    pub fn pass(self, sentence: impl Into<String>) -> CheckResult {
        self.found(Status::Pass, sentence, None)
    }

    /// It could not be looked at.
    pub fn skip(self, sentence: impl Into<String>) -> CheckResult {
        self.found(Status::Skip, sentence, None)
    }

    /// A measurement works and may be worse for it.
    pub fn warn(self, sentence: impl Into<String>, remedy: impl Into<String>) -> CheckResult {
        self.found(Status::Warn, sentence, Some(remedy.into()))
    }

    /// A measurement cannot work or not be trusted.
    pub fn fail(self, sentence: impl Into<String>, remedy: impl Into<String>) -> CheckResult {
        self.found(Status::Fail, sentence, Some(remedy.into()))
    }

    fn found(
        self,
        status: Status,
        sentence: impl Into<String>,
        remedy: Option<String>,
    ) -> CheckResult {
        let Self { area, id, why } = self;
        CheckResult { area, id, status, sentence: sentence.into(), why, remedy }
    }
}
