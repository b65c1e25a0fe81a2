//! Checks of a summary: one proof each that the harness was not the bottleneck, and the verdict that they come to.

use serde::{Deserialize, Serialize};

use crate::warning::Code;

/// Whether the numbers can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every check passed.
    Valid,
    /// The numbers hold, with warnings that a reader should know.
    ValidWithWarnings,
    /// The harness, not the target, may have been measured.
    Invalid,
}

impl Verdict {
    /// As printed.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::ValidWithWarnings => "valid with warnings",
            Self::Invalid => "invalid",
        }
    }
}

/// One proof that the harness was not the bottleneck, or the lack of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Which check.
    pub id: CheckId,
    /// Its code, which is listed in `docs/WARNINGS.md`.
    pub code: Code,
    /// What came of it.
    pub status: Status,
    /// The user has said that this code is known: it does not decide the verdict alone.
    #[serde(default)]
    pub allowed: bool,
    /// What was measured, in `unit`.
    pub measured: Option<f64>,
    /// Where the status changes, in `unit`.
    pub limit: Option<f64>,
    /// Unit of `measured` and `limit`; empty for a plain number.
    pub unit: String,
    /// What was seen, in plain words.
    pub sentence: String,
    /// What to do; only where the status is `warn` or `fail`.
    pub remedy: Option<String>,
}

impl Check {
    /// Whether it did not pass.
    pub const fn is_concern(&self) -> bool {
        matches!(self.status, Status::Warn | Status::Fail)
    }
}

/// Which check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// Requests were sent when they were due.
    ScheduleLag,
    /// Everything that was due was sent.
    NotSent,
    /// Requests completed.
    Completion,
    /// Output was seen soon after it existed.
    PullLag,
    /// The machine could have done more.
    Headroom,
    /// No event was lost.
    Recorder,
    /// Every request ended exactly once.
    Accounting,
    /// The engine's clock and ours agree.
    Clocks,
    /// The run was steady.
    Stability,
    /// The cgroup did not hold the process back.
    HostThrottling,
    /// The hypervisor did not take the CPU away.
    HostSteal,
    /// Hot threads kept their cores.
    HostSwitches,
    /// The harness had CPU time to spare.
    HostCpu,
    /// Clocks of the watched GPUs were not held down.
    GpuThrottling,
    /// The harness's threads had a core when they needed one.
    HostCoreWait,
    /// Output came as it was made.
    Streaming,
    /// The server had not seen the prompts before.
    Repeats,
    /// The warm-up went as asked.
    WarmUp,
}

impl CheckId {
    /// Every check, in the order of reports.
    pub const ALL: [Self; 18] = [
        Self::ScheduleLag,
        Self::NotSent,
        Self::Completion,
        Self::PullLag,
        Self::Headroom,
        Self::Recorder,
        Self::Accounting,
        Self::Clocks,
        Self::Stability,
        Self::HostThrottling,
        Self::HostSteal,
        Self::HostSwitches,
        Self::HostCpu,
        Self::GpuThrottling,
        Self::HostCoreWait,
        Self::Streaming,
        Self::Repeats,
        Self::WarmUp,
    ];

    /// Its code.
    pub const fn code(self) -> Code {
        match self {
            Self::ScheduleLag => Code::ScheduleLag,
            Self::NotSent => Code::NotSent,
            Self::Completion => Code::Completion,
            Self::PullLag => Code::PullLag,
            Self::Headroom => Code::Headroom,
            Self::Recorder => Code::Recorder,
            Self::Accounting => Code::Accounting,
            Self::Clocks => Code::Clocks,
            Self::Stability => Code::Stability,
            Self::HostThrottling => Code::HostThrottling,
            Self::HostSteal => Code::HostSteal,
            Self::HostSwitches => Code::HostSwitches,
            Self::HostCpu => Code::HostCpu,
            Self::GpuThrottling => Code::GpuThrottling,
            Self::HostCoreWait => Code::HostCoreWait,
            Self::Streaming => Code::Streaming,
            Self::Repeats => Code::Repeats,
            Self::WarmUp => Code::WarmUp,
        }
    }

    /// As printed.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ScheduleLag => "schedule lag",
            Self::NotSent => "not sent",
            Self::Completion => "completion",
            Self::PullLag => "pull lag",
            Self::Headroom => "headroom",
            Self::Recorder => "recorder",
            Self::Accounting => "accounting",
            Self::Clocks => "clocks",
            Self::Stability => "stability",
            Self::HostThrottling => "cgroup throttling",
            Self::HostSteal => "steal",
            Self::HostSwitches => "involuntary switches",
            Self::HostCpu => "harness CPU",
            Self::GpuThrottling => "GPU throttling",
            Self::HostCoreWait => "waiting for a core",
            Self::Streaming => "streaming",
            Self::Repeats => "repeats",
            Self::WarmUp => "warm-up",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Pass,
    /// To be known.
    Warn,
    /// The measurement is invalid.
    Fail,
    /// The check does not apply, or there was nothing to judge by; the sentence says which.
    NotApplicable,
}
