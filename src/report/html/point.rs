//! HTML section of one point: distributions, values over time, checks.

use crate::metrics::summary::{Mark, Slice, Summary};
use crate::report::figures::{figure, with_unit};
use crate::report::html::plot::scale::Spread;
use crate::report::html::plot::{Axis, Chart, Point, Series, shade};
use crate::report::html::text::escape;
use crate::report::html::{badges, checks, ended, iterations, requests, tables};
use crate::report::{PointReport, json_word, roofline, stages};

/// A section for each point.
pub(super) fn sections(points: &[PointReport]) -> String {
    let of = points.len();
    points.iter().enumerate().map(|(index, point)| section(point, &shade(index, of))).collect()
}

fn section(point: &PointReport, colour: &str) -> String {
    let summary = &point.summary;
    format!(
        "<h2>{}{}</h2>\n<p>{}: {}</p>\n{}{}{}{}{}{}{}{}{}<details><summary>Checks in words</summary>\n{}</details>\n",
        escape(&point.label),
        badges(&summary.marks),
        summary.verdict.description(),
        escape(&ended(summary)),
        tables::rates(summary),
        roofline(summary),
        bounds(summary),
        tables::quantities(summary),
        tables::mixture(summary),
        stages(summary),
        over_time(summary, colour),
        requests::section(summary),
        iterations::section(summary, colour),
        checks::sentences(point),
    )
}

/// The best that was possible, and how much of it was reached.
fn roofline(summary: &Summary) -> String {
    let Some(found) = &summary.roofline else { return String::new() };
    let parts = roofline::parts(found);
    if parts.is_empty() {
        return String::new();
    }
    let simulated = if summary.marks.contains(&Mark::Simulated) { ", simulated" } else { "" };
    let machine = escape(&found.machine_description());
    format!("<p>Roofline of {machine}{simulated}: {}</p>\n", escape(&parts.join(" · ")))
}

/// One row for each stage of the load.
fn stages(summary: &Summary) -> String {
    let Some((header, rows)) = stages::rows(summary) else { return String::new() };
    format!("<h3>Stages of the load</h3>\n{}", tables::table("", &header, &rows))
}

/// How each SLO was met.
fn bounds(summary: &Summary) -> String {
    let bounds: Vec<String> = summary
        .slos
        .iter()
        .map(|result| {
            let met = result.met_fraction.map_or_else(
                || "cannot be judged in this run".to_owned(),
                |share| {
                    let share = with_unit(share, crate::metrics::definition::Unit::Fraction);
                    format!("met by {share} of attempted requests")
                },
            );
            let bound = figure(result.slo.bound.as_millis_f64());
            format!("<code>{} &lt; {bound} ms</code> {met}", json_word(&result.slo.metric))
        })
        .collect();
    if bounds.is_empty() { String::new() } else { format!("<p>{}</p>\n", bounds.join(" · ")) }
}

/// A value of each slice over the middle of the slice; slices without one are left out.
pub(super) fn line(
    name: &str,
    colour: &str,
    values: impl Iterator<Item = (f64, Option<f64>)>,
) -> Series {
    let points = values.filter_map(|(x, y)| Some(Point { x, y: y?, ..Point::default() }));
    Series { name: name.to_owned(), colour: colour.to_owned(), points: points.collect() }
}

/// What went on over the window.
pub(super) fn course(title: &str, y_label: &str, series: Vec<Series>) -> String {
    course_chart(title, y_label, series).figure()
}

/// The same as a chart.
pub(super) fn course_chart(title: &str, y_label: &str, series: Vec<Series>) -> Chart {
    Chart {
        title: title.to_owned(),
        x: Axis {
            label: "s since start of window".into(),
            spread: Spread::Linear,
            from_zero: false,
            ticks: None,
        },
        y_label: y_label.to_owned(),
        series,
        y_may_be_log: false,
        size: (360.0, 220.0),
        dots: false,
        named_points: false,
    }
}

fn over_time(summary: &Summary, colour: &str) -> String {
    let slices = &summary.over_time.slices;
    if slices.len() < 2 {
        return String::new();
    }
    let chart = |title: &str, y_label: &str, value: &dyn Fn(&Slice) -> Option<f64>| {
        let middle = |slice: &Slice| slice.t_s + slice.length_s / 2.0;
        let values = slices.iter().map(|slice| (middle(slice), value(slice)));
        course(title, y_label, vec![line("", colour, values)])
    };
    let in_flight = chart("In flight", "requests", &|slice| Some(slice.in_flight));
    let plots = if summary.is_without_output() {
        vec![
            chart("Completed requests", "requests/s", &|slice| Some(slice.requests_per_s)),
            in_flight,
        ]
    } else {
        vec![
            chart("Output throughput", "tokens/s", &|slice| slice.output_tokens_per_s),
            in_flight,
            chart("Median time to first token", "ms", &|slice| slice.ttft_p50_ms),
        ]
    };
    format!("<div class=\"plots three\">\n{}</div>\n", plots.concat())
}
