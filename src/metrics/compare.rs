//! Ratio of paired blocks with a confidence interval, and the verdict that follows from it.

use serde::{Deserialize, Serialize};

use crate::metrics::binomial::student_quantile;
use crate::metrics::definition::Better;

/// Probability that the interval misses, half of it on each side.
const INTERVAL_MISS: f64 = 0.05;
/// With fewer blocks Student's t of them is so wide that it tells nothing.
const BLOCKS_FOR_AN_INTERVAL: usize = 3;
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
    /// Lower end of the 95 % interval of the ratio; `None` of fewer than three blocks.
    pub low: Option<f64>,
    /// Upper end of the 95 % interval of the ratio; `None` of fewer than three blocks.
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

/// Compares a number over paired blocks: Student's t over the log ratios of the blocks, of which a mean over many requests
/// makes about a normal distribution. A bootstrap of a handful of blocks is too narrow.
///
/// # Errors
/// When there is no block, a value is not above 0, or the margin is not between 0 and 1.
pub fn compare(blocks: &[Block], better: Better, margin: f64) -> Result<Comparison, CompareError> {
    if !(margin > 0.0 && margin < 1.0) {
        return Err(CompareError::Margin(margin));
    }
    let logs = log_ratios(blocks)?;
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let interval = (logs.len() >= BLOCKS_FOR_AN_INTERVAL).then(|| interval(&logs, mean));
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
    /// Lower end of its 95 % interval; `None` of fewer than three blocks.
    pub low: Option<f64>,
    /// Upper end of its 95 % interval; `None` of fewer than three blocks.
    pub high: Option<f64>,
}

/// The difference over paired blocks, with the interval of [`compare`]; `None` where there is no block.
pub fn difference(blocks: &[Block]) -> Option<Difference> {
    let differences: Vec<f64> =
        blocks.iter().map(|block| block.candidate - block.baseline).collect();
    let mean = mean(&differences)?;
    let interval = (blocks.len() >= BLOCKS_FOR_AN_INTERVAL).then(|| interval(&differences, mean));
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

/// The 95 % interval of the mean of two or more values, by Student's t.
fn interval(values: &[f64], mean: f64) -> (f64, f64) {
    let freedom = values.len() as f64 - 1.0;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / freedom / values.len() as f64).sqrt();
    let reach = student_quantile(INTERVAL_MISS / 2.0, freedom) * error;
    (mean - reach, mean + reach)
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
    use rand::SeedableRng;
    use rand_distr::{Distribution, LogNormal, Normal};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn blocks(ratios: &[f64]) -> Vec<Block> {
        ratios.iter().map(|ratio| Block { baseline: 40.0, candidate: 40.0 * ratio }).collect()
    }

    fn answer_of(ratios: &[f64], better: Better) -> ComparisonVerdict {
        compare(&blocks(ratios), better, 0.01).unwrap().answer
    }

    #[test]
    fn blocks_without_a_ratio_are_refused_by_name() {
        assert_eq!(compare(&[], Better::Lower, 0.01), Err(CompareError::NoBlocks));
        let error = compare(&blocks(&[1.0, 0.0]), Better::Lower, 0.01).unwrap_err();
        assert!(error.to_string().starts_with("block 2 holds 0"), "{error}");
        assert!(compare(&blocks(&[f64::INFINITY]), Better::Lower, 0.01).is_err());
        assert!(compare(&blocks(&[1.0]), Better::Lower, f64::NAN).is_err());
    }

    #[test]
    fn fewer_than_five_blocks_decide_nothing() {
        assert_eq!(answer_of(&[2.0, 2.0, 2.0, 2.0], Better::Lower), ComparisonVerdict::Undecided);
        let one = compare(&blocks(&[2.0]), Better::Lower, 0.01).unwrap();
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
        assert_eq!(difference(&[]), None);
        let one = difference(&blocks(&[1.5])).unwrap();
        assert_eq!((one.mean, one.low, one.high), (20.0, None, None));
        let flat = difference(&[Block { baseline: 0.0, candidate: 0.0 }; 5]).unwrap();
        assert_eq!((flat.mean, flat.low, flat.high), (0.0, Some(0.0), Some(0.0)));
        let five = difference(&blocks(&[1.1, 1.2, 1.15, 1.18, 1.12])).unwrap();
        assert!((five.mean - 6.0).abs() < 1e-9, "{five:?}");
        assert!(five.low.unwrap() > 3.9 && five.high.unwrap() < 8.1, "{five:?}");
    }

    #[test]
    fn the_interval_of_a_ratio_is_students_worked_by_hand() {
        // Log ratios −2, −1, 0, 1, 2: mean 0, deviation √2.5, error √0.5; t of four degrees of freedom is 2.776.
        let logs = [-0.02_f64, -0.01, 0.0, 0.01, 0.02].map(f64::exp);
        let compared = compare(&blocks(&logs), Better::Lower, 0.01).unwrap();
        assert!((compared.ratio - 1.0).abs() < 1e-12);
        assert!((compared.high.unwrap().ln() - 0.01 * 0.5_f64.sqrt() * 2.776_445).abs() < 1e-7);
        assert!((compared.low.unwrap().ln() + compared.high.unwrap().ln()).abs() < 1e-12);
    }

    /// Means over the requests of a block on two sides, where the candidate takes `ratio` times as long. Latencies are
    /// skewed; requests of one block have a level in common on both sides, since they are the same ones.
    fn simulated(rng: &mut Xoshiro256PlusPlus, count: usize, ratio: f64) -> Vec<Block> {
        let own = LogNormal::new(0.0_f64, 0.05).unwrap();
        let shared = Normal::new(1.0_f64, 0.05).unwrap();
        let block = |rng: &mut Xoshiro256PlusPlus| {
            let level = 40.0 * shared.sample(rng);
            let mut side = || (0..96).map(|_| level * own.sample(rng)).sum::<f64>() / 96.0;
            Block { baseline: side(), candidate: side() * ratio }
        };
        (0..count).map(|_| block(rng)).collect()
    }

    /// How many of 200 comparisons of so many blocks find the candidate faster, and slower.
    fn found(seed: u64, blocks: usize, ratio: f64, margin: f64) -> (usize, usize) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut answers = || {
            let blocks = simulated(&mut rng, blocks, ratio);
            compare(&blocks, Better::Lower, margin).unwrap().answer
        };
        let answers: Vec<ComparisonVerdict> = (0..200).map(|_| answers()).collect();
        let count = |wanted| answers.iter().filter(|it| **it == wanted).count();
        (count(ComparisonVerdict::Faster), count(ComparisonVerdict::Slower))
    }

    #[test]
    fn equal_sides_are_told_apart_in_at_most_one_comparison_of_twenty() {
        // Even with a margin of next to nothing.
        let (faster, slower) = found(21, 8, 1.0, 1e-6);
        assert!(faster + slower <= 17, "{faster} {slower}: 10 expected of 200");
        let (faster, slower) = found(22, 8, 1.0, 0.01);
        assert!(faster + slower <= 2, "{faster} {slower}");
    }

    #[test]
    fn two_percent_are_found_with_eight_blocks() {
        // With `--margin 1%`: the whole interval must lie beyond it.
        let (faster, slower) = found(23, 8, 1.02, 0.01);
        assert!(slower >= 160 && faster == 0, "{faster} {slower}");
    }

    #[test]
    fn the_interval_of_few_blocks_holds_the_truth_as_often_as_it_says() {
        for count in [5, 6, 8] {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
            let trials = 1_000;
            let held = (0..trials)
                .filter(|_| {
                    let compared =
                        compare(&simulated(&mut rng, count, 1.0), Better::Lower, 0.01).unwrap();
                    compared.low.unwrap() <= 1.0 && 1.0 <= compared.high.unwrap()
                })
                .count();
            assert!((930..=970).contains(&held), "{held} of {trials} with {count} blocks");
        }
    }
}
