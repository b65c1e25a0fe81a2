//! HTML section of cumulative distributions: which share of requests or tokens was at most so long.

use crate::metrics::definition::Quantity;
use crate::report::PointReport;
use crate::report::figures::figure;
use crate::report::html::plot::frame::extent;
use crate::report::html::plot::scale::Spread;
use crate::report::html::plot::{Axis, Chart, LOG_BEYOND, Point, Series, shade};

/// A chart for each latency, with a line for each point; empty where the page is not made from records.
pub(super) fn section(points: &[PointReport]) -> String {
    let plots: String = charts(points).iter().map(|(_, chart)| chart.figure()).collect();
    if plots.is_empty() {
        return plots;
    }
    format!("<h2>Cumulative distributions</h2>\n<div class=\"plots\">\n{plots}</div>\n")
}

/// The same as charts, each with the name of its file.
pub fn charts(points: &[PointReport]) -> [(String, Chart); 4] {
    let headline = points.first().map_or(Quantity::E2e, |point| point.summary.headline_latency());
    [Quantity::Ttft, Quantity::Itl, Quantity::Tpot, headline].map(|quantity| {
        let name = format!("{}_cumulative", quantity.definition().key);
        (name, chart(points, quantity))
    })
}

fn chart(points: &[PointReport], quantity: Quantity) -> Chart {
    let series: Vec<Series> = points
        .iter()
        .enumerate()
        .filter_map(|(index, point)| {
            // The first name says what the numbers of the others are.
            let name = if index > 0 { point.short_label() } else { point.label.clone() };
            Some(Series {
                name,
                colour: shade(index, points.len()),
                points: steps(&point.summary.distribution(quantity)?.curve),
            })
        })
        .collect();
    let values = series.iter().flat_map(|series| &series.points).map(|point| point.x);
    let is_wide =
        extent(values).is_some_and(|(least, most)| least > 0.0 && most / least > LOG_BEYOND);
    Chart {
        title: quantity.definition().label.to_owned(),
        x: Axis {
            label: "ms".to_owned(),
            spread: if is_wide { Spread::Log } else { Spread::Linear },
            from_zero: false,
            ticks: None,
        },
        y_label: "% at most so long".to_owned(),
        series,
        y_may_be_log: false,
        size: (540.0, 260.0),
        dots: false,
        named_points: false,
    }
}

/// Values at equal shares, as points whose name tells both. The extremes are left out: one odd value would stretch the axis.
fn steps(curve: &[f64]) -> Vec<Point> {
    let last = curve.len().saturating_sub(1).max(1) as f64;
    let of = |(step, value): (usize, &f64)| {
        let percent = 100.0 * step as f64 / last;
        let name = format!("{percent} %: {} ms", figure(*value));
        Point { x: *value, y: percent, name, ..Point::default() }
    };
    let inner = curve.len().saturating_sub(2);
    curve.iter().enumerate().skip(1).take(inner).map(of).collect()
}
