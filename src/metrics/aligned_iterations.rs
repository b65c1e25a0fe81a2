//! Alignment of iteration statistics: each iteration with its own latency, from lines that carry that of the one before.

use crate::clock::Nanos;
use crate::record::iteration::{Iteration, LatencyOf};

/// Iterations with the latency and the ended requests of their own, without the lines of an idle engine.
///
/// A line that carries what came of the iteration before is completed by the line behind it, at whose time the iteration had
/// ended. Where that is an idle engine's line, which has no latency, the first line after it has it. Two latencies are no use,
/// and the time between two lines stands for them: one that is still unknown since the engine idles, and one that holds the wait
/// for work, since the engine idled before. An iteration whose next line is missing is left out.
pub(super) fn aligned(lines: &[Iteration]) -> Vec<Iteration> {
    (0..lines.len()).filter_map(|at| of_line(lines, at)).collect()
}

fn of_line(lines: &[Iteration], at: usize) -> Option<Iteration> {
    let line = &lines[at];
    match line.latency_of {
        LatencyOf::ThisIteration => return Some(*line),
        LatencyOf::IterationBefore if nothing_ran(lines, at) => return None,
        LatencyOf::IterationBefore => {}
    }
    let next = lines.get(at + 1).filter(|next| next.iteration == line.iteration + 1)?;
    let waited_before = at.checked_sub(1).is_none_or(|before| nothing_ran(lines, before));
    let (reported, between) = (reported(lines, at + 1), next.at - line.at);
    let latency = match reported.0 {
        1.. if waited_before && between.0 > 0 => reported.min(between),
        1.. => reported,
        _ => between,
    };
    let own = Iteration {
        at: next.at,
        latency,
        latency_of: LatencyOf::ThisIteration,
        completed: next.completed,
        ..*line
    };
    (latency.0 > 0).then_some(own)
}

/// Whether an engine had nothing to do at this line, or lost all of it: where a forward pass threw, the line has the batch of the
/// iteration before, no request is active any more, and the next iteration has the same number.
fn nothing_ran(lines: &[Iteration], at: usize) -> bool {
    let line = &lines[at];
    let is_repeated = || lines.get(at + 1).is_some_and(|next| next.iteration == line.iteration);
    line.is_idle() || line.active == 0 && is_repeated()
}

/// The latency of the iteration before the line at `next`: in that line, or behind the line of an idle engine in the one that
/// repeats its number. 0 where it is in neither.
fn reported(lines: &[Iteration], next: usize) -> Nanos {
    let (line, after) = (&lines[next], lines.get(next + 1));
    match after {
        Some(after) if line.is_idle() && after.iteration == line.iteration => after.latency,
        _ => line.latency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{MonoNs, Window};
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
        assert!((summary.active_requests.expect("known").mean - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_latency_behind_an_idle_line_is_that_of_the_last_step_before_it() {
        let mut lines = [one_request(0, 0), one_request(5, 200)].concat();
        // Of a step that took 12 ms, although the lines are 10 ms apart; its end is told a second time.
        (lines[6].latency, lines[6].completed) = (Nanos::from_millis(12), 1);
        let aligned = aligned(&lines);
        assert_eq!(latencies(&aligned), [50, 10, 10, 10, 12, 50, 10, 10, 10, 10]);
        assert_eq!(aligned.iter().map(|it| it.completed).sum::<u32>(), 2);
    }

    #[test]
    fn the_wait_for_work_is_no_part_of_the_first_iteration_after_it() {
        let mut lines = [one_request(0, 0), one_request(5, 200)].concat();
        // Since the engine has nothing to do at 90 ms, until the prefill ends at 250 ms.
        lines[7].latency = Nanos::from_millis(160);
        assert_eq!(latencies(&aligned(&lines))[5..7], [50, 10]);
    }

    #[test]
    fn a_forward_pass_that_threw_is_no_iteration_and_the_wait_after_it_belongs_to_none() {
        let mut lines = one_request(0, 0);
        // The sixth pass throws: a line with the batch of the fifth, and no request that is left.
        lines[5] = Iteration { active: 0, completed: 0, ..line(5, 90, 10, (0, 1), 0) };
        let mut after = one_request(5, 500);
        after[1].latency = Nanos::from_millis(460);
        let lines = [lines, after].concat();
        assert_eq!(latencies(&aligned(&lines)), [50, 10, 10, 10, 10, 50, 10, 10, 10, 10]);
        let window = Window { start: START, end: START + Nanos::from_millis(1_000) };
        let summary = iterations::of(&lines, None, window).expect("iterations");
        assert_eq!((summary.iterations, summary.lost), (10, 0));
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
