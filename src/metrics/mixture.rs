//! Parts of a mixture, each summarised by itself.

use crate::metrics::definition::Quantity;
use crate::metrics::distribution;
use crate::metrics::facts::{PartFacts, RunFacts};
use crate::metrics::observed::{Ended, Observed, ObservedPoint};
use crate::metrics::per_request::Derived;
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{Distribution, PartSummary};

/// Every part in order; empty where there is no mixture.
pub(super) fn of(point: &ObservedPoint, facts: &RunFacts) -> Vec<PartSummary> {
    let parts = facts.workloads.iter().zip(0_u8..);
    parts.map(|(part, number)| one(point, facts, part, number)).collect()
}

fn one(point: &ObservedPoint, facts: &RunFacts, part: &PartFacts, number: u8) -> PartSummary {
    let requests: Vec<&Observed> =
        point.requests().iter().filter(|it| it.workload == Some(number)).collect();
    let completed = || requests.iter().filter(|it| it.ended.is_completed());
    let values = |quantity: Quantity| -> Option<Distribution> {
        let of = |it: &&Observed| Derived::one(quantity, it, facts.streaming);
        distribution::of(completed().filter_map(of).collect())
    };
    let percentile = |of: &Option<Distribution>, which: Percentile| {
        Some(of.as_ref()?.percentiles.get(&which)?.value)
    };
    let (ttft, e2e) = (values(Quantity::Ttft), values(Quantity::E2e));
    let failed =
        requests.iter().filter(|it| matches!(it.ended, Ended::Failed(_) | Ended::TimedOut));
    let of_part = facts.unsent.iter().filter(|it| it.workload == Some(number));
    let unsent = of_part.map(|it| it.requests);
    PartSummary {
        name: part.name.clone(),
        share: part.share,
        requests: requests.len() as u64 + unsent.sum::<u64>(),
        completed: completed().count() as u64,
        failed: failed.count() as u64,
        prompt_tokens_mean: values(Quantity::PromptTokens).map(|all| all.mean),
        output_tokens_mean: values(Quantity::OutputTokens).map(|all| all.mean),
        ttft_p50_ms: percentile(&ttft, Percentile::P50),
        ttft_p99_ms: percentile(&ttft, Percentile::P99),
        e2e_p50_ms: percentile(&e2e, Percentile::P50),
        e2e_p99_ms: percentile(&e2e, Percentile::P99),
    }
}
