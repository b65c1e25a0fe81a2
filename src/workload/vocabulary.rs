//! Vocabulary of random prompts: token ids without special ones.

use std::sync::Arc;

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::workload::prompts::PromptError;
use crate::workload::seeds::below;

/// Ids `0..size` without those that have a meaning of their own.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    size: u32,
    allowed: u32,
    /// One bit per id, set where the id is excluded.
    excluded: Arc<[u64]>,
}

impl Vocabulary {
    /// Ids below `size`, except `excluded`; excluded ids outside the vocabulary are of no effect.
    ///
    /// # Errors
    /// When fewer than two ids are left: prompts could then not differ.
    pub fn new(size: u32, excluded: impl IntoIterator<Item = u32>) -> Result<Self, PromptError> {
        let mut bits = vec![0_u64; (size as usize).div_ceil(64)];
        for id in excluded.into_iter().filter(|id| *id < size) {
            bits[id as usize / 64] |= 1 << (id % 64);
        }
        let allowed = size - bits.iter().map(|word| word.count_ones()).sum::<u32>();
        if allowed < 2 {
            return Err(PromptError::VocabularyTooSmall { size, allowed });
        }
        Ok(Self { size, allowed, excluded: bits.into() })
    }

    /// Ids are below this.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How many ids may be drawn.
    pub fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Whether prompts may hold this id.
    #[inline]
    pub fn allows(&self, id: u32) -> bool {
        id < self.size && self.excluded[id as usize / 64] & (1 << (id % 64)) == 0
    }

    /// One id, uniform over the allowed ones.
    #[inline]
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        loop {
            let id = below(rng, self.size.into()) as u32;
            if self.allows(id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::seeds::generator;

    #[test]
    fn a_vocabulary_without_a_choice_of_ids_is_refused() {
        for (size, excluded) in [(0, vec![]), (1, vec![]), (3, vec![0, 2]), (2, vec![0, 1])] {
            let said = Vocabulary::new(size, excluded).expect_err("too small").to_string();
            assert!(said.contains("at least 2"), "{said}");
        }
    }

    #[test]
    fn excluded_ids_are_never_drawn_and_the_others_evenly() {
        let vocabulary = Vocabulary::new(70, [0, 1, 63, 64, 69, 69, 900]).expect("65 ids are left");
        assert_eq!(vocabulary.allowed(), 65);
        let mut rng = generator(5);
        let mut counts = [0_u32; 70];
        for _ in 0..65_000 {
            counts[vocabulary.draw(&mut rng) as usize] += 1;
        }
        assert!([0, 1, 63, 64, 69].iter().all(|id| counts[*id] == 0));
        let chi_square: f64 = counts
            .iter()
            .enumerate()
            .filter(|(id, _)| vocabulary.allows(*id as u32))
            .map(|(_, n)| (f64::from(*n) - 1000.0).powi(2) / 1000.0)
            .sum();
        assert!(chi_square < 106.0, "64 degrees of freedom, p 0.001: {chi_square}");
    }
}
