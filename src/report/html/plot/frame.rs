//! Frame of a plot: its axes with ticks and labels, for plots that are not line charts.

use std::fmt::Write as _;

use super::scale::{Scale, tick_label};
use crate::report::html::text::escape;

/// Width and height of such a plot, in the pixels that its text is made for.
pub const SIZE: (f64, f64) = (360.0, 220.0);
const LEFT: f64 = 58.0;
const TOP: f64 = 28.0;
const RIGHT: f64 = SIZE.0 - 20.0;
const BOTTOM: f64 = SIZE.1 - 42.0;
const TICKS: usize = 5;

/// Where values lie from left to right, as picture positions.
pub const ACROSS: (f64, f64) = (LEFT, RIGHT);
/// Where values lie from bottom to top.
pub const UP: (f64, f64) = (BOTTOM, TOP);

/// Grid lines, ticks and labels.
pub fn axes(x: &Scale, y: &Scale, x_label: &str, y_label: &str) -> String {
    let mut svg = String::new();
    for tick in y.ticks(TICKS) {
        let at = y.at(tick);
        // Writing to a string cannot fail, here and below.
        let _infallible = write!(
            svg,
            r#"<path class="grid" d="M{LEFT} {at:.1}H{RIGHT}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 7.0,
            at + 4.0,
            tick_label(tick)
        );
    }
    for tick in x.ticks(TICKS) {
        let at = x.at(tick);
        let _infallible = write!(
            svg,
            r#"<path class="axis" d="M{at:.1} {BOTTOM}v4"/><text class="tick" x="{at:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            BOTTOM + 17.0,
            tick_label(tick)
        );
    }
    let _infallible = write!(
        svg,
        r#"<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/><text class="label" x="4" y="13">{}</text><text class="label" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
        escape(y_label),
        f64::midpoint(LEFT, RIGHT),
        SIZE.1 - 5.0,
        escape(x_label)
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
    super::enlargeable(&escape(title), &legend, SIZE, drawing)
}

/// The smallest and largest of some values; `None` of none.
pub fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |extent: Option<(f64, f64)>, value| {
        Some(extent.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
    })
}
