//! KV-cache capacity and demand in tokens, by the executor's own arithmetic.
//!
//! Room is an upper bound: what activations, buffers and the CUDA runtime take beside the weights is known to nobody
//! before the engine is loaded.

use crate::engine_directory::EngineDirectory;
use crate::engine_directory::figures::{cache_bytes, has_known_shape};
use crate::load::Load;
use crate::load::plan::Plan;
use crate::settings::engine::EngineSettings;
use crate::specs::GpuMemory;

/// What the executor takes for the KV cache by default (`KvCacheConfig::kDefaultGpuMemFraction`).
pub const DEFAULT_KV_FRACTION: f32 = 0.9;

/// Tokens that the KV cache holds at most, and what bounds them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KvCapacity {
    /// In whole blocks.
    pub tokens: u64,
    /// Why not more.
    pub bound: KvBound,
}

/// What bounds the KV cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KvBound {
    /// `--kv-tokens`.
    Setting,
    /// The memory that the weights leave.
    Memory {
        /// What a rank's weights take.
        weight_bytes: u64,
        /// What a token takes on a rank.
        bytes_per_token: f64,
    },
}

/// What the requests in flight of a load take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvDemand {
    /// Requests in work at once; what is asked beyond a batch waits without a cache.
    pub in_flight: u32,
    /// Tokens of their prompts and outputs, in whole blocks.
    pub tokens: u64,
}

/// Both, for the largest of several loads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KvEstimate {
    /// What the KV cache holds at most.
    pub room: KvCapacity,
    /// What the load takes of it.
    pub need: KvDemand,
}

impl EngineDirectory {
    /// Bytes of keys and values of a token on the rank that keeps most of them; `None` where the shape is not known well
    /// enough.
    ///
    /// A stage of the pipeline keeps its own layers, a tensor-parallel rank its share of the heads and at least one.
    pub fn kv_bytes_per_token(&self) -> Option<f64> {
        let (model, mapping) = (&self.config.model, &self.config.mapping);
        if !has_known_shape(&self.config) || mapping.context != 1 {
            return None;
        }
        let layers = model.layers.div_ceil(mapping.pipeline.max(1));
        let heads = model.kv_heads.div_ceil(mapping.tensor.max(1));
        let value = cache_bytes(self.config.quantization.kv_cache.as_deref(), model.dtype)?;
        let values = 2.0 * f64::from(layers) * f64::from(heads) * f64::from(model.head_size);
        Some(values * value)
    }

    /// Bytes that the weights of the largest rank keep on its GPU; `None` where a rank's file is missing.
    pub fn weight_bytes(&self, settings: &EngineSettings) -> Option<u64> {
        let sizes: Option<Vec<u64>> = self.files.ranks.iter().map(|rank| rank.bytes).collect();
        let largest = sizes?.into_iter().max()?;
        Some((largest as f64 * f64::from(settings.weights_percent) / 100.0) as u64)
    }

    /// Tokens in a block of the KV cache.
    pub fn tokens_per_block(&self) -> u64 {
        self.config.plugins.tokens_per_block.map_or(1, |tokens| tokens.max(1).into())
    }

    /// Tokens that the KV cache holds at most: the setting or what memory leaves, whichever is less; `None`
    /// where neither is known.
    pub fn kv_capacity(
        &self,
        settings: &EngineSettings,
        memory: Option<GpuMemory>,
    ) -> Option<KvCapacity> {
        let configured = settings.kv_tokens.map(|tokens| (u64::from(tokens), KvBound::Setting));
        let left = memory.and_then(|memory| self.left_by_weights(settings, memory));
        let (tokens, bound) =
            configured.into_iter().chain(left).min_by_key(|(tokens, _)| *tokens)?;
        let block = self.tokens_per_block();
        Some(KvCapacity { tokens: tokens.div_ceil(block) * block, bound })
    }

    fn left_by_weights(
        &self,
        settings: &EngineSettings,
        memory: GpuMemory,
    ) -> Option<(u64, KvBound)> {
        let bytes_per_token = self.kv_bytes_per_token()?;
        let weight_bytes = self.weight_bytes(settings)?;
        let left = memory.free_bytes.saturating_sub(weight_bytes) as f64;
        let share = f64::from(settings.kv_fraction.unwrap_or(DEFAULT_KV_FRACTION));
        let tokens = (left * share / bytes_per_token) as u64;
        Some((tokens, KvBound::Memory { weight_bytes, bytes_per_token }))
    }

    /// Tokens of KV cache that one request takes when its output is complete, in whole blocks; `None` where layers have
    /// windows of several lengths, which share the memory in another way.
    pub fn kv_of_request(
        &self,
        settings: &EngineSettings,
        prompt: u32,
        output: u32,
    ) -> Option<u64> {
        let window = match settings.attention_windows[..] {
            [] => u64::MAX,
            [first, ref rest @ ..] if rest.iter().all(|window| *window == first) => first.into(),
            _ => return None,
        };
        let (prompt, output) = (u64::from(prompt), u64::from(output));
        let (block, beams) = (self.tokens_per_block(), u64::from(settings.max_beam_width.max(1)));
        let kept = (prompt + output).min(window);
        // Beams share the whole blocks of the prompt, and each has its own from there on.
        let shared = if beams == 1 { 0 } else { kept.saturating_sub(output) / block };
        let own = (kept - shared * block).div_ceil(block);
        Some((shared + own * beams) * block)
    }

    /// What so many requests of these lengths take, the first of them and those that find its blocks; `None` as for one
    /// request.
    pub fn kv_of_requests(
        &self,
        settings: &EngineSettings,
        lengths: impl Iterator<Item = (u32, u32)>,
        in_flight: usize,
        common: CommonPrefix,
    ) -> Option<u64> {
        let taken: Option<Vec<u64>> =
            lengths.map(|(prompt, output)| self.kv_of_request(settings, prompt, output)).collect();
        let taken = taken?;
        let block = self.tokens_per_block();
        let reuses = settings.kv_reuse && self.config.plugins.paged_context_fmha;
        let found = if reuses { u64::from(common.tokens) / block * block } else { 0 };
        let size = in_flight.clamp(1, taken.len().max(1));
        // Requests that are in flight together follow one another in the plan.
        let together = most_of_any(&taken, size)?;
        // Not more than the smallest of them keeps, where a window bounds that.
        let found = found.min(*taken.iter().min()?);
        // Each prefix is computed by the first of its requests.
        Some(
            together.saturating_sub(
                found * (size as u64).saturating_sub(common.different.max(1).into()),
            ),
        )
    }

    /// What the requests in flight of a plan take at most; `None` where the load does not say how many those are.
    pub fn kv_demand(
        &self,
        settings: &EngineSettings,
        plan: &Plan,
        common: CommonPrefix,
    ) -> Option<KvDemand> {
        let planned = match plan.load() {
            Load::Closed { concurrency } => concurrency,
            Load::Open { max_in_flight, .. } => max_in_flight?,
            Load::Batch => u32::MAX,
        };
        // The stages of a pipeline work on a batch each.
        let batch = self.limits(settings).max_batch_size?;
        let most = batch.saturating_mul(self.config.mapping.pipeline.max(1));
        let in_flight = planned.min(most).min(plan.shots().len() as u32);
        let lengths = plan.shots().facts().map(|shot| (shot.prompt_tokens, shot.output_tokens));
        let tokens = self.kv_of_requests(settings, lengths, in_flight as usize, common)?;
        Some(KvDemand { in_flight, tokens })
    }
}

/// What prompts begin with alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommonPrefix {
    /// Tokens; 0 where there is a prompt that shares none.
    pub tokens: u32,
    /// Different prefixes.
    pub different: u32,
}

/// The largest sum of so many that follow one another; `None` where there are fewer.
fn most_of_any(values: &[u64], size: usize) -> Option<u64> {
    let mut sum: u64 = values.get(..size)?.iter().sum();
    let mut most = sum;
    for (leaves, enters) in values.iter().zip(&values[size..]) {
        sum = sum + enters - leaves;
        most = most.max(sum);
    }
    Some(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_any_neighbours_is_found_in_one_pass() {
        assert_eq!(most_of_any(&[3, 1, 4, 1, 5], 2), Some(6));
        assert_eq!(most_of_any(&[9, 1, 1], 2), Some(10));
        assert_eq!(most_of_any(&[2, 2], 2), Some(4));
        assert_eq!(most_of_any(&[1], 2), None);
    }
    use std::path::PathBuf;

    const GIB: u64 = 1 << 30;

    /// Llama 3 8B, FP8 weights and cache, blocks of 64 tokens, with a file of so many bytes for each rank.
    fn llama_8b(change: impl Fn(&mut EngineDirectory), rank_bytes: u64) -> EngineDirectory {
        let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/engine_directories/llama3-8b-fp8-tp1");
        let mut directory = EngineDirectory::read(&fixture).expect("a fixture");
        change(&mut directory);
        for rank in &mut directory.files.ranks {
            rank.bytes = Some(rank_bytes);
        }
        directory.config.plugins.tokens_per_block = Some(64);
        directory
    }

    fn memory(free_gib: u64) -> GpuMemory {
        GpuMemory { free_bytes: free_gib * GIB, total_bytes: 141 * GIB }
    }

    #[test]
    fn a_shape_that_is_not_known_has_no_bytes_per_token() {
        let other = |directory: &mut EngineDirectory| {
            directory.config.model.architecture = "RecurrentGemmaForCausalLM".into();
        };
        assert_eq!(llama_8b(other, GIB).kv_bytes_per_token(), None);
        let split = |directory: &mut EngineDirectory| directory.config.mapping.context = 2;
        assert_eq!(llama_8b(split, GIB).kv_bytes_per_token(), None);
        assert_eq!(
            llama_8b(other, GIB).kv_capacity(&EngineSettings::default(), Some(memory(100))),
            None
        );
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "whole numbers")]
    fn a_token_of_llama_8b_takes_64_kib_and_a_rank_its_share() {
        // 2 × 32 layers × 8 heads × 128 × 1 byte.
        assert_eq!(llama_8b(|_| (), GIB).kv_bytes_per_token(), Some(65_536.0));
        let on = |tensor, pipeline| {
            let spread = |directory: &mut EngineDirectory| {
                directory.config.mapping.tensor = tensor;
                directory.config.mapping.pipeline = pipeline;
            };
            llama_8b(spread, GIB).kv_bytes_per_token().expect("known") / 1_024.0
        };
        assert_eq!((on(2, 1), on(1, 2), on(4, 2)), (32.0, 32.0, 8.0));
        // Eight heads on sixteen ranks: each keeps a whole one. 32 layers in three stages: the largest has eleven.
        assert_eq!((on(8, 1), on(16, 1), on(1, 3)), (8.0, 8.0, 22.0));
        let plain = |directory: &mut EngineDirectory| directory.config.quantization.kv_cache = None;
        assert_eq!(llama_8b(plain, GIB).kv_bytes_per_token(), Some(131_072.0));
    }

    #[test]
    fn room_is_a_share_of_what_the_weights_leave() {
        let engine = llama_8b(|_| (), 8 * GIB);
        // (138 − 8) GiB × 0.5 ÷ 64 KiB = 65 × 16 384.
        let half = EngineSettings { kv_fraction: Some(0.5), ..EngineSettings::default() };
        let room = engine.kv_capacity(&half, Some(memory(138))).expect("known");
        assert_eq!(room.tokens, 1_064_960);
        assert_eq!(
            room.bound,
            KvBound::Memory { weight_bytes: 8 * GIB, bytes_per_token: 65_536.0 }
        );
        // Half of the weights stay on the host.
        let streamed = EngineSettings { weights_percent: 50.0, ..half.clone() };
        assert_eq!(
            engine.kv_capacity(&streamed, Some(memory(138))).expect("known").tokens,
            67 * 16_384
        );
        // 90 % by default.
        let room = engine.kv_capacity(&EngineSettings::default(), Some(memory(18))).expect("known");
        assert_eq!(room.tokens, (147_456_u64).div_ceil(64) * 64);
        assert_eq!(engine.kv_capacity(&half, Some(memory(7))).expect("known").tokens, 0);
        assert_eq!(engine.kv_capacity(&half, None), None);
    }

    #[test]
    fn a_setting_bounds_the_room_with_a_gpu_or_without_and_fills_its_last_block() {
        let engine = llama_8b(|_| (), 8 * GIB);
        let configured = EngineSettings { kv_tokens: Some(1_000), ..EngineSettings::default() };
        for memory in [None, Some(memory(138))] {
            let room = engine.kv_capacity(&configured, memory).expect("known");
            assert_eq!((room.tokens, room.bound), (1_024, KvBound::Setting));
        }
        let more = EngineSettings { kv_tokens: Some(2_000_000_000), ..configured };
        let room = engine.kv_capacity(&more, Some(memory(138))).expect("known");
        assert!(matches!(room.bound, KvBound::Memory { .. }), "{room:?}");
    }

    #[test]
    fn a_request_takes_whole_blocks_of_prompt_and_output() {
        let engine = llama_8b(|_| (), GIB);
        let of = |settings: &EngineSettings, prompt, output| {
            engine.kv_of_request(settings, prompt, output)
        };
        let plain = EngineSettings::default();
        assert_eq!(of(&plain, 1_000, 100), Some(18 * 64));
        assert_eq!(of(&plain, 64, 64), Some(128));
        let window = |lengths: &[u32]| EngineSettings {
            attention_windows: lengths.to_vec(),
            ..EngineSettings::default()
        };
        assert_eq!(of(&window(&[512, 512]), 1_000, 100), Some(512));
        assert_eq!(of(&window(&[512, 4_096]), 1_000, 100), None);
        // 15 whole blocks of the prompt once, and 140 tokens from there on for each of four beams.
        let beams = EngineSettings { max_beam_width: 4, ..EngineSettings::default() };
        assert_eq!(of(&beams, 1_000, 100), Some((15 + 4 * 3) * 64));
    }

    #[test]
    fn requests_in_flight_are_those_that_follow_one_another() {
        let engine = llama_8b(|_| (), GIB);
        let plain = EngineSettings::default();
        let lengths = [(64, 64), (640, 64), (640, 64), (64, 64)];
        let need = |settings: &EngineSettings, in_flight, prefix| {
            let common = CommonPrefix { tokens: prefix, different: 1 };
            engine.kv_of_requests(settings, lengths.into_iter(), in_flight, common)
        };
        assert_eq!(need(&plain, 1, 0), Some(704));
        assert_eq!(need(&plain, 2, 0), Some(1_408));
        assert_eq!(need(&plain, 3, 0), Some(1_536));
        assert_eq!(need(&plain, 100, 0), Some(1_664));
        // The second of two finds the one whole block of a prefix of 100 tokens, if blocks are reused.
        assert_eq!(need(&plain, 2, 100), Some(1_408));
        let reuse = EngineSettings { kv_reuse: true, ..EngineSettings::default() };
        assert_eq!(need(&reuse, 2, 100), Some(1_408 - 64));
    }
}
