//! Spans of requests that may overlap, taken together.

use crate::clock::{MonoNs, Nanos};

/// How long at least one of these spans lasts.
pub(super) fn covered(mut spans: Vec<(MonoNs, MonoNs)>) -> Nanos {
    spans.sort_unstable();
    let mut until = MonoNs(i64::MIN);
    let mut sum = 0;
    for (from, to) in spans {
        sum += (to.0 - from.max(until).0).max(0);
        until = until.max(to);
    }
    Nanos(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_spans_share_counts_once_and_gaps_do_not_count() {
        let spans = [(50, 60), (0, 10), (5, 20), (6, 8)];
        let spans = spans.map(|(from, to)| (MonoNs(from), MonoNs(to)));
        assert_eq!(covered(spans.to_vec()), Nanos(30));
        assert_eq!(covered(Vec::new()), Nanos::ZERO);
    }
}
