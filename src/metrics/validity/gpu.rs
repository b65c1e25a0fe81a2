//! Validity checks of the GPUs: clocks held down by power, heat or settings.

use super::{CheckOutcome, not_applicable, short};
use crate::metrics::summary::{Check, CheckId, Status};
use crate::observe::health::Health;

/// Share of samples with clocks held down above which a warning is due.
const THROTTLED: f64 = 0.01;

/// Whether power, heat or another GPU held clocks down.
pub(super) fn throttling(health: &Health) -> Check {
    let id = CheckId::GpuThrottling;
    let Some((gpu, share)) = health.gpu.as_ref().and_then(|gpus| gpus.most_throttled()) else {
        return not_applicable(id, "no GPU was watched");
    };
    let mut reasons: Vec<&str> = gpu.throttled.keys().map(|reason| reason.label()).collect();
    reasons.dedup();
    let by = if reasons.is_empty() { "nothing".to_owned() } else { reasons.join(" and ") };
    CheckOutcome {
        status: if share > THROTTLED { Status::Warn } else { Status::Pass },
        measured: Some(share),
        limit: Some(THROTTLED),
        unit: "share",
        sentence: format!(
            "clocks of {} were held down in {} % of samples, by {by}",
            gpu.gpu.uuid,
            short(share * 100.0)
        ),
        remedy: "lock clocks that the board can hold (`nvidia-smi -lgc`), raise the power limit, or cool it; `bareflight \
                 doctor` names the commands",
    }
    .named(id)
}
