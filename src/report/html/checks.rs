//! HTML section of validity checks: meaning, and result at each point.

use crate::metrics::summary::{Check, CheckId, Status};
use crate::report::figures::{ABSENT, figure};
use crate::report::html::tables::table;
use crate::report::html::text::escape;
use crate::report::{PointReport, json_word};

/// What a passed check proves, for readers who have not read the definitions.
const fn proves(id: CheckId) -> &'static str {
    match id {
        CheckId::ScheduleLag => {
            "requests went out when they were due, so no queue hid inside the harness"
        }
        CheckId::NotSent => "everything that was due was sent",
        CheckId::Completion => "what was asked was answered",
        CheckId::PullLag => "output was seen soon after it existed",
        CheckId::Headroom => {
            "against a target that replies at once, this machine can do far more than was asked"
        }
        CheckId::Recorder => "no event was lost on its way to the records",
        CheckId::Accounting => "every request ended exactly once",
        CheckId::Clocks => "the engine's stamps and ours are on one clock",
        CheckId::Stability => "the run was steady: its parts agree, and no queue was growing",
        CheckId::HostThrottling => "no CPU quota held the process back",
        CheckId::HostSteal => "the hypervisor did not take the CPU away",
        CheckId::HostSwitches => "the threads that keep time kept their cores",
        CheckId::HostCpu => "the harness had CPU time to spare",
        CheckId::GpuThrottling => "neither power nor heat held the GPUs' clocks down",
        CheckId::Repeats => "the server had not seen the prompts before",
        CheckId::WarmUp => "every request of the warm-up completed",
        CheckId::Streaming => "nothing held tokens back to hand them out all at once",
        CheckId::HostCoreWait => "threads of harness and engine had a core when they needed one",
    }
}

const fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "warning",
        Status::Fail => "FAIL",
        Status::NotApplicable => "n/a",
    }
}

/// One row for each check, one column for each point.
pub(super) fn section(points: &[PointReport]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let labels: Vec<String> = match points {
        [one] => vec![escape(&one.label)],
        several => several.iter().map(|point| escape(&point.short_label())).collect(),
    };
    let mut header = vec!["Check"];
    header.extend(labels.iter().map(String::as_str));
    let rows: Vec<Vec<String>> = CheckId::ALL
        .into_iter()
        .filter(|id| points.iter().any(|point| of(point, *id).is_some()))
        .map(|id| {
            let name = format!("{} {}", id.code(), id.label());
            let mut row = vec![format!("{name}<small>{}</small>", about(points, id))];
            row.extend(points.iter().map(|point| cell(of(point, id))));
            row
        })
        .collect();
    format!("<h2>Was the harness the bottleneck?</h2>\n{}", table("checks", &header, &rows))
}

/// What it proves, or why it was not made anywhere.
fn about(points: &[PointReport], id: CheckId) -> String {
    let mut checks = points.iter().filter_map(|point| of(point, id));
    match checks.next() {
        Some(first)
            if first.status == Status::NotApplicable
                && checks.all(|check| check.status == Status::NotApplicable) =>
        {
            format!("not applicable: {}", escape(&first.sentence))
        }
        _ => proves(id).to_owned(),
    }
}

fn of(point: &PointReport, id: CheckId) -> Option<&Check> {
    point.summary.checks.iter().find(|check| check.id == id)
}

fn cell(check: Option<&Check>) -> String {
    let Some(check) = check else { return ABSENT.to_owned() };
    let measured = check.measured.map_or_else(String::new, |value| {
        format!("<small>{} {}</small>", figure(value), escape(&check.unit))
    });
    format!(
        "<span class=\"{}\" title=\"{}\">{}{}</span>{measured}",
        json_word(&check.status),
        escape(&check.sentence),
        word(check.status),
        if check.allowed { " (allowed)" } else { "" }
    )
}

/// The sentences of one point.
pub(super) fn sentences(point: &PointReport) -> String {
    let rows: Vec<Vec<String>> = point
        .summary
        .checks
        .iter()
        .map(|check| {
            let limit = check.limit.map_or_else(
                || ABSENT.to_owned(),
                |limit| format!("{} {}", figure(limit), escape(&check.unit)),
            );
            vec![
                format!("{} {}", check.code, check.id.label()),
                cell(Some(check)),
                limit,
                escape(&check.sentence),
            ]
        })
        .collect();
    table("text-table", &["Check", "Result", "Limit", "What was seen"], &rows)
}
