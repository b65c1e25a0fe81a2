//! Tests of the full view: the screen as text, for given looks.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::draw;
use super::shown::{History, PhaseShown, PointRow, Shown};
use crate::clock::{MonoNs, Nanos};
use crate::load::{Arrivals, Load};
use crate::metrics::summary::Verdict;
use crate::observe::gpu::sample::{GpuSample, Throttle};
use crate::record::backpressure::Waited;
use crate::record::live::Snapshot;
use crate::record::request_record::Part;
use crate::report::progress::{Look, Speed, Totals};

#[allow(clippy::unnecessary_wraps, reason = "spans of a snapshot may be absent")]
fn ms(span: f64) -> Option<Nanos> {
    Some(Nanos((span * 1e6) as i64))
}

fn phase() -> PhaseShown {
    let mut history = History::default();
    for look in 0..100 {
        history.push(10.0 + f64::from(look % 7), 400.0 + f64::from(look), 8);
    }
    PhaseShown {
        label: "concurrency 8".into(),
        load: Load::Closed { concurrency: 8 },
        totals: Totals { requests: 200, duration: None },
        look: Look {
            snapshot: Snapshot {
                since: Some(MonoNs(0)),
                submitted: 128,
                ended: 120,
                measured_ended: 120,
                part: Part::Measured,
                output_tokens: 4_800,
                ttft_p50: ms(12.34),
                ttft_p99: ms(45.6),
                itl_p50: ms(1.25),
                itl_p99: ms(3.5),
                latency_p50: ms(60.0),
                latency_p99: ms(90.0),
                lag_p99: ms(0.02),
                lag_most: ms(0.31),
                ..Snapshot::default()
            },
            elapsed: Nanos::from_secs_f64(9.6),
            in_flight: 8,
            speed: Some(Speed {
                submitted_per_s: 12.75,
                requests_per_s: 12.5,
                tokens_per_s: 500.0,
            }),
        },
        waited: Waited::default(),
        gpus: Vec::new(),
        history,
    }
}

fn shown(phase: PhaseShown) -> Shown {
    Shown { targets: "sim:h100 [SIMULATED]".into(), phase: Some(phase), ..Shown::default() }
}

/// The rows of the screen, without blanks at their ends.
fn screen(shown: &Shown, columns: u16, rows: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("memory");
    terminal.draw(|frame| draw(frame, shown)).expect("memory");
    let buffer = terminal.backend().buffer();
    let row = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..rows).map(|y| row(y).trim_end().to_owned()).collect()
}

fn text(shown: &Shown, columns: u16, rows: u16) -> String {
    screen(shown, columns, rows).join("\n")
}

#[test]
fn a_run_that_goes_well_fills_eighty_columns() {
    let rows = screen(&shown(phase()), 80, 24);
    let expected =
        [" bareflight  sim:h100 [SIMULATED]", "concurrency 8 · 120 of 200 requests · 6 s left"];
    assert_eq!(rows[..2], expected, "{}", rows.join("\n"));
    assert!(rows[2].starts_with(" 60 % ███"), "{}", rows[2]);
    let text = rows.join("\n");
    for words in [
        "offered   8 at a time",
        "sent      12.75 req/s",
        "ended     12.50 req/s",
        "output    500.0 tok/s",
        "in flight 8",
        "requests  120 of 128 ended",
        "failed    none",
        "ms               p50        p99",
        "TTFT           12.34      45.60",
        "ITL             1.25       3.50",
        "request        60.00      90.00",
        " req/s, at most 16 ",
        " tok/s, at most 499 ",
        " in flight, at most 8 ",
        "lateness  p99 0.0200 ms, most 0.310 ms",
        "recorder  nothing waited for it",
    ] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
    assert_eq!(rows[23], "q or Ctrl-C stops, and keeps what was measured");
}

#[test]
fn in_sixty_columns_panels_lie_above_each_other_and_nothing_is_cut() {
    let rows = screen(&shown(phase()), 60, 40);
    let at = |words: &str| rows.iter().position(|row| row.contains(words)).expect(words);
    assert!(at("failed    none") < at("TTFT "));
    assert!(at("request        60.00      90.00") < at("│req/s "));
    assert!(at("│in flight █") < at("lateness  p99"));
    assert_eq!(rows[39], "q or Ctrl-C stops, and keeps what was measured");
}

#[test]
fn a_run_that_fails_shows_what_failed_how_late_it_is_and_what_waited() {
    let mut failing = phase();
    failing.look.snapshot.failed = 17;
    failing.look.snapshot.lag_p99 = ms(8.5);
    failing.waited = Waited { waits: 3, span: Nanos::from_millis(40), lost: 0 };
    let mut failing = shown(failing);
    failing.notices = vec!["bareflight: concurrency 8: the target hangs".into()];
    failing.is_stopping = true;
    let text = text(&failing, 80, 30);
    for words in [
        "failed    17 FAILED",
        "lateness  p99 8.50 ms",
        "recorder  3 waits, 40.00 ms",
        "bareflight: concurrency 8: the target hangs",
        "stopping: requests in flight are awaited",
    ] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
}

#[test]
fn before_the_first_answer_no_figure_is_made_up() {
    let mut early = phase();
    early.look.snapshot = Snapshot::default();
    early.look.speed = None;
    early.history = History::default();
    let text = text(&shown(early), 80, 24);
    assert!(text.contains("concurrency 8 · 0 of 200 requests\n"), "{text}");
    assert!(text.contains("TTFT               –          –"), "{text}");
    assert!(text.contains("sent      –") && text.contains("lateness  –"), "{text}");
}

#[test]
fn of_an_open_loop_with_a_duration_the_rate_and_the_time_are_said() {
    let mut open = phase();
    open.load = Load::Open { arrivals: Arrivals::Poisson, rate: 12.5, max_in_flight: None };
    open.totals = Totals { requests: 9_999, duration: Some(Nanos::from_secs_f64(90.0)) };
    let text = text(&shown(open), 80, 24);
    assert!(text.contains("concurrency 8 · 10 of 90 s · 1:20 min left"), "{text}");
    assert!(text.contains("offered   poisson 12.5/s"), "{text}");
}

#[test]
fn gpus_have_a_line_each_with_what_holds_them_down() {
    let mut watched = phase();
    let sample = GpuSample {
        gpu: 0,
        at: MonoNs(0),
        power_w: Some(412.3),
        energy_j: None,
        sm_mhz: Some(1_980),
        memory_mhz: None,
        temperature_c: Some(61),
        memory_used_bytes: Some(54_200_000_000),
        gpu_utilisation: Some(0.98),
        memory_utilisation: None,
        throttle: vec![Throttle::PowerCap],
    };
    watched.gpus = vec![("H100".into(), sample)];
    let text = text(&shown(watched), 100, 40);
    assert!(text.contains("0 H100 · 98 % · 412 W · 54.2 GB · 1980 MHz · 61"), "{text}");
}

#[test]
fn points_that_were_measured_stay_on_the_screen() {
    let mut later = shown(phase());
    later.points = vec![PointRow {
        label: "concurrency 4".into(),
        completed: 64,
        failed: 1,
        requests_per_s: Some(6.5),
        tokens_per_s: Some(260.0),
        ttft_ms: Some((10.0, 20.0)),
        itl_ms: Some((1.0, 2.0)),
        verdict: Verdict::ValidWithWarnings,
    }];
    let text = text(&later, 100, 40);
    assert!(text.contains("concurrency 4"), "{text}");
    assert!(text.contains("64/1") && text.contains("10.00/20.00"), "{text}");
    assert!(text.contains("warnings"), "{text}");
}

#[test]
fn on_a_small_terminal_progress_and_figures_stay() {
    let rows = screen(&shown(phase()), 80, 12);
    let text = rows.join("\n");
    assert!(text.contains("120 of 200") && text.contains("TTFT"), "{text}");
    assert!(!text.contains("lateness"), "{text}");
    for (columns, rows) in [(1, 1), (3, 2), (20, 5), (200, 60)] {
        screen(&shown(phase()), columns, rows);
    }
}
