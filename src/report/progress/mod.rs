//! Progress display on standard error: a bar or the whole of a terminal, occasional lines elsewhere.
//!
//! A thread of its own looks at published snapshots a few times a second; no hot thread knows of it.

mod format;
pub mod full;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::Duration;

use ::console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::{MonoNs, Nanos, now};
use crate::console;
use crate::console::streams;
use crate::record::live::{LiveSnapshot, Snapshot};
use crate::settings::ui::Ui;
use crate::threads;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A bar that moves.
    Bar,
    /// A line every few seconds, and one at the end.
    Lines,
    /// The whole terminal ([`full::FullView`]).
    Full,
    /// Not at all.
    Silent,
}

impl Mode {
    /// What was asked for, and lines where no person looks at a terminal: in logs and continuous integration.
    pub fn of(ui: Ui) -> Self {
        match ui {
            Ui::Plain => Self::Lines,
            Ui::Line if is_looked_at() => Self::Bar,
            Ui::Full if is_looked_at() => Self::Full,
            Ui::Line => Self::Lines,
            Ui::Full => {
                static ONCE: Once = Once::new();
                ONCE.call_once(|| {
                    console::print_notice(format_args!(
                        "`--ui full` needs a terminal on standard error (and neither `TERM=dumb` nor `CI`): plain lines follow"
                    ));
                });
                Self::Lines
            }
        }
    }

    /// How often a look is taken.
    const fn period(self) -> Duration {
        match self {
            Self::Bar | Self::Full | Self::Silent => Duration::from_millis(250),
            Self::Lines => Duration::from_secs(5),
        }
    }
}

/// Whether a person looks at a terminal that can be drawn on.
fn is_looked_at() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let automatic = std::env::var_os("CI").is_some();
    streams::is_terminal() && !dumb && !automatic
}

/// When a phase is over: after so many requests or so much time, whichever is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Requests; where a duration is given, a supply that need not be used up.
    pub requests: u64,
    /// From the first request on.
    pub duration: Option<Nanos>,
}

/// A view of one phase, until [`Progress::finish`].
#[derive(Debug)]
pub struct Progress {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to show a phase. `in_flight` is asked at every look and must return at once.
    ///
    /// A display that cannot start is reported on standard error, and does not end a run.
    pub fn start(
        mode: Mode,
        label: &str,
        totals: Totals,
        live: Arc<LiveSnapshot>,
        in_flight: impl Fn() -> u32 + Send + 'static,
    ) -> Self {
        let screen = match mode {
            Mode::Bar => Screen::Bar(bar(label)),
            Mode::Lines => Screen::Lines(streams::notices()),
            Mode::Full | Mode::Silent => return Self { over: Arc::default(), thread: None },
        };
        let watch = Watch { label: label.to_owned(), totals, live, in_flight, screen };
        watch.start(mode.period())
    }

    /// Ends the view: nothing is printed after it returns. A bar vanishes; lines end with one last line.
    pub fn finish(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                console::print_notice(format_args!(
                    "the progress view ended early; results do not depend on it"
                ));
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop();
    }
}

enum Screen {
    Bar(ProgressBar),
    Lines(Box<dyn Write + Send>),
}

fn bar(label: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:20}] {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(Some(PERMILLE), terminal());
    bar.with_style(style).with_prefix(label.to_owned())
}

const PERMILLE: u64 = 1_000;
const REDRAWS_PER_SECOND: u8 = 4;

/// The terminal that notices go to; without one nothing is drawn.
fn terminal() -> ProgressDrawTarget {
    match (streams::notices_file(), streams::notices_file()) {
        (Ok(read), Ok(write)) => {
            ProgressDrawTarget::term(Term::read_write_pair(read, write), REDRAWS_PER_SECOND)
        }
        _ => ProgressDrawTarget::hidden(),
    }
}

struct Watch<F> {
    label: String,
    totals: Totals,
    live: Arc<LiveSnapshot>,
    in_flight: F,
    screen: Screen,
}

impl<F: Fn() -> u32 + Send + 'static> Watch<F> {
    fn start(self, period: Duration) -> Progress {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let spawned = threads::other("progress").spawn(move || self.look_until(&is_over, period));
        let thread = spawned
            .inspect_err(|error| {
                console::print_notice(format_args!("progress cannot be shown: {error}"));
            })
            .ok();
        Progress { over, thread }
    }

    fn look_until(mut self, over: &AtomicBool, period: Duration) {
        let mut recent = Recent::default();
        loop {
            let until = now() + Nanos(period.as_nanos() as i64);
            while now() < until && !over.load(Ordering::Acquire) {
                let left = (until - now()).0.max(0).unsigned_abs();
                std::thread::park_timeout(Duration::from_nanos(left));
            }
            let is_over = over.load(Ordering::Acquire);
            self.show(&mut recent, is_over);
            if is_over {
                return;
            }
        }
    }

    fn show(&mut self, recent: &mut Recent, is_over: bool) {
        let snapshot = self.live.read();
        let at = now();
        recent.push(at, &snapshot);
        let look = Look {
            elapsed: snapshot.since.map_or(Nanos::ZERO, |since| at - since),
            in_flight: (self.in_flight)(),
            speed: recent.speed(),
            snapshot,
        };
        match &mut self.screen {
            Screen::Bar(bar) if is_over => bar.finish_and_clear(),
            Screen::Bar(bar) => {
                let (counts, latencies) = (look.counts(self.totals), look.latencies());
                bar.set_position((look.share(self.totals) * PERMILLE as f64) as u64);
                bar.set_message(format!("{counts}\n  {latencies}"));
            }
            Screen::Lines(out) => {
                let (counts, latencies) = (look.counts(self.totals), look.latencies());
                // A closed standard error has no reader.
                let _closed = console::write_line(
                    out,
                    format_args!("{}: {counts} · {latencies}", self.label),
                );
            }
        }
    }
}

/// What is seen at one instant.
#[derive(Debug, Clone)]
struct Look {
    snapshot: Snapshot,
    elapsed: Nanos,
    in_flight: u32,
    speed: Option<Speed>,
}

#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_field_names, reason = "they say their unit")]
struct Speed {
    submitted_per_s: f64,
    requests_per_s: f64,
    tokens_per_s: f64,
}

/// The last looks, so that speeds are those of now and not of the whole phase.
#[derive(Debug, Default)]
struct Recent(VecDeque<(MonoNs, [u64; 3])>);

impl Recent {
    /// Looks that a speed is taken over: two seconds of a bar.
    const LOOKS: usize = 9;

    fn push(&mut self, at: MonoNs, snapshot: &Snapshot) {
        // The recorder's own instant, where it says one: a look comes a little later, now more and now less.
        let at = snapshot.at.unwrap_or(at);
        let begun = snapshot.since.filter(|_| self.0.is_empty());
        self.0.extend(begun.map(|since| (since, [0; 3])));
        self.0.push_back((at, [snapshot.submitted, snapshot.ended, snapshot.output_tokens]));
        while self.0.len() > Self::LOOKS {
            self.0.pop_front();
        }
    }

    fn speed(&self) -> Option<Speed> {
        let (&(from, before), &(to, after)) = (self.0.front()?, self.0.back()?);
        let seconds = (to - from).as_secs_f64();
        let per_s = |which: usize| after[which].saturating_sub(before[which]) as f64 / seconds;
        (seconds > 0.0).then(|| Speed {
            submitted_per_s: per_s(0),
            requests_per_s: per_s(1),
            tokens_per_s: per_s(2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What was printed, for a test to read.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    fn watch(live: &Arc<LiveSnapshot>, paper: &Paper, period: Duration) -> Progress {
        let totals = Totals { requests: 200, duration: None };
        let screen = Screen::Lines(Box::new(paper.clone()));
        let live = Arc::clone(live);
        Watch { label: "concurrency 8".into(), totals, live, in_flight: || 8, screen }.start(period)
    }

    #[test]
    fn a_phase_without_any_answer_is_shown_without_made_up_numbers() {
        let (live, paper) = (Arc::new(LiveSnapshot::default()), Paper::default());
        watch(&live, &paper, Duration::from_hours(1)).finish();
        let [line] = &paper.lines()[..] else { panic!("one last line: {:?}", paper.lines()) };
        assert_eq!(line, "concurrency 8: 0/200 requests · 8 in flight · live: no token yet");
    }

    #[test]
    fn the_end_of_a_phase_is_not_waited_for_and_is_the_last_that_is_printed() {
        let (live, paper) = (Arc::new(LiveSnapshot::default()), Paper::default());
        let started = now();
        let progress = watch(&live, &paper, Duration::from_hours(1));
        live.publish(Snapshot {
            since: Some(started),
            ended: 200,
            measured_ended: 200,
            ..Snapshot::default()
        });
        progress.finish();
        let lines = paper.lines();
        assert!(lines.last().unwrap().contains("200/200 requests"), "{lines:?}");
        assert!(now() - started < Nanos::from_secs_f64(600.0));
        live.publish(Snapshot { ended: 201, ..Snapshot::default() });
        assert_eq!(paper.lines(), lines);
    }

    #[test]
    fn a_view_that_is_dropped_ends_like_one_that_is_finished() {
        let (live, paper) = (Arc::new(LiveSnapshot::default()), Paper::default());
        drop(watch(&live, &paper, Duration::from_hours(1)));
        assert_eq!(paper.lines().len(), 1);
    }

    #[test]
    fn lines_follow_each_other_while_the_phase_goes_on() {
        let (live, paper) = (Arc::new(LiveSnapshot::default()), Paper::default());
        let progress = watch(&live, &paper, Duration::from_millis(1));
        let patience = now() + Nanos::from_secs_f64(60.0);
        while paper.lines().len() < 3 && now() < patience {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        progress.finish();
        assert!(paper.lines().len() >= 3);
    }

    #[test]
    fn speed_is_that_of_the_last_looks() {
        let mut recent = Recent::default();
        let since = Some(MonoNs(0));
        for second in 1..=20_u64 {
            // Ten requests a second for ten seconds, then twenty.
            let ended = if second <= 10 { 10 * second } else { 100 + 20 * (second - 10) };
            let at = MonoNs(second as i64 * 1_000_000_000);
            recent.push(
                at,
                &Snapshot { since, ended, output_tokens: 3 * ended, ..Snapshot::default() },
            );
        }
        let speed = recent.speed().unwrap();
        assert!((speed.requests_per_s - 20.0).abs() < 1e-9);
        assert!((speed.tokens_per_s - 60.0).abs() < 1e-9);
    }

    #[test]
    fn silence_needs_no_thread() {
        let totals = Totals { requests: 1, duration: None };
        let progress = Progress::start(Mode::Silent, "x", totals, Arc::default(), || 0);
        assert!(progress.thread.is_none());
        progress.finish();
    }
}
