//! How far apart do tokens and chunks arrive, over all requests together?

use std::thread;

use crate::clock::Nanos;
use crate::metrics::distribution::{self, Weighted};
use crate::metrics::per_request::Output;
use crate::metrics::summary::Distribution;

/// Gaps that end with more tokens than this are rare; where there is one, nothing is sorted by the number of tokens.
const MOST_TOKENS: usize = 64;
/// Fewer gaps than this are sorted before a second thread has begun.
const WORTH_A_THREAD: usize = 100_000;

/// The two pooled quantities.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// Inter-token latency in ms: each gap divided by the tokens that ended it, once for each of these tokens.
    pub itl: Option<Distribution>,
    /// Inter-chunk latency in ms: each gap once.
    pub icl: Option<Distribution>,
}

/// Pools the gaps of these requests.
pub fn of(outputs: &[Output<'_>]) -> Pooled {
    match by_tokens(outputs) {
        Some(mut gaps) => {
            for alike in &mut gaps {
                sort(alike);
            }
            of_sorted(&gaps)
        }
        None => of_any(outputs),
    }
}

/// The gaps that ended with so many tokens, by that number; `None` where one is no small whole number.
///
/// Within such a group the order by nanoseconds is the order by time per chunk and by time per token, so that one sort of
/// whole numbers serves both quantities, and only the groups remain to be merged.
fn by_tokens(outputs: &[Output<'_>]) -> Option<Vec<Vec<Nanos>>> {
    let mut groups: Vec<Vec<Nanos>> = vec![Vec::new(); MOST_TOKENS + 1];
    for (gap, tokens) in outputs.iter().flat_map(Output::gaps) {
        let index = tokens as usize;
        #[allow(clippy::float_cmp, reason = "a count that was not scaled is a whole number")]
        if index as f64 != tokens {
            return None;
        }
        groups.get_mut(index)?.push(gap);
    }
    Some(groups)
}

/// Half of them on a second thread, where they are many.
fn sort(gaps: &mut [Nanos]) {
    if gaps.len() < WORTH_A_THREAD {
        return gaps.sort_unstable();
    }
    let (low, _, high) = gaps.select_nth_unstable(gaps.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| low.sort_unstable());
        high.sort_unstable();
    });
}

fn of_sorted(groups: &[Vec<Nanos>]) -> Pooled {
    // One token in every delivery is the common case; the two distributions are then the same one.
    if groups.iter().skip(2).all(Vec::is_empty) {
        let icl = icl_of_sorted(groups);
        return Pooled { itl: icl.clone(), icl };
    }
    thread::scope(|scope| {
        let icl = scope.spawn(|| icl_of_sorted(groups));
        let itl = itl_of_sorted(groups);
        Pooled { itl, icl: icl.join().expect("sums do not panic") }
    })
}

fn icl_of_sorted(groups: &[Vec<Nanos>]) -> Option<Distribution> {
    let mut all = groups.concat();
    // The stable sort finds what is in order already and merges it.
    all.sort();
    let all: Vec<f64> = all.into_iter().map(Nanos::as_millis_f64).collect();
    distribution::of_sorted(&all)
}

fn itl_of_sorted(groups: &[Vec<Nanos>]) -> Option<Distribution> {
    let mut all = Vec::with_capacity(groups.iter().map(Vec::len).sum());
    for (tokens, gaps) in groups.iter().enumerate() {
        let weight = tokens as f64;
        let per_token = |gap: &Nanos| Weighted { value: gap.as_millis_f64() / weight, weight };
        all.extend(gaps.iter().map(per_token));
    }
    all.sort_by(|a, b| a.value.total_cmp(&b.value));
    distribution::of_weighted_sorted(all)
}

/// Whatever the gaps ended with.
fn of_any(outputs: &[Output<'_>]) -> Pooled {
    let gaps = || outputs.iter().flat_map(Output::gaps);
    let per_token = |(gap, tokens): (Nanos, f64)| Weighted {
        value: gap.as_millis_f64() / tokens,
        weight: tokens,
    };
    Pooled {
        itl: distribution::of_weighted(gaps().map(per_token).collect()),
        icl: distribution::of(gaps().map(|(gap, _)| gap.as_millis_f64()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MonoNs;
    use crate::record::request_record::Arrival;

    /// Deliveries of one to so many tokens at instants without a pattern.
    fn arrivals(count: u64, most: u64) -> Vec<Arrival> {
        let mut at = MonoNs(0);
        let scrambled = |i: u64| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let delivery = |i| {
            // Some gaps are alike, and some are per token and not per chunk.
            at = at + Nanos((scrambled(i) % 997 * 60_000) as i64);
            Arrival { at, tokens: 1 + (scrambled(i) >> 24) as u32 % most as u32 }
        };
        (0..count).map(delivery).collect()
    }

    fn output(arrivals: &[Arrival], scale: f64) -> [Output<'_>; 1] {
        [Output::Deliveries { arrivals, scale }]
    }

    #[test]
    fn gaps_that_are_sorted_by_their_tokens_come_to_the_same_bits_as_all_together() {
        for (count, most) in [(0, 1), (1, 1), (2, 1), (500, 1), (3_000, 4), (250_000, 2)] {
            let arrivals = arrivals(count, most);
            let all = output(&arrivals, 1.0);
            let mut groups = by_tokens(&all).expect("whole numbers");
            for alike in &mut groups {
                sort(alike);
            }
            assert!(groups.iter().all(|alike| alike.is_sorted()), "{count} of {most}");
            assert_eq!(of_sorted(&groups), of_any(&all), "{count} of {most}");
            assert_eq!(of(&all), of_any(&all), "{count} of {most}");
        }
    }

    #[test]
    fn counts_that_are_scaled_or_large_are_not_sorted_by_their_tokens() {
        let some = arrivals(50, 4);
        assert_eq!(by_tokens(&output(&some, 0.75)), None);
        assert_eq!(by_tokens(&output(&some, 1_000.0)), None);
        assert_eq!(of(&output(&some, 0.75)), of_any(&output(&some, 0.75)));
    }
}
