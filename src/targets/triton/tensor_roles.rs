//! Roles of a model's inputs, and the tensor names of each role.
//!
//! Names follow TensorRT-LLM's Triton backend (0.x and 1.x, `tensorrt_llm`, `ensemble`, `tensorrt_llm_bls`, the LLM-API
//! model) and the vLLM backend.

/// Purpose of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The prompt as token ids.
    PromptIds,
    /// Its length.
    PromptLength,
    /// The prompt as text.
    PromptText,
    /// Tokens to generate.
    MaxTokens,
    /// Tokens before an end token may come.
    MinTokens,
    /// Send tokens as they come.
    Streaming,
    /// The end token; −1 for none.
    EndId,
    /// Do not stop on an end token.
    IgnoreEos,
    /// The padding token.
    PadId,
    /// Sampling temperature.
    Temperature,
    /// Number of candidates.
    TopK,
    /// Probability mass of candidates.
    TopP,
    /// Seed.
    Seed,
    /// Leave the prompt out of the output.
    ExcludeInput,
    /// Return the engine's stamps and counts.
    PerfMetrics,
    /// Return the number of output tokens.
    CountTokens,
    /// Return why the output stopped.
    FinishReason,
    /// All of the sampling as one JSON text (vLLM).
    SamplingJson,
    /// End the request of the same id.
    Stop,
}

/// Names of each role, the first that a model has is taken.
pub(super) const NAMES: &[(Role, &[&str])] = &[
    (Role::PromptIds, &["input_ids"]),
    (Role::PromptLength, &["input_lengths"]),
    (Role::PromptText, &["text_input"]),
    (Role::MaxTokens, &["request_output_len", "max_tokens", "sampling_param_max_tokens"]),
    (Role::MinTokens, &["min_tokens", "min_length", "sampling_param_min_tokens"]),
    (Role::Streaming, &["streaming", "stream"]),
    (Role::EndId, &["end_id", "sampling_param_end_id"]),
    (Role::IgnoreEos, &["ignore_eos", "sampling_param_ignore_eos"]),
    (Role::PadId, &["pad_id", "sampling_param_pad_id"]),
    (Role::Temperature, &["temperature", "sampling_param_temperature"]),
    (Role::TopK, &["runtime_top_k", "top_k", "sampling_param_top_k"]),
    (Role::TopP, &["runtime_top_p", "top_p", "sampling_param_top_p"]),
    (Role::Seed, &["seed", "random_seed", "sampling_param_seed"]),
    (Role::ExcludeInput, &["exclude_input_in_output", "sampling_param_exclude_input_from_output"]),
    (Role::PerfMetrics, &["return_perf_metrics", "sampling_param_return_perf_metrics"]),
    (Role::CountTokens, &["return_num_output_tokens"]),
    (Role::FinishReason, &["return_finish_reason"]),
    (Role::SamplingJson, &["sampling_parameters"]),
    (Role::Stop, &["stop"]),
];

/// Which flag decides an input of this name, that the run fills by itself; `None` where it is for the user to fill.
pub fn decided_by(name: &str, ignore_eos: bool) -> Option<&'static str> {
    let (role, _) = NAMES.iter().find(|(_, names)| names.contains(&name))?;
    Some(match role {
        Role::PromptIds | Role::PromptLength | Role::PromptText => {
            "`--scenario` and `--prompts` draw prompts"
        }
        Role::MaxTokens => "`--scenario` says how many",
        Role::MinTokens => "`--min-tokens` gives it",
        Role::Streaming => "`--no-streaming` switches it off",
        Role::IgnoreEos => "`--stop-at-eos` lets an end token end an output; without it none does",
        Role::EndId if ignore_eos => {
            "outputs run on behind an end token unless `--stop-at-eos` is given"
        }
        Role::EndId | Role::PadId => return None,
        Role::Temperature => "`--temperature` gives it",
        Role::TopK => "`--top-k` gives it",
        Role::TopP => "`--top-p` gives it",
        Role::Seed => "every request gets one of its own, which follows from `--seed`",
        Role::PerfMetrics => "`--no-engine-stamps` switches it off",
        Role::ExcludeInput | Role::CountTokens | Role::FinishReason => {
            "outputs are counted by it, so leave it out"
        }
        Role::SamplingJson => {
            "`--scenario`, `--temperature`, `--top-p`, `--top-k` and `--seed` say what is in it"
        }
        Role::Stop => "it would end the request, so leave it out",
    })
}

/// Outputs that only come when [`Role::PerfMetrics`] asks for them.
pub const PERF_OUTPUTS: [&str; 9] = [
    "arrival_time_ns",
    "first_scheduled_time_ns",
    "first_token_time_ns",
    "last_token_time_ns",
    "kv_cache_alloc_total_blocks",
    "kv_cache_alloc_new_blocks",
    "kv_cache_reused_blocks",
    "total_draft_tokens",
    "total_accepted_draft_tokens",
];
