//! Early stopping: whether so many requests over a limit among so many decide at 99 % that a percentile meets its limit, or
//! misses it.
//!
//! The rule of MLPerf's LoadGen (`loadgen/early_stopping.cc` in `mlcommons/inference`, tolerance 0): a load meets its limit
//! at percentile p where the odds of t requests over it or fewer among h + t, if a share 1 − p of all requests were over it,
//! `I_p(h, t + 1)`, are below 1 − c. That it misses is the mirror image: the odds of t requests over it or more are so low.

use serde::{Deserialize, Serialize};

use crate::metrics::binomial::cdf;

/// How sure a decision is.
pub const CONFIDENCE: f64 = 0.99;

/// What a count decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The share of all requests is met.
    Meets,
    /// It is missed.
    Misses,
    /// Neither is sure.
    Open,
}

/// What `over` requests over the limit among `processed` decide, where a share `share` of all must be within it.
pub fn decide(over: u64, processed: u64, share: f64) -> Decision {
    let doubt = 1.0 - CONFIDENCE;
    if processed == 0 {
        Decision::Open
    } else if over < processed && cdf(over, processed, 1.0 - share) < doubt {
        Decision::Meets
    } else if over > 0 && cdf(processed - over, processed, share) < doubt {
        // At least `over` over the limit are at most the others within it.
        Decision::Misses
    } else {
        Decision::Open
    }
}

/// Requests within the limit that `over` requests over it need beside them for [`Decision::Meets`].
pub fn least_within(over: u64, share: f64) -> u64 {
    let (mut few, mut enough) = (0, 1);
    while decide(over, over + enough, share) != Decision::Meets {
        (few, enough) = (enough, enough * 2);
    }
    while enough - few > 1 {
        let middle = few + (enough - few) / 2;
        if decide(over, over + middle, share) == Decision::Meets {
            enough = middle;
        } else {
            few = middle;
        }
    }
    enough
}

/// Requests after which a running count is looked at next: each look is a chance to be wrong, so there are few.
pub fn next_look(processed: u64) -> u64 {
    (processed + processed / 4).max(processed + 1).max(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_counts_are_those_of_the_published_rule() {
        // ⌈ln(1 − c) / ln p⌉ without any over the limit; with one, one less than LoadGen's least numbers of samples for an
        // estimate: 11, 64, 130, 662.
        for (share, none, one) in
            [(0.5, 7, 10), (0.9, 44, 63), (0.95, 90, 129), (0.99, 459, 661), (0.999, 4_603, 6_635)]
        {
            assert_eq!((least_within(0, share), least_within(1, share)), (none, one), "{share}");
        }
    }

    #[test]
    fn the_odds_are_the_sum_of_the_binomial_terms() {
        let odds = |h: u64, t: u64, p: f64| -> f64 {
            let n = h + t;
            let mut term = p.powi(n as i32);
            let mut sum = term;
            for x in 0..t {
                term *= (n - x) as f64 / (x + 1) as f64 * (1.0 - p) / p;
                sum += term;
            }
            sum
        };
        for share in [0.9, 0.99] {
            for over in [0, 1, 2, 7] {
                let least = least_within(over, share);
                assert!(odds(least, over, share) < 0.01, "{share} {over}");
                assert!(odds(least - 1, over, share) >= 0.01, "{share} {over}");
            }
        }
    }

    #[test]
    fn few_over_the_limit_meet_many_miss_and_the_rest_is_open() {
        assert_eq!(decide(0, 0, 0.99), Decision::Open);
        assert_eq!(decide(0, 459, 0.99), Decision::Meets);
        assert_eq!(decide(0, 458, 0.99), Decision::Open);
        assert_eq!(decide(1, 1, 0.999), Decision::Misses);
        assert_eq!(decide(2, 10, 0.99), Decision::Misses);
        assert_eq!(decide(10, 1_000, 0.99), Decision::Open);
        assert_eq!(decide(8, 8, 0.5), Decision::Misses);
    }

    #[test]
    fn looking_often_at_a_load_just_at_its_limit_is_seldom_wrong() {
        let mut state = 7_u64;
        let mut unit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        let mut falsely_met = 0;
        for _ in 0..2_000 {
            let (mut over, mut look) = (0, next_look(0));
            for processed in 1..=400 {
                over += u64::from(unit() >= 0.9);
                if processed == look {
                    look = next_look(processed);
                    match decide(over, processed, 0.9) {
                        Decision::Open => continue,
                        Decision::Meets => falsely_met += 1,
                        Decision::Misses => {}
                    }
                    break;
                }
            }
        }
        // One look would be wrong in 1 % of all cases.
        assert!(falsely_met < 80, "{falsely_met} of 2000");
    }
}
