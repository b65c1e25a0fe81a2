//! Errors of a plan that cannot be drawn, or not be played on a target.

use thiserror::Error;

use crate::load::plan::draw::{MAX_PLAN_SHOTS, MAX_PLAN_TOKENS};
use crate::request::RequestId;
use crate::workload::PromptKind;
use crate::workload::prompts::PromptError;

/// Why a plan cannot be drawn or played: found before any load is sent.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PlanError {
    /// Neither a number of requests nor a duration.
    #[error("the run has no end: give --requests, --duration or both")]
    NoEnd,
    /// A replay without a trace.
    #[error(
        "nothing can be replayed: a trace with instants is needed (the `plan.csv` of a closed loop has none; that of a run with `--rate` has)"
    )]
    NothingToReplay,
    /// No measured request.
    #[error("there is no request to measure: ask for at least 1")]
    NoRequests,
    /// An open loop that is shorter than its gaps.
    #[error(
        "{load}: no request arrives within {seconds} s: ask for a longer `--duration`, or a higher rate"
    )]
    NoArrivals {
        /// The load.
        load: String,
        /// How long it lasts.
        seconds: f64,
    },
    /// A duration of nothing.
    #[error("a duration of {0} s leaves no time to measure: give more than 0")]
    NoTime(f64),
    /// Nothing may be in flight.
    #[error("a closed loop with concurrency 0 sends nothing: give at least 1")]
    NoConcurrency,
    /// Nothing may be in flight in an open loop.
    #[error("a limit of 0 requests in flight sends nothing: give at least 1, or no limit")]
    NoneInFlight,
    /// A rate at which nothing arrives.
    #[error("`--rate {0:?}` is no rate of arrivals: give a number from 0.000001 to 1e9")]
    Rate(f64),
    /// No gamma distribution has this shape.
    #[error(
        "`--burstiness {0}` is no gamma shape: give 1 for Poisson, or a number from 0.001 to 1e6"
    )]
    Burstiness(f64),
    /// A sampling temperature that means nothing.
    #[error("`--temperature {0}` means nothing: give a number above 0, or leave it out for greedy")]
    Temperature(f32),
    /// A cumulative probability that is none.
    #[error("`--top-p {0}` is no probability: give a number above 0, at most 1")]
    TopP(f32),
    /// No candidate to sample from.
    #[error("`--top-k 0` leaves no token to choose: give at least 1, or leave it out")]
    TopK,
    /// The source does not make what the workload asks for.
    #[error(
        "the workload asks for {asked:?} prompts and the source makes {made:?}: give both the same kind"
    )]
    WrongSource {
        /// What the workload asks for.
        asked: PromptKind,
        /// What the source makes.
        made: PromptKind,
    },
    /// More requests than a plan may hold.
    #[error(
        "the plan would hold more than {MAX_PLAN_SHOTS} requests: lower the rate, the duration or the number of requests"
    )]
    TooManyShots,
    /// More prompt tokens than a plan may hold.
    #[error(
        "the prompts of the plan would hold more than {MAX_PLAN_TOKENS} tokens: ask for fewer requests or shorter prompts"
    )]
    TooManyTokens,
    /// Ids of requests are 32 bits wide.
    #[error("the session needs more than 2^32 requests: split the experiment into several runs")]
    OutOfIds,
    /// The shared prefix could not be drawn.
    #[error("no shared prefix: {0}")]
    Prefix(#[source] PromptError),
    /// A prompt could not be drawn.
    #[error("request {}: {why}", request.0)]
    Prompt {
        /// Which one.
        request: RequestId,
        /// What was wrong.
        #[source]
        why: PromptError,
    },
    /// The minimum output is above the maximum.
    #[error(
        "request {} asks for at least {min} output tokens and at most {max}: lower the minimum, or raise the \
         shortest output of the scenario", request.0
    )]
    MinAboveMax {
        /// Which one.
        request: RequestId,
        /// Tokens asked for at least.
        min: u32,
        /// Tokens asked for at most.
        max: u32,
    },
    /// A prompt that the target would refuse or cut.
    #[error(
        "request {} has a prompt of {tokens} tokens and the target takes {limit}: shorten the prompts of the \
         scenario (`--scenario`), leave out those of a file with `--max-isl`, or raise `--kv-tokens` where the KV cache is smaller than the model's context", request.0
    )]
    PromptTooLong {
        /// Which one.
        request: RequestId,
        /// Tokens of its prompt.
        tokens: u32,
        /// Tokens that the target takes.
        limit: u32,
    },
    /// Prompt and output together do not fit, and the target would cut the output.
    #[error(
        "request {} needs {prompt} prompt and {output} output tokens and the target holds {limit} in a sequence: \
         shorten prompts or outputs (`--scenario`; of a file `--max-isl`, `--max-osl`), or raise `--kv-tokens` where the KV cache is smaller than the \
         model's context", request.0
    )]
    SequenceTooLong {
        /// Which one.
        request: RequestId,
        /// Tokens of its prompt.
        prompt: u32,
        /// Tokens asked for.
        output: u32,
        /// Tokens that the target holds.
        limit: u32,
    },
    /// Token ids that the model does not have.
    #[error(
        "prompts hold token ids up to {id} and the target knows only ids below {size}: draw prompts with the \
         tokenizer or vocabulary size of this model"
    )]
    OutsideVocabulary {
        /// The largest id that may be drawn.
        id: u32,
        /// The target's vocabulary size.
        size: u32,
    },
    /// More at once than may wait.
    #[error(
        "the batch puts {shots} requests in the queue at once and the target lets {limit} wait: ask for fewer \
         requests, use a closed loop, or raise `--max-queue-size`"
    )]
    BatchAboveQueue {
        /// Requests at once.
        shots: u32,
        /// Requests that may wait.
        limit: u32,
    },
    /// More requests in flight than the target runs and lets wait.
    #[error(
        "a concurrency of {concurrency} is more than the target takes at once, running and waiting together \
         ({limit}): lower it, or raise `--max-batch-size` or `--max-queue-size`"
    )]
    ConcurrencyAboveQueue {
        /// Requests in flight.
        concurrency: u32,
        /// Batch and queue together.
        limit: u32,
    },
}
