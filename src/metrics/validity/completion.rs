//! Check `completion`: requests that were attempted and did not complete.

use crate::metrics::summary::{Check, CheckId, Counts, Status};
use crate::metrics::validity::{CheckOutcome, short};
use crate::request::FailureKind;

/// Share of the attempted requests, in percent, that may end otherwise before the run is invalid.
const LIMIT_PERCENT: f64 = 1.0;

/// Warns from the first request that failed, timed out or was cancelled; fails above [`LIMIT_PERCENT`] and where a limit of
/// the harness's own process or machine was the cause.
pub fn check(counts: &Counts) -> Check {
    let own = counts.failed_by_kind.get(&FailureKind::OwnLimit).copied().unwrap_or(0);
    let lost = counts.failed + counts.timed_out + counts.cancelled;
    let share = 100.0 * lost as f64 / counts.attempted.max(1) as f64;
    let status = match lost {
        _ if own > 0 || share > LIMIT_PERCENT || counts.attempted == 0 => Status::Fail,
        0 => Status::Pass,
        _ => Status::Warn,
    };
    CheckOutcome {
        status,
        measured: Some(share),
        limit: Some(LIMIT_PERCENT),
        unit: "%",
        sentence: sentence(counts, lost, own),
        remedy: if own > 0 {
            "raise the limits of this process and machine (open files, ports, memory), or lower the load"
        } else {
            "find out why they failed: their messages stand in the notes and in requests.csv; a load that the target refuses \
             measures the refusal"
        },
    }
    .named(CheckId::Completion)
}

fn sentence(counts: &Counts, lost: u64, own: u64) -> String {
    if counts.attempted == 0 {
        return "no request was attempted".to_owned();
    }
    if lost == 0 {
        return "every request that was attempted completed".to_owned();
    }
    let parts: Vec<String> = [
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.cancelled, "were cancelled"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, how)| format!("{number} {how}"))
    .collect();
    let share = short(100.0 * lost as f64 / counts.attempted as f64);
    let cause = match own {
        0 => String::new(),
        own => format!("; {own} of them at a limit of this process or machine"),
    };
    format!("of {} attempted requests {} ({share} %){cause}", counts.attempted, parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(attempted: u64, failed: u64, kind: FailureKind) -> Counts {
        let failed_by_kind = [(kind, failed)].into_iter().filter(|(_, it)| *it > 0).collect();
        Counts { attempted, failed, failed_by_kind, ..Counts::default() }
    }

    #[test]
    fn one_failure_of_many_warns_and_more_than_a_hundredth_is_invalid() {
        let status = |failed| check(&counts(400, failed, FailureKind::RateLimited)).status;
        assert_eq!(
            [0, 1, 4, 5].map(status),
            [Status::Pass, Status::Warn, Status::Warn, Status::Fail]
        );
    }

    #[test]
    fn one_failure_at_a_limit_of_our_own_is_invalid_at_once() {
        let check = check(&counts(10_000, 1, FailureKind::OwnLimit));
        assert_eq!(check.status, Status::Fail);
        assert!(check.sentence.contains("limit of this process"), "{}", check.sentence);
    }

    #[test]
    fn a_point_in_which_nothing_was_attempted_is_not_valid() {
        assert_eq!(check(&Counts::default()).status, Status::Fail);
    }

    #[test]
    fn timed_out_and_cancelled_requests_count_like_failed_ones() {
        let counts = Counts { attempted: 3, timed_out: 2, cancelled: 1, ..Counts::default() };
        let check = check(&counts);
        assert_eq!(check.status, Status::Fail);
        assert_eq!(check.sentence, "of 3 attempted requests 2 timed out, 1 were cancelled (100 %)");
    }
}
