//! Layout of the full view: parts from the top, the less important left out where the terminal is small.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Paragraph};

use super::panels;
use super::shown::{PhaseShown, Shown};
use crate::clock::Nanos;
use crate::record::request_record::Part as PartOfLoad;

/// Columns from which two panels lie side by side.
const WIDE: u16 = 76;
/// Points that are listed, the last ones.
pub(super) const POINTS: usize = 8;

/// A part of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Title,
    Progress,
    Figures,
    Plots,
    Health,
    Points,
    Notices,
    Keys,
}

/// From the top.
const FROM_THE_TOP: [Part; 8] = [
    Part::Title,
    Part::Progress,
    Part::Figures,
    Part::Plots,
    Part::Health,
    Part::Points,
    Part::Notices,
    Part::Keys,
];

/// Who stays where there is too little room.
const BY_WEIGHT: [Part; 8] = [
    Part::Progress,
    Part::Figures,
    Part::Title,
    Part::Keys,
    Part::Health,
    Part::Plots,
    Part::Notices,
    Part::Points,
];

impl Part {
    /// Rows that it wants; 0 where it has nothing to show.
    fn height(self, shown: &Shown, is_wide: bool) -> u16 {
        let phase = shown.phase.as_ref();
        match self {
            Self::Title | Self::Keys => 1,
            Self::Progress => 2,
            Self::Figures => phase.map_or(0, |_| panels::figures_height(is_wide)),
            Self::Plots => phase.map_or(0, |_| panels::PLOTS_HEIGHT),
            Self::Health => phase.map_or(0, |phase| panels::health_height(phase, is_wide)),
            Self::Points if shown.points.is_empty() => 0,
            Self::Points => shown.points.len().min(POINTS) as u16 + 3,
            Self::Notices if shown.notices.is_empty() => 0,
            Self::Notices => shown.notices.len() as u16 + 2,
        }
    }

    fn draw(self, frame: &mut Frame, area: Rect, shown: &Shown, is_wide: bool) {
        match (self, &shown.phase) {
            (Self::Title, _) => title(frame, area, shown),
            (Self::Keys, _) => keys(frame, area, shown),
            (Self::Points, _) => panels::points(frame, area, &shown.points),
            (Self::Notices, _) => panels::notices(frame, area, &shown.notices),
            (Self::Progress, None) => {
                frame.render_widget("setting up: the target is opened, clocks are checked", area);
            }
            (Self::Progress, Some(phase)) => progress(frame, area, phase),
            (Self::Figures, Some(phase)) => panels::figures(frame, area, phase, is_wide),
            (Self::Plots, Some(phase)) => panels::plots(frame, area, &phase.history, is_wide),
            (Self::Health, Some(phase)) => panels::health(frame, area, phase, is_wide),
            (Self::Figures | Self::Plots | Self::Health, None) => {}
        }
    }
}

/// Draws a frame.
pub(super) fn draw(frame: &mut Frame, shown: &Shown) {
    let area = frame.area();
    let is_wide = area.width >= WIDE;
    let mut left = area.height;
    let mut fitting = Vec::new();
    for part in BY_WEIGHT {
        let height = part.height(shown, is_wide);
        if height > 0 && height <= left {
            left -= height;
            fitting.push(part);
        }
    }
    let mut top = area.y;
    for part in FROM_THE_TOP.into_iter().filter(|part| fitting.contains(part)) {
        let height = part.height(shown, is_wide);
        // Keys lie on the last row.
        let y = if part == Part::Keys { area.bottom() - 1 } else { top };
        part.draw(frame, Rect { y, height, ..area }, shown, is_wide);
        top += height;
    }
}

fn title(frame: &mut Frame, area: Rect, shown: &Shown) {
    let name = Span::from(" bareflight ").bold().reversed();
    frame.render_widget(Line::from(vec![name, Span::from(format!(" {}", shown.targets))]), area);
}

fn keys(frame: &mut Frame, area: Rect, shown: &Shown) {
    let line = if shown.is_stopping {
        let words =
            "stopping: requests in flight are awaited (`--drain`) · q or Ctrl-C again ends at once";
        Line::from(words).fg(Color::Yellow)
    } else {
        Line::from("q or Ctrl-C stops, and keeps what was measured").dim()
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn progress(frame: &mut Frame, area: Rect, phase: &PhaseShown) {
    let [words, gauge] = Layout::vertical([Constraint::Length(1); 2]).areas(area);
    let mut line = vec![Span::from(phase.label.clone()).bold()];
    let part = phase.look.snapshot.part;
    if part != PartOfLoad::Measured && phase.look.snapshot.since.is_some() {
        line.push(Span::from(format!(" · {}", part.word())));
    }
    line.push(Span::from(match phase.totals.duration {
        Some(duration) => {
            format!(" · {:.0} of {} s", phase.look.elapsed.as_secs_f64(), duration.as_secs_f64())
        }
        None => format!(
            " · {} of {} requests",
            phase.look.snapshot.measured_ended, phase.totals.requests
        ),
    }));
    if let Some(left) = phase.left() {
        line.push(Span::from(format!(" · {} left", span(left))));
    }
    frame.render_widget(Line::from(line), words);
    let share = phase.look.share(phase.totals);
    let style = Style::new().fg(Color::Cyan);
    let bar =
        LineGauge::default().ratio(share).filled_style(style).unfilled_style(Style::new().dim());
    frame.render_widget(bar.label(format!("{:3.0} %", share * 100.0)), gauge);
}

/// `12 s`, `3:05 min`, `1:02:03 h`.
fn span(span: Nanos) -> String {
    let seconds = span.as_secs_f64().round() as u64;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, minutes) => format!("{minutes}:{rest:02} min"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{rest:02} h"),
    }
}
