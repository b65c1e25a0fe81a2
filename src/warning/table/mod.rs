//! Table of warning codes, one entry each. Numbers are stable: a new code takes a free one, and none is used again.

mod before;
mod checks;
mod experiments;
mod notes;

use serde::{Deserialize, Serialize};

/// Where a code comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A check of validity.
    Check,
    /// Known before the run.
    Preflight,
    /// A mark of the whole run.
    Mark,
    /// A note on results.
    Note,
    /// A note on an experiment of several runs: a comparison, a ladder, a search.
    Experiment,
}

/// What is known of a code.
#[derive(Debug)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// `W005`.
    pub number: &'static str,
    /// A word or a few.
    pub name: &'static str,
    /// Where it comes up.
    pub source: Source,
    /// What was seen.
    pub means: &'static str,
    /// Why a reader should care.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// One kind of thing that a reader should know; in the order of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Code {
    /// Requests of an open loop were sent later than the schedule says, at p99 by more than 1 ms and 1 % of the median TTFT.
    ScheduleLag,
    /// Requests were due and never sent.
    NotSent,
    /// Not every request completed.
    Completion,
    /// Output was seen later than it existed, by more than 0.2 ms at p99.
    PullLag,
    /// This machine could send or read little more than it was asked to (under 5 times warns, under 2 times fails), or that was not measured.
    Headroom,
    /// Events waited for room in the recorder's ring, or were lost.
    Recorder,
    /// Not every planned request ended exactly once in the records.
    Accounting,
    /// The engine saw a first token before the request was handed to it.
    Clocks,
    /// The parts of the run do not agree, or a queue was growing.
    Stability,
    /// A CPU quota held the process back.
    HostThrottling,
    /// The hypervisor took the CPU away.
    HostSteal,
    /// The threads that keep time lost their cores.
    HostSwitches,
    /// The harness's own threads used most of their CPU time.
    HostCpu,
    /// Power or heat held the clocks of watched GPUs down.
    GpuThrottling,
    /// The harness's threads waited for a core.
    HostCoreWait,
    /// Output came in bursts although tokens were asked for one by one.
    Streaming,
    /// The server had seen these prompts before.
    Repeats,
    /// Not every request of the warm-up completed.
    WarmUp,
    /// Something about the engine does not suit the settings that were asked for.
    EngineFit,
    /// The largest load does not fit into the KV cache at once.
    KvCache,
    /// A concurrency is above the batch that the engine was built for.
    BatchSize,
    /// The token budget of an iteration does not suit the size of blocks.
    ChunkSize,
    /// The engine was built without paged-context attention, so prompts are never split.
    ChunkedContext,
    /// KV-cache reuse is asked for and the model is recurrent.
    RecurrentReuse,
    /// Model or machine are not known well enough for a roofline.
    NoRoofline,
    /// Entries of the file were left out, or prompts come again.
    WorkloadFile,
    /// The run did not end as planned.
    Incomplete,
    /// Latencies come from a declared cost model, not from an engine.
    Simulated,
    /// Weights are random.
    DummyWeights,
    /// The target replies at once.
    NullTarget,
    /// A profiler watched.
    Profiled,
    /// The engine lives in Python, in this process.
    InPython,
    /// Percentiles marked `~` have too few samples behind them.
    Uncertified,
    /// Percentiles of very many gaps come from a histogram.
    Histogram,
    /// Output was not streamed.
    NotStreamed,
    /// Requests failed.
    Failures,
    /// Requests of ramp and tail did not complete.
    FailedAround,
    /// Requests took longer than `--timeout` allows.
    TimedOut,
    /// Fewer requests than wanted met the bounds of `--slo`.
    MissedSlo,
    /// Completed requests lack what a bound is about.
    UnmeasuredBound,
    /// Requests were not streamed although that was asked for.
    AnsweredWhole,
    /// Requests brought no output although the server counts tokens.
    UsageWithoutText,
    /// Requests brought text in which the tokenizer finds no token.
    NoTokensInText,
    /// Requests brought more tokens than were asked for.
    LongerThanAsked,
    /// Requests brought fewer tokens than were asked for.
    ShorterThanAsked,
    /// A few requests brought all their tokens at once at the end of their latency.
    Bursts,
    /// Our tokenizer counts another number of output tokens than the server.
    CountDiffers,
    /// Output tokens were counted as chunks with text, for want of ids, usage or a tokenizer.
    ChunksCounted,
    /// The deliveries of some requests were not kept.
    DeliveriesMissing,
    /// What deliveries held adds up to another number of tokens than the target counted.
    DeliverySums,
    /// Chunks held several tokens, and nothing told how many each.
    Approximate,
    /// The server ends its streams long after the last token.
    LateClose,
    /// The server counts prompts otherwise than they were planned.
    PromptCounts,
    /// Cancelled requests went on in the target.
    HeldAfterCancel,
    /// Requests went through a proxy.
    Proxy,
    /// Requests were sent again.
    Resent,
    /// Requests opened a connection after they were submitted.
    ConnectedInside,
    /// Power, clocks and energy come from a library that was named.
    NamedGpuLibrary,
    /// Energy per token is not known.
    NoEnergy,
    /// A run was ended, since its rate was more than the target could take.
    Saturated,
    /// A run ended when its windows agreed.
    StableWindows,
    /// Requests were streamed although that was not asked for.
    StreamedUnasked,
    /// Requests brought text in one piece, and nobody counted its tokens.
    Uncounted,
    /// No answer of a server's own metrics fell into the window.
    UnseenServer,
    /// Something went wrong beside requests: a file that could not be written, a target that did not close, a calibration that failed.
    Fault,
    /// A comparison has fewer blocks than decide anything.
    FewBlocks,
    /// Sides were measured at different times.
    NotInterleaved,
    /// Checks did not pass in blocks of a side.
    SideChecks,
    /// Many intervals stand side by side, each with a chance to be wrong of its own.
    ManyIntervals,
    /// A number tells nothing of the engine on a side, so that no answer is given.
    Withheld,
    /// A rung of a ladder does not apply.
    RungLeftOut,
    /// Probes of a search contradict each other.
    NotMonotone,
    /// A search has used all its probes.
    OutOfProbes,
    /// A search was ended before it was done.
    Unfinished,
    /// Probes at the ends of the interval were not decided with confidence.
    UndecidedEnds,
    /// Not even single requests meet the objectives.
    NeverMet,
    /// Every load that was tried met the objectives.
    AlwaysMet,
    /// Numbers come from a file of another tool.
    NotOurs,
}

/// Every code with what is known of it, in the order of numbers.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [checks::ENTRIES, before::ENTRIES, notes::ENTRIES, experiments::ENTRIES].into_iter().flatten()
}
