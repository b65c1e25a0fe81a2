//! Line charts as inline SVG.

pub mod dots;
pub mod file;
pub mod frame;
pub mod heat_map;
mod names;
pub mod ratios;
pub mod scale;
pub mod spans;

use std::fmt::Write as _;

use crate::report::html::text::escape;
use frame::Axes;
use scale::{Scale, Spread, from_zero};

/// Beyond this ratio of largest to smallest value, small ones would vanish on a linear axis.
pub(super) const LOG_BEYOND: f64 = 20.0;
/// A picture is drawn no smaller than this share of the size that its text is made for; on a phone its text is larger.
const LEAST_SHARE: f64 = 0.55;

/// A chart with its title and legend.
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// What it shows from bottom to top, with its unit.
    pub y_label: String,
    /// Where small values would vanish beside large ones, equal ratios take equal room from bottom to top. Otherwise,
    /// and always where this is `false`, the axis starts at 0.
    pub y_may_be_log: bool,
    /// What is drawn, in the order of the legend.
    pub series: Vec<Series>,
    /// Width and height of the picture, in the pixels that its text is made for.
    pub size: (f64, f64),
    /// A dot for each point; without, only the line.
    pub dots: bool,
    /// Writes each point's name beside it.
    pub named_points: bool,
}

/// The horizontal axis.
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// How values are spread.
    pub spread: Spread,
    /// It starts at 0, wherever the values do.
    pub from_zero: bool,
    /// Ticks where they are not round numbers: value and text.
    pub ticks: Option<Vec<(f64, String)>>,
}

/// One line.
pub struct Series {
    /// In the legend.
    pub name: String,
    /// A CSS colour.
    pub colour: String,
    /// From left to right.
    pub points: Vec<Point>,
}

/// One value.
#[derive(Clone, Default)]
pub struct Point {
    /// Horizontally.
    pub x: f64,
    /// Vertically.
    pub y: f64,
    /// Ends of its interval, where it has one.
    pub interval: Option<(f64, f64)>,
    /// Too few samples stand behind it: drawn hollow.
    pub hollow: bool,
    /// Shown when pointed at, or beside it.
    pub name: String,
}

/// Shades from blue over violet to orange, for series that are ordered.
pub fn shade(index: usize, of: usize) -> String {
    let share = if of > 1 { index as f64 / (of - 1) as f64 } else { 0.0 };
    let hue = 208.0 + share * 182.0;
    // Blue and violet are darker than other hues of one lightness, and would vanish on a dark page.
    let lighter = 14.0 * (1.0 - (hue - 246.0_f64).abs() / 45.0).max(0.0);
    format!("hsl({hue:.0} 68% {:.0}%)", 52.0 + lighter)
}

/// How wide a picture of bars below each other is, and where their names stand.
#[derive(Debug)]
pub struct BarLayout {
    /// Of the whole picture.
    pub width: f64,
    /// Where bars or their axis begin.
    pub left: f64,
    /// From one bar to the next one.
    pub row: f64,
    /// From the top of a row to its bar.
    pub bar: f64,
    /// End of a name beside its bar; without, it begins at the left edge above its bar.
    pub name_end: Option<f64>,
}

/// Elements of an SVG, and its width and height.
pub struct Drawing {
    /// In the pixels that its text is made for.
    pub size: (f64, f64),
    /// What is drawn.
    pub elements: String,
}

impl Drawing {
    /// Where there is no room for it, its text stays readable and its box is scrolled.
    fn svg(&self, title: &str, class: &str) -> String {
        let (width, height) = self.size;
        let least = width * LEAST_SHARE;
        format!(
            r#"<svg{class} viewBox="0 0 {width} {height}" style="min-width:{least:.0}px" role="img" aria-label="{title}">{}</svg>"#,
            self.elements
        )
    }
}

/// The same drawn for a window and for a phone, of which the page shows one.
pub fn wide_and_narrow(title: &str, wide: &Drawing, narrow: &Drawing) -> String {
    wide.svg(title, r#" class="wide""#) + &narrow.svg(title, r#" class="narrow""#)
}

/// A `<figure>` that fills the window while its box is ticked: no script is needed.
fn enlargeable(title: &str, legend: &str, pictures: &str) -> String {
    format!(
        "<figure><figcaption>{title}{legend}<label class=\"enlarge\" title=\"enlarge\"><input type=\"checkbox\" \
         aria-label=\"enlarge {title}\"></label></figcaption>{pictures}</figure>\n"
    )
}

struct Frame {
    x: Scale,
    y: Scale,
    bottom: f64,
}

impl Chart {
    /// A `<figure>`, or nothing where no point can be drawn.
    pub fn figure(&self) -> String {
        self.drawing().map_or_else(String::new, |drawing| self.figure_of(drawing))
    }

    /// The same for a chart that is too wide for a phone, with another one to show there.
    pub fn figure_or(&self, narrow: &Self) -> String {
        let of = |chart: &Self| Some(Drawing { size: chart.size, elements: chart.drawing()? });
        let Some((wide, narrow)) = of(self).zip(of(narrow)) else { return String::new() };
        let title = escape(&self.title);
        enlargeable(&title, &self.legend(), &wide_and_narrow(&title, &wide, &narrow))
    }

    /// The same, with what lies beside this stretch of the horizontal axis shaded.
    pub fn figure_beside(&self, stretch: (f64, f64)) -> String {
        let Some((frame, drawing)) = self.frame().zip(self.drawing()) else { return String::new() };
        let (right, bottom) = (self.size.0 - frame::BESIDE, frame.bottom);
        let shade = frame::shade(&frame.x, stretch, (frame::LEFT, right), (bottom, frame::TOP));
        self.figure_of(shade + &drawing)
    }

    fn figure_of(&self, elements: String) -> String {
        let title = escape(&self.title);
        let drawing = Drawing { size: self.size, elements };
        enlargeable(&title, &self.legend(), &drawing.svg(&title, ""))
    }

    /// What is drawn, as elements of an SVG of [`Self::size`]; `None` where no point can be drawn.
    pub fn drawing(&self) -> Option<String> {
        let frame = self.frame()?;
        let mut svg = frame::axes(&Axes {
            x: &frame.x,
            y: &frame.y,
            x_ticks: &self.x_ticks(&frame),
            x_label: &self.x.label,
            y_label: &self.y_label,
            size: self.size,
        });
        for series in &self.series {
            self.draw(series, &frame, &mut svg);
        }
        if self.named_points {
            names::draw(self, &frame, &mut svg);
        }
        Some(svg)
    }

    fn legend(&self) -> String {
        if self.series.len() < 2 {
            return String::new();
        }
        let entries = self.series.iter().map(|series| {
            let (colour, name) = (&series.colour, escape(&series.name));
            format!(r#"<span><i style="background:{colour}"></i>{name}</span>"#)
        });
        format!(r#"<span class="legend">{}</span>"#, entries.collect::<String>())
    }

    fn frame(&self) -> Option<Frame> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (x_low, x_high) = frame::extent(points().map(|point| point.x))?;
        let (y_low, y_high) = frame::extent(points().flat_map(|point| {
            let (low, high) = point.interval.unwrap_or((point.y, point.y));
            [low, point.y, high]
        }))?;
        let (right, bottom) = (self.size.0 - frame::BESIDE, self.size.1 - frame::BELOW);
        let logarithmic = self.y_may_be_log && y_low > 0.0 && y_high / y_low > LOG_BEYOND;
        let y = if logarithmic {
            Scale::new(Spread::Log, (y_low / 1.15, y_high * 1.15), (bottom, frame::TOP))
        } else {
            Scale::new(Spread::Linear, from_zero(y_high, frame::TICKS), (bottom, frame::TOP))
        };
        // Room at both sides, so that dots and names do not sit on the frame.
        let margin = if self.dots { 16.0 } else { 0.0 };
        let x = if self.x.from_zero {
            Scale::new(Spread::Linear, from_zero(x_high, frame::TICKS), (frame::LEFT, right))
        } else {
            Scale::new(self.x.spread, (x_low, x_high), (frame::LEFT + margin, right - margin))
        };
        Some(Frame { x, y, bottom })
    }

    fn x_ticks(&self, frame: &Frame) -> Vec<(f64, String)> {
        self.x.ticks.clone().unwrap_or_else(|| frame::round_ticks(&frame.x, 2 * frame::TICKS))
    }

    fn draw(&self, series: &Series, frame: &Frame, svg: &mut String) {
        let at = |point: &Point| (frame.x.at(point.x), frame.y.at(point.y));
        let mut path = String::new();
        for (index, point) in series.points.iter().enumerate() {
            let (x, y) = at(point);
            let _infallible = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
        }
        let _infallible =
            write!(svg, r#"<g style="color:{}"><path class="line" d="{path}"/>"#, series.colour);
        for point in series.points.iter().filter(|_| self.dots) {
            let (x, y) = at(point);
            if let Some((low, high)) = point.interval {
                let (low, high) = (frame.y.at(low), frame.y.at(high));
                let _infallible =
                    write!(svg, r#"<path class="whisker" d="M{x:.1} {low:.1}V{high:.1}"/>"#);
            }
            let class = if point.hollow { "hollow" } else { "dot" };
            let _infallible = write!(
                svg,
                r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="3.5"><title>{}</title></circle>"#,
                escape(&point.name)
            );
        }
        svg.push_str("</g>");
    }
}
