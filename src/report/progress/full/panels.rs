//! Panels of the full view: load, latencies, plots, harness, GPUs, points, notices.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};

use super::draw::POINTS;
use super::shown::{History, PhaseShown, PointRow};
use crate::clock::Nanos;
use crate::load::Load;
use crate::metrics::summary::Verdict;
use crate::observe::gpu::sample::GpuSample;
use crate::report::figures::{ABSENT, figure, maybe, short_verdict};

const LOAD_HEIGHT: u16 = 9;
const LATENCY_HEIGHT: u16 = 6;
/// Of plots beside or above each other.
pub(super) const PLOTS_HEIGHT: u16 = 5;
const HARNESS_HEIGHT: u16 = 4;
/// GPUs that are listed.
const GPUS: usize = 8;

/// Rows of load and latencies.
pub(super) const fn figures_height(is_wide: bool) -> u16 {
    if is_wide { LOAD_HEIGHT } else { LOAD_HEIGHT + LATENCY_HEIGHT }
}

/// Rows of harness and GPUs.
pub(super) fn health_height(phase: &PhaseShown, is_wide: bool) -> u16 {
    let gpus = match phase.gpus.len().min(GPUS) as u16 {
        0 => 0,
        gpus => gpus + 2,
    };
    if is_wide { gpus.max(HARNESS_HEIGHT) } else { gpus + HARNESS_HEIGHT }
}

/// Two panels: side by side, or the first with so many rows above the other.
fn two(area: Rect, is_wide: bool, first: u16) -> [Rect; 2] {
    if is_wide {
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area)
    } else {
        Layout::vertical([Constraint::Length(first), Constraint::Min(0)]).areas(area)
    }
}

fn panel(title: &str) -> Block<'_> {
    Block::bordered().border_style(Style::new().dim()).title(Line::from(format!(" {title} ")))
}

/// A name and what stands behind it.
fn named(name: &str, value: impl Into<Span<'static>>) -> Line<'static> {
    Line::from(vec![Span::from(format!("{name:<10}")).dim(), value.into()])
}

/// Load and latencies.
pub(super) fn figures(frame: &mut Frame, area: Rect, phase: &PhaseShown, is_wide: bool) {
    let [left, right] = two(area, is_wide, LOAD_HEIGHT);
    frame.render_widget(Paragraph::new(load(phase)).block(panel("load")), left);
    let latencies = Paragraph::new(latencies(phase)).block(panel("latency so far, approximate"));
    frame.render_widget(latencies, right);
}

fn load(phase: &PhaseShown) -> Vec<Line<'static>> {
    let seen = &phase.look.snapshot;
    let rate = |of: fn(&crate::report::progress::Speed) -> f64, unit: &str| match &phase.look.speed
    {
        Some(speed) => format!("{} {unit}", figure(of(speed))),
        None => ABSENT.to_owned(),
    };
    let offered = match phase.load {
        Load::Closed { concurrency } => format!("{concurrency} at a time"),
        Load::Open { .. } => phase.load.to_string(),
        Load::Batch => "all at once".to_owned(),
    };
    let failed = if seen.failed > 0 {
        Span::from(format!("{} FAILED", seen.failed)).fg(Color::Red).bold()
    } else {
        Span::from("none")
    };
    vec![
        named("offered", offered),
        named("sent", rate(|it| it.submitted_per_s, "req/s")),
        named("ended", rate(|it| it.requests_per_s, "req/s")),
        named("output", rate(|it| it.tokens_per_s, "tok/s")),
        named("in flight", phase.look.in_flight.to_string()),
        named("requests", format!("{} of {} ended", seen.ended, seen.submitted)),
        named("failed", failed),
    ]
}

fn latencies(phase: &PhaseShown) -> Vec<Line<'static>> {
    let seen = &phase.look.snapshot;
    let row = |name: &str, p50: Option<Nanos>, p99: Option<Nanos>| {
        let [p50, p99] = [p50, p99].map(|it| maybe(it.map(Nanos::as_millis_f64)));
        named(name, format!("{p50:>10} {p99:>10}"))
    };
    let mut lines = vec![named("ms", format!("{:>10} {:>10}", "p50", "p99")).dim()];
    if !phase.look.answers_without_tokens() {
        lines.push(row("TTFT", seen.ttft_p50, seen.ttft_p99));
        lines.push(row("ITL", seen.itl_p50, seen.itl_p99));
    }
    lines.push(row("request", seen.latency_p50, seen.latency_p99));
    lines
}

/// The last minute.
pub(super) fn plots(frame: &mut Frame, area: Rect, history: &History, is_wide: bool) {
    let all = [
        ("req/s", &history.requests_per_s, Color::Green),
        ("tok/s", &history.tokens_per_s, Color::Cyan),
        ("in flight", &history.in_flight, Color::Yellow),
    ];
    if is_wide {
        let areas: [Rect; 3] = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas(area);
        for ((name, series, colour), area) in all.into_iter().zip(areas) {
            let most = series.iter().max().copied().unwrap_or(0);
            let title = format!("{name}, at most {most}");
            let block = panel(&title);
            sparkline(frame, block.inner(area), series, colour);
            frame.render_widget(block, area);
        }
        return;
    }
    let block = panel("the last minute");
    let rows: [Rect; 3] = Layout::vertical([Constraint::Length(1); 3]).areas(block.inner(area));
    frame.render_widget(block, area);
    for ((name, series, colour), row) in all.into_iter().zip(rows) {
        let [label, plot] =
            Layout::horizontal([Constraint::Length(10), Constraint::Min(0)]).areas(row);
        frame.render_widget(Span::from(name).dim(), label);
        sparkline(frame, plot, series, colour);
    }
}

/// The newest looks that fit.
fn sparkline(
    frame: &mut Frame,
    area: Rect,
    series: &std::collections::VecDeque<u64>,
    colour: Color,
) {
    let from = series.len().saturating_sub(area.width as usize);
    let newest = series.iter().skip(from).copied();
    let plot = Sparkline::default().data(newest).style(Style::new().fg(colour));
    frame.render_widget(plot, area);
}

/// Harness and GPUs.
pub(super) fn health(frame: &mut Frame, area: Rect, phase: &PhaseShown, is_wide: bool) {
    if phase.gpus.is_empty() {
        frame.render_widget(Paragraph::new(harness(phase)).block(panel("harness")), area);
        return;
    }
    let [left, right] = two(area, is_wide, HARNESS_HEIGHT);
    frame.render_widget(Paragraph::new(harness(phase)).block(panel("harness")), left);
    let gpus = phase.gpus.iter().take(GPUS).map(|(name, sample)| gpu(name, sample));
    frame.render_widget(Paragraph::new(gpus.collect::<Vec<_>>()).block(panel("GPUs")), right);
}

/// A share of the median TTFT that a run may be late by, as the check `schedule_lag` has it.
const LATE_SHARE: i64 = 100;

fn harness(phase: &PhaseShown) -> Vec<Line<'static>> {
    let seen = &phase.look.snapshot;
    let ms = |span: Nanos| figure(span.as_millis_f64());
    let lateness = match (seen.lag_p99, seen.lag_most) {
        (Some(p99), Some(most)) => {
            let text = format!("p99 {} ms, most {} ms", ms(p99), ms(most));
            let bound = seen.ttft_p50.map_or(Nanos::ZERO, |ttft| Nanos(ttft.0 / LATE_SHARE));
            let is_late = p99 > bound.max(Nanos::from_millis(1));
            if is_late { Span::from(text).fg(Color::Red) } else { Span::from(text) }
        }
        _ => Span::from(ABSENT),
    };
    let waited = phase.waited;
    let recorder = match (waited.lost, waited.waits) {
        (0, 0) => Span::from("nothing waited for it"),
        (0, waits) => {
            Span::from(format!("{waits} waits, {} ms", ms(waited.span))).fg(Color::Yellow)
        }
        (lost, _) => Span::from(format!("{lost} events LOST")).fg(Color::Red).bold(),
    };
    vec![named("lateness", lateness), named("recorder", recorder)]
}

fn gpu(name: &str, sample: &GpuSample) -> Line<'static> {
    let mut parts = vec![format!("{} {name}", sample.gpu)];
    parts.extend(sample.gpu_utilisation.map(|share| format!("{:.0} %", share * 100.0)));
    parts.extend(sample.power_w.map(|watts| format!("{watts:.0} W")));
    parts.extend(sample.memory_used_bytes.map(|bytes| format!("{:.1} GB", bytes as f64 / 1e9)));
    parts.extend(sample.sm_mhz.map(|mhz| format!("{mhz} MHz")));
    parts.extend(sample.temperature_c.map(|degrees| format!("{degrees} °C")));
    let mut line = vec![Span::from(parts.join(" · "))];
    if let Some(why) = sample.throttle.first() {
        line.push(Span::from(format!(" · held down by {}", why.label())).fg(Color::Yellow));
    }
    Line::from(line)
}

/// Points that were measured.
pub(super) fn points(frame: &mut Frame, area: Rect, points: &[PointRow]) {
    let header = ["point", "ok/failed", "req/s", "tok/s", "TTFT ms p50/p99", "ITL ms p50/p99", ""];
    let pair = |values: Option<(f64, f64)>| match values {
        Some((p50, p99)) => format!("{}/{}", figure(p50), figure(p99)),
        None => ABSENT.to_owned(),
    };
    let newest = points.iter().skip(points.len().saturating_sub(POINTS));
    let rows = newest.map(|point| {
        let row = Row::new([
            point.label.clone(),
            format!("{}/{}", point.completed, point.failed),
            maybe(point.requests_per_s),
            maybe(point.tokens_per_s),
            pair(point.ttft_ms),
            pair(point.itl_ms),
            short_verdict(point.verdict).to_owned(),
        ]);
        match point.verdict {
            Verdict::Valid => row,
            Verdict::ValidWithWarnings => row.fg(Color::Yellow),
            Verdict::Invalid => row.fg(Color::Red),
        }
    });
    let widths = [
        Constraint::Min(14),
        Constraint::Length(11),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(16),
        Constraint::Length(15),
        Constraint::Length(8),
    ];
    let table = Table::new(rows, widths).header(Row::new(header).dim());
    frame.render_widget(table.block(panel("points")), area);
}

/// The last notices; all of them are printed at the end.
pub(super) fn notices(frame: &mut Frame, area: Rect, notices: &[String]) {
    let lines: Vec<Line> = notices.iter().map(|line| Line::from(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(panel("notices")), area);
}
