//! Outcome of a warm-up: how many requests completed, how long they took, and why others did not.

use crate::clock::Nanos;
use crate::record::request_record::{NotSentReason, Outcome, RequestRecord};

/// What the warm-up of a point has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Requests that were sent.
    pub sent: u32,
    /// Requests that completed.
    pub completed: u32,
    /// Mean latency of the completed ones.
    pub mean_latency: Option<Nanos>,
    /// Where not all of them completed: how many, and why the first did not.
    pub failure: Option<String>,
}

impl Warmed {
    /// Of the records of a warm-up.
    pub fn of(requests: &[RequestRecord]) -> Self {
        let latency = |record: &RequestRecord| Some(record.end? - record.submit?);
        let completed = requests.iter().filter(|record| record.outcome.is_completed());
        let latencies: Vec<i64> = completed.filter_map(latency).map(|latency| latency.0).collect();
        let mean = |count: i64| Nanos(latencies.iter().sum::<i64>() / count);
        let mean_latency = (!latencies.is_empty()).then(|| mean(latencies.len() as i64));
        let completed = latencies.len();
        let unneeded = requests.iter().filter(|record| is_unneeded(&record.outcome)).count();
        let reason = requests.iter().find_map(|record| reason(&record.outcome));
        let failure = reason.map(|reason| {
            format!(
                "{completed} of {} warm-up requests completed, the first of the others {reason}; what is measured was not \
                 warmed up as asked",
                requests.len() - unneeded
            )
        });
        let sent = requests.iter().filter(|record| record.submit.is_some()).count() as u32;
        Self { sent, completed: completed as u32, mean_latency, failure }
    }
}

/// Whether a request was only there in case that it would be needed.
fn is_unneeded(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent(NotSentReason::NotReached))
}

/// Why a request that was sent did not complete.
fn reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Completed(_) | Outcome::NotSent(_) => None,
        Outcome::Failed(failure) => {
            Some(format!("failed as {}: {}", failure.kind, failure.message))
        }
        Outcome::Cancelled => Some("was cancelled".to_owned()),
        Outcome::TimedOut => Some("timed out".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MonoNs;
    use crate::record::request_record::FinishReason;
    use crate::request::{Failure, FailureKind, RequestId};

    fn ended(outcome: Outcome) -> RequestRecord {
        RequestRecord {
            submit: Some(MonoNs(100)),
            end: Some(MonoNs(300)),
            outcome,
            ..RequestRecord::planned(RequestId(0), 1, 1)
        }
    }

    #[test]
    fn a_warm_up_that_fails_in_part_names_the_number_and_the_first_reason() {
        let failed =
            Outcome::Failed(Failure::new(FailureKind::HttpServer, "HTTP 500: out of order"));
        let completed = Outcome::Completed(FinishReason::Length);
        let warmed = Warmed::of(&[ended(failed), ended(Outcome::TimedOut), ended(completed)]);
        assert_eq!((warmed.completed, warmed.mean_latency), (1, Some(Nanos(200))));
        let failure = warmed.failure.expect("two did not complete");
        assert!(failure.starts_with("1 of 3 warm-up requests completed"), "{failure}");
        assert!(failure.contains("http_server: HTTP 500: out of order"), "{failure}");
    }

    #[test]
    fn a_warm_up_that_completes_has_nothing_to_report() {
        let completed = ended(Outcome::Completed(FinishReason::Length));
        assert_eq!(Warmed::of(&[completed]).failure, None);
    }
}
