//! What does an executor say of its iterations? TensorRT-LLM's JSON, read leniently: its keys come and go.

use serde::Deserialize;

use crate::clock::{MonoNs, Nanos, now};
use crate::ffi::engine::Engine;
use crate::record::iterations_file::{BatchMix, Iteration, KvLevel};
use crate::target::{EngineStatistics, Said};

/// The statistics of an executor that is being driven.
pub struct ExecutorStatistics {
    engine: Engine,
}

impl ExecutorStatistics {
    /// Of a handle that no other thread uses.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }
}

impl EngineStatistics for ExecutorStatistics {
    fn iterations(&mut self, into: &mut Vec<Said>) -> Result<(), String> {
        let lines = self.engine.iteration_stats().map_err(|error| error.to_string())?;
        let read_at = now();
        for words in lines {
            let said: Line = serde_json::from_str(&words)
                .map_err(|error| format!("its statistics cannot be read ({error}): {words}"))?;
            into.push(Said { iteration: said.iteration(read_at), words });
        }
        Ok(())
    }
}

/// The members of `IterationStats` that are known here, by their names in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    iter: u64,
    #[serde(rename = "iterLatencyMS", default)]
    iter_latency_ms: f64,
    #[serde(default)]
    num_active_requests: u32,
    #[serde(default)]
    num_queued_requests: u32,
    #[serde(default)]
    num_completed_requests: u32,
    #[serde(default)]
    max_num_active_requests: u32,
    #[serde(default)]
    max_batch_size_runtime: u32,
    inflight_batching_stats: Option<Inflight>,
    kv_cache_stats: Option<KvCache>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
#[allow(clippy::struct_field_names)] // TensorRT-LLM's names.
struct Inflight {
    num_context_requests: u32,
    num_gen_requests: u32,
    num_paused_requests: u32,
    num_ctx_tokens: u32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct KvCache {
    max_num_blocks: u32,
    used_num_blocks: u32,
}

impl Line {
    fn iteration(&self, read_at: MonoNs) -> Iteration {
        let limit = [self.max_batch_size_runtime, self.max_num_active_requests];
        Iteration {
            iteration: self.iter,
            at: read_at,
            latency: Nanos::from_secs_f64(self.iter_latency_ms / 1e3),
            active: self.num_active_requests,
            queued: self.num_queued_requests,
            completed: self.num_completed_requests,
            max_batch_size: limit.into_iter().find(|requests| *requests > 0),
            batch: self.inflight_batching_stats.as_ref().map(|batch| BatchMix {
                context_requests: batch.num_context_requests,
                context_tokens: batch.num_ctx_tokens,
                generation_requests: batch.num_gen_requests,
                paused: batch.num_paused_requests,
            }),
            kv: self.kv_cache_stats.as_ref().map(|kv| KvLevel {
                used_blocks: kv.used_num_blocks,
                max_blocks: kv.max_num_blocks,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Iteration, serde_json::Error> {
        serde_json::from_str::<Line>(words).map(|line| line.iteration(MonoNs(5)))
    }

    #[test]
    fn a_line_without_the_number_of_its_iteration_is_refused() {
        assert!(read(r#"{"iterLatencyMS": 1.0}"#).is_err());
    }

    #[test]
    fn an_older_library_leaves_out_what_it_does_not_know() {
        let iteration = read(r#"{"iter": 3, "staticBatchingStats": null}"#).unwrap();
        assert_eq!((iteration.iteration, iteration.max_batch_size), (3, None));
        assert_eq!((iteration.batch, iteration.kv), (None, None));
    }

    #[test]
    fn the_members_of_tensorrt_llm_are_found_by_name_and_unknown_ones_are_skipped() {
        let iteration = read(
            r#"{"cpuMemUsage":3492,"inflightBatchingStats":{"avgNumDecodedTokensPerIter":0.0,"microBatchId":0,
            "numContextRequests":1,"numCtxTokens":16000,"numGenRequests":2,"numPausedRequests":4,
            "numScheduledRequests":3},"iter":7,"iterLatencyMS":1.5,"kvCacheStats":{"allocNewBlocks":250,
            "maxNumBlocks":6000,"usedNumBlocks":5495},"maxBatchSizeRuntime":16,"numActiveRequests":8,
            "numQueuedRequests":9,"numCompletedRequests":1,"timestamp":"04-07-2025 20:33:17.747028"}"#,
        )
        .unwrap();
        let expected = Iteration {
            iteration: 7,
            at: MonoNs(5),
            latency: Nanos(1_500_000),
            active: 8,
            queued: 9,
            completed: 1,
            max_batch_size: Some(16),
            batch: Some(BatchMix {
                context_requests: 1,
                context_tokens: 16_000,
                generation_requests: 2,
                paused: 4,
            }),
            kv: Some(KvLevel { used_blocks: 5_495, max_blocks: 6_000 }),
        };
        assert_eq!(iteration, expected);
    }
}
