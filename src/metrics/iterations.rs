//! Engine iteration statistics of the measurement window: batch sizes, queue, KV cache use.

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::clock::Window;
use crate::metrics::aligned_iterations::aligned;
use crate::metrics::distribution;
use crate::metrics::lost;
use crate::metrics::over_time::{Cuts, slice_length};
use crate::metrics::summary::Distribution;
use crate::record::iteration::{BatchMix, Iteration};

/// The iterations of one run that ended in its window. What the engine does not say is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IterationSummary {
    /// How many there were.
    pub iterations: u64,
    /// Iterations whose numbers are missing between them: the engine's ring was overwritten before it was read.
    pub lost: u64,
    /// Sum of their latencies ÷ length of the window.
    pub busy_fraction: Option<f64>,
    /// How long an iteration took.
    pub latency_ms: Option<Distribution>,
    /// How long an iteration without prompt tokens took.
    pub generation_only_ms: Option<Distribution>,
    /// How long an iteration with prompt tokens took.
    pub with_context_ms: Option<Distribution>,
    /// Share of iterations with prompt tokens.
    pub context_iterations_fraction: Option<f64>,
    /// Share of the time of all iterations that those with prompt tokens took.
    pub context_time_fraction: Option<f64>,
    /// Requests that an iteration could work on.
    pub batch_size_limit: Option<u32>,
    /// Requests that an iteration worked on.
    pub batch_requests: Option<Level>,
    /// Mean of `batch_requests` ÷ `batch_size_limit`.
    pub batch_occupancy_fraction: Option<f64>,
    /// Requests with a piece of their prompt in an iteration.
    pub context_requests: Option<Level>,
    /// Prompt tokens in an iteration.
    pub context_tokens: Option<Level>,
    /// Requests that went on with their output in an iteration.
    pub generation_requests: Option<Level>,
    /// Requests in work at an iteration, whether or not it worked on them.
    pub active_requests: Option<Level>,
    /// Requests that waited at an iteration.
    pub queued_requests: Option<Level>,
    /// How often a request was set aside because KV-cache memory was short.
    pub pauses: Option<u64>,
    /// KV-cache blocks held by requests, as a share of all.
    pub kv_used_fraction: Option<Level>,
    /// The course over the window, in the slices of [`crate::metrics::summary::OverTime`].
    pub over_time: Vec<IterationSlice>,
}

/// One value of each iteration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Mean over iterations.
    pub mean: f64,
    /// Largest.
    pub max: f64,
}

/// What the engine did in one slice of the window; means over its iterations, `None` where there was none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IterationSlice {
    /// Its start, from the start of the window.
    pub t_s: f64,
    /// Its length.
    pub length_s: f64,
    /// Iterations that ended in it.
    pub iterations: u64,
    /// Requests with a piece of their prompt in an iteration.
    pub context_requests: Option<f64>,
    /// Requests that went on with their output in an iteration.
    pub generation_requests: Option<f64>,
    /// Requests that waited.
    pub queued_requests: Option<f64>,
    /// KV-cache blocks held by requests, as a share of all.
    pub kv_used_fraction: Option<f64>,
}

/// Of the lines of one run, which are aligned first; `None` where no iteration ended in the window. `before` is the number of
/// the last iteration before all of these, where there was one.
pub fn of(lines: &[Iteration], before: Option<u64>, window: Window) -> Option<IterationSummary> {
    let iterations = aligned(lines);
    let inside: Vec<Iteration> =
        iterations.iter().filter(|it| window.holds(it.at)).copied().collect();
    let last = inside.last()?;
    let milliseconds = |chosen: &dyn Fn(&Iteration) -> bool| {
        let chosen = inside.iter().filter(|it| chosen(it));
        distribution::of(chosen.map(|it| it.latency.as_millis_f64()).collect())
    };
    let total: i64 = inside.iter().map(|it| it.latency.0).sum();
    let in_context = || inside.iter().filter(|it| has_context(it));
    let context_time: i64 = in_context().map(|it| it.latency.0).sum();
    let mixed = inside.iter().all(|it| it.batch.is_some());
    let batch = |of: fn(&BatchMix) -> u32| level(&inside, |it| it.batch.map(|b| f64::from(of(&b))));
    let batch_requests = batch(BatchMix::requests);
    let batch_size_limit = last.max_batch_size;
    Some(IterationSummary {
        iterations: inside.len() as u64,
        lost: lost::of(numbers(lines), before, numbers(&inside)),
        busy_fraction: window.seconds().map(|seconds| Nanos(total).as_secs_f64() / seconds),
        latency_ms: milliseconds(&|_| true),
        generation_only_ms: milliseconds(&|it| it.batch.is_some() && !has_context(it)),
        with_context_ms: milliseconds(&has_context),
        context_iterations_fraction: mixed
            .then(|| in_context().count() as f64 / inside.len() as f64),
        context_time_fraction: (mixed && total > 0).then(|| context_time as f64 / total as f64),
        batch_size_limit,
        batch_requests,
        batch_occupancy_fraction: batch_requests
            .zip(batch_size_limit)
            .map(|(requests, limit)| requests.mean / f64::from(limit)),
        context_requests: batch(|batch| batch.context_requests),
        context_tokens: batch(|batch| batch.context_tokens),
        generation_requests: batch(|batch| batch.generation_requests),
        active_requests: level(&inside, |it| Some(f64::from(it.active))),
        queued_requests: level(&inside, |it| Some(f64::from(it.queued))),
        pauses: mixed
            .then(|| inside.iter().filter_map(|it| it.batch).map(|b| u64::from(b.paused)).sum()),
        kv_used_fraction: level(&inside, kv_used),
        over_time: slices(&inside, window),
    })
}

fn has_context(iteration: &Iteration) -> bool {
    iteration.batch.is_some_and(|batch| batch.context_tokens > 0)
}

fn kv_used(iteration: &Iteration) -> Option<f64> {
    let kv = iteration.kv.filter(|kv| kv.max_blocks > 0)?;
    Some(f64::from(kv.used_blocks) / f64::from(kv.max_blocks))
}

fn numbers(iterations: &[Iteration]) -> impl Iterator<Item = u64> {
    iterations.iter().map(|it| it.iteration)
}

/// `None` unless every iteration has the value: a part would pass for the whole.
fn level(inside: &[Iteration], of: impl Fn(&Iteration) -> Option<f64>) -> Option<Level> {
    let values: Vec<f64> = inside.iter().map(of).collect::<Option<_>>()?;
    let max = values.iter().copied().reduce(f64::max)?;
    Some(Level { mean: values.iter().sum::<f64>() / values.len() as f64, max })
}

fn slices(inside: &[Iteration], window: Window) -> Vec<IterationSlice> {
    let cuts = Cuts::new(window, slice_length(window.span()));
    let mut of_cut: Vec<Vec<Iteration>> = vec![Vec::new(); cuts.count()];
    for iteration in inside {
        if let Some(index) = cuts.index(iteration.at) {
            of_cut[index].push(*iteration);
        }
    }
    let slice = |(index, inside): (usize, &Vec<Iteration>)| {
        let (start, length) = cuts.place(index);
        let mean =
            |of: &dyn Fn(&Iteration) -> Option<f64>| level(inside, of).map(|level| level.mean);
        IterationSlice {
            t_s: start.as_secs_f64(),
            length_s: length.as_secs_f64(),
            iterations: inside.len() as u64,
            context_requests: mean(&|it| Some(f64::from(it.batch?.context_requests))),
            generation_requests: mean(&|it| Some(f64::from(it.batch?.generation_requests))),
            queued_requests: mean(&|it| Some(f64::from(it.queued))),
            kv_used_fraction: mean(&kv_used),
        }
    };
    of_cut.iter().enumerate().map(slice).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "the runs are chosen so that every result is exact")]

    use super::*;
    use crate::clock::MonoNs;
    use crate::record::iteration::{KvLevel, LatencyOf};

    const WINDOW: Window = Window { start: MonoNs(1_000), end: MonoNs(1_000 + 1_000_000_000) };

    /// An iteration of `latency_ms` that ended so many milliseconds into the window.
    fn iteration(number: u64, end_ms: i64, latency_ms: i64, context: u32, going: u32) -> Iteration {
        Iteration {
            iteration: number,
            at: MonoNs(1_000) + Nanos::from_millis(end_ms),
            latency: Nanos::from_millis(latency_ms),
            latency_of: LatencyOf::ThisIteration,
            active: context + going,
            queued: 2,
            completed: 0,
            max_batch_size: Some(8),
            batch: Some(BatchMix {
                context_requests: context,
                context_tokens: context * 100,
                generation_requests: going,
                paused: 0,
            }),
            kv: Some(KvLevel { used_blocks: context + going, max_blocks: 8 }),
        }
    }

    #[test]
    fn an_engine_without_iterations_in_the_window_has_no_summary() {
        assert_eq!(of(&[], Some(7), WINDOW), None);
        let outside = [iteration(0, -1, 1, 1, 0), iteration(1, 1_000, 1, 1, 0)];
        assert_eq!(of(&outside, None, WINDOW), None);
    }

    #[test]
    fn numbers_that_are_missing_are_counted_as_lost() {
        let iterations = [7, 8, 12, 13].map(|number| iteration(number, number as i64, 1, 0, 1));
        assert_eq!(of(&iterations, None, WINDOW).unwrap().lost, 3);
    }

    #[test]
    fn what_was_overwritten_right_before_the_first_iteration_of_the_window_is_lost() {
        let iterations = [(4, -40), (9, 10), (10, 20)];
        let iterations = iterations.map(|(number, end_ms)| iteration(number, end_ms, 1, 0, 1));
        let summary = of(&iterations, None, WINDOW).unwrap();
        assert_eq!((summary.iterations, summary.lost), (2, 4));
    }

    #[test]
    fn what_was_overwritten_between_the_begin_of_the_point_and_its_first_iteration_is_lost() {
        let iterations = [8, 9].map(|number| iteration(number, number as i64, 1, 0, 1));
        let lost = |before| of(&iterations, before, WINDOW).unwrap().lost;
        assert_eq!([None, Some(7), Some(3)].map(lost), [0, 0, 4]);
        // An engine that counts from 0 again has lost nothing that is known of.
        assert_eq!(lost(Some(40)), 0);
    }

    #[test]
    fn what_one_iteration_does_not_say_is_not_summarised_from_the_others() {
        let silent = Iteration { batch: None, kv: None, ..iteration(1, 2, 1, 0, 0) };
        let summary = of(&[iteration(0, 1, 1, 1, 0), silent], None, WINDOW).unwrap();
        assert_eq!(
            (summary.batch_requests, summary.pauses, summary.kv_used_fraction),
            (None, None, None)
        );
        assert_eq!(summary.context_iterations_fraction, None);
        assert_eq!(summary.iterations, 2);
    }

    #[test]
    fn four_iterations_come_to_what_pencil_and_paper_find() {
        let mut paused = iteration(3, 900, 20, 0, 6);
        paused.batch.as_mut().unwrap().paused = 2;
        let iterations = [
            iteration(0, 40, 40, 1, 0),
            iteration(1, 60, 20, 0, 1),
            iteration(2, 110, 50, 2, 2),
            paused,
        ];
        let summary = of(&iterations, None, WINDOW).unwrap();
        assert_eq!((summary.iterations, summary.lost), (4, 0));
        assert_eq!(summary.busy_fraction, Some(0.13));
        assert_eq!(summary.context_iterations_fraction, Some(0.5));
        assert_eq!(summary.context_time_fraction, Some(90.0 / 130.0));
        assert_eq!(summary.batch_requests, Some(Level { mean: 3.0, max: 6.0 }));
        assert_eq!(summary.batch_occupancy_fraction, Some(3.0 / 8.0));
        assert_eq!(summary.context_tokens, Some(Level { mean: 75.0, max: 200.0 }));
        assert_eq!(summary.pauses, Some(2));
        assert_eq!(summary.kv_used_fraction, Some(Level { mean: 3.0 / 8.0, max: 6.0 / 8.0 }));
        assert_eq!(summary.generation_only_ms.unwrap().mean, 20.0);
        assert_eq!(summary.with_context_ms.unwrap().mean, 45.0);
        // A window of one second has slices of 50 ms.
        assert_eq!(summary.over_time.len(), 20);
        assert_eq!(summary.over_time[0].context_requests, Some(1.0));
        assert_eq!(
            (summary.over_time[3].iterations, summary.over_time[3].queued_requests),
            (0, None)
        );
        assert_eq!(summary.over_time[18].generation_requests, Some(6.0));
    }
}
