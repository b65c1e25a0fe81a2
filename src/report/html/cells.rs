//! HTML page of a run of cells: a table for each scenario, and a curve for each in every chart.

use super::curves::{
    LoadAxis, against_interactivity, chart, frontier_points, in_order, percentile_text,
};
use super::plot::{Chart, Point, Series, shade};
use super::text::escape;
use super::{
    SMALL_PRINT, cost, facts, heading, headline, know_before_quoting, page, tables, verdict,
};
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::report::PointReport;
use crate::report::cells::{CellsReport, Group};
use crate::report::repeats;
use crate::settings::cells::common_label;

/// The whole page.
pub fn render(cells: &CellsReport) -> String {
    let experiment = &cells.experiment;
    let table = |group: &Group| {
        let points: Vec<PointReport> = group.points.iter().map(with_load).collect();
        format!("<h3>{}</h3>\n{}", escape(&group.scenario), tables::points(&points))
    };
    let tables: Vec<String> = cells.groups.iter().map(table).collect();
    let tables = tables.concat();
    let sections = [
        heading(experiment),
        verdict(experiment),
        headline(experiment),
        lost(cells),
        know_before_quoting(experiment),
        format!("<h2>Every scenario</h2>\n{tables}"),
        repeats::page(&experiment.points),
        curves(&cells.groups),
        cost(experiment),
        facts::definitions(),
        facts::manifest(experiment),
        facts::files(&experiment.files),
    ];
    page(&experiment.title, &sections.concat(), SMALL_PRINT)
}

/// A cell below the heading of its scenario, which need not be said again: by its load, and which run of it.
fn with_load(point: &PointReport) -> PointReport {
    let run = common_label(&point.label).and_then(|common| point.label.strip_prefix(common));
    let run = run.unwrap_or_default().replace('_', " ");
    let summary = &point.summary;
    let documents = summary.documents.map_or_else(String::new, |it| format!(", batch size {it}"));
    let label = format!("{}{documents}{run}", summary.load);
    PointReport { label, summary: summary.clone() }
}

fn lost(cells: &CellsReport) -> String {
    let items: Vec<String> =
        cells.losses().map(|text| format!("<li>{}</li>\n", escape(&text))).collect();
    if items.is_empty() {
        return String::new();
    }
    format!("<h2>Cells without a result</h2>\n<ul>\n{}</ul>\n", items.concat())
}

fn curves(groups: &[Group]) -> String {
    let plots: String = charts(groups).iter().map(Chart::figure).collect();
    if plots.is_empty() {
        return plots;
    }
    format!("<h2>Under load</h2>\n<div class=\"plots\">\n{plots}</div>\n")
}

/// A curve for each scenario in every chart; none where there is one load, which is no curve.
fn charts(groups: &[Group]) -> Vec<Chart> {
    let all: Vec<PointReport> = groups.iter().flat_map(|it| it.points.iter().cloned()).collect();
    if groups.iter().all(|group| group.points.len() < 2) {
        return Vec::new();
    }
    let Some(load) = LoadAxis::of(&all) else { return Vec::new() };
    let headline = all.first().map_or(Quantity::E2e, |point| point.summary.headline_latency());
    let (rate, unit) = if all.iter().any(|point| point.summary.is_without_output()) {
        (Rate::InputThroughput, "input tokens/s")
    } else {
        (Rate::OutputThroughput, "output tokens/s")
    };
    let of_rate = |title: &str, rate: Rate, unit: &str| {
        let value = move |point: &PointReport| {
            let value = point.summary.rate(rate)?;
            Some((value, format!("{}: {value:.4}", point.label)))
        };
        let series = over_load(groups, value);
        Chart { y_may_be_log: false, ..chart(title, load.axis(), unit, series) }
    };
    let mut charts = vec![
        of_rate("Throughput", rate, unit),
        frontiers(&all, groups),
        of_rate("Completed requests", Rate::RequestThroughput, "requests/s"),
    ];
    for quantity in [Quantity::Ttft, Quantity::Itl, headline] {
        for which in [Percentile::P50, Percentile::P99] {
            let value = move |point: &PointReport| {
                let value = point.summary.percentile(quantity, which)?;
                Some((value.value, format!("{}: {}", point.label, percentile_text(value))))
            };
            let title = format!("{}, {}", quantity.definition().label, which.label());
            charts.push(chart(&title, load.axis(), "ms", over_load(groups, value)));
        }
    }
    charts.retain(|chart| chart.series.iter().any(|series| !series.points.is_empty()));
    charts
}

fn over_load(
    groups: &[Group],
    value: impl Fn(&PointReport) -> Option<(f64, String)>,
) -> Vec<Series> {
    let points = |group: &Group| {
        let Some(load) = LoadAxis::with_one(&group.points) else { return Vec::new() };
        let drawn = in_order(&group.points, &load).into_iter().filter_map(|(x, point)| {
            let (y, name) = value(point)?;
            Some(Point { x, y, name, ..Point::default() })
        });
        drawn.collect()
    };
    series(groups, points)
}

fn series(groups: &[Group], points: impl Fn(&Group) -> Vec<Point>) -> Vec<Series> {
    let of = |(index, group): (usize, &Group)| Series {
        name: group.scenario.clone(),
        colour: shade(index, groups.len()),
        points: points(group),
    };
    groups.iter().enumerate().map(of).collect()
}

/// A frontier for each scenario.
fn frontiers(all: &[PointReport], groups: &[Group]) -> Chart {
    let points = |group: &Group| {
        let mut drawn = frontier_points(&group.points);
        drawn.sort_by(|a, b| a.x.total_cmp(&b.x));
        drawn
    };
    against_interactivity(all, series(groups, points))
}
