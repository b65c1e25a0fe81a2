//! Open files: the process's limit, raised to what the connections of a load need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::load::Load;
use crate::load::plan::Plan;
use crate::targets::TargetInfo;

/// Files that the program needs beside connections: its own, those of telemetry, and libraries.
const RESERVE: u64 = 128;

/// The system allows fewer open files than the load needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the load needs {needed} open files, one for each connection, and this process may have {allowed}: lower the load, or \
     raise the hard limit (`ulimit -Hn {needed}`, or LimitNOFILE of the service)"
)]
pub struct TooFewOpenFiles {
    needed: u64,
    allowed: u64,
}

/// Raises the soft limit of open files to what these plans need of a target behind connections.
///
/// # Errors
/// When the hard limit lies below what loops with a known number of requests in flight need.
pub fn raise(target: &TargetInfo, plans: &[Plan]) -> Result<(), TooFewOpenFiles> {
    raise_to(target, Needs::of(plans))
}

/// The same for a load of so many requests in flight that is not drawn yet.
///
/// # Errors
/// When the hard limit lies below what they need.
pub fn raise_for(target: &TargetInfo, in_flight: u32) -> Result<(), TooFewOpenFiles> {
    raise_to(target, Needs { known: in_flight.into(), at_most: 0 })
}

fn raise_to(target: &TargetInfo, needs: Needs) -> Result<(), TooFewOpenFiles> {
    if target.abilities().server.is_none() {
        return Ok(());
    }
    let limits = getrlimit(Resource::Nofile);
    let new = needs.soft_limit(limits.current, limits.maximum)?;
    if new != limits.current {
        // What the kernel refuses, although the hard limit allows it, leaves the limit as it was; failed connections then
        // name the cause.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: new, ..limits });
    }
    Ok(())
}

/// How many connections plans need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Needs {
    /// In loops whose number of requests in flight is known.
    known: u64,
    /// In an open loop without a cap: all of its requests at the most.
    at_most: u64,
}

impl Needs {
    fn of(plans: &[Plan]) -> Self {
        plans.iter().fold(Self::default(), |needs, plan| {
            let requests = plan.shots().len() as u64;
            match plan.load() {
                Load::Closed { concurrency } => needs.with(u64::from(concurrency)),
                Load::Open { max_in_flight: Some(cap), .. } => needs.with(u64::from(cap)),
                Load::Batch => needs.with(requests),
                Load::Open { max_in_flight: None, .. } => {
                    Self { at_most: needs.at_most.max(requests), ..needs }
                }
            }
        })
    }

    fn with(self, known: u64) -> Self {
        Self { known: self.known.max(known), ..self }
    }

    /// The soft limit to have; `None` stands for no limit.
    fn soft_limit(
        self,
        soft: Option<u64>,
        hard: Option<u64>,
    ) -> Result<Option<u64>, TooFewOpenFiles> {
        let Some(soft) = soft else { return Ok(None) };
        let needed = self.known + RESERVE;
        match hard {
            Some(allowed) if allowed < needed => Err(TooFewOpenFiles { needed, allowed }),
            _ => {
                let wanted = soft.max(needed).max(self.at_most + RESERVE);
                Ok(Some(hard.map_or(wanted, |hard| wanted.min(hard))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(known: u64) -> Needs {
        Needs { known, at_most: 0 }
    }

    #[test]
    fn a_load_that_the_hard_limit_cannot_carry_is_refused_with_both_numbers() {
        let error = closed(2_000).soft_limit(Some(1_024), Some(2_048)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("2128") && message.contains("2048"), "{message}");
        assert!(message.contains("ulimit -Hn 2128"), "{message}");
    }

    #[test]
    fn the_soft_limit_is_raised_to_what_is_needed_and_never_lowered() {
        assert_eq!(closed(2_000).soft_limit(Some(1_024), Some(4_096)), Ok(Some(2_128)));
        assert_eq!(closed(10).soft_limit(Some(1_024), Some(4_096)), Ok(Some(1_024)));
        assert_eq!(closed(10).soft_limit(None, None), Ok(None));
    }

    #[test]
    fn an_open_loop_without_a_cap_gets_what_the_hard_limit_allows() {
        let open = Needs { known: 0, at_most: 1_000_000 };
        assert_eq!(open.soft_limit(Some(1_024), Some(4_096)), Ok(Some(4_096)));
    }
}
