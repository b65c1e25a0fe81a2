//! Pace: how a plan is played, and how the playing went.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Nanos};
use crate::load::Load;
use crate::load::course::Tail;
use crate::load::stages::Stages;

/// Longest sleep without a look at the stop flag.
pub(super) const LOOK_UP: Nanos = Nanos::from_millis(50);
/// Between two looks for a shot that has not been drawn yet.
pub(super) const DRAW_LOOK: Nanos = Nanos::from_micros(50);

/// How a plan is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// When shots leave.
    pub load: Load,
    /// What brings the load to its steady state before the first shot that counts; `None` sends that one first.
    pub ramp: Option<RampPace>,
    /// What is sent behind the last shot that counts.
    pub tail: Tail,
    /// How many slots a closed loop has in the course of time, where that changes.
    pub stages: Option<Stages>,
    /// No shot that counts leaves later than this after the first one; `None` plays all of them.
    pub duration: Option<Nanos>,
    /// Longest time from submit to end of one request; it is then cancelled and counts as timed out.
    pub timeout: Nanos,
    /// How long answers are awaited after the duration or an interrupt, before what is open is cancelled.
    pub drain: Nanos,
    /// How long a target may go on with what it was asked to end.
    pub graces: Graces,
    /// When it begins, where that was agreed with other processes; at once otherwise.
    pub begin_at: Option<MonoNs>,
}

/// How long a target may go on with what it was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Graces {
    /// A cancelled request, before it is given up.
    pub cancelled: Nanos,
    /// Every slot with requests that were given up, before the target is.
    pub stuck: Nanos,
}

impl Graces {
    /// Those of every run.
    pub const OF_RUNS: Self =
        Self { cancelled: Nanos::from_millis(5_000), stuck: Nanos::from_millis(60_000) };
}

/// How a ramp is played. It ends when as many requests have ended as are in flight, and not before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RampPace {
    /// A closed loop starts its slots over this time, at once without it; an open loop sends for so long, without it until
    /// enough requests have ended.
    pub over: Option<Nanos>,
    /// Requests at most.
    pub at_most: usize,
    /// How long after the beginning the shots that count of an open loop begin, where that was agreed with other processes.
    pub then: Option<Nanos>,
}

/// How the playing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Played {
    /// The instant that intended arrivals count from.
    pub start: MonoNs,
    /// When the last request had ended or was given up.
    pub end: MonoNs,
    /// Someone asked for the end before the plan was done.
    pub interrupted: bool,
    /// Every shot was sent before the duration was over: a longer plan was needed.
    pub ran_out: bool,
    /// The ramp had used up its supply before it was over.
    pub ramp_ran_out: bool,
    /// Requests, of ramp and tail too, that the target went on with after a cancel for as long as it may, and longer.
    pub given_up: u64,
}
