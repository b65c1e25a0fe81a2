//! Percentiles with order-statistic confidence intervals.

use serde::{Deserialize, Serialize};

use crate::metrics::binomial::{largest_within_tail, within_tail};

/// A percentile that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Percentile {
    /// The median.
    P50,
    /// 75 %.
    P75,
    /// 90 %.
    P90,
    /// 95 %.
    P95,
    /// 99 %.
    P99,
    /// 99.9 %.
    #[serde(rename = "p99_9")]
    P999,
}

impl Percentile {
    /// Every percentile, in the order of files and tables.
    pub const ALL: [Self; 6] = [Self::P50, Self::P75, Self::P90, Self::P95, Self::P99, Self::P999];

    /// In thousandths, so that ranks are exact.
    pub const fn permille(self) -> u32 {
        match self {
            Self::P50 => 500,
            Self::P75 => 750,
            Self::P90 => 900,
            Self::P95 => 950,
            Self::P99 => 990,
            Self::P999 => 999,
        }
    }

    /// As printed: `p99`, `p99.9`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P75 => "p75",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
        }
    }
}

/// Probability that an interval misses, half of it on each side.
const INTERVAL_MISS: f64 = 0.05;
/// Probability that a certified bound is too low.
const CERTIFIED_MISS: f64 = 0.01;

/// A sample certifies barely where this share of its size would certify nothing.
const BARELY: u64 = 3;

/// Ranks (from 1) in a sorted sample that say where a percentile lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    /// Of the value itself: nearest rank, ⌈p n⌉.
    pub value: u64,
    /// Lower end of the 95 % order-statistic interval.
    pub low: Option<u64>,
    /// Upper end of the 95 % order-statistic interval.
    pub high: Option<u64>,
    /// The smallest rank that lies above the percentile with 99 % confidence by the rule of `MLPerf` `LoadGen`'s
    /// early stopping; it exists from a certain sample size on.
    pub certified: Option<u64>,
}

impl Ranks {
    /// For a sample of `n` ≥ 1 independent values from a continuous distribution.
    ///
    /// The number of samples below the true percentile is binomial, so both interval ends are exact: each side misses
    /// with a probability of at most 2.5 %.
    pub fn of(which: Percentile, n: u64) -> Self {
        let below = f64::from(which.permille()) / 1_000.0;
        let above = f64::from(1_000 - which.permille()) / 1_000.0;
        Self {
            value: nearest_rank(which, n),
            low: largest_within_tail(n, below, INTERVAL_MISS / 2.0).map(|k| k + 1),
            high: largest_within_tail(n, above, INTERVAL_MISS / 2.0).map(|k| n - k),
            // One sample more than the tail allows is kept back, as LoadGen does: hence `k >= 1`.
            certified: largest_within_tail(n, above, CERTIFIED_MISS)
                .filter(|k| *k >= 1)
                .map(|k| n - k + 1),
        }
    }

    /// For a sample of `n` that depend on each other: with an interval as wide as that of `effective_size` independent values, and
    /// certified by no more than `certifying` of them. Each of these stands for `n` ÷ `effective_size` of the sample, and ends are
    /// rounded outwards.
    ///
    /// Both sizes are estimates. Of samples that barely certify, most do since they hold few runs of high values, look less
    /// dependent for it, and have their percentile too low: up to p90, whose size is not held by those below it, their interval
    /// reaches up to what is certified.
    pub fn of_dependent(which: Percentile, n: u64, effective_size: f64, certifying: u64) -> Self {
        let exact = Self::of(which, n);
        let below = f64::from(which.permille()) / 1_000.0;
        let above = f64::from(1_000 - which.permille()) / 1_000.0;
        let (low, high) = if effective_size >= n as f64 {
            (exact.low, exact.high)
        } else {
            let end = |share| {
                let k = within_tail(effective_size, share, INTERVAL_MISS / 2.0)?;
                Some(((k * n as f64 / effective_size) as u64).min(n - 1))
            };
            (end(below).map(|left_out| left_out + 1), end(above).map(|left_out| n - left_out))
        };
        if certifying >= n {
            return Self { low, high, ..exact };
        }
        let left_out = |size| largest_within_tail(size, above, CERTIFIED_MISS).filter(|k| *k >= 1);
        let certified = left_out(certifying)
            .map(|k| n - (u128::from(k - 1) * u128::from(n) / u128::from(certifying)) as u64);
        let barely = which <= Percentile::P90 && left_out((certifying / BARELY).max(1)).is_none();
        let high = if barely { high.map(|high| high.max(certified.unwrap_or(high))) } else { high };
        Self { value: exact.value, low, high, certified }
    }
}

/// ⌈p n⌉, computed in integers; `n` ≥ 1.
pub fn nearest_rank(which: Percentile, n: u64) -> u64 {
    let thousandfold = u128::from(n) * u128::from(which.permille());
    (thousandfold.div_ceil(1_000) as u64).max(1)
}

/// The smallest sample that can certify a percentile.
pub fn certification_floor(which: Percentile) -> u64 {
    let certifies = |n: u64| Ranks::of(which, n).certified.is_some();
    let mut high = 1;
    while !certifies(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if certifies(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floors_are_those_of_the_published_table() {
        let floors: Vec<u64> = Percentile::ALL.into_iter().map(certification_floor).collect();
        assert_eq!(floors, [11, 24, 64, 130, 662, 6_636]);
    }

    #[test]
    fn of_ten_thousand_samples_the_certified_p99_is_the_77th_highest() {
        let ranks = Ranks::of(Percentile::P99, 10_000);
        assert_eq!(ranks.certified, Some(10_000 - 77 + 1));
    }

    #[test]
    fn the_interval_of_p99_over_a_thousand_samples_is_ranks_983_to_997() {
        let ranks = Ranks::of(Percentile::P99, 1_000);
        assert_eq!((ranks.value, ranks.low, ranks.high), (990, Some(983), Some(997)));
    }

    #[test]
    fn a_thousand_that_tell_as_much_as_a_hundred_have_the_interval_of_a_hundred() {
        let exact = Ranks::of(Percentile::P50, 1_000);
        let wide = Ranks::of_dependent(Percentile::P50, 1_000, 100.0, 100);
        // Of a hundred, ranks 40 and 61 leave 39 out on either side; between whole numbers it is 39.7.
        assert_eq!((wide.low, wide.high), (Some(398), Some(603)));
        // Of a hundred, rank 64 certifies: tens up to the 640th.
        assert_eq!((wide.value, wide.certified), (exact.value, Some(640)));
        assert_eq!(Ranks::of_dependent(Percentile::P50, 1_000, 1_000.0, 1_000), exact);
        for effective_size in 1..1_000 {
            let ends =
                Ranks::of_dependent(Percentile::P50, 1_000, f64::from(effective_size), 1_000);
            assert!(
                ends.low.is_none_or(|low| (1..=470).contains(&low)),
                "{effective_size}: {ends:?}"
            );
            assert!(ends.high.is_none_or(|high| (531..=1_000).contains(&high)), "{effective_size}");
        }
    }

    #[test]
    fn a_percentile_that_is_barely_certified_has_an_interval_up_to_what_is_certified() {
        let of =
            |which, certifying| Ranks::of_dependent(which, 1_000, certifying as f64, certifying);
        // A third of 30 would certify no median, a third of 33 does.
        let (barely, well) = (of(Percentile::P50, 30), of(Percentile::P50, 33));
        assert_eq!(barely.high, barely.certified);
        assert!(well.high < well.certified, "{well:?}");
        let few = of(Percentile::P50, 9);
        assert!(few.high.is_some() && few.certified.is_none(), "{few:?}");
    }

    #[test]
    fn what_tells_as_much_as_too_few_certifies_nothing() {
        let certified = |certifying| {
            Ranks::of_dependent(Percentile::P99, 5_000, 5_000.0, certifying).certified.is_some()
        };
        assert!(certified(662) && !certified(661));
    }

    #[test]
    fn a_sample_too_small_has_no_upper_end_rather_than_a_made_up_one() {
        let ranks = Ranks::of(Percentile::P99, 50);
        assert_eq!((ranks.value, ranks.high, ranks.certified), (50, None, None));
        let one = Ranks::of(Percentile::P50, 1);
        assert_eq!((one.value, one.low, one.high), (1, None, None));
    }

    #[test]
    fn ranks_stay_in_order_and_inside_the_sample() {
        for n in (1..700).chain([10_000, 1_000_000]) {
            for which in Percentile::ALL {
                let ranks = Ranks::of(which, n);
                assert!((1..=n).contains(&ranks.value));
                assert!(ranks.low.is_none_or(|low| (1..=ranks.value).contains(&low)), "{n}");
                assert!(ranks.high.is_none_or(|high| (ranks.value..=n).contains(&high)), "{n}");
                assert!(ranks.certified.is_none_or(|rank| (ranks.value..=n).contains(&rank)));
            }
        }
    }

    #[test]
    fn nearest_rank_is_exact_where_floating_point_is_not() {
        assert_eq!(nearest_rank(Percentile::P95, 20), 19);
        assert_eq!(nearest_rank(Percentile::P90, 10), 9);
        assert_eq!(nearest_rank(Percentile::P99, 100), 99);
        assert_eq!(nearest_rank(Percentile::P999, 1), 1);
    }
}
