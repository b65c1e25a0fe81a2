//! Slice of a plan: the shots that one of several load generators plays.
//!
//! A closed loop is dealt by its slots: shot `i` belongs to slot `i mod c`, and slot `s` to worker `s mod K`, so that a worker
//! with more slots has more shots. Every other load is dealt shot by shot. Instants stay those of the plan.

use serde::{Deserialize, Serialize};

use super::{Plan, PlanStart, ShotList};
use crate::load::Load;
use crate::request::RequestId;

/// Which of several load generators this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// From 0.
    pub worker: u32,
    /// How many there are.
    pub workers: u32,
}

/// Why a load cannot be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {number} cannot be divided among {workers} workers, each of which needs at least one"
)]
pub struct TooFew {
    what: &'static str,
    number: u32,
    workers: u32,
}

impl Slice {
    /// Its part of so many, the remainder spread over the first workers.
    pub const fn part_of(self, number: u32) -> u32 {
        number / self.workers + (self.worker < number % self.workers) as u32
    }

    /// Its part of a load.
    ///
    /// # Errors
    /// When there are fewer slots than workers.
    pub fn load(self, load: Load) -> Result<Load, TooFew> {
        let part = |what, number| match self.part_of(number) {
            _ if number < self.workers => Err(TooFew { what, number, workers: self.workers }),
            part => Ok(part),
        };
        Ok(match load {
            Load::Closed { concurrency } => {
                Load::Closed { concurrency: part("concurrency", concurrency)? }
            }
            Load::Open { arrivals, rate, max_in_flight } => Load::Open {
                arrivals,
                rate: rate / f64::from(self.workers),
                max_in_flight: max_in_flight
                    .map(|cap| part("`--max-in-flight`", cap))
                    .transpose()?,
            },
            Load::Batch => Load::Batch,
        })
    }

    /// Which shots of a load are its own.
    pub(super) const fn share(self, load: Load) -> Share {
        let cycle = match load {
            Load::Closed { concurrency } if concurrency >= self.workers => concurrency,
            Load::Closed { .. } | Load::Open { .. } | Load::Batch => self.workers,
        };
        Share { slice: self, cycle }
    }
}

/// Which places of a list belong to a slice: each `cycle` of them is dealt alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    slice: Slice,
    cycle: u32,
}

impl Share {
    /// How many of so many places are its own.
    pub(super) const fn len_of(self, all: usize) -> usize {
        let Slice { worker, workers } = self.slice;
        let cycle = self.cycle as usize;
        let whole = all / cycle * self.slice.part_of(self.cycle) as usize;
        let rest = (all % cycle).saturating_sub(worker as usize);
        whole + rest.div_ceil(workers as usize)
    }

    /// The place in the whole list of its own place.
    pub(super) const fn whole(self, own: usize) -> usize {
        let each = self.slice.part_of(self.cycle) as usize;
        let Slice { worker, workers } = self.slice;
        own / each * self.cycle as usize + worker as usize + own % each * workers as usize
    }
}

impl Plan {
    /// The part of this plan that one of several workers plays. Its shots have consecutive ids of their own from `first_id` on;
    /// [`ShotList::whole_id`] has those of the whole plan. The hash is that of the whole plan.
    ///
    /// # Errors
    /// When the load has fewer slots than there are workers.
    pub fn slice(&self, slice: Slice, first_id: RequestId) -> Result<Self, TooFew> {
        let load = slice.load(self.load)?;
        let share = slice.share(self.load);
        let warmup = self.warmup.shared(share, first_id);
        let shots = self.shots.shared(share, behind(&warmup));
        let fill = self.fill.shared(share, behind(&shots));
        let start = PlanStart { first_id, ..self.start };
        let (hash, is_pool) = (self.hash.clone(), self.is_pool);
        Ok(Self { load, size: self.size, start, warmup, shots, fill, is_pool, hash })
    }
}

/// The first id behind a list.
fn behind(list: &ShotList) -> RequestId {
    RequestId(list.first_id().0 + list.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(load: Load, workers: u32) -> Vec<Share> {
        (0..workers).map(|worker| Slice { worker, workers }.share(load)).collect()
    }

    #[test]
    fn slices_are_disjoint_and_hold_every_shot_once() {
        for (concurrency, workers) in [(1, 1), (4, 2), (5, 2), (7, 3), (8, 3), (3, 4), (64, 5)] {
            for all in [0_usize, 1, 2, 3, 7, 40, 41, 127] {
                let mut seen = vec![0; all];
                for share in shares(Load::Closed { concurrency }, workers) {
                    let own: Vec<_> = (0..share.len_of(all)).map(|at| share.whole(at)).collect();
                    assert!(own.is_sorted(), "{own:?}");
                    own.into_iter().for_each(|at| seen[at] += 1);
                }
                assert!(seen.iter().all(|times| *times == 1), "{concurrency} {workers}: {seen:?}");
            }
        }
    }

    #[test]
    fn a_worker_with_more_slots_has_more_shots() {
        let lengths: Vec<_> = shares(Load::Closed { concurrency: 3 }, 2)
            .into_iter()
            .map(|share| share.len_of(300))
            .collect();
        assert_eq!(lengths, [200, 100]);
    }

    #[test]
    fn loads_are_divided_with_the_remainder_spread_and_too_few_slots_are_refused_by_name() {
        let of = |load: Load, workers: u32| -> Result<Vec<Load>, TooFew> {
            (0..workers).map(|worker| Slice { worker, workers }.load(load)).collect()
        };
        let closed = |concurrency| Load::Closed { concurrency };
        assert_eq!(of(closed(7), 3), Ok(vec![closed(3), closed(2), closed(2)]));
        let error = of(closed(3), 4).expect_err("too few").to_string();
        assert!(error.contains("concurrency 3") && error.contains("4 workers"), "{error}");
        let open = Load::Open {
            arrivals: crate::load::Arrivals::Poisson,
            rate: 10.0,
            max_in_flight: Some(1),
        };
        let error = of(open, 2).expect_err("too few").to_string();
        assert!(error.contains("--max-in-flight"), "{error}");
    }
}
