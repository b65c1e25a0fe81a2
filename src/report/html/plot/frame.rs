//! Frame of a plot: its axes with ticks and labels, and the room that they take.

use std::fmt::Write as _;

use super::scale::{Scale, tick_label};
use crate::report::html::text::escape;

/// Width and height of a plot that is no line chart, in the pixels that its text is made for.
pub const SIZE: (f64, f64) = (360.0, 220.0);
/// Room for the labels of the vertical axis.
pub const LEFT: f64 = 58.0;
/// Room above the values.
pub const TOP: f64 = 28.0;
/// Room at the right.
pub const BESIDE: f64 = 20.0;
/// Room for the labels of the horizontal axis.
pub const BELOW: f64 = 42.0;
/// Where the label of the vertical axis begins: its left edge and base line.
pub const LABEL: (f64, f64) = (4.0, 13.0);
/// Ticks of an axis, about.
pub const TICKS: usize = 5;

/// Where values lie from left to right in a plot of [`SIZE`], as picture positions.
pub const ACROSS: (f64, f64) = (LEFT, SIZE.0 - BESIDE);
/// Where values lie from bottom to top.
pub const UP: (f64, f64) = (SIZE.1 - BELOW, TOP);

/// Both axes of a plot.
pub struct Axes<'a> {
    /// From left to right.
    pub x: &'a Scale,
    /// From bottom to top.
    pub y: &'a Scale,
    /// Ticks of the horizontal axis: value and text.
    pub x_ticks: &'a [(f64, String)],
    /// What is shown from left to right, with its unit.
    pub x_label: &'a str,
    /// What is shown from bottom to top, with its unit.
    pub y_label: &'a str,
    /// Width and height of the picture.
    pub size: (f64, f64),
}

/// The axes of a plot of [`SIZE`], with round ticks.
pub fn plain_axes(x: &Scale, y: &Scale, x_label: &str, y_label: &str) -> String {
    axes(&Axes { x, y, x_ticks: &round_ticks(x, TICKS), x_label, y_label, size: SIZE })
}

/// About so many round values of an axis, each with its text.
pub fn round_ticks(x: &Scale, wanted: usize) -> Vec<(f64, String)> {
    x.ticks(wanted).into_iter().map(|tick| (tick, tick_label(tick))).collect()
}

/// Grid lines, ticks and labels; a tick whose text would cover the one before has none.
pub fn axes(axes: &Axes<'_>) -> String {
    let mut svg = String::new();
    let (right, bottom) = (axes.size.0 - BESIDE, axes.size.1 - BELOW);
    for tick in axes.y.ticks(TICKS) {
        let y = axes.y.at(tick);
        // Writing to a string cannot fail, here and below.
        let _infallible = write!(
            svg,
            r#"<path class="grid" d="M{LEFT} {y:.1}H{right}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 7.0,
            y + 4.0,
            tick_label(tick)
        );
    }
    let mut free_from = f64::NEG_INFINITY;
    // On a phone, text of a wide picture is larger.
    let half_letter = if axes.size.0 > SIZE.0 { 4.3 } else { 3.4 };
    for (value, label) in axes.x_ticks {
        let x = axes.x.at(*value);
        let half = label.chars().count() as f64 * half_letter + 3.0;
        let _infallible = write!(svg, r#"<path class="axis" d="M{x:.1} {bottom:.1}v4"/>"#);
        if x - half >= free_from {
            free_from = x + half;
            let _infallible = write!(
                svg,
                r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                bottom + 17.0,
                escape(label)
            );
        }
    }
    let _infallible = write!(
        svg,
        r#"<path class="axis" d="M{LEFT} {bottom:.1}H{right}"/><text class="label" x="{}" y="{}">{}</text><text class="label" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
        LABEL.0,
        LABEL.1,
        escape(&axes.y.label(axes.y_label)),
        f64::midpoint(LEFT, right),
        axes.size.1 - 5.0,
        escape(&axes.x.label(axes.x_label))
    );
    svg
}

/// A `<figure>` around what is drawn, with a legend where there is more than one entry.
pub fn figure(title: &str, legend: &[(&str, &str)], drawing: &str) -> String {
    let entries: Vec<String> = legend
        .iter()
        .map(|(name, colour)| {
            format!(r#"<span><i style="background:{colour}"></i>{}</span>"#, escape(name))
        })
        .collect();
    let legend = if entries.len() > 1 {
        format!(r#"<span class="legend">{}</span>"#, entries.concat())
    } else {
        String::new()
    };
    let title = escape(title);
    let drawing = super::Drawing { size: SIZE, elements: drawing.to_owned() };
    super::enlargeable(&title, &legend, &drawing.svg(&title, ""))
}

/// Grey where the axis lies beside a stretch, which so stands out, between picture positions across and up.
pub fn shade(x: &Scale, stretch: (f64, f64), across: (f64, f64), up: (f64, f64)) -> String {
    let mut svg = String::new();
    for (left, right) in [(across.0, x.at(stretch.0)), (x.at(stretch.1), across.1)] {
        if right - left > 0.5 {
            let _infallible = write!(
                svg,
                r#"<rect class="margin" x="{left:.1}" y="{}" width="{:.1}" height="{}"/>"#,
                up.1,
                right - left,
                up.0 - up.1
            );
        }
    }
    svg
}

/// The smallest and largest of some values; `None` of none.
pub fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |extent: Option<(f64, f64)>, value| {
        Some(extent.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}
