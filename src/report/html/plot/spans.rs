//! Span chart as inline SVG: one bar over time for each request, in stretches of different colours.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::frame::{ACROSS, UP, extent, figure, plain_axes};
use super::scale::{Scale, Spread};

/// Bars below each other, the first one at the bottom.
pub struct Spans {
    /// What it shows.
    pub title: String,
    /// From left to right, with its unit.
    pub x_label: String,
    /// What a bar is.
    pub y_label: String,
    /// Names and colours of the stretches.
    pub legend: Vec<(&'static str, &'static str)>,
    /// From bottom to top.
    pub bars: Vec<Bar>,
}

/// Stretches of a bar: from, to, and a CSS colour.
pub struct Bar(pub Vec<(f64, f64, &'static str)>);

impl Spans {
    /// A `<figure>`, or nothing where there is no bar.
    pub fn figure(&self) -> String {
        let ends = self.bars.iter().flat_map(|bar| &bar.0).flat_map(|(from, to, _)| [*from, *to]);
        let Some(extent) = extent(ends) else { return String::new() };
        let x = Scale::new(Spread::Linear, extent, ACROSS);
        let y = Scale::new(Spread::Linear, (0.0, self.bars.len() as f64), UP);
        let thick = ((UP.0 - UP.1) / self.bars.len() as f64 * 0.8).clamp(0.6, 9.0);
        let mut paths: BTreeMap<&str, String> = BTreeMap::new();
        for (index, bar) in self.bars.iter().enumerate() {
            let middle = y.at(index as f64 + 0.5);
            for (from, to, colour) in &bar.0 {
                let (from, to) = (x.at(*from), x.at(*to));
                if to > from {
                    // Writing to a string cannot fail, here and below.
                    let path = paths.entry(colour).or_default();
                    let _infallible = write!(path, "M{from:.1} {middle:.1}H{to:.1}");
                }
            }
        }
        let mut svg = plain_axes(&x, &y, &self.x_label, &self.y_label);
        for (name, colour) in &self.legend {
            let Some(path) = paths.get(colour) else { continue };
            let _infallible = write!(
                svg,
                r#"<path d="{path}" style="stroke:{colour};stroke-width:{thick:.2}"><title>{name}</title></path>"#
            );
        }
        figure(&self.title, &self.legend, &svg)
    }
}
