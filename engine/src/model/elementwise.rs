//! Row-wise operations besides matrix products: norm, activation, exponential, dot products, split over threads.
//!
//! The inner loops are plain Rust written so that the compiler vectorises them; [`pulp`] compiles them for AVX2 as well and
//! picks at run time, without unsafe code here.

use std::ops::Range;
use std::sync::Mutex;

use candle_core::utils::barrier_pool;

/// Below this many multiply-adds a second thread costs more than it brings.
const WORTH_SHARING: usize = 1 << 15;

/// Runs `work(index, chunk)` for each `chunk_len` piece of `out`, on candle's threads where `cost` (multiply-adds in total)
/// is worth it.
pub(crate) fn for_each_chunk(
    out: &mut [f32],
    chunk_len: usize,
    cost: usize,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let arch = pulp::Arch::new();
    if cost < WORTH_SHARING || barrier_pool().n_workers() == 0 {
        return arch.dispatch(
            #[inline(always)]
            || out.chunks_mut(chunk_len).enumerate().for_each(|(index, chunk)| work(index, chunk)),
        );
    }
    // Each piece is locked once by one thread: the lock only proves to the compiler that pieces are disjoint.
    let pieces: Vec<Mutex<&mut [f32]>> = out.chunks_mut(chunk_len).map(Mutex::new).collect();
    barrier_pool().execute_chunked(pieces.len(), |range: Range<usize>| {
        arch.dispatch(
            #[inline(always)]
            || {
                for index in range {
                    let mut piece = pieces[index].lock().expect("each piece is locked once");
                    work(index, &mut piece);
                }
            },
        );
    });
}

/// RMS norm of each `weight.len()` long row of `rows`, times `weight`.
pub(crate) fn rms_norm(rows: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let width = weight.len();
    let mut out = vec![0.0; rows.len()];
    for_each_chunk(
        &mut out,
        width,
        2 * rows.len(),
        #[inline(always)]
        |index, out| {
            out.copy_from_slice(&rows[index * width..(index + 1) * width]);
            normalise(out, weight, eps);
        },
    );
    out
}

/// RMS norm of one row in place.
#[inline(always)]
pub(crate) fn normalise(row: &mut [f32], weight: &[f32], eps: f32) {
    let scale = 1.0 / (dot(row, row) / row.len() as f32 + eps).sqrt();
    for (value, weight) in row.iter_mut().zip(weight) {
        *value = *value * scale * weight;
    }
}

/// `silu(gate) * up` of rows that hold gate and up side by side, `2 * width` long; the result has `width`.
pub(crate) fn gated(gate_up: &[f32], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; gate_up.len() / 2];
    for_each_chunk(
        &mut out,
        width,
        8 * gate_up.len(),
        #[inline(always)]
        |index, out| {
            let (gate, up) = gate_up[index * 2 * width..(index + 1) * 2 * width].split_at(width);
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp(-gate)) * up;
            }
        },
    );
    out
}

pub(crate) fn add_assign(to: &mut [f32], what: &[f32]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what;
    }
}

/// Sixteen partial sums, so that the additions can run side by side.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// e^x to about 2 ulp: 2^n times a polynomial on ±ln 2 / 2, which vectorises where the library's `exp` does not.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Taylor coefficients up to r^7 / 7!: below 1e-8 relative at |r| = 0.35.
    let mut p = 1.984_127e-4;
    for coefficient in [1.388_889e-3, 8.333_333e-3, 4.166_666_7e-2, 1.666_666_7e-1, 0.5, 1.0, 1.0] {
        p = p * r + coefficient;
    }
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_library_over_its_whole_range() {
        let mut x = -86.9f32;
        while x < 87.9 {
            let (ours, theirs) = (exp(x), x.exp());
            assert!(((ours - theirs) / theirs).abs() < 5e-7, "exp({x}) = {ours}, not {theirs}");
            x += 0.0137;
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn shared_and_unshared_work_give_the_same_numbers() {
        let rows: Vec<f32> = (0..64 * 48).map(|i| (i as f32 * 0.37).sin()).collect();
        let run = |cost| {
            let mut out = vec![0.0; rows.len()];
            for_each_chunk(&mut out, 48, cost, |index, out| {
                out.copy_from_slice(&rows[index * 48..(index + 1) * 48]);
                normalise(out, &[2.0; 48], 1e-5);
            });
            out
        };
        assert_eq!(run(0), run(usize::MAX));
    }
}
