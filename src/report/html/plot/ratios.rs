//! Chart of ratios with intervals, on a logarithmic axis.

use std::fmt::Write as _;

use crate::report::figures::fixed;
use crate::report::html::plot::scale::{Scale, Spread, tick_label};
use crate::report::html::plot::{BarLayout, Drawing, wide_and_narrow};
use crate::report::html::text::escape;

/// One ratio.
pub struct Bar {
    /// What it is the ratio of.
    pub name: String,
    /// Above 0.
    pub value: f64,
    /// Ends of its interval, where it has one.
    pub interval: Option<(f64, f64)>,
    /// Whether it is good news.
    pub tone: Tone,
}

/// Whether a ratio is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Better beyond the margin.
    Good,
    /// Worse beyond the margin.
    Bad,
    /// Neither.
    Neutral,
}

const TOP: f64 = 8.0;

const WIDE: BarLayout =
    BarLayout { width: 1060.0, left: 230.0, row: 26.0, bar: 13.0, name_end: Some(216.0) };
/// For a phone.
const NARROW: BarLayout =
    BarLayout { width: 330.0, left: 20.0, row: 34.0, bar: 24.0, name_end: None };

/// The axis never shows less than this on either side of 1.
const LEAST_REACH: f64 = 1.1;
/// Beyond this an interval is cut at the edge, so that one noisy row does not flatten all others.
const MOST_REACH: f64 = 8.0;

/// Ratios that are drawn.
pub struct Ratios {
    /// What they are, and how they are spread.
    pub title: String,
    /// For a window, and for a file.
    pub wide: Drawing,
    /// For a phone.
    narrow: Drawing,
}

/// A `<figure>`, or nothing where there is no ratio.
pub fn figure(title: &str, bars: &[Bar], margin: f64) -> String {
    let Some(ratios) = drawing(title, bars, margin) else { return String::new() };
    let pictures = wide_and_narrow(&escape(title), &ratios.wide, &ratios.narrow);
    let title = escape(&ratios.title);
    format!("<figure><figcaption>{title}</figcaption>{pictures}</figure>\n")
}

/// What is drawn; `None` where there is no ratio.
pub fn drawing(title: &str, bars: &[Bar], margin: f64) -> Option<Ratios> {
    if bars.is_empty() {
        return None;
    }
    let reach = bars
        .iter()
        .flat_map(|bar| {
            [
                bar.value,
                bar.interval.map_or(bar.value, |it| it.0),
                bar.interval.map_or(bar.value, |it| it.1),
            ]
        })
        .map(|value| value.max(1.0 / value))
        .fold(LEAST_REACH, f64::max)
        .min(MOST_REACH);
    let drawn = |layout| laid_out(layout, bars, margin, reach);
    let title = format!("{title}; log scale");
    Some(Ratios { title, wide: drawn(&WIDE), narrow: drawn(&NARROW) })
}

fn laid_out(layout: &BarLayout, bars: &[Bar], margin: f64, reach: f64) -> Drawing {
    let across = (layout.left, layout.width - 20.0);
    let scale = Scale::new(Spread::Log, (1.0 / reach, reach), across);
    let bottom = TOP + layout.row * bars.len() as f64;
    let mut elements = String::new();
    frame(&scale, reach, margin, bottom, &mut elements);
    for (index, bar) in bars.iter().enumerate() {
        draw(bar, layout, &scale, TOP + layout.row * index as f64, &mut elements);
    }
    Drawing { size: (layout.width, bottom + 30.0), elements }
}

fn frame(scale: &Scale, reach: f64, margin: f64, bottom: f64, svg: &mut String) {
    let (left, right) = (scale.at(1.0 / (1.0 + margin)), scale.at(1.0 + margin));
    // Writing to a string cannot fail, here and below.
    let _infallible = write!(
        svg,
        r#"<rect class="margin" x="{left:.1}" y="{TOP}" width="{:.1}" height="{:.1}"/>"#,
        right - left,
        bottom - TOP
    );
    let steps = if reach > 3.0 {
        vec![2.0, 4.0, 8.0]
    } else if reach > 1.6 {
        vec![1.5, 2.0, 3.0]
    } else {
        vec![1.1, 1.25, 1.5]
    };
    let above = steps.into_iter().filter(|step| *step <= reach * 1.001);
    let ticks = above.flat_map(|step| [step, 1.0 / step]).chain([1.0]);
    for tick in ticks {
        let x = scale.at(tick);
        let _infallible = write!(
            svg,
            r#"<path class="grid" d="M{x:.1} {TOP}V{bottom:.1}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 18.0,
            tick_label((tick * 1_000.0).round() / 1_000.0)
        );
    }
    let one = scale.at(1.0);
    let _infallible = write!(svg, r#"<path class="axis" d="M{one:.1} {TOP}V{bottom:.1}"/>"#);
}

fn draw(bar: &Bar, layout: &BarLayout, scale: &Scale, top: f64, svg: &mut String) {
    let y = top + layout.bar;
    let (x, base, anchor) = match layout.name_end {
        Some(end) => (end, y + 4.0, "end"),
        None => (4.0, top + 13.0, "start"),
    };
    let colour = match bar.tone {
        Tone::Good => "var(--good)",
        Tone::Bad => "var(--bad)",
        Tone::Neutral => "var(--soft)",
    };
    let interval = bar.interval.map_or_else(String::new, |(low, high)| {
        format!(r#"<path class="line" d="M{:.1} {y:.1}H{:.1}"/>"#, scale.at(low), scale.at(high))
    });
    let interval_text = bar.interval.map_or_else(String::new, |(low, high)| {
        format!(" ({} to {})", fixed(low, 3), fixed(high, 3))
    });
    let _infallible = write!(
        svg,
        r#"<text class="name" x="{x:.1}" y="{base:.1}" text-anchor="{anchor}">{}</text><g style="color:{colour}">{interval}<circle class="dot" cx="{:.1}" cy="{y:.1}" r="4"><title>{}{interval_text}</title></circle></g>"#,
        escape(&bar.name),
        scale.at(bar.value),
        fixed(bar.value, 3)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(value: f64, interval: Option<(f64, f64)>) -> Bar {
        Bar { name: "TTFT <p50>".into(), value, interval, tone: Tone::Neutral }
    }

    #[test]
    fn nothing_to_draw_is_no_figure() {
        assert_eq!(figure("t", &[], 0.02), "");
    }

    #[test]
    fn a_ratio_far_beyond_the_axis_stays_in_the_picture() {
        let drawn = figure("t", &[bar(1000.0, Some((500.0, 2000.0)))], 0.02);
        assert!(drawn.contains(&format!("cx=\"{:.1}\"", WIDE.width - 20.0)), "{drawn}");
        assert!(drawn.contains("1000.000 (500.000 to 2000.000)"));
    }

    #[test]
    fn on_a_phone_a_name_stands_above_its_bar_which_takes_the_whole_width() {
        let drawn = laid_out(&NARROW, &[bar(2.0, Some((0.5, 2.0)))], 0.02, 2.0);
        assert!(drawn.size.0 < 360.0, "a phone's width");
        let (name, line) = (r#"x="4.0" y="21.0" text-anchor="start""#, r#"d="M20.0 32.0H310.0""#);
        assert!(
            drawn.elements.contains(name) && drawn.elements.contains(line),
            "{}",
            drawn.elements
        );
    }

    #[test]
    fn names_are_harmless_and_a_dot_without_interval_has_no_line() {
        let drawn = figure("t", &[bar(1.0, None)], 0.02);
        assert!(drawn.contains("TTFT &lt;p50&gt;") && !drawn.contains("class=\"line\""));
    }
}
