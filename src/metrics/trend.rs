//! Trend of a series: block means in order, a straight line through them, a step between their halves, and the chance of such a
//! slope or step without a trend.

use crate::metrics::binomial::{normal_upper_tail, student_upper_tail};
use crate::metrics::effective::long_run;

/// Blocks that a series is cut into at most.
const MOST_BLOCKS: usize = 20;
/// Fewer blocks say nothing of a trend.
pub const FEWEST_BLOCKS: usize = 6;

/// A straight line through a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// How much the line rises from the first to the last block, as a share of the mean; below 0 where it falls.
    pub rise: f64,
    /// Probability of such a slope or a steeper one, either way, if there is none: least squares, the error widened by the
    /// autocovariance of what the line leaves over.
    pub chance: f64,
    /// Probability of blocks so much in ascending order if any order is as likely (Kendall). A queue that grows is a random
    /// walk around its line, of which the first test makes little.
    pub ascending: f64,
    /// How far the mean of the second half of the blocks lies above that of the first, as a share of the mean.
    pub step: f64,
    /// Probability of such a step or a larger one, either way, if there is none: as of the slope, with what the halves leave over.
    /// A line fits a step badly and takes it for noise that is long the same.
    pub step_chance: f64,
}

/// The trend of values in their order, in blocks of at least `block` of them. `None` where that makes too few blocks, or the
/// mean is not above 0.
pub fn trend(values: &[f64], block: usize) -> Option<Trend> {
    let count = (values.len() / block.max(1)).min(MOST_BLOCKS);
    if count < FEWEST_BLOCKS {
        return None;
    }
    let bound = |index: usize| index * values.len() / count;
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let blocks: Vec<f64> =
        (0..count).map(|index| mean(&values[bound(index)..bound(index + 1)])).collect();
    let level = mean(&blocks);
    (level > 0.0).then(|| of_blocks(&blocks, level))
}

fn of_blocks(blocks: &[f64], level: f64) -> Trend {
    let n = blocks.len() as f64;
    let place = |index: usize| index as f64 - (n - 1.0) / 2.0;
    let spread: f64 = (0..blocks.len()).map(|index| place(index).powi(2)).sum();
    let slope =
        blocks.iter().enumerate().map(|(at, value)| place(at) * (value - level)).sum::<f64>()
            / spread;
    let left_over: Vec<f64> =
        blocks.iter().enumerate().map(|(at, value)| value - level - slope * place(at)).collect();
    let (step, step_chance) = step(blocks, level);
    Trend {
        rise: slope * (n - 1.0) / level,
        chance: chance(slope, spread, level, &left_over),
        ascending: ascending(blocks),
        step: step / level,
        step_chance,
    }
}

/// From the first half of the blocks to the second, and the chance of that. Of an odd number the one in the middle is left out.
fn step(blocks: &[f64], level: f64) -> (f64, f64) {
    let half = blocks.len() / 2;
    let (first, second) = (&blocks[..half], &blocks[blocks.len() - half..]);
    let mean = |of: &[f64]| of.iter().sum::<f64>() / half as f64;
    let (before, after) = (mean(first), mean(second));
    let left_over: Vec<f64> = first
        .iter()
        .map(|value| value - before)
        .chain(second.iter().map(|value| value - after))
        .collect();
    let step = after - before;
    (step, chance(step, half as f64 / 2.0, level, &left_over))
}

fn chance(slope: f64, spread: f64, level: f64, left_over: &[f64]) -> f64 {
    let n = left_over.len() as f64;
    let negligible = level.abs() * 1e-9;
    let error_and_freedom = long_run(left_over).map(|all| {
        let variance = all.variance / (n - 2.0);
        let freedom = all.windows.map_or(n - 2.0, |windows| windows.clamp(1.0, n - 2.0));
        ((variance / spread).sqrt(), freedom)
    });
    match error_and_freedom.filter(|(error, _)| *error * spread.sqrt() > negligible) {
        Some((error, freedom)) => (2.0 * student_upper_tail(slope.abs() / error, freedom)).min(1.0),
        None if slope.abs() * n > negligible => 0.0,
        None => 1.0,
    }
}

/// Kendall's test against an order by chance, by its normal approximation.
fn ascending(blocks: &[f64]) -> f64 {
    let n = blocks.len() as f64;
    let mut score = 0.0;
    for (at, value) in blocks.iter().enumerate() {
        for later in &blocks[at + 1..] {
            score += f64::from(i8::from(later > value) - i8::from(later < value));
        }
    }
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    normal_upper_tail((score - 1.0) / deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        // A fixed scramble: no trend, no memory.
        ((i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / f64::from(1 << 24)
    }

    #[test]
    fn noise_does_not_rise_and_a_slope_in_noise_does() {
        let flat: Vec<f64> = (0..200).map(|i| 10.0 + noise(i)).collect();
        let rising: Vec<f64> =
            flat.iter().enumerate().map(|(i, value)| value + 0.02 * i as f64).collect();
        assert!(trend(&flat, 5).unwrap().chance > 0.01);
        let trend = trend(&rising, 5).unwrap();
        assert!(trend.chance < 1e-6 && trend.ascending < 1e-6, "{trend:?}");
        assert!((trend.rise - 3.8 / 12.5).abs() < 0.03, "{trend:?}");
    }

    #[test]
    fn a_constant_series_does_not_rise_and_a_perfect_line_does() {
        let line =
            |slope: f64| -> Vec<f64> { (0..60).map(|i| 18.0 + slope * f64::from(i)).collect() };
        let flat = trend(&line(0.0), 5).unwrap();
        assert!(flat.chance > 0.99 && flat.ascending > 0.4 && flat.rise.abs() < 1e-12, "{flat:?}");
        assert!(trend(&line(0.1), 5).unwrap().chance < 1e-9);
        let falling = trend(&line(-0.1), 5).unwrap();
        assert!(falling.chance < 1e-9 && falling.rise < 0.0 && falling.ascending > 0.99);
        assert_eq!(trend(&line(1.0)[..29], 5), None);
    }

    #[test]
    fn a_step_in_noise_is_found_and_noise_alone_is_none() {
        let flat: Vec<f64> = (0..200).map(|i| 10.0 + noise(i)).collect();
        let at_half = |i: usize| if i < 100 { 0.0 } else { 3.0 };
        let stepped: Vec<f64> = flat.iter().enumerate().map(|(i, v)| v + at_half(i)).collect();
        assert!(trend(&flat, 5).unwrap().step_chance > 0.01);
        let trend = trend(&stepped, 5).unwrap();
        assert!(trend.step_chance < 1e-6, "{trend:?}");
        assert!((trend.step - 3.0 / 12.0).abs() < 0.03, "{trend:?}");
    }
}
