//! Check that output came as it was made, and not all at once at the end of a wait.

use crate::metrics::summary::{Check, CheckId, Status};
use crate::metrics::validity::{CheckOutcome, Evidence, not_applicable};
use crate::record::oddity::Oddity;

/// Share of requests above which a warning is due: a single answer may have been held up on the way.
const SHARE: f64 = 0.01;

pub(super) fn check(evidence: &Evidence<'_>) -> Check {
    let id = CheckId::Streaming;
    let completed = evidence.counts.completed;
    if !evidence.facts.streaming || evidence.facts.target.is_null() || completed == 0 {
        return not_applicable(id, "nothing was streamed");
    }
    let bursts = evidence.counts.oddities.get(&Oddity::Burst).map_or(0, |odd| odd.requests);
    let share = bursts as f64 / completed as f64;
    let is_rare = share <= SHARE;
    let sentence = if bursts == 0 {
        "tokens came one after the other".to_owned()
    } else {
        format!(
            "{bursts} of {completed} requests brought all their tokens at once at the end of their latency: something buffers \
             them, TTFT is the latency, and ITL and TPOT tell nothing of the engine"
        )
    };
    CheckOutcome {
        status: if is_rare { Status::Pass } else { Status::Warn },
        measured: Some(share),
        limit: Some(SHARE),
        unit: "",
        sentence,
        remedy: "switch buffering off in the proxy or gateway before the server (nginx: `proxy_buffering off`), or \
                 measure without streaming (`--no-streaming`)",
    }
    .named(id)
}
