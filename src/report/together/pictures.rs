//! Picture of several runs: TTFT, TPOT, ITL, latency and output throughput against the load, a colour per run.

use super::table::title;
use super::{Number, Side, SideLoad};
use crate::report::figures::figure;
use crate::report::html::plot::file::{Heading, run_colour, sheet};
use crate::report::html::plot::scale::{Spread, tick_label};
use crate::report::html::plot::{Axis, Chart, Point, Series};

const DRAWN: [(Number, &str, &str); 5] = [
    (Number::Ttft, "TTFT, mean", "ms"),
    (Number::Tpot, "TPOT, mean", "ms"),
    (Number::Itl, "ITL, mean", "ms"),
    (Number::E2el, "E2EL, mean", "ms"),
    (Number::Output, "Output throughput", "tokens/s"),
];
const SIZE: (f64, f64) = (520.0, 290.0);

/// `benchmark_comparison.svg`; `None` where no side has a number to draw.
pub fn comparison(sides: &[Side]) -> Option<String> {
    let headings: Vec<Heading> = sides
        .iter()
        .enumerate()
        .map(|(place, side)| Heading {
            text: format!("{}: {}", side.name, title(side)),
            colour: run_colour(place),
        })
        .collect();
    sheet(&headings, &all_charts(sides), 3)
}

/// The charts that have something to draw.
pub(super) fn charts(sides: &[Side]) -> Vec<Chart> {
    all_charts(sides).into_iter().filter(|chart| !chart.series.is_empty()).collect()
}

fn all_charts(sides: &[Side]) -> [Chart; DRAWN.len()] {
    DRAWN.map(|(number, title, unit)| chart(sides, number, title, unit))
}

fn chart(sides: &[Side], number: Number, title: &str, unit: &str) -> Chart {
    let along = Along::of(sides);
    let series = sides.iter().enumerate().map(|(place, side)| Series {
        name: side.name.clone(),
        colour: run_colour(place).to_owned(),
        points: points(side, number, along),
    });
    let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    Chart {
        title: title.to_owned(),
        x: axis(sides, along),
        y_label: unit.to_owned(),
        series,
        y_may_be_log: number != Number::Output,
        size: SIZE,
        dots: true,
        named_points: false,
    }
}

fn points(side: &Side, number: Number, along: Along) -> Vec<Point> {
    let point = |x: f64, y: f64| Point {
        x,
        y,
        name: format!("{}: {}", side.name, figure(y)),
        ..Point::default()
    };
    let mut points: Vec<Point> = side
        .points
        .iter()
        .filter_map(|it| Some(point(along.place(it.load)?, it.get(number)?)))
        .collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}

/// What the axis of loads shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Along {
    Concurrency,
    BatchSize,
    Rate,
}

impl Along {
    /// Rates where the first load that has a place is one; batch sizes where there are several.
    fn of(sides: &[Side]) -> Self {
        let loads = || sides.iter().flat_map(|side| &side.points).map(|point| point.load);
        if let Some(SideLoad::Rate(_)) = loads().find(|load| *load != SideLoad::Unbounded) {
            return Self::Rate;
        }
        let mut sizes = loads().filter_map(|load| Self::BatchSize.place(load));
        match sizes.next() {
            Some(first) if sizes.any(|size| size.total_cmp(&first).is_ne()) => Self::BatchSize,
            _ => Self::Concurrency,
        }
    }

    /// Where a load stands on the axis; one of another kind has no place.
    fn place(self, load: SideLoad) -> Option<f64> {
        match (self, load) {
            (
                Self::Concurrency,
                SideLoad::Concurrency(concurrency) | SideLoad::BatchSize { concurrency, .. },
            ) => Some(f64::from(concurrency)),
            (Self::BatchSize, SideLoad::BatchSize { size, .. }) => Some(f64::from(size)),
            (Self::Rate, SideLoad::Rate(rate)) => Some(rate),
            _ => None,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::BatchSize => "batch size (texts of a request)",
            Self::Rate => "offered load (requests/s)",
        }
    }
}

fn axis(sides: &[Side], along: Along) -> Axis {
    let loads = super::loads(sides);
    let mut places: Vec<f64> = loads.into_iter().filter_map(|load| along.place(load)).collect();
    places.sort_by(f64::total_cmp);
    places.dedup_by(|a, b| a.total_cmp(b).is_eq());
    let spread = match (places.first(), places.last()) {
        (Some(low), Some(high)) if *low > 0.0 && high / low >= 4.0 => Spread::Log,
        _ => Spread::Linear,
    };
    Axis {
        label: along.label().to_owned(),
        spread,
        from_zero: false,
        ticks: Some(places.into_iter().map(|it| (it, tick_label(it))).collect()),
    }
}
