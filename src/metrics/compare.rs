//! Ratio of paired blocks with a confidence interval, and the verdict that follows from it.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::metrics::binomial::{normal_upper_tail, student_quantile};
use crate::metrics::definition::Better;

/// Resamples drawn; enough for the far tails that a handful of blocks asks for.
const RESAMPLES: usize = 20_000;
/// Probability that the interval misses, half of it on each side.
const INTERVAL_MISS: f64 = 0.05;
/// With fewer blocks an interval is shown and no verdict given.
pub const BLOCKS_FOR_A_VERDICT: usize = 5;

/// The same number, measured on both sides in one block; both above 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// On the side that is compared with.
    pub baseline: f64,
    /// On the side in question.
    pub candidate: f64,
}

/// What the blocks say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Candidate ÷ baseline: geometric mean over blocks.
    pub ratio: f64,
    /// Lower end of the 95 % interval of the ratio; `None` of a single block.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval of the ratio; `None` of a single block.
    pub high: Option<f64>,
    /// Candidate ÷ baseline in each block.
    pub block_ratios: Vec<f64>,
    /// The margin within which ratios count as the same, e.g. 0.01.
    pub margin: f64,
    /// The answer.
    pub answer: ComparisonVerdict,
}

/// What can be said of the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonVerdict {
    /// The whole interval is better than the baseline by more than the margin.
    Faster,
    /// The whole interval is worse than the baseline by more than the margin.
    Slower,
    /// The whole interval lies within the margin.
    Equivalent,
    /// The interval reaches across a margin, or there are too few blocks.
    Undecided,
}

/// Why blocks cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// There is nothing to compare.
    #[error("there is no block to compare: run at least {BLOCKS_FOR_A_VERDICT}")]
    NoBlocks,
    /// A ratio needs numbers above 0.
    #[error(
        "block {block} holds {value}, and a ratio needs numbers above 0: look for failed requests in that block"
    )]
    NotPositive {
        /// From 1.
        block: usize,
        /// What it holds.
        value: f64,
    },
    /// A margin of nothing can never be met.
    #[error("the margin {0} is not between 0 and 1: write 0.01 for 1 %")]
    Margin(f64),
}

/// Compares a number over paired blocks: a bootstrap over blocks of the mean log ratio, seeded.
///
/// Few blocks make percentile intervals too narrow; the tails are therefore taken further out, by as much as Student's t
/// is wider than the normal distribution (Hesterberg 2015, the expanded percentile interval).
///
/// # Errors
/// When there is no block, a value is not above 0, or the margin is not between 0 and 1.
pub fn compare(
    blocks: &[Block],
    better: Better,
    margin: f64,
    seed: u64,
) -> Result<Comparison, CompareError> {
    if !(margin > 0.0 && margin < 1.0) {
        return Err(CompareError::Margin(margin));
    }
    let logs = log_ratios(blocks)?;
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let interval = (logs.len() > 1).then(|| interval(&logs, mean, seed));
    let answer = match interval {
        Some((low, high)) if logs.len() >= BLOCKS_FOR_A_VERDICT => {
            answer(low, high, better, margin)
        }
        _ => ComparisonVerdict::Undecided,
    };
    Ok(Comparison {
        ratio: mean.exp(),
        low: interval.map(|(low, _)| low.exp()),
        high: interval.map(|(_, high)| high.exp()),
        block_ratios: logs.iter().map(|log| log.exp()).collect(),
        margin,
        answer,
    })
}

/// By how much the candidate differs, in the unit of the number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Candidate − baseline: mean over blocks.
    pub mean: f64,
    /// Lower end of its 95 % interval; `None` of a single block.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval; `None` of a single block.
    pub high: Option<f64>,
}

/// The difference over paired blocks, with the interval of [`compare`]; `None` where there is no block.
pub fn difference(blocks: &[Block], seed: u64) -> Option<Difference> {
    let differences: Vec<f64> =
        blocks.iter().map(|block| block.candidate - block.baseline).collect();
    let mean = mean(&differences)?;
    let interval = (blocks.len() > 1).then(|| interval(&differences, mean, seed));
    let (low, high) = interval.unzip();
    Some(Difference { mean, low, high })
}

/// `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn log_ratios(blocks: &[Block]) -> Result<Vec<f64>, CompareError> {
    if blocks.is_empty() {
        return Err(CompareError::NoBlocks);
    }
    let log = |index: usize, value: f64| {
        if value > 0.0 && value.is_finite() {
            Ok(value.ln())
        } else {
            Err(CompareError::NotPositive { block: index + 1, value })
        }
    };
    blocks
        .iter()
        .enumerate()
        .map(|(index, block)| Ok(log(index, block.candidate)? - log(index, block.baseline)?))
        .collect()
}

/// The 95 % interval of the mean of two or more values.
fn interval(values: &[f64], mean: f64, seed: u64) -> (f64, f64) {
    let n = values.len();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..n).map(|_| values[rng.random_range(0..n)]).sum::<f64>() / n as f64)
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let wider = (n as f64 / (n as f64 - 1.0)).sqrt();
    let tail = normal_upper_tail(wider * student_quantile(INTERVAL_MISS / 2.0, n as f64 - 1.0));
    let rank = (tail * RESAMPLES as f64).floor() as usize;
    (means[rank].min(mean), means[RESAMPLES - 1 - rank].max(mean))
}

fn answer(low: f64, high: f64, better: Better, margin: f64) -> ComparisonVerdict {
    let reach = margin.ln_1p();
    let (faster, slower) = match better {
        Better::Lower => (high < -reach, low > reach),
        Better::Higher => (low > reach, high < -reach),
        Better::Neither => (false, false),
    };
    if low >= -reach && high <= reach {
        ComparisonVerdict::Equivalent
    } else if faster {
        ComparisonVerdict::Faster
    } else if slower {
        ComparisonVerdict::Slower
    } else {
        ComparisonVerdict::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, Normal};

    fn blocks(ratios: &[f64]) -> Vec<Block> {
        ratios.iter().map(|ratio| Block { baseline: 40.0, candidate: 40.0 * ratio }).collect()
    }

    fn answer_of(ratios: &[f64], better: Better) -> ComparisonVerdict {
        compare(&blocks(ratios), better, 0.01, 1).unwrap().answer
    }

    #[test]
    fn blocks_without_a_ratio_are_refused_by_name() {
        assert_eq!(compare(&[], Better::Lower, 0.01, 1), Err(CompareError::NoBlocks));
        let error = compare(&blocks(&[1.0, 0.0]), Better::Lower, 0.01, 1).unwrap_err();
        assert!(error.to_string().starts_with("block 2 holds 0"), "{error}");
        assert!(compare(&blocks(&[f64::INFINITY]), Better::Lower, 0.01, 1).is_err());
        assert!(compare(&blocks(&[1.0]), Better::Lower, f64::NAN, 1).is_err());
    }

    #[test]
    fn fewer_than_five_blocks_decide_nothing() {
        assert_eq!(answer_of(&[2.0, 2.0, 2.0, 2.0], Better::Lower), ComparisonVerdict::Undecided);
        let one = compare(&blocks(&[2.0]), Better::Lower, 0.01, 1).unwrap();
        assert_eq!((one.low, one.high, one.answer), (None, None, ComparisonVerdict::Undecided));
    }

    #[test]
    fn the_direction_depends_on_what_is_better() {
        let up = [1.05, 1.06, 1.055, 1.052, 1.058];
        assert_eq!(answer_of(&up, Better::Lower), ComparisonVerdict::Slower);
        assert_eq!(answer_of(&up, Better::Higher), ComparisonVerdict::Faster);
        let down = up.map(|ratio| 1.0 / ratio);
        assert_eq!(answer_of(&down, Better::Lower), ComparisonVerdict::Faster);
        assert_eq!(answer_of(&down, Better::Higher), ComparisonVerdict::Slower);
    }

    #[test]
    fn equivalence_is_a_finding_and_noise_is_none() {
        assert_eq!(
            answer_of(&[1.001, 0.999, 1.002, 0.998, 1.0], Better::Lower),
            ComparisonVerdict::Equivalent
        );
        assert_eq!(
            answer_of(&[1.2, 0.8, 1.1, 0.9, 1.05], Better::Lower),
            ComparisonVerdict::Undecided
        );
        // Surely above 1, and not surely above the margin.
        assert_eq!(
            answer_of(&[1.012, 1.008, 1.013, 1.009, 1.011], Better::Lower),
            ComparisonVerdict::Undecided
        );
    }

    #[test]
    fn a_difference_has_the_unit_of_the_number_and_may_be_nothing() {
        assert_eq!(difference(&[], 1), None);
        let one = difference(&blocks(&[1.5]), 1).unwrap();
        assert_eq!((one.mean, one.low, one.high), (20.0, None, None));
        let flat = difference(&[Block { baseline: 0.0, candidate: 0.0 }; 5], 1).unwrap();
        assert_eq!((flat.mean, flat.low, flat.high), (0.0, Some(0.0), Some(0.0)));
        let five = difference(&blocks(&[1.1, 1.2, 1.15, 1.18, 1.12]), 1).unwrap();
        assert!((five.mean - 6.0).abs() < 1e-9, "{five:?}");
        assert!(five.low.unwrap() > 4.0 && five.high.unwrap() < 8.0, "{five:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let blocks = blocks(&[1.1, 1.3, 1.2, 1.25, 1.15]);
        let compared = |seed| compare(&blocks, Better::Lower, 0.01, seed).unwrap();
        assert_eq!(compared(5), compared(5));
        assert!((compared(5).ratio - 1.197_94).abs() < 1e-4, "{}", compared(5).ratio);
    }

    #[test]
    fn the_interval_of_six_blocks_holds_the_truth_about_as_often_as_it_says() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
        let noise = Normal::new(0.0_f64, 0.05).unwrap();
        let trials = 300;
        let held = (0..trials)
            .filter(|trial| {
                let logs: Vec<f64> = (0..6).map(|_| noise.sample(&mut rng)).collect();
                let mean = logs.iter().sum::<f64>() / 6.0;
                let (low, high) = interval(&logs, mean, *trial);
                low <= 0.0 && 0.0 <= high
            })
            .count();
        assert!((0.90..=0.99).contains(&(held as f64 / trials as f64)), "{held} of {trials}");
    }
}
