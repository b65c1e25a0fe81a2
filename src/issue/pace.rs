//! Pace: how a plan is played, and how the playing went.

use crate::clock::{MonoNs, Nanos};
use crate::load::Load;
use crate::load::course::Tail;
use crate::load::stages::Stages;

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
}

/// How a ramp is played. It ends when as many requests have ended as are in flight, and not before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RampPace {
    /// A closed loop starts its slots over this time, at once without it; an open loop sends for so long, without it until
    /// enough requests have ended.
    pub over: Option<Nanos>,
    /// Requests at most.
    pub at_most: usize,
}

/// How the playing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}
