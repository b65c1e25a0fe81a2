//! Choice of the next token: greedy, or drawn from the largest logits.

use crate::request::Sampling;

/// Chooses tokens; keeps its buffer and, per request, a [`Draws`].
#[derive(Default)]
pub(crate) struct Sampler {
    candidates: Vec<(f32, u32)>,
}

/// The random numbers of one request (xorshift64*).
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(sampling: Sampling) -> Draws {
        let seed = match sampling {
            Sampling::Greedy => 0,
            Sampling::TopKTopP { seed, .. } => seed,
        };
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Draws((mixed ^ (mixed >> 31)) | 1)
    }

    /// Uniform in [0, 1).
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u32 << 24) as f32
    }
}

impl Sampler {
    /// Chooses from one row of logits, never a token of `masked`; `None` where no finite logit is left.
    pub(crate) fn choose(
        &mut self,
        logits: &[f32],
        masked: &[u32],
        sampling: Sampling,
        draws: &mut Draws,
    ) -> Option<u32> {
        match sampling {
            Sampling::Greedy => largest(logits, masked),
            Sampling::TopKTopP { temperature: 0.0, .. } => largest(logits, masked),
            Sampling::TopKTopP { temperature, top_k, top_p, .. } => {
                self.draw(logits, masked, temperature, top_k, top_p, draws.next())
            }
        }
    }

    fn draw(
        &mut self,
        logits: &[f32],
        masked: &[u32],
        temperature: f32,
        top_k: usize,
        top_p: f32,
        point: f32,
    ) -> Option<u32> {
        if logits.iter().any(|logit| logit.is_nan()) {
            return None;
        }
        let candidates = &mut self.candidates;
        candidates.clear();
        let indexed = logits.iter().copied().zip(0..);
        candidates.extend(indexed.filter(|(logit, id)| logit.is_finite() && !masked.contains(id)));
        let descending = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if top_k > 0 && top_k < candidates.len() {
            candidates.select_nth_unstable_by(top_k - 1, descending);
            candidates.truncate(top_k);
        }
        candidates.sort_unstable_by(descending);
        let top = candidates.first()?.0;
        let mut total = 0.0;
        for (weight, _) in candidates.iter_mut() {
            *weight = ((*weight - top) / temperature).exp();
            total += *weight;
        }
        let nucleus = nucleus(candidates, top_p * total);
        let kept: f32 = nucleus.iter().map(|(weight, _)| weight).sum();
        let mut rest = point * kept;
        for &(weight, id) in nucleus {
            rest -= weight;
            if rest < 0.0 {
                return Some(id);
            }
        }
        // Rounding can leave a last trace of `rest`.
        nucleus.last().map(|&(_, id)| id)
    }
}

/// The shortest beginning whose weights reach `mass`.
fn nucleus(candidates: &[(f32, u32)], mass: f32) -> &[(f32, u32)] {
    let mut sum = 0.0;
    for (index, (weight, _)) in candidates.iter().enumerate() {
        sum += weight;
        if sum >= mass {
            return &candidates[..=index];
        }
    }
    candidates
}

fn largest(logits: &[f32], masked: &[u32]) -> Option<u32> {
    let mut best: Option<(f32, u32)> = None;
    for (&logit, id) in logits.iter().zip(0..) {
        if logit.is_nan() {
            return None;
        }
        if best.is_none_or(|(top, _)| logit > top) && !masked.contains(&id) {
            best = Some((logit, id));
        }
    }
    best.filter(|(logit, _)| logit.is_finite()).map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f32, top_k: usize, top_p: f32, seed: u64) -> Sampling {
        Sampling::TopKTopP { temperature, top_k, top_p, seed }
    }

    fn counts(logits: &[f32], sampling: Sampling) -> Vec<usize> {
        let (mut sampler, mut draws) = (Sampler::default(), Draws::new(sampling));
        let mut counts = vec![0; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.choose(logits, &[], sampling, &mut draws).unwrap() as usize] += 1;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax_of_the_logits() {
        let counts =
            counts(&[0.0, 2f32.ln(), 3f32.ln(), f32::NEG_INFINITY], sampling(1.0, 0, 1.0, 4));
        let shares: Vec<f32> = counts.iter().map(|&count| count as f32 / 20_000.0).collect();
        for (share, expected) in shares.iter().zip([1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0, 0.0]) {
            assert!((share - expected).abs() < 0.02, "{shares:?}");
        }
    }

    #[test]
    fn top_k_and_top_p_leave_only_the_largest() {
        let logits = [0.0, 1.0, 2.0, 3.0];
        let k = counts(&logits, sampling(1.0, 2, 1.0, 1));
        assert!(k[0] == 0 && k[1] == 0 && k[2] > 0 && k[3] > 0, "{k:?}");
        let p = counts(&logits, sampling(1.0, 0, 0.5, 1));
        assert_eq!(p, [0, 0, 0, 20_000], "the largest alone has 0.64");
    }

    #[test]
    fn masked_tokens_are_never_chosen_and_nan_is_not_hidden() {
        let (mut sampler, mut draws) = (Sampler::default(), Draws::new(Sampling::Greedy));
        let choose = |sampler: &mut Sampler, draws: &mut Draws, logits: &[f32], s| {
            sampler.choose(logits, &[2], s, draws)
        };
        for s in [Sampling::Greedy, sampling(1.0, 1, 1.0, 0)] {
            assert_eq!(choose(&mut sampler, &mut draws, &[0.0, 1.0, 9.0], s), Some(1));
            assert_eq!(choose(&mut sampler, &mut draws, &[0.0, f32::NAN, 9.0], s), None);
        }
        assert_eq!(
            choose(&mut sampler, &mut draws, &[3.0, 3.0, 9.0], Sampling::Greedy),
            Some(0),
            "lowest id on a tie"
        );
    }
}
