//! Iteration statistics of an executor: TensorRT-LLM's JSON, read leniently because its keys change between releases.

use serde::Deserialize;

use crate::clock::{MonoNs, Nanos, now, utc_now};
use crate::ffi::engine::Engine;
use crate::record::iteration::ReportedIteration;
use crate::record::iteration::{BatchMix, Iteration, KvLevel, LatencyOf};
use crate::targets::EngineStatistics;

/// Iteration statistics of an opened executor.
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
    fn iterations(&mut self, into: &mut Vec<ReportedIteration>) -> Result<(), String> {
        let lines = self.engine.iteration_stats().map_err(|error| error.to_string())?;
        let (read_at, wall) = (now(), utc_now().as_nanosecond());
        for json in lines {
            let line: Line = serde_json::from_str(&json)
                .map_err(|error| format!("its statistics cannot be read ({error}): {json}"))?;
            into.push(ReportedIteration {
                iteration: line.iteration(read_at, wall),
                raw_json: json,
            });
        }
        Ok(())
    }
}

/// The members of `IterationStats` that are known here, by their names in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    iter: u64,
    #[serde(default)]
    timestamp: String,
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
#[serde(default)]
struct Inflight {
    #[serde(rename = "numContextRequests")]
    context: u32,
    #[serde(rename = "numGenRequests")]
    generation: u32,
    #[serde(rename = "numPausedRequests")]
    paused: u32,
    #[serde(rename = "numCtxTokens")]
    context_tokens: u32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct KvCache {
    max_num_blocks: u32,
    used_num_blocks: u32,
}

impl Line {
    fn iteration(&self, read_at: MonoNs, wall: i128) -> Iteration {
        let limit = [self.max_batch_size_runtime, self.max_num_active_requests];
        Iteration {
            iteration: self.iter,
            at: MonoNs(read_at.0 - age_ns(&self.timestamp, wall).unwrap_or(0)),
            latency: Nanos::from_secs_f64(self.iter_latency_ms / 1e3),
            latency_of: LatencyOf::IterationBefore,
            active: self.num_active_requests,
            queued: self.num_queued_requests,
            completed: self.num_completed_requests,
            max_batch_size: limit.into_iter().find(|requests| *requests > 0),
            batch: self.inflight_batching_stats.as_ref().map(|batch| BatchMix {
                context_requests: batch.context,
                context_tokens: batch.context_tokens,
                generation_requests: batch.generation,
                paused: batch.paused,
            }),
            kv: self.kv_cache_stats.as_ref().map(|kv| KvLevel {
                used_blocks: kv.used_num_blocks,
                max_blocks: kv.max_num_blocks,
            }),
        }
    }
}

/// Time zones differ by multiples of this, so what lies below it is the same in all of them.
const QUARTER_OF_AN_HOUR_NS: i128 = 900_000_000_000;
/// Statistics are read every 20 ms; a stamp older than this comes from another clock.
const OLDEST_NS: i128 = 60_000_000_000;

/// How long before `wall`, in nanoseconds since 1970, a local time such as `04-07-2025 20:33:17.747028` was.
fn age_ns(timestamp: &str, wall: i128) -> Option<i64> {
    let (_, time) = timestamp.split_once(' ')?;
    let mut parts = time.split(':').skip(1);
    let minutes: i128 = parts.next()?.parse().ok()?;
    let (seconds, micros) = parts.next()?.split_once('.')?;
    let seconds = minutes * 60 + seconds.parse::<i128>().ok()?;
    let micros: i128 = (micros.len() == 6).then(|| micros.parse().ok())??;
    let stamped = seconds * 1_000_000_000 + micros * 1_000;
    let age = (wall - stamped).rem_euclid(QUARTER_OF_AN_HOUR_NS);
    (age < OLDEST_NS).then_some(age as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2025-04-07 11:33:17.767028 UTC.
    const WALL: i128 = 1_744_025_597_767_028_000;
    const READ_AT: MonoNs = MonoNs(5_000_000_000);

    fn read(json: &str) -> Result<Iteration, serde_json::Error> {
        serde_json::from_str::<Line>(json).map(|line| line.iteration(READ_AT, WALL))
    }

    #[test]
    fn a_local_time_of_any_zone_is_placed_on_our_clock() {
        let at = |time: &str| {
            let json = format!(r#"{{"iter": 1, "timestamp": "04-07-2025 {time}"}}"#);
            read(&json).unwrap().at
        };
        // 20 ms earlier: in Tokyo, and in Kathmandu, 5 h 45 min ahead.
        assert_eq!(at("20:33:17.747028"), READ_AT + Nanos(-20_000_000));
        assert_eq!(at("17:18:17.747028"), READ_AT + Nanos(-20_000_000));
        // Minutes before: another clock, so only the time of reading is known.
        assert_eq!(at("20:29:17.747028"), READ_AT);
        assert_eq!(at("later"), READ_AT);
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
            at: READ_AT + Nanos(-20_000_000),
            latency: Nanos(1_500_000),
            latency_of: LatencyOf::IterationBefore,
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
