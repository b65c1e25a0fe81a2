//! Packing of one iteration: one token for each running request, then prompt chunks up to the token budget.

/// Tokens that each request gets in this iteration, given how many it has that were not computed yet.
///
/// A request with one such token is generating (or at the last token of its prompt) and comes first; the rest of `budget`
/// goes to longer prompts in order. The sum never exceeds `budget`, which is at least the number of requests.
pub(crate) fn pack(
    pending: impl Iterator<Item = usize> + Clone,
    budget: usize,
    chunks: &mut Vec<usize>,
) {
    let single = pending.clone().filter(|&tokens| tokens == 1).count();
    let mut left = budget.saturating_sub(single);
    chunks.clear();
    chunks.extend(pending.map(|tokens| {
        if tokens == 1 {
            return 1;
        }
        let chunk = tokens.min(left);
        left -= chunk;
        chunk
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(pending: &[usize], budget: usize) -> Vec<usize> {
        let mut chunks = vec![99];
        pack(pending.iter().copied(), budget, &mut chunks);
        chunks
    }

    #[test]
    fn running_requests_come_before_prompts_wherever_they_stand() {
        assert_eq!(packed(&[100, 1, 1], 10), [8, 1, 1]);
    }

    #[test]
    fn prompts_share_the_budget_in_order() {
        assert_eq!(packed(&[3, 1, 100, 50], 10), [3, 1, 6, 0]);
        assert_eq!(packed(&[4, 4], 100), [4, 4]);
    }
}
