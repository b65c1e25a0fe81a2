//! Causal attention of a ragged batch over the paged KV cache.

use std::cell::RefCell;

use super::batch::Batch;
use super::elementwise::{dot, exp, for_each_chunk, normalise};
use super::rope::Angles;
use super::shape::ModelShape;
use super::weights::LayerWeights;
use crate::kv::KvStore;

thread_local! {
    /// Scores of one head, as long as the longest sequence so far.
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Finishes the fused projection `qkv` (`[rows, qkv_width]`): bias, head norms, rotation. Keys and values go to the cache;
/// the queries come back, `[rows, q_width]`.
pub(crate) fn store_keys_and_values(
    shape: &ModelShape,
    weights: &LayerWeights,
    layer: usize,
    batch: &Batch,
    angles: &Angles,
    qkv: &[f32],
    kv: &mut KvStore,
) -> Vec<f32> {
    let (dim, q_width, kv_width) = (shape.head_dim, shape.q_width(), shape.kv_width());
    let mut queries = Vec::with_capacity(batch.rows() * q_width);
    let norms = weights.qk_norm.as_ref();
    let mut line = vec![0.0; shape.qkv_width()];
    for (row, fused) in qkv.chunks_exact(shape.qkv_width()).enumerate() {
        line.copy_from_slice(fused);
        if let Some(bias) = &weights.qkv_bias {
            super::elementwise::add_assign(&mut line, bias);
        }
        let (q, key_value) = line.split_at_mut(q_width);
        let (k, v) = key_value.split_at_mut(kv_width);
        for (heads, norm) in [(&mut *q, norms.map(|(q, _)| q)), (&mut *k, norms.map(|(_, k)| k))] {
            for head in heads.chunks_exact_mut(dim) {
                if let Some(norm) = norm {
                    normalise(head, norm, shape.norm_eps);
                }
                angles.rotate(row, head);
            }
        }
        queries.extend_from_slice(q);
        let position = batch.positions[row];
        let block = batch.table(row, position / kv.tokens_per_block() + 1)
            [position / kv.tokens_per_block()];
        kv.write(layer, block, position % kv.tokens_per_block(), k, v);
    }
    queries
}

/// Each query over all earlier positions of its own sequence: `[rows, q_width]` in and out.
pub(crate) fn attend(
    shape: &ModelShape,
    layer: usize,
    batch: &Batch,
    queries: &[f32],
    kv: &KvStore,
) -> Vec<f32> {
    let group = shape.heads / shape.kv_heads * shape.head_dim;
    let mut out = vec![0.0; queries.len()];
    let looked_at: usize = batch.positions.iter().sum();
    for_each_chunk(
        &mut out,
        group,
        2 * looked_at * shape.q_width(),
        #[inline(always)]
        |index, out| {
            let (row, kv_head) = (index / shape.kv_heads, index % shape.kv_heads);
            let queries = &queries[index * group..(index + 1) * group];
            SCORES.with_borrow_mut(
                #[inline(always)]
                |scores| attend_group(shape, layer, batch, row, kv_head, queries, kv, scores, out),
            );
        },
    );
    out
}

/// The query heads of one row that share one key/value head.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn attend_group(
    shape: &ModelShape,
    layer: usize,
    batch: &Batch,
    row: usize,
    kv_head: usize,
    queries: &[f32],
    kv: &KvStore,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let dim = shape.head_dim;
    let scale = 1.0 / (dim as f32).sqrt();
    let length = batch.positions[row] + 1;
    let table = batch.table(row, length.div_ceil(kv.tokens_per_block()));
    if scores.len() < length {
        scores.resize(length.next_power_of_two(), 0.0);
    }
    let scores = &mut scores[..length];
    for (query, out) in queries.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
        let mut largest = f32::NEG_INFINITY;
        for (&block, scores) in table.iter().zip(scores.chunks_mut(kv.tokens_per_block())) {
            for (key, score) in kv.keys(layer, kv_head, block).chunks_exact(dim).zip(scores) {
                *score = dot(query, key) * scale;
                largest = largest.max(*score);
            }
        }
        for score in scores.iter_mut() {
            *score = exp(*score - largest);
        }
        let sum: f32 = scores.iter().sum();
        for (&block, scores) in table.iter().zip(scores.chunks(kv.tokens_per_block())) {
            for (value, weight) in kv.values(layer, kv_head, block).chunks_exact(dim).zip(scores) {
                for (out, value) in out.iter_mut().zip(value) {
                    *out += weight * value;
                }
            }
        }
        let scale = 1.0 / sum;
        out.iter_mut().for_each(|value| *value *= scale);
    }
}
