//! Check `warm_up`: requests of the warm-up that did not complete.

use crate::metrics::facts::RunFacts;
use crate::metrics::summary::{Check, CheckId, Status};
use crate::metrics::validity::CheckOutcome;

pub(super) fn check(facts: &RunFacts) -> Check {
    let (status, sentence) = match &facts.warmup_failure {
        Some(failure) => (Status::Warn, failure.clone()),
        None => (Status::Pass, "no request of a warm-up failed".to_owned()),
    };
    CheckOutcome {
        status,
        measured: None,
        limit: None,
        unit: "",
        sentence,
        remedy: "find out why they failed, and repeat the run when the target answers; `--warmup 0` asks for none",
    }
    .named(CheckId::WarmUp)
}
