//! Ragged batch of one iteration: rows of tokens from many sequences, and the places of their KV blocks.

/// Rows of one iteration, sequence by sequence. Buffers are kept between iterations.
#[derive(Default)]
pub(crate) struct Batch {
    /// `[rows]` token id.
    pub tokens: Vec<u32>,
    /// `[rows]` position in its sequence, from 0.
    pub positions: Vec<usize>,
    /// `[rows]` where its sequence's block table begins in `tables`.
    pub table_starts: Vec<usize>,
    /// Block tables, one after the other.
    pub tables: Vec<u32>,
    /// Rows whose logits are wanted, ascending.
    pub logit_rows: Vec<u32>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.table_starts.clear();
        self.tables.clear();
        self.logit_rows.clear();
    }

    /// Adds the `tokens` of one sequence at `first_position`; `blocks` covers all of its positions up to the last of them.
    pub(crate) fn push(
        &mut self,
        tokens: &[u32],
        first_position: usize,
        blocks: &[u32],
        wants_logits: bool,
    ) {
        let table_start = self.tables.len();
        self.tables.extend_from_slice(blocks);
        for (offset, &token) in tokens.iter().enumerate() {
            self.tokens.push(token);
            self.positions.push(first_position + offset);
            self.table_starts.push(table_start);
        }
        if wants_logits {
            self.logit_rows.push(self.tokens.len() as u32 - 1);
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// The blocks that hold positions `0..length` of the sequence of `row`.
    #[inline(always)]
    pub(crate) fn table(&self, row: usize, blocks: usize) -> &[u32] {
        let start = self.table_starts[row];
        &self.tables[start..start + blocks]
    }
}
