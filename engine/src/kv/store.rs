//! Storage of KV blocks, allocated when a block is first used and then kept.

use crate::model::shape::ModelShape;

/// Keys and values of all layers. A block is laid out `[layer][kv_head][key, value][token][head_dim]`.
pub(crate) struct KvStore {
    kv_heads: usize,
    head_dim: usize,
    tokens_per_block: usize,
    block_len: usize,
    blocks: Vec<Box<[f32]>>,
}

impl KvStore {
    pub(crate) fn new(shape: &ModelShape, blocks: usize, tokens_per_block: usize) -> KvStore {
        KvStore {
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            tokens_per_block,
            block_len: shape.layers * shape.kv_heads * 2 * tokens_per_block * shape.head_dim,
            blocks: (0..blocks).map(|_| Box::default()).collect(),
        }
    }

    pub(crate) fn tokens_per_block(&self) -> usize {
        self.tokens_per_block
    }

    /// Stores one token's keys and values, `[kv_heads * head_dim]` each.
    pub(crate) fn write(
        &mut self,
        layer: usize,
        block: u32,
        slot: usize,
        keys: &[f32],
        values: &[f32],
    ) {
        let dim = self.head_dim;
        for head in 0..self.kv_heads {
            for (side, from) in [keys, values].into_iter().enumerate() {
                let at = self.offset(layer, head, side) + slot * dim;
                let block = &mut self.blocks[block as usize];
                if block.is_empty() {
                    *block = vec![0.0; self.block_len].into_boxed_slice();
                }
                block[at..at + dim].copy_from_slice(&from[head * dim..(head + 1) * dim]);
            }
        }
    }

    /// Keys of one head in one block, `[tokens_per_block, head_dim]`.
    #[inline(always)]
    pub(crate) fn keys(&self, layer: usize, kv_head: usize, block: u32) -> &[f32] {
        self.side(layer, kv_head, 0, block)
    }

    /// Values of one head in one block, `[tokens_per_block, head_dim]`.
    #[inline(always)]
    pub(crate) fn values(&self, layer: usize, kv_head: usize, block: u32) -> &[f32] {
        self.side(layer, kv_head, 1, block)
    }

    #[inline(always)]
    fn side(&self, layer: usize, kv_head: usize, side: usize, block: u32) -> &[f32] {
        let at = self.offset(layer, kv_head, side);
        &self.blocks[block as usize][at..at + self.tokens_per_block * self.head_dim]
    }

    #[inline(always)]
    fn offset(&self, layer: usize, kv_head: usize, side: usize) -> usize {
        ((layer * self.kv_heads + kv_head) * 2 + side) * self.tokens_per_block * self.head_dim
    }
}
