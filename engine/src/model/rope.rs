//! Rotary position embedding: angles per row, and rotation of one head.

use super::shape::{Rope, RopeScaling};

/// The inverse frequencies of one model, `[head_dim / 2]`.
pub(crate) struct Frequencies(Vec<f32>);

/// Cosines and sines of one iteration, `[rows, head_dim / 2]` each; the same for all layers.
#[derive(Default)]
pub(crate) struct Angles {
    half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Frequencies {
    pub(crate) fn new(rope: Rope, head_dim: usize) -> Frequencies {
        let frequency = |pair: usize| {
            let plain = 1.0 / rope.theta.powf(2.0 * pair as f32 / head_dim as f32);
            stretched(plain, rope.scaling)
        };
        Frequencies((0..head_dim / 2).map(frequency).collect())
    }

    pub(crate) fn fill(&self, positions: &[usize], angles: &mut Angles) {
        angles.half = self.0.len();
        angles.cos.clear();
        angles.sin.clear();
        for &position in positions {
            for &frequency in &self.0 {
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                angles.cos.push(cos);
                angles.sin.push(sin);
            }
        }
    }
}

impl Angles {
    /// Turns one head of row `row` in place: element `i` with element `i + head_dim / 2`, as Hugging Face's weights expect.
    #[inline(always)]
    pub(crate) fn rotate(&self, row: usize, head: &mut [f32]) {
        let at = row * self.half..(row + 1) * self.half;
        let (cos, sin) = (&self.cos[at.clone()], &self.sin[at]);
        let (low, high) = head.split_at_mut(self.half);
        for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
            let (a, b) = (*low, *high);
            *low = a * cos - b * sin;
            *high = b * cos + a * sin;
        }
    }
}

fn stretched(frequency: f32, scaling: RopeScaling) -> f32 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_seq_len } => {
            let turns = original_max_seq_len * frequency / (2.0 * std::f32::consts::PI);
            let keep =
                ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
            keep * frequency + (1.0 - keep) * frequency / factor
        }
    }
}
