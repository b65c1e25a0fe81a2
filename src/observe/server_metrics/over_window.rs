//! A server's own metrics over the window of a point: means, peaks, and what its counters gained.

use serde::{Deserialize, Serialize};

use crate::clock::{MonoNs, Window};
use crate::observe::server_metrics::names::Levels;
use crate::observe::server_metrics::scraper::Scrape;

/// Most slices of the course of a point.
const SLICES: usize = 120;

/// What a server told of itself over the window. Levels are means over answers within it, and absent where there was none; what
/// counters gained is from the last answer before the window to the first behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// Whose names the metrics have.
    pub server: String,
    /// Where they were scraped.
    pub url: String,
    /// Answers in the window.
    pub answers: u64,
    /// Questions in the window without an answer.
    pub unanswered: u64,
    /// Longest time that an answer took, in milliseconds.
    pub slowest_answer_ms: Option<f64>,
    /// Requests that were computed, on average.
    pub running_mean: Option<f64>,
    /// At most.
    pub running_max: Option<f64>,
    /// Requests that waited, on average.
    pub waiting_mean: Option<f64>,
    /// At most.
    pub waiting_max: Option<f64>,
    /// Share of the KV cache that was held, 0 to 1, on average.
    pub kv_used_mean: Option<f64>,
    /// At most.
    pub kv_used_max: Option<f64>,
    /// Share of the prefix cache's look-ups that found something, 0 to 1.
    pub prefix_hit_rate: Option<f64>,
    /// Requests that were interrupted for want of memory.
    pub preemptions: Option<f64>,
    /// Mean wait of a request before it was computed, in milliseconds.
    pub queue_mean_ms: Option<f64>,
    /// The course of the window.
    pub over_time: Vec<ServerSlice>,
}

/// What it told in one slice of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerSlice {
    /// Its middle in seconds, from the start of the window.
    pub t_s: f64,
    /// Requests that were computed.
    pub running: Option<f64>,
    /// Requests that waited.
    pub waiting: Option<f64>,
    /// Share of the KV cache that was held, 0 to 1.
    pub kv_used: Option<f64>,
    /// Share of the prefix cache's look-ups that found something, 0 to 1.
    pub prefix_hit_rate: Option<f64>,
    /// Mean wait of a request before it was computed, in milliseconds.
    pub queue_ms: Option<f64>,
    /// Requests that were interrupted for want of memory.
    pub preemptions: Option<f64>,
}

impl ServerUse {
    /// Of the answers of a point.
    pub fn of(server: &str, url: String, scrapes: &[Scrape], window: Window) -> Self {
        let is_inside = |scrape: &&Scrape| (window.start..=window.end).contains(&scrape.at_ns);
        let inside: Vec<&Scrape> = scrapes.iter().filter(is_inside).collect();
        let answers: Vec<&Scrape> =
            inside.iter().copied().filter(|scrape| scrape.failure.is_none()).collect();
        let told = around(scrapes, window);
        // A short window may hold none. What was told before and behind it, when the server had nothing to do, says nothing of it.
        let levels: Vec<Levels> = answers.iter().map(|scrape| scrape.levels).collect();
        let gained = Gained::between(told.first().copied(), told.last().copied());
        let slowest = inside.iter().map(|scrape| scrape.took_ms).reduce(f64::max);
        let rates = levels.iter().filter_map(|it| it.prefix_hit_rate);
        Self {
            server: server.to_owned(),
            url,
            answers: answers.len() as u64,
            unanswered: (inside.len() - answers.len()) as u64,
            slowest_answer_ms: slowest,
            running_mean: mean(levels.iter().filter_map(|it| it.running)),
            running_max: levels.iter().filter_map(|it| it.running).reduce(f64::max),
            waiting_mean: mean(levels.iter().filter_map(|it| it.waiting)),
            waiting_max: levels.iter().filter_map(|it| it.waiting).reduce(f64::max),
            kv_used_mean: mean(levels.iter().filter_map(|it| it.kv_used)),
            kv_used_max: levels.iter().filter_map(|it| it.kv_used).reduce(f64::max),
            prefix_hit_rate: gained.hit_rate.or_else(|| mean(rates)),
            preemptions: gained.preemptions,
            queue_mean_ms: gained.queue_ms,
            over_time: slices(&told, window.start),
        }
    }
}

/// What counters gained between two answers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Gained {
    hit_rate: Option<f64>,
    preemptions: Option<f64>,
    queue_ms: Option<f64>,
}

impl Gained {
    fn between(first: Option<&Scrape>, last: Option<&Scrape>) -> Self {
        let (Some(first), Some(last)) = (first, last) else { return Self::default() };
        // One answer alone tells of no time, in which nothing can be gained.
        if first.at_ns >= last.at_ns {
            return Self::default();
        }
        let gain = |of: fn(&Levels) -> Option<f64>| {
            let gain = of(&last.levels)? - of(&first.levels)?;
            // A server that was started anew counts from 0 again.
            (gain >= 0.0).then_some(gain)
        };
        let ratio = |part: Option<f64>, whole: Option<f64>| {
            whole.filter(|whole| *whole > 0.0).zip(part).map(|(whole, part)| part / whole)
        };
        Self {
            hit_rate: ratio(gain(|it| it.prefix_hits), gain(|it| it.prefix_queries)),
            preemptions: gain(|it| it.preemptions),
            queue_ms: ratio(gain(|it| it.queue_s), gain(|it| it.queued)).map(|s| s * 1e3),
        }
    }
}

/// Answers of the window, with the last before it and the first behind it.
fn around(scrapes: &[Scrape], window: Window) -> Vec<&Scrape> {
    let answers: Vec<&Scrape> = scrapes.iter().filter(|it| it.failure.is_none()).collect();
    let before = answers.iter().rposition(|it| it.at_ns <= window.start).unwrap_or(0);
    let behind = answers.iter().position(|it| it.at_ns >= window.end);
    let end = behind.map_or(answers.len(), |at| at + 1).max(before);
    answers.get(before..end).map_or_else(Vec::new, <[&Scrape]>::to_vec)
}

fn slices(told: &[&Scrape], start: MonoNs) -> Vec<ServerSlice> {
    let each = told.len().div_ceil(SLICES).max(1);
    let mut slices = Vec::new();
    let mut before = None;
    for chunk in told.chunks(each) {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { continue };
        let gained = Gained::between(before.or(Some(*first)), Some(last));
        let of = |level: fn(&Levels) -> Option<f64>| {
            mean(chunk.iter().filter_map(|it| level(&it.levels)))
        };
        let middle = (first.at_ns - start).as_secs_f64() + (last.at_ns - start).as_secs_f64();
        slices.push(ServerSlice {
            t_s: middle / 2.0,
            running: of(|it| it.running),
            waiting: of(|it| it.waiting),
            kv_used: of(|it| it.kv_used),
            prefix_hit_rate: gained.hit_rate.or_else(|| of(|it| it.prefix_hit_rate)),
            queue_ms: gained.queue_ms,
            preemptions: gained.preemptions,
        });
        before = Some(*last);
    }
    slices
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::Nanos;

    fn at(seconds: f64, levels: Levels) -> Scrape {
        Scrape {
            at_ns: MonoNs(0) + Nanos::from_secs_f64(seconds),
            took_ms: 2.0,
            levels,
            raw: BTreeMap::new(),
            failure: None,
        }
    }

    fn counted(running: f64, hits: f64, queries: f64, queue_s: f64, queued: f64) -> Levels {
        Levels {
            running: Some(running),
            prefix_hits: Some(hits),
            prefix_queries: Some(queries),
            queue_s: Some(queue_s),
            queued: Some(queued),
            preemptions: Some(queued),
            ..Levels::default()
        }
    }

    fn window(start: f64, end: f64) -> Window {
        let at = |seconds| MonoNs(0) + Nanos::from_secs_f64(seconds);
        Window { start: at(start), end: at(end) }
    }

    #[test]
    fn counters_are_what_they_gained_around_the_window_and_levels_what_they_were_in_it() {
        let scrapes = [
            at(0.0, counted(9.0, 500.0, 900.0, 90.0, 40.0)),
            at(1.0, counted(1.0, 500.0, 1000.0, 100.0, 50.0)),
            at(2.0, counted(2.0, 550.0, 1100.0, 101.0, 60.0)),
            at(3.0, counted(4.0, 580.0, 1200.0, 102.0, 70.0)),
            at(4.0, counted(8.0, 650.0, 1300.0, 103.0, 80.0)),
            at(5.0, counted(9.0, 999.0, 9999.0, 999.0, 99.0)),
        ];
        let found = ServerUse::of("vLLM", String::new(), &scrapes, window(1.5, 3.5));
        assert_eq!((found.running_mean, found.running_max), (Some(3.0), Some(4.0)));
        assert_eq!(found.prefix_hit_rate, Some(0.5));
        assert_eq!(found.preemptions, Some(30.0));
        assert_eq!(found.queue_mean_ms, Some(100.0));
        assert_eq!((found.answers, found.unanswered), (2, 0));
        assert_eq!(found.waiting_mean, None, "it did not tell");
        assert_eq!(found.over_time.len(), 4);
        assert_eq!(found.over_time[1].prefix_hit_rate, Some(0.5));
    }

    #[test]
    fn a_window_between_two_answers_has_what_counters_gained_and_no_levels() {
        let scrapes =
            [at(1.0, counted(2.0, 0.0, 0.0, 0.0, 0.0)), at(2.0, counted(4.0, 1.0, 4.0, 0.0, 0.0))];
        let found = ServerUse::of("vLLM", String::new(), &scrapes, window(1.2, 1.3));
        assert_eq!((found.answers, found.running_mean, found.running_max), (0, None, None));
        assert_eq!((found.prefix_hit_rate, found.queue_mean_ms), (Some(0.25), None));
        assert_eq!(found.preemptions, Some(0.0));
    }

    #[test]
    fn one_answer_alone_tells_of_no_gain_rather_than_of_none() {
        let scrapes = [at(1.0, counted(2.0, 3.0, 9.0, 1.0, 4.0))];
        for window in [window(0.5, 1.5), window(2.0, 3.0)] {
            let found = ServerUse::of("vLLM", String::new(), &scrapes, window);
            assert_eq!((found.preemptions, found.prefix_hit_rate), (None, None));
            assert!(found.over_time.iter().all(|slice| slice.preemptions.is_none()));
        }
    }

    #[test]
    fn what_was_not_answered_is_counted_and_nothing_is_made_of_it() {
        let silent = Scrape { failure: Some("timed out".into()), ..at(1.0, Levels::default()) };
        let found = ServerUse::of("vLLM", String::new(), &[silent], window(0.0, 2.0));
        assert_eq!((found.answers, found.unanswered), (0, 1));
        assert_eq!(found.running_mean, None);
        assert!(found.over_time.is_empty());
    }

    #[test]
    fn a_long_run_has_no_more_slices_than_a_plot_can_show() {
        let scrapes: Vec<Scrape> = (0..1000)
            .map(|second| at(f64::from(second), counted(1.0, 0.0, 0.0, 0.0, 0.0)))
            .collect();
        let found = ServerUse::of("vLLM", String::new(), &scrapes, window(0.0, 1000.0));
        assert!((100..=SLICES).contains(&found.over_time.len()), "{}", found.over_time.len());
    }
}
