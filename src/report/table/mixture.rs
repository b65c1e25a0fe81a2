//! Console table of the parts of a mixture.

use crate::metrics::summary::{PartSummary, Summary};
use crate::report::figures::{ABSENT, figure};
use crate::report::table::lines::{plain_table, printed};

/// Characters of a part's name; of a longer one its end is shown, which is the file.
const NAME: usize = 34;

/// A row for each part; nothing where there is no mixture.
pub(super) fn render(summary: &Summary) -> String {
    if summary.workloads.is_empty() {
        return String::new();
    }
    let mut table = plain_table(&[
        "workload",
        "share",
        "requests",
        "completed",
        "in",
        "out",
        "TTFT p50",
        "p99",
        "E2E p50",
        "p99",
    ]);
    for part in &summary.workloads {
        table.add_row(row(part));
    }
    printed(&table)
}

fn row(part: &PartSummary) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or_else(|| ABSENT.to_owned(), figure);
    let latency = |value: Option<f64>| {
        value.map_or_else(|| ABSENT.to_owned(), |ms| format!("{} ms", figure(ms)))
    };
    vec![
        name(&part.name),
        format!("{} %", figure(100.0 * part.share)),
        part.requests.to_string(),
        part.completed.to_string(),
        shown(part.prompt_tokens_mean),
        shown(part.output_tokens_mean),
        latency(part.ttft_p50_ms),
        latency(part.ttft_p99_ms),
        latency(part.e2e_p50_ms),
        latency(part.e2e_p99_ms),
    ]
}

fn name(name: &str) -> String {
    let long = name.chars().count().saturating_sub(NAME);
    if long == 0 {
        return name.to_owned();
    }
    // The kind stays, and of the place its end.
    let (kind, place) = name.split_once(':').unwrap_or(("", name));
    let kept = NAME.saturating_sub(kind.chars().count() + 2);
    let skipped = place.chars().count().saturating_sub(kept);
    format!("{kind}:…{}", place.chars().skip(skipped).collect::<String>())
}
