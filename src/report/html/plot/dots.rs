//! Scatter plot as inline SVG: many dots in few groups.

use std::fmt::Write as _;

use super::LOG_BEYOND;
use super::frame::{ACROSS, UP, extent, figure, plain_axes, shade};
use super::scale::{Scale, Spread, from_zero};

/// A plot of dots.
pub struct Dots {
    /// What it shows.
    pub title: String,
    /// From left to right, with its unit.
    pub x_label: String,
    /// From bottom to top, with its unit.
    pub y_label: String,
    /// A stretch from left to right that stands out; what lies beside it is shaded.
    pub marked: Option<(f64, f64)>,
    /// What is drawn, in the order of the legend.
    pub groups: Vec<Group>,
}

/// Dots of one colour.
pub struct Group {
    /// In the legend.
    pub name: String,
    /// A CSS colour.
    pub colour: String,
    /// From left to right, from bottom to top.
    pub dots: Vec<(f64, f64)>,
}

impl Dots {
    /// A `<figure>`, or nothing where there is no dot.
    pub fn figure(&self) -> String {
        let all = || self.groups.iter().flat_map(|group| &group.dots);
        let Some((left, right)) = extent(all().map(|dot| dot.0)) else { return String::new() };
        let Some((low, high)) = extent(all().map(|dot| dot.1)) else { return String::new() };
        let x = Scale::new(Spread::Linear, (left, right), ACROSS);
        let y = if low > 0.0 && high / low > LOG_BEYOND {
            Scale::new(Spread::Log, (low / 1.15, high * 1.15), UP)
        } else {
            Scale::new(Spread::Linear, from_zero(high, 5), UP)
        };
        let mut svg =
            self.marked.map_or_else(String::new, |stretch| shade(&x, stretch, ACROSS, UP));
        svg.push_str(&plain_axes(&x, &y, &self.x_label, &self.y_label));
        for group in &self.groups {
            let mut path = String::new();
            for dot in &group.dots {
                // A stroke without length has round ends: a dot. Writing to a string cannot fail.
                let _infallible = write!(path, "M{:.1} {:.1}h0", x.at(dot.0), y.at(dot.1));
            }
            let _infallible = write!(
                svg,
                r#"<path class="dots" style="color:{}" d="{path}"><title>{}</title></path>"#,
                group.colour, group.name
            );
        }
        let legend: Vec<(&str, &str)> = self
            .groups
            .iter()
            .filter(|group| !group.dots.is_empty())
            .map(|group| (group.name.as_str(), group.colour.as_str()))
            .collect();
        figure(&self.title, &legend, &svg)
    }
}
