//! Dummy weights: seeded random numbers in the shape of a real model, the same on every machine.

use super::shape::{Architecture, ModelShape, Rope, RopeScaling};
use crate::source::DummySize;

/// The shape of a named size. Row lengths are multiples of 256, which candle's fast Q8_0 kernels ask for.
pub(crate) fn shape(size: DummySize) -> ModelShape {
    let (vocab, hidden, intermediate, layers, heads, kv_heads, max_seq_len) = match size {
        DummySize::Pico => (512, 64, 160, 2, 2, 1, 1024),
        DummySize::Nano => (4096, 256, 768, 4, 4, 2, 4096),
        DummySize::Small => (16384, 768, 2048, 12, 12, 4, 8192),
    };
    ModelShape {
        name: size.name().to_string(),
        architecture: Architecture::Llama,
        vocab,
        hidden,
        intermediate,
        layers,
        heads,
        kv_heads,
        head_dim: hidden / heads,
        max_seq_len,
        norm_eps: 1e-5,
        rope: Rope { theta: 10_000.0, scaling: RopeScaling::None },
        tied: false,
        eos: vec![2],
    }
}

/// `rows * columns` numbers for the tensor `name`: uniform, and scaled by what the tensor is for.
///
/// The stream depends on the name and the seed alone, so neither the order of creation nor other tensors matter.
pub(crate) fn matrix(name: &str, seed: u64, rows: usize, columns: usize) -> Vec<f32> {
    let limit = limit(name, columns);
    let mut state = stream(name, seed);
    (0..rows * columns)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // The upper 24 bits as a number in [0, 1), which f32 holds exactly.
            let unit = (state >> 40) as f32 / (1u32 << 24) as f32;
            (2.0 * unit - 1.0) * limit
        })
        .collect()
}

/// The embedding is large and the head small: with both the same size, greedy output soon repeats one token.
fn limit(name: &str, columns: usize) -> f32 {
    match name {
        "model.embed_tokens.weight" => 1.0,
        "lm_head.weight" => 0.05,
        // Uniform numbers in ±limit have a variance of limit²/3, so each product keeps the size of its input.
        _ => (3.0 / columns as f32).sqrt(),
    }
}

/// FNV-1a of the name, mixed with the seed by splitmix64; never 0, where xorshift would stay.
fn stream(name: &str, seed: u64) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut mixed = hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_depend_on_name_and_seed_and_stay_within_the_limit() {
        let a = matrix("lm_head.weight", 1, 8, 32);
        assert_eq!(a, matrix("lm_head.weight", 1, 8, 32));
        assert_ne!(a, matrix("lm_head.weight", 2, 8, 32));
        assert_ne!(a, matrix("lm_head.weighs", 1, 8, 32));
        assert!(a.iter().all(|value| value.abs() <= 0.05));
        let mean = a.iter().sum::<f32>() / a.len() as f32;
        assert!(mean.abs() < 0.01, "mean {mean}");
    }

    #[test]
    fn sizes_have_the_parameters_they_are_documented_with() {
        assert_eq!(shape(DummySize::Pico).parameters() / 10_000, 15);
        assert_eq!(shape(DummySize::Nano).parameters() / 100_000, 52);
        assert_eq!(shape(DummySize::Small).parameters() / 1_000_000, 100);
    }
}
