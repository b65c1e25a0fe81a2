//! Charts as SVG files of their own: colours written out, title and legend drawn into the picture.

use std::fmt::Write as _;

use super::{Chart, Drawing};
use crate::report::html::text::escape;

/// Room above a chart for its title and one line of legend.
const HEAD: f64 = 46.0;
/// Room around the charts of a sheet.
const GAP: f64 = 18.0;
/// Room between the title of a sheet and its charts.
const SHEET_HEAD: f64 = 18.0;
/// Height of a line of that title.
const SHEET_LINE: f64 = 22.0;
/// Width of a letter of it, on average.
const SHEET_LETTER: f64 = 8.6;
/// Width of a letter of the legend, on average.
const LETTER: f64 = 6.3;

/// Colours of the page in light, since programs that draw SVG files know no variables of CSS.
const COLOURS: [(&str, &str); 9] = [
    ("var(--s0)", "#2563eb"),
    ("var(--s1)", "#d97706"),
    ("var(--s2)", "#be185d"),
    ("var(--good)", "#1a7f47"),
    ("var(--bad)", "#b3261e"),
    ("var(--soft)", "#5c6670"),
    ("var(--grid)", "#eceef0"),
    ("var(--ink)", "#1b1f24"),
    ("var(--card)", "#ffffff"),
];

const STYLE: &str = "text{fill:#5c6670;font-family:'DejaVu Sans',Roboto,'Segoe UI',sans-serif;font-size:11.5px}\
    .title{fill:#1b1f24;font-size:13.5px;font-weight:600}.sheet{fill:#1b1f24;font-size:14px;font-weight:600}.mark{fill:#b3261e;font-weight:600}\
    .name{fill:#1b1f24}.margin{fill:#eceef0}.grid{stroke:#eceef0;fill:none}.axis{stroke:#5c6670;fill:none}\
    .line{stroke:currentColor;stroke-width:1.8;fill:none;stroke-linejoin:round}\
    .whisker{stroke:currentColor;stroke-width:1.2;opacity:.55;fill:none}.dot{fill:currentColor}\
    .hollow{fill:#ffffff;stroke:currentColor;stroke-width:1.6}";

/// Colours that stay apart, for series without an order, such as several runs.
const APART: [&str; 8] =
    ["#2563eb", "#d97706", "#be185d", "#0f766e", "#7c3aed", "#65a30d", "#475569", "#b91c1c"];

/// The colour of one of several runs.
pub fn run_colour(index: usize) -> &'static str {
    APART[index % APART.len()]
}

/// A chart as a file, with what must be said of its numbers at the right of its title; `None` where no point can be drawn.
pub fn alone(chart: &Chart, label: &str) -> Option<String> {
    Some(labelled(&placed(chart, 0.0, 0.0)?, chart.size, label))
}

/// The same of what is no line chart.
pub fn drawn(title: &str, entries: &[(&str, &str)], drawing: &Drawing, label: &str) -> String {
    labelled(&headed(title, entries, drawing.size.0, &drawing.elements), drawing.size, label)
}

fn labelled(drawn: &str, (width, height): (f64, f64), label: &str) -> String {
    let label = if label.is_empty() {
        String::new()
    } else {
        format!(
            r#"<text class="mark" x="{:.1}" y="17" text-anchor="end">{}</text>"#,
            width - 8.0,
            escape(label)
        )
    };
    document(width, height + HEAD, &(drawn.to_owned() + &label))
}

/// A line of a sheet's title.
#[derive(Debug, Clone, PartialEq)]
pub struct Heading {
    /// What it says.
    pub text: String,
    /// The colour of what it is about.
    pub colour: &'static str,
}

/// Several charts in one picture, with a line for each heading above them; `None` where no chart can be drawn.
pub fn sheet(headings: &[Heading], charts: &[Chart], columns: usize) -> Option<String> {
    let head = SHEET_HEAD + SHEET_LINE * headings.len() as f64;
    let (width, height) = charts.iter().fold((0.0_f64, 0.0_f64), |(width, height), chart| {
        (width.max(chart.size.0), height.max(chart.size.1 + HEAD))
    });
    let mut drawn = String::new();
    let mut placed_charts = 0;
    for chart in charts {
        let (column, row) = (placed_charts % columns, placed_charts / columns);
        let x = GAP + column as f64 * (width + GAP);
        let y = head + row as f64 * (height + GAP);
        let Some(one) = placed(chart, x, y) else { continue };
        drawn.push_str(&one);
        placed_charts += 1;
    }
    if placed_charts == 0 {
        return None;
    }
    let across = placed_charts.min(columns) as f64;
    let down = placed_charts.div_ceil(columns) as f64;
    let size = (GAP + across * (width + GAP), head + down * (height + GAP));
    let letters = ((size.0 - 4.0 * GAP) / SHEET_LETTER) as usize;
    let titles: String = (1..).zip(headings).map(|(line, it)| title(it, line, letters)).collect();
    Some(document(size.0, size.1, &(titles + &drawn)))
}

/// A line of the title behind a mark in its colour; what finds no room is cut short.
fn title(heading: &Heading, line: u32, letters: usize) -> String {
    let y = SHEET_LINE * f64::from(line);
    format!(
        r#"<rect x="{GAP}" y="{:.1}" width="16" height="4" rx="2" style="fill:{}"/><text class="sheet" x="{:.1}" y="{:.1}">{}</text>"#,
        y - 1.0,
        heading.colour,
        2.5 * GAP,
        y + 5.0,
        escape(&shortened(&heading.text, letters))
    )
}

fn placed(chart: &Chart, x: f64, y: f64) -> Option<String> {
    let entries: Vec<(&str, &str)> = match chart.series.as_slice() {
        [] | [_] => Vec::new(),
        several => several.iter().map(|it| (it.name.as_str(), it.colour.as_str())).collect(),
    };
    let drawn = headed(&chart.title, &entries, chart.size.0, &chart.drawing()?);
    Some(format!(r#"<g transform="translate({x} {y})">{drawn}</g>"#))
}

/// A drawing below its title and its legend.
fn headed(title: &str, entries: &[(&str, &str)], width: f64, drawing: &str) -> String {
    format!(
        r#"<text class="title" x="4" y="17">{}</text>{}<g transform="translate(0 {HEAD})">{drawing}</g>"#,
        escape(title),
        legend(entries, width)
    )
}

/// One line of names, each with its colour; names that find no room in it are cut short.
fn legend(entries: &[(&str, &str)], width: f64) -> String {
    let mut text = String::new();
    let width_of = |name: &str| 30.0 + name.chars().count() as f64 * LETTER;
    let whole: f64 = entries.iter().map(|(name, _)| width_of(name)).sum();
    let each = (width - 8.0) / entries.len().max(1) as f64;
    let letters =
        if whole > width { ((each - 26.0) / LETTER).max(3.0) as usize } else { usize::MAX };
    let mut x = 4.0;
    for (name, colour) in entries {
        let name = shortened(name, letters);
        // Writing to a string cannot fail.
        let _infallible = write!(
            text,
            r#"<rect x="{x:.1}" y="30" width="13" height="3" rx="1.5" style="fill:{colour}"/><text x="{:.1}" y="36">{}</text>"#,
            x + 18.0,
            escape(&name)
        );
        x += width_of(&name);
    }
    text
}

fn shortened(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    let begin: String = name.chars().take(letters - 1).collect();
    format!("{begin}…")
}

fn document(width: f64, height: f64, drawn: &str) -> String {
    let mut body = drawn.to_owned();
    for (name, colour) in COLOURS {
        body = body.replace(name, colour);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\">\
         <style>{STYLE}</style><rect width=\"100%\" height=\"100%\" style=\"fill:#ffffff\"/>{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::plot::scale::Spread;
    use crate::report::html::plot::{Axis, Point, Series};

    fn chart(points: Vec<Point>) -> Chart {
        Chart {
            title: "TTFT <p50>".to_owned(),
            x: Axis { label: "x".to_owned(), spread: Spread::Linear, from_zero: true, ticks: None },
            y_label: "ms".to_owned(),
            series: ["a very long name of a run that has no room", "b"]
                .map(|name| Series {
                    name: name.to_owned(),
                    colour: "var(--s0)".to_owned(),
                    points: points.clone(),
                })
                .into(),
            y_may_be_log: false,
            size: (200.0, 200.0),
            dots: true,
            named_points: false,
        }
    }

    #[test]
    fn a_file_has_no_variable_of_the_page_and_no_raw_markup() {
        let drawn = alone(&chart(vec![Point { x: 1.0, y: 2.0, ..Point::default() }]), "SIMULATED")
            .expect("drawn");
        assert!(drawn.contains(">SIMULATED</text>"), "{drawn}");
        assert!(!drawn.contains("var(") && drawn.contains("TTFT &lt;p50&gt;"), "{drawn}");
        assert!(drawn.starts_with("<svg xmlns") && drawn.contains("a very lon…"), "{drawn}");
    }

    #[test]
    fn charts_without_points_leave_no_hole_in_a_sheet() {
        let full = || chart(vec![Point { x: 1.0, y: 2.0, ..Point::default() }]);
        let title = [Heading { text: "t".to_owned(), colour: run_colour(0) }];
        let two = sheet(&title, &[full(), full()], 2);
        assert_eq!(sheet(&title, &[full(), chart(Vec::new()), full()], 2), two);
        assert_eq!(sheet(&title, &[chart(Vec::new())], 2), None);
    }
}
