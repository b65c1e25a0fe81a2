//! HTML charts over load and percentile: throughput, latency, frontier.

use crate::load::Load;
use crate::metrics::definition::{Quantity, Rate};
use crate::metrics::percentile::Percentile;
use crate::metrics::summary::{PercentileValue, Summary};
use crate::report::PointReport;
use crate::report::figures::{self, with_unit};
use crate::report::frontier;
use crate::report::html::cumulative;
use crate::report::html::plot::scale::{Spread, tick_label};
use crate::report::html::plot::{Axis, Chart, Point, Series, shade};
use crate::report::html::text::escape;

const SIZE: (f64, f64) = (520.0, 290.0);
/// The percentiles of curves over load, each with its colour.
const LEVELS: [(Percentile, &str); 3] = [
    (Percentile::P50, "var(--s0)"),
    (Percentile::P90, "var(--s1)"),
    (Percentile::P99, "var(--s2)"),
];

/// What all points of an experiment have in common along the horizontal axis.
pub(super) struct LoadAxis {
    label: &'static str,
    values: Vec<f64>,
}

impl LoadAxis {
    /// `None` where loads of different kinds have no axis in common, or where there is only one.
    pub(super) fn of(points: &[PointReport]) -> Option<Self> {
        Self::with_one(points).filter(|axis| axis.values.len() > 1)
    }

    /// The same where one point is enough.
    pub(super) fn with_one(points: &[PointReport]) -> Option<Self> {
        let closed = points.iter().map(|point| match point.summary.load {
            Load::Closed { concurrency } => Some(f64::from(concurrency)),
            Load::Open { .. } | Load::Batch => None,
        });
        let open = points.iter().map(|point| match point.summary.load {
            Load::Open { rate, .. } => Some(rate),
            Load::Closed { .. } | Load::Batch => None,
        });
        let sizes: Vec<Option<u32>> = points.iter().map(|point| point.summary.documents).collect();
        if sizes.iter().any(|size| *size != sizes[0]) {
            // Of two things that change, a line is drawn over neither.
            let one_load = points.iter().all(|it| it.summary.load == points[0].summary.load);
            let values = sizes.into_iter().map(|size| size.map(f64::from)).collect::<Option<_>>();
            let label = "batch size (texts of a request)";
            return values.filter(|_| one_load).map(|values| Self { label, values });
        }
        let of = |label, values: Option<Vec<f64>>| values.map(|values| Self { label, values });
        of("concurrency (requests in flight)", closed.collect())
            .or_else(|| of("offered load (requests/s)", open.collect()))
            .filter(|axis| !axis.values.is_empty())
    }

    pub(super) fn axis(&self) -> Axis {
        let low = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.values.iter().copied().fold(0.0, f64::max);
        // Loads are usually doubled from point to point.
        let spread = if low > 0.0 && high / low >= 4.0 { Spread::Log } else { Spread::Linear };
        let mut ticks: Vec<_> = self.values.iter().map(|it| (*it, tick_label(*it))).collect();
        ticks.sort_by(|a, b| a.0.total_cmp(&b.0));
        ticks.dedup_by(|a, b| a.0.total_cmp(&b.0).is_eq());
        Axis { label: self.label.to_owned(), spread, from_zero: false, ticks: Some(ticks) }
    }
}

/// The curves of a sweep; nothing where there is only one point.
pub(super) fn over_load(points: &[PointReport]) -> String {
    let plots: String = charts_over_load(points).iter().map(|(_, chart)| chart.figure()).collect();
    if plots.is_empty() {
        return plots;
    }
    let dominated = frontier::dominated(points).map_or_else(String::new, |text| {
        format!("<p class=\"soft\">Hollow: {}</p>\n", escape(&text))
    });
    format!("<h2>Under load</h2>\n<div class=\"plots\">\n{plots}</div>\n{dominated}")
}

/// The same as charts, each with the name of its file.
fn charts_over_load(points: &[PointReport]) -> Vec<(String, Chart)> {
    let Some(load) = LoadAxis::of(points) else { return Vec::new() };
    let mut charts = vec![
        ("throughput".to_owned(), throughput(points, &load)),
        ("frontier".to_owned(), interactivity(points)),
    ];
    let headline = points.first().map_or(Quantity::E2e, |point| point.summary.headline_latency());
    charts.extend(
        [Quantity::Ttft, Quantity::Itl, headline]
            .map(|quantity| (file_name(quantity, "load"), latency(points, &load, quantity))),
    );
    charts.push(("requests".to_owned(), requests(points, &load)));
    charts
}

/// `ttft_ms_over_load`.
fn file_name(quantity: Quantity, over: &str) -> String {
    format!("{}_over_{over}", quantity.definition().key)
}

/// Every chart of a run, each with the name of its file.
pub fn charts(points: &[PointReport]) -> Vec<(String, Chart)> {
    let mut charts = charts_over_load(points);
    charts.extend(charts_by_percentile(points));
    charts.extend(cumulative::charts(points));
    charts
}

/// The points in the order of their load.
pub(super) fn in_order<'a>(
    points: &'a [PointReport],
    load: &LoadAxis,
) -> Vec<(f64, &'a PointReport)> {
    let mut sorted: Vec<_> = load.values.iter().copied().zip(points).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted
}

pub(super) fn chart(title: &str, x: Axis, y_label: &str, series: Vec<Series>) -> Chart {
    Chart {
        title: title.to_owned(),
        x,
        y_label: y_label.to_owned(),
        series,
        y_may_be_log: true,
        size: SIZE,
        dots: true,
        named_points: false,
    }
}

/// One value per point, where it exists.
fn rate_series(points: &[PointReport], load: &LoadAxis, rate: Rate, colour: &str) -> Series {
    let definition = rate.definition();
    let drawn = in_order(points, load).into_iter().filter_map(|(x, point)| {
        let y = point.summary.rate(rate)?;
        let name = format!("{}: {}", point.label, with_unit(y, definition.unit));
        Some(Point { x, y, name, ..Point::default() })
    });
    Series { name: definition.label.to_owned(), colour: colour.to_owned(), points: drawn.collect() }
}

fn throughput(points: &[PointReport], load: &LoadAxis) -> Chart {
    let series = |rate, colour| rate_series(points, load, rate, colour);
    let both = if points.iter().any(|point| point.summary.is_without_output()) {
        vec![series(Rate::InputThroughput, "var(--s0)")]
    } else {
        vec![
            series(Rate::OutputThroughput, "var(--s0)"),
            series(Rate::TotalThroughput, "var(--s1)"),
        ]
    };
    Chart { y_may_be_log: false, ..chart("Throughput", load.axis(), "tokens/s", both) }
}

fn requests(points: &[PointReport], load: &LoadAxis) -> Chart {
    let rates = [(Rate::RequestThroughput, "var(--s0)"), (Rate::Goodput, "var(--s1)")];
    let series = rates
        .into_iter()
        .filter(|(rate, _)| points.iter().any(|point| point.summary.rate(*rate).is_some()))
        .map(|(rate, colour)| rate_series(points, load, rate, colour));
    let title = "Completed requests";
    Chart { y_may_be_log: false, ..chart(title, load.axis(), "requests/s", series.collect()) }
}

/// What all users get together against what each of them gets.
fn interactivity(points: &[PointReport]) -> Chart {
    let drawn = frontier_points(points);
    let series = Series { name: String::new(), colour: "var(--s0)".to_owned(), points: drawn };
    against_interactivity(points, vec![series])
}

/// Every load at what each of its users gets and what all of them get together; those that another one beats in both are hollow.
pub(super) fn frontier_points(points: &[PointReport]) -> Vec<Point> {
    let spots = frontier::spots(points);
    let drawn = spots.iter().filter_map(|spot| {
        let place = spot.place?;
        let hollow = frontier::is_dominated(place, &spots);
        let name = spot.label.clone();
        Some(Point { x: place.per_user, y: place.together, name, hollow, interval: None })
    });
    drawn.collect()
}

/// The chart of such points.
pub(super) fn against_interactivity(points: &[PointReport], series: Vec<Series>) -> Chart {
    let unit = match frontier::rate(points) {
        Rate::PerGpuOutput => "output tokens/s per GPU",
        _ => "output tokens/s",
    };
    let x = Axis {
        label: "tokens/s per user (median)".to_owned(),
        spread: Spread::Linear,
        from_zero: true,
        ticks: None,
    };
    let chart = chart("Throughput against interactivity", x, unit, series);
    Chart { y_may_be_log: false, named_points: true, ..chart }
}

fn latency(points: &[PointReport], load: &LoadAxis, quantity: Quantity) -> Chart {
    let series = LEVELS.map(|(which, colour)| Series {
        name: which.label().to_owned(),
        colour: colour.to_owned(),
        points: in_order(points, load)
            .into_iter()
            .filter_map(|(x, point)| {
                let value = point.summary.percentile(quantity, which)?;
                let name =
                    format!("{}, {}: {}", point.label, which.label(), percentile_text(value));
                Some(at_percentile(x, value, name))
            })
            .collect(),
    });
    chart(quantity.definition().label, load.axis(), "ms", series.into())
}

fn at_percentile(x: f64, value: &PercentileValue, name: String) -> Point {
    Point { x, y: value.value, interval: value.low.zip(value.high), hollow: !value.certified, name }
}

/// `~12.3 ms (11.0…14.1)`.
pub(super) fn percentile_text(value: &PercentileValue) -> String {
    let digits = figures::decimals(value.value);
    let interval = figures::interval(value, digits);
    let number = figures::percentile(value, digits);
    if interval.is_empty() { format!("{number} ms") } else { format!("{number} ms ({interval})") }
}

/// Latency over percentile, a line for each point: where a tail begins, and how long it is.
pub(super) fn by_percentile(points: &[PointReport]) -> String {
    let plots: String =
        charts_by_percentile(points).iter().map(|(_, chart)| chart.figure()).collect();
    if plots.is_empty() {
        return plots;
    }
    format!("<h2>From the median into the tail</h2>\n<div class=\"plots\">\n{plots}</div>\n")
}

fn charts_by_percentile(points: &[PointReport]) -> [(String, Chart); 4] {
    let headline = points.first().map_or(Quantity::E2e, |point| point.summary.headline_latency());
    [Quantity::Ttft, Quantity::Itl, Quantity::Tpot, headline]
        .map(|quantity| (file_name(quantity, "percentile"), tail(points, quantity)))
}

fn tail(points: &[PointReport], quantity: Quantity) -> Chart {
    let series = points.iter().enumerate().filter_map(|(index, point)| {
        let percentiles = percentiles(&point.summary, quantity)?;
        // The first name says what the numbers of the others are.
        let name = if index > 0 { point.short_label() } else { point.label.clone() };
        Some(Series { name, colour: shade(index, points.len()), points: percentiles })
    });
    let ticks = Percentile::ALL.map(|which| (nines(which), which.label().to_owned()));
    let x = Axis {
        label: "percentile".to_owned(),
        spread: Spread::Linear,
        from_zero: false,
        ticks: Some(ticks.into()),
    };
    let title = quantity.definition().label;
    chart(title, x, "ms", series.collect())
}

fn percentiles(summary: &Summary, quantity: Quantity) -> Option<Vec<Point>> {
    let values = summary.distribution(quantity)?;
    let point = |(which, value): (&Percentile, &PercentileValue)| {
        let name = format!("{}: {}", which.label(), percentile_text(value));
        // Whiskers of several points would cover each other here.
        Point { interval: None, ..at_percentile(nines(*which), value, name) }
    };
    Some(values.percentiles.iter().map(point).collect())
}

/// How many nines a percentile has: every further nine takes as much room as the one before.
fn nines(which: Percentile) -> f64 {
    -(f64::from(1_000 - which.permille()) / 1_000.0).log10()
}
