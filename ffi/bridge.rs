//! Bridge between Rust and C++: plain data only.
//!
//! Both sides see the same structs; buffers are flat; ids are chosen by Rust; there are no callbacks.
//! All `*_ns` are nanoseconds of `CLOCK_MONOTONIC` (what `std::chrono::steady_clock` reads on Linux).

#[cxx::bridge(namespace = "bareflight")]
pub mod wire {
    /// Policy for admission when KV cache memory is short.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum CapacityPolicy {
        MaxUtilization = 0,
        GuaranteedNoEvict = 1,
    }

    /// Policy by which several prompts share the context budget of one iteration.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum ChunkingPolicy {
        FirstComeFirstServed = 0,
        EqualProgress = 1,
    }

    /// How the executor chooses tokens, and by how many at a time (`executor::DecodingMode`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum DecodingKind {
        /// Left to the engine: no decoding configuration is set.
        Unset = 0,
        Auto = 1,
        TopK = 2,
        TopP = 3,
        TopKTopP = 4,
        BeamSearch = 5,
        Medusa = 6,
        Lookahead = 7,
        Eagle = 8,
    }

    /// Token sequences, one after another: sequence `i` ends before `tokens[ends[i]]` and begins where the last ended.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    struct Sequences {
        tokens: Vec<i32>,
        ends: Vec<u32>,
    }

    /// Executor settings. `0` or an empty list or string leaves a setting to the engine.
    #[derive(Debug, Clone)]
    struct EngineConfig {
        /// Engine directory, or the profile of the simulated executor.
        model: String,
        max_batch_size: i32,
        max_num_tokens: i32,
        max_queue_size: i32,
        max_beam_width: i32,
        capacity_policy: CapacityPolicy,
        chunking_policy: ChunkingPolicy,
        enable_chunked_context: bool,
        kv_block_reuse: bool,
        kv_partial_reuse: bool,
        kv_max_tokens: i32,
        kv_free_gpu_fraction: f32,
        kv_host_cache_bytes: u64,
        /// Longest attention window of each layer in tokens, repeated over the layers.
        kv_attention_windows: Vec<i32>,
        kv_sink_tokens: i32,
        /// Size of the buffer of KV cache events; 0 for none.
        kv_event_buffer: u64,
        /// Iterations that the statistics ring holds; 0 switches statistics off.
        iteration_stats_ring: i32,
        cuda_graphs: bool,
        cuda_graph_cache_size: i32,
        multi_block_mode: bool,
        gpu_weights_fraction: f32,
        device_ids: Vec<i32>,
        decoding: DecodingKind,
        /// Lookahead decoding: window, n-gram and verification set; all 0 where unset.
        lookahead_window: i32,
        lookahead_ngram: i32,
        lookahead_verification: i32,
        /// The tree of drafts that Medusa or Eagle tries: paths of choices.
        draft_choices: Sequences,
        lora_host_cache_bytes: u64,
        lora_device_cache_fraction: f32,
        lora_max_rank: i32,
        lora_prefetch_dir: String,
        /// Program of an orchestrator's workers; empty in leader mode.
        orchestrator_worker: String,
    }

    /// One request; its prompt is `prompt_tokens[prompt_start..prompt_start + prompt_len]` of the call.
    #[derive(Debug, Clone, Copy)]
    struct RequestHead {
        /// Set as the executor's client id, so that an early response still finds its request.
        id: u64,
        prompt_start: u32,
        prompt_len: u32,
        /// Drafts to verify, likewise `prompt_tokens[draft_start..draft_start + draft_len]`; none where `draft_len` is 0.
        draft_start: u32,
        draft_len: u32,
        max_tokens: i32,
        /// 0 = no minimum.
        min_tokens: i32,
        /// -1 = never stop on an end token (`ignore_eos`).
        end_id: i32,
        /// -1 = unset.
        pad_id: i32,
        streaming: bool,
        /// Ask the engine for its own stamps (`RequestPerfMetrics`).
        perf_metrics: bool,
        /// Higher first; the executor's default is 0.5.
        priority: f32,
        /// 0 = unset (greedy).
        top_k: i32,
        /// 0 = unset.
        top_p: f32,
        /// Negative = unset.
        temperature: f32,
        seed: u64,
        /// 0 = 1; above 1 is beam search.
        beam_width: i32,
        /// 0 = unset, here and below: also the library's own default.
        min_p: f32,
        repetition_penalty: f32,
        presence_penalty: f32,
        frequency_penalty: f32,
        length_penalty: f32,
        /// Task id of a LoRA adapter that the executor knows; 0 = none.
        lora_task: u64,
        /// 0 = unset; the executor itself ends the request as `TimedOut` after this time.
        allotted_ms: i64,
    }

    /// Reason why a request of a batch was refused.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum RejectionKind {
        QueueFull = 0,
        ShutDown = 1,
        Invalid = 2,
        Other = 3,
    }

    #[derive(Debug, Clone)]
    struct Rejection {
        id: u64,
        kind: RejectionKind,
        message: String,
    }

    /// One arrival of output: `tokens[token_start..token_start + token_count]` of the pump.
    #[derive(Debug, Clone, Copy)]
    struct Delivery {
        id: u64,
        /// Taken right after `awaitResponses` returned; shared by all it returned.
        received_ns: i64,
        token_start: u32,
        token_count: u32,
        is_final: bool,
        /// `executor::FinishReason` of the sequence as a number; 0 = not finished. New values pass through.
        finish_reason: i32,
        /// Index into `Pump::errors`, or -1. An error is always final.
        error: i32,
        /// Index into `Pump::endings`, or -1. Set on final deliveries when perf metrics were requested.
        ending: i32,
    }

    /// The engine's own stamps and counts of a finished request (`RequestPerfMetrics`); a stamp of 0 was not set.
    #[derive(Debug, Clone, Copy, Default)]
    struct Ending {
        arrival_ns: i64,
        first_scheduled_ns: i64,
        first_token_ns: i64,
        last_token_ns: i64,
        kv_total_blocks: i32,
        kv_new_blocks: i32,
        kv_reused_blocks: i32,
        /// -1 where the library does not count them.
        kv_missed_blocks: i32,
        draft_tokens: i32,
        accepted_draft_tokens: i32,
        first_iteration: u64,
        last_iteration: u64,
    }

    /// Kind of a KV cache event.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum KvEventKind {
        /// The cache exists; the numbers are blocks at each level, the GPU's first.
        Created = 0,
        /// The numbers are hashes of blocks that can be reused from now on, each the parent of the next.
        Stored = 1,
        /// The numbers are hashes of blocks that were removed.
        Removed = 2,
        /// The number is the hash of a block that went to another level, or matters more or less than before.
        Updated = 3,
    }

    /// One event of the KV cache; its numbers are `numbers[first..first + count]` of the call.
    #[derive(Debug, Clone, Copy)]
    struct KvEvent {
        /// Counted without gaps, so a gap means events that were overwritten before they were read.
        id: u64,
        kind: KvEventKind,
        /// Attention window of the layers that the blocks belong to; -1 where the library does not say.
        window: i32,
        first: u32,
        count: u32,
        /// Of stored blocks: whether the first one has a parent, and which.
        has_parent: bool,
        parent: u64,
        /// How many stored blocks lie beyond the GPU, in host memory.
        beyond_gpu: u32,
        /// -1 where it did not change, here and below.
        level_before: i32,
        level_after: i32,
        priority_before: i32,
        priority_after: i32,
    }

    /// Events in the order in which they happened.
    #[derive(Debug, Clone, Default)]
    struct KvEvents {
        events: Vec<KvEvent>,
        numbers: Vec<u64>,
    }

    /// Result of the raw C++ loop.
    #[derive(Debug, Clone, Copy)]
    struct RawLoop {
        deliveries: u64,
        tokens: u64,
        wall_ns: i64,
        /// CPU time of the whole process during the loop, the executor's own threads included.
        process_cpu_ns: i64,
    }

    unsafe extern "C++" {
        include!("bareflight/cpp/bridge.h");

        /// The executor: every method may be called from any thread and may throw.
        type EngineHandle;
        /// One consumer's buffers; used by the poller thread only.
        type Pump;

        /// Opens the simulated executor; `config.model` is a profile such as `null` or `h200-llama3-8b-fp8`.
        fn open_simulated(config: &EngineConfig) -> Result<SharedPtr<EngineHandle>>;
        /// Describes a profile of the simulated executor as JSON: limits, costs, and the sources of its figures.
        fn describe_simulated(profile: &str) -> Result<String>;

        /// Opens TensorRT-LLM's executor on the engine directory `config.model`. Takes as long as loading does.
        #[cfg(feature = "trtllm")]
        fn open_trtllm(config: &EngineConfig) -> Result<SharedPtr<EngineHandle>>;
        /// Holds one rank of the engine that another process leads; returns when that has shut down.
        #[cfg(feature = "trtllm")]
        fn run_worker_rank_trtllm(config: &EngineConfig) -> Result<()>;
        /// Version of the linked library; an error where it is not that of the headers, naming both.
        #[cfg(feature = "trtllm")]
        fn trtllm_version() -> Result<String>;

        /// Version string of the library behind the engine.
        fn version(self: &EngineHandle) -> String;
        /// Hands over a batch in one call; returns only the requests that were refused.
        fn submit(
            self: &EngineHandle,
            heads: &[RequestHead],
            prompt_tokens: &[i32],
        ) -> Result<Vec<Rejection>>;
        /// Sequences of tokens that end every later request, and that none of them may produce.
        fn set_words(self: &EngineHandle, stop: &Sequences, bad: &Sequences) -> Result<()>;
        /// Ignored for an unknown or finished id; the final delivery still comes.
        fn cancel(self: &EngineHandle, id: u64) -> Result<()>;
        /// Drains the iteration statistics, one JSON object each, as the library serialises them.
        fn iteration_stats(self: &EngineHandle) -> Result<Vec<String>>;
        /// Drains the events of the KV cache; none without a buffer for them.
        fn kv_events(self: &EngineHandle) -> Result<KvEvents>;
        /// Waits for calls in flight, then shuts the executor down. Idempotent.
        fn shutdown(self: &EngineHandle) -> Result<()>;

        fn new_pump(engine: &SharedPtr<EngineHandle>) -> UniquePtr<Pump>;
        /// Blocks up to `timeout_us` for output and replaces the pump's buffers with all that is ready.
        /// Returns how many deliveries there are; 0 after a timeout.
        fn poll(self: Pin<&mut Pump>, timeout_us: u32) -> Result<usize>;
        /// Views of the buffers, valid until the next `poll`.
        fn deliveries(self: &Pump) -> &[Delivery];
        fn tokens(self: &Pump) -> &[i32];
        fn endings(self: &Pump) -> &[Ending];
        fn error(self: &Pump, index: i32) -> Result<&str>;

        /// Baseline of the bridge's benchmark: a closed loop over the same executor in C++ alone.
        fn raw_loop_simulated(
            config: &EngineConfig,
            requests: u64,
            concurrency: u32,
            prompt_len: u32,
            max_tokens: i32,
        ) -> Result<RawLoop>;
    }
}
