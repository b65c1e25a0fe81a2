//! How far apart do tokens and chunks arrive, over all requests together?

use crate::metrics::distribution::{self, Weighted};
use crate::metrics::per_request::Output;
use crate::metrics::summary::Distribution;

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
    let gaps = || outputs.iter().flat_map(Output::gaps);
    let icl = distribution::of(gaps().map(|(gap, _)| gap.as_millis_f64()).collect());
    // One token in every delivery is the common case; the two distributions are then the same one.
    #[allow(clippy::float_cmp, reason = "a count that was not scaled is a whole number")]
    let each_one = gaps().all(|(_, tokens)| tokens == 1.0);
    let itl = if each_one {
        icl.clone()
    } else {
        let per_token = |(gap, tokens): (crate::clock::Nanos, f64)| Weighted {
            value: gap.as_millis_f64() / tokens,
            weight: tokens,
        };
        distribution::of_weighted(gaps().map(per_token).collect())
    };
    Pooled { itl, icl }
}
