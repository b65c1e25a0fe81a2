//! Accounting of KV blocks: counts, reservations, and blocks shared between requests with the same prefix.
//!
//! A request is admitted only if all blocks that it can ever need are free or reserved for it, so nothing that runs is ever
//! evicted (TensorRT-LLM calls this policy GUARANTEED_NO_EVICT). Blocks are taken one at a time as the request grows.

use std::collections::{BTreeSet, HashMap};

use crate::delivery::KvUse;

/// The blocks of one request, in order of position.
#[derive(Debug, Default)]
pub(crate) struct BlockTable {
    blocks: Vec<u32>,
    /// Reserved and not yet taken.
    reserved: usize,
    reused: usize,
    missed: usize,
    /// Full blocks that were offered for reuse, and the key of the last of them.
    published: usize,
    chain: u64,
}

impl BlockTable {
    pub(crate) fn blocks(&self) -> &[u32] {
        &self.blocks
    }

    pub(crate) fn reused(&self) -> usize {
        self.reused
    }

    pub(crate) fn usage(&self) -> KvUse {
        KvUse {
            total_blocks: self.blocks.len(),
            reused_blocks: self.reused,
            new_blocks: self.blocks.len() - self.reused,
            missed_blocks: self.missed,
        }
    }
}

/// A block whose content is known: the tokens in it, and the key of the blocks before it.
struct Content {
    key: u64,
    parent: u64,
    tokens: Box<[u32]>,
}

#[derive(Default)]
struct Block {
    holders: u32,
    freed_at: u64,
    content: Option<Content>,
}

pub(crate) struct BlockPool {
    tokens_per_block: usize,
    reuse: bool,
    blocks: Vec<Block>,
    /// `(freed_at, block)`, the longest unused first. Free blocks keep their content until they are taken.
    free: BTreeSet<(u64, u32)>,
    reserved: usize,
    by_key: HashMap<u64, u32>,
    releases: u64,
}

impl BlockPool {
    pub(crate) fn new(blocks: usize, tokens_per_block: usize, reuse: bool) -> BlockPool {
        BlockPool {
            tokens_per_block,
            reuse,
            blocks: (0..blocks).map(|_| Block::default()).collect(),
            free: (0..blocks as u32).map(|block| (0, block)).collect(),
            reserved: 0,
            by_key: HashMap::new(),
            releases: 0,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn used(&self) -> usize {
        self.blocks.len() - self.free.len()
    }

    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    /// A table for a request that will hold `total_tokens` at most, or `None` while there is no room.
    ///
    /// Computed blocks with the prompt's own beginning are taken over; at least one prompt token is left to compute.
    pub(crate) fn admit(&mut self, prompt: &[u32], total_tokens: usize) -> Option<BlockTable> {
        let mut table = BlockTable::default();
        if self.reuse {
            self.find_prefix(&prompt[..prompt.len() - 1], &mut table);
            table.missed = prompt.len().div_ceil(self.tokens_per_block) - table.reused;
        }
        table.reserved = total_tokens.div_ceil(self.tokens_per_block) - table.blocks.len();
        let woken =
            table.blocks.iter().filter(|&&block| self.blocks[block as usize].holders == 0).count();
        if table.reserved + woken > self.free.len() - self.reserved {
            return None;
        }
        for &block in &table.blocks {
            let state = &mut self.blocks[block as usize];
            if state.holders == 0 {
                self.free.remove(&(state.freed_at, block));
            }
            state.holders += 1;
        }
        self.reserved += table.reserved;
        Some(table)
    }

    /// Takes reserved blocks until the table holds `tokens` tokens.
    pub(crate) fn grow(&mut self, table: &mut BlockTable, tokens: usize) {
        while table.blocks.len() * self.tokens_per_block < tokens {
            assert!(table.reserved > 0, "a request grows within what it reserved");
            let (_, block) = self.free.pop_first().expect("a reserved block is free");
            let state = &mut self.blocks[block as usize];
            state.holders = 1;
            if let Some(content) = state.content.take() {
                self.by_key.remove(&content.key);
            }
            table.blocks.push(block);
            table.reserved -= 1;
            self.reserved -= 1;
        }
    }

    /// Offers the full blocks among the first `computed` of `tokens` for reuse.
    pub(crate) fn publish(&mut self, table: &mut BlockTable, tokens: &[u32], computed: usize) {
        if !self.reuse {
            return;
        }
        let size = self.tokens_per_block;
        while (table.published + 1) * size <= computed {
            let tokens = &tokens[table.published * size..(table.published + 1) * size];
            let block = table.blocks[table.published];
            let (parent, key) = (table.chain, chain(table.chain, tokens));
            // Another request may have computed the same block at the same time; one of the two is enough.
            if let std::collections::hash_map::Entry::Vacant(free) = self.by_key.entry(key) {
                free.insert(block);
                self.blocks[block as usize].content =
                    Some(Content { key, parent, tokens: tokens.into() });
            }
            table.chain = key;
            table.published += 1;
        }
    }

    /// Gives back the blocks of the table and its reservation.
    pub(crate) fn release(&mut self, table: BlockTable) {
        self.reserved -= table.reserved;
        self.releases += 1;
        for block in table.blocks {
            let state = &mut self.blocks[block as usize];
            state.holders -= 1;
            if state.holders == 0 {
                // Without known content there is nothing to keep: such a block is taken first.
                state.freed_at = if state.content.is_some() { self.releases } else { 0 };
                self.free.insert((state.freed_at, block));
            }
        }
    }

    fn find_prefix(&self, tokens: &[u32], table: &mut BlockTable) {
        for piece in tokens.chunks_exact(self.tokens_per_block) {
            let key = chain(table.chain, piece);
            let Some(&block) = self.by_key.get(&key) else { return };
            let same =
                |content: &Content| content.parent == table.chain && *content.tokens == *piece;
            if !self.blocks[block as usize].content.as_ref().is_some_and(same) {
                return;
            }
            table.blocks.push(block);
            table.chain = key;
            table.published += 1;
            table.reused += 1;
        }
    }
}

/// The key of a block: its tokens and all tokens before it (FNV-1a over token ids, then splitmix64's mixing).
fn chain(parent: u64, tokens: &[u32]) -> u64 {
    let mut hash = tokens.iter().fold(parent ^ 0xcbf2_9ce4_8422_2325, |hash, &token| {
        (hash ^ u64::from(token)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_waits_until_all_it_can_need_is_free() {
        let mut pool = BlockPool::new(4, 8, false);
        let mut first = pool.admit(&[1; 8], 20).unwrap();
        assert!(pool.admit(&[1; 8], 9).is_none(), "three blocks are reserved, one is left");
        pool.grow(&mut first, 8);
        assert_eq!((pool.used(), pool.reserved()), (1, 2));
        assert!(pool.admit(&[1; 8], 9).is_none());
        pool.release(first);
        assert_eq!((pool.used(), pool.reserved()), (0, 0));
        assert!(pool.admit(&[1; 8], 32).is_some());
    }

    #[test]
    fn an_equal_prefix_is_taken_over_and_a_different_one_is_not() {
        let mut pool = BlockPool::new(8, 4, true);
        let prompt: Vec<u32> = (0..12).collect();
        let mut first = pool.admit(&prompt, 16).unwrap();
        pool.grow(&mut first, 12);
        pool.publish(&mut first, &prompt, 12);
        let held = first.blocks()[..2].to_vec();

        let second = pool.admit(&prompt, 16).unwrap();
        assert_eq!(
            second.blocks(),
            held,
            "the last prompt token is left to compute, so two of three blocks"
        );
        let other = pool.admit(&[9, 1, 2, 3, 4, 5], 8).unwrap();
        assert_eq!(other.reused(), 0);
        pool.release(first);
        pool.release(second);
        pool.release(other);
        assert_eq!((pool.used(), pool.reserved()), (0, 0));
        assert_eq!(
            pool.admit(&prompt, 16).unwrap().blocks(),
            held,
            "freed blocks keep their content"
        );
    }

    #[test]
    fn a_block_that_was_taken_for_something_else_is_no_longer_found() {
        let mut pool = BlockPool::new(2, 4, true);
        let mut first = pool.admit(&[5; 5], 8).unwrap();
        pool.grow(&mut first, 5);
        pool.publish(&mut first, &[5; 5], 5);
        pool.release(first);
        let mut second = pool.admit(&[7; 5], 8).unwrap();
        pool.grow(&mut second, 8);
        pool.release(second);
        assert_eq!(pool.admit(&[5; 5], 8).unwrap().reused(), 0);
    }
}
