//! Estimate of the time that a run takes, before it starts: what follows from plans alone.

use crate::clock::Nanos;
use crate::load::Load;
use crate::load::plan::Plan;

/// How long the points of a run send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Points.
    pub points: usize,
    /// Time that follows from rates and durations.
    pub known: Nanos,
    /// Points that end after so many answers, whose time nobody knows before.
    pub unknown: usize,
}

/// Of these plans: without loading, warm-up, ramp and the wait for the last answers.
pub fn estimate(plans: &[Plan]) -> Estimate {
    let mut estimate = Estimate { points: plans.len(), ..Estimate::default() };
    for plan in plans {
        match sends_for(plan) {
            Some(span) => estimate.known = Nanos(estimate.known.0.saturating_add(span.0)),
            None => estimate.unknown += 1,
        }
    }
    estimate
}

/// How long a point sends; a closed loop with requests and a duration as long as the duration, at most.
fn sends_for(plan: &Plan) -> Option<Nanos> {
    match plan.load() {
        Load::Open { .. } => {
            let last = plan.shots().facts().last().and_then(|shot| shot.intended);
            Some(last.unwrap_or(Nanos::ZERO))
        }
        Load::Closed { .. } => plan.size().duration,
        Load::Batch => None,
    }
}

impl Estimate {
    /// Whether the time of any point is known.
    pub const fn tells_time(&self) -> bool {
        self.points > self.unknown
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        let points = |count: usize| format!("{count} point{}", if count == 1 { "" } else { "s" });
        let ends =
            |count: usize| format!("{} end{}", points(count), if count == 1 { "s" } else { "" });
        let around = "without loading, warm-up, ramp and the last answers";
        let known = in_words(self.known.as_secs_f64());
        match (self.points - self.unknown, self.unknown) {
            (0, 0) => "nothing is sent".to_owned(),
            (_, 0) => format!("sends for about {known}, {around}"),
            (0, _) => format!(
                "how long it takes nobody knows before: {} by a number of answers (`--duration` would bound it)",
                ends(self.unknown)
            ),
            (bounded, unknown) => format!(
                "sends for about {known} in {}, {around}; {} by a number of answers, and how long that takes nobody knows before",
                points(bounded),
                ends(unknown)
            ),
        }
    }
}

/// `1 h 5 min`, `2 min 5 s`, `12 s`.
pub(super) fn in_words(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_plan_is_told_and_what_does_not_is_called_unknown() {
        let of = |points, seconds, unknown| Estimate {
            points,
            known: Nanos::from_secs_f64(seconds),
            unknown,
        };
        for (estimate, said) in [
            (of(2, 125.0, 0), "about 2 min 5 s"),
            (of(2, 3_900.0, 0), "about 1 h 5 min"),
            (of(3, 0.0, 3), "3 points end by a number of answers"),
            (of(3, 11.5, 2), "about 12 s in 1 point"),
        ] {
            assert!(estimate.sentence().contains(said), "{}", estimate.sentence());
        }
    }
}
