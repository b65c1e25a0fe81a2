//! Harness health: measured facts behind the validity verdict.

use serde::{Deserialize, Serialize};

use crate::observe::gpu::over_window::GpuUse;
use crate::observe::long_waits::LongWaits;
use crate::observe::server_metrics::over_window::ServerUse;

/// What the harness and the machine were seen doing during one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Events that the recorder did not take.
    pub dropped_events: u64,
    /// Events that waited for room in the recorder's ring.
    #[serde(default)]
    pub recorder_waits: u64,
    /// Milliseconds that they waited, over all threads.
    #[serde(default)]
    pub recorder_wait_ms: f64,
    /// Ends that belonged to no open request.
    pub stray_ends: u64,
    /// What this machine's harness reaches when nothing answers slowly: from the calibration before the run.
    pub null_rate: Option<NullRate>,
    /// What the client of a server reads at most: from the calibration on the same path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_rate: Option<ClientRate>,
    /// CPU time of the harness's own threads ÷ wall time, where it can be separated from the target's.
    pub harness_cpu: Option<f64>,
    /// CPU time of the whole process ÷ wall time.
    pub process_cpu: Option<f64>,
    /// Periods in which the cgroup's CPU quota held the process back.
    pub cgroup_throttled: Option<u64>,
    /// Share of CPU time that the hypervisor gave to others, 0 to 1.
    pub steal: Option<f64>,
    /// Times that a thread that sends or stamps lost its core against its will.
    pub involuntary_switches: Option<u64>,
    /// What the GPUs did over the window, where any were watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuUse>,
    /// What the server told of itself over the window, where it has metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerUse>,
    /// A profiler watched the process, which slows what it watches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub profiled: bool,
    /// Share of the run, 0 to 1, that the thread which fared worst, of those that send or stamp, was ready to run and had
    /// no core.
    pub core_wait: Option<f64>,
    /// Seconds, over ramp, window and tail, that the thread which fared worst, of those of an engine in this process, was ready
    /// to run and had no core; what its own threads take from each other, where they outnumber the cores, is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_core_wait_s: Option<f64>,
    /// Long waits for a core, over ramp, window and tail, of threads that send or stamp and of those of an engine in this process,
    /// unless its threads outnumber the cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_waits: Option<LongWaits>,
}

/// What the client of a server reads at most, against a stub on loopback that speaks the same protocol.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClientRate {
    /// Requests per second, of one token each.
    pub requests_per_s: f64,
    /// Tokens per second, at the output lengths of the run and one per read.
    pub tokens_per_s: f64,
    /// Threads that send and read.
    pub threads: u32,
}

/// What the harness reaches against a target that replies at once (L0).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NullRate {
    /// Requests per second.
    pub requests_per_s: f64,
    /// Tokens per second, one per delivery.
    pub tokens_per_s: f64,
}
