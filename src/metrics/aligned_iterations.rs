//! Alignment of iteration statistics: each iteration with its own latency, from lines that carry that of the one before.

use crate::record::iteration::{Iteration, LatencyOf};

/// Iterations with the latency and the ended requests of their own, without the lines of an idle engine.
///
/// A line that carries what came of the iteration before is completed by the line behind it, at whose time the iteration had
/// ended. An idle engine's line says who ended and not how long it took: that is the time between both lines. An iteration
/// whose next line is missing has no latency, and is left out.
pub(super) fn aligned(lines: &[Iteration]) -> Vec<Iteration> {
    let next = lines.iter().skip(1).map(Some).chain([None]);
    lines.iter().zip(next).filter_map(|(line, next)| of_line(line, next)).collect()
}

fn of_line(line: &Iteration, next: Option<&Iteration>) -> Option<Iteration> {
    match line.latency_of {
        LatencyOf::ThisIteration => Some(*line),
        LatencyOf::IterationBefore if line.is_idle() => None,
        LatencyOf::IterationBefore => {
            let next = next.filter(|next| next.iteration == line.iteration + 1)?;
            let latency = match next.latency.0 {
                0 if next.is_idle() => next.at - line.at,
                _ => next.latency,
            };
            let (at, completed) = (next.at, next.completed);
            let own =
                Iteration { at, latency, completed, latency_of: LatencyOf::ThisIteration, ..*line };
            (latency.0 > 0).then_some(own)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{MonoNs, Nanos, Window};
    use crate::metrics::iterations;
    use crate::record::iteration::BatchMix;

    const START: MonoNs = MonoNs(1_000);

    /// A line that was written `at_ms` after the start, with the latency and ends of the iteration before.
    fn line(
        number: u64,
        at_ms: i64,
        latency_ms: i64,
        batch: (u32, u32),
        completed: u32,
    ) -> Iteration {
        let (context_requests, generation_requests) = batch;
        Iteration {
            iteration: number,
            at: START + Nanos::from_millis(at_ms),
            latency: Nanos::from_millis(latency_ms),
            latency_of: LatencyOf::IterationBefore,
            active: context_requests + generation_requests,
            queued: 0,
            completed,
            max_batch_size: Some(8),
            batch: Some(BatchMix {
                context_requests,
                context_tokens: context_requests * 100,
                generation_requests,
                paused: 0,
            }),
            kv: None,
        }
    }

    /// A prefill of 50 ms and four steps of 10 ms, as an executor reports them.
    fn one_request(first: u64, at_ms: i64) -> Vec<Iteration> {
        vec![
            line(first, at_ms, 0, (1, 0), 0),
            line(first + 1, at_ms + 50, 50, (0, 1), 0),
            line(first + 2, at_ms + 60, 10, (0, 1), 0),
            line(first + 3, at_ms + 70, 10, (0, 1), 0),
            line(first + 4, at_ms + 80, 10, (0, 1), 0),
            line(first + 5, at_ms + 90, 0, (0, 0), 1),
        ]
    }

    fn latencies(iterations: &[Iteration]) -> Vec<i64> {
        iterations.iter().map(|it| it.latency.0 / 1_000_000).collect()
    }

    #[test]
    fn one_request_has_a_prefill_of_50_ms_and_four_steps_of_10_and_the_engine_was_busy_for_90_of_90()
     {
        let lines = one_request(0, 0);
        let aligned = aligned(&lines);
        assert_eq!(latencies(&aligned), [50, 10, 10, 10, 10]);
        let ended: Vec<u32> = aligned.iter().map(|it| it.completed).collect();
        assert_eq!(ended, [0, 0, 0, 0, 1]);
        // The last one ends with the window, which does not hold its own end.
        let window = Window { start: START, end: START + Nanos::from_millis(90) + Nanos(1) };
        let summary = iterations::of(&lines, None, window).expect("iterations");
        assert_eq!((summary.iterations, summary.lost), (5, 0));
        let with_context = summary.with_context_ms.expect("one");
        assert_eq!((with_context.mean, with_context.max), (50.0, 50.0));
        let generation = summary.generation_only_ms.expect("four");
        assert_eq!((generation.mean, generation.max), (10.0, 10.0));
        let busy = summary.busy_fraction.expect("a window");
        assert!((busy - 1.0).abs() < 1e-6, "{busy}");
    }

    #[test]
    fn the_number_of_an_idle_line_is_repeated_and_neither_lost_nor_counted_twice() {
        let lines = [one_request(0, 0), one_request(5, 200)].concat();
        assert_eq!(latencies(&aligned(&lines)), [50, 10, 10, 10, 10, 50, 10, 10, 10, 10]);
        let window = Window { start: START, end: START + Nanos::from_millis(1_000) };
        let summary = iterations::of(&lines, None, window).expect("iterations");
        assert_eq!((summary.iterations, summary.lost), (10, 0));
        assert_eq!(summary.busy_fraction, Some(0.18));
        assert_eq!(summary.active_requests.expect("known").mean, 1.0);
    }

    #[test]
    fn an_iteration_whose_next_line_was_overwritten_has_no_latency() {
        let mut lines = one_request(0, 0);
        lines.remove(2);
        let numbers: Vec<u64> = aligned(&lines).iter().map(|it| it.iteration).collect();
        assert_eq!(numbers, [0, 3, 4]);
        assert_eq!(latencies(&aligned(&lines)), [50, 10, 10]);
    }

    #[test]
    fn lines_of_an_engine_that_reports_each_iteration_when_it_is_over_stay_as_they_are() {
        let own: Vec<Iteration> = one_request(0, 0)
            .into_iter()
            .map(|line| Iteration { latency_of: LatencyOf::ThisIteration, ..line })
            .collect();
        assert_eq!(aligned(&own), own);
    }
}
