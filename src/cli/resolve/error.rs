//! Errors of settings that contradict each other or are out of range.

use crate::experiment::launch::preset::NoPlan;
use crate::settings::launch::BadEnv;
use crate::settings::otlp_address::OtlpAddressError;
use crate::settings::slo::SloError;
use crate::warning::Code;
use crate::workload::dataset::bench_config::BenchConfigError;
use crate::workload::scenario::ScenarioError;

/// A setting that is out of range or contradicts another one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A name of nothing.
    #[error("`{0}` is empty: give a name, or leave it out")]
    EmptyName(&'static str),
    /// Two kinds of load at once.
    #[error(
        "{0} and {1} are two kinds of load: give one of `--concurrency`, `--rate` and `--batch`"
    )]
    TwoLoads(&'static str, &'static str),
    /// A setting of the open loop without one.
    #[error("`{0}` belongs to an open loop: give `--rate` too, or leave it out")]
    NeedsRate(&'static str),
    /// A shape without gamma arrivals.
    #[error(
        "`--burstiness` is the shape of gamma arrivals: add `--arrivals gamma`, or leave it out"
    )]
    BurstinessWithoutGamma,
    /// Gamma arrivals without a shape.
    #[error("`--arrivals gamma` needs a shape: add for example `--burstiness 0.5`")]
    GammaWithoutBurstiness,
    /// A dataset configuration that cannot be followed.
    #[error(transparent)]
    BenchConfig(#[from] BenchConfigError),
    /// An empty list.
    #[error("`{0}` is an empty list: give at least one number")]
    EmptyList(&'static str),
    /// Fewer requests than slots: some would never be used.
    #[error(
        "`--requests {requests}` does not fill the {slots} slots of `--concurrency {slots}`: give `--requests {slots}` or \
         more, or lower the concurrency"
    )]
    SlotsNotFilled {
        /// What was given.
        requests: u32,
        /// What is needed.
        slots: u32,
    },
    /// The environment names no collector that can be used.
    #[error(transparent)]
    Otlp(#[from] OtlpAddressError),
    /// A number that must not be 0.
    #[error("`{0}` is 0: {1}")]
    Zero(&'static str, &'static str),
    /// A GPU without figures.
    #[error("no figures of a GPU `{0}` are known: give `--gpu` one of {1}, or leave it out")]
    UnknownGpu(String, String),
    /// A bandwidth that is none.
    #[error("`--memory-bandwidth-gbps` {0} is no bandwidth: give a number of GB/s above 0")]
    Bandwidth(f64),
    /// A value outside its range.
    #[error("`{flag} {given}` is out of range: give {range}")]
    Range {
        /// As it is typed.
        flag: &'static str,
        /// What was given.
        given: String,
        /// What can be given.
        range: &'static str,
    },
    /// A setting that means nothing without another one.
    #[error("`{0}` means nothing without {1}: give that too, or leave it out")]
    Needs(&'static str, &'static str),
    /// Two settings that exclude each other: the first, the others, and why.
    #[error("`{0}` does not go with {1}, since {2}: leave one out")]
    Apart(&'static str, &'static str, &'static str),
    /// One note twice.
    #[error("the note `{0}` is given twice: give each key of `--note` once")]
    NoteTwice(String),
    /// One code on two lists.
    #[error("`{0}` is both denied and allowed: give it to one of `--deny` and `--allow`")]
    DeniedAndAllowed(Code),
    /// The default scenario, should it ever be wrong.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// A text that sets no variable.
    #[error(transparent)]
    Env(#[from] BadEnv),
    /// A server that cannot be launched as typed.
    #[error(transparent)]
    Launch(#[from] NoPlan),
    /// Bounds that are none.
    #[error(transparent)]
    Slo(#[from] SloError),
}
